"""What a heart-sound model, and a plain envelope, hear in recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.cnn_lstm import CnnLstm
from models.sounds_heart import decode_states, murmur_logit, onsets
from models.sounds_run import run_recording
from models.spec import Conv2dFrontEnd
from training.heart_records import HeartRecord
from training.heart_sampling import step_times_s
from training.sources import IntArray, WideFloatArray

GRID_S: Final = 0.00125
"""CirCor's annotations lie on a grid of 20 ms, and its places lie this much after the middle between the
times of two steps: where one step is of one state and the next of another, the change is there."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording with what a model says of it.

    Attributes
    ----------
    path : ndarray of int64, shape (S,)
        Decoded states.
    times_s : ndarray of float64, shape (S,)
        Times that steps stand for.
    s1_s, s2_s : ndarray of float64
        Onsets.
    murmur_logit : float
        Mean over windows.
    """

    record: HeartRecord
    path: IntArray
    times_s: WideFloatArray
    s1_s: WideFloatArray
    s2_s: WideFloatArray
    murmur_logit: float


def listen(
    model: CnnLstm, records: Sequence[HeartRecord], window_s: float, step_s: float, config: Conv2dFrontEnd
) -> list[Heard]:
    """Run a model over recordings, windows half overlapping.

    Parameters
    ----------
    model : CnnLstm
        Of the heart task.
    records : sequence of HeartRecord
        With frames.
    window_s, step_s : float
        Of a window and a step.
    config : Conv2dFrontEnd
        The model's front end, with mel frames.
    """
    return [_listen(model, record, round(window_s / step_s), step_s, config) for record in records]


def _listen(model: CnnLstm, record: HeartRecord, window: int, step_s: float, config: Conv2dFrontEnd) -> Heard:
    assert config.mel is not None
    course = run_recording(model, record.frames, window, window // 2)
    path = decode_states(course.step_logits[None], step_s)[0]
    times_s = step_times_s(len(path), config.stride, config.hop, config.mel.window, config.mel.rate_hz)
    begins = times_s - step_s / 2 + GRID_S
    place = np.minimum(course.first_step[:, None] + np.arange(window), len(path) - 1)
    logits = murmur_logit(course.step_logits[place], course.window_logits[:, 0], path[place])
    return Heard(
        record,
        path,
        times_s,
        begins[onsets(path, 0)],
        begins[onsets(path, 2)],
        float(logits.mean()),
    )
