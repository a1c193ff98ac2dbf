"""The ECG's conditions held against the pulse: PLETH and ABP of the same beds."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from inference import confirm
from inference.alarms import Conditions
from inference.evidence import ECG_SPECS, Evidence
from inference.pulse_step import InStep
from inference.pulses import PulseMonitor
from ingest.bank import Due
from ingest.types import BoolArray

ECG_KINDS: Final = tuple(spec.kind for spec in ECG_SPECS)


class PulseCheck:
    """Takes back what a pulse contradicts. State of all beds, one row a slot of the ECG.

    Parameters
    ----------
    pulses : PulseMonitor or None
        What PLETH and ABP say; without it nothing contradicts the ECG.
    n_slots : int
        Beds to make room for.
    """

    def __init__(self, pulses: PulseMonitor | None, n_slots: int) -> None:
        self._pulses = pulses
        self._numbers = np.zeros(n_slots, dtype=np.int64)
        self.in_step = InStep(n_slots)

    def resize(self, n_slots: int) -> None:
        """Make room for more slots."""
        self._numbers = np.pad(self._numbers, (0, max(0, n_slots - len(self._numbers))))
        self.in_step.resize(n_slots)

    def take(self, slot: int, bed: str) -> None:
        """Look for the pulses of a bed that has a slot now."""
        if self._pulses is not None:
            self._numbers[slot] = self._pulses.number(bed)

    def __call__(self, due: Due, evidence: Evidence, found: Conditions) -> tuple[Conditions, BoolArray]:
        """Take back what a pulse contradicts; only what records before the window's last one told counts.

        The second says where a rate of 0 is contradicted: beats go on that the ECG does not show.
        """
        unseen = np.zeros(len(due.slots), dtype=np.bool_)
        if self._pulses is None:
            return found, unseen
        numbers = self._numbers[due.slots]
        watched = np.flatnonzero(self._pulses.watched(numbers))
        if len(watched) == 0:
            return found, unseen
        pulse = self._pulses.evidence(numbers[watched], found.times_ns[watched], due.offsets[watched])
        pulse = self.in_step.checked(due.slots[watched], pulse, evidence.beats.times_ns[watched])
        told = found.true[watched].any(axis=1)
        rows = watched[told]
        if len(rows) == 0:
            return found, unseen
        pulse = pulse.of(np.flatnonzero(told))
        onsets_ns, low = found.onsets_ns[rows], ECG_KINDS.index(confirm.HR_LOW)
        onsets_ns[:, low] = evidence.quiet_since_ns[rows]
        judged = confirm.judge(ECG_KINDS, pulse, onsets_ns, found.values[rows])
        unseen[rows] = judged.contradicted[:, low]
        true = found.true.copy()
        true[rows] = confirm.without(ECG_KINDS, true[rows], judged)
        place = {int(row): at for at, row in enumerate(rows)}
        taken = replace(
            found,
            true=true,
            reasons=lambda row, column: (
                tuple(confirm.reasons(ECG_KINDS[column], pulse, place[row])) if row in place else ()
            ),
        )
        return taken, unseen
