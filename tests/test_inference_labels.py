"""Labels of alarms on SQLite and PostgreSQL: migration, history, filters, retention, export to train on."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import wfdb
from alembic import command
from sqlalchemy import Engine, text

import wardwave
from inference.errors import StoreError
from inference.labels_export import export_labels
from inference.recorder_settings import RecorderSettings
from inference.store import Store
from inference.store_engine import MIGRATIONS, connect, upgrade
from inference.store_labels import Label, LabelWriter
from inference.store_query import AlarmFilter
from inference.store_retention import DAY_NS, Retention
from inference.store_rows import Kept
from inference.store_write import Batch, StoreWriter
from inference.strip_beats import BeatFinder
from inference.strips import Scale, Strip, StripSignal
from inference.types import Alarm, AlarmState, Delay, Priority
from ingest.conditioning import ECG
from ingest.simulate import Ward
from ingest.types import MISSING_INT16, NS_PER_S, SignalKind
from training.config import FolderConfig
from training.folder_source import open_folder, read_own

T0 = 1_790_000_000 * NS_PER_S
HOSTILE = '=HYPERLINK("http://e","x")<script>alert(1)</script>'


def make_alarm(number: int = 1, **changes: object) -> Alarm:
    onset_ns = T0 + number * 60 * NS_PER_S
    alarm = Alarm(
        id=f"bed-01:ecg:vf:{number}",
        bed="bed-01",
        signal="ecg",
        kind="vf",
        priority=Priority.HIGH,
        state=AlarmState.ENDED,
        message="*** VENT FIB",
        onset_ns=onset_ns,
        raised_ns=onset_ns + 4 * NS_PER_S,
        emitted_ns=onset_ns + 5 * NS_PER_S,
        ended_ns=onset_ns + 8 * NS_PER_S,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(4.0, 0.0, 1.0),
        raw_offset=number,
        revision=0,
    )
    return msgspec.structs.replace(alarm, **changes)


def make_strip(alarm: Alarm, *, beds_event: str = "") -> Strip:
    """24 s of simulated two-lead ECG around an alarm, as a device sends it."""
    start_ns, end_ns = alarm.onset_ns - 10 * NS_PER_S, alarm.raised_ns + 10 * NS_PER_S
    ward = Ward(1, events=[beds_event] if beds_event else [])
    chunk = ward.signal("bed-01", SignalKind.ECG, start_ns).next_chunk((end_ns - start_ns) / NS_PER_S)
    assert chunk is not None
    digital = np.rint(chunk.samples * 200).astype(np.int16)
    digital[500:510, 1] = MISSING_INT16
    scale = Scale("mV", (200.0, 200.0), (0.0, 0.0))
    signal = StripSignal("ecg", 0, "monitor-7", chunk.channels, chunk.fs_hz, start_ns, scale, digital)
    return Strip(alarm.id, start_ns, end_ns, True, (signal,))


def kept(alarm: Alarm) -> Kept[Alarm]:
    return Kept(alarm, msgspec.json.encode(alarm).decode(), 0)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url, writes=True)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def labels(engine: Engine, database_url: str) -> Iterator[LabelWriter]:
    writer = LabelWriter(database_url)
    yield writer
    writer.close()


@pytest.fixture
def store(engine: Engine, database_url: str) -> Iterator[Store]:
    with Store(database_url) as store:
        yield store


def test_a_store_of_the_first_schema_keeps_its_alarms_and_takes_labels(database_url: str) -> None:
    from alembic.config import Config

    engine = connect(database_url, writes=True)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    alarm = make_alarm()
    StoreWriter(engine).write(Batch(alarms=[kept(alarm)], strips=[make_strip(alarm)]))
    wanted = r"schema 0001, .* reads 0004; run 'wardwave record' once to bring it up to date"
    for reader in (Store, LabelWriter):
        with pytest.raises(StoreError, match=wanted):
            reader(database_url)
    upgrade(engine)
    writer = LabelWriter(database_url)
    writer.add(alarm.id, Label.TRUE, reviewer="dr-7")
    with Store(database_url) as store:
        (found,) = store.alarms()
        assert found.alarm == alarm
        assert found.label is not None
        assert found.label.label is Label.TRUE
        strip = store.strip_of(alarm.id)
        assert strip is not None
        np.testing.assert_array_equal(strip.signals[0].samples, make_strip(alarm).signals[0].samples)
    writer.close()
    engine.dispose()


def test_the_newest_label_counts_and_the_earlier_ones_stay(
    engine: Engine, store: Store, labels: LabelWriter
) -> None:
    StoreWriter(engine).write(Batch(alarms=[kept(make_alarm(1)), kept(make_alarm(2))]))
    first = labels.add("bed-01:ecg:vf:1", Label.TRUE, reviewer="nurse-3", comment="looks real")
    second = labels.add("bed-01:ecg:vf:1", Label.FALSE, reviewer="dr-7", comment=HOSTILE)
    assert store.labels("bed-01:ecg:vf:1") == [second, first]
    found = store.alarm("bed-01:ecg:vf:1")
    assert found is not None
    assert found.label == second
    assert (second.reviewer, second.comment) == ("dr-7", HOSTILE)
    assert second.labelled_ns >= first.labelled_ns > T0 - 10 * 365 * DAY_NS
    # A step that comes later changes the alarm, not what was said of it.
    StoreWriter(engine).write(Batch(alarms=[kept(make_alarm(1, revision=1))]))
    assert store.labels("bed-01:ecg:vf:1") == [second, first]


def test_alarms_are_found_by_what_is_asked_for(engine: Engine, store: Store, labels: LabelWriter) -> None:
    changes: list[dict[str, object]] = [
        {},
        {"bed": "bed-02"},
        {"kind": "hr_high", "priority": Priority.MEDIUM},
        {"state": AlarmState.LATCHED},
    ]
    alarms = [make_alarm(number, **change) for number, change in enumerate(changes)]
    StoreWriter(engine).write(Batch(alarms=list(map(kept, alarms))))
    labels.add(alarms[1].id, Label.TRUE, reviewer="dr-7")
    labels.add(alarms[2].id, Label.TRUE, reviewer="dr-7")
    labels.add(alarms[2].id, Label.UNCLEAR, reviewer="dr-7")

    def numbers(**asked: object) -> list[int]:
        wanted = AlarmFilter(**asked)  # type: ignore[arg-type]
        found = [alarms.index(stored.alarm) for stored in store.find(wanted)]
        assert store.count(wanted) == len(found)
        return found

    assert numbers() == [3, 2, 1, 0]
    assert numbers(beds=("bed-02", "bed-09")) == [1]
    assert numbers(kinds=("vf",)) == [3, 1, 0]
    assert numbers(priorities=(Priority.MEDIUM,)) == [2]
    assert numbers(states=(AlarmState.LATCHED,)) == [3]
    assert numbers(labels=(Label.TRUE,)) == [1]
    assert numbers(labels=(Label.UNCLEAR, Label.FALSE)) == [2]
    assert numbers(labels=("none",)) == [3, 0]
    assert numbers(labels=("none", Label.TRUE)) == [3, 1, 0]
    assert numbers(since_ns=alarms[1].raised_ns, until_ns=alarms[3].raised_ns) == [2, 1]
    pages = [store.find(AlarmFilter(), limit=2, offset=at)[0].alarm for at in (0, 2)]
    assert pages == [alarms[3], alarms[1]]
    assert store.beds() == ["bed-01", "bed-02"]


def test_what_cannot_be_a_label_is_refused_with_the_way_out(engine: Engine, labels: LabelWriter) -> None:
    StoreWriter(engine).write(Batch(alarms=[kept(make_alarm())]))
    with pytest.raises(StoreError, match=r"alarm 'nope' is not in the store: 'wardwave record'"):
        labels.add("nope", Label.TRUE, reviewer="dr-7")
    with pytest.raises(StoreError, match="needs its reviewer"):
        labels.add(make_alarm().id, Label.TRUE, reviewer=" ")
    with pytest.raises(StoreError, match=r"comment has 1,001 characters; at most 1,000 .* shorten"):
        labels.add(make_alarm().id, Label.TRUE, reviewer="dr-7", comment="x" * 1_001)
    plain = labels.add(make_alarm().id, Label.TRUE, reviewer="dr-7", comment="a\0b\nc")
    assert plain.comment == "a b c"
    with pytest.raises(ValueError, match="maybe"):
        labels.add(make_alarm().id, Label("maybe"), reviewer="dr-7")


def test_a_label_goes_with_its_alarm_and_not_before(
    engine: Engine, store: Store, labels: LabelWriter
) -> None:
    old, lasting = make_alarm(1), make_alarm(2, state=AlarmState.LATCHED)
    StoreWriter(engine).write(Batch(alarms=[kept(old), kept(lasting)]))
    for alarm in (old, lasting):
        labels.add(alarm.id, Label.TRUE, reviewer="dr-7")
    settings = RecorderSettings(alarms_days=30)
    for days, left in ((29, [lasting.id, old.id]), (31, [lasting.id])):
        round_of = Retention(engine, settings, old.emitted_ns + days * DAY_NS)
        while round_of.step() is not None:
            pass
        assert [stored.alarm.id for stored in store.alarms()] == left
        with engine.connect() as connection:
            named = connection.scalars(text("SELECT DISTINCT alarm_id FROM alarm_labels ORDER BY 1 DESC"))
            assert list(named) == left


def test_a_database_that_goes_away_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    writer = LabelWriter(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alarm_labels"))
        connection.execute(text("DROP TABLE strips"))
    with pytest.raises(StoreError, match=r"store\.sqlite: no such table"), Store(url) as store:
        store.labels("a")
    writer.close()
    engine.dispose()


def test_labelled_strips_are_what_training_reads(
    engine: Engine, store: Store, labels: LabelWriter, tmp_path: Path
) -> None:
    alarms = [make_alarm(number) for number in range(1, 6)]
    alarms[2] = make_alarm(3, kind="hr_high", bed="bed-02", message=HOSTILE)
    alarms[3] = make_alarm(4, bed="bed-03")
    strips = [make_strip(alarm) for alarm in alarms]
    StoreWriter(engine).write(Batch(alarms=list(map(kept, alarms)), strips=strips))
    said = (Label.TRUE, Label.FALSE, Label.TRUE, Label.UNCLEAR)
    for alarm, label in zip(alarms, said, strict=False):
        labels.add(alarm.id, label, reviewer="dr-7", comment=HOSTILE)
    out = tmp_path / "labelled"
    done = export_labels(store, out)
    assert (done.n_alarms, done.n_records, done.n_for_training) == (4, 4, 2)
    with (out / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["alarm_id"]: row for row in csv.DictReader(file)}
    assert [rows[alarm.id]["label"] for alarm in alarms[:4]] == ["true", "false", "true", "unclear"]
    assert rows[alarms[0].id]["reviewer"] == "dr-7"
    assert rows[alarms[0].id]["comment"] == f"'{HOSTILE}"
    tree = {one["alarm"]["id"]: one for one in json.loads((out / "labels.json").read_text())}
    assert tree[alarms[2].id]["labels"][0]["comment"] == HOSTILE
    (true_name,) = tree[alarms[0].id]["for_training"]
    record = wfdb.rdrecord(str(out / true_name), physical=False)
    # What follows the alarm's end is left out: nobody said what it is.
    np.testing.assert_array_equal(record.d_signal, strips[0].signals[0].samples[: 18 * 250])
    assert record.comments[:2] == ["Ventricular_Flutter_Fib", "True alarm"]
    marks = wfdb.rdann(str(out / true_name), "atr")
    assert "(VF" in [note.rstrip("\0") for note in marks.aux_note]

    (out / "labels.toml").write_text((out / "labels.toml").read_text() + "[split]\nfile = 'split.csv'\n")
    with (out / "patients.csv").open(newline="") as file:
        (bed,) = {row["patient"] for row in csv.DictReader(file)}
    (out / "split.csv").write_text(f"{bed},train\n")
    folder_config = FolderConfig(records=str(out), labels=str(out / "labels.toml"))
    open_folder(folder_config)
    from training.folder_source import opened
    from training.sources import bit

    own = read_own(out / true_name, opened().labels, ECG)
    onset = round(10 * ECG.rate_hz)
    assert (own.rhythm[: onset - 5] == 0).all()
    assert (own.rhythm[onset + 50 :] == bit("vf")).all()
    (false_name,) = tree[alarms[1].id]["for_training"]
    assert (read_own(out / false_name, opened().labels, ECG).rhythm[onset + 50 :] == bit("other")).all()


def test_labels_are_listed_and_exported_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    alarm = make_alarm()
    StoreWriter(engine).write(Batch(alarms=[kept(alarm)], strips=[make_strip(alarm)]))
    writer = LabelWriter(url)
    writer.add(alarm.id, Label.FALSE, reviewer="dr-7", comment="electrode")
    assert wardwave.main(["labels", "list", "--url", url]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("false")
    assert line.endswith(f"dr-7  {alarm.id}  electrode")
    assert wardwave.main(["labels", "export", "--url", url, "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "1 labelled alarms, 1 records" in out
    assert f"wardwave datasets check {tmp_path / 'out'}" in out
    writer.close()
    engine.dispose()


def test_beats_of_a_strip_are_found_from_its_first_second_on() -> None:
    alarm = make_alarm()
    strip = make_strip(alarm)
    beats = BeatFinder()(strip)
    times_s = np.array([(beat.time_ns - strip.start_ns) / NS_PER_S for beat in beats])
    intervals_s = np.diff(times_s)
    assert times_s[0] < 1.2
    assert times_s[-1] > 22.8
    assert np.ptp(intervals_s) < 0.3 * np.median(intervals_s)
    assert {beat.label for beat in beats} == {"N"}
    # Each lies on a peak of the line.
    signal = strip.signals[0]
    lead = signal.physical()[:, signal.channels.index(beats[0].channel)]
    for at in np.rint(times_s * signal.fs_hz).astype(int)[2:-2]:
        around = lead[at - 60 : at + 60]
        assert abs(int(np.nanargmax(np.abs(around - np.nanmedian(around)))) - 60) <= 8


def test_no_beats_are_found_where_nothing_came() -> None:
    strip = make_strip(make_alarm())
    (signal,) = strip.signals
    gone = signal.samples.copy()
    gone[8 * 250 : 16 * 250] = MISSING_INT16
    beats = BeatFinder()(replace(strip, signals=(replace(signal, samples=gone),)))
    times_s = [(beat.time_ns - strip.start_ns) / NS_PER_S for beat in beats]
    assert times_s
    assert not [time_s for time_s in times_s if 8 <= time_s < 16]
    assert BeatFinder()(replace(strip, signals=(replace(signal, samples=signal.samples[:100]),))) == ()
