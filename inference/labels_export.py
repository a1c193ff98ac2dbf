"""Labelled strips for retraining: WFDB records in one folder, with what reviewers said.

The folder is what ``wardwave train --records`` takes (docs/training.md): records side by side, ``RECORDS``,
a label map ``labels.toml``, and ``patients.csv`` that keeps a bed's records on one side of the split. Headers
name kind and truth of the alarm in the words of CinC 2015.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Final

from inference.reference import KIND_OF_ALARM
from inference.store import Store, StoredAlarm
from inference.store_labels import AlarmLabel, Label
from inference.store_query import AlarmFilter
from inference.strip_export import Note, alarm_comments, alarm_marks, folder_name, write_wfdb
from inference.strips import StripSignal
from inference.types import Alarm
from ingest.types import NS_PER_S, SignalKind

PAGE: Final = 500
SHORTEST_S: Final = 10.0
"""Of a record that training takes."""

RHYTHMS: Final = {"vf": "(VF", "vt": "(VT", "asystole": "(ASYS", "af": "(AFIB", "noise": "(NOISE"}
"""WFDB's mark of what a true alarm of a kind is; other kinds tell of a rate or of beats."""

NOT_THAT: Final = "(FALSE_ALARM"
"""Mark of a stretch that is not what the alarm said; the label map takes it for rhythm ``other``."""

LABEL_MAP: Final = """# What the marks mean to 'wardwave train --records': see docs/recorder.md.
annotator = "atr"

[rhythms]
{rhythms}
[patients]
file = "patients.csv"
"""
_WORDS: Final = {Label.TRUE: "True alarm", Label.FALSE: "False alarm", Label.UNCLEAR: "Unclear alarm"}
_CINC: Final = {kind: word for word, kind in KIND_OF_ALARM.items()}
_FORMULA: Final = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: alarms, records, and how many of the records training can read."""

    n_alarms: int
    n_records: int
    n_for_training: int


@dataclass(frozen=True, slots=True)
class _Written:
    """One labelled alarm and its records; those of rhythm marks are for training."""

    stored: StoredAlarm
    history: Sequence[AlarmLabel]
    records: tuple[str, ...]
    for_training: tuple[str, ...]


def export_labels(store: Store, out: Path) -> Exported:
    """Write every labelled alarm that has a strip; the label that counts is its newest.

    Parameters
    ----------
    store : Store
        Where labels and strips are.
    out : Path
        Folder, made where it is not there; files of an earlier export are replaced.

    Raises
    ------
    StoreError
        The database does not answer.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = [_write(store, stored, out) for stored in _labelled(store)]
    _write_json(written, out / "labels.json")
    _write_csv(written, out / "labels.csv")
    trained = [(record, one.stored.alarm) for one in written for record in one.for_training]
    (out / "RECORDS").write_text("".join(f"{record}\n" for record, _ in trained))
    with (out / "patients.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("record", "patient"))
        # A stay is not part of an alarm: a bed's patients are taken for one, so that none is on two sides.
        rows.writerows((record, folder_name(alarm.bed)) for record, alarm in trained)
    (out / "labels.toml").write_text(LABEL_MAP.format(rhythms=_rhythms(written)))
    return Exported(len(written), sum(len(one.records) for one in written), len(trained))


def _labelled(store: Store) -> Iterator[StoredAlarm]:
    wanted, offset = AlarmFilter(labels=tuple(Label)), 0
    while found := store.find(wanted, limit=PAGE, offset=offset):
        yield from found
        offset += PAGE


def _write(store: Store, stored: StoredAlarm, out: Path) -> _Written:
    alarm, strip = stored.alarm, store.strip_of(stored.alarm.id)
    label = stored.label
    assert label is not None
    records, trained = [], []
    for signal in () if strip is None else strip.signals:
        assert strip is not None
        note = _rhythm_note(alarm, label.label, signal)
        piece = signal if note is None else _until_end(signal, alarm)
        name = f"{folder_name(alarm.id)}_{signal.signal}_{signal.segment}"
        notes = sorted([*alarm_marks(alarm), *([] if note is None else [note])], key=lambda one: one.time_ns)
        comments = [
            *([_CINC[alarm.kind]] if alarm.kind in _CINC else []),
            _WORDS[label.label],
            f"reviewer {label.reviewer}, {_utc(label.labelled_ns)}",
            *alarm_comments(alarm, strip, signal),
        ]
        write_wfdb(out, name, piece, notes, comments)
        records.append(name)
        if note is not None and len(piece.samples) >= SHORTEST_S * piece.fs_hz and piece.scale.unit == "mV":
            trained.append(name)
    return _Written(stored, store.labels(alarm.id), tuple(records), tuple(trained))


def _rhythm_note(alarm: Alarm, label: Label, signal: StripSignal) -> Note | None:
    """Mark at the onset that training reads; ``None`` where the label says nothing of a rhythm."""
    inside = signal.start_ns <= alarm.onset_ns < signal.end_ns
    if signal.signal != SignalKind.ECG or alarm.kind not in RHYTHMS or not inside or label is Label.UNCLEAR:
        return None
    return Note(alarm.onset_ns, RHYTHMS[alarm.kind] if label is Label.TRUE else NOT_THAT, "+")


def _until_end(signal: StripSignal, alarm: Alarm) -> StripSignal:
    """Without what follows the alarm's end: the label says nothing of it."""
    if alarm.ended_ns is None:
        return signal
    last = ceil((alarm.ended_ns - signal.start_ns) / NS_PER_S * signal.fs_hz)
    return replace(signal, samples=signal.samples[: max(1, last)])


def _rhythms(written: Sequence[_Written]) -> str:
    """Classes that occur; training asks for records of every class that the map names."""
    labels = [(one.stored.alarm.kind, one.stored.label) for one in written if one.for_training]
    kinds = {kind for kind, label in labels if label is not None and label.label is Label.TRUE}
    lines = [f'{kind} = ["{note}"]\n' for kind, note in RHYTHMS.items() if kind in kinds]
    if any(label is not None and label.label is Label.FALSE for _, label in labels):
        lines.append(f'other = ["{NOT_THAT}"]\n')
    return "".join(lines)


def _write_json(written: Sequence[_Written], path: Path) -> None:
    """Alarms as they came, and all of their labels, the newest first."""
    tree = [
        {
            "records": one.records,
            "for_training": one.for_training,
            "alarm": json.loads(one.stored.record),
            "labels": [asdict(label) for label in one.history],
        }
        for one in written
    ]
    path.write_text(json.dumps(tree, indent=1))


def _write_csv(written: Sequence[_Written], path: Path) -> None:
    head = ("records", "alarm_id", "bed", "kind", "priority", "message", "onset_utc", "raised_utc")
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow((*head, "label", "reviewer", "labelled_utc", "comment", "n_labels"))
        for one in written:
            alarm, label = one.stored.alarm, one.stored.label
            assert label is not None
            told = (alarm.id, alarm.bed, alarm.kind, alarm.priority.value, alarm.message)
            times = (_utc(alarm.onset_ns), _utc(alarm.raised_ns))
            said = (label.label.value, label.reviewer, _utc(label.labelled_ns), label.comment)
            cells = [" ".join(one.records), *told, *times, *said]
            rows.writerow([*map(as_cell, cells), len(one.history)])


def as_cell(text: str) -> str:
    """Text that a spreadsheet takes for text, not for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / NS_PER_S, UTC).isoformat(timespec="milliseconds")
