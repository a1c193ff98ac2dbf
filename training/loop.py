"""The training loop: resumable after a kill, the same seed gives the same losses."""

from __future__ import annotations

import csv
import json
import logging
import math
import pickle
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.cnn_lstm import CnnLstm
from training.errors import BadCheckpoint
from training.losses import total_loss
from training.recipes import OptimizerConfig, Recipe
from training.sampling import Batch, Sampler
from training.validate import Validation

logger = logging.getLogger(__name__)

CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.pt"
LOG: Final = "log.csv"
COLUMNS: Final = (
    "step",
    "seconds",
    "lr",
    "loss",
    "step_loss",
    "rhythm_loss",
    "qrs_f1",
    "veb_f1",
    "sveb_f1",
    "rhythm",
    "score",
)


def learning_rate(step: int, config: OptimizerConfig) -> float:
    """Linear warm-up, then a cosine to a hundredth."""
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(model: CnnLstm, config: OptimizerConfig) -> torch.optim.AdamW:
    """AdamW; biases and normalisations do not decay."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr)


def tensors(batch: Batch, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A batch as tensors on the device."""
    parts = (batch.x, batch.steps, batch.step_weight, batch.allowed)
    x, steps, weight, allowed = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in parts)
    return x, steps, weight, allowed


@torch.no_grad()
def update_average(average: CnnLstm, model: CnnLstm, decay: float) -> None:
    """Move the running average of weights and normalisation statistics towards the model."""
    for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1.0 - decay)
        else:
            kept.copy_(new)


@dataclass(slots=True)
class State:
    """Where a run stands."""

    step: int = 0
    best_score: float = -math.inf
    best_step: int = -1
    worse: int = 0
    seconds: float = 0.0


