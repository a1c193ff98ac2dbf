"""Run a monitor model over a whole lead as the worker does: windows at the hop, all steps of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.cnn_lstm import CnnLstm
from models.incremental import Incremental

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Whole = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Windows (B, N) to probabilities of steps (B, T, 5) and rhythms (B, 6)."""

WINDOW_S: Final = 8.0
FS_HZ: Final = 125.0
HOP_S: Final = 1.0
RIGHT_CONTEXT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Stream:
    """What a model says of one lead.

    Attributes
    ----------
    windows : ndarray of float32, shape (n_windows, n_times)
        As the model saw them, without the samples before them that a model of running signals sees too.
    starts : ndarray of int64, shape (n_windows,)
        First sample of each in the lead.
    steps : ndarray of float32, shape (n_windows, n_steps, 5)
        Probabilities.
    rhythms : ndarray of float32, shape (n_windows, 6)
        Probabilities.
    """

    windows: FloatArray
    starts: IntArray
    steps: FloatArray
    rhythms: FloatArray

    @property
    def starts_s(self) -> WideFloatArray:
        """Begin of each window, seconds from the lead's start."""
        return self.starts / FS_HZ


def run_windows(model: CnnLstm, windows: FloatArray, batch: int = 256) -> tuple[FloatArray, FloatArray]:
    """Probabilities of steps (n, T, 5) and rhythms (n, 6) for windows by themselves (n, N)."""

    def alone(windows_BN: Tensor) -> tuple[Tensor, Tensor]:
        output = model(windows_BN[:, None])
        return output.step_logits.softmax(-1), output.window_logits.softmax(-1)

    model.eval()
    return _batched(alone, windows, next(model.parameters()).device, batch)


def _batched(
    whole: Whole, windows: FloatArray, device: torch.device, batch: int
) -> tuple[FloatArray, FloatArray]:
    steps, rhythms = [], []
    with torch.inference_mode():
        for begin in range(0, len(windows), batch):
            part = torch.from_numpy(np.ascontiguousarray(windows[begin : begin + batch])).to(device)
            of_steps, of_rhythms = whole(part)
            steps.append(of_steps.cpu().numpy())
            rhythms.append(of_rhythms.cpu().numpy())
    return np.concatenate(steps), np.concatenate(rhythms)


def run_lead(model: CnnLstm, signal: FloatArray) -> Stream:
    """All windows of a lead (n_samples,), one a hop.

    Those of a model of running signals are as the worker cuts them: they end at the last whole step of their
    hop and have the samples before them, zeros before the lead's first.
    """
    length, hop = round(WINDOW_S * FS_HZ), round(HOP_S * FS_HZ)
    if not model.config.early_steps:
        windows = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
        starts = np.arange(len(windows), dtype=np.int64) * hop
        return Stream(windows, starts, *run_windows(model, windows))
    halves = Incremental(model, length)
    early, grid = halves.reach.context, halves.reach.stride
    ends = np.arange(length, len(signal) + 1, hop, dtype=np.int64) // grid * grid
    padded = np.concatenate([np.zeros(early, dtype=np.float32), signal])
    seen = np.lib.stride_tricks.sliding_window_view(padded, early + length)[ends - length]
    device = next(model.parameters()).device
    said = _batched(lambda windows: halves(windows, halves.n_steps), seen, device, 256)
    return Stream(seen[:, early:], ends - length, *said)
