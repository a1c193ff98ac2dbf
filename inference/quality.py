"""Cheap measures of whether a lead can be used, and which lead the network looks at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from ingest.bank import Bank, Due
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

FLAT_MV: Final = 0.010
"""Below this peak-to-peak a line is no ECG: a true asystole keeps wander of 40 µV or more."""

FLAT_S: Final = 5.0
ASYSTOLE_S: Final = 4.0
MIN_PRESENT: Final = 0.5
SHARE_MARGIN: Final = 0.05
"""A lead is left for another that has so much more of its samples."""

PREFERRED: Final = ("II", "MLII", "ECG1", "ECG", "I", "V5", "V", "V1")

RAIL_MV: Final = 4.9
"""Monitors take ±5 mV or more (ANSI/AAMI EC13): a line that stands still from here on stands at a rail."""

RAIL_SHARE: Final = 0.4
"""Of the last 4 s, at the rail: noise that is clipped leaves it half the time."""

CREEP_MV, CREEP_STEP_MV, CREEP_SHARE = 0.1, 0.0125, 0.2
"""A line within so little that moves by no more than a coarse converter's step at a time, and in no more than
this share of its samples, is a slow wander: its value stays the same around its turning points."""

BOTH_SHARE, BOTH_MV = 0.1, 1.0
"""Clipped at both ends: least share at each, and least distance between them. No ECG does that."""

MAINS_HZ: Final = (50.0, 60.0)
MAINS_MV: Final = 1.0
"""Amplitude of hum that no filter may be trusted with."""

FINE_MV: Final = 0.2
"""Standard deviation of what is above some 30 Hz, hum apart; a window in a hundred of mitdb's worst lead has
0.11 mV."""

DIRTY_SHARE: Final = 0.25
"""Missing share from which a lead is dirty."""

_DIFFERENCES: Final = 4
"""Fourth differences leave out waves and wander, even of a tachycardia over the whole range."""

_GAIN: Final = float(np.sqrt(70.0))
"""What fourth differences make of the standard deviation of white noise."""

_MAD: Final = 0.6745
"""Median absolute deviation of a normal distribution, in standard deviations."""


@dataclass(frozen=True, slots=True)
class LeadStatus:
    """State of the leads at the end of each window.

    Parameters
    ----------
    off : ndarray of bool, shape (n_windows,)
        No lead is connected: device's flag or flat for 5 s on some, and nothing better on the others.
    saturated : ndarray of bool, shape (n_windows,)
        Every lead is at a rail.
    unusable : ndarray of bool, shape (n_windows,)
        No lead can carry a rhythm now: off, at a rail, flat for 4 s, or missing.
    present : ndarray of float32, shape (n_windows, n_channels)
        Share of samples that were there in the last 4 s.
    usable : ndarray of bool, shape (n_windows, n_channels)
        Leads that may be looked at.
    dirty : ndarray of bool, shape (n_windows, n_channels)
        Leads full of hum, of power out of the ECG's band, or of gaps.
    """

    off: BoolArray
    saturated: BoolArray
    unusable: BoolArray
    present: FloatArray
    usable: BoolArray
    dirty: BoolArray


def lead_status(bank: Bank, due: Due) -> LeadStatus:
    """Judge all leads of the due windows from unfiltered samples (docs/alarms.md)."""
    rate_hz = bank.spec.rate_hz
    raw, present, lead_off = bank.recent(due, round(FLAT_S * rate_hz))
    exists = np.arange(raw.shape[1]) < bank.n_channels[due.slots][:, None]
    last = round(ASYSTOLE_S * rate_hz)
    seen = _look(raw, last)
    gappy: BoolArray = np.asarray(~present.all(axis=2))
    if gappy.any():
        seen.put(gappy, _look_between_gaps(raw[gappy], present[gappy], last))
    flagged = lead_off[:, :, -1]
    enough = bank.count[due.slots] >= round(FLAT_S * rate_hz)
    loose = (flagged | (seen.flat_long & enough[:, None])) & ~seen.railed
    saturated: BoolArray = np.asarray(np.all(seen.railed | ~exists, axis=1))
    off: BoolArray = np.asarray(np.all(loose | seen.railed | ~exists, axis=1) & ~saturated)
    usable = exists & ~flagged & ~seen.flat & ~seen.railed & (seen.share >= MIN_PRESENT)
    unusable: BoolArray = np.asarray(~usable.any(axis=1))
    dirty = _dirty(np.ascontiguousarray(raw[:, :, -last:]), rate_hz) | (seen.share < 1.0 - DIRTY_SHARE)
    return LeadStatus(off, saturated, unusable, seen.share, usable, dirty)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Of leads: flat for long, flat for a while, at a rail, and the share of samples. Equal shapes."""

    flat_long: BoolArray
    flat: BoolArray
    railed: BoolArray
    share: FloatArray

    def put(self, leads: BoolArray, other: _Seen) -> None:
        """Take over what was seen of some leads."""
        self.flat_long[leads], self.flat[leads] = other.flat_long, other.flat
        self.railed[leads], self.share[leads] = other.railed, other.share


