"""Made recordings: normal beats of one lead, re-timed into ectopy, runs and pauses.

mitdb's DS1 has 944 supraventricular beats, nine tenths of them of seven patients. What such beats have in
common is their timing and their P wave; both can be made from anyone's normal beats. A beat is cut out from
before its P wave to the next one's; a premature beat's P wave is scaled, turned or hidden and lies on the T
wave of the beat before, a pause is a line. The scripts follow textbook arrhythmias: isolated and coupled
premature beats, bigeminy, runs of tachycardia, the sick sinus with its runs and pauses, and sinus arrhythmia
with pauses but no ectopy, in which all beats are normal. Ventricular beats are transplanted: those of another
lead, in height and timing among this one's normal beats, so that a network learns to hold a beat against the
usual one and not what the few patients' ventricular beats look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.beat_rows import AFTER, BEFORE, FS_HZ, SEGMENT, height_of, segments_at
from training.beats_records import ALLOWED_N, Lead
from training.sources import FloatArray, IntArray, WideFloatArray

N, S, V = 1, 2, 3
P_BEGINS: Final = 30
"""Samples before the peak at which a beat's own piece begins: 0.24 s."""

QRS_BEGINS: Final = 8
FEWEST: Final = 12
Script = tuple[IntArray, WideFloatArray]
"""Classes of beats, and seconds since the beat before."""


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _wander(rng: np.random.Generator, n: int) -> WideFloatArray:
    """Slow change of a sinus rate, as a logarithm."""
    walk = np.cumsum(rng.normal(0, 0.012, n))
    return np.asarray((walk - np.linspace(0, walk[-1], n)).clip(-0.25, 0.25))


def sick_sinus(rng: np.random.Generator, n: int) -> Script:
    """Slow sinus beats, atrial runs, pauses after them."""
    base = _log_uniform(rng, 1.0, 2.2)
    fast = _log_uniform(rng, 0.5, 0.9) * min(1.0, base / 1.2)
    sinus, run = rng.uniform(1, 4), rng.uniform(2, 14)
    classes: list[int] = []
    intervals: list[float] = []
    while len(classes) < n:
        slow, quick = int(rng.geometric(1 / sinus)), int(rng.geometric(1 / run))
        pace = fast * np.exp(rng.normal(0, 0.08))
        classes += [N] * slow + [S] * quick + [N]
        intervals += (base * np.exp(rng.normal(0, 0.12, slow))).tolist()
        intervals += (pace * np.exp(rng.normal(0, 0.07, quick))).tolist()
        intervals += [base * np.exp(rng.uniform(0, 0.7))]
    return np.array(classes[:n]), np.array(intervals[:n])


def premature_beats(rng: np.random.Generator, n: int) -> Script:
    """Premature beats now and then, or every second to fourth beat; some in pairs."""
    base, early = _log_uniform(rng, 0.62, 1.1), rng.uniform(0.5, 0.85)
    share = _log_uniform(rng, 0.01, 0.3)
    every = int(rng.integers(2, 5)) if rng.random() < 0.25 else 0
    wander = _wander(rng, n)
    classes, intervals = [N], [base]
    while len(classes) < n:
        i = len(classes)
        if i % every == 0 if every else rng.random() < share:
            pair = 1 if rng.random() < 0.8 else 2
            factor = float(np.clip(early * np.exp(rng.normal(0, 0.06)), 0.45, 0.9))
            classes += [S] * pair + [N]
            intervals += [base * factor] * pair + [base * rng.uniform(1.0, 1.45)]
        else:
            classes.append(N)
            intervals.append(base * np.exp(wander[i]))
    return np.array(classes[:n]), np.array(intervals[:n])


def tachycardia(rng: np.random.Generator, n: int) -> Script:
    """Runs of supraventricular tachycardia between stretches of sinus rhythm."""
    base, wander = _log_uniform(rng, 0.62, 1.1), _wander(rng, n + 200)
    classes: list[int] = []
    intervals: list[float] = []
    while len(classes) < n:
        calm, run = int(rng.integers(5, 80)), int(rng.integers(3, 60))
        i = len(classes)
        pace = max(0.33, base * rng.uniform(0.45, 0.8))
        classes += [N] * calm + [S] * run + [N]
        intervals += (base * np.exp(wander[(i + np.arange(calm)) % len(wander)])).tolist()
        intervals += (pace * np.exp(rng.normal(0, 0.025, run))).tolist() + [base * rng.uniform(1.1, 2.0)]
    return np.array(classes[:n]), np.array(intervals[:n])


