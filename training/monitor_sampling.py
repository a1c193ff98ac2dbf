"""Batches of training windows: drawn by kind, varied, with targets; a function of seed and step only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.spec import RHYTHM_CLASSES, STEP_CLASSES, Architecture
from training.corpus import Corpus
from training.errors import DataMissing
from training.monitor_recipes import AugmentConfig, DataConfig, LossConfig
from training.monitor_windows import Windows, windows_of
from training.sources import FloatArray, IntArray, WideFloatArray, bit

FS_HZ = 125.0
RHYTHM_S = 4.0
LENGTH = 1000
FLAT, ASYSTOLE, NOISE = "made_flat", "made_asystole", "made_noise"


def unpack(masks: npt.NDArray[np.uint8]) -> FloatArray:
    """Bit masks (B,) to one column a rhythm (B, 6)."""
    return ((masks[:, None] >> np.arange(len(RHYTHM_CLASSES))) & 1).astype(np.float32)


def step_targets(
    positions: WideFloatArray, labels: IntArray, window: IntArray, n_windows: int, n_steps: int, stride: int
) -> tuple[FloatArray, FloatArray]:
    """Targets of steps from beat positions in samples of their window.

    Returns
    -------
    targets : ndarray of float32, shape (n_windows, n_steps, 5)
    weight : ndarray of float32, shape (n_windows, n_steps)
        0 around beats of no class, else 1.
    """
    targets = np.zeros((n_windows, n_steps, len(STEP_CLASSES)), dtype=np.float32)
    weight = np.ones((n_windows, n_steps), dtype=np.float32)
    place = positions / stride
    left = np.floor(place).astype(np.int64)
    for shift in (0, 1):
        step = left + shift
        share = 1.0 - np.abs(place - step)
        good = (step >= 0) & (step < n_steps) & (labels > 0)
        np.add.at(targets, (window[good], step[good], labels[good]), share[good].astype(np.float32))
    for shift in (-1, 0, 1, 2):
        step = left + shift
        bad = (step >= 0) & (step < n_steps) & (labels < 0)
        weight[window[bad], step[bad]] = 0.0
    total = targets.sum(-1, keepdims=True)
    targets /= np.maximum(total, 1.0)
    targets[:, :, 0] = 1.0 - targets[:, :, 1:].sum(-1)
    return targets, weight


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], size: int) -> WideFloatArray:
    """Draws between the bounds, uniform in the logarithm."""
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), size))


class Sampler:
    """Draws batches of training windows.

    Parameters
    ----------
    corpus : Corpus
        Of the training side.
    noise : ndarray of float32, shape (n,)
        Baseline wander and muscle noise, conditioned as the signals are, scaled to unit standard deviation.
    config, augment, loss, architecture
        Parts of the recipe.

    Raises
    ------
    DataMissing
        No window of a kind that has a weight in ``config.draw``.
    """

    def __init__(
        self,
        corpus: Corpus,
        noise: FloatArray,
        config: DataConfig,
        augment: AugmentConfig,
        loss: LossConfig,
        architecture: Architecture,
    ) -> None:
        self.corpus, self.noise, self.augment, self.loss = corpus, noise, augment, loss
        self.stride = architecture.front_end.stride
        self.n_steps = -(-LENGTH // self.stride)
        self.windows = windows_of(corpus, LENGTH, round(RHYTHM_S * FS_HZ), config.hop_samples)
        self.kinds = [kind for kind, weight in config.draw.items() if weight > 0]
        shares = np.array([config.draw[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()
        self.groups = {kind: self._group(kind, self.windows) for kind in self.kinds}

    def _group(self, kind: str, windows: Windows) -> tuple[list[IntArray], WideFloatArray]:
        """Windows of a kind, one array a recording, and how often each recording is drawn."""
        if kind in (FLAT, ASYSTOLE, NOISE, "beats"):
            where = windows.beats_known & windows.has[:, 1:].any(1)
        elif kind.startswith("beats_"):
            where = windows.beats_known & windows.has[:, STEP_CLASSES.index(kind[-1])]
        elif kind == "unsure":
            where = (windows.allowed > 0) & (unpack(windows.allowed).sum(1) > 1)
        else:
            where = windows.allowed == bit(kind)
        index = np.flatnonzero(where)
        if not len(index):
            raise DataMissing(
                f"no training window of kind {kind!r}: add a data set that has it, or set its draw to 0"
            )
        _, begins = np.unique(windows.owner[index], return_index=True)
        parts = np.split(index, begins[1:])
        weight = np.sqrt([len(part) for part in parts])
        return parts, weight / weight.sum()

    def _draw(self, rng: np.random.Generator, n: int) -> tuple[IntArray, IntArray]:
        """Windows, and the index of the kind each was drawn as."""
        kinds = rng.choice(len(self.kinds), size=n, p=self.shares)
        chosen = np.empty(n, dtype=np.int64)
        for i, kind in enumerate(kinds.tolist()):
            parts, weight = self.groups[self.kinds[kind]]
            part = parts[int(rng.choice(len(parts), p=weight))]
            chosen[i] = part[int(rng.integers(len(part)))]
        return chosen, np.asarray(kinds, dtype=np.int64)

    def batch(self, seed: int, step: int, n: int) -> dict[str, FloatArray]:
        """Batch number ``step``: the same numbers for the same seed and step.

        Returns
        -------
        dict of str to ndarray of float32
            ``x`` (n, 1, N), mV; ``steps`` (n, T, 5), probability of each step class (a beat shares its mass
            between the two steps nearest to its peak); ``step_weight`` (n, T), 0 where nothing is known;
            ``allowed`` (n, 6), 1 for each rhythm that may hold, all 0 where nothing is known.
        """
        rng = np.random.default_rng([seed, step])
        chosen, kinds = self._draw(rng, n)
        start = self.windows.start[chosen].astype(np.float64)
        scale = np.ones(n)
        scaled = rng.random(n) < self.augment.time_scale_probability
        scale[scaled] = log_uniform(rng, self.augment.time_scale, int(scaled.sum()))
        owner_end = self._lead_end(self.windows.start[chosen])
        start -= (LENGTH * (scale - 1.0)).clip(0)
        start = np.maximum(start, self._lead_begin(self.windows.start[chosen]).astype(np.float64))
        scale = np.minimum(scale, (owner_end - 2 - start) / LENGTH)
        x = self._cut(start, scale)
        steps, weight = self._targets(start, scale)
        weight *= self.corpus.beats_known[self.windows.start[chosen]][:, None]
        weight *= self.windows.beats_known[chosen][:, None]
        allowed = self.windows.allowed[chosen].copy()
        x *= log_uniform(rng, self.augment.gain, n)[:, None].astype(np.float32)
        x *= np.where(rng.random(n) < self.augment.flip_probability, -1.0, 1.0)[:, None].astype(np.float32)
        self._add_noise(rng, x)
        for kind, name in ((FLAT, "noise"), (ASYSTOLE, "asystole")):
            if kind in self.kinds:
                rows = np.flatnonzero(kinds == self.kinds.index(kind))
                self._silence(rng, x, steps, rows, flat=kind == FLAT)
                allowed[rows] = bit(name)
        if NOISE in self.kinds:
            rows = np.flatnonzero(kinds == self.kinds.index(NOISE))
            self._drown(rng, x, weight, rows)
            allowed[rows] = bit("noise")
        late = self.n_steps - round(FS_HZ / self.stride)
        weight[:, late:] *= self.loss.last_second_weight
        return {"x": x[:, None], "steps": steps, "step_weight": weight, "allowed": unpack(allowed)}

    def _lead_begin(self, start: IntArray) -> IntArray:
        return self.corpus.begins[np.searchsorted(self.corpus.ends, start, side="right")]

    def _lead_end(self, start: IntArray) -> IntArray:
        return self.corpus.ends[np.searchsorted(self.corpus.ends, start, side="right")]

    def _cut(self, start: WideFloatArray, scale: WideFloatArray) -> FloatArray:
        """Windows (B, N) by linear interpolation; ``scale`` > 1 makes time run faster."""
        place = start[:, None] + np.arange(LENGTH) * scale[:, None]
        left = place.astype(np.int64)
        share = (place - left).astype(np.float32)
        cut = self.corpus.signal[left] * (1 - share) + self.corpus.signal[left + 1] * share
        return np.asarray(cut, dtype=np.float32)

    def _targets(self, start: WideFloatArray, scale: WideFloatArray) -> tuple[FloatArray, FloatArray]:
        first = np.searchsorted(self.corpus.beats, start - self.stride)
        last = np.searchsorted(self.corpus.beats, start + LENGTH * scale + self.stride)
        count = last - first
        window = np.repeat(np.arange(len(start)), count)
        index = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        positions = (self.corpus.beats[index] - start[window]) / scale[window]
        return step_targets(
            positions, self.corpus.beat_classes[index], window, len(start), self.n_steps, self.stride
        )

    def _noise(self, rng: np.random.Generator, n: int) -> FloatArray:
        start = rng.integers(0, len(self.noise) - LENGTH, size=n)
        return np.asarray(self.noise[start[:, None] + np.arange(LENGTH)], dtype=np.float32)

    def _add_noise(self, rng: np.random.Generator, x: FloatArray) -> None:
        """Wander or muscle noise in proportion to the window's own spread, and a little white noise."""
        rows = np.flatnonzero(rng.random(len(x)) < self.augment.noise_probability)
        spread = x[rows].std(1) * log_uniform(rng, self.augment.noise_level, len(rows))
        x[rows] += self._noise(rng, len(rows)) * spread[:, None].astype(np.float32)
        rows = np.flatnonzero(rng.random(len(x)) < self.augment.white_probability)
        level = log_uniform(rng, (0.002, 0.03), len(rows))[:, None].astype(np.float32)
        x[rows] += rng.standard_normal((len(rows), LENGTH), dtype=np.float32) * level

    def _silence(
        self, rng: np.random.Generator, x: FloatArray, steps: FloatArray, rows: IntArray, *, flat: bool
    ) -> None:
        """Replace the end of windows by a line without beats.

        Asystole keeps a wander of 40 to 400 µV peak to peak (what true asystole of CinC 2015 shows); a lead
        that is off has less than 10 µV after the band-pass has settled from the jump.
        """
        time = np.arange(LENGTH)
        begin = LENGTH - rng.integers(round(4.2 * FS_HZ), LENGTH + 1, size=len(rows))
        line = self._noise(rng, len(rows))
        peak_to_peak = log_uniform(rng, (0.001, 0.009) if flat else (0.04, 0.4), len(rows))
        line *= (peak_to_peak / np.maximum(np.ptp(line, axis=1), 1e-6))[:, None].astype(np.float32)
        line += rng.standard_normal(line.shape, dtype=np.float32) * (0.0003 if flat else 0.003)
        since = (time[None, :] - begin[:, None]).clip(0) / FS_HZ
        jump = rng.normal(0.0, 0.5, size=(len(rows), 1))
        line += (jump * np.exp(-since / 0.23) * np.cos(2.2 * since)).astype(np.float32)
        silent = time[None, :] >= begin[:, None]
        x[rows] = np.where(silent, line, x[rows])
        first = np.ceil(begin / self.stride).astype(np.int64)
        quiet = np.arange(self.n_steps)[None, :] >= first[:, None]
        none = np.zeros(len(STEP_CLASSES), dtype=np.float32)
        none[0] = 1.0
        steps[rows] = np.where(quiet[:, :, None], none, steps[rows])

    def _drown(self, rng: np.random.Generator, x: FloatArray, weight: FloatArray, rows: IntArray) -> None:
        """Bury the end of windows in wander, muscle noise and electrode jumps: nothing can be read there."""
        time = np.arange(LENGTH)
        begin = LENGTH - rng.integers(round(4.2 * FS_HZ), LENGTH + 1, size=len(rows))
        drowned = (time[None, :] >= begin[:, None]).astype(np.float32)
        spread = np.maximum(x[rows].std(1), 0.05) * log_uniform(rng, (2.0, 12.0), len(rows))
        disturbance = self._noise(rng, len(rows)) * spread[:, None]
        for _ in range(5):
            since = (time[None, :] - rng.integers(0, LENGTH, size=(len(rows), 1))) / FS_HZ
            decay = log_uniform(rng, (0.04, 0.4), len(rows))[:, None]
            size = rng.standard_normal((len(rows), 1)) * spread[:, None]
            disturbance += np.where(since >= 0, 2 * size * np.exp(-np.maximum(since, 0) / decay), 0.0)
        x[rows] += (disturbance * drowned).astype(np.float32)
        weight[rows] *= 1.0 - drowned[:, :: self.stride]