def _look(raw: FloatArray, last: int) -> _Seen:
    """Look at leads of which every sample is there, (..., n_times); ``last`` are of the shorter time."""
    late, early = raw[..., -last:], raw[..., :-last]
    high, low = late.max(axis=-1), late.min(axis=-1)
    range_mv = high - low
    longest_mv = np.maximum(high, early.max(axis=-1)) - np.minimum(low, early.min(axis=-1))
    railed = (np.maximum(np.abs(high), np.abs(low)) >= RAIL_MV) | (range_mv >= BOTH_MV)
    if railed.any():
        candidates = late[railed]
        railed[railed] = _railed(candidates, np.ones(candidates.shape, dtype=np.bool_))
    share = np.ones(raw.shape[:-1], dtype=np.float32)
    return _Seen(longest_mv < FLAT_MV, range_mv < FLAT_MV, railed, share)


def _look_between_gaps(raw: FloatArray, present: BoolArray, last: int) -> _Seen:
    """Look at leads with missing samples, (n_leads, n_times)."""
    flat_long = _flat(raw, present)
    raw, present = raw[:, -last:], present[:, -last:]
    share = present.mean(axis=1, dtype=np.float32)
    return _Seen(flat_long, _flat(raw, present), _railed(raw, present), share)


def _extremes(raw: FloatArray, present: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Largest and smallest present sample of each lead, 0 where there is none; shapes (n_leads,)."""
    some = present.any(axis=1)
    high = np.where(present, raw, -np.inf).max(axis=1)
    low = np.where(present, raw, np.inf).min(axis=1)
    return np.where(some, high, np.float32(0)), np.where(some, low, np.float32(0))


def _flat(raw: FloatArray, present: BoolArray) -> BoolArray:
    high, low = _extremes(raw, present)
    return np.asarray(present.any(axis=1) & (high - low < FLAT_MV))


def _railed(raw: FloatArray, present: BoolArray) -> BoolArray:
    """Leads that stand at their own extreme most of the time, where that is a rail, or at both.

    A rail gives the same value again and again; what comes near to it may be the wander of an asystole on a
    line with an offset. Shapes (n_leads, n_times) to (n_leads,).
    """
    high, low = _extremes(raw, present)
    count = np.maximum(present.sum(axis=1), 1)
    at_high = (present & (raw == high[:, None])).sum(axis=1) / count
    at_low = (present & (raw == low[:, None])).sum(axis=1) / count
    one = ((at_high >= RAIL_SHARE) & (np.abs(high) >= RAIL_MV)) | (
        (at_low >= RAIL_SHARE) & (np.abs(low) >= RAIL_MV)
    )
    both = (np.minimum(at_high, at_low) >= BOTH_SHARE) & (at_high + at_low >= RAIL_SHARE)
    range_mv = high - low
    one[one] = ~_creeps(raw[one], range_mv[one])
    return np.asarray(one | (both & (range_mv >= BOTH_MV)))


def _creeps(raw: FloatArray, range_mv: FloatArray) -> BoolArray:
    """Leads that wander slowly within a little, (n_leads, n_times) to (n_leads,)."""
    steps_mv = np.abs(np.diff(raw, axis=1))
    slow = (steps_mv.max(axis=1) <= CREEP_STEP_MV) & ((steps_mv > 0).mean(axis=1) <= CREEP_SHARE)
    return np.asarray((range_mv >= FLAT_MV) & (range_mv < CREEP_MV) & slow)


@cache
def _mains(n_times: int, rate_hz: float) -> FloatArray:
    """Cosines and sines of the mains' frequencies, (n_times, 4).

    Of whole periods: orthogonal over the window, as 4 s hold whole numbers of both.
    """
    angle = 2 * np.pi * np.outer(np.arange(n_times) / rate_hz, MAINS_HZ)
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def _dirty(raw: FloatArray, rate_hz: float) -> BoolArray:
    """Leads with much hum or much else above the band; missing samples hold the last value."""
    *shape, n_times = raw.shape
    lines = raw.reshape(-1, n_times)
    waves = _mains(n_times, rate_hz)
    parts = lines @ waves * np.float32(2 / n_times)
    hum_mv = np.hypot(parts[:, : len(MAINS_HZ)], parts[:, len(MAINS_HZ) :])
    dirty = hum_mv.max(axis=1) >= MAINS_MV
    rough = np.flatnonzero(_may_be_rough(lines, hum_mv, rate_hz) & ~dirty)
    if len(rough):
        rest = np.diff(lines[rough] - parts[rough] @ waves.T, _DIFFERENCES, axis=1)
        dirty[rough] = np.median(np.abs(rest), axis=1) / (_MAD * _GAIN) >= FINE_MV
    return np.asarray(dirty.reshape(shape))


def _may_be_rough(lines: FloatArray, hum_mv: FloatArray, rate_hz: float) -> BoolArray:
    """Where the median of the differences without hum may reach its limit: few leads.

    No median of sizes is above √2 times their root mean square, and differences without hum are no larger
    than those with it and those of the hum together.
    """
    differences = np.diff(lines, _DIFFERENCES, axis=1)
    mean_square = np.einsum("nt,nt->n", differences, differences) / differences.shape[1]
    gains = (2.0 * np.sin(np.pi * np.array(MAINS_HZ) / rate_hz)) ** _DIFFERENCES
    most = np.sqrt(2.0) * (np.sqrt(mean_square) + hum_mv @ gains)
    return np.asarray(most >= 0.99 * FINE_MV * _MAD * _GAIN)


def preferred_lead(channels: tuple[str, ...]) -> int:
    """Index of the lead to begin with."""
    names = [name.upper() for name in channels]
    return next((names.index(name) for name in PREFERRED if name in names), 0)


def fullest_lead(samples: FloatArray | WideFloatArray, channels: tuple[str, ...]) -> int:
    """Index of the lead to begin with, or of the one that holds most where that one lacks samples.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        NaN where missing.
    channels : tuple of str
        Names of the leads.
    """
    held = np.isfinite(samples).sum(axis=0)
    preferred = preferred_lead(channels)
    return preferred if held[preferred] >= 0.9 * held.max() else int(held.argmax())


def lead_worth(status: LeadStatus) -> FloatArray:
    """What each lead is worth, (n_windows, n_channels): share of samples, less where dirty; -1 not usable."""
    worth = np.where(status.dirty, np.float32(0.5), np.float32(1.0)) * status.present
    return np.where(status.usable, worth, np.float32(-1))


def choose_leads(current: IntArray, status: LeadStatus) -> IntArray:
    """Keep each bed's lead while it is worth no less than another, else take the best.

    Parameters
    ----------
    current : ndarray of int64, shape (n_windows,)
        Lead looked at so far.
    status : LeadStatus
        Of the leads.
    """
    worth = lead_worth(status)
    own = worth[np.arange(len(current)), current]
    keep = (own >= worth.max(axis=1) - SHARE_MARGIN) | ~status.usable.any(axis=1)
    return np.where(keep, current, worth.argmax(axis=1))
