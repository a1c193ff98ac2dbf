"""An end to waiting for a TLS handshake that the other side never answers.

kafka-python 3.0.12 waits for it without end, ``bootstrap_timeout_ms`` or not: a process that is told to speak
TLS to a broker, or to anything, that does not would hang at its start without a word, and so would a
connection that is made anew later.
"""

from __future__ import annotations

import ssl
import time
from typing import Final

from kafka.errors import KafkaTimeoutError
from kafka.net import manager
from kafka.net.transport import KafkaSSLTransport

HANDSHAKE_S: Final = 5.0

_problems: dict[str, str] = {}
"""How the last handshake failed, by host."""


class Transport(KafkaSSLTransport):  # type: ignore[misc]
    """TLS whose handshake ends."""

    async def handshake(self) -> None:
        """Agree on keys and check the certificate.

        Raises
        ------
        KafkaTimeoutError
            The other side does not answer within :data:`HANDSHAKE_S`.
        OSError
            It does not speak TLS, or its certificate is not to be trusted.
        """
        try:
            await self._agree(time.monotonic() + HANDSHAKE_S)
        except (OSError, KafkaTimeoutError) as error:
            _problems[self.host] = str(error)
            raise
        _problems.pop(self.host, None)

    async def _agree(self, until_s: float) -> None:
        while True:
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                waiting = self._net.wait_read
            except ssl.SSLWantWriteError:
                waiting = self._net.wait_write
            else:
                return
            try:
                await waiting(self._sock, until_s)
            except KafkaTimeoutError:
                raise KafkaTimeoutError(f"no answer to TLS within {HANDSHAKE_S:g} s") from None


def install() -> None:
    """Let all clients of this process that are made from now on use it."""
    manager.KafkaSSLTransport = Transport


def problem(servers: str) -> str | None:
    """How the last handshake with one of the servers failed, if it did."""
    return next((_problems[host] for host in hosts(servers) if host in _problems), None)


def hosts(servers: str) -> list[str]:
    """Names or addresses of servers, without their ports."""
    return [server.rpartition(":")[0].strip().strip("[]") for server in servers.split(",")]
