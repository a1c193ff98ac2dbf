"""What a process answers to those who watch it: alive, ready, and its figures."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest

from inference.health import ALIVE_S, READY_S, Health, HealthServer
from inference.stats import Stats
from inference.status import INFER, Standing, StatusReporter
from inference.types import ClockAhead, Lag, Latency, LoadedModel, WorkerStatus
from ingest.errors import SettingsError
from ingest.settings import Settings
from tests.browsing import free_port, until

STATUS = WorkerStatus(
    member="infer@ward:1:abc", role="infer", state="running", host="ward", pid=1, started_ns=10**18,
    emitted_ns=10**18, version="0.1.0", code_commit="abc", libraries={}, group="wardwave", partitions=[0, 3],
    n_partitions=4, beds=2, lag=[Lag(0, 7, 1.5), Lag(3, 1, None)], rates={},
    latencies={"receipt_to_prediction_out": Latency(120.0, 340.0, 9)}, counts={"chunks_in": 40},
    dead_letters={"late": 2}, clocks=[ClockAhead('bed "7"\n\\', "ecg", -0.25)],
    models=[LoadedModel("ecg-beats-1", "6e53")], device="cpu", rss_bytes=5, cpu_share=0.5, threads=9,
)  # fmt: skip


class Clock:
    """Time that a test lets pass."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock)


@pytest.fixture
def server(health: Health) -> Iterator[HealthServer]:
    running = HealthServer("127.0.0.1:0", health)
    yield running
    running.close()


def get(address: str, page: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{page}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_process_is_ready_as_long_as_the_broker_takes_what_it_says(
    health: Health, server: HealthServer, clock: Clock
) -> None:
    assert get(server.address, "/healthz") == (200, "ok\n")
    assert get(server.address, "/readyz") == (503, "the broker has not answered yet\n")
    health.note(STATUS, taken=True)
    assert get(server.address, "/readyz") == (200, "ok\n")
    clock.now_s += READY_S + 1
    health.note(STATUS, taken=False)
    assert get(server.address, "/readyz") == (503, "the broker has not answered for 11 s\n")
    assert get(server.address, "/healthz") == (200, "ok\n")


def test_a_process_that_hangs_is_not_alive(health: Health, server: HealthServer, clock: Clock) -> None:
    health.note(STATUS, taken=True)
    clock.now_s += ALIVE_S + 1
    assert get(server.address, "/healthz") == (503, "has not come round for 91 s\n")
    assert get(server.address, "/readyz")[0] == 503
    health.come_round()
    assert get(server.address, "/healthz") == (200, "ok\n")


def test_figures_are_what_prometheus_reads(health: Health, server: HealthServer) -> None:
    health.note(STATUS, taken=True)
    status, text = get(server.address, "/metrics")
    assert status == 200
    label = r'[a-z_0-9]+="(?:[^"\\\n]|\\["\\n])*"'
    line = re.compile(rf"wardwave_[a-z_]+(?:\{{{label}(?:,{label})*\}})? -?[0-9.e+-]+")
    kinds: Counter[str] = Counter()
    for one in text.splitlines():
        if one.startswith("# TYPE "):
            kinds[one.split()[2]] += 1
        elif not one.startswith("# HELP "):
            assert line.fullmatch(one), one
    assert set(kinds.values()) == {1}
    for expected in (
        'wardwave_lag_records{partition="0"} 7',
        'wardwave_lag_seconds{partition="0"} 1.5',
        'wardwave_latency_seconds{stage="receipt_to_prediction_out",quantile="0.99"} 0.34',
        'wardwave_clock_ahead_seconds{bed="bed \\"7\\"\\n\\\\",signal="ecg"} -0.25',
        'wardwave_dead_letters{reason="late"} 2',
        "wardwave_partitions 2",
        "wardwave_ready 1",
    ):
        assert expected in text.splitlines()
    assert 'wardwave_lag_seconds{partition="3"}' not in text


def test_nothing_else_is_told(server: HealthServer) -> None:
    assert get(server.address, "/")[0] == 404
    assert get(server.address, "/metrics/../etc/passwd")[0] == 404


@pytest.mark.parametrize("at", ["9108", ":9108", "127.0.0.1:http", "127.0.0.1:70000", "192.0.2.1:9108"])
def test_an_address_that_cannot_be_is_named(at: str, health: Health) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"WARDWAVE_HEALTH_AT={at!r}")):
        HealthServer(at, health)


@pytest.mark.kafka
def test_a_process_answers_by_its_status(kafka: Settings) -> None:
    at = f"127.0.0.1:{free_port()}"
    reporter = StatusReporter(kafka.model_copy(update={"health_at": at}), INFER, "g")
    stats = Stats()
    stats.counts["chunks_in"] = 12

    def ready() -> bool:
        reporter._due_s = 0.0
        reporter.tell(stats, lambda: Standing([1, 2]))
        return get(at, "/readyz")[0] == 200

    until("the broker has taken a status", ready, 30)
    assert 'wardwave_count{name="chunks_in"} 12' in get(at, "/metrics")[1]
    reporter.close()
    with pytest.raises(urllib.error.URLError):
        get(at, "/healthz")
