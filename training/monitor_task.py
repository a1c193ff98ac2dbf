"""The monitor: beats at each step and the rhythm of the last seconds, from any one lead of ECG."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from torch import Tensor

from ingest.conditioning import ECG
from models.cnn_lstm import CnnLstm
from models.spec import RHYTHM_CLASSES, STEP_CLASSES
from training.corpus import build_corpus, load_names, names_of
from training.evaluation import Evaluation
from training.monitor_losses import teacher_loss, total_loss
from training.monitor_recipes import MonitorRecipe
from training.monitor_sampling import LENGTH, Sampler
from training.monitor_scores import evaluate
from training.monitor_tables import to_evaluation
from training.monitor_teacher import Teacher, features_of
from training.monitor_thresholds import GAIN, choose_thresholds
from training.monitor_validate import run_recordings, run_stressed, validate
from training.noise_records import load_noise as load_noise
from training.sources import Recording
from training.splits import side_of
from training.task import CardFields, Names, Split, Task

CAVEATS = (
    "Research software, no medical device.",
    "Ventricular fibrillation and flutter come from few patients: figures on them have wide intervals.",
    "Asystole was trained mostly on one recording (vfdb 427) and on lines made from noise.",
    "vfdb's rhythm marks are coarse, and its beats are not annotated: heart rates there were not scored.",
    "cinc2017 is hand-held, one lead: atrial fibrillation on ward monitors was scored on two patients.",
    "Paced rhythm was never trained on.",
)


class MonitorTask(Task):
    """Beats (EC57 classes) and rhythms from windows of 8 s; see :class:`~training.task.Task`."""

    recipe: MonitorRecipe

    def split(self) -> Split:
        """By patient: :mod:`training.splits`."""
        names = names_of(self.data, self.recipe.data.sources)

        def side(wanted: str) -> Names:
            return tuple(name for name in names if side_of(*name.split("/", 1)) == wanted)

        return Split(side("train"), side("validation"), side("test"))

    def recordings(self, names: Names) -> list[Recording]:
        """Records through the cache."""
        return load_names(self.data, names, ECG, self.cache)

    def sampler(self, names: Names) -> Sampler:
        """Windows drawn by kind."""
        recipe = self.recipe
        corpus = build_corpus(self.recordings(names))
        return Sampler(
            corpus, load_noise(self.data), recipe.data, recipe.augment, recipe.loss, recipe.architecture
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross entropy of steps and of rhythm, with the labels and with what a teacher says."""
        features_BFT = features_of(model, batch["x"], self.recipe.architecture.early_steps)
        output = model.head_outputs(features_BFT)
        total, of_steps, of_rhythm = total_loss(
            output, batch["steps"], batch["step_weight"], batch["allowed"], self.recipe.loss
        )
        losses = {"loss": total, "step_loss": of_steps, "rhythm_loss": of_rhythm}
        if not self.recipe.teacher.model:
            return losses
        said = self._teacher(model, batch["x"], features_BFT)
        total, of_steps, of_rhythm = teacher_loss(output, said, self.recipe.loss, self.recipe.teacher)
        return losses | {
            "loss": losses["loss"] + total,
            "teacher_step_loss": of_steps,
            "teacher_rhythm_loss": of_rhythm,
        }

    @cached_property
    def _teacher(self) -> Teacher:
        return Teacher(self.recipe.teacher.model, self.split(), self.recipe)

    @property
    def step_s(self) -> float:
        """Seconds a step."""
        return self.recipe.architecture.front_end.stride / ECG.rate_hz

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """F1 of QRS (clean and in noise), VEB, SVEB; balanced accuracy of rhythms."""
        return validate(model, self.recordings(names), self.step_s, load_noise(self.data))

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Of ``beat`` and each rhythm; ``gain_N`` … are factors of the beat classes."""
        recordings = self.recordings(names)
        in_noise = run_stressed(model, recordings, load_noise(self.data))
        return choose_thresholds(run_recordings(model, recordings), list(in_noise.values()), self.step_s)

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Beats and rhythms record by record, ICU alarms upheld."""
        report = evaluate(model, self.step_s, thresholds, self.recordings(names))
        return to_evaluation(report)

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """ECG at the serving chain's rate and band."""
        gains = tuple(thresholds[GAIN + name] for name in STEP_CLASSES[1:])
        gain = self.recipe.architecture.input_gain
        return CardFields(
            signal="ecg",
            unit="mV",
            fs_hz=ECG.rate_hz,
            band_hz=(ECG.low_hz, ECG.high_hz),
            window_s=LENGTH / ECG.rate_hz,
            step_s=self.step_s,
            step_classes=STEP_CLASSES,
            window_classes=RHYTHM_CLASSES,
            normalisation=f"fixed: asinh({gain:g} x) of mV after the causal band-pass",
            data=f"PhysioNet {', '.join(self.recipe.data.sources)}; noise of nstdb (bw, ma)",
            caveats=CAVEATS,
            extra={"beat_gains": gains},
        )
