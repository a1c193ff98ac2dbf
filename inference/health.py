"""``/healthz``, ``/readyz`` and ``/metrics`` of a process, over HTTP, where ``WARDWAVE_HEALTH_AT`` says.

For what starts and watches containers, and for Prometheus. What they tell is the process's own status
(:mod:`inference.status`), so that there is one truth; no bed's data and no secret is in it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from inference.types import WorkerStatus
from ingest.errors import SettingsError

logger = logging.getLogger(__name__)

ALIVE_S: Final = 90.0
"""A process that did not come round for so long hangs: it never waits longer for a broker."""

READY_S: Final = 10.0
"""A process whose status the broker has not taken for so long is not ready."""

PLAIN: Final = "text/plain; charset=utf-8"
METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, object]
Sample = tuple[Labels, float | int | None]


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
        self._status: WorkerStatus | None = None

    def come_round(self) -> None:
        """The process's loop has come round."""
        self._came_round_s = self._clock()

    def note(self, status: WorkerStatus, taken: bool) -> None:
        """Note the newest status, and whether the broker has taken one since the last call."""
        self._status = status
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
        lines = _family("wardwave_alive", "1 where the process works", [({}, int(self.alive() is None))])
        lines += _family("wardwave_ready", "1 where the broker answers it", [({}, int(self.ready() is None))])
        if self._status is not None:
            for name, text, samples in _families(self._status):
                lines += _family(name, text, samples)
        return "\n".join(lines) + "\n"


def _families(status: WorkerStatus) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    about = {"role": status.role, "group": status.group, "version": status.version, "device": status.device}
    yield "wardwave_info", "what runs", [({**about, "code_commit": status.code_commit}, 1)]
    models = [({"name": one.name, "sha256": one.sha256}, 1) for one in status.models]
    yield "wardwave_model_info", "networks in use", models
    yield "wardwave_started_seconds", "when it started, Unix time", [({}, status.started_ns / 1e9)]
    yield "wardwave_status_seconds", "when this was true, Unix time", [({}, status.emitted_ns / 1e9)]
    yield "wardwave_partitions", "partitions held", [({}, len(status.partitions))]
    yield "wardwave_beds", "beds that sent", [({}, status.beds)]
    records = [({"partition": one.partition}, one.records) for one in status.lag]
    yield "wardwave_lag_records", "records not yet read", records
    seconds = [({"partition": one.partition}, one.seconds) for one in status.lag]
    yield "wardwave_lag_seconds", "age of the newest record read where there are more", seconds
    counts = [({"name": name}, n) for name, n in status.counts.items()]
    yield "wardwave_count", "counters since the start, by name (docs/system.md)", counts
    letters = [({"reason": reason}, n) for reason, n in status.dead_letters.items()]
    yield "wardwave_dead_letters", "refused records since the start", letters
    latencies = [
        ({"stage": stage, "quantile": quantile}, milliseconds / 1e3)
        for stage, one in status.latencies.items()
        for quantile, milliseconds in (("0.5", one.p50_ms), ("0.99", one.p99_ms))
    ]
    yield "wardwave_latency_seconds", "how long stages took in the last 30 s", latencies
    clocks = [({"bed": one.bed, "signal": one.signal}, one.ahead_s) for one in status.clocks]
    yield "wardwave_clock_ahead_seconds", "device clocks that are furthest off", clocks
    yield "wardwave_resident_bytes", "resident memory", [({}, status.rss_bytes)]
    yield "wardwave_cpu_cores", "cores in use", [({}, status.cpu_share)]
    yield "wardwave_threads", "threads", [({}, status.threads)]


def _family(name: str, text: str, samples: Iterable[Sample]) -> list[str]:
    """Lines of one metric; none where it has no value."""
    lines = [f"{name}{_labels(labels)} {value}" for labels, value in samples if value is not None]
    return [f"# HELP {name} {text}", f"# TYPE {name} gauge", *lines] if lines else []


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


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
