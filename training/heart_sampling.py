"""Batches for the heart task: patients evenly, those with and without a murmur by share, then varied."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import minimum_filter1d

from models.sounds_heart import STATES
from training.errors import DataMissing
from training.heart_config import HeartAugment, HeartData
from training.heart_records import HeartRecord
from training.sound_augment import vary
from training.sources import FloatArray, IntArray, WideFloatArray

IGNORED = -1
"""Target of a step that is not annotated."""
DIASTOLE = STATES.index("diastole")
STILL = 0.6
"""Frames of the recording per frame of the window, below which frames are exchanged with near ones."""
JITTER = 3
MARKED = 0.7
"""Share of windows that are laid around an annotated frame: of many recordings a part alone is annotated."""


def step_times_s(n_steps: int, stride: int, hop: int, window: int, rate_hz: float) -> WideFloatArray:
    """Times that steps stand for: the middle of what the frames of each cover.

    Parameters
    ----------
    n_steps : int
        How many.
    stride, hop, window : int
        Samples of a step, between frames, and of a frame.
    rate_hz : float
        Of the samples.
    """
    first = (stride - hop + window) / 2
    return np.asarray((np.arange(n_steps) * stride + first) / rate_hz, dtype=np.float64)


class HeartSampler:
    """Draws windows of heart sounds.

    Parameters
    ----------
    records : sequence of HeartRecord
        Of the training side.
    stride, hop, window, rate_hz : int, int, int, float
        As :func:`step_times_s` has them.
    data, augment : HeartData, HeartAugment
        The recipe's.

    Raises
    ------
    DataMissing
        No records.
    """

    def __init__(
        self,
        records: Sequence[HeartRecord],
        stride: int,
        hop: int,
        window: int,
        rate_hz: float,
        data: HeartData,
        augment: HeartAugment,
    ) -> None:
        if not records:
            raise DataMissing("no recording of heart sounds on the training side")
        self.records, self.augment, self.rate_hz = list(records), augment, rate_hz
        self.frame_hz, self.per_step = rate_hz / hop, stride // hop
        self.n_steps = round(data.window_s * rate_hz / stride)
        # Of the middle of each frame: where speeds are changed a step's state is read off between them.
        self.hop, self.first_s = hop, window / 2 / rate_hz
        self.states = [
            self._states_at(record, np.arange(float(record.frames.shape[1]))) for record in self.records
        ]
        self.deep = [
            minimum_filter1d((states == DIASTOLE).astype(np.uint8), 2 * JITTER + 1, mode="constant") > 0
            for states in self.states
        ]
        self.weight = _draw_weights(self.records, data)

    def batch(self, seed: int, step: int, n: int) -> dict[str, npt.NDArray[np.generic]]:
        """``x`` (n, 1, M, T), ``state`` (n, S), ``murmur`` (n,) with NaN where it is not known."""
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(self.records), n, p=self.weight)
        windows = [self._window(int(i), rng) for i in chosen]
        return {
            "x": np.stack([x for x, _ in windows])[:, None],
            "state": np.stack([state for _, state in windows]),
            "murmur": np.array([self.records[i].heard_here for i in chosen], dtype=np.float32),
        }

    def _window(self, index: int, rng: np.random.Generator) -> tuple[FloatArray, IntArray]:
        frames, states = self.records[index].frames, self.states[index]
        places = self._places(states, frames.shape[1], rng)
        nearest = np.rint(places).astype(np.int64)
        inside = places <= frames.shape[1] - 1
        nearest = np.minimum(nearest, frames.shape[1] - 1)
        # Where diastole is drawn out, frames near by stand in for repeated ones, so that noise does not
        # freeze; not near its ends, which would blur the onsets.
        jitter = rng.integers(-JITTER, JITTER + 1, len(places))
        still = (np.append(np.diff(places), 1.0) < STILL) & self.deep[index][nearest]
        nearest = np.where(still, nearest + jitter, nearest)
        x = np.where(inside, frames[:, nearest], 0.0).astype(np.float32)
        middle = places.reshape(self.n_steps, self.per_step).mean(1)
        state = np.where(middle <= frames.shape[1] - 1, self._states_at(self.records[index], middle), IGNORED)
        return vary(x, self.augment, self.frame_hz, rng), state.astype(np.int64)

    def _states_at(self, record: HeartRecord, places: WideFloatArray) -> IntArray:
        """States at places counted in frames."""
        times_s = np.asarray(self.first_s + places * (self.hop / self.rate_hz), dtype=np.float64)
        return record.segments.at(times_s) - 1

    def _places(self, states: IntArray, n_frames: int, rng: np.random.Generator) -> WideFloatArray:
        """Frame of the recording that each frame of a window is taken from, the speeds drawn at random."""
        speed = np.exp(rng.uniform(*np.log(self.augment.speed)))
        diastole = np.exp(rng.uniform(*np.log(self.augment.diastole_speed)))
        lasts = 1.0 / (speed * np.where(states == DIASTOLE, diastole, 1.0))
        at = np.append(0.0, np.cumsum(lasts))
        length = self.n_steps * self.per_step
        begin = rng.uniform(0, max(0.0, at[-1] - length))
        marked = np.flatnonzero(states != IGNORED)
        if len(marked) and rng.random() < MARKED:
            begin = at[rng.choice(marked)] - rng.uniform(0, length)
            begin = min(max(0.0, begin), max(0.0, at[-1] - length))
        # Beyond its end the recording goes on at its own pace: there is nothing there.
        wanted = begin + np.arange(length)
        places = np.interp(wanted, at, np.arange(n_frames + 1)) + np.maximum(0.0, wanted - at[-1])
        return np.asarray(places, dtype=np.float64)


def _draw_weights(records: Sequence[HeartRecord], data: HeartData) -> WideFloatArray:
    """Probability of each recording: kinds by share, patients of a kind evenly, their recordings evenly."""
    kinds = ["Unknown" if record.murmur == "Unknown" else record.murmur for record in records]
    share = {
        "Present": data.present_share * (1 - data.unknown_share),
        "Absent": (1 - data.present_share) * (1 - data.unknown_share),
        "Unknown": data.unknown_share,
    }
    weight = np.zeros(len(records))
    for kind, of_kind in share.items():
        patients = [record.patient for record, one in zip(records, kinds, strict=True) if one == kind]
        for i, record in enumerate(records):
            if kinds[i] == kind:
                weight[i] = of_kind / len(set(patients)) / patients.count(record.patient)
    return np.asarray(weight / weight.sum(), dtype=np.float64)
