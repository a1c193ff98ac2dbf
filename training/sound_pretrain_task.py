"""Self-supervised pre-training: stretches of log-mel windows are hidden and filled in by the network.

Masked reconstruction as in TERA (Liu, Li and Lee, IEEE/ACM Trans. Audio Speech Lang. Process. 29 (2021)
2351-2366). Front end, LSTM and attention are what fine-tuning begins with (``--from-weights``); its heads
are drawn anew. Recordings that the fine-tuned model is tested on stay unheard, fold by fold.
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

from ingest.conditioning import ConditioningSpec
from models.cnn_lstm import CnnLstm
from models.spec import Conv2dFrontEnd, Interval
from training import heart_records, lung_records
from training.errors import BadRecipe, DataMissing
from training.evaluation import Evaluation
from training.lung_recipes import lung_sounds_1
from training.lung_task import BAND_HZ, LungTask
from training.sound_augment import vary
from training.sound_frames import load_frames
from training.sound_pretrain_config import PretrainData, PretrainRecipe
from training.sound_task import SoundTask
from training.sources import FloatArray
from training.task import CardFields, Names, Split

SUFFIXES: Final = (".wav", ".flac", ".mp3", ".ogg")
FOLDER: Final = "folder"
VALIDATION_BATCHES: Final = 8


def hide(n_steps: int, step_s: float, data: PretrainData, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Hidden steps of a window, (S,): stretches of random length until the share is reached."""
    hidden = np.zeros(n_steps, dtype=np.bool_)
    while hidden.mean() < data.hidden_share:
        length = max(1, round(rng.uniform(*data.hidden_s) / step_s))
        first = int(rng.integers(0, max(1, n_steps - length + 1)))
        hidden[first : first + length] = True
    return hidden


