"""The store on SQLite and on PostgreSQL: schema, upserts, trends, retention, strips as files."""

import json
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pyedflib
import pytest
import sqlalchemy
import wfdb
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text

import wardwave
from inference.errors import StoreError
from inference.recorder_settings import RecorderSettings, load_recorder_settings
from inference.store import Store
from inference.store_engine import MIGRATIONS, connect, upgrade
from inference.store_retention import Retention
from inference.store_rows import Kept
from inference.store_schema import alarm_steps, alarms, audit, metadata, strip_signals, strips, vitals_1s
from inference.store_write import MINUTE_NS, Batch, StoreWriter
from inference.strip_export import export_edf, export_wfdb
from inference.strips import Scale, Strip, StripSignal
from inference.types import (
    Alarm,
    AlarmState,
    Audit,
    AuditChange,
    CommandOutcome,
    Delay,
    Priority,
    Verdict,
    Vital,
)
from ingest.errors import SettingsError
from ingest.types import NS_PER_S

ROOT = Path(__file__).resolve().parent.parent
T0 = 1_790_000_000 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S


def make_alarm(alarm_id: str = "bed-01:ecg:asystole:1", **changes: object) -> Alarm:
    alarm = Alarm(
        id=alarm_id,
        bed="bed-01",
        signal="ecg",
        kind="asystole",
        priority=Priority.HIGH,
        state=AlarmState.ACTIVE,
        message="*** ASYSTOLE",
        onset_ns=T0,
        raised_ns=T0 + 4 * NS_PER_S,
        emitted_ns=T0 + 5 * NS_PER_S,
        ended_ns=None,
        value=4.0,
        limit=4.0,
        unit="s",
        delay=Delay(4.0, 0.0, 1.0),
        raw_offset=100,
        revision=0,
    )
    return msgspec.structs.replace(alarm, **changes)


def kept(item: msgspec.Struct, partition: int = 0) -> Kept:
    return Kept(item, msgspec.json.encode(item).decode(), partition)


def make_audit(audit_id: str = "c1", **changes: object) -> Audit:
    line = Audit(
        id=audit_id,
        partition=0,
        bed="bed-01",
        ward=None,
        user="nurse-7",
        action="acknowledge",
        issued_ns=T0,
        applied_ns=T0 + NS_PER_S,
        outcome=CommandOutcome.APPLIED,
        detail="",
        changes=[AuditChange("state", "active", "acknowledged")],
    )
    return msgspec.structs.replace(line, **changes)


def make_vital(second: float, bpm: float | None = 80.0, **changes: object) -> Vital:
    time_ns = T0 // MINUTE_NS * MINUTE_NS + round(second * NS_PER_S)
    vital = Vital(f"v{second}", "bed-01", "ecg", time_ns, bpm, 0.0, 0.9, bpm is not None, int(second), 0)
    return msgspec.structs.replace(vital, **changes)


def make_signal(**changes: object) -> StripSignal:
    samples = np.random.default_rng(1).integers(-2000, 2000, (5001, 2)).astype(np.int16)
    samples[300:400] = -32768
    samples[450, 1] = -32768
    signal = StripSignal(
        signal="ecg",
        segment=0,
        device="monitor-7",
        channels=("II", "V1"),
        fs_hz=250.0,
        start_ns=T0 - 6 * NS_PER_S + 123_000,
        scale=Scale("mV", (200.0, 400.0), (0.0, 12.0)),
        samples=samples,
    )
    return replace(signal, **changes)


def make_strip(*signals: StripSignal, alarm_id: str = "bed-01:ecg:asystole:1") -> Strip:
    return Strip(alarm_id, T0 - 6 * NS_PER_S, T0 + 14 * NS_PER_S, True, signals or (make_signal(),))


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url, writes=True)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def store(engine: Engine, database_url: str) -> Iterator[Store]:
    with Store(database_url) as store:
        yield store


