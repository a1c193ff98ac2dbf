"""Why a broker refuses a login.

kafka-python 3.0.12 logs it, tries again until its time for the start is over, and then tells only that this
time is over: a wrong password would look like a broker that is away.
"""

from __future__ import annotations

import time
from typing import Final

from kafka.errors import SaslAuthenticationFailedError, UnsupportedSaslMechanismError
from kafka.net import manager
from kafka.net.connection import KafkaConnection

from ingest import tls
from ingest.settings import KafkaSettings

_REFUSED: Final = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)

_refusals: dict[str, tuple[float, Exception]] = {}
"""When (monotonic seconds) and how the last login was refused, by host."""


class Connection(KafkaConnection):  # type: ignore[misc]
    """A connection that leaves behind why its login was refused."""

    def close(self, error: Exception | None = None) -> None:
        """End the connection, for this reason where there is one."""
        if isinstance(error, _REFUSED) and self.transport is not None:
            _refusals[self.transport.host] = time.monotonic(), error
        super().close(error)


def install() -> None:
    """Let all clients of this process that are made from now on use it."""
    manager.KafkaConnection = Connection


def refusal(kafka: KafkaSettings, since_s: float) -> str | None:
    """That a server has refused the login since a monotonic time, if so, and the way out; no password."""
    found = [_refusals[host] for host in tls.hosts(kafka.bootstrap_servers) if host in _refusals]
    error = next((error for at_s, error in found if at_s >= since_s), None)
    if error is None:
        return None
    known = not isinstance(error, UnsupportedSaslMechanismError)
    mechanism = f"mechanism {kafka.sasl_mechanism}{'' if known else ', which it does not offer'}"
    name = f" of {kafka.sasl_plain_username!r}" if kafka.sasl_plain_username else ""
    return (
        f"the broker at {kafka.bootstrap_servers} refuses the login{name} ({mechanism}): check "
        "WARDWAVE_KAFKA__SASL_PLAIN_USERNAME, WARDWAVE_KAFKA__SASL_PLAIN_PASSWORD (or …_FILE) and "
        "WARDWAVE_KAFKA__SASL_MECHANISM (docs/security.md)"
    )
