"""Batches for the lung task: labels by share in each device alike, patients evened out, then varied."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.sounds_level import SCALE
from training.errors import DataMissing
from training.lung_config import LungData
from training.lung_records import CLASS_OF, LungRecord, classes_of
from training.sound_augment import added, vary
from training.sound_config import SoundAugment
from training.sources import FloatArray, IntArray, WideFloatArray

logger = logging.getLogger(__name__)

LABELS: Final = ("crackle", "wheeze")
KINDS: Final = ("normal", "crackle", "wheeze", "both")
MOST_CYCLES: Final = 12
"""Cycles of a window whose steps are pooled; more do not fit in one of 5 s but by error of annotation."""
IN_VIEW: Final = 0.7
"""A cycle counts in a window that shows this share of it."""
WHOLE_S: Final = 0.6
"""The whole window has a label where a cycle with it is in view so long, or half of it."""
UNKNOWN: Final = -1


@dataclass(frozen=True, slots=True)
class Steps:
    """How steps lie in time: seconds a step, middle of the first, frames a step."""

    step_s: float
    first_s: float
    per_step: int

    def cut(self, cycle_start_s: float, cycle_end_s: float) -> tuple[int, int]:
        """First step whose middle lies in a cycle, and the first after it; at least one."""
        first = int(np.ceil((cycle_start_s - self.first_s) / self.step_s))
        last = int(np.ceil((cycle_end_s - self.first_s) / self.step_s))
        first = max(0, first)
        return first, max(first + 1, last)


def kind_of(labels: IntArray) -> IntArray:
    """Index into :data:`KINDS` of labels (n, 2)."""
    return np.asarray(labels[:, 0] + 2 * labels[:, 1], dtype=np.int64)


class LungSampler:
    """Draws windows around breathing cycles.

    Parameters
    ----------
    records : sequence of LungRecord
        Of the training side.
    steps : Steps
        Of the network.
    window_steps : int
        Steps of a window.
    frame_hz : float
        Frames per second.
    data, augment : LungData, SoundAugment
        The recipe's.
    pictures : int
        Of the same bands that lie one above the other in the frames.

    Raises
    ------
    DataMissing
        No cycles.
    """

    def __init__(
        self,
        records: Sequence[LungRecord],
        steps: Steps,
        window_steps: int,
        frame_hz: float,
        data: LungData,
        augment: SoundAugment,
        pictures: int = 1,
    ) -> None:
        self.pictures = pictures
        self.records, self.steps, self.window_steps = list(records), steps, window_steps
        self.frame_hz, self.data, self.augment = frame_hz, data, augment
        # A cycle that ends with no frame left of it cannot be drawn.
        self.items = np.array(
            [
                (i, k)
                for i, record in enumerate(self.records)
                for k in range(len(record.about.cycles.start_s))
                if steps.cut(record.about.cycles.start_s[k], record.about.cycles.end_s[k])[0]
                < record.frames.shape[1] // steps.per_step
            ],
            dtype=np.int64,
        ).reshape(-1, 2)
        if not len(self.items):
            raise DataMissing("no breathing cycles on the training side")
        self.kind = kind_of(np.stack([self.records[i].about.cycles.labels[k] for i, k in self.items]))
        self.weight = self._draw_weights()
        self.normal = np.flatnonzero(self.kind == 0)
        classes, class_of = classes_of(data.diagnoses), CLASS_OF[data.diagnoses]
        named = [class_of.get(record.about.diagnosis, "") for record in self.records]
        self.diagnosis = np.array([classes.index(one) if one else UNKNOWN for one in named])
        if not any(named):
            logger.warning(
                "no recording of the training side has a diagnosis (patient_diagnosis.csv): the diagnosis "
                "head stays untrained, what it says means nothing"
            )
        drawn = np.bincount(
            self.diagnosis[self.items[:, 0]] + 1, weights=self.weight, minlength=len(classes) + 1
        )[1:]
        self.diagnosis_weight = np.where(drawn > 0, 1 / np.maximum(drawn, 1e-9), 0.0) / max(
            1, (drawn > 0).sum()
        )

    def _draw_weights(self) -> WideFloatArray:
        """Probability of each cycle: device, label within it, patient within both, then evenly."""
        device = [self.records[i].about.device for i, _ in self.items]
        patient = [self.records[i].about.patient for i, _ in self.items]
        weight = np.zeros(len(self.items))
        cells = list(zip(device, self.kind.tolist(), strict=True))
        for own in dict.fromkeys(device):
            of_device = device.count(own) ** self.data.device_power
            shares = {
                kind: self.data.draw[KINDS[kind]] for kind in range(len(KINDS)) if (own, kind) in set(cells)
            }
            for kind, share in shares.items():
                inside = [i for i, cell in enumerate(cells) if cell == (own, kind)]
                counts: dict[str, int] = {}
                for i in inside:
                    counts[patient[i]] = counts.get(patient[i], 0) + 1
                total = sum(count**self.data.patient_power for count in counts.values())
                for i in inside:
                    of_patient = counts[patient[i]] ** self.data.patient_power / counts[patient[i]]
                    weight[i] = of_device * share / sum(shares.values()) * of_patient / total
        return np.asarray(weight / weight.sum(), dtype=np.float64)

    def batch(self, seed: int, step: int, n: int) -> dict[str, npt.NDArray[np.generic]]:
        """Windows and their labels.

        ``x`` (n, 1, M, T); ``where`` (n, S), the steps that ``label`` (n, 2) is of; ``cycle`` (n, S), number
        of each step's cycle or -1; ``cycle_label`` (n, 12, 2), NaN where there is no such cycle in view;
        ``diagnosis`` (n,), -1 where it is not known, ``diagnosis_weight`` (n,).
        """
        rng = np.random.default_rng((seed, step))
        chosen = rng.choice(len(self.items), n, p=self.weight)
        parts = [self._item(int(i), rng) for i in chosen]
        diagnosis = self.diagnosis[self.items[chosen, 0]]
        return {
            "x": np.stack([part[0] for part in parts])[:, None],
            "where": np.stack([part[1] for part in parts]),
            "label": np.stack([part[2] for part in parts]),
            "cycle": np.stack([part[3] for part in parts]),
            "cycle_label": np.stack([part[4] for part in parts]),
            "diagnosis": diagnosis.astype(np.int64),
            "diagnosis_weight": self.diagnosis_weight[diagnosis].astype(np.float32),
        }

    def _begin(self, first: int, last: int, n_steps: int, rng: np.random.Generator) -> int:
        """First step of a window that shows as much of a cycle as fits."""
        spare = self.window_steps - (last - first)
        begin = (
            first - int(rng.integers(0, spare + 1)) if spare >= 0 else first + int(rng.integers(0, 1 - spare))
        )
        return int(np.clip(begin, 0, max(0, n_steps - self.window_steps)))

    def _item(
        self, index: int, rng: np.random.Generator
    ) -> tuple[FloatArray, npt.NDArray[np.bool_], FloatArray, IntArray, FloatArray]:
        i, k = self.items[index]
        record, cycles = self.records[i], self.records[i].about.cycles
        n_steps = record.frames.shape[1] // self.steps.per_step
        first, last = self.steps.cut(cycles.start_s[k], cycles.end_s[k])
        last = min(last, n_steps)
        begin = self._begin(first, last, n_steps, rng)
        end = min(begin + self.window_steps, n_steps)
        x = self._cut(record.frames, begin)
        if rng.random() < self.augment.mixup:
            x = self._under(x, rng)
        cycle = np.full(self.window_steps, UNKNOWN, dtype=np.int64)
        cycle_label = np.full((MOST_CYCLES, len(LABELS)), np.nan, dtype=np.float32)
        whole, n_seen = np.zeros(len(LABELS), dtype=np.float32), 0
        for j in range(len(cycles.start_s)):
            a, b = self.steps.cut(cycles.start_s[j], cycles.end_s[j])
            seen = min(b, end) - max(a, begin)
            if seen <= 0:
                continue
            if seen * self.steps.step_s >= WHOLE_S or seen >= (b - a) / 2:
                whole = np.maximum(whole, cycles.labels[j])
            if seen >= IN_VIEW * (b - a) and n_seen < MOST_CYCLES:
                cycle[max(a, begin) - begin : min(b, end) - begin] = n_seen
                cycle_label[n_seen] = cycles.labels[j]
                n_seen += 1
        where = np.zeros(self.window_steps, dtype=np.bool_)
        if rng.random() < self.data.whole_share:
            where[: end - begin], label = True, whole.astype(np.float32)
        else:
            where[max(first, begin) - begin : min(last, end) - begin] = True
            label = cycles.labels[k].astype(np.float32)
        x = vary(x, self.augment, self.frame_hz, rng, self.pictures)
        return x, where, label, cycle, cycle_label

    def _cut(self, frames: FloatArray, begin: int) -> FloatArray:
        """Window of frames from a step on; zeros, the level's own mean, behind the recording's end."""
        length = self.window_steps * self.steps.per_step
        cut = frames[:, begin * self.steps.per_step :][:, :length]
        return np.pad(cut, ((0, 0), (0, length - cut.shape[1])))

    def _under(self, x: FloatArray, rng: np.random.Generator) -> FloatArray:
        """The window with a normal one of another recording under it: its labels stay."""
        i, k = self.items[int(rng.choice(self.normal))] if len(self.normal) else self.items[0]
        record = self.records[i]
        n_steps = record.frames.shape[1] // self.steps.per_step
        begin = self.steps.cut(record.about.cycles.start_s[k], record.about.cycles.end_s[k])[0]
        other = self._cut(record.frames, min(begin, max(0, n_steps - self.window_steps)))
        shape = (self.pictures, -1, x.shape[1])
        below = other.reshape(shape).copy()
        # 3 to 15 dB weaker.
        below[0] -= np.float32(rng.uniform(0.7, 3.5) / SCALE)
        return added(x.reshape(shape), below).reshape(x.shape)