def test_the_migrations_make_what_the_code_expects(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_store_of_an_earlier_version_keeps_its_trends_and_takes_those_of_sounds(
    engine: Engine, database_url: str
) -> None:
    old = Batch(vitals=[make_vital(second) for second in range(60)])
    StoreWriter(engine).write(old)
    StoreWriter(engine).aggregate(old.minutes())
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
        assert "crackle" not in {
            one["name"] for one in sqlalchemy.inspect(connection).get_columns("vitals_1s")
        }
    with pytest.raises(StoreError, match=r"schema 0002.*run 'wardwave record' once"):
        Store(database_url)
    upgrade(engine)
    later = Batch(vitals=[make_vital(60, None, signal="lung_sound", respiratory_rate_bpm=18.0)])
    StoreWriter(engine).write(later)
    StoreWriter(engine).aggregate(later.minutes())
    with Store(database_url) as store:
        (before,) = store.trend("bed-01", "ecg", step_s=60)
        (after,) = store.trend("bed-01", "lung_sound", step_s=60)
    assert (before.heart_rate_bpm, before.n, before.respiratory_rate_bpm, before.crackle) == (
        80.0,
        60,
        None,
        None,
    )
    assert (after.respiratory_rate_bpm, after.heart_rate_bpm) == (18.0, None)


def test_the_migrations_are_part_of_the_package() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in patterns["inference"] for path in (ROOT / "inference").glob(pattern)}
    assert set(MIGRATIONS.rglob("*.py")) <= packed


def test_a_database_newer_than_the_code_is_refused(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"schema 9999, which is newer .* update Wardwave"):
        upgrade(engine)
    with pytest.raises(StoreError, match="schema 9999"):
        Store(database_url)


def test_two_recorders_that_start_at_once_make_one_schema(database_url: str) -> None:
    code = (
        "import sys; from inference.store_engine import MIGRATIONS, connect, upgrade; "
        "upgrade(connect(sys.argv[1], writes=True))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, database_url], cwd=ROOT) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    Store(database_url).close()


def test_a_store_that_nobody_made_is_named_without_its_password(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(StoreError, match=r"absent\.sqlite: no such file; 'wardwave record' makes it"):
        Store(f"sqlite:///{tmp_path / 'absent.sqlite'}")
    with pytest.raises(StoreError) as caught:
        Store("postgresql://ward:geheim@127.0.0.1:1/ward")
    assert "geheim" not in str(caught.value)
    assert "ward:***@127.0.0.1:1/ward" in str(caught.value)
    with pytest.raises(StoreError, match="mysql is not supported; use sqlite or postgresql"):
        Store("mysql://ward:geheim@127.0.0.1/ward")
    for wrong in ("geheim", "postgresql://ward:geheim@127.0.0.1:port/ward"):
        with pytest.raises(StoreError, match="cannot be read; give sqlite:///FILE or") as caught:
            Store(wrong)
        assert "geheim" not in str(caught.value)
    empty = request.getfixturevalue("postgres_url")
    with pytest.raises(StoreError, match="has schema none, this version of Wardwave reads"):
        Store(empty)


def test_a_wrong_setting_is_named_and_a_url_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_RECORDER__ALARMS_DAYS", "0")
    monkeypatch.setenv("WARDWAVE_RECORDER__ULR", "postgresql://ward:geheim@host/ward")
    with pytest.raises(SettingsError) as caught:
        load_recorder_settings()
    assert "WARDWAVE_RECORDER__ALARMS_DAYS='0'" in str(caught.value)
    assert "WARDWAVE_RECORDER__ULR=***" in str(caught.value)
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(RecorderSettings(url="postgresql://ward:geheim@host/ward"))


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_RECORDER__URL", "sqlite:///a.sqlite")
    monkeypatch.setenv("WARDWAVE_RECORDER__AUDIT_DAYS", "")
    found = load_recorder_settings()
    assert found.url.get_secret_value() == "sqlite:///a.sqlite"
    assert found.audit_days is None
    assert load_recorder_settings("sqlite:///b.sqlite").url.get_secret_value() == "sqlite:///b.sqlite"


def test_an_alarm_is_read_as_its_newest_step_and_with_its_whole_life(engine: Engine, store: Store) -> None:
    first = make_alarm()
    acknowledged = make_alarm(
        state=AlarmState.ACKNOWLEDGED, acknowledged_by="nurse-7", acknowledged_ns=T0 + 9, revision=1
    )
    ended = make_alarm(state=AlarmState.ENDED, ended_ns=T0 + 60 * NS_PER_S, raw_offset=160, revision=0)
    writer = StoreWriter(engine)
    writer.write(Batch(alarms=[kept(ended), kept(first)]))
    writer.write(Batch(alarms=[kept(acknowledged), kept(first)]))
    (found,) = store.alarms()
    assert found.alarm == ended
    assert found.strip_complete is None
    assert store.life(first.id) == [first, acknowledged, ended]
    assert store.life("nothing") == []
    assert store.alarm("nothing") is None


def test_threads_share_a_store(engine: Engine, store: Store) -> None:
    StoreWriter(engine).write(Batch(alarms=[kept(make_alarm())]))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: len(store.alarms()), range(40)))
    assert found == [1] * 40