def sinus_arrhythmia(rng: np.random.Generator, n: int) -> Script:
    """Normal beats whose rate breathes and drifts, with pauses."""
    base, beat = _log_uniform(rng, 0.62, 1.1), np.arange(n)
    drift = np.clip(0.5 * np.cumsum(rng.normal(0, 0.03, n)), -0.4, 0.4)
    breath = 0.12 * np.sin(2 * np.pi * beat / rng.uniform(3, 8))
    pause = np.where(rng.random(n) < 0.02, rng.uniform(1.6, 2.3, n), 1.0)
    return np.full(n, N), base * np.exp(drift + breath) * pause


def ventricular_beats(rng: np.random.Generator, n: int) -> Script:
    """Early wide beats with their pause, alone, in pairs, runs or every second; now and then a late one."""
    base, early = _log_uniform(rng, 0.6, 1.2), rng.uniform(0.4, 0.85)
    share = _log_uniform(rng, 0.02, 0.3)
    every = int(rng.integers(2, 5)) if rng.random() < 0.3 else 0
    run, late = rng.choice([1.0, 1.2, 3.0]), rng.random() < 0.2
    wander = _wander(rng, n)
    classes, intervals = [N], [base]
    while len(classes) < n:
        i = len(classes)
        if i % every == 0 if every else rng.random() < share:
            count = int(rng.geometric(1 / run))
            factor = (
                rng.uniform(1.05, 1.5) if late else float(np.clip(early + rng.normal(0, 0.06), 0.35, 0.95))
            )
            pace = base * rng.uniform(0.4, 0.75)
            classes += [V] * count + [N]
            intervals += [base * factor] + (pace * np.exp(rng.normal(0, 0.05, count - 1))).tolist()
            intervals += [base * (1.0 if late else max(0.7, 2.0 - factor + rng.normal(0, 0.08)))]
        else:
            classes.append(N)
            intervals.append(base * np.exp(wander[i]))
    return np.array(classes[:n]), np.array(intervals[:n])


SCRIPTS: Final = (sick_sinus, premature_beats, tachycardia, sinus_arrhythmia, ventricular_beats)
SHARES: Final = (0.15, 0.2, 0.15, 0.1, 0.4)


def _piece(piece: FloatArray, size: float, shift: int) -> FloatArray:
    """A beat's piece with its P wave scaled by ``size`` and moved."""
    head = piece[: P_BEGINS - QRS_BEGINS]
    line = np.linspace(head[:3].mean(), head[-3:].mean(), len(head))
    changed = piece.copy()
    changed[: len(head)] = line + size * np.roll(head - line, shift)
    return changed


