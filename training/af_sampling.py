"""Batches of the task "af": windows of 9 to 30 s, varied; a function of seed and step only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.spec import STEP_CLASSES
from training.af_beats import FS_HZ, FloatArray, IntArray, Steps, WideFloatArray, cut, steps_of, to_batch
from training.af_config import AF_CLASSES, AfAugmentConfig, AfDataConfig
from training.af_records import Lead
from training.errors import DataMissing
from training.sources import bit

NOT_AF: Final = tuple(name != "A" for name in AF_CLASSES)
SETTLED: Final = 0.75
"""Share of a window in fibrillation that makes it one; below TRACE it is none; between, nothing is said."""

TRACE: Final = 0.1
APART_S: Final = 0.25


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
        No lead with a label, or a class without one.
    """

    def __init__(
        self, leads: Sequence[Lead], noise: FloatArray, data: AfDataConfig, augment: AfAugmentConfig
    ) -> None:
        self.leads, self.noise, self.data, self.augment = leads, noise, data, augment
        labels = np.array([lead.label for lead in leads], dtype=np.int64)
        self.labelled = np.flatnonzero(labels >= 0)
        self.annotated = np.flatnonzero(labels < 0)
        absent = [name for i, name in enumerate(AF_CLASSES) if not (labels == i).any()]
        if absent:
            raise DataMissing(f"no training record of class {', '.join(absent)}: every class needs one")
        if data.beats_share > 0 and not len(self.annotated):
            raise DataMissing("data.beats_share is above 0, but the training side has no record of mitdb")
        lengths = np.array([len(lead.signal) for lead in leads], dtype=np.int64)
        self.ends = np.cumsum(lengths)
        self.begins = self.ends - lengths
        self.signal = np.concatenate([lead.signal for lead in leads])

    def batch(self, seed: int, step: int, n: int) -> Mapping[str, npt.NDArray[np.generic]]:
        """Batch number ``step``: the same for the same seed and step.

        Returns
        -------
        dict
            ``x`` (n, T, WIDTH) float32; ``allowed`` (n, 4) float32, 1 for each class that may hold, all 0
            where nothing is known; ``steps`` (n, T) int64, class of each beat, -1 where nothing is known.
        """
        rng = np.random.default_rng([seed, step])
        draw = self._draw(rng, seed, step, n)
        steps = self._steps(rng, draw)
        pieces = self._pieces(rng, draw, steps)
        x = to_batch(steps, pieces, draw.scale[steps.window])
        return {"x": x, "allowed": self._allowed(draw), "steps": self._classes(draw, steps, x.shape[1])}

    def _chosen(self, rng: np.random.Generator, seed: int, step: int, n: int) -> IntArray:
        """Leads: the labelled ones in a new order each round, and a share of annotated ones."""
        n_annotated = round(self.data.beats_share * n)
        n_labelled = n - n_annotated
        total = len(self.labelled)
        numbers = step * n_labelled + np.arange(n_labelled)
        rounds = np.unique(numbers // total)
        orders = {int(r): np.random.default_rng([seed, 1, int(r)]).permutation(total) for r in rounds}
        labelled = [self.labelled[orders[int(i // total)][i % total]] for i in numbers]
        annotated = self.annotated[rng.integers(0, max(1, len(self.annotated)), n_annotated)]
        return np.array([*labelled, *annotated.tolist()], dtype=np.int64)

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
        """Beats of each window, some missed and some false; ``beat`` counts in the lead, -2 a false one."""
        augment, n = self.augment, len(draw.lead)
        missed = np.where(
            rng.random(n) < augment.missed_probability, log_uniform(rng, augment.missed_share, n), 0.0
        )
        n_false = np.where(
            rng.random(n) < augment.false_probability, rng.integers(1, augment.false_most + 1, n), 0
        )
        times, probabilities, numbers = [], [], []
        for i, lead in enumerate(draw.lead.tolist()):
            start, duration = draw.start_s[i], draw.duration_s[i]
            first, last = np.searchsorted(self.leads[lead].time_s, [start + 0.05, start + duration - 0.05])
            number = np.arange(first, last)
            number = number[rng.random(len(number)) >= missed[i]]
            time_s = self.leads[lead].time_s[number] - start
            false_s = rng.uniform(0.2, duration - 0.2, int(n_false[i]))
            if len(time_s):
                false_s = false_s[np.abs(false_s[:, None] - time_s[None]).min(1) > APART_S]
            order = np.argsort(np.concatenate([time_s, false_s]), kind="stable")
            times.append(np.concatenate([time_s, false_s])[order])
            probability = np.concatenate([self.leads[lead].probability[number], np.full(len(false_s), 0.6)])
            probabilities.append(probability[order].astype(np.float32))
            numbers.append(np.concatenate([number, np.full(len(false_s), -2)])[order])
        steps = steps_of(times, probabilities, draw.duration_s)
        return Steps(
            steps.window, steps.time_s, self._numbered(steps, numbers), steps.probability, steps.n_windows
        )

    @staticmethod
    def _numbered(steps: Steps, numbers: list[IntArray]) -> IntArray:
        """Index in the window to index in the lead; -1 stays, a false beat becomes a very large number."""
        first = np.cumsum([0, *(len(part) for part in numbers)])[:-1]
        flat = np.concatenate([*numbers, np.zeros(1, dtype=np.int64)])
        own = flat[np.where(steps.beat >= 0, first[steps.window] + steps.beat, len(flat) - 1)]
        own = np.where(own == -2, FALSE_BEAT, own)
        return np.asarray(np.where(steps.beat >= 0, own, -1), dtype=np.int64)

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

    def _allowed(self, draw: Draw) -> FloatArray:
        allowed = np.zeros((len(draw.lead), len(AF_CLASSES)), dtype=np.float32)
        for i, number in enumerate(draw.lead.tolist()):
            lead = self.leads[number]
            if lead.label >= 0:
                allowed[i, lead.label] = 1.0
                continue
            first = round(draw.start_s[i] * FS_HZ)
            rhythm = lead.rhythm[first : first + round(draw.duration_s[i] * FS_HZ)]
            share = float((rhythm == bit("af")).mean())
            if not (rhythm == 0).any() and (share >= SETTLED or share <= TRACE):
                allowed[i] = np.logical_not(NOT_AF) if share >= SETTLED else NOT_AF
        return allowed

    def _classes(self, draw: Draw, steps: Steps, longest: int) -> IntArray:
        """Class of each step: that of the annotated beat; "none" where annotated leads have no beat."""
        classes = np.full((steps.n_windows, longest), -1, dtype=np.int64)
        annotated = np.array([self.leads[i].label < 0 for i in draw.lead.tolist()])[steps.window]
        for i in np.unique(steps.window[annotated]).tolist():
            known = self.leads[int(draw.lead[i])].beat_class
            beat = steps.beat[steps.window == i]
            real = (beat >= 0) & (beat < len(known))
            own = np.where(real, known[np.where(real, beat, 0)], STEP_CLASSES.index("none"))
            classes[i, : len(own)] = own
        return classes


FALSE_BEAT: Final = 1 << 40
"""``Steps.beat`` of a beat that the detector never found: put in to make the network doubt."""
