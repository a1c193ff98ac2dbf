"""The network over a batch of windows: probabilities in, arrays out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from inference.gpu import CPU, GPU_SIZES, PRECISIONS, BatchRunner
from inference.lanes import Compiler
from ingest.types import FloatArray
from models import store
from models.cnn_lstm import CnnLstm
from models.incremental import Incremental
from models.spec import ModelSpec

CPU_BATCH_SIZES = (16, 32, 48, 64)
"""Fixed sizes to which batches are filled up on a CPU; larger ones are cut. Measured: one window costs what
16 do; 64 cost 270 µs each and 256, whose layers leave the cache, 420; and each new size makes oneDNN keep
another set of primitives: free sizes cost memory."""

SINGLE_BED_SIZES = (1, 2, 16)
"""For one recording by itself on a CPU: on one thread a window takes 3.7 ms alone, 11 ms among 16."""

Half = Callable[..., tuple[Tensor, Tensor]]
"""A part of the network: some tensors to two."""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Shapes: ``steps`` (n_windows, n_steps, n_beat_classes), ``rhythms`` (n_windows, n_rhythm_classes)."""

    steps: FloatArray
    rhythms: FloatArray


def pick_device(wanted: str | None) -> torch.device:
    """Choose where to compute: what is asked for, else CUDA where there is one, else the CPU."""
    if wanted:
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def sizes_on(device: torch.device) -> tuple[int, ...]:
    """Batch sizes of a ward."""
    return GPU_SIZES if device.type == "cuda" else CPU_BATCH_SIZES


M = TypeVar("M", bound=nn.Module)


def on_device(module: M, device: torch.device) -> M:
    """A network on a device; the one on the CPU stays, for a lost GPU gives no weights back."""
    return copy.deepcopy(module).to(device) if device.type != "cpu" else module


class Predictor:
    """A model of the family, loaded and ready.

    Parameters
    ----------
    model : str
        Name of a shipped model or path of a card.
    device : str or None
        A torch device; by default CUDA where there is one.
    sizes : tuple of int or None
        Batch sizes, ascending; by default those of a ward.
    running : bool
        Windows are of a running signal: they have the samples before them and begin at whole steps, so that
        what overlaps can be kept (:mod:`inference.feature_reader`). Always so where the model was trained so.
    precision : str
        One of :data:`inference.gpu.PRECISIONS`: in what whole windows are computed.
    compiler : Compiler or None
        Computes windows by themselves instead of torch; kept features are torch's.

    Attributes
    ----------
    halves : Incremental or None
        The model in halves, for those who keep features of what they have seen; None unless ``running``.
    context, grid : int
        Samples that :meth:`__call__` wants before each window, and between possible ends of windows.
    """

    def __init__(
        self,
        model: str,
        device: str | None = None,
        sizes: tuple[int, ...] | None = None,
        running: bool = False,
        precision: str = "float32",
        compiler: Compiler | None = None,
    ) -> None:
        wanted = pick_device(device)
        network, self.spec = store.load(model, CPU)
        # What is traced holds weights as constants.
        self._network: CnnLstm = network.eval().requires_grad_(False)
        running = running or network.config.early_steps > 0
        self.halves = Incremental(network, self.spec.window_samples) if running else None
        self.context = self.halves.reach.context if self.halves else 0
        self.grid = self.halves.reach.stride if self.halves else 1
        self.sizes = sizes or sizes_on(wanted)
        self._runner = BatchRunner(
            self._whole_on,
            [(self.context + self.spec.window_samples,)],
            wanted,
            self.sizes,
            sizes or CPU_BATCH_SIZES,
            PRECISIONS[precision],
            None if self.halves else compiler,
        )

    def __call__(self, windows: FloatArray) -> Probabilities:
        """Predict.

        Parameters
        ----------
        windows : ndarray of float32, shape (n_windows, context + n_times)
            One lead each, in the unit of the model's card, with the samples before it.
        """
        return self.whole(windows)

    @property
    def device(self) -> torch.device:
        """Where whole windows are computed now: the CPU once a GPU was lost."""
        return self._runner.device

    @property
    def where(self) -> str:
        """The device and, if not torch, the library that computes there, for people to read."""
        return self._runner.where

    @property
    def lost(self) -> str | None:
        """What became of the GPU that it was to compute on; None while all is well."""
        return self._runner.lost

    def whole(self, windows: FloatArray) -> Probabilities:
        """Compute windows from their samples alone; see :meth:`__call__`."""
        steps, rhythms = self._runner(windows)
        return Probabilities(steps, rhythms)

    def _whole_on(self, device: torch.device) -> Half:
        """The network over whole windows, on a device."""
        if self.halves is not None:
            halves = on_device(self.halves, device)
            return lambda windows_BN: halves(windows_BN, halves.n_steps)
        network = on_device(self._network, device)

        def bare(windows_BN: Tensor) -> tuple[Tensor, Tensor]:
            output = network(windows_BN[:, None, :])
            return output.step_logits.softmax(-1), output.window_logits.softmax(-1)

        return bare

    def run(self, half: Half, *inputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Run a part of the network over any number of rows on the CPU, in batches of the fixed sizes.

        Parameters
        ----------
        half : callable
            Tensors to two tensors, a row each.
        *inputs : ndarray of float32, shape (n_rows, …)
            What it takes.
        """
        most = self.sizes[-1]
        batches = [
            self._batch(half, [rows[begin : begin + most] for rows in inputs])
            # No rows are a batch too: what comes of it has the right shape.
            for begin in range(0, max(1, len(inputs[0])), most)
        ]
        first, second = zip(*batches, strict=True)
        return np.concatenate(first), np.concatenate(second)

    def _batch(self, half: Half, inputs: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
        n_rows = len(inputs[0])
        size = next(size for size in self.sizes if size >= n_rows)
        with torch.inference_mode():
            first, second = half(*(torch.from_numpy(_filled_up(rows, size)) for rows in inputs))
            return first[:n_rows].numpy(), second[:n_rows].numpy()


def _filled_up(rows: FloatArray, size: int) -> FloatArray:
    """Rows with zeros behind them, ``size`` in all."""
    if len(rows) == size:
        return np.ascontiguousarray(rows)
    filled = np.zeros((size, *rows.shape[1:]), dtype=rows.dtype)
    filled[: len(rows)] = rows
    return filled


def describe(spec: ModelSpec) -> str:
    """One line for the log."""
    return f"{spec.name} ({spec.signal}, {spec.fs_hz:g} Hz, {spec.window_s:g} s, sha256 {spec.sha256[:12]})"
