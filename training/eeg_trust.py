"""Derivations of a recording with what the worker would not trust: its second-by-second signs of electrodes.

The worker gives its network no derivation of an electrode that is missing, flat, saturated or popping
(:mod:`inference.eeg_quality`); what trains and what is scored leaves out the same seconds.

Shape legend: N samples, C channels, D derivations, T seconds.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.eeg_quality import measure
from ingest.conditioning import EEG, Conditioner
from ingest.montage import Plan
from ingest.types import BoolArray, FloatArray, WideFloatArray

SECOND: Final = round(EEG.rate_hz)


class DerivedStream:
    """Channels of one stream made into conditioned derivations, with the seconds that can be trusted.

    Parameters
    ----------
    plan : Plan
        Of the channels as they come.
    fs_hz : float
        Their rate.
    """

    def __init__(self, plan: Plan, fs_hz: float) -> None:
        self.plan = plan
        self._uses = plan.uses[:, plan.inputs]
        self._matrix = plan.matrix[:, plan.inputs].astype(np.float32)
        self._conditioner = Conditioner(fs_hz, len(plan.inputs), EEG)
        nothing = np.zeros((len(plan.inputs), 0), dtype=np.float32)
        self._samples, self._raw, self._present = nothing, nothing, nothing.astype(np.bool_)
        self._before = np.zeros((len(plan.inputs), SECOND), dtype=np.float32)
        """Unfiltered samples of the second before: some signs ask for two."""
        self._present_before = self._before.astype(np.bool_)

    def push(self, samples_NC: FloatArray | WideFloatArray) -> tuple[FloatArray, BoolArray]:
        """Whole seconds that became complete: derivations (D, T * rate) in µV, and which to trust (D, T).

        Parameters
        ----------
        samples_NC : ndarray, shape (N, C)
            µV, all channels of the plan; NaN where missing, of a flagged electrode too.
        """
        lines = np.asarray(samples_NC[:, self.plan.inputs].T, dtype=np.float64)[None]
        done = self._conditioner.push(np.zeros(1, dtype=np.int64), lines)
        samples = np.concatenate([self._samples, done.samples[0]], axis=1)
        raw = np.concatenate([self._raw, done.raw[0]], axis=1)
        present = np.concatenate([self._present, done.present[0]], axis=1)
        end = samples.shape[1] // SECOND * SECOND
        self._samples, self._raw, self._present = samples[:, end:], raw[:, end:], present[:, end:]
        if not end:
            return np.zeros((len(self._uses), 0), np.float32), np.zeros((len(self._uses), 0), np.bool_)
        raw = np.concatenate([self._before, raw[:, :end]], axis=1)
        present = np.concatenate([self._present_before, present[:, :end]], axis=1)
        self._before, self._present_before = raw[:, -SECOND:], present[:, -SECOND:]
        usable = self._usable(samples[:, :end], raw, present)
        lost = self._uses.astype(np.float32) @ (~usable).astype(np.float32) > 0
        return self._matrix @ samples[:, :end], np.asarray(~lost)

    def _usable(self, samples: FloatArray, raw: FloatArray, present: BoolArray) -> BoolArray:
        """Channels that can be read, (C, T): each second is judged like one of another bed."""
        n_channels = len(samples)
        filtered = samples.reshape(n_channels, -1, SECOND).transpose(1, 0, 2)
        # Two seconds each, of which the first is the last of the row before.
        both = np.arange(len(filtered))[:, None] * SECOND + np.arange(2 * SECOND)
        raw_TCN = raw[:, both].transpose(1, 0, 2)
        present_TCN: BoolArray = present[:, both].transpose(1, 0, 2)
        exists = np.ones(filtered.shape[:2], dtype=np.bool_)
        signs = measure(exists, raw_TCN, present_TCN, np.zeros_like(present_TCN), filtered)
        return np.asarray(signs.usable.T)


def trusted_only(x_DN: FloatArray, trusted_DT: BoolArray) -> FloatArray:
    """Derivations with NaN in the seconds that are not trusted."""
    return np.where(np.repeat(trusted_DT, SECOND, axis=1), x_DN, np.float32(np.nan))
