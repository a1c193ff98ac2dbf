"""Streaming resampling by a rational factor, exact for any cut of the stream.

The resampler is linear, so that for a block of ``n`` samples that begins at a given phase it is one matrix,
computed once and applied to all beds of the same rate by one product. The same matrix serves one bed or a
thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy import signal

from ingest.types import IntArray, WideFloatArray

HALF_WIDTH = 8
"""Zero crossings of the low-pass on each side, at the lower of the two rates."""

KAISER_BETA = 6.0
MAX_FACTOR = 2_000


@dataclass(frozen=True, slots=True)
class Resampler:
    """Resamples ``fs_hz`` to ``rate_hz`` (polyphase FIR, Kaiser window; Crochiere & Rabiner 1983).

    Parameters
    ----------
    fs_hz, rate_hz : float
        Rates in and out. The ratio is taken as a fraction with terms up to :data:`MAX_FACTOR`.
    """

    fs_hz: float
    rate_hz: float

    @property
    def ratio(self) -> Fraction:
        """Samples out per sample in."""
        return _ratio(self.fs_hz, self.rate_hz)

    @property
    def history(self) -> int:
        """Samples before a block that its outputs still depend on."""
        return -(-len(_taps(self.ratio)) // self.ratio.numerator)

    @property
    def delay_s(self) -> float:
        """Constant delay of the low-pass in seconds."""
        return (len(_taps(self.ratio)) - 1) / 2 / (self.ratio.numerator * self.fs_hz)

    def n_out(self, n_in: int) -> int:
        """Outputs that exist once ``n_in`` samples have come."""
        return -(-n_in * self.ratio.numerator // self.ratio.denominator)

    def phase(self, n_in: int) -> int:
        """Where the next output lies after ``n_in`` samples, in steps of the up-sampled rate."""
        return -n_in * self.ratio.numerator % self.ratio.denominator

    def phases(self, n_in: IntArray) -> IntArray:
        """:meth:`phase` of many streams."""
        return np.asarray(-n_in * self.ratio.numerator % self.ratio.denominator, dtype=np.int64)

    def matrix(self, phase: int, n_samples: int) -> WideFloatArray:
        """Block operator, shape (history + n_samples, outputs of the block)."""
        return _matrix(self.ratio, self.history, phase, n_samples)

    def newest_input(self, phase: int, n_samples: int) -> IntArray:
        """Index within the block of the newest sample behind each output."""
        steps = np.arange(_block_outputs(self.ratio, phase, n_samples), dtype=np.int64)
        return np.asarray((phase + steps * self.ratio.denominator) // self.ratio.numerator, dtype=np.int64)


@lru_cache(maxsize=512)
def _ratio(fs_hz: float, rate_hz: float) -> Fraction:
    exact = Fraction(rate_hz).limit_denominator(1_000_000) / Fraction(fs_hz).limit_denominator(1_000_000)
    return exact.limit_denominator(MAX_FACTOR)


@lru_cache(maxsize=128)
def _taps(ratio: Fraction) -> WideFloatArray:
    up, down = ratio.numerator, ratio.denominator
    if up == down:
        return np.ones(1)
    widest = max(up, down)
    taps = signal.firwin(2 * HALF_WIDTH * widest + 1, 1 / widest, window=("kaiser", KAISER_BETA))
    return np.asarray(taps * up, dtype=np.float64)


def _block_outputs(ratio: Fraction, phase: int, n_samples: int) -> int:
    return max(0, -(-(n_samples * ratio.numerator - phase) // ratio.denominator))


@lru_cache(maxsize=512)
def _matrix(ratio: Fraction, history: int, phase: int, n_samples: int) -> WideFloatArray:
    taps = _taps(ratio)
    source = np.arange(-history, n_samples)[:, None] * ratio.numerator
    target = phase + np.arange(_block_outputs(ratio, phase, n_samples))[None, :] * ratio.denominator
    lag = target - source
    inside = (lag >= 0) & (lag < len(taps))
    return np.where(inside, taps[np.where(inside, lag, 0)], 0.0)
