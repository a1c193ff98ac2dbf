"""Batches of windows with the share of each step that each wave covers; a function of seed and step only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.delineate import STEP_CLASSES
from training.delineation_config import DelineationAugment, DelineationData
from training.delineation_records import Lead
from training.errors import DataMissing
from training.monitor_noise import log_uniform
from training.sources import FloatArray, IntArray, WideFloatArray


def cover(lead: Lead) -> WideFloatArray:
    """How much of each class lies before each sample, (n_samples + 1, 1 + classes), in samples.

    Row ``k`` counts what lies before the time of sample ``k - 1/2``. Column 0 is the time between the first
    and last mark, the others are the classes of :data:`models.delineate.STEP_CLASSES` after ``none``.
    """
    edge = np.arange(len(lead.signal) + 1) - 0.5
    total = np.zeros((len(edge), len(STEP_CLASSES)))

    def add(column: int, begin: float, end: float) -> None:
        total[:, column] += np.clip(edge - begin, 0.0, end - begin)

    add(0, *lead.known)
    for kind, (onset, peak, end) in zip(lead.kind.tolist(), lead.marks.tolist(), strict=True):
        add(1 + 2 * kind, onset, peak)
        add(2 + 2 * kind, peak, end)
    return total


class DelineationSampler:
    """Draws batches of training windows, each lead as often as any other.

    Parameters
    ----------
    leads : sequence of Lead
        Of the training side.
    fibrillation : sequence of ndarray of float32
        Stretches in which no P wave can be; may be empty.
    noise : ndarray of float32, shape (n,)
        Conditioned as the signals are, of unit standard deviation.
    rate_hz : float
        Of both.
    stride : int
        Samples a step.
    data, augment
        Parts of the recipe.

    Raises
    ------
    DataMissing
        No lead, or one shorter than a window.
    """

    def __init__(
        self,
        leads: Sequence[Lead],
        fibrillation: Sequence[FloatArray],
        noise: FloatArray,
        rate_hz: float,
        stride: int,
        data: DelineationData,
        augment: DelineationAugment,
    ) -> None:
        self.length = round(data.window_s * rate_hz)
        self.stride, self.augment, self.noise, self.inside = stride, augment, noise, data.inside
        if not leads:
            raise DataMissing("no lead with waves on the training side")
        short = [lead for lead in leads if len(lead.signal) < self.length + 2]
        if short:
            raise DataMissing(
                f"{short[0].record}: shorter than a window of {data.window_s:g} s; set data.window_s to less"
            )
        signals = [lead.signal for lead in leads]
        # Twice a window: room for the fastest time scale.
        signals += [part for part in fibrillation if len(part) > 2 * self.length]
        self.size = np.array([len(signal) for signal in signals])
        self.begin = np.cumsum(self.size) - self.size
        self.signal = np.concatenate(signals)
        self.known = np.array([lead.known for lead in leads])
        self.n_leads = len(leads)
        self.share = data.fibrillation_share if len(signals) > len(leads) else 0.0
        # Long stretches are drawn more often, but not in proportion: they are of one patient.
        weight = np.sqrt(np.minimum(self.size[self.n_leads :], 60 * rate_hz))
        self.fibrillation_weight = weight / weight.sum() if self.share else weight
        self.cover = np.concatenate([cover(lead).astype(np.float32) for lead in leads])
        self.cover_begin = self.begin[: len(leads)] + np.arange(len(leads))

    def batch(self, seed: int, step: int, n: int) -> dict[str, FloatArray]:
        """Batch number ``step``: the same numbers for the same seed and step.

        Returns
        -------
        dict
            ``x`` (n, 1, N) in mV; ``steps`` (n, T, 7), shares that sum to 1; ``known`` (n, T), 1 where the
            step lies between the first and last mark; ``no_p`` (n,), 1 for windows in fibrillation, of which
            nothing else is known.
        """
        rng = np.random.default_rng([seed, step])
        n_marked = n - round(self.share * n)
        chosen = rng.integers(self.n_leads, size=n)
        if n_marked < n:
            drawn = rng.choice(len(self.fibrillation_weight), size=n - n_marked, p=self.fibrillation_weight)
            chosen[n_marked:] = self.n_leads + drawn
        scale = np.ones(n)
        scaled = rng.random(n) < self.augment.time_scale_probability
        scale[scaled] = log_uniform(rng, self.augment.time_scale, int(scaled.sum()))
        scale = np.minimum(scale, (self.size[chosen] - 2) / self.length)
        start = self._starts(rng, chosen, scale)
        n_steps = -(-self.length // self.stride)
        steps = np.zeros((n, n_steps, len(STEP_CLASSES)), dtype=np.float32)
        known = np.zeros((n, n_steps), dtype=np.float32)
        marked = slice(0, n_marked)
        steps[marked], known[marked] = self._targets(chosen[marked], start[marked], scale[marked])
        x = self._cut(chosen, start, scale)
        x *= log_uniform(rng, self.augment.gain, n)[:, None].astype(np.float32)
        x *= np.where(rng.random(n) < self.augment.flip_probability, -1.0, 1.0)[:, None].astype(np.float32)
        self._add_noise(rng, x)
        no_p = (np.arange(n) >= n_marked).astype(np.float32)
        return {"x": x[:, None], "steps": steps, "known": known, "no_p": no_p}

    def _starts(self, rng: np.random.Generator, chosen: IntArray, scale: WideFloatArray) -> WideFloatArray:
        """First sample of each window, so that enough of it lies between the marks, if there are any."""
        span = self.length * scale
        last = self.size[chosen] - 2 - span
        lead = np.minimum(chosen, self.n_leads - 1)
        marked = chosen < self.n_leads
        low = np.where(marked, np.clip(self.known[lead, 0] - (1 - self.inside) * span, 0.0, last), 0.0)
        high = np.where(marked, np.clip(self.known[lead, 1] - self.inside * span, 0.0, last), last)
        share = rng.random(len(chosen))
        return np.asarray(np.minimum(low, high) + share * np.abs(high - low), dtype=np.float64)

    def _cut(self, chosen: IntArray, start: WideFloatArray, scale: WideFloatArray) -> FloatArray:
        """Windows (B, N) by linear interpolation; ``scale`` > 1 makes time run faster."""
        place = start[:, None] + np.arange(self.length) * scale[:, None]
        left = place.astype(np.int64)
        share = (place - left).astype(np.float32)
        left += self.begin[chosen, None]
        return np.asarray(self.signal[left] * (1 - share) + self.signal[left + 1] * share, dtype=np.float32)

    def _targets(
        self, chosen: IntArray, start: WideFloatArray, scale: WideFloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Share of each step that each class covers (B, T, 7), and where it is known (B, T)."""
        n_steps = -(-self.length // self.stride)
        edge = (np.arange(n_steps + 1) - 0.5) * self.stride
        place = start[:, None] + edge * scale[:, None] + 0.5
        place = np.clip(place, 0.0, self.size[chosen, None] - 1e-6)
        left = place.astype(np.int64)
        share = (place - left)[:, :, None].astype(np.float32)
        left += self.cover_begin[chosen, None]
        before = self.cover[left] * (1 - share) + self.cover[left + 1] * share
        covered = np.diff(before, axis=1) / np.float32(self.stride)
        covered /= scale[:, None, None].astype(np.float32)
        waves = np.clip(covered[:, :, 1:], 0.0, 1.0)
        none = np.clip(1.0 - waves.sum(-1, keepdims=True), 0.0, 1.0)
        steps = np.concatenate([none, waves], axis=-1)
        known = (covered[:, :, 0] > 0.5).astype(np.float32)
        return steps.astype(np.float32), known

    def _add_noise(self, rng: np.random.Generator, x: FloatArray) -> None:
        """Wander or muscle noise in proportion to the window's own spread, and a little white noise."""
        augment, length = self.augment, x.shape[1]
        rows = np.flatnonzero(rng.random(len(x)) < augment.noise_probability)
        level = x[rows].std(1) * log_uniform(rng, augment.noise_level, len(rows))
        begin = rng.integers(0, len(self.noise) - length, size=len(rows))
        x[rows] += self.noise[begin[:, None] + np.arange(length)] * level[:, None].astype(np.float32)
        rows = np.flatnonzero(rng.random(len(x)) < augment.white_probability)
        white = rng.standard_normal((len(rows), length), dtype=np.float32)
        x[rows] += white * log_uniform(rng, augment.white_mv, len(rows))[:, None].astype(np.float32)
