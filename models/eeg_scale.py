"""Amplitude of each EEG channel taken off by its own running scale: causal, never per window.

The scale follows the typical amplitude of minutes, after some seconds in which it settles. A second that is
louder counts for less, and one that is far louder as only a little louder, so that a seizure or an artefact
does not become its own measure.

Shape legend: S streams, C channels, N samples of one step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.spec import RunningScaleSpec

FloatArray = npt.NDArray[np.float32]
WideArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FEWEST_FINITE = 0.9
"""Share of a step's samples that have to be there for a channel to count in it."""


class RunningScale:
    """Running scales of many streams.

    Parameters
    ----------
    spec : RunningScaleSpec
        Of the model's card.
    n_channels : int
        Of each stream.
    n_streams : int
        Streams that there is room for.
    """

    def __init__(self, spec: RunningScaleSpec, n_channels: int, n_streams: int = 1) -> None:
        self.spec = spec
        self._log = np.full((n_streams, n_channels), np.log(spec.prior_uv))
        self._weight = np.full((n_streams, n_channels), spec.prior_s)

    def reset(self, stream: int) -> None:
        """Forget a stream: its next step begins a new one."""
        self._log[stream] = np.log(self.spec.prior_uv)
        self._weight[stream] = self.spec.prior_s

    def state(self, stream: int) -> WideArray:
        """One stream's state, shape (2, C), for snapshots."""
        return np.stack([self._log[stream], self._weight[stream]])

    def restore(self, stream: int, state: WideArray) -> None:
        """Put a state back, as :meth:`state` gave it."""
        self._log[stream], self._weight[stream] = state

    def push(self, streams: IntArray, x_SCN: FloatArray) -> FloatArray:
        """Scale the next step of several streams by what is known at its end.

        Parameters
        ----------
        streams : ndarray of int64, shape (S,)
            Distinct.
        x_SCN : ndarray of float32, shape (S, C, N)
            µV, conditioned, one step of the model; NaN where missing.

        Returns
        -------
        ndarray of float32, shape (S, C, N)
            In units of the typical amplitude, NaN where missing.
        """
        spec = self.spec
        log, weight = self._log[streams], self._weight[streams]
        # No brain makes millivolts on the scalp: an electrode moved.
        sane_SC1 = ~np.any(np.abs(x_SCN) > spec.implausible_uv, axis=-1, keepdims=True)
        x_SCN = np.where(sane_SC1, x_SCN, np.float32(np.nan))
        finite = np.isfinite(x_SCN)
        count = finite.sum(-1)
        there = count >= FEWEST_FINITE * x_SCN.shape[-1]
        # The factor makes it the root mean square where samples are normally distributed.
        size = 1.2533 * np.where(finite, np.abs(x_SCN), 0.0).sum(-1) / np.maximum(count, 1)
        # A flat channel says nothing of how loud its signal is.
        there &= size > spec.flat_uv
        change = np.log(np.maximum(size, 1e-9)) - log
        settled = weight >= spec.settle_s
        held = np.clip(change, -spec.most_log, spec.most_log)
        change = np.where(settled, np.where(held > 0, spec.rise, 1.0) * held, change)
        weight = np.where(there, np.minimum(weight + 1.0, spec.memory_s), weight)
        log = np.where(there, log + change / weight, log)
        log = np.clip(log, np.log(spec.low_uv), np.log(spec.high_uv))
        self._log[streams], self._weight[streams] = log, weight
        scaled = np.clip(x_SCN * np.exp(-log)[..., None], -spec.most, spec.most)
        return np.asarray(scaled, dtype=np.float32)


def scale_recording(x_CN: FloatArray, step: int, spec: RunningScaleSpec) -> FloatArray:
    """Scale a whole recording as its stream would be; a last piece shorter than a step is left off.

    Parameters
    ----------
    x_CN : ndarray of float32, shape (C, N)
        µV, conditioned; NaN where missing.
    step : int
        Samples of a step.
    spec : RunningScaleSpec
        Of the model's card.

    Returns
    -------
    ndarray of float32, shape (C, T * step)
        In units of the typical amplitude.
    """
    n_steps = x_CN.shape[1] // step
    running = RunningScale(spec, len(x_CN))
    one = np.zeros(1, dtype=np.int64)
    out = np.empty((len(x_CN), n_steps * step), dtype=np.float32)
    for begin in range(0, n_steps * step, step):
        out[:, begin : begin + step] = running.push(one, x_CN[None, :, begin : begin + step])[0]
    return out
