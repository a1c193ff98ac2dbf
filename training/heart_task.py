"""The heart task: S1, systole, S2, diastole along a recording, and whether there is a murmur."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ingest.conditioning import ConditioningSpec
from models.cnn_lstm import CnnLstm
from models.sounds_heart import MURMUR, STATES, STEP_CLASSES
from training.evaluation import Evaluation
from training.heart_config import HeartRecipe
from training.heart_predict import Heard, listen
from training.heart_records import SOURCE, HeartRecord, list_recordings, make_record, read_patients
from training.heart_sampling import IGNORED, HeartSampler
from training.heart_scores import describe, joined, make_row, patient_table, segmentation_f1
from training.metrics import curves
from training.sound_calibration import fit_platt
from training.sound_folds import splits_of
from training.sound_frames import load_frames
from training.sound_task import SoundTask
from training.task import CardFields, Names, Split

BAND_HZ: Final = (25.0, 400.0)
SPLIT_FOLDS: Final = 5
"""The shipped model's split is the first of so many folds."""
CAVEATS: Final = (
    "Research software, no medical device.",
    "Trained on children and adolescents of one screening campaign with one kind of stethoscope.",
    "88 patients of CirCor's 942; two thirds of the murmurs are grade I/VI.",
    "Murmurs of diastole are not told apart: one patient of the set has one.",
)


class HeartTask(SoundTask):
    """Windows of heart sounds; see :class:`~training.task.Task`."""

    recipe: HeartRecipe
    needs = "the heart task needs"

    @cached_property
    def _rows(self) -> dict[str, dict[str, str]]:
        return read_patients(self.data / SOURCE)

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Recordings whose patient is in the table."""
        found = list_recordings(self.data / SOURCE)
        return {name: path for name, path in found.items() if path.stem.split("_")[0] in self._rows}

    def patient_of(self, name: str) -> str:
        """Patient of a recording, by its name."""
        return name.rsplit("/", 1)[-1].split("_")[0]

    @cached_property
    def _held(self) -> dict[str, HeartRecord]:
        return {}

    def records(self, names: Names) -> list[HeartRecord]:
        """Recordings with their frames, read once."""
        missing = [name for name in names if name not in self._held]
        frames = load_frames(
            [self.paths[name] for name in missing],
            ConditioningSpec(self.mel.rate_hz, *BAND_HZ),
            self.mel,
            self.cache,
        )
        for name, one in zip(missing, frames, strict=True):
            row = self._rows[self.patient_of(name)]
            self._held[name] = make_record(name, self.paths[name], row, one)
        return [self._held[name] for name in names]

    def split(self) -> Split:
        """The first of five folds: the shipped model's test side is scored in cross-validation, too."""
        return self.folds(SPLIT_FOLDS)[0]

    def folds(self, k: int) -> list[Split]:
        """By patient; murmurs, their grades and the campaigns spread.

        Raises
        ------
        BadRecipe
            Fewer than two folds, or more than patients.
        """
        counts: dict[str, tuple[float, ...]] = {}
        for patient in dict.fromkeys(map(self.patient_of, self.paths)):
            row = self._rows[patient]
            faint = row["Systolic murmur grading"] == "I/VI"
            counts[patient] = (
                row["Murmur"] == "Present" and faint,
                row["Murmur"] == "Present" and not faint,
                row["Murmur"] == "Absent",
                row["Murmur"] == "Unknown",
                row["Campaign"] == "CC2014",
                1.0,
            )
        patients = {name: self.patient_of(name) for name in self.paths}
        return splits_of(patients, counts, k, self.recipe.data.inner)

    def sampler(self, names: Names) -> HeartSampler:
        """Windows, patients evenly."""
        return HeartSampler(
            self.records(names),
            self.front_end.stride,
            self.mel.hop,
            self.mel.window,
            self.mel.rate_hz,
            self.recipe.data,
            self.recipe.augment,
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross entropy of states, of the murmur in systole and of the window."""
        config = self.recipe.loss
        out = model(batch["x"])
        states = functional.cross_entropy(
            out.step_logits[..., : len(STATES)].transpose(1, 2), batch["state"], ignore_index=IGNORED
        )
        known_B = torch.isfinite(batch["murmur"])
        soft_B = batch["murmur"].nan_to_num(0.5) * (1 - 2 * config.label_smoothing) + config.label_smoothing
        systole_BS = (batch["state"] == STATES.index("systole")) & known_B[:, None]
        every_BS = functional.binary_cross_entropy_with_logits(
            out.step_logits[..., MURMUR], soft_B[:, None].expand_as(systole_BS), reduction="none"
        )
        steps = (every_BS * systole_BS).sum() / systole_BS.sum().clamp(min=1)
        window_B = functional.binary_cross_entropy_with_logits(
            out.window_logits[:, 0], soft_B, reduction="none"
        )
        window = (window_B * known_B).sum() / known_B.sum().clamp(min=1)
        total = states + config.murmur_step_weight * steps + config.murmur_window_weight * window
        return {"loss": total, "states": states, "murmur_steps": steps, "murmur_window": window}

    def heard(self, model: CnnLstm, names: Names) -> list[Heard]:
        """What the model says of each recording."""
        return listen(model, self.records(names), self.recipe.data.window_s, self.step_s, self.front_end)

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``score``: mean of the murmur's ROC area by recording and the F1 of S1 and S2."""
        found = self.heard(model, names)
        f1 = segmentation_f1(found)
        known = [one for one in found if one.record.murmur != "Unknown"]
        truth = np.array([one.record.murmur == "Present" for one in known])
        area = 0.5
        if truth.any() and not truth.all():
            score = np.array([one.murmur_logit for one in known])
            area = curves(score, truth, np.ones(len(score))).roc_area
        return {**f1, "murmur_roc_area": area, "score": (area + np.nan_to_num(f1["f1"])) / 2}

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Scale and offset that calibrate a patient's murmur logit, and the probability that calls it."""
        logit, truth = patient_table(self.heard(model, names))
        scale, offset = fit_platt(logit, truth)
        return {"murmur": 0.5, "murmur_scale": scale, "murmur_offset": offset}

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Murmur by patient and recording, S1 and S2 beside an envelope baseline."""
        scale, offset = thresholds["murmur_scale"], thresholds["murmur_offset"]
        rows = [make_row(one, scale, offset) for one in self.heard(model, names)]
        return describe(rows, [f"calibration of the murmur's logit: times {scale:g}, plus {offset:g}"])

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Pools all folds, each patient judged with the own fold's calibration."""
        return joined(parts)

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """Heart sounds at 4 kHz in the serving band."""
        return CardFields(
            signal="sound",
            unit="1",
            fs_hz=self.mel.rate_hz,
            band_hz=BAND_HZ,
            window_s=self.recipe.data.window_s,
            step_s=self.step_s,
            step_classes=STEP_CLASSES,
            window_classes=("murmur",),
            normalisation=(
                f"log-mel bands less their running mean of {self.mel.memory_s:g} s (causal), divided by 3"
            ),
            data="CirCor DigiScope (circor2022), the recordings that are here",
            caveats=CAVEATS,
            extra={"window_label_s": self.recipe.data.window_s, "right_context_s": 0.5, "hop_s": 3.0},
        )
