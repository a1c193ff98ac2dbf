"""Batches of beat sequences: drawn by kind, varied, as rows; a function of seed and step only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.beat_rows import BEFORE, FS_HZ, HISTORY, QRS, SEGMENT, rows, segments_at, shown
from models.spec import STEP_CLASSES
from training.beats_config import BeatsAugment, BeatsData
from training.beats_made import make_lead, ventricular_segments
from training.beats_records import NONE, Lead
from training.errors import DataMissing
from training.sources import FloatArray, IntArray, WideFloatArray

Masks = npt.NDArray[np.uint8]
FEWEST_DONATED: Final = 10
EDGE: Final = 4
"""Beats cut beyond what is kept, since some are dropped."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A sequence of beats before it becomes rows: segments (m, SEGMENT), peaks (m,), masks (m,).

    ``next_s`` is the time from the last beat to the lead's next one; NaN where there is none.
    """

    segments: FloatArray
    peaks: WideFloatArray
    allowed: Masks
    next_s: float


def unpack(masks: Masks) -> FloatArray:
    """Bit masks (...) to one column a step class (..., 5)."""
    return ((masks[..., None] >> np.arange(len(STEP_CLASSES))) & 1).astype(np.float32)


def _missed(rng: np.random.Generator, peaks: IntArray, allowed: Masks) -> tuple[IntArray, Masks]:
    """Drop some beats, as a detector may."""
    keep = rng.random(len(peaks)) > rng.uniform(0.005, 0.05)
    return (peaks[keep], allowed[keep]) if keep.sum() > 2 else (peaks, allowed)


def _false(
    rng: np.random.Generator, signal: FloatArray, peaks: IntArray, allowed: Masks
) -> tuple[IntArray, Masks]:
    """Put in some beats that are none, on the largest deflection near a chance place."""
    gaps = np.diff(peaks)
    where = np.flatnonzero((gaps > 62) & (gaps < 250))
    where = where[rng.random(len(where)) < rng.uniform(0.005, 0.05)]
    if not len(where):
        return peaks, allowed
    made = peaks[where] + np.rint(gaps[where] * rng.uniform(0.25, 0.75, len(where))).astype(np.int64)
    reach = np.arange(-10, 11)
    level = np.median(signal[peaks[0] : peaks[-1] : 7])
    near = np.abs(signal[np.clip(made[:, None] + reach, 0, len(signal) - 1)] - level)
    made = made + reach[near.argmax(1)]
    made = made[(made - peaks[where] > 25) & (peaks[where + 1] - made > 25)]
    both = np.concatenate([peaks, made])
    order = np.argsort(both, kind="stable")
    return both[order], np.concatenate([allowed, np.full(len(made), NONE)])[order]


def _stretched(segments: FloatArray, factor: float) -> FloatArray:
    """Segments whose time runs ``factor`` times faster around the peak."""
    place = np.clip((np.arange(SEGMENT) - BEFORE) * factor + BEFORE, 0, SEGMENT - 1.001)
    left = place.astype(np.int64)
    share = (place - left).astype(np.float32)
    return np.asarray(segments[:, left] * (1 - share) + segments[:, left + 1] * share, dtype=np.float32)


class Sampler:
    """Draws batches of training sequences.

    Parameters
    ----------
    annotated, found : sequence of Lead
        Leads of mitdb; of CinC 2017 (may be empty).
    noise : ndarray of float32, shape (n,)
        Of nstdb, conditioned as the signals are, unit standard deviation.
    data, augment
        Parts of the recipe.
    wait_s : float
        So long is a last beat's next one waited for when it serves.
    seed : int
        Of the made recordings.

    Raises
    ------
    DataMissing
        No lead with beats at all.
    """

    def __init__(
        self,
        annotated: Sequence[Lead],
        found: Sequence[Lead],
        noise: FloatArray,
        data: BeatsData,
        augment: BeatsAugment,
        wait_s: float,
        seed: int,
    ) -> None:
        self.annotated, self.found, self.noise = list(annotated), list(found), noise
        self.data, self.augment, self.wait_s = data, augment, wait_s
        if not any((lead.allowed > 0).any() for lead in self.annotated):
            raise DataMissing("no record with annotated beats on the training side: add mitdb records to it")
        self.shown = shown(data.hidden)
        self.made = self._make(seed) if data.draw_made > 0 else []
        counts = {kind: self._counts(kind) for kind in (None, "S", "V", "F")}
        self.weights = {kind: np.sqrt(n) / np.sqrt(n).sum() for kind, n in counts.items() if n.sum()}

    def _make(self, seed: int) -> list[Lead]:
        """Made recordings: some of each annotated lead, one of each found one in normal rhythm."""
        plans = [
            (lead, self.data.made_beats) for lead in self.annotated for _ in range(self.data.made_per_lead)
        ]
        plans += [(lead, 150) for lead in self.found if lead.sinus]
        donors = [
            found for lead in self.annotated if len(found := ventricular_segments(lead)) >= FEWEST_DONATED
        ]
        made = [
            make_lead(lead, np.random.default_rng([seed, i]), n, donors) for i, (lead, n) in enumerate(plans)
        ]
        return [lead for lead in made if lead is not None]

    def _counts(self, kind: str | None) -> IntArray:
        masks = [lead.allowed > 0 if kind is None else _is(lead.allowed, kind) for lead in self.annotated]
        return np.array([int(mask.sum()) for mask in masks], dtype=np.int64)

    def _draw(self, rng: np.random.Generator) -> tuple[Lead, str | None]:
        """A lead, and the class that a beat of it shall have."""
        data, u = self.data, float(rng.random())
        if self.found and u < data.draw_cinc2017:
            return self.found[int(rng.integers(len(self.found)))], None
        if self.made and u > 1 - data.draw_made:
            lead = self.made[int(rng.integers(len(self.made)))]
            ectopy = "V" if _is(lead.allowed, "V").any() else "S"
            return lead, None if rng.random() < 0.3 else ectopy
        shares = {"S": data.draw_s, "V": data.draw_v, "F": data.draw_f}
        kind, v = None, float(rng.random())
        for name, share in shares.items():
            if v < share and name in self.weights:
                kind = name
                break
            v -= share
        return self.annotated[int(rng.choice(len(self.annotated), p=self.weights[kind]))], kind

    def _cut(self, rng: np.random.Generator, lead: Lead, kind: str | None, longest: int) -> Cut:
        """A sequence that ends at a chance place, or soon after a beat of the class asked for."""
        n, augment = len(lead.peaks), self.augment
        wanted = np.flatnonzero(_is(lead.allowed, kind)) if kind else np.zeros(0, dtype=np.int64)
        if len(wanted):
            after = rng.integers(0, self.data.beats) if rng.random() < 0.6 else rng.integers(0, 3)
            end = min(n, int(wanted[rng.integers(len(wanted))]) + 1 + int(after))
        else:
            end = int(rng.integers(min(8, n), n + 1))
        begin = max(0, end - longest - EDGE)
        if rng.random() < augment.short:
            begin = max(begin, end - int(rng.integers(4, longest)))
        peaks, allowed = lead.peaks[begin:end], lead.allowed[begin:end]
        if rng.random() < augment.jitter:
            peaks = peaks + np.rint(rng.normal(0, rng.uniform(0.3, 1.8), len(peaks))).astype(np.int64)
        if rng.random() < augment.missed:
            peaks, allowed = _missed(rng, peaks, allowed)
        if rng.random() < augment.false and len(peaks) > 2:
            peaks, allowed = _false(rng, lead.signal, peaks, allowed)
        peaks, allowed = peaks[-longest:], allowed[-longest:]
        segments = self._varied(rng, segments_at(lead.signal, peaks), peaks)
        rate = np.exp(rng.uniform(-augment.rate_scale, augment.rate_scale)) if rng.random() < 0.7 else 1.0
        next_s = float(rate * (lead.peaks[end] - peaks[-1]) / FS_HZ) if end < n else np.nan
        return Cut(segments, (peaks - peaks[0]) * float(rate), allowed, next_s)

    def _varied(self, rng: np.random.Generator, segments: FloatArray, peaks: IntArray) -> FloatArray:
        """Noise, gain (which the rows take out again, but for the floor of noise), flip and time scale."""
        augment = self.augment
        if rng.random() < augment.noise:
            level = np.exp(rng.uniform(*np.log(augment.noise_level)))
            level *= np.median(np.ptp(segments[:, QRS], axis=1))
            begin = int(rng.integers(len(self.noise)))
            at = (begin + peaks[:, None] - peaks[0] + np.arange(SEGMENT)) % len(self.noise)
            segments = segments + np.float32(level) * self.noise[at]
        if rng.random() < augment.white:
            spread = np.exp(rng.uniform(np.log(0.002), np.log(0.03)))
            segments = segments + np.float32(spread) * rng.standard_normal(segments.shape, dtype=np.float32)
        if rng.random() < augment.flip:
            segments = -segments
        if rng.random() < 0.5 and augment.time_scale > 0:
            segments = _stretched(
                segments, float(np.exp(rng.uniform(-augment.time_scale, augment.time_scale)))
            )
        return segments

    def batch(self, seed: int, step: int, n: int) -> dict[str, npt.NDArray[np.generic]]:
        """Batch number ``step``.

        Returns
        -------
        dict
            ``x`` (n, T, ROW) rows; ``allowed`` (n, T, 5) classes that may hold, all 0 where nothing is known.
        """
        rng = np.random.default_rng([seed, step])
        beats = self.data.beats
        m = beats + HISTORY
        segments = np.zeros((n, m, SEGMENT), dtype=np.float32)
        intervals = np.full((n, m), np.nan)
        allowed = np.zeros((n, m), dtype=np.uint8)
        first, waited = np.zeros(n, dtype=np.int64), np.full(n, np.nan)
        for i in range(n):
            cut = self._cut(rng, *self._draw(rng), m)
            first[i] = m - len(cut.peaks)
            segments[i, first[i] :], allowed[i, first[i] :] = cut.segments, cut.allowed
            intervals[i, first[i] + 1 :] = np.diff(cut.peaks) / FS_HZ
            if cut.next_s > self.wait_s and rng.random() < self.augment.waited:
                waited[i] = self.wait_s
        x = rows(segments, intervals, first, beats, waited) * self.shown
        return {"x": x, "allowed": unpack(allowed[:, -beats:])}


def _is(allowed: Masks, kind: str) -> npt.NDArray[np.bool_]:
    return np.asarray(allowed == 1 << STEP_CLASSES.index(kind))