def test_fields_of_a_later_version_are_kept(engine: Engine, store: Store) -> None:
    record = json.loads(msgspec.json.encode(make_alarm())) | {"mood": {"of": "nurse", "n": [1, 2]}}
    alarm = msgspec.json.decode(json.dumps(record), type=Alarm)
    StoreWriter(engine).write(Batch(alarms=[Kept(alarm, json.dumps(record), 0)]))
    (found,) = store.alarms()
    assert json.loads(found.record)["mood"] == {"of": "nurse", "n": [1, 2]}


def test_alarms_are_found_by_bed_kind_priority_and_time(engine: Engine, store: Store) -> None:
    made = [
        make_alarm("a", raised_ns=T0 + 1),
        make_alarm("b", raised_ns=T0 + 2, bed="bed-02"),
        make_alarm("c", raised_ns=T0 + 3, kind="af_onset", priority=Priority.LOW),
    ]
    StoreWriter(engine).write(Batch(alarms=[kept(alarm) for alarm in made]))

    def ids(**asked: object) -> list[str]:
        return [found.alarm.id for found in store.alarms(**asked)]

    assert ids() == ["c", "b", "a"]
    assert ids(bed="bed-01") == ["c", "a"]
    assert ids(kind="asystole") == ["b", "a"]
    assert ids(priority=Priority.LOW) == ["c"]
    assert ids(since_ns=T0 + 2, until_ns=T0 + 3) == ["b"]
    assert ids(limit=1) == ["c"]


def test_the_audit_trail_is_never_rewritten(engine: Engine, store: Store) -> None:
    writer = StoreWriter(engine)
    writer.write(Batch(audit=[kept(make_audit()), kept(make_audit(partition=1)), kept(make_audit("c2"))]))
    writer.write(Batch(audit=[kept(make_audit(detail="something else"))]))
    assert store.audit() == [make_audit(), make_audit(partition=1), make_audit("c2")]
    assert store.audit(bed="bed-09") == []
    assert store.audit(until_ns=T0) == []


def test_a_verdict_is_read_back(engine: Engine, store: Store) -> None:
    verdict = Verdict("d1", "bed-01", "monitor-7", "vt", T0, False, 0.1, 0.4, ["PLETH beats on"], "", "m", T0)
    later = msgspec.structs.replace(verdict, stands=True, emitted_ns=T0 + 1)
    writer = StoreWriter(engine)
    writer.write(Batch(verdicts=[kept(later)]))
    writer.write(Batch(verdicts=[kept(verdict)]))
    assert store.verdicts(bed="bed-01") == [later]


def test_a_verdict_that_was_judged_stays_when_the_alarm_comes_again_and_is_not(
    engine: Engine, store: Store
) -> None:
    """Sent again 90 s later, it no longer finds its signals; in whatever order the two are written."""
    judged = Verdict("d1", "bed-01", "monitor-7", "vt", T0, False, 0.1, 0.4, ["PLETH beats on"], "", "m", T0)
    gone = msgspec.structs.replace(
        judged, stands=None, probability=None, threshold=None, reasons=[], emitted_ns=T0 + 1
    )
    writer = StoreWriter(engine)
    for first, second in ((judged, gone), (gone, judged)):
        id_ = f"{first.stands}"
        for one in (first, second):
            writer.write(Batch(verdicts=[kept(msgspec.structs.replace(one, id=id_))]))
    writer.write(Batch(verdicts=[kept(judged), kept(gone)]))
    assert [one.stands for one in store.verdicts()] == [False] * 3


