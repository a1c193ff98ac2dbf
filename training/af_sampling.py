"""Batches of the task "af": windows of 9 to 30 s, varied; a function of seed and step only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from training.af_beats import FS_HZ, FloatArray, IntArray, Steps, WideFloatArray, cut, steps_of, to_batch
from training.af_config import AF_CLASSES, AfAugmentConfig, AfDataConfig
from training.af_records import Lead
from training.errors import DataMissing
from training.sources import bit

SETTLED: Final = 0.75
"""A window with this share of fibrillation is one, with less than ``TRACE`` is none; between, who knows."""

TRACE: Final = 0.05
APART_S: Final = 0.25
"""A false beat keeps this distance from the others."""

EDGE_S: Final = 0.05
FALSE_PROBABILITY: Final = 0.6


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], size: int) -> WideFloatArray:
    """Draws between the bounds, uniform in the logarithm."""
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), size))


@dataclass(frozen=True, slots=True)
class Draw:
    """Windows of a batch: which lead, from where, how long (seconds), how time is scaled. Shape (B,)."""

    lead: IntArray
    start_s: WideFloatArray
    duration_s: WideFloatArray
    scale: WideFloatArray


class AfSampler:
    """Draws batches.

    Parameters
    ----------
    leads : sequence of Lead
        Of the training side.
    noise : ndarray of float32, shape (n,)
        Wander and muscle noise, conditioned as the signals are, unit standard deviation.
    data, augment
        Parts of the recipe.

    Raises
    ------
    DataMissing
        A class has no lead.
    """

    def __init__(
        self, leads: Sequence[Lead], noise: FloatArray, data: AfDataConfig, augment: AfAugmentConfig
    ) -> None:
        self.leads, self.noise, self.data, self.augment = leads, noise, data, augment
        self.labels = np.array([lead.label for lead in leads], dtype=np.int64)
        absent = [name for i, name in enumerate(AF_CLASSES) if not (self.labels == i).any()]
        if absent:
            raise DataMissing(f"no training record of class {', '.join(absent)}: every class needs one")
        self.labelled = np.flatnonzero(self.labels >= 0)
        self.ward = np.flatnonzero(self.labels < 0)
        with_af = [bool((leads[i].rhythm == bit("af")).any()) for i in self.ward.tolist()]
        self.ward_af = self.ward[np.array(with_af, dtype=np.bool_)]
        self.ward_share = data.ward_share if len(self.ward) else 0.0
        lengths = np.array([len(lead.signal) for lead in leads], dtype=np.int64)
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths
        self.signal = np.concatenate([lead.signal for lead in leads])

    def batch(self, seed: int, step: int, n: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """Batch number ``step``: the same for the same seed and step.

        Returns
        -------
        dict
            ``x`` (n, T, WIDTH) float32; ``allowed`` (n, 4) float32, 1 for each class that may hold.
        """
        rng = np.random.default_rng([seed, step])
        draw = self._draw(rng, seed, step, n)
        steps = self._steps(rng, draw)
        pieces = self._pieces(rng, draw, steps)
        x = to_batch(steps, pieces, draw.scale[steps.window])
        return {"x": x, "allowed": self._allowed(draw)}

    def _chosen(self, rng: np.random.Generator, seed: int, step: int, n: int) -> IntArray:
        """Leads: the labelled ones in a new order each round, and a share of ward records."""
        n_ward = round(self.ward_share * n)
        total = len(self.labelled)
        rounds, places = np.divmod(step * (n - n_ward) + np.arange(n - n_ward), total)
        orders = {
            int(r): np.random.default_rng([seed, 1, int(r)]).permutation(total) for r in np.unique(rounds)
        }
        labelled = [
            self.labelled[orders[r][i]] for r, i in zip(rounds.tolist(), places.tolist(), strict=True)
        ]
        from_af = (rng.random(n_ward) < self.data.ward_af_share) & (len(self.ward_af) > 0)
        ward = [int(rng.choice(self.ward_af if af else self.ward)) for af in from_af.tolist()]
        return np.array([*labelled, *ward], dtype=np.int64)

    def _allowed(self, draw: Draw) -> FloatArray:
        """Classes that may hold: a record's label; on wards, fibrillation or all others, by its share."""
        allowed = np.zeros((len(draw.lead), len(AF_CLASSES)), dtype=np.float32)
        known = self.labels[draw.lead] >= 0
        allowed[known, self.labels[draw.lead[known]]] = 1.0
        a = AF_CLASSES.index("A")
        for i in np.flatnonzero(~known).tolist():
            first, length = round(draw.start_s[i] * FS_HZ), round(draw.duration_s[i] * FS_HZ)
            rhythm = self.leads[int(draw.lead[i])].rhythm[first : first + length]
            share = float((rhythm == bit("af")).mean())
            allowed[i] = share < SETTLED
            allowed[i, a] = share > TRACE
        return allowed

    def _draw(self, rng: np.random.Generator, seed: int, step: int, n: int) -> Draw:
        lead = self._chosen(rng, seed, step, n)
        whole_s = (self.ends[lead] - self.begins[lead]) / FS_HZ
        longest = np.minimum(whole_s, self.data.window_s)
        shortest = np.minimum(np.maximum(self.data.shortest_s, 0.4 * longest), longest)
        cropped = rng.random(n) < self.data.crop_probability
        duration = np.where(cropped, rng.uniform(shortest, longest), longest)
        scale = np.ones(n)
        scaled = rng.random(n) < self.augment.time_scale_probability
        scale[scaled] = log_uniform(rng, self.augment.time_scale, int(scaled.sum()))
        return Draw(lead, rng.uniform(0.0, whole_s - duration), duration, scale)

    def _steps(self, rng: np.random.Generator, draw: Draw) -> Steps:
        """Beats of each window, some missed and some false."""
        augment, n = self.augment, len(draw.lead)
        missed = np.where(
            rng.random(n) < augment.missed_probability, log_uniform(rng, augment.missed_share, n), 0.0
        )
        n_false = np.where(
            rng.random(n) < augment.false_probability, rng.integers(1, augment.false_most + 1, n), 0
        )
        times, probabilities = [], []
        for i, number in enumerate(draw.lead.tolist()):
            lead, start, duration = self.leads[number], draw.start_s[i], draw.duration_s[i]
            first, last = np.searchsorted(lead.time_s, [start + EDGE_S, start + duration - EDGE_S])
            kept = np.arange(first, last)[rng.random(last - first) >= missed[i]]
            time_s = lead.time_s[kept] - start
            false_s = rng.uniform(APART_S, duration - APART_S, int(n_false[i]))
            if len(time_s):
                false_s = false_s[np.abs(false_s[:, None] - time_s[None]).min(1) > APART_S]
            joined = np.concatenate([time_s, false_s])
            order = np.argsort(joined, kind="stable")
            times.append(joined[order])
            sure = np.concatenate([lead.probability[kept], np.full(len(false_s), FALSE_PROBABILITY)])
            probabilities.append(sure[order].astype(np.float32))
        return steps_of(times, probabilities, draw.duration_s)

    def _pieces(self, rng: np.random.Generator, draw: Draw, steps: Steps) -> FloatArray:
        """Signal of each step, with gain, sign and noise of its window."""
        n, window, augment = len(draw.lead), steps.window, self.augment
        start = self.begins[draw.lead] + draw.start_s * FS_HZ
        centre = start[window] + steps.time_s * FS_HZ
        centre += rng.normal(0.0, 1.0, len(centre)) * augment.jitter_samples
        low = np.floor(start).astype(np.int64)
        high = np.minimum(low + np.round(draw.duration_s * FS_HZ).astype(np.int64), self.ends[draw.lead])
        scale = draw.scale[window]
        pieces = cut(self.signal, centre, scale, low[window], high[window])
        spread = np.array([self.signal[a:b].std() for a, b in zip(low, high, strict=True)])
        gain = log_uniform(rng, augment.gain, n) * np.where(
            rng.random(n) < augment.flip_probability, -1.0, 1.0
        )
        pieces *= gain[window][:, None].astype(np.float32)
        noisy = rng.random(n) < augment.noise_probability
        level = np.where(noisy, log_uniform(rng, augment.noise_level, n), 0.0) * spread * np.abs(gain)
        # One stretch of noise over the window, so that neighbouring pieces overlap in it as they do in life.
        longest = round((self.data.window_s + 2) * FS_HZ * 2)
        offset = rng.integers(longest, len(self.noise) - longest, n)
        begin = rng.uniform(-10.0, 20.0, n)
        end = begin + rng.uniform(5.0, 40.0, n)
        loud = level[window] * ((steps.time_s >= begin[window]) & (steps.time_s < end[window]))
        row = np.flatnonzero(loud)
        place = offset[window[row]] + steps.time_s[row] * FS_HZ
        whole = np.zeros(len(row), dtype=np.int64)
        added = cut(self.noise, place, scale[row], whole, whole + len(self.noise))
        pieces[row] += added * loud[row][:, None].astype(np.float32)
        white = np.where(
            rng.random(n) < augment.white_probability, log_uniform(rng, augment.white_level_mv, n), 0.0
        )
        pieces += rng.standard_normal(pieces.shape, dtype=np.float32) * white[window][:, None].astype(
            np.float32
        )
        return pieces
