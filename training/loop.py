"""The training loop: resumable after a kill, the same seed gives the same losses."""

from __future__ import annotations

import contextlib
import csv
import json
import logging
import math
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.cnn_lstm import CnnLstm
from training.config import OptimizerConfig
from training.errors import BadCheckpoint
from training.task import Names, Split, Task

logger = logging.getLogger(__name__)

CHECKPOINT: Final = "checkpoint.pt"
BEST: Final = "best.pt"
LOG: Final = "log.csv"
VALIDATION_LOG: Final = "validation.csv"


def learning_rate(step: int, config: OptimizerConfig, reduced: float = 1.0) -> float:
    """Rate of a step: linear warm-up, then by the schedule.

    Parameters
    ----------
    step : int
        Counted from 0.
    config : OptimizerConfig
        ``cosine`` falls to a hundredth; ``constant`` and ``plateau`` stay.
    reduced : float
        What worse validations have made of the rate (``plateau``).
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    if config.schedule != "cosine":
        return config.lr * reduced
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(model: CnnLstm, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW or SGD with Nesterov's momentum; biases and normalisations do not decay."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.momentum > 0)
    return torch.optim.AdamW(groups, lr=config.lr)


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
    reduced: float = 1.0
    seconds: float = 0.0


class CsvLog:
    """A CSV file whose rows begin with the step; what a killed run wrote too far is cut off.

    Parameters
    ----------
    path : Path
        Of the file; its columns are those of its first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, resumed_at: int) -> None:
        """Begin anew at step 0, else drop rows after ``resumed_at``: those steps are done again."""
        if resumed_at == 0 or not self.path.exists():
            self.path.unlink(missing_ok=True)
            return
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerows([*rows[:1], *(row for row in rows[1:] if int(row[0]) <= resumed_at)])

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])


