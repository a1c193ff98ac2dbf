"""``/healthz``, ``/readyz`` and ``/metrics`` of a process, over HTTP, where ``WARDWAVE_HEALTH_AT`` says.

For what starts and watches containers, and for Prometheus. Every process answers alike; what its figures are
it says itself. No sample of a patient and no secret is in them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Literal

import psutil

from ingest import version
from ingest.errors import SettingsError

logger = logging.getLogger(__name__)

ALIVE_S: Final = 90.0
"""A process that did not come round for so long hangs: it never waits longer for a broker."""

READY_S: Final = 10.0
"""A process that the broker has not answered for so long is not ready."""

PERIOD_S: Final = 2.0
PLAIN: Final = "text/plain; charset=utf-8"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure; those without a value are left out. ``suffix`` is that of a histogram's parts."""

    value: float | int | None
    labels: Labels
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """Figures of one name."""

    name: str
    text: str
    samples: Sequence[Sample]
    kind: Literal["gauge", "counter", "histogram"] = "gauge"

    def lines(self) -> list[str]:
        """In Prometheus's text format; none where nothing has a value."""
        found = [
            f"{self.name}{one.suffix}{_labels(one.labels)} {one.value}"
            for one in self.samples
            if one.value is not None
        ]
        if not found:
            return []
        return [f"# HELP {self.name} {self.text}", f"# TYPE {self.name} {self.kind}", *found]


def single(name: str, text: str, value: float | int | None, /, **labels: object) -> Family:
    """A family of one figure."""
    return Family(name, text, [Sample(value, labels)])


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


class Health:
    """What is known of a process, for whoever asks.

    Parameters
    ----------
    clock : callable
        Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._came_round_s = clock()
        self._taken_s: float | None = None
        self._figures: Callable[[], Iterable[Family]] = tuple

    def come_round(self) -> None:
        """The process's loop has come round."""
        self._came_round_s = self._clock()

    def note(self, figures: Callable[[], Iterable[Family]], taken: bool) -> None:
        """Note what gives the newest figures, and whether the broker has answered since the last call."""
        self._figures = figures
        if taken:
            self._taken_s = self._clock()

    def alive(self) -> str | None:
        """Why it is to be started anew; ``None`` where it works."""
        since_s = self._clock() - self._came_round_s
        return f"has not come round for {since_s:.0f} s" if since_s > ALIVE_S else None

    def ready(self) -> str | None:
        """Why it does not do its work now; ``None`` where it does."""
        why = self.alive()
        if why is not None:
            return why
        if self._taken_s is None:
            return "the broker has not answered yet"
        since_s = self._clock() - self._taken_s
        return f"the broker has not answered for {since_s:.0f} s" if since_s > READY_S else None

    def metrics(self) -> str:
        """Everything in Prometheus's text format."""
        found = [
            single("wardwave_alive", "1 where the process works", int(self.alive() is None)),
            single("wardwave_ready", "1 where the broker answers it", int(self.ready() is None)),
            *self._figures(),
        ]
        return "\n".join(line for family in found for line in family.lines()) + "\n"


def of_process(role: str) -> Iterator[Family]:
    """Figures of a process that says no status: what it is and what it uses."""
    process = psutil.Process()
    about = {"role": role, "version": version.installed()}
    yield single("wardwave_info", "what runs", 1, **about)
    yield single("wardwave_started_seconds", "when it started, Unix time", process.create_time())
    yield single("wardwave_resident_bytes", "resident memory", process.memory_info().rss)
    yield single("wardwave_threads", "threads", process.num_threads())


@contextmanager
def answering(
    at: str | None, figures: Callable[[], Iterable[Family]], reached: Callable[[], bool]
) -> Iterator[None]:
    """Answer for a process that has no status, until the block ends.

    Parameters
    ----------
    at : str or None
        HOST:PORT; ``None`` answers nobody.
    figures : callable
        Gives the figures when asked.
    reached : callable
        Whether the broker answers it now; looked at every two seconds.

    Raises
    ------
    SettingsError
        Nothing can listen there.
    """
    if at is None:
        yield
        return
    health, ended = Health(), threading.Event()

    def look() -> None:
        while True:
            health.come_round()
            health.note(figures, reached())
            if ended.wait(PERIOD_S):
                return

    server = HealthServer(at, health)
    watcher = threading.Thread(target=look, name="health-look", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(5.0)
        server.close()


class HealthServer:
    """Answers for one process, on a thread of its own.

    Parameters
    ----------
    at : str
        HOST:PORT; port 0 takes a free one.
    health : Health
        What is told.

    Raises
    ------
    SettingsError
        Nothing can listen there.
    """

    def __init__(self, at: str, health: Health) -> None:
        host, _, port = at.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65_535:
            raise SettingsError(f"WARDWAVE_HEALTH_AT={at!r}: give HOST:PORT, 127.0.0.1:9108 for example")
        try:
            self._server = ThreadingHTTPServer((host, int(port)), _handler(health))
        except OSError as error:
            raise SettingsError(f"WARDWAVE_HEALTH_AT={at!r}: {error.strerror}; choose another") from error
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()
        logger.info("/healthz, /readyz and /metrics on %s", self.address)

    @property
    def address(self) -> str:
        """Host and port."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def close(self) -> None:
        """Answer no longer."""
        self._server.shutdown()
        self._server.server_close()


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    def verdict(why: str | None) -> tuple[HTTPStatus, str, str]:
        status = HTTPStatus.OK if why is None else HTTPStatus.SERVICE_UNAVAILABLE
        return status, PLAIN, f"{why or 'ok'}\n"

    pages: dict[str, Callable[[], tuple[HTTPStatus, str, str]]] = {
        "/healthz": lambda: verdict(health.alive()),
        "/readyz": lambda: verdict(health.ready()),
        "/metrics": lambda: (HTTPStatus.OK, METRICS, health.metrics()),
    }

    class Handler(BaseHTTPRequestHandler):
        timeout = 10.0
        server_version, sys_version = "wardwave", ""

        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            status, kind, text = page()
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it is overridden by
            logger.debug(format, *args)

    return Handler
