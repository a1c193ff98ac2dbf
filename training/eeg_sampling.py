"""Batches of the EEG task: background, real seizures, made ones; channels drawn, dropped and varied.

The network takes channels in any order, so that they need not be permuted, nor sides of the head exchanged.

Shape legend: n items, C channels, N samples, T steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.spec import ChannelsFrontEnd
from training.eeg_config import EegAugment, EegData
from training.eeg_made import add_artefact, add_seizure
from training.eeg_records import EegRecord
from training.eeg_signal import RATE_HZ, FloatArray
from training.errors import BadRecipe, DataMissing

KINDS: Final = ("background", "seizure", "made")
MADE_LEAST_S: Final = 6.0
MADE_LASTS_S: Final = 60.0
BORROWED_LASTS_S: Final = 18.0
"""Bonn's segments are 23.6 s long."""


@dataclass(frozen=True, slots=True)
class _Pool:
    """Where windows of a kind may be taken: items ``(record, last step)`` by patient."""

    weights: npt.NDArray[np.float64]
    places: tuple[npt.NDArray[np.int64], ...]
    """One array (n, 2) a patient."""

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        patient = int(rng.choice(len(self.places), p=self.weights))
        record, step = self.places[patient][int(rng.integers(len(self.places[patient])))]
        return int(record), int(step)


def _pool(records: Sequence[EegRecord], which: Callable[[EegRecord], object], power: float) -> _Pool | None:
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
    return _Pool(weights / weights.sum(), places)


def learned(record: EegRecord, blurred_s: float) -> FloatArray:
    """Labels of a record's steps (T,): 1 seizure, 0 none, NaN without a signal or near an onset or end."""
    label = np.where(record.there, record.seizure.astype(np.float32), np.float32(np.nan))
    middle_s = (np.arange(record.n_steps) + 0.5) * record.step_s
    for edge in (edge for event in record.seizures for edge in event):
        label[np.abs(middle_s - edge) < blurred_s] = np.nan
    return np.asarray(label, dtype=np.float32)


class EegSampler:
    """Draws windows.

    Parameters
    ----------
    records : sequence of EegRecord
        Of the training side.
    front_end : ChannelsFrontEnd
        Steps and context.
    window_steps : int
        Steps of a window.
    data, augment : EegData, EegAugment
        What is drawn how often, and how it is varied.
    segments : ndarray or None, shape (n, N)
        Bonn's ictal segments.

    Raises
    ------
    DataMissing
        The records have no background, or neither they nor made windows any seizure.
    BadRecipe
        ``data.draw`` names an unknown kind.
    """

    def __init__(
        self,
        records: Sequence[EegRecord],
        front_end: ChannelsFrontEnd,
        window_steps: int,
        data: EegData,
        augment: EegAugment,
        segments: FloatArray | None,
    ) -> None:
        unknown = set(data.draw) - set(KINDS)
        if unknown:
            raise BadRecipe(f"data.draw: no kind {sorted(unknown)[0]!r}; there are {', '.join(KINDS)}")
        self.records, self.config, self.window_steps = records, front_end, window_steps
        self.data, self.augment, self.segments = data, augment, segments
        self.labels = [learned(record, data.blurred_s) for record in records]
        power = data.patient_power
        background = _pool(records, lambda one: one.there & ~one.seizure, power)
        if background is None:
            raise DataMissing("no second of the training records is free of seizures: add background")
        pools = {
            "background": background,
            "seizure": _pool(records, lambda one: one.there & one.seizure, power),
            "made": background,
        }
        self.pools = {kind: pool for kind, pool in pools.items() if pool is not None and data.draw.get(kind)}
        if not {"seizure", "made"} & self.pools.keys():
            raise DataMissing("no seizure in the training records: add some, or draw made ones (data.draw)")
        share = np.array([data.draw[kind] for kind in self.pools])
        self.kinds, self.share = tuple(self.pools), share / share.sum()

    def batch(self, seed: int, step: int, n: int) -> dict[str, npt.NDArray[np.generic]]:
        """``x`` (n, C, context + T * step), ``label`` (n, T): 1 seizure, 0 none, NaN not to be learned."""
        rng = np.random.default_rng((seed, step))
        low, high = self.data.channels
        n_channels = int(rng.integers(low, high + 1))
        items = [self._item(n_channels, rng) for _ in range(n)]
        return {"x": np.stack([x for x, _ in items]), "label": np.stack([label for _, label in items])}

    def _item(self, n_channels: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        kind = self.kinds[int(rng.choice(len(self.kinds), p=self.share))]
        index, at = self.pools[kind].draw(rng)
        # The step that was drawn lies anywhere in the window.
        last = at + int(rng.integers(0, self.window_steps))
        x, label = self.cut(index, last, n_channels, self._speed(rng), rng)
        if kind == "made" and not np.nansum(label):
            x, label = self._with_seizure(x, label, rng)
        return self._varied(x, rng), label

    def _speed(self, rng: np.random.Generator) -> float:
        return 1.0 + float(rng.uniform(-1, 1)) * self.augment.stretch

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

    def _with_seizure(
        self, x: FloatArray, label: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        step, context, n = self.config.step, self.config.context, x.shape[1]
        use_bonn = self.segments is not None and rng.random() < 0.4
        longest_s = BORROWED_LASTS_S if use_bonn else MADE_LASTS_S
        lasts = round(float(rng.uniform(MADE_LEAST_S, longest_s)) * RATE_HZ)
        # From one that is about to end to one that has just begun.
        first = int(rng.integers(context + 2 * step - lasts, n - 2 * step))
        x, onset = add_seizure(x, first, first + lasts, self.segments if use_bonn else None, rng)
        middle = context + (np.arange(self.window_steps) + 0.5) * step
        inside = (middle >= onset) & (middle < first + lasts)
        rising = (middle >= first) & (middle < onset)
        made = np.where(inside, np.float32(1), np.where(rising, np.float32(np.nan), label))
        return x, np.where(np.isfinite(label), made, label)

    def _varied(self, x: FloatArray, rng: np.random.Generator) -> FloatArray:
        augment, n = self.augment, len(x)
        if rng.random() < augment.artefact:
            x = add_artefact(x, rng)
        gain = np.exp(augment.gain * rng.standard_normal() + augment.channel_gain * rng.standard_normal(n))
        x = x * (gain * rng.choice((-1.0, 1.0), n))[:, None]
        x = x + rng.uniform(0, augment.noise) * rng.standard_normal(x.shape, dtype=np.float32)
        missing = rng.random(n) < augment.missing
        # At least one channel stays.
        missing[int(rng.integers(n))] = False
        x[missing] = np.nan
        return np.asarray(x, dtype=np.float32)
