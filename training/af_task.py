"""The task "af": normal, fibrillation, other or noise, from 10 to 30 s of one lead."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ingest.conditioning import ECG
from models.cnn_lstm import CnnLstm
from training.af_beats import FloatArray, IntArray
from training.af_config import AF_CLASSES, AfRecipe
from training.af_episodes import Answers, answer, choose_level, episode_metrics, episode_table
from training.af_predict import record_probabilities
from training.af_records import Detector, Lead, labels_of, load_leads
from training.af_sampling import AfSampler
from training.af_scores import (
    choose_factors,
    class_weights,
    confusion,
    decide,
    factors_of,
    mean_f1,
    metrics_of,
    predictions_of,
    shares_ratio,
    tables_of,
)
from training.corpus import names_of
from training.errors import BadRecipe
from training.evaluation import Evaluation, Predictions, Strip, pool
from training.monitor_task import load_noise
from training.splits import DS1, DS2, hashed_side
from training.task import CardFields, Names, Split, Task

CAVEATS: Final = (
    "Research software, no medical device.",
    "Trained on hand-held recordings of 9 to 61 s and a few ward records; scored on few patients of mitdb.",
    "Needs the beats of the model named in data.detector; it saw most of cinc2017's records (AF, noise or "
    "other) in training. Only times and probabilities of beats are taken from it, never its rhythms.",
    "Decisions are set to the shares of classes of the CinC 2017 challenge; a ward's are others.",
    "Labels of other rhythm and of noise are uncertain: experts disagreed on many of these recordings.",
)
WORST_STRIPS: Final = 6
VALIDATION_PART: Final = 8
"""One in so many records outside a fold's test side validates."""


def ranked(names: Sequence[str], labels: Mapping[str, int]) -> dict[str, int]:
    """Number of each record within its class, in an order drawn by hash."""

    def key(name: str) -> str:
        return hashlib.sha256(name.encode()).hexdigest()

    return {
        name: i
        for label in range(len(AF_CLASSES))
        for i, name in enumerate(sorted((n for n in names if labels[n] == label), key=key))
    }


