"""A strip as lanes of paper: each channel in its scale, what is missing by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inference.strips import Strip, StripSignal
from ingest.types import NS_PER_S, UNIT_SCALES, SignalKind, WideFloatArray

GAIN_MM_MV: Final = 10.0
LEAST_MM, MOST_MM = 20.0, 45.0
BODY_MM: Final = 16.0
"""Height that signals without a usual scale of their own are given."""

SHORTEST_GAP_S: Final = 0.02
MOST_NAMED: Final = 6


@dataclass(frozen=True, slots=True)
class Piece:
    """An unbroken piece of one channel: values, their rate, and when the first one was (s of the strip)."""

    start_s: float
    fs_hz: float
    values: WideFloatArray

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        """Time of each value, seconds of the strip."""
        return self.start_s + np.arange(len(self.values)) / self.fs_hz


@dataclass(frozen=True, slots=True)
class Lane:
    """One channel over the whole strip.

    Attributes
    ----------
    name : str
        Kind of signal and channel.
    scale : str
        In words, as "10 mm = 50 mmHg".
    mm_per_unit, centre, height_mm : float
        How its values are drawn: ``(value - centre) * mm_per_unit`` about the middle of its height.
    is_ecg : bool
        Whether 10 mm are 1 mV.
    pieces : tuple of Piece
        In order of time.
    missing : tuple of (float, float)
        Spans in which nothing came, seconds of the strip.
    """

    name: str
    scale: str
    mm_per_unit: float
    centre: float
    height_mm: float
    is_ecg: bool
    pieces: tuple[Piece, ...]
    missing: tuple[tuple[float, float], ...]


def length_s(strip: Strip) -> float:
    """Seconds from a strip's begin to its end."""
    return (strip.end_ns - strip.start_ns) / NS_PER_S


def lanes_of(strip: Strip) -> tuple[Lane, ...]:
    """Every channel of a strip, ECG first; pieces of one channel are one lane."""
    found: dict[tuple[str, str], list[StripSignal]] = {}
    for signal in strip.signals:
        for channel in signal.channels:
            found.setdefault((signal.signal, channel), []).append(signal)
    ordered = sorted(found.items(), key=lambda item: item[0][0] != SignalKind.ECG)
    return tuple(_lane(kind, channel, signals, strip) for (kind, channel), signals in ordered)


def _lane(kind: str, channel: str, signals: list[StripSignal], strip: Strip) -> Lane:
    factors = UNIT_SCALES[SignalKind(kind)]
    unit = next(iter(factors))
    pieces = []
    for signal in signals:
        values = signal.physical()[:, signal.channels.index(channel)] * factors.get(signal.scale.unit, 1.0)
        start_s = (signal.start_ns - strip.start_ns) / NS_PER_S
        pieces.append(Piece(start_s, signal.fs_hz, values))
    pieces.sort(key=lambda piece: piece.start_s)
    finite = np.concatenate([piece.values[np.isfinite(piece.values)] for piece in pieces])
    centre = float(np.median(finite)) if len(finite) else 0.0
    reach = float(np.quantile(np.abs(finite - centre), 0.999)) if len(finite) else 0.0
    is_ecg = kind == SignalKind.ECG
    if is_ecg:
        mm_per_unit, scale = GAIN_MM_MV, f"{GAIN_MM_MV:g} mm/mV"
        needed_mm = np.ceil((2 * reach * GAIN_MM_MV + 6) / 5) * 5
    else:
        of_10_mm = _round_up(reach * 2 / BODY_MM * 10)
        mm_per_unit, scale = 10 / of_10_mm, f"10 mm = {of_10_mm:g} {unit}"
        needed_mm = BODY_MM + 4
    height_mm = float(np.clip(needed_mm, LEAST_MM, MOST_MM))
    name = f"{kind.upper() if is_ecg else kind.replace('_', ' ')} {channel}"
    missing = _missing(pieces, length_s(strip))
    return Lane(name, scale, mm_per_unit, centre, height_mm, is_ecg, tuple(pieces), missing)


def _round_up(number: float) -> float:
    """Next of 1, 2, 5, 10, …; 1 where there is nothing to measure."""
    if number <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(number))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= number * 0.999))


def _missing(pieces: list[Piece], whole_s: float) -> tuple[tuple[float, float], ...]:
    """Spans of the strip without a value."""
    held = []
    for piece in pieces:
        edges = np.diff(np.concatenate([[0], np.isfinite(piece.values).astype(np.int8), [0]]))
        begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        held += [
            (piece.start_s + begin / piece.fs_hz, piece.start_s + end / piece.fs_hz)
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]
    spans, at = [], 0.0
    for begin, end in [*sorted(held), (whole_s, whole_s)]:
        if begin - at >= SHORTEST_GAP_S:
            spans.append((at, begin))
        at = max(at, end)
    return tuple(spans)


def gap_words(strip: Strip) -> list[str]:
    """What is missing, in words; seconds count from the strip's begin."""
    whole_s = length_s(strip)
    said = []
    if not strip.complete:
        said.append("The strip is not complete: a signal lacks its begin or its end.")
    if not strip.signals:
        return [*said, "No waveform: none came around this alarm, or they were too old to be read again."]
    for lane in lanes_of(strip):
        if not lane.missing:
            continue
        # A gap of a few samples must not read "2.0 to 2.0 s".
        spans = [
            f"{begin:.{digits}f} to {end:.{digits}f} s"
            for begin, end in lane.missing[:MOST_NAMED]
            for digits in [1 if end - begin >= 0.2 else 2]
        ]
        more = len(lane.missing) - len(spans)
        total_s = sum(end - begin for begin, end in lane.missing)
        rest = f" and {more} more" if more > 0 else ""
        said.append(f"{lane.name}: {total_s:.1f} of {whole_s:.0f} s missing ({', '.join(spans)}{rest}).")
    return said
