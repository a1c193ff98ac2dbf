"""The delineation task: P, QRS and T waves with onset, peak and end, each lead by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ingest import conditioning
from models.cnn_lstm import CnnLstm
from models.delineate import STEP_CLASSES, WAVES
from training.config import Recipe
from training.delineation_config import DelineationRecipe
from training.delineation_fibrillation import list_fibrillation, load_fibrillation
from training.delineation_peer import peer_waves
from training.delineation_predict import WINDOW_S, delineate_leads, waves_of
from training.delineation_records import SPEC, Lead, list_records, read_leads
from training.delineation_report import describe, join, step_predictions, worst_strips
from training.delineation_sampling import DelineationSampler
from training.delineation_scores import FoundWaves, score, summarise, wave_f1
from training.errors import BadRecipe, DataMissing
from training.evaluation import Evaluation
from training.noise_records import NOISES, raw_noise
from training.sources import FloatArray
from training.splits import hashed_side
from training.task import CACHE, CardFields, Names, Split, Task

CAVEATS: Final = (
    "Research software, no medical device.",
    "Trained on 10 s recordings of patients at rest, leads ii, v1 and v5, marked by one team.",
    "Waves outside the first and last annotated beat of a recording were neither trained nor scored.",
    "Flutter waves are few in the data, paced rhythm is not in it.",
)
P_FACTOR: Final = "p_factor"
GAINS: Final = (0.4, 0.5, 0.63, 0.8, 1.0, 1.25, 1.6)
"""Factors of the probability of P waves that are tried on validation patients."""


def step_losses(
    logits_BTK: Tensor, batch: Mapping[str, Tensor], wave_weights: Sequence[float], no_p_weight: float
) -> dict[str, Tensor]:
    """Cross entropy of the known steps, and of P waves where they are ruled out.

    Parameters
    ----------
    logits_BTK : Tensor, shape (B, T, 7)
        Of the step head.
    batch : mapping
        ``steps``, ``known`` and ``no_p`` as :class:`~training.delineation_sampling.DelineationSampler` makes.
    wave_weights : sequence of float
        Of P, QRS and T.
    no_p_weight : float
        Of the second part.
    """
    log_p_BTK = functional.log_softmax(logits_BTK, dim=-1)
    weights = [1.0, *(weight for weight in wave_weights for _ in range(2))]
    weights_K = torch.tensor(weights, device=logits_BTK.device)
    known_BT, no_p_B = batch["known"], batch["no_p"]
    entropy_BT = -(batch["steps"] * weights_K * log_p_BTK).sum(-1)
    of_steps = (entropy_BT * known_BT).sum() / known_BT.sum().clamp(min=1.0)
    # Columns 1 and 2 are the P wave before and after its peak.
    others_BT = torch.cat([log_p_BTK[..., :1], log_p_BTK[..., 3:]], dim=-1).logsumexp(-1)
    of_no_p = -(others_BT.mean(-1) * no_p_B).sum() / no_p_B.sum().clamp(min=1.0)
    return {"loss": of_steps + no_p_weight * of_no_p, "step_loss": of_steps, "no_p_loss": of_no_p}


def load_noise(data: Path) -> FloatArray:
    """Wander and muscle noise of nstdb's training half, conditioned as the leads are, unit deviation.

    Raises
    ------
    DataMissing
        nstdb is not there.
    """
    parts = []
    for name in NOISES:
        samples, fs_hz = raw_noise(data, name, "train")
        done = conditioning.condition(samples, fs_hz, SPEC)
        parts.append((done / done.std(0)).T.reshape(-1))
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)


class DelineationTask(Task):
    """P, QRS and T waves of single leads; see :class:`~training.task.Task`."""

    recipe: DelineationRecipe

    def __init__(self, recipe: Recipe, data: Path, cache: Path = CACHE) -> None:
        super().__init__(recipe, data, cache)
        if recipe.architecture.step_classes != len(STEP_CLASSES):
            raise BadRecipe(
                f"architecture.step_classes={recipe.architecture.step_classes}: delineation needs "
                f"{len(STEP_CLASSES)} ({', '.join(STEP_CLASSES)})"
            )
        self._held: dict[str, list[Lead]] = {}

    @property
    def stride(self) -> int:
        """Samples a step."""
        return self.recipe.architecture.front_end.stride

    @cached_property
    def names(self) -> Names:
        """All marked records of the recipe's sets."""
        return tuple(name for source in self.recipe.data.sources for name in list_records(self.data, source))

    @cached_property
    def fibrillation(self) -> Names:
        """Records that rule out P waves, of the sets that are here; they train only."""
        here = [source for source in self._ruling_out if (self.data / source).is_dir()]
        return tuple(name for source in here for name in list_fibrillation(self.data, source))

    @property
    def _ruling_out(self) -> tuple[str, ...]:
        data = self.recipe.data
        return data.fibrillation if data.fibrillation_share > 0 else ()

    def leads(self, names: Names) -> list[Lead]:
        """Marked leads of these records, read once; records without marks are left out."""
        found: list[Lead] = []
        for name in names:
            if name.split("/", 1)[0] not in self.recipe.data.sources:
                continue
            if name not in self._held:
                self._held[name] = read_leads(self.data, name, SPEC, self.cache)
            found += self._held[name]
        if not found:
            raise DataMissing(f"no record of {', '.join(self.recipe.data.sources)} among {len(names)} names")
        return found

    def split(self) -> Split:
        """70 % train, 10 % choose, 20 % are scored, by a hash of the record's name."""
        side = {name: hashed_side(name) for name in self.names}
        train = tuple(name for name in self.names if side[name] == "train")
        return Split(
            train + self.fibrillation,
            tuple(name for name in self.names if side[name] == "validation"),
            tuple(name for name in self.names if side[name] == "test"),
        )

    def folds(self, k: int) -> list[Split]:
        """By patient, rhythms dealt evenly; an eighth of the patients that do not test choose.

        Raises
        ------
        BadRecipe
            Fewer than two folds, or more than a third of the records.
        """
        if not 2 <= k <= len(self.names) // 3:
            raise BadRecipe(f"{k} folds of {len(self.names)} records: take 2 to {len(self.names) // 3}")
        rhythm = {name: self.leads((name,))[0].rhythm for name in self.names}
        dealt = sorted(self.names, key=lambda name: (rhythm[name], hashlib.sha256(name.encode()).hexdigest()))
        splits = []
        for i in range(k):
            test = tuple(dealt[i::k])
            rest = [name for name in dealt if name not in test]
            every = max(2, round(1 / self.recipe.data.validation_share))
            # Shifted by the fold, so that the folds' validation sides differ.
            validation = tuple(rest[i % every :: every])
            train = tuple(name for name in rest if name not in validation)
            splits.append(Split(train + self.fibrillation, validation, test))
        return splits

    def sampler(self, names: Names) -> DelineationSampler:
        """Windows of the marked leads, and of fibrillation.

        Raises
        ------
        DataMissing
            A set is not there.
        """
        for source in self._ruling_out:
            if not (self.data / source).is_dir():
                raise DataMissing(
                    f"{self.data / source}: not there; without fibrillation the model puts P waves on it; "
                    "set data.fibrillation to the sets there are, or data.fibrillation_share=0"
                )
        weak = tuple(name for name in names if name in set(self.fibrillation))
        fibrillation = load_fibrillation(self.data, weak, SPEC, self.cache) if weak else []
        recipe = self.recipe
        return DelineationSampler(
            self.leads(names),
            fibrillation,
            load_noise(self.data),
            SPEC.rate_hz,
            self.stride,
            recipe.data,
            recipe.augment,
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross entropy of the steps."""
        config = self.recipe.loss
        return step_losses(model(batch["x"]).step_logits, batch, config.wave_weights, config.no_p_weight)

    def _found(
        self, model: CnnLstm, leads: Sequence[Lead], thresholds: Mapping[str, float]
    ) -> tuple[list[FoundWaves], list[FloatArray]]:
        pairs = delineate_leads(model, leads, SPEC.rate_hz, self.stride, gains_of(thresholds))
        return [waves for waves, _ in pairs], [probabilities for _, probabilities in pairs]

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``score``: mean F1 of the waves in per cent, less a twentieth of the mean SD of the marks in ms."""
        leads = self.leads(names)
        figures = score(leads, self._found(model, leads, {})[0], SPEC.rate_hz).sum(axis=0)
        f1, sd_ms = np.nan_to_num(wave_f1(figures)), np.nan_to_num(summarise(figures).sd_ms, nan=100.0)
        parts = {f"{wave.lower()}_f1": float(value) for wave, value in zip(WAVES, f1, strict=True)}
        return {**parts, "sd_ms": float(sd_ms.mean()), "score": float(f1.mean() - sd_ms.mean() / 20)}

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``p_factor``: factor of the probability of P waves, by their F1; the nearest to 1 of equals."""
        leads = self.leads(names)
        steps = self._found(model, leads, {})[1]

        def f1_of(gain: float) -> float:
            found = [waves_of(one, self.stride, SPEC.rate_hz, {"P": gain}) for one in steps]
            figures = score(leads, found, SPEC.rate_hz).sum(axis=0)
            return float(np.nan_to_num(wave_f1(figures)[WAVES.index("P")]))

        best = max(GAINS, key=lambda gain: (round(f1_of(gain), 2), -abs(np.log(gain))))
        return {P_FACTOR: best}

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Marks, by lead and rhythm, lead by lead; neurokit2 on the same leads."""
        leads = self.leads(names)
        found, steps = self._found(model, leads, thresholds)
        figures = score(leads, found, SPEC.rate_hz)
        peer = None
        notes: tuple[str, ...] = ()
        if find_spec("neurokit2") is not None:
            beside = [peer_waves(self.data, lead, SPEC) for lead in leads]
            peer = score(leads, beside, SPEC.rate_hz)
        else:
            notes = ("neurokit2 is not installed: no figures of it stand beside.",)
        return describe(
            [(lead.record, lead.lead, lead.rhythm) for lead in leads],
            figures,
            peer,
            step_predictions(leads, steps, self.stride, SPEC.rate_hz),
            worst_strips(leads, found, figures, SPEC.rate_hz),
            notes,
        )

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Pools the leads of all folds, each read with its own fold's thresholds."""
        return join(parts)

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """ECG at 250 Hz in the chain's band."""
        architecture, data = self.recipe.architecture, self.recipe.data
        weak = f"; fibrillation of {', '.join(data.fibrillation)}" if self._ruling_out else ""
        return CardFields(
            signal="ecg",
            unit="mV",
            fs_hz=SPEC.rate_hz,
            band_hz=(SPEC.low_hz, SPEC.high_hz),
            window_s=WINDOW_S,
            step_s=architecture.front_end.stride / SPEC.rate_hz,
            step_classes=STEP_CLASSES,
            window_classes=(),
            normalisation=f"fixed: asinh({architecture.input_gain:g} x) of mV after the causal band-pass",
            data=f"PhysioNet {', '.join(data.sources)}{weak}; noise of nstdb (bw, ma)",
            caveats=CAVEATS,
            extra={},
        )


def gains_of(thresholds: Mapping[str, float]) -> dict[str, float]:
    """Thresholds as the decoder takes them."""
    return {"P": thresholds.get(P_FACTOR, 1.0)}
