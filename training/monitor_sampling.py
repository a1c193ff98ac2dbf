"""Batches of training windows: drawn by kind, varied, with targets; a function of seed and step only."""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from models.spec import RHYTHM_CLASSES, STEP_CLASSES, Architecture
from training.corpus import Corpus
from training.errors import DataMissing
from training.monitor_noise import FS_HZ, Disturber, log_uniform, noise_gain, qrs_amplitudes
from training.monitor_recipes import AugmentConfig, DataConfig, LossConfig
from training.monitor_windows import Windows, windows_of
from training.sources import FloatArray, IntArray, WideFloatArray, bit

logger = logging.getLogger(__name__)

RHYTHM_S = 4.0
LENGTH = 1000
OWN = ("folder",)
MADE = FLAT, ASYSTOLE, NOISE = ("made_flat", "made_asystole", "made_noise")


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
        No window of a kind that has a weight in ``config.draw``. A user's own records alone may lack kinds:
        these are not drawn, which is warned of.
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
        self.corpus, self.augment, self.loss = corpus, augment, loss
        self.stride, self.early = architecture.front_end.stride, architecture.early_steps
        self.length = LENGTH + self.early * self.stride
        self.n_steps = -(-self.length // self.stride)
        self.disturber, self.amplitude = Disturber(noise, self.length), qrs_amplitudes(corpus)
        self.windows = windows_of(corpus, self.length, round(RHYTHM_S * FS_HZ), config.hop_samples)
        wanted = [kind for kind, weight in config.draw.items() if weight > 0]
        self.groups = {kind: self._group(kind, self.windows) for kind in wanted}
        empty = [kind for kind, (parts, _) in self.groups.items() if not parts]
        self.kinds = [kind for kind in wanted if kind not in empty]
        if empty and self.kinds and config.sources == OWN:
            logger.warning(
                "your records have no training window of kind %s: not drawn; what the model knew of it may "
                "be forgotten (train on other sets too: --set data.sources=mitdb,vfdb,folder)",
                ", ".join(empty),
            )
        elif empty:
            raise DataMissing(
                f"no training window of kind {', '.join(map(repr, empty))}: add a data set that has it, "
                f"or leave it out: {' '.join(f'--set data.draw.{kind}=0' for kind in empty)}"
            )
        shares = np.array([config.draw[kind] for kind in self.kinds])
        self.shares = shares / shares.sum()

    def _group(self, kind: str, windows: Windows) -> tuple[list[IntArray], WideFloatArray]:
        """Windows of a kind, one array a recording, and how often each recording is drawn."""
        if kind in (*MADE, "beats"):
            where = windows.beats_known & windows.has[:, 1:].any(1)
        elif kind.startswith("beats_"):
            where = windows.beats_known & windows.has[:, STEP_CLASSES.index(kind[-1])]
        elif kind == "unsure":
            where = (windows.allowed > 0) & (unpack(windows.allowed).sum(1) > 1)
        else:
            where = windows.allowed == bit(kind)
        index = np.flatnonzero(where)
        if not len(index):
            return [], np.zeros(0)
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
            ``x`` (n, 1, N), mV, with ``early_steps`` more of signal before the window; ``steps`` (n, T, 5),
            probability of each step class (a beat shares its mass between the two steps nearest to its
            peak); ``step_weight`` (n, T), 0 where nothing is known;
            ``allowed`` (n, 6), 1 for each rhythm that may hold, all 0 where nothing is known.
        """
        rng = np.random.default_rng([seed, step])
        chosen, kinds = self._draw(rng, n)
        start = self.windows.start[chosen].astype(np.float64)
        scale = np.ones(n)
        scaled = rng.random(n) < self.augment.time_scale_probability
        scale[scaled] = log_uniform(rng, self.augment.time_scale, int(scaled.sum()))
        lead = self._lead(self.windows.start[chosen])
        owner_end = self.corpus.ends[lead]
        start -= (self.length * (scale - 1.0)).clip(0)
        start = np.maximum(start, self.corpus.begins[lead].astype(np.float64))
        scale = np.minimum(scale, (owner_end - 2 - start) / self.length)
        x = self._cut(start, scale)
        steps, weight = self._targets(start, scale)
        weight *= self.corpus.beats_known[self.windows.start[chosen]][:, None]
        weight *= self.windows.beats_known[chosen][:, None]
        allowed = self.windows.allowed[chosen].copy()
        gain = log_uniform(rng, self.augment.gain, n).astype(np.float32)
        x *= gain[:, None]
        x *= np.where(rng.random(n) < self.augment.flip_probability, -1.0, 1.0)[:, None].astype(np.float32)
        made = np.isin(kinds, [self.kinds.index(kind) for kind in MADE if kind in self.kinds])
        amplitude = gain * self.amplitude[lead]
        amplitude *= self.windows.beats_known[chosen]
        self._add_noise(rng, x, amplitude, allowed, made)
        self._make(rng, kinds, x, steps, weight, allowed)
        late = self.n_steps - round(FS_HZ / self.stride)
        weight[:, late:] *= self.loss.last_second_weight
        steps, weight = steps[:, self.early :], weight[:, self.early :]
        return {"x": x[:, None], "steps": steps, "step_weight": weight, "allowed": unpack(allowed)}

    def _lead(self, start: IntArray) -> IntArray:
        return np.asarray(np.searchsorted(self.corpus.ends, start, side="right"), dtype=np.int64)

    def _cut(self, start: WideFloatArray, scale: WideFloatArray) -> FloatArray:
        """Windows (B, N) by linear interpolation; ``scale`` > 1 makes time run faster."""
        place = start[:, None] + np.arange(self.length) * scale[:, None]
        left = place.astype(np.int64)
        share = (place - left).astype(np.float32)
        cut = self.corpus.signal[left] * (1 - share) + self.corpus.signal[left + 1] * share
        return np.asarray(cut, dtype=np.float32)

    def _targets(self, start: WideFloatArray, scale: WideFloatArray) -> tuple[FloatArray, FloatArray]:
        first = np.searchsorted(self.corpus.beats, start - self.stride)
        last = np.searchsorted(self.corpus.beats, start + self.length * scale + self.stride)
        count = last - first
        window = np.repeat(np.arange(len(start)), count)
        index = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        positions = (self.corpus.beats[index] - start[window]) / scale[window]
        return step_targets(
            positions, self.corpus.beat_classes[index], window, len(start), self.n_steps, self.stride
        )

    def _add_noise(
        self,
        rng: np.random.Generator,
        x: FloatArray,
        amplitude: FloatArray,
        allowed: npt.NDArray[np.uint8],
        made: npt.NDArray[np.bool_],
    ) -> None:
        """Noise that is read through: beats and rhythm stay what they are.

        Windows of known beats are stressed to a signal-to-noise ratio; the others get noise in proportion
        to their own spread. A window whose rhythm may be lost in it may be called noise too.
        """
        config = self.augment
        able = (amplitude > 0) & ~made
        stressed = np.flatnonzero(able & (rng.random(len(x)) < config.stress_probability))
        snr_db = rng.uniform(*config.stress_snr_db, size=len(stressed))
        gain = noise_gain(amplitude[stressed], snr_db)
        x[stressed] += self.disturber.mixed(rng, len(stressed), config.jump_share) * gain[:, None]
        lost = stressed[(snr_db < config.unread_below_db) & (allowed[stressed] > 0)]
        allowed[lost] |= bit("noise")
        rows = np.flatnonzero(~able & (rng.random(len(x)) < config.noise_probability))
        spread = x[rows].std(1) * log_uniform(rng, config.noise_level, len(rows))
        x[rows] += self.disturber.excerpts(rng, len(rows)) * spread[:, None].astype(np.float32)
        rows = np.flatnonzero(rng.random(len(x)) < config.white_probability)
        level = log_uniform(rng, (0.002, 0.03), len(rows))[:, None].astype(np.float32)
        x[rows] += rng.standard_normal((len(rows), self.length), dtype=np.float32) * level

    def _make(
        self,
        rng: np.random.Generator,
        kinds: IntArray,
        x: FloatArray,
        steps: FloatArray,
        weight: FloatArray,
        allowed: npt.NDArray[np.uint8],
    ) -> None:
        """Windows that end in a line without beats, or in what no one can read."""
        for kind, name in ((FLAT, "noise"), (ASYSTOLE, "asystole")):
            rows = self._rows(kinds, kind)
            height = log_uniform(rng, (0.001, 0.009) if kind == FLAT else (0.04, 0.4), len(rows))
            allowed[rows] = bit(name)
            if kind == ASYSTOLE:
                # Noise alone must not be read as beats: where it is high, asystole or noise both hold.
                high = rng.random(len(rows)) < self.augment.high_silence_share
                height[high] = log_uniform(rng, (0.4, 4.0), int(high.sum()))
                allowed[rows[high]] |= bit("noise")
            self.disturber.silence(rng, x, steps, rows, self.stride, height)
        rows = self._rows(kinds, NOISE)
        self.disturber.bury(rng, x, weight, rows, self.stride)
        allowed[rows] = bit("noise")

    def _rows(self, kinds: IntArray, kind: str) -> IntArray:
        """Rows that were drawn as a kind."""
        if kind not in self.kinds:
            return np.zeros(0, dtype=np.int64)
        return np.asarray(np.flatnonzero(kinds == self.kinds.index(kind)), dtype=np.int64)
