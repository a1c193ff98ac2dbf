"""The broker of a chaos run and the way to it."""

from __future__ import annotations

import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from inference.chaos_keeper import URL, Keeper
from inference.chaos_proxy import Proxy
from inference.errors import ChaosError
from ingest.broker import DEFAULT_MAX_MEMORY_BYTES, IN_MEMORY, EmbeddedBroker
from ingest.settings import KafkaSettings

RESTART_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Which broker.

    Parameters
    ----------
    running : KafkaSettings or None
        A Kafka that runs already; None starts the embedded one.
    proxy_at : str or None
        HOST:PORT that this Kafka advertises: the proxy listens there. Without it the way to it stays whole.
    command : str or None
        Kills and restarts this Kafka, which keeps its data.
    keeps : bool
        The embedded broker keeps its data, so that it can be killed.
    max_memory_bytes : int
        Of the embedded broker.
    """

    running: KafkaSettings | None = None
    proxy_at: str | None = None
    command: str | None = None
    keeps: bool = False
    max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES

    @property
    def name(self) -> str:
        """What a report calls it."""
        if self.running is not None:
            return self.running.bootstrap_servers
        return "embedded broker, its data kept" if self.keeps else "embedded broker"


@dataclass(frozen=True, slots=True)
class Way:
    """How clients reach a broker; the proxy on the way and what kills and restarts it, if there are any."""

    address: KafkaSettings
    proxy: Proxy | None = None
    restart: Callable[[], None] | None = None


@contextmanager
def broker_of(options: BrokerOptions, seed: int) -> Iterator[Way]:
    """Give a broker to talk to.

    Raises
    ------
    ChaosError
        An address cannot be read.
    BrokerError
        There is no embedded broker.
    """
    running = options.running
    restart = None if options.command is None else partial(_restart, options.command)
    if running is None:
        with _embedded(options, seed) as way:
            yield way
    elif options.proxy_at is None:
        yield Way(running, None, restart)
    else:
        target = _address(running.bootstrap_servers.split(",")[0])
        with Proxy(target, _address(options.proxy_at), seed) as proxy:
            yield Way(running.model_copy(update={"bootstrap_servers": proxy.address}), proxy, restart)


@contextmanager
def _embedded(options: BrokerOptions, seed: int) -> Iterator[Way]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(("127.0.0.1", port), seed=seed))
        keeper = stack.enter_context(Keeper()) if options.keeps else None
        broker = EmbeddedBroker(
            port,
            options.max_memory_bytes,
            advertised=proxy.address,
            storage=IN_MEMORY if keeper is None else URL,
            environment=None if keeper is None else keeper.environment,
        )
        stack.enter_context(broker)

        def kill_and_start() -> None:
            # Stopping is kill -9: it says goodbye to nobody and writes nothing.
            broker.stop()
            broker.start()

        address = KafkaSettings(bootstrap_servers=proxy.address)
        yield Way(address, proxy, None if keeper is None else kill_and_start)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.strip().rpartition(":")
    if not host or not port.isdigit():
        raise ChaosError(f"address {text!r}: give HOST:PORT")
    return host, int(port)


def _restart(command: str) -> None:
    try:
        subprocess.run(shlex.split(command), check=True, timeout=RESTART_S)  # noqa: S603 - the user's own
    except (subprocess.SubprocessError, OSError) as error:
        raise ChaosError(f"--broker-command {command!r}: {error}") from error