class PretrainSampler:
    """Draws windows of any recordings, their lengths evened out.

    Parameters
    ----------
    frames : sequence of ndarray of float32, shape (M, T)
        Leveled, a recording each.
    per_step, window_steps : int
        Frames of a step, steps of a window.
    frame_hz : float
        Frames per second.
    recipe : PretrainRecipe
        What is hidden and how it is varied.
    pictures : int
        Of the same bands that lie one above the other in the frames.
    """

    def __init__(
        self,
        frames: Sequence[FloatArray],
        per_step: int,
        window_steps: int,
        frame_hz: float,
        recipe: PretrainRecipe,
        pictures: int = 1,
    ) -> None:
        self.pictures = pictures
        length = per_step * window_steps
        self.frames = [one for one in frames if one.shape[1] >= length]
        if not self.frames:
            raise DataMissing(f"no recording is as long as a window of {recipe.data.window_s:g} s")
        self.per_step, self.window_steps, self.frame_hz, self.recipe = (
            per_step,
            window_steps,
            frame_hz,
            recipe,
        )
        lengths = np.sqrt([one.shape[1] for one in self.frames])
        self.weight = lengths / lengths.sum()

    def batch(self, seed: int, step: int, n: int) -> dict[str, npt.NDArray[np.generic]]:
        """``x`` (n, 1, M, T) with hidden parts 0, ``target`` (n, S, bands), ``hidden`` (n, S)."""
        rng = np.random.default_rng((seed, step))
        parts = [self._item(int(i), rng) for i in rng.choice(len(self.frames), n, p=self.weight)]
        return {
            "x": np.stack([part[0] for part in parts])[:, None],
            "target": np.stack([part[1] for part in parts]),
            "hidden": np.stack([part[2] for part in parts]),
        }

    def _item(
        self, index: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
        frames, data = self.frames[index], self.recipe.data
        length = self.per_step * self.window_steps
        first = int(rng.integers(0, frames.shape[1] - length + 1))
        augment, pictures = self.recipe.augment, self.pictures
        x = vary(frames[:, first : first + length], augment, self.frame_hz, rng, pictures)
        n_mels = len(x) // pictures
        # Levels are filled in; the pictures above them are hidden with them, or they would tell.
        target = x[:n_mels].reshape(n_mels, self.window_steps, self.per_step).mean(2).T
        hidden = hide(self.window_steps, self.per_step / self.frame_hz, data, rng)
        x = np.where(np.repeat(hidden, self.per_step), np.float32(0), x)
        width = int(rng.integers(0, data.hidden_bands + 1))
        band = int(rng.integers(0, n_mels - width + 1))
        x.reshape(pictures, n_mels, length)[:, band : band + width] = 0.0
        return x, np.ascontiguousarray(target), hidden


def _patient(name: str) -> str:
    """A recording's patient, as far as names tell it."""
    return name.rsplit("/", 1)[-1].split("_")[0]


class PretrainTask(SoundTask):
    """Filling in what is hidden; see :class:`~training.task.Task`."""

    recipe: PretrainRecipe

    @cached_property
    def front_end(self) -> Conv2dFrontEnd:
        """The network's front end over spectrograms, one output a band.

        Raises
        ------
        BadRecipe
            It is none of log-mel frames, or the step head has not one output a band.
        """
        config = super().front_end
        if self.recipe.architecture.step_classes != config.rows:
            raise BadRecipe(
                f"recipe {self.recipe.name}: step_classes={self.recipe.architecture.step_classes}, "
                f"but {config.rows} bands are to be filled in"
            )
        return config

    @cached_property
    def paths(self) -> dict[str, Path]:
        """All recordings, by ``source/recording``."""
        found: dict[str, Path] = {}
        for source in self.recipe.data.sources:
            folder = self.data / source
            if (folder / heart_records.TABLE).is_file():
                found |= heart_records.list_recordings(folder)
            else:
                found |= {name: one.path for name, one in lung_records.list_recordings(folder).items()}
        if self.recipe.data.folder:
            root = Path(self.recipe.data.folder)
            own = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
            if not own:
                raise DataMissing(f"{root}: no sound files ({', '.join(SUFFIXES)}) in it or below")
            found |= {f"{FOLDER}/{path.relative_to(root)}": path for path in own}
        if not found:
            raise DataMissing("no sounds: name data.sources or data.folder")
        return found

    def _lung(self) -> LungTask | None:
        """The task whose sides are kept apart, where a set is named for it."""
        source = self.recipe.data.held_out
        if source not in self.recipe.data.sources:
            return None
        recipe = lung_sounds_1()
        held = recipe.model_copy(update={"data": recipe.data.model_copy(update={"sources": (source,)})})
        return LungTask(held, self.data, self.cache)

    def _around(self, lung: Split | None) -> Split:
        own = {*lung.train, *lung.validation, *lung.test} if lung else set()
        # What is held out may lie in another set or in a user's folder once more, cut otherwise.
        unheard = {_patient(name) for name in (*lung.validation, *lung.test)} if lung else set()
        others = [name for name in self.paths if name not in own and _patient(name) not in unheard]

        def validates(name: str) -> bool:
            return hashlib.sha256(_patient(name).encode()).digest()[0] < 16

        held = tuple(name for name in others if validates(name))
        train = tuple(name for name in others if name not in set(held))
        if lung is None:
            return Split(train, held, ())
        return Split(lung.train + train, lung.validation + held, lung.test)

    def split(self) -> Split:
        """The fixed split of the set that is kept apart; of the others some recordings validate."""
        lung = self._lung()
        return self._around(lung.split() if lung else None)

    def folds(self, k: int) -> list[Split]:
        """Folds of the set that is kept apart: each pre-trains without its own test side.

        Raises
        ------
        BadRecipe
            No set is kept apart.
        """
        lung = self._lung()
        if lung is None:
            raise BadRecipe("data.held_out names none of data.sources: there are no folds to keep apart")
        return [self._around(split) for split in lung.folds(k)]

    def sampler(self, names: Names) -> PretrainSampler:
        """Windows of these recordings."""
        spec = ConditioningSpec(self.mel.rate_hz, *BAND_HZ)
        frames = load_frames([self.paths[name] for name in names], spec, self.mel, self.cache)
        window = round(self.recipe.data.window_s / self.step_s)
        frame_hz = self.mel.rate_hz / self.mel.hop
        front_end = self.front_end
        return PretrainSampler(
            frames, front_end.columns_per_step, window, frame_hz, self.recipe, front_end.pictures
        )

    def loss(self, model: CnnLstm, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean squared error of the hidden steps."""
        error = (model(batch["x"]).step_logits - batch["target"]).square().mean(-1)
        hidden = batch["hidden"]
        return {"loss": (error * hidden).sum() / hidden.sum().clamp(min=1)}

    def _explained(self, model: CnnLstm, names: Names) -> float:
        """Share of the hidden variance that is filled in, on windows drawn with a fixed seed."""
        sampler = self.sampler(names)
        wrong, whole = 0.0, 0.0
        model.eval()
        with torch.inference_mode():
            for step in range(VALIDATION_BATCHES):
                batch = {name: torch.from_numpy(one) for name, one in sampler.batch(0, step, 32).items()}
                device = next(model.parameters()).device
                found = model(batch["x"].to(device)).step_logits.cpu()
                hidden = batch["hidden"]
                wrong += float((found - batch["target"]).square()[hidden].sum())
                whole += float(batch["target"][hidden].square().sum())
        return 1.0 - wrong / whole

    def validate(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """``score``: share of the hidden parts' variance around their running mean that is filled in."""
        return {"score": self._explained(model, names)}

    def thresholds(self, model: CnnLstm, names: Names) -> dict[str, float]:
        """None: nothing is decided."""
        return {}

    def evaluate(self, model: CnnLstm, thresholds: Mapping[str, float], names: Names) -> Evaluation:
        """Share of the hidden variance that is filled in."""
        value = self._explained(model, names)
        none = float("nan")
        return Evaluation(
            metrics={"explained": Interval(value=round(value, 4), low=none, high=none, n=len(names))}
        )

    def card_fields(self, thresholds: Mapping[str, float]) -> CardFields:
        """Sounds at 4 kHz in the lung band."""
        return CardFields(
            signal="sound",
            unit="1",
            fs_hz=self.mel.rate_hz,
            band_hz=BAND_HZ,
            window_s=self.recipe.data.window_s,
            step_s=self.step_s,
            step_classes=tuple(f"band {i + 1}" for i in range(self.front_end.rows)),
            window_classes=(),
            normalisation=(
                f"log-mel bands less their running mean of {self.mel.memory_s:g} s (causal), divided by 3"
            ),
            data=", ".join((*self.recipe.data.sources, *((FOLDER,) if self.recipe.data.folder else ()))),
            caveats=("Research software, no medical device.", "No labels: to begin another model with."),
            extra={},
        )
