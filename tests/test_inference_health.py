"""What a process answers to those who watch it: alive, ready, and its figures."""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import msgspec
import numpy as np
import pytest

from dashboard import health as dashboard_health
from dashboard.feed import Feed
from dashboard.system_state import SystemState
from dashboard.ward import Ward
from inference.gauges import Gauges
from inference.health import families_of
from inference.stats import Histogram, Stats
from inference.status import INFER, Standing, StatusReporter
from inference.types import ClockAhead, DataAge, DeadLetter, Lag, Latency, LoadedModel, WorkerStatus
from ingest import publisher_health
from ingest.errors import SettingsError
from ingest.health import ALIVE_S, READY_S, Family, Health, HealthServer, answering, of_process, single
from ingest.json_log import MOST_OF_BED, JsonLines
from ingest.publisher import Publisher, PublisherStats
from ingest.settings import Settings
from ingest.types import Chunk, SignalKind
from tests.browsing import free_port, until

STATUS = WorkerStatus(
    member="infer@ward:1:abc", role="infer", state="running", host="ward", pid=1, started_ns=10**18,
    emitted_ns=10**18, version="0.1.0", code_commit="abc", libraries={}, group="wardwave", partitions=[0, 3],
    n_partitions=4, beds=2, lag=[Lag(0, 7, 1.5), Lag(3, 1, None)], rates={},
    latencies={"receipt_to_prediction_out": Latency(120.0, 340.0, 9)}, counts={"chunks_in": 40},
    dead_letters={"late": 2}, clocks=[ClockAhead('bed "7"\n\\', "ecg", -0.25)],
    models=[LoadedModel("ecg-beats-1", "6e53")], device="cpu", rss_bytes=5, cpu_share=0.5, threads=9,
)  # fmt: skip


TOOK = Histogram()
TOOK.add(np.array([-2.0, 4.0, 100.0, 100.1, 70_000.0]))


def figures() -> Iterator[Family]:
    return families_of(STATUS, {"receipt_to_poll": TOOK}, [DataAge("bed-01", "ecg", 2.5)])


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
    health.note(figures, taken=True)
    assert get(server.address, "/readyz") == (200, "ok\n")
    clock.now_s += READY_S + 1
    health.note(figures, taken=False)
    assert get(server.address, "/readyz") == (503, "the broker has not answered for 11 s\n")
    assert get(server.address, "/healthz") == (200, "ok\n")


def test_a_process_that_hangs_is_not_alive(health: Health, server: HealthServer, clock: Clock) -> None:
    health.note(figures, taken=True)
    clock.now_s += ALIVE_S + 1
    assert get(server.address, "/healthz") == (503, "has not come round for 91 s\n")
    assert get(server.address, "/readyz")[0] == 503
    health.come_round()
    assert get(server.address, "/healthz") == (200, "ok\n")


def test_figures_are_what_prometheus_reads(health: Health, server: HealthServer) -> None:
    health.note(figures, taken=True)
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
        'wardwave_dead_letters{reason="bad_signature"} 0',
        "wardwave_partitions 2",
        "wardwave_ready 1",
        "# TYPE wardwave_stage_seconds histogram",
        'wardwave_stage_seconds_bucket{stage="receipt_to_poll",le="0.005"} 2',
        'wardwave_stage_seconds_bucket{stage="receipt_to_poll",le="0.1"} 3',
        'wardwave_stage_seconds_bucket{stage="receipt_to_poll",le="0.25"} 4',
        'wardwave_stage_seconds_bucket{stage="receipt_to_poll",le="30"} 4',
        'wardwave_stage_seconds_bucket{stage="receipt_to_poll",le="+Inf"} 5',
        'wardwave_stage_seconds_sum{stage="receipt_to_poll"} 70.2041',
        'wardwave_stage_seconds_count{stage="receipt_to_poll"} 5',
        'wardwave_data_age_seconds{bed="bed-01",signal="ecg"} 2.5',
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


def test_a_histogram_counts_every_value_once_however_they_come() -> None:
    rng = np.random.default_rng(0)
    values = rng.exponential(200.0, 1_000)
    whole, parts = Histogram(), Stats().stages
    whole.add(values)
    for cut in np.array_split(values, 7):
        parts.note("stage", *cut)
        parts.summary(0.0)
    assert parts.histograms["stage"].counts == whole.counts
    assert sum(whole.counts) == 1_000
    assert parts.histograms["stage"].sum_ms == pytest.approx(values.sum())


