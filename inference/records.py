"""What the ECG monitor publishes: the arrays of one step as predictions, vitals and alarms of each bed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from inference.beat_classes import Decided
from inference.beats import LABELS
from inference.evidence import Evidence
from inference.predictor import Probabilities
from inference.quality import LeadStatus
from inference.rules_rate import displayed_rate_bpm
from inference.types import Beat, Prediction, Vital
from ingest.bank import Bank, Due
from ingest.types import BoolArray, IntArray, WideFloatArray
from models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Records:
    """Makes records of arrays; the only place that walks over beds, once for each record.

    Attributes
    ----------
    bank : Bank
        Its channels and kind of signal.
    card : ModelSpec
        Of the network that found the beats.
    names : dict of int to str
        Bed of each slot.
    """

    bank: Bank
    card: ModelSpec
    names: dict[int, str]

    def predictions(
        self,
        due: Due,
        leads: IntArray,
        said: Probabilities,
        beats: Decided,
        starts_ns: IntArray,
        ends_ns: IntArray,
        quality: WideFloatArray,
    ) -> list[Prediction]:
        """What the network said of each due window, with the beats whose class is final now."""
        of_slot: dict[int, list[Beat]] = {slot: [] for slot in due.slots.tolist()}
        found = zip(
            beats.slots.tolist(),
            beats.times_ns.tolist(),
            beats.labels.tolist(),
            beats.probabilities.round(4).tolist(),
            strict=True,
        )
        for slot, time_ns, label, probability in found:
            of_slot[slot].append(Beat(time_ns, LABELS[label], probability))
        rows = zip(
            due.slots.tolist(),
            leads.tolist(),
            starts_ns.tolist(),
            ends_ns.tolist(),
            said.rhythms.astype(np.float64).round(6).tolist(),
            quality.round(4).tolist(),
            due.offsets.tolist(),
            strict=True,
        )
        names, signal = self.card.window_classes, self.bank.kind.value
        return [
            Prediction(
                id=f"{self.names[slot]}:{signal}:prediction:{end_ns}",
                bed=self.names[slot],
                signal=signal,
                model=self.card.name,
                channel=self.bank.channels[slot][lead],
                start_ns=start_ns,
                end_ns=end_ns,
                probabilities=dict(zip(names, rhythm, strict=True)),
                beats=of_slot[slot],
                quality=share,
                raw_offset=offset,
                revision=0,
            )
            for slot, lead, start_ns, end_ns, rhythm, share, offset in rows
        ]

    def quality(self, status: LeadStatus, leads: IntArray, said: Probabilities) -> WideFloatArray:
        """Share of samples present, times the network's word that it is no noise; 0 where unusable."""
        noise = said.rhythms[:, self.card.window_classes.index("noise")]
        share = status.present[np.arange(len(leads)), leads]
        return np.where(status.unusable, 0.0, share * (1.0 - noise)).astype(np.float64)

    def vitals(
        self,
        due: Due,
        evidence: Evidence,
        fibrillates: BoolArray,
        unseen: BoolArray,
        quality: WideFloatArray,
    ) -> list[Vital]:
        """Heart rate, none where ``unseen`` beats go on, and ventricular beats of the last minute.

        In a tachycardia the latter are none: its waves do not count, and 0 would be read as a good sign.
        """
        rate = np.where(unseen, np.nan, displayed_rate_bpm(evidence, fibrillates))
        signal = self.bank.kind.value
        rows = zip(
            due.slots.tolist(),
            evidence.ends_ns.tolist(),
            rate.round(1).tolist(),
            evidence.ventricular_per_min.tolist(),
            (~evidence.unusable & ~fibrillates & ~evidence.is_active("vt")).tolist(),
            quality.round(4).tolist(),
            (~evidence.unusable).tolist(),
            due.offsets.tolist(),
            strict=True,
        )
        return [
            Vital(
                id=f"{self.names[slot]}:{signal}:vital:{time_ns}",
                bed=self.names[slot],
                signal=signal,
                time_ns=time_ns,
                heart_rate_bpm=None if math.isnan(bpm) else bpm,
                ventricular_per_min=float(per_min) if known else None,
                quality=share,
                usable=ok,
                raw_offset=offset,
                revision=0,
            )
            for slot, time_ns, bpm, per_min, known, share, ok, offset in rows
        ]
