"""Cheap measures of whether a lead can be used, and which lead the network looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.bank import Bank, Due
from ingest.types import BoolArray, FloatArray, IntArray

FLAT_MV: Final = 0.010
"""Below this peak-to-peak a line is no ECG: a true asystole keeps wander of 40 µV or more."""

FLAT_S: Final = 5.0
ASYSTOLE_S: Final = 4.0
MIN_PRESENT: Final = 0.5
SHARE_MARGIN: Final = 0.05
"""A lead is left for another that has so much more of its samples."""

PREFERRED: Final = ("II", "MLII", "ECG1", "ECG", "I", "V5", "V", "V1")


@dataclass(frozen=True, slots=True)
class LeadStatus:
    """State of the leads at the end of each window.

    ``off`` (n_windows,) says that every lead is off (device's flag, rail, or flat for 5 s), ``unusable``
    (n_windows,) that no lead can carry a rhythm now (flat for 4 s, off, or missing), ``present``
    (n_windows, n_channels) is the share of samples that were there in the last 4 s and ``usable``
    (n_windows, n_channels) says which leads may be looked at.
    """

    off: BoolArray
    unusable: BoolArray
    present: FloatArray
    usable: BoolArray


def lead_status(bank: Bank, due: Due) -> LeadStatus:
    """Judge all leads of the due windows from unfiltered samples (docs/alarms.md)."""
    rate_hz = bank.spec.rate_hz
    raw, present, lead_off = bank.recent(due, round(FLAT_S * rate_hz))
    exists = np.arange(raw.shape[1]) < bank.n_channels[due.slots][:, None]
    last = round(ASYSTOLE_S * rate_hz)
    flat_long = _flat(raw, present)
    flat = _flat(raw[:, :, -last:], present[:, :, -last:])
    share = present[:, :, -last:].mean(axis=2, dtype=np.float32)
    flagged = lead_off[:, :, -1]
    enough = bank.count[due.slots] >= round(FLAT_S * rate_hz)
    off: BoolArray = np.all(flagged | (flat_long & enough[:, None]) | ~exists, axis=1)
    usable = exists & ~flagged & ~flat & (share >= MIN_PRESENT)
    unusable: BoolArray = ~usable.any(axis=1)
    return LeadStatus(off, unusable, share, usable)


def _flat(raw: FloatArray, present: BoolArray) -> BoolArray:
    high = np.where(present, raw, -np.inf).max(axis=2)
    low = np.where(present, raw, np.inf).min(axis=2)
    some = present.any(axis=2)
    return some & (np.where(some, high, 0) - np.where(some, low, 0) < FLAT_MV)


def preferred_lead(channels: tuple[str, ...]) -> int:
    """Index of the lead to begin with."""
    names = [name.upper() for name in channels]
    return next((names.index(name) for name in PREFERRED if name in names), 0)


def choose_leads(current: IntArray, status: LeadStatus) -> IntArray:
    """Keep each bed's lead while it can be used and misses no more than another, else take the best.

    Parameters
    ----------
    current : ndarray of int64, shape (n_windows,)
        Lead looked at so far.
    status : LeadStatus
        Of the leads.
    """
    share = np.where(status.usable, status.present, -1.0)
    own = share[np.arange(len(current)), current]
    keep = (own >= share.max(axis=1) - SHARE_MARGIN) | ~status.usable.any(axis=1)
    return np.where(keep, current, share.argmax(axis=1))