def test_a_verdict_is_not_that_of_another_alarm_with_the_same_id(engine: Engine, store: Store) -> None:
    """A device whose numbers began anew: "probably false" must not stand for what nobody has judged."""
    judged = Verdict("d1", "bed-01", "monitor-7", "vt", T0, False, 0.1, 0.4, ["PLETH beats on"], "", "m", T0)
    other = msgspec.structs.replace(
        judged, time_ns=T0 + DAY_NS, stands=None, probability=None, threshold=None, emitted_ns=T0 + DAY_NS
    )
    writer = StoreWriter(engine)
    writer.write(Batch(verdicts=[kept(judged)]))
    writer.write(Batch(verdicts=[kept(other)]))
    writer.write(Batch(verdicts=[kept(judged)]))
    assert store.verdicts() == [other]


def test_a_trend_has_seconds_and_minutes(engine: Engine, store: Store) -> None:
    vitals = [make_vital(second, None if second % 60 < 15 else 60.0 + second) for second in range(90)]
    batch = Batch(vitals=vitals)
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())
    seconds = store.trend("bed-01", "ecg")
    assert [point.heart_rate_bpm for point in seconds] == [vital.heart_rate_bpm for vital in vitals]
    minutes = store.trend("bed-01", "ecg", step_s=60)
    assert [point.n for point in minutes] == [60, 30]
    first = minutes[0]
    assert first.heart_rate_bpm == pytest.approx(np.mean(np.arange(75.0, 120.0)))
    assert (first.heart_rate_least_bpm, first.heart_rate_most_bpm) == (75.0, 119.0)
    assert first.usable == pytest.approx(0.75)
    assert first.quality == pytest.approx(0.9)
    since = store.trend("bed-01", "ecg", since_ns=minutes[1].time_ns, step_s=60)
    assert since == minutes[1:]
    assert store.trend("bed-02", "ecg") == []


def test_a_trend_of_lung_sounds_has_breaths_and_the_share_of_pieces_with_crackles(
    engine: Engine, store: Store
) -> None:
    def lung(second: int) -> Vital:
        judged = {"crackle": second % 12 == 0, "wheeze": False, "rub": True} if second % 3 == 0 else None
        return make_vital(
            second, None, signal="lung_sound", respiratory_rate_bpm=12.0 + second % 4, heard=judged
        )

    batch = Batch(
        vitals=[lung(second) for second in range(60)] + [make_vital(second) for second in range(60)]
    )
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())
    seconds = store.trend("bed-01", "lung_sound")
    assert [point.crackle for point in seconds[:5]] == [1.0, None, None, 0.0, None]
    assert [point.respiratory_rate_bpm for point in seconds[:4]] == [12.0, 13.0, 14.0, 15.0]
    (minute,) = store.trend("bed-01", "lung_sound", step_s=60)
    assert (minute.crackle, minute.wheeze, minute.murmur) == (0.25, 0.0, None)
    assert minute.respiratory_rate_bpm == pytest.approx(13.5)
    assert (minute.respiratory_rate_least_bpm, minute.respiratory_rate_most_bpm) == (12.0, 15.0)
    assert minute.heart_rate_bpm is None
    (ecg,) = store.trend("bed-01", "ecg", step_s=60)
    assert (ecg.heart_rate_bpm, ecg.respiratory_rate_bpm, ecg.crackle) == (80.0, None, None)


def test_the_heart_rates_of_ecg_and_of_heart_sounds_are_two(engine: Engine, store: Store) -> None:
    batch = Batch(
        vitals=[make_vital(0, 80.0), make_vital(0, 40.0, signal="heart_sound", heard={"murmur": True})]
    )
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())
    for step_s in (1, 60):
        (ecg,) = store.trend("bed-01", "ecg", step_s=step_s)
        (heart,) = store.trend("bed-01", "heart_sound", step_s=step_s)
        assert (ecg.heart_rate_bpm, ecg.murmur) == (80.0, None)
        assert (heart.heart_rate_bpm, heart.murmur) == (40.0, 1.0)


