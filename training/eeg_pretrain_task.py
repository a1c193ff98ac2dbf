"""Self-supervised pre-training on EEG: seconds are hidden, their band powers filled in from those around.

Masked reconstruction, with powers in place of samples: the phase of a background rhythm cannot be guessed.
Front end, LSTM and attention are what fine-tuning begins with (``--from-weights``); heads are drawn anew.
Sides are those of the seizure task, so that recordings that the fine-tuned model is tested on stay unseen.

Shape legend: n items, C channels, N samples, T steps, K targets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.cnn_lstm import CnnLstm
from models.spec import ChannelsFrontEnd, Interval
from training.eeg_pretrain_config import BANDS_HZ, EegPretrainRecipe
from training.eeg_recipes import eeg_seizure_1
from training.eeg_recording import EegRecording
from training.eeg_records import EegRecord, load_record
from training.eeg_signal import BAND_HZ, RATE_HZ, FloatArray
from training.eeg_task import EegTask
from training.eeg_windows import EegWindows, pool_of, varied
from training.errors import BadRecipe, DataMissing
from training.evaluation import Evaluation
from training.task import CardFields, Names, Split, Task

FOLDER: Final = "folder"
VALIDATION_BATCHES: Final = 8
LEAST_POWER: Final = 1e-3
"""Added to a band's power, in units of the running scale squared, before the logarithm."""


def band_powers(x_CN: FloatArray, context: int, step: int) -> FloatArray:
    """Log band powers of the steps (T, K): mean and largest over the channels that are there; NaN of none."""
    steps = x_CN[:, context:].reshape(len(x_CN), -1, step)
    there = np.all(np.isfinite(steps), axis=-1)
    spectrum = np.abs(np.fft.rfft(np.where(there[..., None], steps, 0.0), axis=-1)) ** 2 / step
    hz = np.fft.rfftfreq(step, 1 / RATE_HZ)
    bands = [spectrum[..., (hz >= low) & (hz < high)].mean(-1) for low, high in BANDS_HZ]
    log_CTK = np.log(np.stack(bands, axis=-1) + LEAST_POWER)
    shown = there[..., None]
    mean = (log_CTK * shown).sum(0) / np.maximum(shown.sum(0), 1)
    most = np.where(shown, log_CTK, -np.inf).max(0, initial=np.log(LEAST_POWER))
    both = np.concatenate([mean, most], axis=-1) / 2
    return np.where(np.any(there, axis=0)[:, None], both, np.nan).astype(np.float32)


