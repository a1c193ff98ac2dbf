"""Run a delineation model over leads as a stream would: windows at the hop, each step from one window.

A step is final once it has the right context after it; it comes from the first window in which it has. The
end of a recording, which nothing follows, comes from the last window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch

from models.cnn_lstm import CnnLstm
from models.delineate import decode_waves
from training.delineation_records import Lead
from training.delineation_scores import FoundWaves
from training.sources import FloatArray, IntArray

WINDOW_S: Final = 8.0
HOP_S: Final = 1.0
RIGHT_CONTEXT_S: Final = 1.0
BATCH: Final = 64


def run_windows(model: CnnLstm, windows: FloatArray) -> FloatArray:
    """Step probabilities (n, T, 7) of windows (n, N)."""
    device = next(model.parameters()).device
    model.eval()
    found = []
    with torch.inference_mode():
        for first in range(0, len(windows), BATCH):
            part = torch.from_numpy(np.ascontiguousarray(windows[first : first + BATCH]))[:, None]
            logits = model(part.to(device)).step_logits
            found.append(logits.float().softmax(-1).cpu().numpy())
    whole: FloatArray = np.concatenate(found)
    return whole


def window_starts(n_samples: int, length: int, hop: int, stride: int) -> IntArray:
    """First samples of the windows of a recording, on the grid of its steps; the last reaches its end."""
    last = -(-max(0, n_samples - length) // stride) * stride
    starts = np.arange(0, last + 1, hop, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def step_probabilities(model: CnnLstm, signal: FloatArray, rate_hz: float, stride: int) -> FloatArray:
    """Final step probabilities of one lead, (ceil(n_samples / stride), 7).

    Parameters
    ----------
    model : CnnLstm
        With a step head of 7 classes.
    signal : ndarray of float32, shape (n_samples,)
        Conditioned, mV.
    rate_hz : float
        Of the signal.
    stride : int
        Samples a step; a hop must be whole steps.
    """
    length, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    n_steps = -(-len(signal) // stride)
    if len(signal) <= length:
        return np.asarray(run_windows(model, signal[None])[0], dtype=np.float32)
    starts = window_starts(len(signal), length, hop, stride)
    # The last window may reach a step past the end: the last sample is held.
    padded = np.pad(signal, (0, max(0, int(starts[-1]) + length - len(signal))), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)[starts]
    found = run_windows(model, windows)
    final = starts + length - round(RIGHT_CONTEXT_S * rate_hz)
    step = np.arange(n_steps)
    window = np.minimum(np.searchsorted(final, step * stride, side="right"), len(starts) - 1)
    return np.asarray(found[window, step - starts[window] // stride], dtype=np.float32)


def delineate_leads(
    model: CnnLstm, leads: Sequence[Lead], rate_hz: float, stride: int, gains: Mapping[str, float]
) -> list[tuple[FoundWaves, FloatArray]]:
    """Waves of each lead in samples of its signal, and its step probabilities."""
    results = []
    for lead in leads:
        probabilities = step_probabilities(model, lead.signal, rate_hz, stride)
        results.append((waves_of(probabilities, stride, rate_hz, gains), probabilities))
    return results


def waves_of(
    probabilities: FloatArray, stride: int, rate_hz: float, gains: Mapping[str, float] | None = None
) -> FoundWaves:
    """Decode one lead's step probabilities (T, 7)."""
    found = decode_waves(probabilities[None], stride / rate_hz, gains=gains)
    marks = np.stack([found.onset_s, found.peak_s, found.end_s], axis=1) * rate_hz
    return FoundWaves(found.kind, marks)