class AfTask(Task):
    """Windows whose steps are beats; see :class:`~training.task.Task`."""

    recipe: AfRecipe

    @cached_property
    def detector(self) -> Detector:
        """Whose beats are the steps."""
        return Detector(self.recipe.data.detector, self.cache)

    @cached_property
    def _held(self) -> dict[str, Lead]:
        """Recordings of cinc2017 read so far: they are small."""
        return {}

    def _leads(self, names: Names) -> list[Lead]:
        """Recordings of cinc2017 among the names.

        Raises
        ------
        DataMissing
            There is none among them, or one of them is not there.
        """
        asked = [name for name in names if name.startswith("cinc2017/")]
        wanted = [name for name in asked if name not in self._held]
        if wanted or not asked:
            self._held.update({lead.name: lead for lead in load_leads(self.data, wanted, self.detector)})
        return [self._held[name] for name in asked]

    def _ward(self, wanted: Sequence[str]) -> Names:
        """Records of mitdb, where it is."""
        if not (self.data / "mitdb").is_dir():
            return ()
        return tuple(name for name in names_of(self.data, ("mitdb",)) if name.split("/")[1] in wanted)

    def split(self) -> Split:
        """cinc2017 by hash of the name; DS1 of mitdb trains, its DS2 is scored for episodes."""
        sides: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for name in names_of(self.data, ("cinc2017",)):
            sides[hashed_side(name)].append(name)
        return Split(
            (*sides["train"], *self._ward(DS1)),
            tuple(sides["validation"]),
            (*sides["test"], *self._ward(DS2)),
        )

    def folds(self, k: int) -> list[Split]:
        """cinc2017 by record, classes in equal shares; within a fold every eighth other record validates.

        Raises
        ------
        BadRecipe
            Fewer than two folds, or more than a class has records.
        """
        names = names_of(self.data, ("cinc2017",))
        labels = labels_of(self.data)
        rank = ranked(names, labels)
        least = min(sum(labels[name] == label for name in names) for label in range(len(AF_CLASSES)))
        if not 2 <= k <= least:
            raise BadRecipe(f"{k} folds: every fold needs a record of each class; take 2 to {least}")
        splits = []
        for fold in range(k):
            rest = [name for name in names if rank[name] % k != fold]
            place = ranked(rest, labels)
            splits.append(
                Split(
                    (*(name for name in rest if place[name] % VALIDATION_PART), *self._ward(DS1)),
                    tuple(name for name in rest if place[name] % VALIDATION_PART == 0),
                    tuple(name for name in names if rank[name] % k == fold),
                )
            )
        return splits

    def sampler(self, names: Names) -> AfSampler:
        """Windows of the recordings of cinc2017, each once a round, and of those of mitdb."""
        leads = [*self._leads(names), *self._ward_leads(names)]
        return AfSampler(leads, load_noise(self.data), self.recipe.data, self.recipe.augment)

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Minus log of the probability of the classes that may hold, with label smoothing."""
        log_p = model(batch["x"]).window_logits.log_softmax(-1)
        inside = log_p.masked_fill(batch["allowed"] == 0, -torch.inf).logsumexp(-1)
        smoothing = self.recipe.loss.label_smoothing
        return {"loss": -((1 - smoothing) * inside + smoothing * log_p.mean(-1)).mean()}

    def _truth(self, leads: Sequence[Lead]) -> IntArray:
        return np.array([lead.label for lead in leads], dtype=np.int64)

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Cross entropy and mean F1 at the full set's shares; the cross entropy chooses: it is less noisy."""
        leads = self._leads(names)
        truth = self._truth(leads)
        odds = record_probabilities(model, leads, self.recipe.data.window_s) * shares_ratio(truth)
        odds /= odds.sum(1, keepdims=True)
        weight = class_weights(truth)
        entropy = float(-(weight * np.log(odds[np.arange(len(truth)), truth] + 1e-9)).mean())
        f1 = mean_f1(confusion(truth, odds.argmax(1), weight))
        return {"score": -entropy, "mean_f1": f1}

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Factors of the classes, and the level from which a second is called fibrillation."""
        leads = self._leads(names)
        probabilities = record_probabilities(model, leads, self.recipe.data.window_s)
        return choose_factors(probabilities, self._truth(leads)) | {
            "af": choose_level(self._answers(model, names))
        }

    def _ward_leads(self, names: Names) -> list[Lead]:
        asked = [name for name in names if name.startswith("mitdb/")]
        return load_leads(self.data, asked, self.detector) if asked else []

    def _answers(self, model: CnnLstm, names: Names) -> list[Answers]:
        return [answer(model, lead, self.recipe.data.window_s) for lead in self._ward_leads(names)]

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Recordings of cinc2017 by the challenge's rule; episodes in those of mitdb."""
        parts = Evaluation()
        if any(name.startswith("cinc2017/") for name in names):
            leads = self._leads(names)
            probabilities = record_probabilities(model, leads, self.recipe.data.window_s)
            decided = decide(probabilities, factors_of(thresholds))
            found = predictions_of(
                tuple(lead.name for lead in leads), self._truth(leads), probabilities, decided
            )
            parts = _scored(found, strips_of(found, leads))
        answers = self._answers(model, names)
        if not answers:
            return parts
        table = episode_table(answers, thresholds["af"], self.recipe.data.window_s)
        metrics = parts.metrics | episode_metrics(answers, thresholds["af"])
        return Evaluation(parts.predictions, (*parts.tables, table), metrics, parts.strips, parts.notes)

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """All recordings, each as the network saw it that had not trained on it."""
        found = pool([part.predictions[0] for part in parts])
        whole = predictions_of(found.item, found.truth, found.probabilities, found.decided)
        return _scored(whole, tuple(strip for part in parts for strip in part.strips[:2]))

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """Windows of 30 s whose steps are beats."""
        window_s = self.recipe.data.window_s
        return CardFields(
            signal="ecg",
            unit="mV",
            fs_hz=ECG.rate_hz,
            band_hz=(ECG.low_hz, ECG.high_hz),
            window_s=window_s,
            step_s=0.0,
            step_classes=(),
            window_classes=AF_CLASSES,
            normalisation=f"fixed: asinh({self.recipe.architecture.input_gain:g} x) of mV after the causal "
            "band-pass; R-R intervals as logarithms of their ratio to 0.8 s",
            data="PhysioNet cinc2017, mitdb (DS1); noise of nstdb (bw, ma); "
            f"beats of {self.recipe.data.detector}",
            caveats=CAVEATS,
            extra={"window_label_s": window_s},
        )


def strips_of(found: Predictions, leads: Sequence[Lead]) -> tuple[Strip, ...]:
    """Signals of the records that it is most wrong about, with the beats it was given."""
    own = found.probabilities[np.arange(len(found.truth)), found.truth]
    wrong = [int(i) for i in np.argsort(own) if found.truth[i] != found.decided[i]][:WORST_STRIPS]
    return tuple(
        Strip(
            f"{leads[i].name}: is {AF_CLASSES[int(found.truth[i])]}, "
            f"decided {AF_CLASSES[int(found.decided[i])]}",
            ECG.rate_hz,
            signal_of(leads[i]),
            tuple((float(time_s), "beat") for time_s in leads[i].time_s),
        )
        for i in wrong
    )


def signal_of(lead: Lead) -> FloatArray:
    """One lead as (1, n)."""
    return lead.signal[None]


def _scored(found: Predictions, strips: tuple[Strip, ...]) -> Evaluation:
    metrics = metrics_of(found)
    return Evaluation((found,), tables_of(found, metrics), metrics, strips)
