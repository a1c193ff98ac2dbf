"""Run a model over recordings as the worker does: windows at the hop, final steps, the same decoding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.cnn_lstm import CnnLstm
from models.decode import OVERLAP_S, BeatCandidates, accept, decode_beats, refine_peaks
from training.sources import FloatArray, IntArray, WideFloatArray

WINDOW_S = 8.0
FS_HZ = 125.0
HOP_S = 1.0
RIGHT_CONTEXT_S = 1.0
FIRST_FINAL_S = WINDOW_S - RIGHT_CONTEXT_S - HOP_S
"""No window makes a beat before this final, so that it could be found: such beats are not scored."""


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
    """All windows of a lead, one a hop."""
    length, hop = round(WINDOW_S * FS_HZ), round(HOP_S * FS_HZ)
    windows = np.lib.stride_tricks.sliding_window_view(signal, length)[::hop]
    steps, rhythms = run_windows(model, windows)
    return Stream(windows, steps, rhythms)


@dataclass(frozen=True, slots=True)
class FinalBeats:
    """Beats of one lead in order of time: seconds from the lead's start, step class, probability."""

    time_s: WideFloatArray
    label: IntArray
    probability: WideFloatArray


def _candidates(
    stream: Stream, step_s: float, threshold: float, gains: tuple[float, ...] | None
) -> BeatCandidates:
    until = WINDOW_S - RIGHT_CONTEXT_S
    return decode_beats(
        stream.steps,
        step_s,
        threshold=threshold,
        class_gains=gains,
        final_from_s=until - HOP_S - OVERLAP_S,
        final_to_s=until,
    )


def final_beats(
    stream: Stream, step_s: float, threshold: float, gains: tuple[float, ...] | None = None
) -> FinalBeats:
    """Beats as they become final, window after window."""
    found = _candidates(stream, step_s, threshold, gains)
    placed = refine_peaks(stream.windows, FS_HZ, found.window, found.position_s) + found.window * HOP_S
    order = np.argsort(placed, kind="stable")
    keep = order[accept(placed[order], found.probability[order])]
    return FinalBeats(placed[keep], found.label[keep], found.probability[keep])
