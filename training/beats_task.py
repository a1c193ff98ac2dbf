"""The beats task: the class of each beat, from its shape beside the patient's usual one and from the rhythm.

mitdb's DS1 trains, DS2 tests (de Chazal et al. 2004). Nothing is chosen on the test side. Supraventricular
beats are of few patients of DS1, so only two patients without many are kept back to watch a run; settings and
gains come from cross-validation over DS1, and the averaged weights of the last step are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from ingest.conditioning import ECG
from models.beat_rows import ROW
from models.cnn_lstm import CnnLstm
from models.spec import STEP_CLASSES
from training import folder_source
from training.beats_config import BeatsRecipe
from training.beats_records import Finder, Lead, aberrant, annotated_leads, found_leads, handheld_names
from training.beats_sampling import Sampler
from training.beats_scores import (
    at_marks,
    beats_loss,
    end_to_end,
    macro_f1,
    probabilities,
    scores_of,
    tables_of,
    to_evaluation,
)
from training.corpus import load_names
from training.errors import BadRecipe, DataMissing
from training.evaluation import Evaluation, Predictions, pool
from training.monitor_task import load_noise
from training.sources import FloatArray, IntArray, Recording
from training.splits import DS1, DS2
from training.task import CardFields, Names, Split, Task

GAIN: Final = "gain_"
MADE_SEED: Final = 20
CAVEATS: Final = (
    "Research software, no medical device.",
    "Supraventricular beats of training come mostly from seven patients and from re-timed normal beats.",
    "In atrial fibrillation and flutter no beat counts as supraventricular ectopy.",
    "Paced rhythm was never trained on; its beats get a class all the same.",
    "Adults' Holter and hand-held recordings: no ward, no children.",
)

VALIDATION: Final = ("114", "119")
FOLD_ORDER: Final = [
    "209",
    "201",
    "207",
    "118",
    "220",
    "223",
    "124",
    "114",
    "101",
    "208",
    "106",
    "119",
    "203",
    "215",
    "116",
    "205",
    "109",
    "108",
    "112",
    "230",
    "122",
    "115",
]
"""DS1 with those who have ectopy first, so that every n-th makes folds of about equal wealth."""


def _split(names: Names, test: Names) -> Split:
    """Of those who do not test, some validate: the last where none of the usual ones is among them."""
    usual = tuple(name for name in names if name.split("/")[1] in VALIDATION)
    validation = usual or names[-1:]
    return Split(tuple(name for name in names if name not in validation), validation, test)


class BeatsTask(Task):
    """Class of each beat from one lead; see :class:`~training.task.Task`."""

    recipe: BeatsRecipe

    def _here(self, wanted: Sequence[str]) -> Names:
        there = {path.stem for path in (self.data / "mitdb").glob("*.hea")}
        found = tuple(f"mitdb/{record}" for record in wanted if record in there)
        if not found:
            raise DataMissing(f"{self.data / 'mitdb'}: none of mitdb's records {wanted[0]} … in it")
        return found

    def split(self) -> Split:
        """DS1 trains but for the patients that validate; DS2 tests. Own records: as their label map says."""
        if self.recipe.folder.records:
            return folder_source.opened().split()
        train = self._here(DS1)
        return _split(train, self._here(DS2))

    def folds(self, k: int) -> list[Split]:
        """DS1 in ``k`` parts; 22 leaves one patient out at a time. Own records: by patient."""
        if self.recipe.folder.records:
            return folder_source.opened().folds(k)
        if not 2 <= k <= len(DS1):
            raise BadRecipe(f"{k} folds: DS1 has {len(DS1)} patients, so 2 to {len(DS1)} folds can be made")
        names = self._here(FOLD_ORDER)
        return [
            _split(tuple(name for name in names if name not in names[i::k]), names[i::k]) for i in range(k)
        ]

    def recordings(self, names: Names) -> list[Recording]:
        """Records through the cache."""
        return load_names(self.data, names, ECG, self.cache)

    def finder(self) -> Finder:
        """Beats as the monitor finds them, through the cache."""
        return Finder(self.recipe.data.monitor, self.cache)

    def sampler(self, names: Names) -> Sampler:
        """Sequences from both leads of these records, and from hand-held ones and made ones."""
        data = self.recipe.data
        annotated = [
            lead
            for recording in self.recordings(names)
            for lead in annotated_leads(
                recording,
                # Whose annotations say which beats are aberrant.
                aberrant(self.data, recording)
                if data.aberrant_may_be_v and recording.source == "mitdb"
                else None,
            )
        ]
        found: list[Lead] = []
        if data.cinc2017 and data.draw_cinc2017 + data.draw_made > 0:
            labels = handheld_names(self.data)
            found = found_leads(self.recordings(tuple(labels)), labels, self.finder())
        noise = load_noise(self.data)
        return Sampler(
            annotated, found, noise, data, self.recipe.augment, self.recipe.decision.wait_s, MADE_SEED
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross entropy over the classes that may hold."""
        loss, x = self.recipe.loss, batch["x"]
        place = torch.ones(x.shape[1], device=x.device)
        place[: loss.first_beats] = loss.first_weight
        weights = torch.tensor(loss.class_weights, device=x.device)
        logits = model(x).step_logits
        return {"loss": beats_loss(logits, batch["allowed"], place, weights, loss.label_smoothing)}

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """F1 of VEB and SVEB at the marks, of all beats and as a mean over patients."""
        tables = tables_of(pool([self._at_marks(model, recording) for recording in self.recordings(names)]))
        scores = scores_of(tables)
        macro_v, macro_s = macro_f1(tables, "veb"), macro_f1(tables, "sveb")
        return {
            "veb_f1": scores.veb_f1,
            "sveb_f1": scores.sveb_f1,
            "macro_veb_f1": macro_v,
            "macro_sveb_f1": macro_s,
            "score": float(np.nan_to_num(scores.veb_f1) + np.nan_to_num(scores.sveb_f1)),
        }

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """The recipe's gains, chosen once on DS1 out of fold."""
        gains = zip(STEP_CLASSES[1:], self.recipe.decision.gains, strict=True)
        return {"beat": 0.5} | {GAIN + name: gain for name, gain in gains}

    def say(self, model: CnnLstm, signal: FloatArray, peaks: IntArray) -> FloatArray:
        """Probabilities of each beat of a lead when it is decided, shape (n, 5)."""
        data = self.recipe.data
        return probabilities(model, signal, peaks, data.beats, self.recipe.decision.wait_s, data.hidden)

    def _at_marks(
        self, model: CnnLstm, recording: Recording, gains: Sequence[float] = (1.0, 1.0, 1.0, 1.0)
    ) -> Predictions:
        lead = annotated_leads(recording)[0]
        return at_marks(lead, self.say(model, lead.signal, lead.peaks), gains)

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """First lead of each record: at the annotated beats, and end to end."""
        gains = tuple(thresholds.get(GAIN + name, 1.0) for name in STEP_CLASSES[1:])
        find = self.finder()
        marked, found = [], []
        for recording in self.recordings(names):
            marked.append(self._at_marks(model, recording, gains))
            peaks = find(recording.signal[0])
            said = self.say(model, recording.signal[0], peaks)
            found.append(end_to_end(recording, peaks, said, gains))
        return to_evaluation([pool(marked), pool(found)])

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Out-of-fold predictions of all folds together."""
        return to_evaluation([pool([part.predictions[i] for part in parts]) for i in range(2)])

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """A step is a beat."""
        gains = tuple(thresholds[GAIN + name] for name in STEP_CLASSES[1:])
        gain = self.recipe.architecture.input_gain
        own = f"own records {self.recipe.folder.records}" if self.recipe.folder.records else ""
        more = ", CinC 2017 (normal rhythm and AF, labelled in part)" if self.recipe.data.cinc2017 else ""
        return CardFields(
            signal="ecg",
            unit="mV",
            fs_hz=ECG.rate_hz,
            band_hz=(ECG.low_hz, ECG.high_hz),
            window_s=float(self.recipe.data.beats),
            step_s=0.0,
            step_classes=STEP_CLASSES,
            window_classes=(),
            normalisation=(
                f"models.beat_rows: {ROW} numbers a beat, heights by the running median, asinh({gain:g} x)"
            ),
            data=f"{own or 'PhysioNet mitdb DS1'}{more}; noise of nstdb (bw, ma)",
            caveats=CAVEATS,
            extra={"beat_gains": gains},
        )
