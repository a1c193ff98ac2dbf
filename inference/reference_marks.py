"""Where annotations meet the definitions of docs/alarms.md, as spans of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

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

ROUNDING: Final = 1e-6
"""60 / (60 / x) is not always x: what is nearer to a limit than this is at it."""

BEATS: Final = frozenset("NLRBAaJSVrFejnE/fQ?")
VENTRICULAR: Final = frozenset("VE")
FLUTTER_WAVE, FLUTTER_BEGINS, FLUTTER_ENDS = "!", "[", "]"
KIND_OF_MARK: Final = {"(VF": VF, "(VFIB": VF, "(VFL": VF, "(VT": VT, "(ASYS": ASYSTOLE}


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds from the record's start; ``met_s`` is when the definition was met."""

    begin_s: float
    end_s: float
    met_s: float


def marked(times_s: WideFloatArray, notes: Sequence[str], length_s: float) -> dict[str, list[Span]]:
    """Spans of rhythm marks; a mark reaches to the next one of any kind."""
    named = [(at_s, note) for at_s, note in zip(times_s.tolist(), notes, strict=True) if note.startswith("(")]
    ends_s = [*(begin for begin, _ in named), length_s][1:]
    found: dict[str, list[Span]] = {VF: [], VT: [], ASYSTOLE: []}
    for (begin_s, note), end_s in zip(named, ends_s, strict=True):
        kind = KIND_OF_MARK.get(note)
        if kind is not None:
            found[kind].append(Span(begin_s, end_s, begin_s + LEAST_S))
    return {kind: join(spans) for kind, spans in found.items()}


def flutter(times_s: WideFloatArray, symbols: Sequence[str], length_s: float) -> list[Span]:
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
    return [Span(begin_s, end_s, begin_s + LEAST_S) for begin_s, end_s in spans]


def join(spans: Iterable[Span]) -> list[Span]:
    """Spans that overlap, or nearly do, as one."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.begin_s):
        last = joined[-1] if joined else None
        if last is not None and span.begin_s - last.end_s < JOINED_S:
            joined[-1] = Span(last.begin_s, max(last.end_s, span.end_s), last.met_s)
        else:
            joined.append(span)
    return joined


def from_beats(
    beats_s: WideFloatArray, ventricular: BoolArray, waves_s: WideFloatArray, fibrillation: Sequence[Span]
) -> dict[str, list[Span]]:
    """Pauses, extreme rates and ventricular runs; no interval reaches into fibrillation."""
    intervals_s = np.diff(beats_s)
    blocked = np.zeros(len(intervals_s), dtype=np.bool_)
    for span in fibrillation:
        blocked |= (beats_s[:-1] < span.end_s) & (beats_s[1:] > span.begin_s)
    waved = np.searchsorted(waves_s, beats_s)
    blocked |= waved[1:] > waved[:-1]
    pauses = np.flatnonzero((intervals_s > PAUSE_S + ROUNDING) & ~blocked)
    run = ventricular[1:] & ventricular[:-1] & ~blocked
    return {
        ASYSTOLE: [
            Span(float(beats_s[at]), float(beats_s[at + 1]), float(beats_s[at]) + PAUSE_S) for at in pauses
        ],
        EXTREME_BRADYCARDIA: _runs(beats_s, ~blocked, SLOW_BEATS, lambda rates: rates < SLOW_BPM - ROUNDING),
        EXTREME_TACHYCARDIA: _runs(beats_s, ~blocked, FAST_BEATS, lambda rates: rates > FAST_BPM + ROUNDING),
        VT: _runs(beats_s, run, RUN_BEATS, lambda rates: rates >= RUN_BPM - ROUNDING),
    }


def _runs(
    beats_s: WideFloatArray,
    linked: BoolArray,
    n_beats: int,
    meets: Callable[[WideFloatArray], BoolArray],
) -> list[Span]:
    """Stretches in which each ``n_beats`` in a row are linked and have a rate that ``meets`` a definition.

    ``linked`` (one a pair of neighbours) says which beats are neighbours. Windows that share a beat are one
    stretch.
    """
    n = n_beats - 1
    if len(beats_s) < n_beats:
        return []
    whole = np.lib.stride_tricks.sliding_window_view(linked, n).all(axis=1)
    rates = 60.0 * n / np.maximum(beats_s[n:] - beats_s[:-n], ROUNDING)
    hit = whole & meets(rates)
    first: IntArray = np.flatnonzero(hit)
    spans: list[Span] = []
    for at in first.tolist():
        begin_s, end_s = float(beats_s[at]), float(beats_s[at + n])
        if spans and begin_s <= spans[-1].end_s:
            spans[-1] = Span(spans[-1].begin_s, end_s, spans[-1].met_s)
        else:
            spans.append(Span(begin_s, end_s, end_s))
    return spans
