"""What a seizure model says of recordings, second by second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from models.cnn_lstm import CnnLstm
from models.eeg_events import EventRule, Found, find_events
from models.eeg_run import run_recording
from training.eeg_records import BoolArray, EegRecord
from training.eeg_signal import FloatArray


@dataclass(frozen=True, slots=True)
class SeenEeg:
    """A recording with what a model says of it, without its signal.

    Attributes
    ----------
    record : EegRecord
        With its truth.
    logit : ndarray of float32, shape (T,)
        Evidence for a seizure in each step; NaN where there is no signal.
    """

    record: EegRecord
    logit: FloatArray

    @property
    def probability(self) -> FloatArray:
        """Of a seizure in each step, shape (T,); NaN where there is no signal."""
        return np.asarray(expit(self.logit), dtype=np.float32)

    def events(self, rule: EventRule, delay_s: float) -> list[Found]:
        """Seizures that the rule makes of it."""
        return find_events(self.probability, rule, delay_s)

    def known(self) -> BoolArray:
        """Steps with a signal, shape (T,)."""
        return np.isfinite(self.logit)


def watch(model: CnnLstm, records: Iterable[EegRecord], window_steps: int, behind: int) -> Iterator[SeenEeg]:
    """Run a model over recordings, one after the other.

    Parameters
    ----------
    model : CnnLstm
        Of the EEG task.
    records : iterable of EegRecord
        With signals.
    window_steps, behind : int
        As :func:`models.eeg_run.run_recording` takes them.
    """
    for record in records:
        course = run_recording(model, record.x, window_steps, behind)
        yield SeenEeg(record, np.where(course.weights.any(axis=0), course.step_logit, np.float32(np.nan)))
