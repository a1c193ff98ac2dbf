"""Windows of EEG records: where they may lie, how they are cut, stretched and varied.

The network takes channels in any order, so that they need not be permuted, nor sides of the head exchanged.

Shape legend: C channels, N samples, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.spec import ChannelsFrontEnd
from training.eeg_config import EegAugment
from training.eeg_made import add_artefact, other_device
from training.eeg_records import EegRecord
from training.eeg_signal import FloatArray


@dataclass(frozen=True, slots=True)
class Pool:
    """Where windows of a kind may be taken: items ``(record, last step)`` by patient."""

    weights: npt.NDArray[np.float64]
    places: tuple[npt.NDArray[np.int64], ...]
    """One array (n, 2) a patient."""

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Record and step of one window: a patient by weight, then any place of it."""
        patient = int(rng.choice(len(self.places), p=self.weights))
        record, step = self.places[patient][int(rng.integers(len(self.places[patient])))]
        return int(record), int(step)


def pool_of(records: Sequence[EegRecord], which: Callable[[EegRecord], object], power: float) -> Pool | None:
    """Places of a kind, patients by their number of places to a power; None where there are none."""
    found: dict[str, list[npt.NDArray[np.int64]]] = {}
    for i, record in enumerate(records):
        steps = np.flatnonzero(np.asarray(which(record)))
        if len(steps):
            own = np.stack([np.full(len(steps), i), steps], axis=1)
            found.setdefault(record.about.patient, []).append(own)
    if not found:
        return None
    places = tuple(np.concatenate(one) for one in found.values())
    weights = np.array([len(one) for one in places], dtype=np.float64) ** power
    return Pool(weights / weights.sum(), places)


def learned(record: EegRecord, blurred_s: float) -> FloatArray:
    """Labels of a record's steps (T,): 1 seizure, 0 none, NaN without a signal or near an onset or end."""
    label = np.where(record.there, record.seizure.astype(np.float32), np.float32(np.nan))
    middle_s = (np.arange(record.n_steps) + 0.5) * record.step_s
    for edge in (edge for event in record.seizures for edge in event):
        label[np.abs(middle_s - edge) < blurred_s] = np.nan
    return np.asarray(label, dtype=np.float32)


class EegWindows:
    """Cuts windows.

    Parameters
    ----------
    records : sequence of EegRecord
        With signals.
    front_end : ChannelsFrontEnd
        Steps and context.
    window_steps : int
        Steps of a window.
    blurred_s : float
        As :func:`learned` has it.
    """

    def __init__(
        self, records: Sequence[EegRecord], front_end: ChannelsFrontEnd, window_steps: int, blurred_s: float
    ) -> None:
        self.records, self.config, self.window_steps = records, front_end, window_steps
        self.labels = [learned(record, blurred_s) for record in records]

    def cut(
        self, index: int, last: int, n_channels: int, speed: float, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """A window that ends with step ``last``, its time stretched by ``speed``: (C, N) and labels (T,).

        What lies outside of the record is missing. A record of fewer channels is filled up with missing
        ones.
        """
        record = self.records[index]
        step, context = self.config.step, self.config.context
        n = context + self.window_steps * step
        end = (last + 1) * step
        at = end - 1 - np.arange(n)[::-1] * speed
        first, stop = int(np.floor(at[0])), end + 1
        chosen = rng.permutation(len(record.names))[:n_channels]
        low, high = max(0, first), min(record.x.shape[1], stop)
        raw = np.full((n_channels, stop - first), np.nan, dtype=np.float32)
        if high > low:
            raw[: len(chosen), low - first : high - first] = record.x[chosen, low:high]
        left = np.floor(at).astype(np.int64) - first
        part = (at - first - left).astype(np.float32)
        x = raw[:, left] * (1 - part) + raw[:, left + 1] * part if speed != 1.0 else raw[:, left]
        middle = at[context + step // 2 :: step]
        place = np.floor(middle / step).astype(np.int64)
        inside = (place >= 0) & (place < record.n_steps)
        held = self.labels[index][np.clip(place, 0, record.n_steps - 1)]
        return x, np.where(inside, held, np.float32(np.nan))


def varied(x: FloatArray, augment: EegAugment, rng: np.random.Generator) -> FloatArray:
    """A window (C, N) with an artefact now and then, other gains and polarities, noise, channels missing."""
    n = len(x)
    if rng.random() < augment.artefact:
        x = add_artefact(x, rng)
    if rng.random() < augment.device:
        x = other_device(x, rng)
    gain = np.exp(augment.gain * rng.standard_normal() + augment.channel_gain * rng.standard_normal(n))
    x = x * (gain * rng.choice((-1.0, 1.0), n))[:, None]
    x = x + rng.uniform(0, augment.noise) * rng.standard_normal(x.shape, dtype=np.float32)
    missing = rng.random(n) < augment.missing
    # At least one channel stays.
    missing[int(rng.integers(n))] = False
    x[missing] = np.nan
    return np.asarray(x, dtype=np.float32)
