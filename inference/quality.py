"""Cheap measures of whether a lead can be used, and which lead the network looks at."""

from __future__ import annotations

from dataclasses import dataclass
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
    flat_long = _flat(raw, present)
    raw, present = raw[:, :, -last:], present[:, :, -last:]
    flat = _flat(raw, present)
    railed = _railed(raw, present)
    share = present.mean(axis=2, dtype=np.float32)
    flagged = lead_off[:, :, -1]
    enough = bank.count[due.slots] >= round(FLAT_S * rate_hz)
    loose = (flagged | (flat_long & enough[:, None])) & ~railed
    saturated: BoolArray = np.all(railed | ~exists, axis=1)
    off: BoolArray = np.all(loose | railed | ~exists, axis=1) & ~saturated
    usable = exists & ~flagged & ~flat & ~railed & (share >= MIN_PRESENT)
    unusable: BoolArray = ~usable.any(axis=1)
    dirty = _dirty(raw, rate_hz) | (share < 1.0 - DIRTY_SHARE)
    return LeadStatus(off, saturated, unusable, share, usable, dirty)


def _extremes(raw: FloatArray, present: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Largest and smallest present sample of each lead, 0 where there is none; shapes (n_windows, n)."""
    some = present.any(axis=2)
    high = np.where(present, raw, -np.inf).max(axis=2)
    low = np.where(present, raw, np.inf).min(axis=2)
    return np.where(some, high, np.float32(0)), np.where(some, low, np.float32(0))


def _flat(raw: FloatArray, present: BoolArray) -> BoolArray:
    high, low = _extremes(raw, present)
    return np.asarray(present.any(axis=2) & (high - low < FLAT_MV))


def _railed(raw: FloatArray, present: BoolArray) -> BoolArray:
    """Leads that stand at their own extreme most of the time, where that is a rail, or at both.

    A rail gives the same value again and again; what comes near to it may be the wander of an asystole on a
    line with an offset.
    """
    high, low = _extremes(raw, present)
    count = np.maximum(present.sum(axis=2), 1)
    at_high = (present & (raw == high[:, :, None])).sum(axis=2) / count
    at_low = (present & (raw == low[:, :, None])).sum(axis=2) / count
    one = ((at_high >= RAIL_SHARE) & (np.abs(high) >= RAIL_MV)) | (
        (at_low >= RAIL_SHARE) & (np.abs(low) >= RAIL_MV)
    )
    both = (np.minimum(at_high, at_low) >= BOTH_SHARE) & (at_high + at_low >= RAIL_SHARE)
    range_mv = high - low
    steps_mv = np.abs(np.diff(raw, axis=2))
    creeps = (range_mv >= FLAT_MV) & (range_mv < CREEP_MV)
    creeps &= (steps_mv.max(axis=2) <= CREEP_STEP_MV) & ((steps_mv > 0).mean(axis=2) <= CREEP_SHARE)
    return np.asarray((one & ~creeps) | (both & (range_mv >= BOTH_MV)))


def _dirty(raw: FloatArray, rate_hz: float) -> BoolArray:
    """Leads with much hum or much else above the band; missing samples hold the last value."""
    n_times = raw.shape[2]
    angle = 2 * np.pi * np.outer(np.arange(n_times) / rate_hz, MAINS_HZ)
    # Sine and cosine of whole periods: orthogonal over the window, as 4 s hold whole numbers of both.
    waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    parts = raw @ waves * np.float32(2 / n_times)
    hum_mv = np.hypot(parts[:, :, : len(MAINS_HZ)], parts[:, :, len(MAINS_HZ) :]).max(axis=2)
    rest = np.diff(raw - parts @ waves.T, _DIFFERENCES, axis=2)
    fine_mv = np.median(np.abs(rest), axis=2) / (_MAD * _GAIN)
    return np.asarray((hum_mv >= MAINS_MV) | (fine_mv >= FINE_MV))


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
