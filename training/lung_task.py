"""The lung task: crackles and wheezes by step, cycle and window, and healthy, chronic or acute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ingest.conditioning import ConditioningSpec
from models.cnn_lstm import CnnLstm
from models.sounds_level import RATIO_SCALE, SCALE, USUAL_CLICK
from training.errors import BadRecipe
from training.evaluation import Evaluation
from training.lung_config import LungRecipe
from training.lung_maps import map_counts
from training.lung_predict import HeardLung, listen
from training.lung_records import (
    BOTH_SIDES,
    CLASS_OF,
    LungRecord,
    LungRecording,
    classes_of,
    list_recordings,
)
from training.lung_sampling import LABELS, UNKNOWN, LungSampler, Steps
from training.lung_scores import best_thresholds, cycle_table, describe, joined, predictions_of
from training.sound_calibration import fit_platt
from training.sound_folds import splits_of, validating
from training.sound_frames import load_frames
from training.sound_scores import auroc
from training.sound_task import SoundTask
from training.task import CardFields, Names, Split

BAND_HZ: Final = (50.0, 1_800.0)
SPLIT_FOLDS: Final = 5
OFFSET: Final = -0.75
"""Abnormal cycles are drawn about twice as often as they occur: what that adds to the log odds."""
SCALE_PRIOR, OFFSET_PRIOR = 4.0, 3.0
"""Six to nine validation patients move scale and offset but little: weights with the least log loss on those
of them who were left out one by one, over all folds."""
CAVEATS: Final = (
    "Research software, no medical device.",
    "Few patients: 58 of ICBHI's 126, crackles mostly from 12 of them; figures vary widely between patients.",
    "Cycles are labelled, not events: a step's probability is learned from the cycle that it lies in.",
    "Device and diagnosis go together in ICBHI: the diagnosis head may hear the device.",
)


def pooled_steps(step_logits_BSK: Tensor, cycle_BS: Tensor, n_cycles: int) -> Tensor:
    """Probability of each cycle by the linear softmax of its steps, (B, C, K); of no step 0."""
    p_BSK = step_logits_BSK.sigmoid()
    member_BSC = functional.one_hot(cycle_BS + 1, n_cycles + 1)[..., 1:].to(p_BSK.dtype)
    squares = torch.einsum("bsc,bsk->bck", member_BSC, p_BSK * p_BSK)
    sums = torch.einsum("bsc,bsk->bck", member_BSC, p_BSK)
    return squares / sums.clamp(min=1e-6)


class LungTask(SoundTask):
    """Windows of lung sounds; see :class:`~training.task.Task`."""

    recipe: LungRecipe
    needs = "the lung task needs"

    @cached_property
    def diagnoses(self) -> tuple[str, ...]:
        """Classes of the diagnosis head.

        Raises
        ------
        BadRecipe
            The window head has not one output for each, and for each label.
        """
        classes, outputs = classes_of(self.recipe.data.diagnoses), self.recipe.architecture.window_classes
        if outputs != len(LABELS) + len(classes):
            raise BadRecipe(
                f"recipe {self.recipe.name}: architecture.window_classes={outputs}, but data.diagnoses="
                f"{self.recipe.data.diagnoses} needs {len(LABELS) + len(classes)}: {', '.join(LABELS)} and "
                f"{', '.join(classes)}"
            )
        return classes

    @cached_property
    def steps(self) -> Steps:
        """How the network's steps lie in time."""
        config, mel = self.front_end, self.mel
        first = (config.stride - config.hop + mel.span) / 2 / mel.rate_hz
        return Steps(config.stride / mel.rate_hz, first, config.columns_per_step)

    @property
    def window_steps(self) -> int:
        """Steps of a window."""
        return round(self.recipe.data.window_s / self.steps.step_s)

    @cached_property
    def recordings(self) -> dict[str, LungRecording]:
        """All recordings of the recipe's sets."""
        return {
            name: one
            for source in self.recipe.data.sources
            for name, one in list_recordings(self.data / source).items()
        }

    @cached_property
    def _held(self) -> dict[str, LungRecord]:
        return {}

    def records(self, names: Names) -> list[LungRecord]:
        """Recordings with their frames, read once."""
        missing = [name for name in names if name not in self._held]
        spec = ConditioningSpec(self.mel.rate_hz, *BAND_HZ)
        frames = load_frames([self.recordings[name].path for name in missing], spec, self.mel, self.cache)
        for name, one in zip(missing, frames, strict=True):
            self._held[name] = LungRecord(self.recordings[name], one)
        return [self._held[name] for name in names]

    def _counts(self, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """What is spread over folds, a patient: cycles, crackles, wheezes, devices, diagnoses."""
        counts: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
        class_of = CLASS_OF[self.recipe.data.diagnoses]
        for name in names:
            one = self.recordings[name]
            labels = one.cycles.labels
            group = class_of.get(one.diagnosis, "")
            row = np.array(
                [
                    len(labels),
                    *labels.sum(0),
                    len(labels) * (one.device != "Meditron"),
                    *(0.0 for _ in self.diagnoses),
                ]
            )
            held = counts.setdefault(one.patient, np.zeros(len(row)))
            held += row
            for k, word in enumerate(self.diagnoses):
                held[4 + k] = float(group == word)
        return {patient: tuple(row.tolist()) for patient, row in counts.items()}

    def split(self) -> Split:
        """The first of five folds, whose training side has every device; or, where asked, the official split.

        Of the single-channel recordings the official training side has hardly any but Meditron's.
        """
        return self._official() if self.recipe.data.split == "official" else self.folds(SPLIT_FOLDS)[0]

    def _official(self) -> Split:
        """The official split; patients on both its sides test, a part of the training patients validates.

        Raises
        ------
        BadRecipe
            The recordings have no official split.
        """
        test = [
            name
            for name, one in self.recordings.items()
            if one.side == "test" or (one.side == "train" and one.patient in BOTH_SIDES)
        ]
        rest = [name for name, one in self.recordings.items() if one.side == "train" and name not in test]
        if not test or not rest:
            raise BadRecipe("the recordings have no official split; train folds with --fold or crossval")
        chosen = validating(self._counts(rest), self.recipe.data.inner)
        held = [name for name in rest if self.recordings[name].patient in chosen]
        return Split(tuple(name for name in rest if name not in held), tuple(held), tuple(test))

    def folds(self, k: int) -> list[Split]:
        """By patient; cycles, labels, devices and diagnoses spread.

        Raises
        ------
        BadRecipe
            Fewer than two folds, or more than patients.
        """
        patients = {name: one.patient for name, one in self.recordings.items()}
        return splits_of(patients, self._counts(tuple(patients)), k, self.recipe.data.inner)

    def sampler(self, names: Names) -> LungSampler:
        """Windows around cycles."""
        return LungSampler(
            self.records(names),
            self.steps,
            self.window_steps,
            self.mel.rate_hz / self.mel.hop,
            self.recipe.data,
            self.recipe.augment,
            self.front_end.pictures,
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross entropies of cycle or window, of the cycles' pooled steps, and of the diagnosis."""
        config = self.recipe.loss
        out = model(batch["x"], batch["where"])

        def soft(label: Tensor) -> Tensor:
            return label * (1 - 2 * config.label_smoothing) + config.label_smoothing

        window = functional.binary_cross_entropy_with_logits(
            out.window_logits[:, : len(LABELS)], soft(batch["label"])
        )
        label_BCK = batch["cycle_label"]
        known_BCK = torch.isfinite(label_BCK)
        pooled_BCK = pooled_steps(out.step_logits, batch["cycle"], label_BCK.shape[1]).clamp(1e-5, 1 - 1e-5)
        every_BCK = functional.binary_cross_entropy(
            pooled_BCK, soft(label_BCK.nan_to_num(0.0)), reduction="none"
        )
        steps = (every_BCK * known_BCK).sum() / known_BCK.sum().clamp(min=1)
        of_diagnosis_B = functional.cross_entropy(
            out.window_logits[:, len(LABELS) :], batch["diagnosis"], ignore_index=UNKNOWN, reduction="none"
        )
        diagnosis = (of_diagnosis_B * batch["diagnosis_weight"]).mean()
        total = window + config.steps_weight * steps + config.diagnosis_weight * diagnosis
        return {"loss": total, "window": window, "steps": steps, "diagnosis": diagnosis}

    def heard(self, model: CnnLstm, names: Names) -> list[HeardLung]:
        """What the model says of each recording."""
        return listen(model, self.records(names), self.steps, self.window_steps)

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``score``: mean ROC area of crackles and wheezes by cycle."""
        logits, labels = cycle_table(self.heard(model, names))
        areas = {
            f"{name}_auroc": auroc(logits[:, k], labels[:, k].astype(np.float64))
            for k, name in enumerate(LABELS)
        }
        known = [area for area in areas.values() if np.isfinite(area)]
        return {**areas, "score": float(np.mean(known)) if known else 0.0}

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Calibration of both labels, and the thresholds of the best ICBHI score with it."""
        logits, labels = cycle_table(self.heard(model, names))
        n_patients = len({self.recordings[name].patient for name in names})
        found: dict[str, float] = {}
        for k, name in enumerate(LABELS):
            scale, offset = fit_platt(
                logits[:, k],
                labels[:, k].astype(np.float64),
                items_per_patient=len(logits) / n_patients,
                scale_prior=SCALE_PRIOR,
                offset_prior=OFFSET_PRIOR,
                offset=OFFSET,
            )
            found |= {f"{name}_scale": scale, f"{name}_offset": offset}
        return best_thresholds(labels) | found

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Cycles, four classes, diagnosis; by device, place and patient."""
        words = ", ".join(f"{name} {value:g}" for name, value in thresholds.items())
        predictions = predictions_of(self.heard(model, names), thresholds, self.recipe.data.diagnoses)
        maps = map_counts(model, self.records(names), self.steps, self.window_steps)
        return describe(predictions, maps, [f"thresholds: {words}"])

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Pools all folds, each decided by its own fold's calibration and thresholds."""
        return joined(parts)

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """Lung sounds at 4 kHz in the serving band."""
        return CardFields(
            signal="sound",
            unit="1",
            fs_hz=self.mel.rate_hz,
            band_hz=BAND_HZ,
            window_s=self.recipe.data.window_s,
            step_s=self.steps.step_s,
            step_classes=LABELS,
            window_classes=(*LABELS, *self.diagnoses),
            normalisation=(
                f"log-mel bands less their running mean of {self.mel.memory_s:g} s (causal), "
                f"divided by {SCALE:g}"
                + f"; lines likewise, by {RATIO_SCALE:g}" * (self.mel.long > 0)
                + f"; clicks less {USUAL_CLICK:g}, by {RATIO_SCALE:g}" * (self.mel.short > 0)
            ),
            data=f"ICBHI 2017: {', '.join(self.recipe.data.sources)}",
            caveats=CAVEATS,
            # A piece of three seconds is about a breath, what the window head is trained on.
            extra={"window_label_s": self.recipe.data.window_s, "right_context_s": 1.0, "hop_s": 3.0},
        )
