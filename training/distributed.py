"""Several processes that train one model, as ``torchrun`` starts them; alone without it.

Each process draws its own share of every batch and their gradients are averaged. The first one (rank 0)
alone validates, logs and saves; what it decides it tells the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.cnn_lstm import CnnLstm
from training.errors import BadRecipe
from training.task import Task

T = TypeVar("T")

PATIENCE = timedelta(hours=2)
"""How long processes wait for the first one, which validates while they do nothing."""

SEED_STRIDE = 7_368_787
"""Between the seeds of two processes: a prime far above any number of steps."""


def use_device(device: str) -> torch.device:
    """A torch device that is there.

    Raises
    ------
    BadRecipe
        It is no device of torch's, or there is no such GPU.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise BadRecipe(f"--device {device}: expected cpu, cuda or cuda:N") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise BadRecipe(
            f"--device {device}: torch sees {torch.cuda.device_count()} GPUs here; use --device cpu"
        )
    return found


@dataclass(frozen=True, slots=True)
class Group:
    """The processes that train together.

    Attributes
    ----------
    rank, size : int
        Which one this is, of how many.
    device : str
        Of this process.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def main(self) -> bool:
        """Whether this process is the one that validates, logs and saves."""
        return self.rank == 0

    def share(self, batch: int) -> int:
        """Items of a batch that fall to each process.

        Raises
        ------
        BadRecipe
            They do not divide evenly.
        """
        if batch % self.size:
            raise BadRecipe(f"optimizer.batch={batch} does not divide among {self.size} processes")
        return batch // self.size

    def seed(self, seed: int) -> int:
        """Seed of this process; that of the first is the recipe's."""
        return seed + SEED_STRIDE * self.rank

    def from_main(self, make: Callable[[], T]) -> T:
        """What ``make`` gives in the first process, in all of them; the others do not call it."""
        if self.size == 1:
            return make()
        box: list[T | None] = [make() if self.main else None]
        dist.broadcast_object_list(box, src=0, device=torch.device(self.device))
        (value,) = box
        return value  # type: ignore[return-value]

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The first process does it (and fills caches), then the others."""
        if not self.main:
            dist.barrier()
        yield
        if self.main and self.size > 1:
            dist.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """Mean over the processes, element by element."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def send_weights(self, model: nn.Module) -> None:
        """Give the first process's weights and statistics to all."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)


@contextmanager
def join(device: str) -> Iterator[Group]:
    """The group that ``torchrun`` started this process in, left at the end; a group of one without it.

    Parameters
    ----------
    device : str
        ``cpu`` (gloo) or ``cuda`` (nccl, one GPU a process).

    Raises
    ------
    BadRecipe
        The device is not there.
    """
    if not dist.is_torchelastic_launched():
        yield Group(device=str(use_device(device)))
        return
    rank, size, local = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    own = use_device(f"cuda:{local}" if device == "cuda" else device)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    dist.init_process_group("nccl" if own.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Group(rank, size, str(own))
        # torchrun ends them all as soon as one fails, be it at its very end: nobody goes before the first one
        # has saved. Threads of gloo's let go meanwhile of what they hold of Python's (else they abort).
        dist.barrier()
    finally:
        dist.destroy_process_group()


class Losses(nn.Module):
    """A task's loss as a module, so that gradients can be averaged whichever methods of the model it calls.

    Parameters
    ----------
    task : Task
        Whose loss it is.
    model : CnnLstm
        The network in it.
    """

    def __init__(self, task: Task, model: CnnLstm) -> None:
        super().__init__()
        self.task, self.model = task, model

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The task's losses of a batch."""
        return self.task.loss(self.model, batch)


def losses_of(task: Task, model: CnnLstm, group: Group) -> nn.Module:
    """The loss as a module; in a group of several its backward pass averages the gradients.

    Statistics of batch normalisation are those of the first process's share.
    """
    losses = Losses(task, model)
    if group.size == 1:
        return losses
    # A part of the network may be without a label in a whole batch.
    devices = [torch.device(group.device)] if group.device.startswith("cuda") else None
    return DistributedDataParallel(losses, device_ids=devices, find_unused_parameters=True)
