"""Which lead of each bed is looked at, and what it and another one showed in the last windows."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.evidence import OF_WINDOWS
from inference.predictor import Predictor, Probabilities
from inference.quality import LeadStatus, choose_leads, preferred_lead
from inference.second_lead import SecondLook, Seen
from ingest.bank import Bank, Due
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

SUSPECT: Final = ("vf", "vt", "noise")
"""Rhythms of which another lead is asked."""


class Leads:
    """State of all beds, one row a slot.

    Parameters
    ----------
    bank : Bank
        Holds the leads.
    predictor : Predictor
        The network that looks at another lead where the first is suspect.

    Attributes
    ----------
    lead : ndarray of int64, shape (n_slots,)
        The lead that is looked at.
    rhythms, elsewhere : ndarray, shape (n_slots, OF_WINDOWS, n_classes)
        Rhythm probabilities of the last windows of it and of another one, NaN where there is none; newest
        last.
    """

    def __init__(self, bank: Bank, predictor: Predictor) -> None:
        n_slots = len(bank.count)
        self._card = predictor.spec
        self._second_look = SecondLook(bank, predictor)
        self.lead = np.zeros(n_slots, dtype=np.int64)
        self.rhythms = np.full((n_slots, OF_WINDOWS, len(self._card.window_classes)), np.nan)
        self.elsewhere = np.full_like(self.rhythms, np.nan)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        extra = n_slots - len(self.lead)
        if extra <= 0:
            return
        self.lead = np.pad(self.lead, (0, extra))
        more = ((0, extra), (0, 0), (0, 0))
        self.rhythms = np.pad(self.rhythms, more, constant_values=np.nan)
        self.elsewhere = np.pad(self.elsewhere, more, constant_values=np.nan)

    def reset(self, slot: int, channels: tuple[str, ...] = ()) -> None:
        """Begin anew with the preferred one of some leads."""
        self.lead[slot] = preferred_lead(channels)
        self.rhythms[slot] = self.elsewhere[slot] = np.nan

    def choose(self, slots: IntArray, status: LeadStatus) -> tuple[IntArray, IntArray]:
        """Choose by cheap measures; returns each bed's lead, and the beds whose lead is another now."""
        leads = choose_leads(self.lead[slots], status)
        changed = slots[self.lead[slots] != leads]
        self.lead[slots] = leads
        return leads, changed

    def remember(self, slots: IntArray, rhythms: WideFloatArray | FloatArray) -> None:
        """Take in what the network said of the windows, NaN where it does not count."""
        _push(self.rhythms, slots, rhythms)

    def look(
        self, due: Due, leads: IntArray, status: LeadStatus, said: Probabilities, quiet: BoolArray
    ) -> Seen:
        """Look at another lead of beds that are ``quiet`` (n_windows,), or whose rhythm is suspect."""
        suspect = quiet.copy()
        for name in SUSPECT:
            shown = said.rhythms[:, self._card.window_classes.index(name)]
            suspect |= shown >= self._card.thresholds[name]
        seen = self._second_look(due, leads, status, suspect)
        _push(self.elsewhere, due.slots, seen.rhythms)
        return seen

    def leave(self, slots: IntArray, seen: Seen, blind: BoolArray) -> IntArray:
        """Leave leads that are blind, or noisy where another is clean, for it; returns whose were left."""
        own, other = self._noise_votes(slots)
        change = (seen.lead >= 0) & (blind | ((own >= 2) & (other == 0)))
        of = np.asarray(slots[change])
        self.lead[of] = seen.lead[change]
        before, there = self.rhythms[of], self.elsewhere[of]
        # Windows in which the new lead was not looked at keep what the old one showed: no vote is lost.
        self.rhythms[of] = np.where(np.isnan(there), before, there)
        self.elsewhere[of] = before
        return of

    def noisy(self, slots: IntArray, status: LeadStatus, told: BoolArray) -> BoolArray:
        """Noise on every lead, in most of the last windows or by the cheap measures.

        Where it is ``told`` (n_beds,) already, one window is enough to go on.
        """
        own, other = self._noise_votes(slots)
        noise = (own >= np.where(told, 1, 2)) & (other != 0)
        return np.asarray(noise | ((status.dirty | ~status.usable).all(axis=1) & ~status.unusable))

    def _noise_votes(self, slots: IntArray) -> tuple[IntArray, IntArray]:
        """How many of the last windows are noise, of the lead that is looked at and of another.

        Of another lead -1 where it was looked at less than twice.
        """
        column = self._card.window_classes.index("noise")
        least = self._card.thresholds["noise"]
        own = np.nan_to_num(self.rhythms[slots, :, column]) >= least
        elsewhere = self.elsewhere[slots, :, column]
        other = np.nan_to_num(elsewhere) >= least
        seen_twice = (~np.isnan(elsewhere)).sum(axis=1) >= 2
        return own.sum(axis=1), np.where(seen_twice, other.sum(axis=1), -1)


def _push(ring: WideFloatArray, slots: IntArray, newest: WideFloatArray | FloatArray) -> None:
    ring[slots] = np.concatenate([ring[slots, 1:], newest[:, None].astype(np.float64)], axis=1)
