"""Reference episodes: where annotations meet the alarms' definitions (docs/alarms.md).

Beat annotations decide where a record has them: asystole, extreme rates and ventricular tachycardia are
worked out from the beats' times and classes, whatever the rhythm marks say. Fibrillation and flutter have no
beats: they come from rhythm marks, from ``[`` … ``]`` and from runs of flutter waves (``!``). A record with
rhythm marks alone has the episodes that are marked; its rates and pauses are unlabelled. A record of CinC
2015 has one label: whether the alarm at 300 s was true; it is an episode where it was, and where the record
goes on for 10 s more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from inference.errors import InferenceError
from inference.reference_marks import (
    ASYSTOLE,
    BEATS,
    EXTREME_BRADYCARDIA,
    EXTREME_TACHYCARDIA,
    FLUTTER_WAVE,
    KINDS,
    LEAST_S,
    VENTRICULAR,
    VF,
    VT,
    Span,
    flutter,
    from_beats,
    join,
    marked,
)
from ingest.types import WideFloatArray

ALARM_S: Final = 300.0
"""When the alarm of a CinC 2015 record sounded."""

BEFORE_ALARM_S: Final = 10.0
"""CinC 2015: what the alarm is about began within this time before it."""

AFTER_ALARM_S: Final = 10.0
"""A record that ends sooner after its alarm leaves another monitor no time to raise its own."""

KIND_OF_ALARM: Final = {
    "Asystole": ASYSTOLE,
    "Bradycardia": EXTREME_BRADYCARDIA,
    "Tachycardia": EXTREME_TACHYCARDIA,
    "Ventricular_Flutter_Fib": VF,
    "Ventricular_Tachycardia": VT,
}


class Labels(StrEnum):
    """What a record is labelled with."""

    BEATS = "beats"
    RHYTHMS = "rhythm marks"
    ALARM = "one alarm"
    NONE = "nothing"


SCORED: Final[dict[Labels, tuple[str, ...]]] = {
    Labels.BEATS: KINDS,
    Labels.RHYTHMS: (VF, VT),
    Labels.ALARM: (),
    Labels.NONE: (),
}
"""Kinds of alarm that are false where no episode explains them: all others may be unlabelled truth."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One reference episode, seconds from the record's start.

    ``onset_s`` is the last beat before a pause, or the first beat of the run that meets the definition;
    ``met_s`` is when the definition was first met (the fifth beat of a run, 4 s of a pause or of a mark).
    """

    record: str
    kind: str
    onset_s: float
    end_s: float
    met_s: float


@dataclass(frozen=True, slots=True)
class DeviceLabel:
    """The annotated alarm of a CinC 2015 record: its kind, the set's name of it, and whether it was true."""

    kind: str
    name: str
    true: bool


@dataclass(frozen=True, slots=True)
class Reference:
    """What is known of one record.

    ``short`` holds marks under 4 s: too short to count as episodes, but an alarm at one is not false either.
    ``device`` is None but for records of CinC 2015.
    """

    record: str
    length_s: float
    labels: Labels
    episodes: tuple[Episode, ...]
    short: tuple[Episode, ...] = ()
    device: DeviceLabel | None = None

    @property
    def scored(self) -> tuple[str, ...]:
        """Kinds of alarm that are false where no episode explains them."""
        return SCORED[self.labels]


def read_reference(record: Path) -> Reference:
    """Read header and annotations of a WFDB record.

    Parameters
    ----------
    record : Path
        The record without suffix, or its header.

    Raises
    ------
    InferenceError
        Header or annotations cannot be read.
    """
    base = record.with_suffix("") if record.suffix == ".hea" else record
    try:
        header = wfdb.rdheader(str(base))
        has_marks = base.with_suffix(".atr").exists()
        marks = wfdb.rdann(str(base), "atr") if has_marks else None
    except (OSError, ValueError, IndexError) as error:
        raise InferenceError(
            f"record {base}: {error}; name WFDB records with readable .hea and .atr"
        ) from error
    fs_hz = float(header.fs)
    length_s = header.sig_len / fs_hz
    if marks is None:
        device = _device_label(header.comments)
        if device is None:
            return Reference(base.name, length_s, Labels.NONE, ())
        known = device.true and length_s >= ALARM_S + AFTER_ALARM_S
        episodes = (_at_alarm(base.name, device.kind),) if known else ()
        return Reference(base.name, length_s, Labels.ALARM, episodes, device=device)
    times_s = np.asarray(marks.sample, dtype=np.float64) / fs_hz
    notes = [note.rstrip("\x00") for note in marks.aux_note]
    return derive(base.name, times_s, list(marks.symbol), notes, length_s)


def derive(
    record: str, times_s: WideFloatArray, symbols: Sequence[str], notes: Sequence[str], length_s: float
) -> Reference:
    """Episodes that annotations meet, in the order of their onsets.

    Parameters
    ----------
    record : str
        Its name, for the episodes.
    times_s : ndarray, shape (n,)
        Of the annotations, ascending.
    symbols, notes : sequences of str
        WFDB's codes (``N``, ``V``, ``+`` …) and auxiliary strings (``(VT`` …).
    length_s : float
        Of the record.

    Notes
    -----
    What lies before the first beat or behind the last one is no pause: annotations may begin late or stop
    early.
    """
    spans = marked(times_s, notes, length_s)
    spans[VF] = join([*spans[VF], *flutter(times_s, symbols, length_s)])
    is_beat = np.array([symbol in BEATS for symbol in symbols], dtype=np.bool_)
    worked_out: dict[str, list[Span]] = {}
    if is_beat.any():
        ventricular = np.array([symbol in VENTRICULAR for symbol in symbols], dtype=np.bool_)
        waves = np.array([symbol == FLUTTER_WAVE for symbol in symbols], dtype=np.bool_)
        spans = {VF: spans[VF]}
        worked_out = from_beats(times_s[is_beat], ventricular[is_beat], times_s[waves], spans[VF])
    whole = _episodes(record, spans)
    lasting = [item for item in whole if item.end_s - item.onset_s >= LEAST_S]
    episodes = sorted([*lasting, *_episodes(record, worked_out)], key=lambda item: (item.onset_s, item.kind))
    return Reference(
        record,
        length_s,
        Labels.BEATS if is_beat.any() else Labels.RHYTHMS if any(notes) else Labels.NONE,
        tuple(episodes),
        tuple(item for item in whole if item not in lasting),
    )


def _episodes(record: str, spans: Mapping[str, Sequence[Span]]) -> list[Episode]:
    return [
        Episode(record, kind, span.begin_s, span.end_s, span.met_s)
        for kind, of_kind in spans.items()
        for span in of_kind
    ]


def _device_label(comments: Sequence[str]) -> DeviceLabel | None:
    """Kind and truth from the comments of a CinC 2015 header ("Asystole", "False alarm")."""
    kinds = [text for text in comments if text in KIND_OF_ALARM]
    truths = [text == "True alarm" for text in comments if text in ("True alarm", "False alarm")]
    return DeviceLabel(KIND_OF_ALARM[kinds[0]], kinds[0], truths[0]) if kinds and truths else None


def _at_alarm(record: str, kind: str) -> Episode:
    """The episode of a true alarm: its onset is known to 10 s only."""
    return Episode(record, kind, ALARM_S - BEFORE_ALARM_S, ALARM_S, ALARM_S)
