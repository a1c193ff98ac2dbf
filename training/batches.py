"""Batches by step, made here or ahead by other processes: the same ones either way."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.task import Sampler


class Batches(Dataset[dict[str, Tensor]]):
    """Batches as tensors: a function of seed and step alone, whichever process makes them.

    Parameters
    ----------
    sampler : Sampler
        Makes them.
    seed : int
        Of this process.
    n : int
        Items in each.
    """

    def __init__(self, sampler: Sampler, seed: int, n: int) -> None:
        self.sampler, self.seed, self.n = sampler, seed, n

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        arrays = self.sampler.batch(self.seed, step, self.n)
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def from_step(self, steps: range, workers: int, *, pinned: bool) -> Iterator[dict[str, Tensor]]:
        """Batches of these steps in order.

        Parameters
        ----------
        steps : range
            Which.
        workers : int
            Processes that make them ahead; 0 makes each when it is asked for.
        pinned : bool
            Whether they go to a GPU.
        """
        if workers == 0:
            return (self[step] for step in steps)
        # Forked, so that they share the recordings; their generators are not used.
        return iter(
            DataLoader(
                self,
                batch_size=None,
                sampler=steps,
                num_workers=workers,
                multiprocessing_context="fork",
                generator=torch.Generator(),
                pin_memory=pinned,
            )
        )
