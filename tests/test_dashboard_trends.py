"""Trends of a bed: gaps stay gaps, extremes stay, alarms stand where they began; the place of the EEG."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dashboard.shared import Missing
from dashboard.snapshots import BedSnapshot, VitalHistory, WardSnapshot
from dashboard.trend_charts import Trend, charts, line_table
from dashboard.trend_points import MOST_BUCKETS, Numbers, Series, of_history, of_minutes, thinned
from dashboard.trends import age_line, read_trend, signals_of
from dashboard.ward import Ward
from inference.errors import StoreError
from inference.store import Store, TrendPoint
from inference.store_engine import connect, upgrade
from inference.store_rows import Kept
from inference.store_write import Batch, StoreWriter
from inference.types import Alarm, AlarmState, Bed, Delay, Priority, Setting, Vital
from ingest.types import NS_PER_S, Chunk, SignalKind

T0_NS = 1_800_000_000 * NS_PER_S
MISSING = Missing("no stored trends: none at sqlite:///x (start `wardwave record`)")


def a_series(times_s: np.ndarray, values: np.ndarray) -> Series:
    return Series(T0_NS + np.round(times_s * NS_PER_S).astype(np.int64), values, values, values)


def a_history(times_s: np.ndarray, rate: np.ndarray | None = None, begin_ns: int = T0_NS) -> VitalHistory:
    times_ns = begin_ns + np.round(times_s * NS_PER_S).astype(np.int64)
    ones = np.ones(len(times_s))
    heard = {name: np.nan * ones for name in ("wheeze", "crackle", "murmur")}
    rate = 72.0 * ones if rate is None else rate
    return VitalHistory("ecg", times_ns, rate, 0.0 * ones, 0.9 * ones, np.nan * ones, heard)


def an_alarm(onset_ns: int, priority: Priority = Priority.HIGH, message: str = "*** VTACH") -> Alarm:
    return Alarm(
        id=f"{onset_ns}-{priority}",
        bed="bed-01",
        signal="ecg",
        kind="vt",
        priority=priority,
        state=AlarmState.ENDED,
        message=message,
        onset_ns=onset_ns,
        raised_ns=onset_ns + NS_PER_S,
        emitted_ns=onset_ns + NS_PER_S,
        ended_ns=onset_ns + 9 * NS_PER_S,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(1.0, 0.0, 0.0),
        raw_offset=1,
        revision=0,
    )


def a_limit(kind: str, limit: float, enabled: bool = True) -> Setting:
    return Setting("ecg", kind, enabled, Priority.MEDIUM, limit, "/min", 20.0, 300.0, 0.0, 0.0, "profile")


class Held:
    """What a dashboard holds in memory of one bed."""

    def __init__(self, *histories: VitalHistory, alarms: tuple[Alarm, ...] = ()) -> None:
        self.histories = histories
        self.alarms = alarms
        limits = [a_limit("hr_high", 120.0), a_limit("hr_low", 50.0, enabled=False), a_limit("pvc", 9.0)]
        status = Bed("bed-01", "icu", None, True, None, "adult", False, None, None, None, None, limits, 1, 1)
        self.bed = BedSnapshot("bed-01", 0.1, (), (), (), (), None, status)

    def snapshot(self) -> WardSnapshot:
        return WardSnapshot(True, 0.0, None, (self.bed,), self.alarms, 0)

    def vital_history(self, bed: str) -> tuple[VitalHistory, ...]:
        return self.histories


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(1, 900), st.integers(0, 400)), min_size=1, max_size=12),
    seed=st.integers(0, 99),
)
def test_gaps_stay_gaps_and_extremes_stay_extremes(runs: list[tuple[int, int]], seed: int) -> None:
    times, at = [], 0
    for length, silence in runs:
        times += range(at, at + length)
        at += length + silence
    times_s = np.array(times, dtype=float)
    rate = np.random.default_rng(seed).uniform(30, 200, len(times_s))
    span_s = 3_600
    end_ns = T0_NS + span_s * NS_PER_S
    line = thinned(a_series(times_s, rate), T0_NS, end_ns, 1.0)

    inside = times_s <= span_s
    assert line.least.min() == rate[inside].min()
    assert line.most.max() == rate[inside].max()
    assert np.all((line.least <= line.mean) & (line.mean <= line.most))
    assert np.all(np.diff(line.times_ns) > 0)
    # As many pieces as there are runs with silences that can be seen between them.
    bucket_s = span_s / MOST_BUCKETS
    seen = np.diff(times_s[inside]) > bucket_s
    assert len(np.unique(line.piece)) == seen.sum() + 1
    assert len(line.mean) <= MOST_BUCKETS + 1 + seen.sum()
    for piece in np.unique(line.piece):
        joined_s = np.diff(line.times_ns[line.piece == piece]) / NS_PER_S
        assert np.all(joined_s <= 2 * bucket_s)


def test_seconds_without_a_valid_number_are_a_gap_too() -> None:
    rate = np.full(600, 72.0)
    rate[200:260] = np.nan
    line = thinned(a_series(np.arange(600.0), rate), T0_NS, T0_NS + 600 * NS_PER_S, 1.0)
    assert list(np.unique(line.piece)) == [0, 1]
    at_s = (line.times_ns - T0_NS) / NS_PER_S
    assert not np.any((at_s > 200) & (at_s < 259))


def test_a_point_between_two_gaps_is_a_dot() -> None:
    times_s = np.concatenate([np.arange(100.0), [400.0], np.arange(800.0, 900.0)])
    line = thinned(a_series(times_s, np.full(201, 72.0)), T0_NS, T0_NS + 3_600 * NS_PER_S, 1.0)
    table = line_table(line)
    assert table["time"][table["alone"]].astype(str).tolist() == ["2027-01-15 08:06:40+00:00"]


def test_a_lone_spike_of_a_day_is_seen() -> None:
    rate = np.full(86_400, 70.0)
    rate[43_210] = 188.0
    rate[60_001] = 31.0
    line = thinned(a_series(np.arange(86_400.0), rate), T0_NS, T0_NS + 86_400 * NS_PER_S, 1.0)
    assert (line.most.max(), line.least.min()) == (188.0, 31.0)
    assert len(line.mean) <= MOST_BUCKETS + 1


def test_limits_and_alarms_stand_in_the_chart_with_colour_and_shape_of_their_priority() -> None:
    now_ns = T0_NS + 3_600 * NS_PER_S
    alarms = (
        an_alarm(T0_NS + 60 * NS_PER_S),
        an_alarm(T0_NS + 90 * NS_PER_S, Priority.TECHNICAL, "!!! LEAD <b>OFF</b>"),
        an_alarm(T0_NS - 90 * NS_PER_S),
    )
    ward = Held(a_history(np.arange(3_600.0)), alarms=alarms)
    trend = read_trend(ward, MISSING, "bed-01", "ecg", "1 h", now_ns)
    assert [alarm.priority for alarm in trend.alarms] == [Priority.HIGH, Priority.TECHNICAL]
    assert [one.kind for one in trend.limits] == ["hr_high", "hr_low"]
    rate = charts(trend)[0].to_dict()
    rows = [row for data in rate["datasets"].values() for row in data]
    assert {row["text"] for row in rows if "text" in row} == {"high limit 120", "low limit 50 (alarm off)"}
    assert [row["alarm"] for row in rows if "alarm" in row] == ["*** VTACH", "!!! LEAD <b>OFF</b>"]
    marks = rate["layer"][-1]["encoding"]
    assert dict(zip(marks["color"]["scale"]["domain"], marks["color"]["scale"]["range"], strict=True)) == {
        "high": "#f03434",
        "medium": "#c58a00",
        "low": "#1c95b5",
        "technical": "#8a7fa8",
    }
    assert len(set(marks["shape"]["scale"]["range"])) == 4
    assert rate["layer"][0]["encoding"]["x"]["scale"]["type"] == "utc"


def a_vital(second: int) -> Vital:
    time_ns = T0_NS + second * NS_PER_S
    return Vital(f"v{second}", "bed-01", "ecg", time_ns, 80.0, 1.0, 0.9, True, second, 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A day but for its last hour, a number a minute, with a silence of an hour; an alarm."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    writer = StoreWriter(engine)
    vitals = [a_vital(second) for second in (*range(0, 7_200, 60), *range(10_800, 82_800, 60))]
    alarm = an_alarm(T0_NS + 4_000 * NS_PER_S)
    writer.write(Batch(vitals=vitals, alarms=[Kept(alarm, msgspec.json.encode(alarm).decode(), 0)]))
    writer.aggregate(Batch(vitals=vitals).minutes())
    with Store(url) as store:
        yield store
    engine.dispose()


def test_24_h_come_from_the_store_with_its_alarms_and_its_gaps(store: Store) -> None:
    now_ns = T0_NS + 86_400 * NS_PER_S
    ward = Held(a_history(np.arange(82_800.0, 86_400.0)))
    trend = read_trend(ward, store, "bed-01", "ecg", "24 h", now_ns)
    assert trend.problem is None
    assert len(trend.numbers.heart_rate.times_ns) == 1_320
    assert [alarm.message for alarm in trend.alarms] == ["*** VTACH"]
    line = thinned(trend.numbers.heart_rate, trend.begin_ns, trend.end_ns, trend.step_s)
    assert len(np.unique(line.piece)) == 2


def test_the_last_hour_is_put_together_of_store_and_memory(store: Store) -> None:
    now_ns = T0_NS + 84_000 * NS_PER_S
    ward = Held(a_history(np.arange(82_000.0, 84_000.0)))
    trend = read_trend(ward, store, "bed-01", "ecg", "1 h", now_ns)
    times_s = (trend.numbers.heart_rate.times_ns - T0_NS) / NS_PER_S
    assert list(times_s[times_s < 82_000]) == [float(second) for second in range(80_400, 82_000, 60)]
    assert np.all(np.diff(times_s[times_s >= 82_000]) == 1.0)


def test_a_store_that_fails_is_said_and_memory_is_shown(store: Store) -> None:
    class Broken(Store):
        def __init__(self) -> None:
            pass

        def trend(self, *arguments: object, **options: object) -> list[TrendPoint]:
            raise StoreError("sqlite:///x: disk I/O error")

    now_ns = T0_NS + 3_600 * NS_PER_S
    trend = read_trend(Held(a_history(np.arange(3_600.0))), Broken(), "bed-01", "ecg", "24 h", now_ns)
    assert trend.problem == "sqlite:///x: disk I/O error"
    assert (trend.end_ns - trend.begin_ns, trend.step_s) == (3_600 * NS_PER_S, 1)
    assert len(trend.numbers.heart_rate.times_ns) == 3_600


def a_trend(numbers: Numbers) -> Trend:
    return Trend(T0_NS, T0_NS + 3_600 * NS_PER_S, 1, numbers, (), (), None)


def test_the_age_of_the_newest_number_is_said() -> None:
    trend = a_trend(of_history(a_history(np.arange(60.0))))
    line = age_line(trend, T0_NS + 62 * NS_PER_S)
    assert line.startswith("Newest number: 2027-01-15 08:00:59 UTC, 3 s old.")
    assert "50 min old" in age_line(trend, T0_NS + 3_061 * NS_PER_S)
    assert age_line(a_trend(of_history(a_history(np.arange(0.0)))), T0_NS) == "Newest number: none."


def show(ward: object, store: object) -> AppTest:
    def script(ward, store):  # type: ignore[no-untyped-def]
        from dashboard import trends

        trends.show_trends(ward, lambda: store, "bed-01")

    return AppTest.from_function(script, args=(ward, store), default_timeout=30).run()


def test_without_a_store_the_page_shows_the_hour_and_says_how_to_get_the_day() -> None:
    begin_ns = time.time_ns() - 600 * NS_PER_S
    app = show(Held(a_history(np.arange(600.0), begin_ns=begin_ns)), MISSING)
    assert not app.exception
    assert len(app.get("vega_lite_chart")) == 3
    assert any("wardwave record" in one.value for one in app.markdown)
    app.segmented_control[0].set_value("24 h").run()
    assert not app.exception
    assert "wardwave record" in app.info[0].value
    assert len(app.get("vega_lite_chart")) == 3


def test_a_bed_without_numbers_says_so_and_several_signals_are_offered() -> None:
    app = show(Held(), MISSING)
    assert [item.value for item in app.caption][0] == "Newest number: none."
    assert "No numbers in this span." in [item.value for item in app.caption]
    begin_ns = time.time_ns() - 60 * NS_PER_S
    ecg = a_history(np.arange(60.0), begin_ns=begin_ns)
    pleth = replace(ecg, signal="pleth", heart_rate_bpm=ecg.heart_rate_bpm + 9)
    app = show(Held(ecg, pleth), MISSING)
    assert app.selectbox[0].options == ["ecg", "pleth"]
    assert not app.exception


def a_breath(second: int, rate: float | None, heard: dict[str, bool] | None = None) -> Vital:
    time_ns = T0_NS + second * NS_PER_S
    return Vital(f"b{second}", "bed-01", "lung_sound", time_ns, None, None, 1.0, True, second, 0, rate, heard)


def titles(trend: Trend) -> list[str]:
    return [chart.to_dict()["layer"][0]["encoding"]["y"]["title"] for chart in charts(trend)]


def test_breaths_a_minute_and_what_is_heard_stand_in_the_trends_of_a_bed() -> None:
    ward = Ward()
    chunk = np.zeros((4_000, 1), np.float32)
    ward.add_chunk(Chunk("bed-01", "s", SignalKind.LUNG_SOUND, ("a",), 4_000.0, T0_NS, 0, chunk))
    assert signals_of(ward, "bed-01") == ["lung_sound"]
    for second in range(180):
        judged = {"wheeze": second < 60, "crackle": False} if second % 3 == 0 else None
        ward.add_vital(a_breath(second, None if second % 2 else 16.0, judged))
    trend = read_trend(ward, MISSING, "bed-01", "lung_sound", "1 h", T0_NS + 180 * NS_PER_S)
    assert titles(trend) == ["RR (/min)", "Wheezes (%)", "Crackles (%)", "Quality (%)"]
    breaths = trend.numbers.breaths.mean
    assert (np.nanmin(breaths), np.nanmax(breaths), np.isnan(breaths).sum()) == (16.0, 16.0, 90)
    wheezes = of_minutes(trend.numbers.heard["wheeze"])
    assert wheezes.mean.tolist() == [1.0, 0.0, 0.0]
    assert np.diff(wheezes.times_ns).tolist() == [60 * NS_PER_S] * 2


def test_beats_of_heart_sounds_have_trends_of_their_own_beside_the_ecg_s() -> None:
    ecg = a_history(np.arange(60.0))
    heart = replace(ecg, signal="heart_sound", heart_rate_bpm=ecg.heart_rate_bpm + 1)
    ward = Held(heart, ecg)
    assert signals_of(ward, "bed-01") == ["ecg", "heart_sound"]
    trend = read_trend(ward, MISSING, "bed-01", "heart_sound", "1 h", T0_NS + 60 * NS_PER_S)
    assert titles(trend) == ["HR (/min)", "Murmur (%)", "Quality (%)"]
    assert trend.numbers.heart_rate.mean.max() == 73.0


def test_breaths_of_a_day_come_from_the_store(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    vitals = [
        a_breath(second, 14.0 + second % 2, {"wheeze": second % 4 == 0, "crackle": True})
        for second in range(0, 240, 2)
    ]
    writer = StoreWriter(engine)
    writer.write(Batch(vitals=vitals))
    writer.aggregate(Batch(vitals=vitals).minutes())
    with Store(url) as store:
        trend = read_trend(Held(), store, "bed-01", "lung_sound", "24 h", T0_NS + 300 * NS_PER_S)
    engine.dispose()
    assert trend.problem is None
    assert trend.numbers.breaths.mean.tolist() == [14.0] * 4
    assert of_minutes(trend.numbers.heard["wheeze"]).mean.tolist() == [0.5] * 4
    assert of_minutes(trend.numbers.heard["crackle"]).mean.tolist() == [1.0] * 4