def test_a_minute_whose_seconds_are_gone_stays_as_it_was(engine: Engine, store: Store) -> None:
    batch = Batch(vitals=[make_vital(second) for second in range(60)])
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())
    before = store.trend("bed-01", "ecg", step_s=60)
    with engine.begin() as connection:
        connection.execute(vitals_1s.delete())
    late = Batch(vitals=[make_vital(30, 200.0)])
    writer.write(late)
    writer.aggregate(late.minutes())
    assert store.trend("bed-01", "ecg", step_s=60) == before


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = connect(f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.sqlite'}", writes=True)
    upgrade(engine)
    yield engine
    engine.dispose()


steps = st.builds(
    make_alarm,
    alarm_id=st.sampled_from(["a", "b"]),
    state=st.sampled_from(AlarmState),
    raw_offset=st.integers(0, 3),
    revision=st.integers(0, 3),
    emitted_ns=st.integers(0, 2),
)


def unlike(items: list[Alarm]) -> list[Alarm]:
    """Of one step made at one time there is one content."""
    return list({(a.id, a.raw_offset, a.revision, a.emitted_ns): a for a in items}.values())


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    made=st.lists(steps, min_size=1, max_size=12).map(unlike),
    vitals=st.lists(
        st.builds(
            lambda second, offset: make_vital(second, 40.0 + 7 * offset, raw_offset=offset),
            st.integers(0, 130),
            st.integers(0, 3),
        ),
        max_size=12,
    ),
    data=st.data(),
)
def test_records_that_come_twice_and_in_any_order_give_the_same(
    scratch: Engine, made: list[Alarm], vitals: list[Vital], data: st.DataObject
) -> None:
    everything = [*made, *vitals]
    twice = data.draw(st.permutations(everything + everything))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(twice)), max_size=4)))
    expected = contents(scratch, [everything])
    parts = [twice[a:b] for a, b in zip([0, *cuts], [*cuts, len(twice)], strict=True)]
    assert contents(scratch, parts) == expected
    newest = max((a for a in made if a.id == made[0].id), key=lambda a: (a.raw_offset, a.revision))
    (row,) = [row for row in expected["alarms"] if row[0] == newest.id]
    assert (newest.raw_offset, newest.revision) == (row.raw_offset, row.revision)


def contents(engine: Engine, parts: list[list[Alarm | Vital]]) -> dict[str, list[sqlalchemy.Row]]:
    """All tables after these batches, each in a transaction of its own."""
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    writer = StoreWriter(engine)
    for part in parts:
        batch = Batch(
            alarms=[kept(item) for item in part if isinstance(item, Alarm)],
            vitals=[item for item in part if isinstance(item, Vital)],
        )
        writer.write(batch)
        writer.aggregate(batch.minutes())
    with engine.connect() as connection:
        return {
            name: list(connection.execute(select(table).order_by(*table.primary_key)))
            for name, table in metadata.tables.items()
        }


def test_old_rows_go_and_a_lasting_alarm_and_the_audit_trail_stay(engine: Engine, store: Store) -> None:
    old, new = T0 - 400 * DAY_NS, T0 - DAY_NS
    batch = Batch(
        alarms=[
            kept(make_alarm("old", emitted_ns=old, state=AlarmState.ENDED)),
            kept(make_alarm("lasting", emitted_ns=old)),
            kept(make_alarm("new", emitted_ns=new, state=AlarmState.ENDED)),
        ],
        audit=[kept(make_audit("old", applied_ns=old)), kept(make_audit("new", applied_ns=new))],
        vitals=[make_vital(0, time_ns=T0 - days * DAY_NS) for days in (1, 10, 100)],
        strips=[make_strip(alarm_id="old"), make_strip(alarm_id="new")],
    )
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())

    def delete(options: RecorderSettings) -> None:
        round_ = Retention(engine, options, T0)
        while round_.step() is not None:
            pass

    delete(RecorderSettings())
    assert {found.alarm.id for found in store.alarms()} == {"lasting", "new"}
    assert len(store.trend("bed-01", "ecg")) == 1
    assert len(store.trend("bed-01", "ecg", step_s=60)) == 2
    assert len(store.audit()) == 2
    assert store.strip_of("old") is None
    assert store.with_strip() == ["new"]
    with engine.connect() as connection:
        for table, n_rows in ((alarm_steps, 2), (strip_signals, 1)):
            assert connection.scalar(select(func.count()).select_from(table)) == n_rows
    delete(RecorderSettings(audit_days=30))
    assert [line.id for line in store.audit()] == ["new"]


