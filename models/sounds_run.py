"""A sound model run over whole recordings: windows with overlap, their steps joined to one course.

Shape legend: M mel bands, T frames, W windows, S steps, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from models.cnn_lstm import CnnLstm
from models.spec import Conv2dFrontEnd

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class Course:
    """What a model says along one recording.

    Attributes
    ----------
    step_logits : ndarray of float32, shape (S, K)
        Windows' steps joined, each weighted by how far it lies from its window's ends.
    window_logits : ndarray of float32, shape (W, K)
        Of each window.
    first_step : ndarray of int64, shape (W,)
        Where each window begins.
    attention : ndarray of float32, shape (W, S of a window)
        Weights with which the window head looked at the steps.
    """

    step_logits: FloatArray
    window_logits: FloatArray
    first_step: IntArray
    attention: FloatArray


def window_starts(n_steps: int, window_steps: int, hop_steps: int) -> IntArray:
    """First steps of windows over a recording; the last one ends with it where it is long enough."""
    last = max(0, n_steps - window_steps)
    starts = np.arange(0, last + 1, hop_steps, dtype=np.int64)
    return starts if starts[-1] == last else np.append(starts, last)


def cut_windows(frames_MT: FloatArray, starts: IntArray, window_frames: int) -> FloatArray:
    """Windows of frames, (W, M, window_frames); zeros, the level's own mean, behind a short recording."""
    short = max(0, window_frames - frames_MT.shape[1])
    padded = np.pad(frames_MT, ((0, 0), (0, short))) if short else frames_MT
    return np.ascontiguousarray(padded[:, starts[:, None] + np.arange(window_frames)].transpose(1, 0, 2))


def _batches(
    model: CnnLstm, windows_WMT: FloatArray, where_WS: npt.NDArray[np.bool_] | None
) -> Iterator[tuple[FloatArray, FloatArray, FloatArray]]:
    device = next(model.parameters()).device
    for first in range(0, len(windows_WMT), BATCH):
        cut = slice(first, first + BATCH)
        where = None if where_WS is None else torch.from_numpy(where_WS[cut]).to(device)
        out = model(torch.from_numpy(windows_WMT[cut, None]).to(device), where)
        yield (
            out.step_logits.float().cpu().numpy(),
            out.window_logits.float().cpu().numpy(),
            out.attention.float().cpu().numpy(),
        )


def run_windows(
    model: CnnLstm, windows_WMT: FloatArray, where_WS: npt.NDArray[np.bool_] | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Step logits (W, S, K), window logits (W, K), attention (W, S) of windows of leveled frames.

    Parameters
    ----------
    model : CnnLstm
        With a front end over pictures.
    windows_WMT : ndarray of float32, shape (W, M, T)
        At least one.
    where_WS : ndarray of bool or None, shape (W, S)
        As :meth:`models.cnn_lstm.CnnLstm.forward` takes it.
    """
    model.eval()
    with torch.inference_mode():
        steps, windows, attention = zip(*_batches(model, windows_WMT, where_WS), strict=True)
    return np.concatenate(steps), np.concatenate(windows), np.concatenate(attention)


def run_recording(model: CnnLstm, frames_MT: FloatArray, window_steps: int, hop_steps: int) -> Course:
    """Run a model over one recording.

    Parameters
    ----------
    model : CnnLstm
        With a front end over pictures.
    frames_MT : ndarray of float32, shape (M, T)
        Leveled frames of the recording, at least one.
    window_steps, hop_steps : int
        Steps of a window, and from window to window.
    """
    config = model.config.front_end
    assert isinstance(config, Conv2dFrontEnd)
    per_step = config.columns_per_step
    n_steps = -(-frames_MT.shape[1] // per_step)
    starts = window_starts(n_steps, window_steps, hop_steps)
    # Steps are whole: what the last one lacks is filled up as the front end does.
    short = n_steps * per_step - frames_MT.shape[1]
    whole = np.pad(frames_MT, ((0, 0), (0, short)), mode="edge") if short else frames_MT
    windows = cut_windows(whole, starts * per_step, window_steps * per_step)
    steps, logits, attention = run_windows(model, windows)
    return Course(_joined(steps, starts, n_steps), logits, starts, attention)


def _joined(steps_WSK: FloatArray, starts: IntArray, n_steps: int) -> FloatArray:
    """One course of overlapping windows: a mean weighted by the distance from the window's ends."""
    n_windows, length, n_classes = steps_WSK.shape
    weight = 1.0 + np.minimum(np.arange(length), np.arange(length)[::-1])
    total = np.zeros((max(n_steps, length), n_classes))
    weights = np.zeros(len(total))
    for i in range(n_windows):
        place = slice(int(starts[i]), int(starts[i]) + length)
        total[place] += weight[:, None] * steps_WSK[i]
        weights[place] += weight
    return np.asarray((total / weights[:, None])[:n_steps], dtype=np.float32)
