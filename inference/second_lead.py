"""A second look: what another lead shows when the one that is looked at alarms.

An electrode that comes loose leaves one lead smooth, or full of artefact, while the others go on showing
beats. So before it calls a standstill or a slow heart, the monitor looks whether another lead has beats, and
what that lead's rhythm is before it calls a tachycardia. Only leads of beds that are suspect are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.beats import NEVER
from inference.doubt import SURE, heights_mv
from inference.feature_reader import Read, reader_of
from inference.found_beats import MARGIN_S
from inference.predictor import Predictor
from inference.quality import LeadStatus, lead_worth
from ingest.bank import Bank, Due
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray
from models.decode import decode_beats
from models.spec import ModelSpec

QUIET_S: Final = 1.2
"""Without a beat for so long, another lead is looked at."""

APART_S: Final = 0.3
"""A beat of another lead is one's own when it is nearer than this to one."""

LEAST_BEATS: Final = 2
WITHIN_S: Final = 4.0
"""So many sure beats must be in the last seconds: one alone may be noise."""

LEAST_MV: Final = 0.15
"""Least deflection of a QRS (ANSI/AAMI EC13)."""

CHANGE_S: Final = 2.0
"""After so long without beats of its own a lead is left for one that shows them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What other leads showed, for some beds. Shapes (n_beds,) unless said.

    Parameters
    ----------
    lead : ndarray of int64
        Which lead was looked at, -1 where none was.
    rhythms : ndarray, shape (n_beds, n_classes)
        Its rhythm, NaN where none was looked at.
    beat_ns : ndarray of int64
        Its last beat, :data:`~inference.beats.NEVER` where it showed none or not enough.
    """

    lead: IntArray
    rhythms: WideFloatArray
    beat_ns: IntArray


class SecondLook:
    """Looks at another lead of beds that are suspect.

    Parameters
    ----------
    bank : Bank
        Holds the leads.
    predictor : Predictor
        The network.
    """

    def __init__(self, bank: Bank, predictor: Predictor) -> None:
        self._bank = bank
        self._card = predictor.spec
        self._read = reader_of(bank, predictor, self._card.right_context_s + WITHIN_S + MARGIN_S)

    def __call__(self, due: Due, leads: IntArray, status: LeadStatus, suspect: BoolArray) -> Seen:
        """Look at the best other lead of each suspect bed.

        Parameters
        ----------
        due : Due
            Windows, each bed once.
        leads : ndarray of int64, shape (n_windows,)
            Leads that are looked at already.
        status : LeadStatus
            Of all leads.
        suspect : ndarray of bool, shape (n_windows,)
            Where to look.
        """
        n_windows, n_classes = len(leads), len(self._card.window_classes)
        seen = Seen(
            np.full(n_windows, -1), np.full((n_windows, n_classes), np.nan), np.full(n_windows, NEVER)
        )
        worth = lead_worth(status)
        worth[np.arange(n_windows), leads] = -1.0
        rows = np.flatnonzero(suspect & (worth.max(axis=1) > 0))
        if len(rows) == 0:
            return seen
        others = worth[rows].argmax(axis=1)
        part = Due(due.slots[rows], due.ends[rows], due.offsets[rows])
        read = self._read(part, others)
        starts_ns = self._bank.time_ns(part.slots, part.ends - self._bank.window)
        seen.lead[rows] = others
        seen.rhythms[rows] = read.said.rhythms
        seen.beat_ns[rows] = _last_beats_ns(self._card, read, starts_ns)
        return seen


def _last_beats_ns(card: ModelSpec, read: Read, starts_ns: IntArray) -> IntArray:
    """Time of each window's last sure beat where there are enough of them; shape (n_windows,)."""
    until_s = card.window_s - card.right_context_s
    found = decode_beats(
        read.said.steps,
        card.step_s,
        threshold=SURE,
        final_from_s=until_s - WITHIN_S,
        final_to_s=until_s,
    )
    at = np.clip(np.rint(found.position_s * card.fs_hz).astype(np.int64), 0, read.windows.shape[1] - 1)
    sure = read.present[found.window, at]
    sure &= heights_mv(read.windows, card.fs_hz, found.window, at) >= LEAST_MV
    window, position_s = found.window[sure], found.position_s[sure]
    count = np.bincount(window, minlength=len(starts_ns))
    last_s = np.zeros(len(starts_ns))
    np.maximum.at(last_s, window, position_s)
    last_ns = starts_ns + np.round(last_s * NS_PER_S).astype(np.int64)
    return np.where(count >= LEAST_BEATS, last_ns, NEVER)