def ventricular_segments(lead: Lead, most: int = 50) -> FloatArray:
    """Some of a lead's ventricular beats, in heights of its usual beat; shape (n, SEGMENT)."""
    # No neighbour of theirs may be in the segment, nor the signal's ends.
    gaps = np.diff(lead.peaks, prepend=0, append=len(lead.signal))
    alone = (gaps[:-1] > BEFORE) & (gaps[1:] > AFTER + 15)
    where = np.flatnonzero((lead.allowed == 1 << V) & alone)
    usual = np.median(height_of(segments_at(lead.signal, lead.peaks)))
    return np.asarray(segments_at(lead.signal, lead.peaks[where][:: len(where) // most + 1]) / usual)


def _transplanted(rng: np.random.Generator, donor: FloatArray, height: float) -> list[FloatArray]:
    """Pieces to draw ventricular beats from: of one shape, now and then turned, stretched."""
    factor = np.exp(rng.uniform(-0.2, 0.25))
    place = np.clip((np.arange(SEGMENT) - BEFORE) / factor + BEFORE, 0, SEGMENT - 1)
    scale = height * np.exp(rng.uniform(-0.4, 0.4)) * (-1 if rng.random() < 0.3 else 1)
    stretched = [np.interp(place, np.arange(SEGMENT), segment) * scale for segment in donor]
    return [(one - one[BEFORE - P_BEGINS])[BEFORE - P_BEGINS :].astype(np.float32) for one in stretched]


def _lay(out: FloatArray, at: int, end: int, piece: FloatArray) -> int:
    """Put a beat's piece where it belongs, after what ends at ``end``; the new end."""
    if end <= at:
        out[end:at] = np.linspace(out[max(end - 1, 0)], piece[0], at - end + 2)[1:-1]
        out[at : at + len(piece)] = piece
    else:
        both = min(end - at, P_BEGINS - QRS_BEGINS)
        fade = np.clip((P_BEGINS - QRS_BEGINS - np.arange(both)) / 12.0, 0, 1)
        lifted = out[at : at + both] + piece[:both] - np.linspace(piece[:3].mean(), piece[both - 1], both)
        out[at : at + len(piece)] = piece
        out[at : at + both] = fade * lifted + (1 - fade) * piece[:both]
    return at + len(piece)


def make_lead(
    lead: Lead, rng: np.random.Generator, n_beats: int, donors: Sequence[FloatArray] = ()
) -> Lead | None:
    """A made recording from a lead's normal beats.

    Parameters
    ----------
    lead : Lead
        Where beats are taken from.
    rng : Generator
        Draws the script and the P wave.
    n_beats : int
        Beats of the made recording.
    donors : sequence of ndarray, shape (n, SEGMENT)
        Ventricular beats of leads to transplant from (:func:`ventricular_segments`); none: no such scripts.

    Returns
    -------
    Lead or None
        None where the lead has too few normal beats in a row.
    """
    normal = lead.allowed == ALLOWED_N
    gaps = np.diff(lead.peaks)
    good = np.flatnonzero(normal[1:-1] & normal[:-2] & normal[2:] & (gaps[1:] > 62) & (gaps[:-1] > 50)) + 1
    good = good[(lead.peaks[good] > 100) & (lead.peaks[good] < len(lead.signal) - 700)]
    if len(good) < FEWEST:
        return None
    begin = int(rng.integers(0, max(1, len(good) - n_beats)))
    source = np.resize(good[begin : begin + n_beats], n_beats)
    shares = np.array(SHARES) * [script is not ventricular_beats or bool(donors) for script in SCRIPTS]
    script = SCRIPTS[int(rng.choice(len(SCRIPTS), p=shares / shares.sum()))]
    classes, intervals = script(rng, n_beats)
    peaks = (
        np.rint(np.cumsum(intervals * np.exp(rng.normal(0, 0.01, n_beats))) * FS_HZ).astype(np.int64) + 200
    )
    out = np.zeros(int(peaks[-1]) + 800, dtype=np.float32)
    # One focus has one P wave on this lead.
    size = float(rng.choice([rng.uniform(-1, 0.3), rng.uniform(0.3, 1.3), 0.0]))
    shift, end = int(rng.integers(-4, 5)), 0
    strange: list[FloatArray] = []
    if V in classes:
        height = float(np.median(height_of(segments_at(lead.signal, lead.peaks[good]))))
        strange = _transplanted(rng, donors[int(rng.integers(len(donors)))], height)
    for peak, kind, beat in zip(peaks.tolist(), classes.tolist(), source.tolist(), strict=True):
        piece = lead.signal[lead.peaks[beat] - P_BEGINS : lead.peaks[beat + 1] - P_BEGINS + 3]
        if kind == S:
            piece = _piece(piece, size, shift)
        elif kind == V:
            piece = strange[int(rng.integers(len(strange)))] + piece[:3].mean()
        end = _lay(out, peak - P_BEGINS, end, piece)
    keep = peaks < end - 70
    allowed = (1 << classes[keep]).astype(np.uint8)
    return Lead(lead.name, np.pad(out[:end], (0, 80), mode="edge"), peaks[keep], allowed)
