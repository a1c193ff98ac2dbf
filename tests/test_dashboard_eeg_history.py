"""The last day of a bed's EEG: what its page is told of the store, and alarms as spans of time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from dashboard.eeg_feed import EegSession, build_eeg_feed
from dashboard.eeg_headers import EegFeed
from dashboard.eeg_history import MINUTE_NAMES, EegPast, Episode, read_day
from dashboard.shared import Missing
from dashboard.ward import Ward
from inference.errors import StoreError
from inference.store import Store
from inference.store_engine import connect, upgrade
from inference.store_rows import Kept
from inference.store_write import Batch, StoreWriter
from inference.types import Alarm, AlarmState, Bed, Delay, EegSide, EegTrends, Priority, Vital
from ingest.types import NS_PER_S
from tests.browsing import until

T0_S = 1_790_000_040.0  # a whole minute
NOW_S = T0_S + 3_600.0


def vital(second: float, low_uv: float) -> Vital:
    side = EegSide(low_uv, 20.0, 12.0, 80.0, None, 40.0, 9.0, 0.5, 0.0)
    trends = EegTrends(side, side, side, 0.25, 0.1, 18, 18)
    time_ns = round((T0_S + second) * NS_PER_S)
    return Vital(f"v{second}", "bed", "eeg", time_ns, None, None, 1.0, True, 0, 0, eeg=trends)


def alarm(name: str, onset_s: float, ended_s: float | None = None, **changes: object) -> Alarm:
    onset_ns = round((T0_S + onset_s) * NS_PER_S)
    ended_ns = None if ended_s is None else round((T0_S + ended_s) * NS_PER_S)
    state = AlarmState.ACTIVE if ended_s is None else AlarmState.ENDED
    made = Alarm(
        name, "bed", "eeg", "burst_suppression", Priority.MEDIUM, state, "** BURST <b>SUPPRESSION</b>",
        onset_ns, onset_ns + 20 * NS_PER_S, onset_ns, ended_ns, None, None, None, Delay(0, 0, 0), 1, 0,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


def status(admitted_s: float) -> Bed:
    admitted_ns = round((T0_S + admitted_s) * NS_PER_S)
    return Bed(
        "bed", "ICU", f"stay{admitted_s}", True, admitted_ns, "adult", False, None, None, None, None, [], 1,
        admitted_ns,
    )  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", writes=True)
    upgrade(engine)
    yield engine
    engine.dispose()


def write(engine: Engine, vitals: list[Vital], alarms: list[Alarm] | None = None) -> None:
    batch = Batch(
        vitals=vitals,
        alarms=[Kept(one, msgspec.json.encode(one).decode(), 0) for one in alarms or []],
    )
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())


@dataclass
class Page:
    """Holds what component/eeg_past.js does, the plain way."""

    ward: Ward
    read_store: Callable[[], Store | Missing]
    now_s: float = NOW_S
    minutes: dict[float, np.ndarray] = field(default_factory=dict)
    episodes: list[Episode] = field(default_factory=list)
    problem: str = ""
    whole: bool = True

    def __post_init__(self) -> None:
        past = EegPast("bed", self.read_store, lambda: self.now_s)
        self.session = EegSession("v", "bed", past=past)

    def take(self, skipped: bool = False) -> EegFeed:
        feed = build_eeg_feed(self.ward, self.session)
        length = int.from_bytes(feed[:4], "little")
        header = msgspec.json.decode(feed[4 : 4 + length], type=EegFeed)
        if skipped:
            return header
        if header.alarms is not None:
            self.episodes = header.alarms
        told = header.minutes
        if told is None:
            return header
        if told.after_s is None:
            self.minutes = {}
        elif told.after_s not in self.minutes:
            self.whole = False
            return header
        size = len(MINUTE_NAMES)
        body = feed[len(feed) - told.count * (8 + 4 * size) :]
        times = np.frombuffer(body[: 8 * told.count], "<f8")
        values = np.frombuffer(body[8 * told.count :], "<f4").reshape(-1, size)
        self.minutes |= dict(zip(times.tolist(), values, strict=True))
        self.problem = told.problem
        return header

    def take_until(self, what: str, true: Callable[[], bool]) -> None:
        def took() -> bool:
            self.take()
            return true()

        until(what, took, 10)

    def value(self, minute: int, name: str) -> float:
        return float(self.minutes[T0_S + 60 * minute][MINUTE_NAMES.index(name)])


@pytest.fixture
def store(engine: Engine) -> Iterator[Store]:
    with Store(engine.url.render_as_string(hide_password=False)) as store:
        yield store


def test_a_page_after_a_restart_has_the_stored_day_with_its_gaps(engine: Engine, store: Store) -> None:
    seconds = [*range(120), *range(300, 330)]
    write(engine, [vital(second, float(second < 60)) for second in seconds])
    page = Page(Ward(), lambda: store)
    page.take_until("the store is read", lambda: bool(page.minutes))
    assert list(page.minutes) == [T0_S, T0_S + 60, T0_S + 300]
    assert [page.value(minute, "n") for minute in (0, 1, 5)] == [60, 60, 30]
    assert [page.value(minute, "aeeg_low_uv_left") for minute in (0, 1)] == [1.0, 0.0]
    assert page.value(5, "delta_uv2_right") == 80.0
    assert math.isnan(page.value(5, "theta_uv2_left"))
    assert page.problem == ""


def test_later_only_what_is_new_is_told_and_a_page_that_missed_it_notices(
    engine: Engine, store: Store
) -> None:
    write(engine, [vital(second, 1.0) for second in range(0, 600, 2)])
    page = Page(Ward(), lambda: store)
    page.take_until("the store is read", lambda: len(page.minutes) == 10)
    assert page.take().minutes is not None
    assert page.take().minutes is None
    write(engine, [vital(second, 3.0) for second in range(598, 660)])
    page.now_s += 60
    told: list[int] = []

    def renewed() -> bool:
        minutes = page.take().minutes
        told.extend([minutes.count] if minutes else [])
        return len(page.minutes) == 11

    until("the store is read again", renewed, 10)
    assert max(told) == 4
    assert page.value(9, "n") == 31
    page.take()
    for minute in (660, 720):
        write(engine, [vital(minute + second, 3.0) for second in range(60)])
        page.now_s += 60
        skipped = 0
        while skipped < 2:
            skipped += page.take(skipped=True).minutes is not None
    write(engine, [vital(780, 3.0)])
    page.now_s += 60
    page.take_until("it notices", lambda: not page.whole)
    page.session.wholes_left = 1
    page.take()
    assert len(page.minutes) == 14


def test_a_day_of_very_many_ecg_alarms_does_not_crowd_out_those_of_the_eeg(
    engine: Engine, store: Store
) -> None:
    noisy = [alarm(f"ecg {at}", 1_000 + at, 1_001 + at, signal="ecg", kind="noise") for at in range(1_100)]
    write(engine, [], [alarm("old", 10, 40), *noisy])
    assert [one.id for one in read_day(store, "bed", 0).alarms] == ["old"]


def test_a_new_patient_inherits_no_minutes_and_no_alarms(engine: Engine, store: Store) -> None:
    write(engine, [vital(second, 1.0) for second in range(0, 600, 10)], [alarm("a", 100, 200)])
    ward = Ward()
    ward.add_bed(status(-60.0))
    page = Page(ward, lambda: store)
    page.take_until("the store is read", lambda: len(page.minutes) == 10 and len(page.episodes) == 1)
    ward.add_bed(msgspec.structs.replace(status(330.0), revision=2))
    page.take()
    # The store may have answered already.
    assert all(minute >= T0_S + 360 for minute in page.minutes)
    assert page.episodes == []
    page.take_until("the store is read", lambda: len(page.minutes) == 4)
    assert min(page.minutes) == T0_S + 360
    assert page.episodes == []


def test_a_store_that_is_not_there_is_said_and_what_was_read_stays(engine: Engine, store: Store) -> None:
    class Failing(Store):
        def __init__(self) -> None:
            pass

        def eeg_trend(self, *arguments: object, **options: object) -> list[object]:  # type: ignore[override]
            raise StoreError("sqlite:///x: disk I/O error")

    write(engine, [vital(second, 1.0) for second in range(0, 600, 10)])
    stores: list[Store | Missing] = [Missing("no store: run 'wardwave record'")]
    page = Page(Ward(), lambda: stores[-1])
    page.take()
    assert page.problem == "no store: run 'wardwave record'"
    stores.append(store)
    page.now_s += 10
    page.take_until("the store is read", lambda: len(page.minutes) == 10)
    assert page.problem == ""
    stores.append(Failing())
    page.now_s += 60
    page.take_until("the fault is said", lambda: page.problem == "sqlite:///x: disk I/O error")
    assert len(page.minutes) == 10


def test_a_page_never_waits_for_the_store(engine: Engine, store: Store) -> None:
    class Slow(Store):
        def __init__(self) -> None:
            pass

        def eeg_trend(self, *arguments: object, **options: object) -> list[object]:  # type: ignore[override]
            until("the feeds were built", lambda: built, 10)
            return []

        def alarms(self, **options: object) -> list[object]:  # type: ignore[override]
            return []

    built: list[EegFeed] = []
    slow = Slow()
    page = Page(Ward(), lambda: slow)
    header = page.take()
    assert header.minutes is not None
    assert header.minutes.count == 0
    built.append(header)


def test_alarms_are_spans_that_end_where_they_did_and_go_on_while_they_stand(
    engine: Engine, store: Store
) -> None:
    stored = [
        alarm("over", 100, 200),
        alarm("lost", 300),
        alarm("live", 500),
        alarm("ecg", 100, 200, signal="ecg"),
        alarm("strange", 400, 410, kind="of_a_later_version_of_it", priority=Priority.TECHNICAL),
    ]
    write(engine, [], stored)
    ward = Ward()
    ward.add_alarm(alarm("live", 500))
    ward.add_alarm(alarm("new", 700, kind="lead_off", message="! ELECTRODE OFF: T7"))
    page = Page(ward, lambda: store)
    page.take_until("the store is read", lambda: len(page.episodes) == 5)
    spans = [(one.start_s - T0_S, one.end_s and one.end_s - T0_S, one.kind) for one in page.episodes]
    assert spans == [
        (100, 200, "Burst suppression"),
        (300, 320, "Burst suppression"),
        (400, 410, "of a later version"),
        (500, None, "Burst suppression"),
        (700, None, "Electrode off"),
    ]
    assert page.episodes[0].text == "** BURST <b>SUPPRESSION</b>"
    assert page.episodes[1].text.endswith("(end unknown)")
    assert page.episodes[2].priority == "technical"
    page.take()
    assert page.take().alarms is None
    ward.add_alarm(alarm("live", 500, 800, revision=5))
    header = page.take()
    assert header.alarms is not None
    assert page.episodes[3].end_s == T0_S + 800


def test_a_latched_alarm_ends_where_its_condition_did() -> None:
    ward = Ward()
    ward.add_alarm(alarm("held", 10, 40, state=AlarmState.LATCHED))
    page = Page(ward, lambda: Missing(""), now_s=time.time())
    page.take()
    assert [one.end_s for one in page.episodes] == [T0_S + 40]


def test_a_bed_that_sends_no_eeg_now_shows_its_stored_day(engine: Engine, store: Store) -> None:
    def script(ward, read_store):  # type: ignore[no-untyped-def]
        from dashboard import eeg_pane

        eeg_pane.show_eeg(ward, "bed", read_store)

    def read() -> Store:
        return store

    def captions(read_store: Callable[[], Store | Missing]) -> list[str]:
        app = AppTest.from_function(script, args=(Ward(), read_store), default_timeout=30).run()
        assert not app.exception
        return [item.value for item in app.caption]

    assert captions(lambda: Missing("there is none")) == ["This bed sends no EEG."]
    now_s = time.time()
    write(engine, [vital(now_s - T0_S - 600 + second, 1.0) for second in range(60)])
    until("the page comes", lambda: captions(read) == [], 10)
