"""Reference episodes: where annotations meet the alarms' definitions (docs/alarms.md).

Beat annotations decide where a record has them: asystole, extreme rates and ventricular tachycardia are
worked out from the beats' times and classes, whatever the rhythm marks say. Fibrillation and flutter have no
beats: they come from rhythm marks, from ``[`` … ``]`` and from runs of flutter waves (``!``). A record with
rhythm marks alone has the episodes that are marked; its rates and pauses are unlabelled. A record of CinC
2015 has one label: whether the alarm at 300 s was true.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from inference.errors import InferenceError
from ingest.types import BoolArray, IntArray, WideFloatArray

VF, VT, ASYSTOLE = "vf", "vt", "asystole"
EXTREME_BRADYCARDIA, EXTREME_TACHYCARDIA = "extreme_bradycardia", "extreme_tachycardia"
KINDS: Final = (VF, ASYSTOLE, VT, EXTREME_BRADYCARDIA, EXTREME_TACHYCARDIA)

LEAST_S: Final = 4.0
"""A marked rhythm counts from this length on."""

PAUSE_S: Final = 4.0
SLOW_BPM, SLOW_BEATS = 40.0, 5
FAST_BPM, FAST_BEATS = 140.0, 17
RUN_BPM, RUN_BEATS = 100.0, 5

JOINED_S: Final = 1.0
"""Marks of one kind that are nearer than this are one episode."""

WAVES_APART_S: Final = 2.0
"""Flutter waves nearer than this are of one run."""

BEATS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")
VENTRICULAR: Final = frozenset("VE")
FLUTTER_WAVE, FLUTTER_BEGINS, FLUTTER_ENDS = "!", "[", "]"
KIND_OF_MARK: Final = {"(VF": VF, "(VFIB": VF, "(VFL": VF, "(VT": VT, "(ASYS": ASYSTOLE}

ALARM_S: Final = 300.0
"""When the alarm of a CinC 2015 record sounded."""

BEFORE_ALARM_S: Final = 10.0
"""CinC 2015: what the alarm is about began within this time before it."""

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

    ``device`` is None but for records of CinC 2015.
    """

    record: str
    length_s: float
    labels: Labels
    episodes: tuple[Episode, ...]
    device: DeviceLabel | None = None

    @property
    def scored(self) -> tuple[str, ...]:
        """Kinds of alarm that are false where no episode explains them."""
        return SCORED[self.labels]


@dataclass(frozen=True, slots=True)
class _Span:
    begin_s: float
    end_s: float
    met_s: float


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
        known = (_at_alarm(base.name, device.kind, length_s),) if device.true else ()
        return Reference(base.name, length_s, Labels.ALARM, known, device)
    times_s = np.asarray(marks.sample, dtype=np.float64) / fs_hz
    notes = [note.rstrip("\x00") for note in marks.aux_note]
    labels, episodes = derive(base.name, times_s, list(marks.symbol), notes, length_s)
    return Reference(base.name, length_s, labels, episodes)


def derive(
    record: str, times_s: WideFloatArray, symbols: Sequence[str], notes: Sequence[str], length_s: float
) -> tuple[Labels, tuple[Episode, ...]]:
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
    marked = _marked(times_s, notes, length_s)
    marked[VF] = _join([*marked[VF], *_flutter(times_s, symbols, length_s)])
    is_beat = np.array([symbol in BEATS for symbol in symbols], dtype=np.bool_)
    if is_beat.any():
        ventricular = np.array([symbol in VENTRICULAR for symbol in symbols], dtype=np.bool_)
        waves = np.array([symbol == FLUTTER_WAVE for symbol in symbols], dtype=np.bool_)
        fibrillation = marked[VF]
        marked = _from_beats(times_s[is_beat], ventricular[is_beat], times_s[waves], fibrillation)
        marked[VF] = fibrillation
    whole = (VF, VT, ASYSTOLE) if not is_beat.any() else (VF,)
    episodes = [
        Episode(record, kind, span.begin_s, span.end_s, span.met_s)
        for kind, spans in marked.items()
        for span in spans
        if kind not in whole or span.end_s - span.begin_s >= LEAST_S
    ]
    labels = Labels.BEATS if is_beat.any() else Labels.RHYTHMS if any(notes) else Labels.NONE
    return labels, tuple(sorted(episodes, key=lambda item: (item.onset_s, item.kind)))


def _marked(times_s: WideFloatArray, notes: Sequence[str], length_s: float) -> dict[str, list[_Span]]:
    """Spans of rhythm marks; a mark reaches to the next one of any kind."""
    named = [(at_s, note) for at_s, note in zip(times_s.tolist(), notes, strict=True) if note.startswith("(")]
    ends_s = [begin for begin, _ in named[1:]] + [length_s]
    found: dict[str, list[_Span]] = {VF: [], VT: [], ASYSTOLE: []}
    for (begin_s, note), end_s in zip(named, ends_s, strict=True):
        kind = KIND_OF_MARK.get(note)
        if kind is not None:
            found[kind].append(_Span(begin_s, end_s, begin_s + LEAST_S))
    return {kind: _join(spans) for kind, spans in found.items()}


