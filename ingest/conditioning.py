"""From device samples to what a model sees: hold missing samples, band-pass, resample.

One class, :class:`Conditioner`, holds the state of many streams of one rate as arrays; the worker pushes
chunks of many beds through it, training pushes a whole record (:func:`condition`). There is no second path,
so what trains is what serves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import signal

from ingest.filters import band_pass, settled_state
from ingest.pacer import PulseRemover
from ingest.resample import Resampler
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

BLOCK = 512
"""Samples that go through the resampling matrix at once; bounds its size."""


@dataclass(frozen=True, slots=True)
class ConditioningSpec:
    """What is done to a signal before a model sees it.

    Parameters
    ----------
    rate_hz : float
        Rate that the model sees.
    low_hz, high_hz : float
        Pass band.
    without_pulses : bool
        Whether pacing pulses are removed first (:mod:`ingest.pacer`).
    notches : bool
        Whether both mains frequencies are taken out.
    """

    rate_hz: float
    low_hz: float
    high_hz: float
    without_pulses: bool = False
    notches: bool = True

    @property
    def min_fs_hz(self) -> float:
        """Lowest sampling rate that carries the band."""
        return 2.2 * self.high_hz


ECG = ConditioningSpec(rate_hz=125.0, low_hz=0.5, high_hz=40.0, without_pulses=True)
PULSE = ConditioningSpec(rate_hz=62.5, low_hz=0.4, high_hz=8.0)
"""Plethysmogram and arterial pressure: the pulse wave without breathing and jitter."""

EEG = ConditioningSpec(rate_hz=128.0, low_hz=0.5, high_hz=40.0)
"""What a reader of an EEG looks at; both notches are there where the sampling rate carries them."""

LUNG = ConditioningSpec(rate_hz=4_000.0, low_hz=50.0, high_hz=1_800.0, notches=False)
HEART = ConditioningSpec(rate_hz=4_000.0, low_hz=25.0, high_hz=400.0, notches=False)
"""Sounds keep 50 and 60 Hz: S1 and S2 are loudest there, and a notch would ring for a tenth of a second."""


def conditioning_of(rate_hz: float, band_hz: tuple[float, float]) -> ConditioningSpec:
    """Conditioning of a model's signal by the rate and band of its card: the worker's own where it fits."""
    known = next(
        (
            one
            for one in (ECG, PULSE, EEG, LUNG, HEART)
            if (one.rate_hz, one.low_hz, one.high_hz) == (rate_hz, *band_hz)
        ),
        None,
    )
    return known or ConditioningSpec(rate_hz, *band_hz)


@dataclass(frozen=True, slots=True)
class Conditioned:
    """Output of one push. Shapes (n_streams, n_channels, n_out).

    ``samples`` is filtered, ``raw`` is the unfiltered sample at each output (missing ones held) and
    ``present`` says whether that sample was there.
    """

    samples: FloatArray
    raw: FloatArray
    present: BoolArray


@dataclass(frozen=True, slots=True)
class ConditionerState:
    """State of one stream, for snapshots. Equal state and equal input give equal output, bit for bit."""

    sections: WideFloatArray
    history: WideFloatArray
    held: WideFloatArray
    tail: WideFloatArray
    started: BoolArray
    n_in: int


class Conditioner:
    """Streams of one sampling rate and channel count, as arrays.

    Parameters
    ----------
    fs_hz : float
        Sampling rate of the streams.
    n_channels : int
        Channels of each stream.
    spec : ConditioningSpec
        What to do.
    n_slots : int
        Streams to make room for; grows by :meth:`resize`.
    """

    def __init__(self, fs_hz: float, n_channels: int, spec: ConditioningSpec, n_slots: int = 1) -> None:
        self.fs_hz = fs_hz
        self.spec = spec
        self.resampler = Resampler(fs_hz, spec.rate_hz)
        self._sos = band_pass(fs_hz, spec.low_hz, spec.high_hz, spec.notches)
        self._settled = settled_state(fs_hz, spec.low_hz, spec.high_hz, spec.notches)
        self._sections = np.zeros((len(self._sos), n_slots, n_channels, 2))
        self._history = np.zeros((n_slots, n_channels, self.resampler.history))
        self._held = np.zeros((n_slots, n_channels))
        self._pulses = PulseRemover(fs_hz) if spec.without_pulses else None
        n_tail = 0 if self._pulses is None else self._pulses.behind + self._pulses.ahead
        self._tail = np.zeros((n_slots, n_channels, n_tail))
        self._started = np.zeros((n_slots, n_channels), dtype=np.bool_)
        self._n_in = np.zeros(n_slots, dtype=np.int64)

    @property
    def delay_s(self) -> float:
        """Constant delay of what precedes and follows the band-pass, in seconds."""
        return delay_s(self.fs_hz, self.spec)

    @property
    def n_slots(self) -> int:
        """Streams that there is room for."""
        return len(self._n_in)

    def resize(self, n_slots: int) -> None:
        """Make room for ``n_slots`` streams; those that exist keep their state."""
        extra = n_slots - self.n_slots
        if extra <= 0:
            return
        self._sections = np.pad(self._sections, ((0, 0), (0, extra), (0, 0), (0, 0)))
        self._history = np.pad(self._history, ((0, extra), (0, 0), (0, 0)))
        self._held = np.pad(self._held, ((0, extra), (0, 0)))
        self._tail = np.pad(self._tail, ((0, extra), (0, 0), (0, 0)))
        self._started = np.pad(self._started, ((0, extra), (0, 0)))
        self._n_in = np.pad(self._n_in, (0, extra))

    def reset(self, slot: int) -> None:
        """Forget a stream: the next push to ``slot`` begins a new one."""
        self._sections[:, slot] = 0
        self._history[slot] = 0
        self._held[slot] = 0
        self._tail[slot] = 0
        self._started[slot] = False
        self._n_in[slot] = 0

    def samples_in(self, slots: IntArray) -> IntArray:
        """Samples that have come since the stream's start."""
        return np.asarray(self._n_in[slots], dtype=np.int64)

    def push(self, slots: IntArray, samples: FloatArray | WideFloatArray) -> Conditioned:
        """Condition the next samples of several streams.

        Parameters
        ----------
        slots : ndarray of int64, shape (n_streams,)
            Distinct streams with equal resampling phase.
        samples : ndarray, shape (n_streams, n_channels, n_samples)
            Physical units; NaN where missing.
        """
        wide = np.asarray(samples, dtype=np.float64)
        parts = [
            self._push_block(slots, wide[:, :, begin : begin + BLOCK])
            for begin in range(0, wide.shape[2], BLOCK)
        ]
        if len(parts) == 1:
            return parts[0]
        if not parts:
            empty = np.zeros((*wide.shape[:2], 0), dtype=np.float32)
            return Conditioned(empty, empty, empty.astype(np.bool_))
        return Conditioned(
            np.concatenate([part.samples for part in parts], axis=2),
            np.concatenate([part.raw for part in parts], axis=2),
            np.concatenate([part.present for part in parts], axis=2),
        )

    def _push_block(self, slots: IntArray, samples: WideFloatArray) -> Conditioned:
        n_samples = samples.shape[2]
        phase = self.resampler.phase(int(self._n_in[slots[0]]))
        held, present = self._hold_missing(slots, samples)
        filtered, self._sections[:, slots] = signal.sosfilt(
            self._sos, self._without_pulses(slots, held), axis=2, zi=self._sections[:, slots]
        )
        block = np.concatenate([self._history[slots], filtered], axis=2)
        # At the rate that comes the matrix is the identity.
        same = self.resampler.ratio == 1
        out = filtered if same else self._resampled(block, self.resampler.matrix(phase, n_samples))
        self._history[slots] = block[:, :, block.shape[2] - self.resampler.history :]
        self._n_in[slots] += n_samples
        newest = self.resampler.newest_input(phase, n_samples)
        return Conditioned(
            out.astype(np.float32), held[:, :, newest].astype(np.float32), present[:, :, newest]
        )

    @staticmethod
    def _resampled(block: WideFloatArray, matrix: WideFloatArray) -> WideFloatArray:
        """All channels of all streams as rows of one product: many small ones take five times as long."""
        rows = block.reshape(-1, block.shape[2])
        return np.asarray(rows @ matrix).reshape(*block.shape[:2], matrix.shape[1])

    def _without_pulses(self, slots: IntArray, held: WideFloatArray) -> WideFloatArray:
        """Take pacing pulses out, a few samples late."""
        if self._pulses is None or not self._pulses.works:
            return held
        line = np.concatenate([self._tail[slots], held], axis=2)
        self._tail[slots] = line[:, :, held.shape[2] :]
        return self._pulses(line)

    def _hold_missing(self, slots: IntArray, samples: WideFloatArray) -> tuple[WideFloatArray, BoolArray]:
        """Missing samples take the last value; a stream starts settled at its first value."""
        present = ~np.isnan(samples)
        started = self._started[slots]
        some = present.any(axis=2)
        starting = some & ~started
        if starting.any():
            first = np.take_along_axis(samples, present.argmax(axis=2)[:, :, None], axis=2)[:, :, 0]
            held = np.where(starting, first, self._held[slots])
            self._held[slots] = held
            self._started[slots] = started | starting
            self._tail[slots] = np.where(starting[:, :, None], held[:, :, None], self._tail[slots])
            settled = self._settled[:, None, None, :] * held[None, :, :, None]
            self._sections[:, slots] = np.where(starting[None, :, :, None], settled, self._sections[:, slots])
        if present.all():
            self._held[slots] = samples[:, :, -1]
            return samples, present
        last = np.maximum.accumulate(np.where(present, np.arange(samples.shape[2]), -1), axis=2)
        filled = np.take_along_axis(samples, np.maximum(last, 0), axis=2)
        filled = np.where(last >= 0, filled, self._held[slots][:, :, None])
        self._held[slots] = filled[:, :, -1]
        return filled, present

    def state(self, slot: int) -> ConditionerState:
        """Copy of one stream's state."""
        return ConditionerState(
            self._sections[:, slot].copy(),
            self._history[slot].copy(),
            self._held[slot].copy(),
            self._tail[slot].copy(),
            self._started[slot].copy(),
            int(self._n_in[slot]),
        )

    def restore(self, slot: int, state: ConditionerState) -> None:
        """Put a state back, as :meth:`state` gave it."""
        self._sections[:, slot] = state.sections
        self._history[slot] = state.history
        self._held[slot] = state.held
        self._tail[slot] = state.tail
        self._started[slot] = state.started
        self._n_in[slot] = state.n_in


def condition(samples: FloatArray | WideFloatArray, fs_hz: float, spec: ConditioningSpec) -> FloatArray:
    """Condition a whole signal, as the worker would in pieces.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        Physical units; NaN where missing.
    fs_hz : float
        Sampling rate.
    spec : ConditioningSpec
        What to do.

    Returns
    -------
    ndarray of float32, shape (n_out, n_channels)
        Sample ``k`` stands for the time ``k / spec.rate_hz - delay_s(fs_hz, spec)`` after the first sample.
    """
    conditioner = Conditioner(fs_hz, samples.shape[1], spec)
    whole: WideFloatArray = np.ascontiguousarray(samples.T, dtype=np.float64)[None]
    done = conditioner.push(np.zeros(1, dtype=np.int64), whole)
    return np.ascontiguousarray(done.samples[0].T)


def delay_s(fs_hz: float, spec: ConditioningSpec) -> float:
    """Constant delay of pulse removal and resampler in seconds (the band-pass's own few ms come on top)."""
    ahead = PulseRemover(fs_hz).ahead if spec.without_pulses else 0
    return ahead / fs_hz + Resampler(fs_hz, spec.rate_hz).delay_s