class Trainer:
    """Trains one model.

    Parameters
    ----------
    recipe : Recipe
        All settings.
    sampler : Sampler
        Of the training side.
    validation : callable
        From a model to its figures on validation patients.
    folder : Path
        Where checkpoints and the log go.
    on_best : callable
        Called with the averaged model whenever it is the best so far.

    Raises
    ------
    BadCheckpoint
        The folder holds a checkpoint of another recipe, or a damaged one.
    """

    def __init__(
        self,
        recipe: Recipe,
        sampler: Sampler,
        validation: Callable[[CnnLstm], Validation],
        folder: Path,
        device: str = "cpu",
        on_best: Callable[[CnnLstm, Validation, State], None] | None = None,
    ) -> None:
        torch.manual_seed(recipe.run.seed)
        torch.set_num_threads(recipe.run.threads)
        self.recipe, self.sampler, self.validation, self.folder = recipe, sampler, validation, folder
        self.device = torch.device(device)
        self.model = CnnLstm(recipe.architecture).to(self.device)
        self.average = deepcopy(self.model).eval()
        self.optimizer = make_optimizer(self.model, recipe.optimizer)
        self.state = State()
        self.on_best = on_best
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            with (self.folder / LOG).open("w", newline="") as file:
                csv.writer(file).writerow(COLUMNS)
            return
        try:
            held = torch.load(path, map_location=self.device, weights_only=True)
            if json.loads(held["recipe"]) != self.recipe.model_dump(mode="json"):
                raise BadCheckpoint(f"{path} is of another recipe: choose another --out, or remove it")
            self.model.load_state_dict(held["model"])
            self.average.load_state_dict(held["average"])
            self.optimizer.load_state_dict(held["optimizer"])
            self.state = State(**held["state"])
            torch.set_rng_state(held["rng"].cpu())
        except (
            OSError,
            RuntimeError,
            KeyError,
            ValueError,
            EOFError,
            TypeError,
            pickle.UnpicklingError,
        ) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise BadCheckpoint(f"{path}: {first}") from error
        self._forget_after(self.state.step)
        logger.info("resumed at step %d of %d", self.state.step, self.recipe.optimizer.steps)

    def _forget_after(self, step: int) -> None:
        """Drop what a killed run logged after its last checkpoint: those steps are done again."""
        path = self.folder / LOG
        with path.open(newline="") as file:
            head, *rows = list(csv.reader(file))
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([head, *(row for row in rows if int(row[0]) <= step)])

    def save(self) -> None:
        """Write the checkpoint, so that a kill at any time leaves a whole one."""
        part = self.folder / (CHECKPOINT + ".part")
        torch.save(
            {
                "recipe": self.recipe.model_dump_json(),
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "state": asdict(self.state),
                "rng": torch.get_rng_state(),
            },
            part,
        )
        part.replace(self.folder / CHECKPOINT)

    def train_step(self) -> tuple[float, float, float]:
        """One step of the optimizer. Returns total, step and rhythm loss."""
        config = self.recipe.optimizer
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.state.step, config)
        x, steps, weight, allowed = tensors(
            self.sampler.batch(self.recipe.run.seed, self.state.step, config.batch), self.device
        )
        # The generator is seeded by the step, so that a resumed run drops the same units as an unbroken one.
        torch.manual_seed(self.recipe.run.seed * 1_000_003 + self.state.step)
        loss, of_steps, of_rhythm = total_loss(self.model(x), steps, weight, allowed, self.recipe.loss)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimizer.step()
        # Early on the average follows closely; its memory grows to the full decay.
        decay = min(config.average_decay, (1 + self.state.step) / (10 + self.state.step))
        update_average(self.average, self.model, decay)
        self.state.step += 1
        return float(loss.detach()), float(of_steps.detach()), float(of_rhythm.detach())

    def _check(self) -> Validation:
        """Validate, and keep the averaged model if it is the best so far."""
        figures = self.validation(self.average)
        if figures.score > self.state.best_score:
            self.state.best_score, self.state.best_step, self.state.worse = figures.score, self.state.step, 0
            torch.save(self.average.state_dict(), self.folder / BEST)
            if self.on_best is not None:
                self.on_best(self.average, figures, self.state)
        else:
            self.state.worse += 1
        logger.info("step %d: %s score %.4f", self.state.step, figures, figures.score)
        return figures

    def _log(self, losses: list[tuple[float, float, float]], figures: Validation | None) -> None:
        mean = np.mean(losses, axis=0) if losses else np.full(3, np.nan)
        row = [self.state.step, f"{self.state.seconds:.1f}", f"{self.optimizer.param_groups[0]['lr']:.3e}"]
        row += [f"{value:.5f}" for value in mean]
        if figures is not None:
            row += [
                f"{v:.5f}"
                for v in (figures.qrs_f1, figures.veb_f1, figures.sveb_f1, figures.rhythm, figures.score)
            ]
        with (self.folder / LOG).open("a", newline="") as file:
            csv.writer(file).writerow(row)

    def run(self, progress: Callable[[int, float], None] | None = None) -> CnnLstm:
        """Train to the end, or until validation has not improved for ``patience`` times.

        Parameters
        ----------
        progress : callable or None
            Called after each step with its number and loss.

        Returns
        -------
        CnnLstm
            The best averaged model.
        """
        run = self.recipe.run
        losses: list[tuple[float, float, float]] = []
        while self.state.step < self.recipe.optimizer.steps and self.state.worse < run.patience:
            began = time.monotonic()
            losses.append(self.train_step())
            self.state.seconds += time.monotonic() - began
            if progress is not None:
                progress(self.state.step, losses[-1][0])
            step = self.state.step
            last = step == self.recipe.optimizer.steps
            figures = self._check() if step % run.validate_every == 0 or last else None
            if step % run.log_every == 0 or figures is not None:
                self._log(losses, figures)
                losses.clear()
            if step % run.checkpoint_every == 0 or last:
                self.save()
        self.model.load_state_dict(
            torch.load(self.folder / BEST, map_location=self.device, weights_only=True)
        )
        return self.model.eval()