def test_a_process_without_a_status_answers_as_long_as_it_runs() -> None:
    """Publisher and dashboard."""
    at, reached = f"127.0.0.1:{free_port()}", True

    def own() -> Iterator[Family]:
        yield from of_process("replay")
        yield single("wardwave_count", "chunks", 3, name="sent")

    with answering(at, own, lambda: reached):
        until("it was looked at", lambda: get(at, "/readyz")[0] == 200)
        text = get(at, "/metrics")[1]
        assert 'wardwave_info{role="replay",' in text
        assert 'wardwave_count{name="sent"} 3' in text
        assert get(at, "/healthz") == (200, "ok\n")
    with pytest.raises(urllib.error.URLError):
        get(at, "/healthz")
    with answering(None, own, lambda: pytest.fail("nobody asks")):
        pass


class Sending:
    """A publisher with counts that a test sets."""

    def __init__(self) -> None:
        self.stats = PublisherStats(0, 0, 0, 0, 0)


def test_a_publisher_is_ready_while_the_broker_takes_what_it_sends() -> None:
    sending, at = Sending(), f"127.0.0.1:{free_port()}"
    seen: list[Callable[[], bool]] = []

    @contextmanager
    def answer(
        where: str | None, figures: Callable[[], Iterator[Family]], reached: Callable[[], bool]
    ) -> Iterator[None]:
        assert where == at
        seen.append(reached)
        yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publisher_health, "answering", answer)
        with publisher_health.watched(cast("Publisher", sending), at, "replay"):
            (reached,) = seen
            assert reached()
            sending.stats = PublisherStats(sent=5, acknowledged=2, dropped=0, failed=0, waiting=3)
            assert reached()
            assert not reached(), "three wait, and the broker has taken none since"


def test_the_dashboard_tells_how_old_what_it_shows_is() -> None:
    now_s = 100.0
    feed = Feed(Settings(), Ward(clock=lambda: now_s))
    feed.system = SystemState(lambda: now_s)
    chunk = Chunk("bed-01", "m", SignalKind.ECG, ("II",), 250.0, 10**18, 0, np.zeros((250, 1), np.float32))
    feed.ward.add_chunk(chunk)
    now_s += 20.0
    lines = [line for family in dashboard_health.figures(feed) for line in family.lines()]
    assert 'wardwave_shown_age_seconds{bed="bed-01",signal="ecg"} 20.0' in lines
    assert "wardwave_without_worker_seconds 20.0" in lines
    assert "wardwave_beds 1" in lines


def test_log_lines_are_json_with_where_the_record_lies(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    own = logging.getLogger("tests.json")
    own.propagate = False
    own.addHandler(handler)
    at = {"topic": "biosignals.raw", "partition": 3, "offset": 7, "bed": 'b"\n{'}
    own.warning("%s", 'late\n{"level": "INFO"}', extra=at)
    try:
        raise ValueError("why")
    except ValueError:
        own.exception("failed")
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert {name: first[name] for name in at} == at
    assert first["level"] == "WARNING"
    assert first["message"] == 'late\n{"level": "INFO"}'
    assert second["error"].endswith("ValueError: why")
    assert "bed" not in second


def test_a_worker_s_refusals_are_logged_with_their_place(caplog: pytest.LogCaptureFixture) -> None:
    gauges = Gauges.__new__(Gauges)
    gauges.stats, gauges._logged_s = Stats(), {}
    key = base64.b64encode(b"bed-\xff" + b"7" * 900).decode()
    letter = DeadLetter("late", "why", "biosignals.raw", 3, 7, 0, key, {}, "")
    with caplog.at_level("WARNING"):
        gauges.refused([letter])
        gauges.refused([msgspec.structs.replace(letter, reason="malformed", key_base64=None)])
    first, second = (json.loads(JsonLines().format(line)) for line in caplog.records)
    assert first["offset"] == second["offset"] == 7
    assert first["bed"] == "bed-\ufffd" + "7" * (MOST_OF_BED - 5)
    assert "bed" not in second
