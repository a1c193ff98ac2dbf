"""The EEG task: seizures by second and window, events by SzCORE's rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.cnn_lstm import CnnLstm
from models.eeg_run import seizure_logit
from models.spec import ChannelsFrontEnd
from training.eeg_config import EegRecipe
from training.eeg_predict import SeenEeg, watch
from training.eeg_recording import EegRecording
from training.eeg_records import EegRecord, list_recordings, load_record
from training.eeg_sampling import EegSampler
from training.eeg_scores import choose_threshold, describe, joined, rule_from
from training.eeg_sets import read_bonn
from training.eeg_signal import BAND_HZ, RATE_HZ, FloatArray
from training.errors import BadRecipe
from training.evaluation import Evaluation
from training.sound_folds import deal_patients, validating
from training.sound_scores import auroc
from training.task import CardFields, Names, Split, Task

SPLIT_FOLDS: Final = 3
FEWEST_TO_VALIDATE: Final = 10
"""Of fewer patients with seizures all train: only background chooses the threshold."""
OFFICIAL: Final = {"train": "train", "dev": "validation", "eval": "test"}
CAVEATS: Final = (
    "Research software, no medical device.",
    "Trained on seizures of three children of CHB-MIT (clips), made seizures, and background of adults.",
    "No hours of continuous EEG with seizures: sensitivity and false alarms on other patients are not known.",
    "Focal seizures without rhythm, neonates, and burst suppression were not in the training.",
    "A rhythm that repeats itself for seconds in many derivations counts as an artefact: it raises none.",
)


class EegTask(Task):
    """Windows of EEG; see :class:`~training.task.Task`."""

    recipe: EegRecipe

    @cached_property
    def front_end(self) -> ChannelsFrontEnd:
        """The network's front end.

        Raises
        ------
        BadRecipe
            It is none over channels, or heads and steps are not what the task needs.
        """
        architecture = self.recipe.architecture
        config = architecture.front_end
        if not isinstance(config, ChannelsFrontEnd):
            raise BadRecipe(f"recipe {self.recipe.name}: the EEG task needs a front end of kind 'channels'")
        if (architecture.step_classes, architecture.window_classes) != (2, 1):
            raise BadRecipe(f"recipe {self.recipe.name}: the EEG task needs step_classes=2, window_classes=1")
        if config.step != RATE_HZ:
            raise BadRecipe(
                f"front_end.step={config.step}: the EEG task judges every second: take {RATE_HZ:g}"
            )
        return config

    @property
    def window_steps(self) -> int:
        """Steps of a window."""
        return round(self.recipe.data.window_s * RATE_HZ / self.front_end.step)

    @property
    def behind(self) -> int:
        """Steps that are awaited before one is judged."""
        return min(self.recipe.data.behind_steps, self.window_steps - 1)

    @cached_property
    def recordings(self) -> dict[str, EegRecording]:
        """All recordings of the recipe's sets."""
        return list_recordings(self.data, self.recipe.data.sources)

    def record(self, name: str) -> EegRecord:
        """One recording with its signal, mapped from the cache."""
        return load_record(self.recordings[name], self.front_end, self.cache, self.recipe.data.unit_factor)

    def _counts(self, names: Sequence[str]) -> dict[str, tuple[float, ...]]:
        """What is spread over folds, a patient: recordings, seizures, whether there are any, source."""
        sources = self.recipe.data.sources
        counts: dict[str, list[float]] = {}
        for name in names:
            one = self.recordings[name]
            held = counts.setdefault(one.patient, [0.0] * (3 + len(sources)))
            held[0] += 1
            held[1] += len(one.seizures)
            held[2] = max(held[2], float(bool(one.seizures)))
            held[3 + sources.index(name.split("/", 1)[0])] = 1.0
        return {patient: tuple(row) for patient, row in counts.items()}

    def _sides(self, test: set[str]) -> Split:
        """Who does not test is dealt to training and validation."""
        rest = [name for name, one in self.recordings.items() if one.patient not in test]
        counts = self._counts(rest)
        if sum(row[2] for row in counts.values()) < FEWEST_TO_VALIDATE:
            counts = {patient: row for patient, row in counts.items() if not row[2]} or counts
        chosen = validating(counts, self.recipe.data.inner)
        held = [name for name in rest if self.recordings[name].patient in chosen]
        return Split(
            tuple(name for name in rest if name not in set(held)),
            tuple(held),
            tuple(name for name, one in self.recordings.items() if one.patient in test),
        )

    def split(self) -> Split:
        """The first of three folds; or, where asked, TUSZ's own sides."""
        return self._official() if self.recipe.data.split == "official" else self.folds(SPLIT_FOLDS)[0]

    def _official(self) -> Split:
        sides: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for name, one in self.recordings.items():
            if one.side not in OFFICIAL:
                raise BadRecipe(f"{name} has no official side (only TUSZ has); take data.split=folds")
            sides[OFFICIAL[one.side]].append(name)
        return Split(*(tuple(sides[side]) for side in ("train", "validation", "test")))

    def folds(self, k: int) -> list[Split]:
        """By patient; seizures and sources spread.

        Raises
        ------
        BadRecipe
            Fewer than two folds, or more than patients.
        """
        dealt = deal_patients(self._counts(tuple(self.recordings)), k)
        return [self._sides({patient for patient, fold in dealt.items() if fold == i}) for i in range(k)]

    @cached_property
    def _segments(self) -> list[FloatArray]:
        name = self.recipe.data.bonn
        there = name and (self.data / name).is_dir()
        return [segment[None] for segment in read_bonn(self.data / name, "S")] if there else []

    def sampler(self, names: Names) -> EegSampler:
        """Windows of these recordings."""
        return EegSampler(
            [self.record(name) for name in names],
            self.front_end,
            self.window_steps,
            self.recipe.data,
            self.recipe.augment,
            self._segments,
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Cross entropies of the steps, and of the window's end where that is of one kind."""
        config = self.recipe.loss
        out = model(batch["x"])
        label_BT = batch["label"]

        def entropy(logit: Tensor, label: Tensor) -> Tensor:
            known = torch.isfinite(label)
            soft = label.nan_to_num(0.0) * (1 - 2 * config.label_smoothing) + config.label_smoothing
            each = functional.binary_cross_entropy_with_logits(logit, soft, reduction="none")
            return (each * known).sum() / known.sum().clamp(min=1)

        steps = entropy(seizure_logit(out.step_logits), label_BT)
        # NaN where an onset, an end or a gap lies in the window's last seconds.
        last_B = label_BT[:, -self.recipe.architecture.window_steps :].mean(1)
        last_B = torch.where((last_B == 0) | (last_B == 1), last_B, torch.full_like(last_B, torch.nan))
        window = entropy(out.window_logits[:, 0], last_B)
        return {"loss": steps + config.window_weight * window, "steps": steps, "window": window}

    def seen(self, model: CnnLstm, names: Names) -> list[SeenEeg]:
        """What the model says of each recording."""
        records = (self.record(name) for name in names)
        return list(watch(model, records, self.window_steps, self.behind))

    @property
    def delay_s(self) -> float:
        """After the end of a second before it is judged."""
        return self.behind * self.front_end.step / RATE_HZ

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``score``: ROC area of seconds; of background alone the share that is not taken for a seizure."""
        seen = self.seen(model, names)
        logit = np.concatenate([one.logit[one.known()] for one in seen]).astype(np.float64)
        truth = np.concatenate([one.record.seizure[one.known()] for one in seen]).astype(np.float64)
        quiet = float((logit[truth < 0.5] < 0).mean()) if (truth < 0.5).any() else 1.0
        area = auroc(logit, truth)
        return {"quiet": quiet, "score": area if np.isfinite(area) else quiet}

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """Threshold of a second, chosen by events of the validation side, and the recipe's rule."""
        events = self.recipe.events
        found = choose_threshold(self.seen(model, names), events, self.delay_s)
        return {
            "seizure": found,
            "within_s": float(events.within_s),
            "least_s": float(events.least_s),
            "release": events.release,
            "off_s": float(events.off_s),
        }

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Events, seconds, latency and segments; by patient and seizure."""
        note = f"threshold {thresholds['seizure']:g} on {', '.join(sorted({n.split('/')[0] for n in names}))}"
        return describe(self.seen(model, names), rule_from(thresholds), self.delay_s, [note])

    def merge(self, parts: Sequence[Evaluation]) -> Evaluation:
        """Pools all folds, each decided by its own fold's threshold."""
        return joined(parts)

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """Derivations of the longitudinal montage at 128 Hz."""
        scale = self.front_end.scale
        return CardFields(
            signal="eeg",
            unit="uV",
            fs_hz=RATE_HZ,
            band_hz=BAND_HZ,
            window_s=self.recipe.data.window_s,
            step_s=self.front_end.step / RATE_HZ,
            step_classes=("none", "seizure"),
            window_classes=("seizure",),
            normalisation=(
                f"each derivation divided by its running typical amplitude of {scale.memory_s:g} s (causal)"
            ),
            data=", ".join(self.recipe.data.sources),
            caveats=CAVEATS,
            extra={
                "hop_s": 1.0,
                "right_context_s": self.delay_s,
                "window_label_s": float(self.recipe.architecture.window_steps),
            },
        )
