"""What was measured when an alarm of the ECG was raised, in words; made only for what is raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from inference.alarms import Conditions
from inference.beats import FUSION, VENTRICULAR
from inference.evidence import ECG_SPECS, OF_WINDOWS, Evidence
from inference.rules_ventricular import WIDE_NS
from inference.types import Priority
from inference.waves import wave_rate_bpm
from ingest.types import FloatArray, IntArray, WideFloatArray

RHYTHMS: Final = {"vf": "ventricular fibrillation", "vt": "ventricular tachycardia", "asystole": "asystole"}
"""Alarms that the network's word belongs to: what each is called there."""

SEEN_WITH: Final = {"vf": ("vf", "vt"), "vt": ("vt", "vf"), "asystole": ("asystole",)}
"""The network divides one probability between fibrillation and tachycardia."""

WORTH: Final = 0.05
"""Least probability of the other one of both that is worth a word."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Of some beds at one step.

    Parameters
    ----------
    evidence : Evidence
        What the rules looked at.
    windows : ndarray of float32, shape (n_beds, n_times)
        The leads that were looked at, mV.
    fs_hz : float
        Their rate.
    leads : ndarray of int64, shape (n_beds,)
        Their numbers.
    quality : ndarray of float64, shape (n_beds,)
        0 to 1.
    channels : mapping
        Names of each slot's leads.
    """

    evidence: Evidence
    windows: FloatArray
    fs_hz: float
    leads: IntArray
    quality: WideFloatArray
    channels: Mapping[int, tuple[str, ...]]

    def explain(self, found: Conditions) -> Conditions:
        """Conditions with these words before those that they have."""
        others = found.reasons
        return replace(
            found,
            reasons=lambda row, column: (
                *self.words(row, column),
                *(() if others is None else others(row, column)),
            ),
        )

    def words(self, row: int, column: int) -> tuple[str, ...]:
        """Reasons for one bed's alarm; none for technical ones, whose message says it all."""
        spec = ECG_SPECS[column]
        if spec.priority is Priority.TECHNICAL:
            return ()
        said = [] if spec.kind not in RHYTHMS else self._network(row, spec.kind)
        if spec.kind == "vf":
            said.append(self._waves(row))
        if spec.kind == "vt":
            said.append(self._beats(row))
        return (*said, f"lead {self._lead(row)}, signal quality {self.quality[row]:.2f}")

    def _lead(self, row: int) -> str:
        return self.channels[int(self.evidence.slots[row])][int(self.leads[row])]

    def _network(self, row: int, kind: str) -> list[str]:
        """The network's probabilities in the last windows, and those of another lead where it was asked."""
        said = []
        looked_at = (self.evidence.rhythms, self._lead(row)), (self.evidence.elsewhere, "another lead")
        for shown, where in looked_at:
            parts = []
            for name in SEEN_WITH[kind]:
                last = shown[row, :, self.evidence.classes.index(name)]
                if np.isnan(last).all() or (name != kind and np.nanmax(last) < WORTH):
                    continue
                of = " ".join("–" if np.isnan(one) else f"{one:.2f}" for one in last)
                parts.append(f"{RHYTHMS[name]} {of}")
            if parts:
                said.append(f"{where}: {', '.join(parts)} (probability in the last {OF_WINDOWS} windows)")
        return said

    def _waves(self, row: int) -> str:
        rate = wave_rate_bpm(self.windows[[row]], self.fs_hz, np.array([True]))[0]
        return "waves of no one rate" if np.isnan(rate) else f"waves at {rate:.0f}/min"

    def _beats(self, row: int) -> str:
        """How many of the last beats are ventricular."""
        beats = self.evidence.beats
        recent = self.evidence.frontier_ns[row] - beats.times_ns[row] <= WIDE_NS
        wide = np.isin(beats.labels[row], (VENTRICULAR, FUSION)) & recent
        return f"{wide.sum()} of {recent.sum()} beats of the last 5 s ventricular"
