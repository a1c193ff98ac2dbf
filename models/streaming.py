"""Run a monitor model over a whole lead as the worker does: windows at the hop, all steps of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from models.cnn_lstm import CnnLstm

FloatArray = npt.NDArray[np.float32]

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
        As the model saw them.
    steps : ndarray of float32, shape (n_windows, n_steps, 5)
        Probabilities.
    rhythms : ndarray of float32, shape (n_windows, 6)
        Probabilities.
    """

    windows: FloatArray
    steps: FloatArray
    rhythms: FloatArray


def run_windows(model: CnnLstm, windows: FloatArray, batch: int = 256) -> tuple[FloatArray, FloatArray]:
    """Probabilities of steps (n, T, 5) and rhythms (n, 6) for windows (n, N)."""
    device = next(model.parameters()).device
    steps, rhythms = [], []
    model.eval()
    with torch.inference_mode():
        for begin in range(0, len(windows), batch):
            part = torch.from_numpy(np.ascontiguousarray(windows[begin : begin + batch]))[:, None].to(device)
            output = model(part)
            steps.append(output.step_logits.softmax(-1).cpu().numpy())
            rhythms.append(output.window_logits.softmax(-1).cpu().numpy())
    return np.concatenate(steps), np.concatenate(rhythms)


def run_lead(model: CnnLstm, signal: FloatArray) -> Stream:
    """All windows of a lead (n_samples,), one a hop."""
    length, hop = round(WINDOW_S * FS_HZ), round(HOP_S * FS_HZ)
    windows = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
    steps, rhythms = run_windows(model, windows)
    return Stream(windows, steps, rhythms)
