"""Batches for the shock task: kinds of windows by weight, patients evenly within a kind, then varied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.errors import DataMissing
from training.shock_augment import vary
from training.shock_config import KINDS, ShockAugment, ShockData
from training.shock_rate import periods
from training.shock_records import OTHER, STRATA, VF, VT, WINDOW_S, ShockRecord, Span
from training.shock_windows import ShockWindows, windows_of
from training.sources import FloatArray, IntArray, WideFloatArray

HOP_S = 0.25
FAST_MARKS = ("(AFIB", "(AFL", "(SVTA", "(AB", "(PREX")
ALARM_KINDS = {VF: "vf", VT: "vt", VT | OTHER: "ectopy"}
WIDE_MARKS = ("(B", "(T", "(IVR", "(VER", "(P", "(BI", "(BII")


def kind_of(source: str, span: Span) -> str | None:
    """Kind of window that a span yields; None for what never trains."""
    if span.stratum in ("vf", "vt", "slow vt", "ectopy"):
        return span.stratum
    if span.stratum == "noise":
        return "noise" if span.allowed == OTHER else None
    if source == "cinc2017":
        return "handheld noise" if span.mark == "~" else "handheld"
    if source == "cinc2015":
        return ALARM_KINDS.get(span.allowed) or ("false alarm" if span.mark == "false alarm" else "alarm")
    if span.mark == "(ASYS":
        return "asystole"
    return "fast" if span.mark in FAST_MARKS else "wide" if span.mark in WIDE_MARKS else source


class ShockSampler:
    """Draws batches of training windows; a batch is a function of seed and step alone.

    Parameters
    ----------
    records : sequence of ShockRecord
        Of the training side.
    noise : ndarray of float32, shape (n,)
        Baseline wander and muscle noise, conditioned as the signals are, at unit standard deviation.
    rate_hz : float
        Rate of the signals.
    config, augment
        Parts of the recipe.

    Raises
    ------
    DataMissing
        No window of VF, or none of VT, among the records.
    """

    def __init__(
        self,
        records: Sequence[ShockRecord],
        noise: FloatArray,
        rate_hz: float,
        config: ShockData,
        augment: ShockAugment,
    ) -> None:
        self.windows: ShockWindows = windows_of(records, rate_hz, HOP_S)
        self.noise, self.augment, self.rate_hz = noise, augment, rate_hz
        self.length = round(WINDOW_S * rate_hz)
        kinds = self._kinds(records)
        self.allowed = self._doubted(config)
        self.groups = {
            kind: self._group(np.flatnonzero(kinds == index), records, config.full_seconds)
            for index, kind in enumerate(KINDS)
            if config.draw.get(kind, 0) > 0 and (kinds == index).any()
        }
        for needed in ("vf", "vt"):
            if needed not in self.groups:
                raise DataMissing(f"no window of {needed} in the {len(records)} training records")
        self.names = [*self.groups, "made noise"] if config.draw.get("made noise", 0) > 0 else [*self.groups]
        shares = np.array([config.draw[name] for name in self.names])
        self.shares = shares / shares.sum()

    def _kinds(self, records: Sequence[ShockRecord]) -> IntArray:
        """Index into ``KINDS`` of each window, -1 for none."""
        table = {}
        for owner, record in enumerate(records):
            source = record.name.partition("/")[0]
            for index, span in enumerate(record.spans):
                kind = kind_of(source, span)
                table[owner, index] = -1 if kind is None else KINDS.index(kind)
        w = self.windows
        return np.array([table[o, s] for o, s in zip(w.owner, w.span, strict=True)], dtype=np.int64)

    def _doubted(self, config: ShockData) -> IntArray:
        """Bits of each window; both of VF and VT where its regularity speaks against its mark.

        VF repeats nothing and monomorphic VT repeats itself; the sets mark coarse stretches with one name.
        """
        allowed = self.windows.allowed.copy()
        rows = np.flatnonzero((allowed == VF) | (allowed == VT))
        for part in np.array_split(rows, max(1, len(rows) // 4096)):
            cut = self.windows.signal[self.windows.start[part, None] + np.arange(self.length)]
            _, regularity = periods(cut[:, None], self.rate_hz)
            is_vt = allowed[part] == VT
            doubted = np.where(is_vt, regularity < config.irregular_vt, regularity > config.regular_vf)
            allowed[part[doubted]] = VF | VT
        return allowed

    def _group(
        self, index: IntArray, records: Sequence[ShockRecord], full_seconds: float
    ) -> tuple[list[IntArray], WideFloatArray]:
        """Windows of a kind, one array a patient, and how often each patient is drawn."""
        patients = np.array([records[o].patient for o in self.windows.owner[index]])
        names, which = np.unique(patients, return_inverse=True)
        by_patient = [index[which == i] for i in range(len(names))]
        seconds = np.array([len(part) * HOP_S for part in by_patient])
        weight = np.sqrt(np.minimum(seconds, full_seconds))
        return by_patient, weight / weight.sum()

    def _draw(self, rng: np.random.Generator, n: int) -> tuple[IntArray, IntArray]:
        """Kinds (index into ``names``) and windows; -1 where there is no window but made noise."""
        kinds = rng.choice(len(self.names), n, p=self.shares)
        chosen = np.full(n, -1, dtype=np.int64)
        for i, name in enumerate(self.names):
            rows = np.flatnonzero(kinds == i)
            if name not in self.groups or not len(rows):
                continue
            by_patient, weight = self.groups[name]
            patient = rng.choice(len(by_patient), len(rows), p=weight)
            place = rng.random(len(rows))
            chosen[rows] = [
                by_patient[p][int(u * len(by_patient[p]))] for p, u in zip(patient, place, strict=True)
            ]
        return kinds.astype(np.int64), chosen

    def batch(self, seed: int, step: int, n: int) -> dict[str, FloatArray]:
        """Windows ``x`` (n, 1, 500) in mV and ``allowed`` (n, 3), 1 for each class that may hold."""
        rng = np.random.default_rng([seed, step])
        _, chosen = self._draw(rng, n)
        partner = np.full(n, -1, dtype=np.int64)
        held = chosen >= 0
        is_vf = held & (self.allowed[chosen] == VF)
        mixed = np.flatnonzero(is_vf & (rng.random(n) < self.augment.mix_probability))
        if len(mixed):
            partner[mixed] = rng.permutation(chosen[is_vf])[: len(mixed)]
        x, allowed = vary(
            rng, self.windows, self.allowed, chosen, partner, self.noise, self.augment, self.rate_hz
        )
        bits = (allowed[:, None] >> np.arange(3)) & 1
        return {"x": x[:, None].astype(np.float32), "allowed": bits.astype(np.float32)}


def scored_strata() -> tuple[int, int, int]:
    """Indices of the strata whose truth is a class: vf, vt, other."""
    return STRATA.index("vf"), STRATA.index("vt"), STRATA.index("other")
