"""What a lung-sound model hears in recordings: each annotated cycle, and the recording as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.cnn_lstm import CnnLstm
from models.sounds_heart import log_softmax
from models.sounds_lung import evidence
from models.sounds_run import cut_windows, run_recording, run_windows
from training.lung_records import LungRecord
from training.lung_sampling import LABELS, Steps
from training.sources import WideFloatArray


@dataclass(frozen=True, slots=True)
class HeardLung:
    """A recording with what a model says of it.

    Attributes
    ----------
    cycle_logits : ndarray of float64, shape (n_cycles, 2)
        Evidence of crackles and wheezes in each cycle; NaN where the recording holds nothing of it.
    diagnosis : ndarray of float64, shape (n_diagnoses,)
        Mean logarithm of the diagnoses' probabilities over windows.
    """

    record: LungRecord
    cycle_logits: WideFloatArray
    diagnosis: WideFloatArray


def listen(model: CnnLstm, records: Sequence[LungRecord], steps: Steps, window_steps: int) -> list[HeardLung]:
    """Run a model over recordings.

    Parameters
    ----------
    model : CnnLstm
        Of the lung task.
    records : sequence of LungRecord
        With frames.
    steps : Steps
        Of the network.
    window_steps : int
        Steps of a window.
    """
    return [_listen(model, record, steps, window_steps) for record in records]


def _listen(model: CnnLstm, record: LungRecord, steps: Steps, window_steps: int) -> HeardLung:
    cycles = record.about.cycles
    n_steps = record.frames.shape[1] // steps.per_step
    cuts = np.array(
        [steps.cut(a, b) for a, b in zip(cycles.start_s, cycles.end_s, strict=True)], dtype=np.int64
    ).reshape(-1, 2)
    there = np.flatnonzero(cuts[:, 0] < n_steps)
    first, last = cuts[there, 0], np.minimum(cuts[there, 1], n_steps)
    begin = np.clip((first + last - window_steps) // 2, 0, max(0, n_steps - window_steps))
    at = begin[:, None] + np.arange(window_steps)
    where = (at >= first[:, None]) & (at < last[:, None])
    logits = np.full((len(cuts), len(LABELS)), np.nan)
    if len(there):
        windows = cut_windows(record.frames, begin * steps.per_step, window_steps * steps.per_step)
        of_steps, of_window, _ = run_windows(model, windows, where)
        logits[there] = evidence(of_steps, of_window[:, : len(LABELS)], where)
    course = run_recording(model, record.frames, window_steps, window_steps // 2)
    diagnosis = log_softmax(course.window_logits[:, len(LABELS) :]).mean(0)
    return HeardLung(record, logits, diagnosis)
