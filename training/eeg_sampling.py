"""Batches of the EEG task: background, real seizures, made ones; channels drawn, dropped and varied.

Shape legend: n items, C channels, N samples, T steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from models.spec import ChannelsFrontEnd
from training.eeg_config import EegAugment, EegData
from training.eeg_made import STRETCHED, add_seizure
from training.eeg_outside import add_outside
from training.eeg_records import EegRecord
from training.eeg_signal import RATE_HZ, FloatArray
from training.eeg_windows import EegWindows, pool_of, varied
from training.errors import BadRecipe, DataMissing

KINDS: Final = ("background", "before", "seizure", "made", "outside")
"""Of anybody; of patients who have seizures, as often as these: else a set is known by its amplifier. The
last two lie over background: a seizure, or what is taken for one (:mod:`training.eeg_outside`)."""
MADE_LEAST_S: Final = 6.0
MADE_LASTS_S: Final = 60.0
OUTSIDE_LASTS_S: Final = 20.0
COVERED: Final = 0.5
"""Share of the windows with an artefact from outside that it covers wholly."""
LONGEST_S: Final = 30.0
BORROWED: Final = 0.5
"""Share of made seizures that are borrowed from real ones, where there are any."""


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
    segments : sequence of ndarray
        Real seizures (R, n) to borrow from, beside those of the records.

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
        segments: Sequence[FloatArray] = (),
    ) -> None:
        unknown = set(data.draw) - set(KINDS)
        if unknown:
            raise BadRecipe(f"data.draw: no kind {sorted(unknown)[0]!r}; there are {', '.join(KINDS)}")
        self.windows = EegWindows(records, front_end, window_steps, data.blurred_s)
        self.data, self.augment = data, augment
        own = [piece for one in records for piece in seizures_of(one, front_end.step)]
        self.segments = [*segments, *own]
        power = data.patient_power
        background = pool_of(records, lambda one: one.there & ~one.seizure, power)
        if background is None:
            raise DataMissing("no second of the training records is free of seizures: add background")
        with_seizures = {one.about.patient for one in records if one.seizures}
        self.before = pool_of(
            records, lambda one: one.there & ~one.seizure & (one.about.patient in with_seizures), power
        )
        pools = {
            "background": background,
            "before": self.before,
            "seizure": pool_of(records, lambda one: one.there & one.seizure, power),
            "made": background,
            "outside": background,
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
        pool = self.pools[kind]
        if kind in ("made", "outside") and self.before is not None and rng.random() < BORROWED:
            # Of those who have seizures as often as of the others.
            pool = self.before
        index, at = pool.draw(rng)
        # The step that was drawn lies anywhere in the window.
        last = at + int(rng.integers(0, self.windows.window_steps))
        speed = 1.0 + float(rng.uniform(-1, 1)) * self.augment.stretch
        x, label = self.windows.cut(index, last, n_channels, speed, rng)
        if kind == "made" and not np.nansum(label):
            x, label = self._with_seizure(x, label, rng)
        if kind == "outside" and not np.nansum(label):
            x = add_outside(x, *self._outside(x.shape[1], rng), rng)
        x = varied(x, self.augment, rng)
        if rng.random() < self.augment.late:
            # As where a stream has just begun.
            gone = int(rng.integers(1, self.windows.window_steps // 2 + 1))
            x[:, : self.windows.config.context + gone * self.windows.config.step] = np.nan
            label[:gone] = np.nan
        return x, label

    def _outside(self, n: int, rng: np.random.Generator) -> tuple[int, int]:
        """First and last sample: of half of them neither lies in the window, of others one or both."""
        lasts = round(float(rng.uniform(MADE_LEAST_S, OUTSIDE_LASTS_S)) * RATE_HZ)
        if rng.random() < COVERED:
            return -n, 2 * n
        first = int(rng.integers(-lasts, n))
        return first, first + lasts

    def _with_seizure(
        self, x: FloatArray, label: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        config = self.windows.config
        step, context, n = config.step, config.context, x.shape[1]
        segment, longest_s = None, MADE_LASTS_S
        if self.segments and rng.random() < BORROWED:
            segment = self.segments[int(rng.integers(len(self.segments)))]
            longest_s = segment.shape[1] / RATE_HZ / STRETCHED
        lasts = round(float(rng.uniform(MADE_LEAST_S, longest_s)) * RATE_HZ)
        # From one that is about to end to one that has just begun.
        first = int(rng.integers(context + 2 * step - lasts, n - 2 * step))
        x, onset = add_seizure(x, first, first + lasts, segment, rng)
        middle = context + (np.arange(self.windows.window_steps) + 0.5) * step
        inside = (middle >= onset) & (middle < first + lasts)
        rising = (middle >= first) & (middle < onset)
        made = np.where(inside, np.float32(1), np.where(rising, np.float32(np.nan), label))
        return x, np.where(np.isfinite(label), made, label)


def seizures_of(record: EegRecord, step: int) -> list[FloatArray]:
    """Seizures of a record (R, n) to borrow from: the first :data:`LONGEST_S` of each that has no gap."""
    found = []
    for start, end in record.seizures:
        first = round(start / record.step_s) * step
        piece = record.x[:, first : first + round(min(end - start, LONGEST_S) / record.step_s) * step]
        there = np.isfinite(piece)
        # Of a clip that begins late in its seizure what is there.
        piece = (
            piece[:, np.all(there, axis=0)] if np.all(there, axis=0).any() else piece[np.all(there, axis=1)]
        )
        if piece.size and piece.shape[1] >= STRETCHED * (MADE_LEAST_S + 1) * RATE_HZ:
            found.append(np.asarray(piece, dtype=np.float32))
    return found