class Trainer:
    """Trains one model.

    Parameters
    ----------
    task : Task
        With its recipe.
    split : Split
        Whose training side makes the batches and whose validation side chooses the checkpoint.
    folder : Path
        Where checkpoints and logs go.
    device : str
        A torch device.
    start_from : mapping of str to Tensor or None
        Weights to begin with; tensors that do not fit by name and shape are left as drawn.

    Raises
    ------
    BadCheckpoint
        The folder holds a checkpoint of another recipe or split, or a damaged one.
    """

    def __init__(
        self,
        task: Task,
        split: Split,
        folder: Path,
        device: str = "cpu",
        start_from: Mapping[str, Tensor] | None = None,
    ) -> None:
        recipe = task.recipe
        torch.manual_seed(recipe.run.seed)
        torch.set_num_threads(recipe.run.threads)
        self.task, self.split, self.recipe, self.folder = task, split, recipe, folder
        self.device = torch.device(device)
        self.model = task.network().to(self.device)
        if start_from is not None:
            adopt(self.model, start_from)
        self.average = deepcopy(self.model).eval()
        self.optimizer = make_optimizer(self.model, recipe.optimizer)
        self.state = State()
        self.figures: dict[str, float] = {}
        self.sampler = task.sampler(split.train)
        folder.mkdir(parents=True, exist_ok=True)
        self._resume()
        self.log, self.validation_log = CsvLog(folder / LOG), CsvLog(folder / VALIDATION_LOG)
        for log in (self.log, self.validation_log):
            log.start(self.state.step)

    def _identity(self) -> dict[str, object]:
        """What a checkpoint must agree with to be resumed."""
        recipe = self.recipe.model_dump(mode="json")
        # How often a run speaks, and on how many threads, does not make it another one.
        for key in ("log_every", "checkpoint_every", "tensorboard"):
            recipe["run"].pop(key, None)
        sides = {side: list(getattr(self.split, side)) for side in ("train", "validation")}
        return {"recipe": recipe, "split": sides}

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        try:
            held = torch.load(path, map_location=self.device, weights_only=True)
            where = first_difference(json.loads(held["identity"]), self._identity())
            if where is not None:
                raise BadCheckpoint(f"{path} is of another run: {where}; choose another --out, or remove it")
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
        logger.info("resumed at step %d of %d", self.state.step, self.recipe.optimizer.steps)

    def save(self) -> None:
        """Write the checkpoint, so that a kill at any time leaves a whole one."""
        part = self.folder / (CHECKPOINT + ".part")
        torch.save(
            {
                "identity": json.dumps(self._identity()),
                "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "state": asdict(self.state),
                "rng": torch.get_rng_state(),
            },
            part,
        )
        part.replace(self.folder / CHECKPOINT)

    def train_step(self) -> dict[str, float]:
        """One step of the optimizer. Returns the loss and its parts."""
        config, seed = self.recipe.optimizer, self.recipe.run.seed
        self.model.train()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.state.step, config, self.state.reduced)
        arrays = self.sampler.batch(seed, self.state.step, config.batch)
        batch = {k: torch.from_numpy(np.ascontiguousarray(v)).to(self.device) for k, v in arrays.items()}
        # The generator is seeded by the step, so that a resumed run drops the same units as an unbroken one.
        torch.manual_seed(seed * 1_000_003 + self.state.step)
        with self._precision():
            losses = self.task.loss(self.model, batch)
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        self.optimizer.step()
        # Early on the average follows closely; its memory grows to the full decay.
        decay = min(config.average_decay, (1 + self.state.step) / (10 + self.state.step))
        update_average(self.average, self.model, decay)
        self.state.step += 1
        return {name: float(value.detach()) for name, value in losses.items()}

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        """Mixed precision where it is asked for and pays: bfloat16 needs no scaling of the loss."""
        on = self.recipe.run.amp and self.device.type == "cuda"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=on):
            yield

    def check(self) -> dict[str, float]:
        """Validate, and keep the averaged model if it is the best so far."""
        figures = self.task.validate(self.average, self.split.validation)
        state, score = self.state, figures["score"]
        if score > state.best_score:
            state.best_score, state.best_step, state.worse = score, state.step, 0
            torch.save(self.average.state_dict(), self.folder / BEST)
        else:
            state.worse += 1
            if self.recipe.optimizer.schedule == "plateau":
                state.reduced *= self.recipe.optimizer.plateau_factor
        self.validation_log.append(self.state.step, figures)
        logger.info("step %d: %s", self.state.step, " ".join(f"{k}={v:.4f}" for k, v in figures.items()))
        return figures

    def _log_losses(self, losses: Sequence[Mapping[str, float]]) -> None:
        means = {name: float(np.mean([one[name] for one in losses])) for name in losses[0]}
        rate = float(self.optimizer.param_groups[0]["lr"])
        self.log.append(self.state.step, {"seconds": round(self.state.seconds, 1), "lr": rate, **means})

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
        losses: list[dict[str, float]] = []
        while self.state.step < self.recipe.optimizer.steps and self.state.worse < run.patience:
            began = time.monotonic()
            losses.append(self.train_step())
            self.state.seconds += time.monotonic() - began
            step = self.state.step
            if progress is not None:
                progress(step, losses[-1]["loss"])
            last = step == self.recipe.optimizer.steps
            checked = step % run.validate_every == 0 or last
            if checked:
                self.check()
            if step % run.log_every == 0 or checked:
                self._log_losses(losses)
                losses.clear()
            if step % run.checkpoint_every == 0 or checked:
                self.save()
        self.model.load_state_dict(
            torch.load(self.folder / BEST, map_location=self.device, weights_only=True)
        )
        return self.model.eval()


def adopt(model: CnnLstm, weights: Mapping[str, Tensor]) -> tuple[Names, Names]:
    """Begin with the weights of another model of the family: those that fit by name and shape.

    Returns
    -------
    taken, left : tuple of str
        Names of the tensors that were taken, and of the model's others, which stay as drawn.

    Raises
    ------
    BadCheckpoint
        Nothing fits.
    """
    own = model.state_dict()
    taken = {
        name: weights[name] for name in own if name in weights and weights[name].shape == own[name].shape
    }
    if not taken:
        raise BadCheckpoint("--from-weights: no tensor of that model fits this recipe's architecture")
    model.load_state_dict(own | taken)
    left = tuple(name for name in own if name not in taken)
    logger.info("began with %d tensors of another model, %d are drawn", len(taken), len(left))
    return tuple(taken), left


def first_difference(held: object, asked: object, where: str = "") -> str | None:
    """Path and values of the first place where two trees of plain data differ; None if nowhere."""
    if isinstance(held, dict) and isinstance(asked, dict):
        for key in sorted({*held, *asked}):
            found = first_difference(held.get(key), asked.get(key), f"{where}.{key}" if where else str(key))
            if found is not None:
                return found
        return None
    return None if held == asked else f"{where} is {_short(held)} there and {_short(asked)} here"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
