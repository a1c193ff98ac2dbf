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
from training.eeg_made import add_seizure
from training.eeg_records import EegRecord
from training.eeg_signal import RATE_HZ, FloatArray
from training.eeg_windows import EegWindows, pool_of, varied
from training.errors import BadRecipe, DataMissing

KINDS: Final = ("background", "seizure", "made")
MADE_LEAST_S: Final = 6.0
MADE_LASTS_S: Final = 60.0
BORROWED_LASTS_S: Final = 18.0
"""Bonn's segments are 23.6 s long."""


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
        self.windows = EegWindows(records, front_end, window_steps, data.blurred_s)
        self.data, self.augment, self.segments = data, augment, segments
        power = data.patient_power
        background = pool_of(records, lambda one: one.there & ~one.seizure, power)
        if background is None:
            raise DataMissing("no second of the training records is free of seizures: add background")
        pools = {
            "background": background,
            "seizure": pool_of(records, lambda one: one.there & one.seizure, power),
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
        last = at + int(rng.integers(0, self.windows.window_steps))
        speed = 1.0 + float(rng.uniform(-1, 1)) * self.augment.stretch
        x, label = self.windows.cut(index, last, n_channels, speed, rng)
        if kind == "made" and not np.nansum(label):
            x, label = self._with_seizure(x, label, rng)
        return varied(x, self.augment, rng), label

    def _with_seizure(
        self, x: FloatArray, label: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        config = self.windows.config
        step, context, n = config.step, config.context, x.shape[1]
        use_bonn = self.segments is not None and rng.random() < 0.4
        longest_s = BORROWED_LASTS_S if use_bonn else MADE_LASTS_S
        lasts = round(float(rng.uniform(MADE_LEAST_S, longest_s)) * RATE_HZ)
        # From one that is about to end to one that has just begun.
        first = int(rng.integers(context + 2 * step - lasts, n - 2 * step))
        x, onset = add_seizure(x, first, first + lasts, self.segments if use_bonn else None, rng)
        middle = context + (np.arange(self.windows.window_steps) + 0.5) * step
        inside = (middle >= onset) & (middle < first + lasts)
        rising = (middle >= first) & (middle < onset)
        made = np.where(inside, np.float32(1), np.where(rising, np.float32(np.nan), label))
        return x, np.where(np.isfinite(label), made, label)