def hide(
    n_steps: int, share: float, lengths: tuple[int, int], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Hidden steps of a window, (T,): stretches of random length until the share is reached."""
    hidden = np.zeros(n_steps, dtype=np.bool_)
    while hidden.mean() < share:
        length = int(rng.integers(lengths[0], lengths[1] + 1))
        first = int(rng.integers(0, max(1, n_steps - length + 1)))
        hidden[first : first + length] = True
    return hidden


class EegPretrainSampler:
    """Draws windows of any recordings.

    Parameters
    ----------
    records : sequence of EegRecord
        With signals; their seizures do not matter.
    front_end : ChannelsFrontEnd
        Steps and context.
    window_steps : int
        Steps of a window.
    recipe : EegPretrainRecipe
        What is hidden and how windows are varied.
    """

    def __init__(
        self,
        records: Sequence[EegRecord],
        front_end: ChannelsFrontEnd,
        window_steps: int,
        recipe: EegPretrainRecipe,
    ) -> None:
        self.windows = EegWindows(records, front_end, window_steps, 0.0)
        self.recipe = recipe
        pool = pool_of(records, lambda one: one.there, recipe.data.patient_power)
        if pool is None:
            raise DataMissing("no second of the recordings has a signal")
        self.pool = pool

    def batch(self, seed: int, step: int, n: int) -> dict[str, npt.NDArray[np.generic]]:
        """``x`` (n, C, N) with hidden steps missing, ``target`` (n, T, K), ``hidden`` (n, T)."""
        rng = np.random.default_rng((seed, step))
        low, high = self.recipe.data.channels
        n_channels = int(rng.integers(low, high + 1))
        parts = [self._item(n_channels, rng) for _ in range(n)]
        names = ("x", "target", "hidden")
        return {name: np.stack([part[i] for part in parts]) for i, name in enumerate(names)}

    def _item(
        self, n_channels: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
        data, config = self.recipe.data, self.windows.config
        index, at = self.pool.draw(rng)
        last = at + int(rng.integers(0, self.windows.window_steps))
        x, _ = self.windows.cut(index, last, n_channels, 1.0, rng)
        x = varied(x, self.recipe.augment, rng)
        target = band_powers(x, config.context, config.step)
        hidden = hide(self.windows.window_steps, data.hidden_share, data.hidden_s, rng)
        x[:, config.context :][:, np.repeat(hidden, config.step)] = np.nan
        known = np.isfinite(target).all(-1)
        return x, np.nan_to_num(target), hidden & known


class EegPretrainTask(Task):
    """Filling in what is hidden; see :class:`~training.task.Task`."""

    recipe: EegPretrainRecipe

    @cached_property
    def front_end(self) -> ChannelsFrontEnd:
        """The network's front end.

        Raises
        ------
        BadRecipe
            It is none over channels, or the step head has not one output a target.
        """
        architecture = self.recipe.architecture
        if not isinstance(architecture.front_end, ChannelsFrontEnd):
            raise BadRecipe(f"recipe {self.recipe.name}: it needs a front end of kind 'channels'")
        if architecture.step_classes != 2 * len(BANDS_HZ):
            raise BadRecipe(
                f"recipe {self.recipe.name}: step_classes={architecture.step_classes}, "
                f"but {2 * len(BANDS_HZ)} powers are to be filled in"
            )
        return architecture.front_end

    @cached_property
    def _seizures(self) -> EegTask:
        """The task whose sides are kept apart."""
        recipe, data = eeg_seizure_1(), self.recipe.data
        chosen = {"sources": data.sources, "inner": data.inner, "unit_factor": data.unit_factor}
        held = recipe.model_copy(update={"data": recipe.data.model_copy(update=chosen)})
        return EegTask(held, self.data, self.cache)

    @cached_property
    def _own(self) -> dict[str, EegRecording]:
        """The user's own files; who is a patient is told by the folder below the one named."""
        if not self.recipe.data.folder:
            return {}
        root = Path(self.recipe.data.folder)
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".edf")
        if not paths:
            raise DataMissing(f"{root}: no .edf files in it or below")
        names = {path: path.relative_to(root).as_posix() for path in paths}
        return {
            f"{FOLDER}/{name}": EegRecording(f"{FOLDER}/{name}", f"own {name.split('/')[0]}", path, ())
            for path, name in names.items()
        }

    def _record(self, name: str) -> EegRecord:
        one = self._own[name] if name in self._own else self._seizures.recordings[name]
        return load_record(one, self.front_end, self.cache, self.recipe.data.unit_factor)

    def _with_own(self, split: Split) -> Split:
        def validates(name: str) -> bool:
            return hashlib.sha256(self._own[name].patient.encode()).digest()[0] < 32

        held = tuple(name for name in self._own if validates(name))
        train = tuple(name for name in self._own if name not in set(held))
        return Split(split.train + train, split.validation + held, split.test)

    def split(self) -> Split:
        """The fixed split of the seizure task; of the user's own files some patients validate."""
        return self._with_own(self._seizures.split())

    def folds(self, k: int) -> list[Split]:
        """Folds of the seizure task: each pre-trains without its own test side."""
        return [self._with_own(split) for split in self._seizures.folds(k)]

    @property
    def window_steps(self) -> int:
        """Steps of a window."""
        return round(self.recipe.data.window_s * RATE_HZ / self.front_end.step)

    def sampler(self, names: Names) -> EegPretrainSampler:
        """Windows of these recordings."""
        records = [self._record(name) for name in names]
        return EegPretrainSampler(records, self.front_end, self.window_steps, self.recipe)

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean squared error of the hidden steps."""
        error_BT = (model(batch["x"]).step_logits - batch["target"]).square().mean(-1)
        hidden = batch["hidden"]
        return {"loss": (error_BT * hidden).sum() / hidden.sum().clamp(min=1)}

    def _explained(self, model: CnnLstm, names: Names) -> float:
        """Share of the hidden variance that is filled in, on windows drawn with a fixed seed."""
        sampler = self.sampler(names)
        device = next(model.parameters()).device
        found, truth = [], []
        model.eval()
        with torch.inference_mode():
            for step in range(VALIDATION_BATCHES):
                batch = {name: torch.from_numpy(one) for name, one in sampler.batch(0, step, 32).items()}
                said = model(batch["x"].to(device)).step_logits.cpu()
                found.append(said[batch["hidden"]])
                truth.append(batch["target"][batch["hidden"]])
        said, target = torch.cat(found), torch.cat(truth)
        return 1.0 - float((said - target).square().sum() / (target - target.mean(0)).square().sum())

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``score``: share of the hidden powers' variance around their mean that is filled in."""
        return {"score": self._explained(model, names)}

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """None: nothing is decided."""
        return {}

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Share of the hidden variance that is filled in."""
        none = float("nan")
        value = round(self._explained(model, names), 4)
        return Evaluation(metrics={"explained": Interval(value=value, low=none, high=none, n=len(names))})

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """Derivations of the longitudinal montage at 128 Hz."""
        powers = [f"{low} to {high} Hz" for low, high in BANDS_HZ]
        return CardFields(
            signal="eeg",
            unit="uV",
            fs_hz=RATE_HZ,
            band_hz=BAND_HZ,
            window_s=self.recipe.data.window_s,
            step_s=self.front_end.step / RATE_HZ,
            step_classes=(*(f"mean {one}" for one in powers), *(f"largest {one}" for one in powers)),
            window_classes=(),
            normalisation="each derivation divided by its running typical amplitude (causal)",
            data=", ".join((*self.recipe.data.sources, *((FOLDER,) if self.recipe.data.folder else ()))),
            caveats=("Research software, no medical device.", "No labels: to begin another model with."),
            extra={},
        )