def _flutter(times_s: WideFloatArray, symbols: Sequence[str], length_s: float) -> list[_Span]:
    """Spans between ``[`` and ``]``, and runs of flutter waves."""
    spans: list[tuple[float, float]] = []
    opened: float | None = None
    last_wave_s = -np.inf
    for at_s, symbol in zip(times_s.tolist(), symbols, strict=True):
        if symbol == FLUTTER_BEGINS and opened is None:
            opened = at_s
        elif symbol == FLUTTER_ENDS and opened is not None:
            spans.append((opened, at_s))
            opened = None
        elif symbol == FLUTTER_WAVE:
            spans.append((last_wave_s if at_s - last_wave_s < WAVES_APART_S else at_s, at_s))
            last_wave_s = at_s
    if opened is not None:
        spans.append((opened, length_s))
    return [_Span(begin_s, end_s, begin_s + LEAST_S) for begin_s, end_s in spans]


def _join(spans: Iterable[_Span]) -> list[_Span]:
    """Spans that overlap, or nearly do, as one."""
    joined: list[_Span] = []
    for span in sorted(spans, key=lambda span: span.begin_s):
        last = joined[-1] if joined else None
        if last is not None and span.begin_s - last.end_s < JOINED_S:
            joined[-1] = _Span(last.begin_s, max(last.end_s, span.end_s), last.met_s)
        else:
            joined.append(span)
    return joined


def _from_beats(
    beats_s: WideFloatArray, ventricular: BoolArray, waves_s: WideFloatArray, fibrillation: Sequence[_Span]
) -> dict[str, list[_Span]]:
    """Pauses, extreme rates and ventricular runs; no interval reaches into fibrillation."""
    intervals_s = np.diff(beats_s)
    blocked = np.zeros(len(intervals_s), dtype=np.bool_)
    for span in fibrillation:
        blocked |= (beats_s[:-1] < span.end_s) & (beats_s[1:] > span.begin_s)
    waved = np.searchsorted(waves_s, beats_s)
    blocked |= waved[1:] > waved[:-1]
    pauses = np.flatnonzero((intervals_s > PAUSE_S) & ~blocked)
    run = ventricular[1:] & ventricular[:-1] & ~blocked
    return {
        ASYSTOLE: [
            _Span(float(beats_s[at]), float(beats_s[at + 1]), float(beats_s[at]) + PAUSE_S) for at in pauses
        ],
        EXTREME_BRADYCARDIA: _runs(beats_s, ~blocked, SLOW_BEATS, slower_than=SLOW_BPM),
        EXTREME_TACHYCARDIA: _runs(beats_s, ~blocked, FAST_BEATS, faster_than=FAST_BPM),
        VT: _runs(beats_s, run, RUN_BEATS, faster_than=RUN_BPM, or_equal=True),
    }


def _runs(
    beats_s: WideFloatArray,
    linked: BoolArray,
    n_beats: int,
    *,
    slower_than: float | None = None,
    faster_than: float | None = None,
    or_equal: bool = False,
) -> list[_Span]:
    """Stretches in which each ``n_beats`` in a row are linked and beat slower, or faster, than a rate.

    ``linked`` (one a pair of neighbours) says which beats are neighbours. Windows that share a beat are one
    stretch.
    """
    n = n_beats - 1
    if len(beats_s) < n_beats:
        return []
    total_s = beats_s[n:] - beats_s[:-n]
    whole = np.lib.stride_tricks.sliding_window_view(linked, n).all(axis=1)
    # A hair of tolerance: the annotations' times are samples, and 60 / (60 / x) is not always x.
    rate = 60.0 * n / np.maximum(total_s, 1e-9)
    if slower_than is not None:
        hit = whole & (rate < slower_than)
    else:
        least = 0.0 if faster_than is None else faster_than
        hit = whole & ((rate >= least - 1e-6) if or_equal else (rate > least))
    first: IntArray = np.flatnonzero(hit)
    spans: list[_Span] = []
    for at in first.tolist():
        begin_s, end_s = float(beats_s[at]), float(beats_s[at + n])
        if spans and begin_s <= spans[-1].end_s:
            spans[-1] = _Span(spans[-1].begin_s, end_s, spans[-1].met_s)
        else:
            spans.append(_Span(begin_s, end_s, end_s))
    return spans


def _device_label(comments: Sequence[str]) -> DeviceLabel | None:
    """Kind and truth from the comments of a CinC 2015 header ("Asystole", "False alarm")."""
    kinds = [text for text in comments if text in KIND_OF_ALARM]
    truths = [text == "True alarm" for text in comments if text in ("True alarm", "False alarm")]
    return DeviceLabel(KIND_OF_ALARM[kinds[0]], kinds[0], truths[0]) if kinds and truths else None


def _at_alarm(record: str, kind: str, length_s: float) -> Episode:
    """The episode of a true alarm: its onset is known to 10 s only."""
    return Episode(record, kind, ALARM_S - BEFORE_ALARM_S, min(ALARM_S, length_s), ALARM_S)