def test_deleting_goes_on_in_slices(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.store_retention.SLICE", 4)
    StoreWriter(engine).write(Batch(vitals=[make_vital(second) for second in range(10)]))
    round_ = Retention(engine, RecorderSettings(), T0 + 10 * DAY_NS)
    deleted = []
    while (n_rows := round_.step()) is not None:
        deleted.append(n_rows)
    assert deleted[:3] == [4, 4, 2]


def test_a_strip_is_read_back_to_the_sample(engine: Engine, store: Store) -> None:
    physical = make_signal(
        signal="resp",
        scale=Scale("au", (), ()),
        channels=("RESP",),
        samples=np.array([[0.5], [np.nan], [-1.25]], dtype=np.float32),
    )
    strip = make_strip(make_signal(), make_signal(segment=1, fs_hz=62.5), physical)
    StoreWriter(engine).write(Batch(alarms=[kept(make_alarm())], strips=[strip]))
    found = store.strip_of(strip.alarm_id)
    assert found is not None
    assert (found.start_ns, found.end_ns, found.complete) == (strip.start_ns, strip.end_ns, True)
    for one, other in zip(found.signals, strip.signals, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)
        assert replace(one, samples=other.samples) == other
    assert np.isnan(found.signals[0].physical()[300]).all()
    assert store.alarms()[0].strip_complete is True


def test_a_strip_is_written_once(engine: Engine, store: Store) -> None:
    writer = StoreWriter(engine)
    writer.write(Batch(alarms=[kept(make_alarm())], strips=[make_strip()]))
    writer.write(Batch(strips=[make_strip(make_signal(signal="pleth"))]))
    found = store.strip_of("bed-01:ecg:asystole:1")
    assert found is not None
    assert [signal.signal for signal in found.signals] == ["ecg"]
    assert writer.with_strip(["bed-01:ecg:asystole:1", "other"]) == {"bed-01:ecg:asystole:1"}


def test_alarms_without_a_strip_are_found_with_their_first_offset(engine: Engine) -> None:
    writer = StoreWriter(engine)
    later = make_alarm("b", raw_offset=500, state=AlarmState.ENDED)
    writer.write(
        Batch(
            alarms=[kept(make_alarm("a")), kept(make_alarm("b")), kept(later), kept(make_alarm("c"), 3)],
            strips=[make_strip(alarm_id="a")],
        )
    )
    (found,) = writer.without_strip(0, T0)
    assert (found.alarm_id, found.raw_offset) == ("b", 100)
    assert writer.without_strip(0, T0 + DAY_NS) == []


def test_a_half_written_batch_leaves_nothing(engine: Engine, store: Store) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        StoreWriter(engine).write(
            Batch(alarms=[kept(make_alarm())], strips=[make_strip(alarm_id="of no alarm")])
        )
    assert store.alarms() == []


def test_a_reader_is_not_stopped_by_a_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    with Store(url) as store, engine.begin() as connection:
        connection.execute(audit.insert(), {**dict.fromkeys(audit.c.keys(), ""), "partition": 0})
        assert store.audit() == []
    engine.dispose()
    with sqlite3.connect(tmp_path / "store.sqlite") as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()


def test_a_strip_as_wfdb_has_the_same_samples(tmp_path: Path) -> None:
    signal = make_signal()
    (header,) = export_wfdb(make_alarm(), make_strip(signal), tmp_path)
    record = wfdb.rdrecord(str(header.with_suffix("")), physical=False, return_res=16)
    np.testing.assert_array_equal(record.d_signal, signal.samples)
    assert (record.fs, record.sig_name, record.units) == (250, ["II", "V1"], ["mV", "mV"])
    assert (record.adc_gain, record.baseline) == ([200.0, 400.0], [0, 12])
    assert record.base_datetime.timestamp() > 0
    assert any("no medical device" in line for line in record.comments)
    assert any(make_alarm().id in line for line in record.comments)
    marks = wfdb.rdann(str(header.with_suffix("")), "atr")
    assert marks.sample.tolist() == [1500, 2500]
    assert [note.rstrip("\0") for note in marks.aux_note] == ["onset asystole", "raised high: *** ASYSTOLE"]
    physical = wfdb.rdrecord(str(header.with_suffix(""))).p_signal
    np.testing.assert_allclose(physical, signal.physical(), atol=1e-9)


@pytest.mark.parametrize("scale", [Scale("mV", (200.0, 400.0), (0.25, 0.5)), Scale("au", (), ())])
def test_a_zero_between_steps_or_physical_values_survive_wfdb(tmp_path: Path, scale: Scale) -> None:
    samples = make_signal().samples if scale.gain else make_signal().physical().astype(np.float32)
    signal = make_signal(scale=scale, samples=samples)
    (header,) = export_wfdb(make_alarm(), make_strip(signal), tmp_path)
    physical = wfdb.rdrecord(str(header.with_suffix(""))).p_signal
    np.testing.assert_allclose(physical, signal.physical(), atol=1e-7)


def test_channels_whose_names_the_formats_do_not_take_stay_apart(tmp_path: Path) -> None:
    signal = make_signal(channels=("Brustwand Ableitung Ä", "Brustwand Ableitung Ö"))
    (header,) = export_wfdb(make_alarm(), make_strip(signal), tmp_path)
    assert len(set(wfdb.rdheader(str(header.with_suffix(""))).sig_name)) == 2
    (path,) = export_edf(make_alarm(), make_strip(signal), tmp_path)
    with pyedflib.EdfReader(str(path)) as reader:
        assert len(set(reader.getSignalLabels())) == 2


@pytest.mark.parametrize("fs_hz", [250.0, 62.5, 360.5, 1.0])
def test_a_strip_as_edf_has_the_same_samples(tmp_path: Path, fs_hz: float) -> None:
    signal = make_signal(fs_hz=fs_hz)
    (path,) = export_edf(make_alarm(), make_strip(signal), tmp_path)
    with pyedflib.EdfReader(str(path)) as reader:
        for i in range(2):
            digital = reader.readSignal(i, digital=True)
            np.testing.assert_array_equal(digital[:5001], signal.samples[:, i])
            assert (digital[5001:] == -32768).all()
            assert reader.getSampleFrequency(i) == pytest.approx(fs_hz, rel=1e-5)
            found = reader.readSignal(i)[:5001]
        known = ~signal.missing[:, 1]
        np.testing.assert_allclose(found[known], signal.physical()[known, 1], atol=2e-4)
        assert reader.getSignalLabels() == ["II", "V1"]
        times, _, texts = reader.readAnnotations()
    notes = dict(zip(texts, times, strict=True))
    assert notes["onset asystole"] == pytest.approx(6.0, abs=1e-3)
    assert notes["raised high: *** ASYSTOLE"] == pytest.approx(10.0, abs=1e-3)
    assert any("no medical device" in note for note in notes)
    assert any(note == "missing" for note in texts)


def test_the_command_lists_and_exports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    strange = make_alarm("Bett 3/ü:ecg:vt:1")
    StoreWriter(engine).write(
        Batch(
            alarms=[kept(make_alarm()), kept(strange), kept(make_alarm("bare"))],
            strips=[make_strip(), make_strip(make_signal(device="Ü"), alarm_id=strange.id)],
        )
    )
    engine.dispose()
    assert wardwave.main(["strips", "list", "--url", url]) == 0
    listed = capsys.readouterr()
    assert len(listed.out.splitlines()) == 3
    out = str(tmp_path / "out")
    assert wardwave.main(["strips", "export", "--all", "--format", "edf", "--out", out, "--url", url]) == 0
    files = capsys.readouterr().out.splitlines()
    assert len(set(files)) == 2
    assert all(Path(line).is_file() for line in files)
    for alarm_id, words in (("bare", "has no waveforms"), ("nothing", "is not there")):
        assert wardwave.main(["strips", "export", alarm_id, "--out", out, "--url", url]) == 2
        assert words in capsys.readouterr().err


def test_no_table_or_column_is_for_names_of_patients() -> None:
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    assert not {name for name in columns if "patient" in name}
    assert {column.name for column in alarms.c if "user" in column.name} == set()
    assert "complete" in strips.c
