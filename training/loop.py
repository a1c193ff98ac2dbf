"""The training loop: resumable after a kill, the same seed gives the same losses."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor

from models.cnn_lstm import CnnLstm
from training import checkpoint
from training.batches import Batches
from training.checkpoint import BEST, CHECKPOINT, adopt, first_difference, plain_recipe
from training.distributed import Group, losses_of
from training.errors import BadCheckpoint, BadRecipe, Diverged
from training.logs import Logs
from training.optimizers import freeze, learning_rate, make_optimizer, update_average
from training.task import Split, Task

logger = logging.getLogger(__name__)

ALONE = Group()


@dataclass(slots=True)
class State:
    """Where a run stands."""

    step: int = 0
    best_score: float = -math.inf
    best_step: int = -1
    worse: int = 0
    reduced: float = 1.0
    seconds: float = 0.0


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
        A torch device; in a group of several each process has its own.
    start_from : mapping of str to Tensor or None
        Weights to begin with; tensors that do not fit by name and shape are left as drawn.
    group : Group
        The processes that train together.

    Raises
    ------
    BadRecipe
        Mixed precision without a GPU, a batch that does not divide, an unknown part to freeze.
    BadCheckpoint
        The folder holds a checkpoint of another recipe, split or start, or a damaged one.
    """

    def __init__(
        self,
        task: Task,
        split: Split,
        folder: Path,
        device: str = "cpu",
        start_from: Mapping[str, Tensor] | None = None,
        group: Group = ALONE,
    ) -> None:
        recipe = task.recipe
        self.task, self.split, self.recipe, self.folder, self.group = task, split, recipe, folder, group
        self.device = torch.device(device if group.size == 1 else group.device)
        if recipe.run.amp and self.device.type != "cuda":
            raise BadRecipe(
                f"run.amp=true: mixed precision runs on a GPU, not on {self.device.type}; "
                "add --device cuda, or --set run.amp=false"
            )
        share = group.share(recipe.optimizer.batch)
        torch.manual_seed(recipe.run.seed)
        torch.set_num_threads(recipe.run.threads)
        self.model = task.network().to(self.device)
        self.start = None if start_from is None else checkpoint.fingerprint(start_from)
        self.drawn = None if start_from is None else adopt(self.model, start_from)[1]
        self.frozen = freeze(self.model, recipe.optimizer.freeze)
        self.average = deepcopy(self.model).eval()
        self.optimizer = make_optimizer(self.model, recipe.optimizer)
        self.state = State()
        self.not_logged: list[dict[str, float]] = []
        """Losses since the last row of the log: in the checkpoint, so that a resumed row is the same."""
        folder.mkdir(parents=True, exist_ok=True)
        # Before the recordings are read, which may take minutes.
        self._resume()
        with group.main_first():
            self.batches = Batches(task.sampler(split.train), group.seed(recipe.run.seed), share)
        self.losses = losses_of(task, self.model, group)

    def _identity(self) -> dict[str, object]:
        """What a checkpoint must agree with to be resumed."""
        sides = {side: list(getattr(self.split, side)) for side in ("train", "validation")}
        recipe = plain_recipe(self.recipe.model_dump(mode="json"))
        labels = Path(self.recipe.folder.labels) if self.recipe.folder.labels else None
        return {
            "recipe": recipe,
            "split": sides,
            "from_weights": self.start,
            "processes": self.group.size if self.group.size > 1 else None,
            "labels": labels.read_text() if labels is not None and labels.is_file() else None,
        }

    def _held_identity(self, text: str) -> dict[str, object]:
        """A checkpoint's identity; a setting that is newer than the checkpoint had its default then."""
        held: dict[str, object] = json.loads(text)
        with contextlib.suppress(ValidationError):
            whole = type(self.recipe).model_validate(held["recipe"])
            held["recipe"] = plain_recipe(whole.model_dump(mode="json"))
        return held

    def _resume(self) -> None:
        path = self.folder / CHECKPOINT
        if not path.exists():
            return
        held = checkpoint.read(path, self.device)
        try:
            where = first_difference(self._held_identity(held["identity"]), self._identity())
            if where is not None:
                raise BadCheckpoint(f"{path} is of another run: {where}; choose another --out, or remove it")
            self.model.load_state_dict(held["model"])
            self.average.load_state_dict(held["average"])
            self.optimizer.load_state_dict(held["optimizer"])
            self.state = State(**held["state"])
            self.not_logged = [dict(one) for one in held.get("not_logged", ())]
        except checkpoint.UNREADABLE as error:
            raise checkpoint.damaged(path, error) from error
        logger.info("resumed at step %d of %d", self.state.step, self.recipe.optimizer.steps)

    def save(self) -> None:
        """Write the checkpoint."""
        content = {
            "identity": json.dumps(self._identity()),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": asdict(self.state),
            "not_logged": self.not_logged,
        }
        checkpoint.write(self.folder / CHECKPOINT, content)

    def _made_ahead(self) -> Iterator[dict[str, Tensor]]:
        """Batches from the present step on."""
        steps = range(self.state.step, self.recipe.optimizer.steps)
        return self.batches.from_step(steps, self.recipe.run.workers, pinned=self.device.type == "cuda")

    def train_step(self, batch: Mapping[str, Tensor]) -> dict[str, float]:
        """One step of the optimizer. Returns the loss and its parts, means over the group.

        Raises
        ------
        Diverged
            The loss is no number, or its gradient.
        """
        config, seed, step = self.recipe.optimizer, self.recipe.run.seed, self.state.step
        self.model.train()
        for part in self.frozen:
            part.eval()
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step, config, self.state.reduced)
        # The generator is seeded by the step, so that a resumed run drops the same units as an unbroken one.
        torch.manual_seed(self.group.seed(seed * 1_000_003 + step))
        with self._precision():
            losses = self.losses({k: v.to(self.device, non_blocking=True) for k, v in batch.items()})
        values = self.group.mean(torch.stack([value.detach().float() for value in losses.values()]))
        shown = dict(zip(losses, values.tolist(), strict=True))
        if not math.isfinite(shown["loss"]):
            raise Diverged(
                f"step {step}: the loss is {shown['loss']}; lower optimizer.lr ({config.lr:g}) or "
                f"optimizer.clip ({config.clip:g}). What {self.folder} holds is from before"
            )
        self.optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip))
        # One such step would leave weights, and the next checkpoint, without a number in them.
        if not math.isfinite(norm):
            raise Diverged(f"step {step}: the gradient is {norm}; lower optimizer.lr ({config.lr:g})")
        self.optimizer.step()
        # Early on the average follows closely; its memory grows to the full decay.
        update_average(self.average, self.model, min(config.average_decay, (1 + step) / (10 + step)))
        self.state.step += 1
        return shown

    @contextlib.contextmanager
    def _precision(self) -> Iterator[None]:
        """Mixed precision where it is asked for: bfloat16 needs no scaling of the loss."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.run.amp):
            yield

    def figures(self) -> dict[str, float]:
        """Validate the averaged model.

        Raises
        ------
        Diverged
            The score is no number: the validation side lacks what the task scores, or the weights do.
        """
        figures = self.task.validate(self.average, self.split.validation)
        if not math.isfinite(figures["score"]):
            raise Diverged(
                f"step {self.state.step}: validation gives {figures}, which chooses no checkpoint; "
                "do the validation patients have what the task scores?"
            )
        return figures

    def check(self, logs: Logs) -> None:
        """Validate, and keep the averaged model if it is the best so far."""
        figures, state = self.figures(), self.state
        if figures["score"] > state.best_score:
            state.best_score, state.best_step, state.worse = figures["score"], state.step, 0
            checkpoint.write(self.folder / BEST, self.average.state_dict())
        else:
            state.worse += 1
            if self.recipe.optimizer.schedule == "plateau":
                state.reduced *= self.recipe.optimizer.plateau_factor
        logs.validation(state.step, figures)
        logger.info("step %d: %s", state.step, " ".join(f"{k}={v:.4f}" for k, v in figures.items()))

    def run(self, progress: Callable[[int, float], None] | None = None) -> CnnLstm:
        """Train to the end, or until validation has not improved for ``patience`` times.

        Parameters
        ----------
        progress : callable or None
            Called after each step with its number and loss.

        Returns
        -------
        CnnLstm
            The best averaged model, the same in all processes.

        Raises
        ------
        Diverged
            The loss or the score is no number.
        """
        if self.group.main:
            tensorboard = self.recipe.run.tensorboard
            with Logs(self.folder, self.state.step, tensorboard=tensorboard) as logs:
                if self.state.step == 0 and self.recipe.run.rehearse:
                    logger.info("rehearsal of the validation, before anything is spent")
                    self.task.validate(self.average, self.split.validation)
                self._run(progress, logs)
            self._take_best()
        else:
            self._run(progress, None)
        self.group.send_weights(self.model)
        return self.model.eval()

    def _take_best(self) -> None:
        """Put the best weights into the model.

        Raises
        ------
        BadCheckpoint
            They are not there or damaged; only training anew brings them back.
        """
        path = self.folder / BEST
        try:
            self.model.load_state_dict(checkpoint.read(path, self.device))
        except (BadCheckpoint, *checkpoint.UNREADABLE) as error:
            raise BadCheckpoint(
                f"{path}: the best weights cannot be read; remove {CHECKPOINT} beside it to train anew"
            ) from error

    def _run(self, progress: Callable[[int, float], None] | None, logs: Logs | None) -> None:
        """Steps, validations and checkpoints; without logs this is not the first process."""
        run, losses, batches = self.recipe.run, self.not_logged, None
        while self.state.step < self.recipe.optimizer.steps and self.state.worse < run.patience:
            batches = self._made_ahead() if batches is None else batches
            began = time.monotonic()
            losses.append(self.train_step(next(batches)))
            self.state.seconds += time.monotonic() - began
            step = self.state.step
            if progress is not None:
                progress(step, losses[-1]["loss"])
            checked = step % run.validate_every == 0 or step == self.recipe.optimizer.steps
            if checked and logs is not None:
                self.check(logs)
            if checked:
                self.state = self.group.from_main(lambda: self.state)
            if step % run.log_every == 0 or checked:
                if logs is not None:
                    logs.losses(step, self._means(losses))
                losses.clear()
            if logs is not None and (step % run.checkpoint_every == 0 or checked):
                self.save()

    def _means(self, losses: Sequence[Mapping[str, float]]) -> dict[str, float]:
        means = {name: float(np.mean([one[name] for one in losses])) for name in losses[0]}
        rate = float(self.optimizer.param_groups[0]["lr"])
        return {"seconds": round(self.state.seconds, 1), "lr": rate, **means}
