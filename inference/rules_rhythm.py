"""Rules of rhythms that the network sees: ventricular and atrial fibrillation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.beats import mean_rate_bpm
from inference.evidence import OF_WINDOWS, Evidence, Finding, no_value
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

RHYTHM_ONSET_S: Final = 2.0
"""A rhythm fills most of its window's last 4 s, so that it began at least this long before the end."""

LEAST_LETHAL: Final = 0.3
"""Least probability of fibrillation and tachycardia together: the network divides one between both."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """Which of the last windows show a rhythm, (n_beds, OF_WINDOWS), and where two do, (n_beds,)."""

    votes: BoolArray
    holds: BoolArray


def _shown(evidence: Evidence) -> dict[str, _Shown]:
    """Of each lethal rhythm."""
    seen = votes(evidence.rhythms, evidence.classes, evidence.thresholds)
    return {name: _Shown(found, found.sum(axis=1) >= 2) for name, found in seen.items()}


def rhythm_holds(evidence: Evidence, name: str) -> BoolArray:
    """Whether two of the last three windows show a rhythm, "vf" or "vt"."""
    return evidence.once(_shown)[name].holds


def rhythm_votes(evidence: Evidence, name: str) -> BoolArray:
    """Which of the last windows show a rhythm, "vf" or "vt"; shape (n_beds, OF_WINDOWS)."""
    return evidence.once(_shown)[name].votes


def votes(
    rhythms: WideFloatArray, classes: tuple[str, ...], thresholds: Mapping[str, float]
) -> dict[str, BoolArray]:
    """Which windows show a lethal rhythm.

    Parameters
    ----------
    rhythms : ndarray of float64, shape (n_beds, n_windows, n_classes)
        Probabilities, NaN where there are none.
    classes : tuple of str
        Names of the last axis.
    thresholds : mapping
        Probability from which a rhythm counts.

    Returns
    -------
    dict of str to ndarray of bool, shape (n_beds, n_windows)
        By "vf" and "vt".
    """
    names = ("vf", "vt")
    shown = [np.nan_to_num(rhythms[:, :, classes.index(name)], nan=0.0) for name in names]
    lethal = shown[0] + shown[1] >= LEAST_LETHAL
    return {name: (own >= thresholds[name]) & lethal for name, own in zip(names, shown, strict=True)}


def denied_elsewhere(evidence: Evidence, names: tuple[str, ...], least: float) -> BoolArray:
    """Whether another lead was looked at, shows a clean rhythm and has none of some in any window."""
    summed = sum(evidence.elsewhere[:, :, evidence.classes.index(name)] for name in names)
    noise = evidence.elsewhere[:, :, evidence.classes.index("noise")]
    seen = ~np.isnan(noise)
    against = (np.nan_to_num(summed, nan=1.0) < least) & (
        np.nan_to_num(noise, nan=1.0) < evidence.thresholds["noise"]
    )
    return np.asarray((seen.sum(axis=1) >= 2) & (against | ~seen).all(axis=1), dtype=np.bool_)


def rhythm_onset(evidence: Evidence, name: str) -> IntArray:
    """End of the first window that showed it, less the part of the window that the rhythm must fill."""
    first = rhythm_votes(evidence, name).argmax(axis=1)
    ago_s = OF_WINDOWS - 1 - first + RHYTHM_ONSET_S
    return np.asarray(evidence.ends_ns - (ago_s * NS_PER_S).astype(np.int64))


def recent_rate_bpm(evidence: Evidence) -> WideFloatArray:
    """Mean rate of the last six intervals, 0 where there are fewer than three."""
    return np.nan_to_num(mean_rate_bpm(evidence.beats.intervals_s[:, -6:], 3))


def flutters(evidence: Evidence) -> BoolArray:
    """Whether what the network takes for a tachycardia has fast waves among which no beats can be counted."""
    rate = evidence.once(recent_rate_bpm)
    uncounted = (rate < evidence.above("vt")) & ~np.isnan(evidence.waves_bpm)
    return np.asarray(rhythm_holds(evidence, "vt") & uncounted)


def fibrillates(evidence: Evidence) -> BoolArray:
    """Whether the line shows ventricular fibrillation or flutter, or one that was told is not over."""
    return evidence.once(_fibrillates)


def _fibrillates(evidence: Evidence) -> BoolArray:
    # A fibrillation that waxes or turns into a tachycardia for a moment is not over.
    lethal = (rhythm_votes(evidence, "vf") | rhythm_votes(evidence, "vt")).any(axis=1)
    goes_on = evidence.is_active("vf") & lethal
    return np.asarray(rhythm_holds(evidence, "vf") | flutters(evidence) | goes_on)


def fibrillation(evidence: Evidence) -> Finding:
    """Ventricular fibrillation or flutter."""
    by_name = rhythm_votes(evidence, "vf").any(axis=1)
    onsets = np.where(by_name, rhythm_onset(evidence, "vf"), rhythm_onset(evidence, "vt"))
    return Finding(fibrillates(evidence), onsets, no_value(evidence))


def atrial_fibrillation_began(evidence: Evidence) -> Finding:
    """It has begun, which is said once."""
    return Finding(evidence.af_began, evidence.ends_ns, no_value(evidence))


def atrial_fibrillation_ended(evidence: Evidence) -> Finding:
    """It has ended, which is said once."""
    return Finding(evidence.af_ended, evidence.ends_ns, no_value(evidence))
