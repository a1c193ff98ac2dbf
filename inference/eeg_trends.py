"""Trends of the EEG, each second, over many beds: aEEG, spectral edge, band powers, suppression, asymmetry.

All come of the conditioned longitudinal derivations of the last three seconds and of rings of what whole
seconds gave; there is no other state, so that any cut of a stream gives the same. Seconds in which a
derivation cannot be trusted leave a hole in its rings. How each is worked out: docs/eeg.md.

- Spectrum: Welch (IEEE Trans Audio Electroacoust 15 (1967) 70-73) over 10 s, 2 s windows (Hann), half
  overlapping; mean over the derivations of a side.
- Spectral edge: frequency below which 95 % of the power from 0.5 to 30 Hz lies.
- aEEG: 2-15 Hz rising by 12 dB a decade, rectified, smoothed over 0.5 s, scaled to peak-to-peak; its margins
  are the 10th and 90th percentile of 15 s (after Zhang and Ding, Health 5 (2013) 885-891), median over the
  derivations of a side.
- Suppression: share of the last 60 s in stretches of at least 0.5 s within ±5 µV (Rampil, Anesthesiology 89
  (1998) 980-1002), mean over the derivations of a side.
- Asymmetry: (right - left) / (right + left) of the power from 1 to 25 Hz of derivations that have their
  mirror image; brain symmetry index: the mean over frequencies of its absolute value (van Putten, Clin
  Neurophysiol 118 (2007) 2362-2367).

Shape legend: n beds of a second, D derivations (:data:`ingest.montage.LONGITUDINAL`), S sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import fft, signal

from ingest.conditioning import EEG
from ingest.electrodes import Side
from ingest.montage import LONGITUDINAL, REGIONS, SIDES
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

RATE: Final = round(EEG.rate_hz)
SPAN_S: Final = 3
"""Seconds of derivations that are looked at, each second."""

WINDOW: Final = 2 * RATE
BINS: Final = 81
"""Of half a hertz, 0 to 40 Hz."""

BIN_HZ: Final = 0.5
WELCH_S: Final = 10
LEAST_WINDOWS: Final = 3
EDGE_SHARE: Final = 0.95
EDGE_HZ: Final = (0.5, 30.0)
SYMMETRY_HZ: Final = (1.0, 25.0)
BANDS: Final[dict[str, tuple[float, float]]] = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
}
"""From the first frequency up to, not with, the second."""

AEEG_HZ: Final = (2.0, 15.0)
AEEG_SLOPE_DB: Final = 12.0
"""A decade; the gain is 1 at 10 Hz."""

AEEG_S: Final = 15
AEEG_LEAST_S: Final = 5
AEEG_QUANTILES: Final = (0.1, 0.9)
_TAPS: Final = 2 * RATE + 1
_BLOCKS: Final = 8
"""Means of the rectified signal that are kept a second; four of them are half a second."""

SUPPRESSED_UV: Final = 5.0
SUPPRESSED_S: Final = 0.5
SUPPRESSION_S: Final = 60
SUPPRESSION_LEAST_S: Final = 30

LEFT: Final = np.flatnonzero([side is Side.LEFT for side in SIDES])
RIGHT: Final = np.array(
    [
        REGIONS.index(REGIONS[row].replace("left", "right")) + row - REGIONS.index(REGIONS[row])
        for row in LEFT.tolist()
    ]
)
"""Rows of the right side, each the mirror image of that of :data:`LEFT`."""

SIDE_NAMES: Final = ("left", "right", "whole")
_MEMBERS: Final = (LEFT, RIGHT, np.arange(len(LONGITUDINAL)))


@dataclass(frozen=True, slots=True)
class TrendValues:
    """Trends of a second; NaN where too little can be trusted. Shapes (n, S), S = left, right, whole.

    Parameters
    ----------
    aeeg_low_uv, aeeg_high_uv : ndarray of float64
        Margins.
    edge_hz : ndarray of float64
        95 % spectral edge.
    bands_uv2 : ndarray of float64, shape (n, S, 4)
        Power of each of :data:`BANDS`.
    suppression : ndarray of float64
        Burst-suppression ratio, 0 to 1.
    asymmetry, symmetry_index : ndarray of float64, shape (n,)
        -1 (all left) to 1 (all right); 0 (alike) to 1.
    """

    aeeg_low_uv: WideFloatArray
    aeeg_high_uv: WideFloatArray
    edge_hz: WideFloatArray
    bands_uv2: WideFloatArray
    suppression: WideFloatArray
    asymmetry: WideFloatArray
    symmetry_index: WideFloatArray

    @property
    def alpha_delta(self) -> WideFloatArray:
        """Alpha to delta ratio, shape (n, S)."""
        names = list(BANDS)
        delta = self.bands_uv2[:, :, names.index("delta")]
        return np.asarray(self.bands_uv2[:, :, names.index("alpha")] / np.where(delta > 0, delta, np.nan))


class Trends:
    """Rings of what the last seconds of each bed gave; NaN where nothing counts.

    Parameters
    ----------
    n_slots : int
        Beds to make room for.
    """

    def __init__(self, n_slots: int) -> None:
        n_pairs = len(LONGITUDINAL)
        self.power: FloatArray = np.full((n_slots, WELCH_S - 1, 5, BINS), np.nan, dtype=np.float32)
        """Spectra of the last windows: left, right, whole, left and right as far as both are there."""
        self.blocks: FloatArray = np.full((n_slots, AEEG_S, n_pairs, _BLOCKS), np.nan, dtype=np.float32)
        """Means of the rectified signal over 1/8 s."""
        self.suppressed: FloatArray = np.full((n_slots, SUPPRESSION_S, 3), np.nan, dtype=np.float32)
        """Share of each second that is suppressed."""

    def resize(self, n_slots: int) -> None:
        """Make room for more beds."""
        extra = n_slots - len(self.power)
        for name in ("power", "blocks", "suppressed"):
            ring: FloatArray = getattr(self, name)
            more = ((0, extra), *((0, 0),) * (ring.ndim - 1))
            setattr(self, name, np.pad(ring, more, constant_values=np.nan))

    def reset(self, slots: IntArray) -> None:
        """Forget some beds."""
        self.power[slots] = self.blocks[slots] = self.suppressed[slots] = np.nan

    def push(
        self, slots: IntArray, seconds: IntArray, derived: FloatArray, clean: BoolArray, mirrored: BoolArray
    ) -> TrendValues:
        """Take in a second of some beds.

        Parameters
        ----------
        slots, seconds : ndarray of int64, shape (n,)
            Distinct beds, and which second of its stream it is.
        derived : ndarray of float32, shape (n, D, 3 * rate)
            Conditioned derivations of the last three seconds, µV; rows that a bed does not have are not read.
        clean : ndarray of bool, shape (n, 3, D)
            Which of them can be trusted in each of these seconds.
        mirrored : ndarray of bool, shape (n, D)
            Which have their mirror image on the other side.
        """
        lately: BoolArray = np.all(clean[:, -2:], axis=1)
        self.power[slots, seconds % (WELCH_S - 1)] = _side_spectra(derived, lately, mirrored & lately)
        always: BoolArray = np.all(clean, axis=1)
        blocks = np.where(always[:, :, None], _rectified(derived), np.nan)
        self.blocks[slots, seconds % AEEG_S] = blocks
        quiet = np.where(lately, _suppressed(derived[:, :, -WINDOW:]), np.nan)
        self.suppressed[slots, seconds % SUPPRESSION_S] = np.stack(
            [_mean(quiet[:, rows], 1, 1) for rows in _MEMBERS], axis=1
        )
        return self._read(slots, seconds)

    def _read(self, slots: IntArray, seconds: IntArray) -> TrendValues:
        spectra = _mean(self.power[slots], 1, LEAST_WINDOWS)
        low, high = self._margins(slots, seconds)
        left, right = spectra[:, 3, _bins(SYMMETRY_HZ)], spectra[:, 4, _bins(SYMMETRY_HZ)]
        return TrendValues(
            low,
            high,
            spectral_edge(spectra[:, :3]),
            np.stack(
                [
                    BIN_HZ * spectra[:, :3, _bins((low_hz, high_hz - BIN_HZ))].sum(axis=2)
                    for low_hz, high_hz in BANDS.values()
                ],
                axis=2,
            ),
            _mean(self.suppressed[slots], 1, SUPPRESSION_LEAST_S),
            _relative(right.sum(axis=1), left.sum(axis=1)),
            np.abs(_relative(right, left)).mean(axis=1),
        )

    def _margins(self, slots: IntArray, seconds: IntArray) -> tuple[WideFloatArray, WideFloatArray]:
        order = (seconds[:, None] + 1 + np.arange(AEEG_S)) % AEEG_S
        blocks = self.blocks[slots[:, None], order].transpose(0, 2, 1, 3)
        line = blocks.reshape(*blocks.shape[:2], -1)
        half = _BLOCKS // 2
        smooth = sum(line[:, :, at : line.shape[2] - half + 1 + at] for at in range(half)) / half
        # A sine's rectified mean is 2 / pi of its peak, which is half its peak-to-peak.
        margins = np.pi * quantiles(np.asarray(smooth), AEEG_QUANTILES, AEEG_LEAST_S * _BLOCKS - half + 1)
        sides = [quantiles(margins[:, :, rows], (0.5,), 1)[0] for rows in _MEMBERS]
        both = np.stack(sides, axis=2)
        return both[0], both[1]


def spectral_edge(spectra: WideFloatArray) -> WideFloatArray:
    """Frequency below which :data:`EDGE_SHARE` of the power within :data:`EDGE_HZ` lies; last axis: bins."""
    inside = spectra[..., _bins(EDGE_HZ)]
    total = inside.sum(axis=-1, keepdims=True)
    reached = np.cumsum(inside, axis=-1) / np.where(total > 0, total, np.nan)
    at = (reached >= EDGE_SHARE).argmax(axis=-1)[..., None]
    after = np.take_along_axis(reached, at, axis=-1)
    before = np.where(at > 0, np.take_along_axis(reached, np.maximum(at - 1, 0), axis=-1), 0.0)
    part = (EDGE_SHARE - before) / np.where(after > before, after - before, np.nan)
    # A bin stands for the quarter of a hertz on each side of it.
    return np.asarray(EDGE_HZ[0] + BIN_HZ * (at + part - 0.5))[..., 0]


def quantiles(values: FloatArray | WideFloatArray, shares: tuple[float, ...], least: int) -> WideFloatArray:
    """Quantiles along the last axis of what is no NaN, as ``numpy.percentile``; NaN for less than ``least``.

    Returns
    -------
    ndarray of float64, shape (n_shares, ...)
    """
    # NaNs are sorted behind.
    ordered = np.sort(values, axis=-1)
    count = (~np.isnan(values)).sum(axis=-1)
    last = np.maximum(count - 1, 0)
    found = []
    for share in shares:
        at = share * last
        floor = np.floor(at).astype(np.int64)
        low, high = (
            np.asarray(np.take_along_axis(ordered, place[..., None], axis=-1)[..., 0], dtype=np.float64)
            for place in (floor, np.minimum(floor + 1, last))
        )
        found.append(np.where(count >= least, low + (at - floor) * (high - low), np.nan))
    return np.stack(found)


def _bins(band_hz: tuple[float, float]) -> slice:
    """Bins from one frequency to another one, both within."""
    return slice(round(band_hz[0] / BIN_HZ), round(band_hz[1] / BIN_HZ) + 1)


def _mean(values: FloatArray, axis: int, least: int) -> WideFloatArray:
    """Mean of what is no NaN, NaN where there are less than ``least``."""
    there = ~np.isnan(values)
    count = there.sum(axis=axis)
    total = np.where(there, values, np.float32(0)).sum(axis=axis, dtype=np.float64)
    return np.asarray(np.where(count >= least, total / np.maximum(count, 1), np.nan))


def _relative(one: WideFloatArray, other: WideFloatArray) -> WideFloatArray:
    total = one + other
    return np.asarray((one - other) / np.where(total > 0, total, np.nan))


@lru_cache(maxsize=1)
def _window() -> tuple[FloatArray, float]:
    window = signal.windows.hann(WINDOW, sym=False).astype(np.float32)
    return window, 2.0 / (RATE * float(np.square(window).sum()))


def _side_spectra(derived: FloatArray, clean: BoolArray, mirrored: BoolArray) -> FloatArray:
    """One-sided power density of the last two seconds, µV²/Hz, mean over each side; shape (n, 5, BINS)."""
    window, scale = _window()
    last = derived[:, :, -WINDOW:]
    spectrum = fft.rfft((last - last.mean(axis=2, keepdims=True)) * window, axis=2)[:, :, :BINS]
    power = (np.square(spectrum.real) + np.square(spectrum.imag)) * np.float32(scale)
    power[:, :, 0] /= 2
    taken = np.zeros((len(derived), 5, derived.shape[1]), dtype=np.float32)
    for side, rows in enumerate((*_MEMBERS, LEFT, RIGHT)):
        taken[:, side, rows] = (clean if side < len(_MEMBERS) else mirrored)[:, rows]
    count = taken.sum(axis=2, keepdims=True)
    # What cannot be trusted may be infinite for all one knows: it is left out, not multiplied by 0.
    sums = taken @ np.where(clean[:, :, None], power, np.float32(0))
    return np.asarray(np.where(count > 0, sums / np.maximum(count, 1), np.nan), dtype=np.float32)


@lru_cache(maxsize=1)
def aeeg_taps() -> WideFloatArray:
    """Linear-phase filter of the aEEG: its gain rises by 12 dB a decade from 2 to 15 Hz."""
    low, high = AEEG_HZ
    inside = np.linspace(low, high, 27)
    gains = (inside / 10.0) ** (AEEG_SLOPE_DB / 20.0)
    points = np.concatenate([[0.0, low - 0.5], inside, [high + 1.0, RATE / 2]])
    return np.asarray(signal.firwin2(_TAPS, points, np.concatenate([[0, 0], gains, [0, 0]]), fs=RATE))


@lru_cache(maxsize=1)
def _aeeg_matrix() -> FloatArray:
    """The filter as a matrix from three seconds to one, shape (3 * RATE, RATE)."""
    taps = aeeg_taps()
    matrix = np.zeros((SPAN_S * RATE, RATE))
    for out in range(RATE):
        matrix[out : out + _TAPS, out] = taps[::-1]
    return matrix.astype(np.float32)


def _rectified(derived: FloatArray) -> FloatArray:
    """Means of the filtered, rectified second that ended a second ago; shape (n, D, 8)."""
    filtered = np.abs(derived @ _aeeg_matrix())
    return np.asarray(filtered.reshape(*filtered.shape[:2], _BLOCKS, -1).mean(axis=3))


def _suppressed(last: FloatArray) -> FloatArray:
    """Share of the second that ended half a second ago that lies in quiet stretches; shape (n, D)."""
    least = round(SUPPRESSED_S * RATE)
    quiet = np.abs(last) <= SUPPRESSED_UV
    so_far = np.zeros((*last.shape[:2], last.shape[2] + 1), dtype=np.int16)
    np.cumsum(quiet, axis=2, dtype=np.int16, out=so_far[:, :, 1:])
    begins = so_far[:, :, least:] - so_far[:, :, :-least] == least
    stretches = np.zeros((*last.shape[:2], begins.shape[2] + 1), dtype=np.int16)
    np.cumsum(begins, axis=2, dtype=np.int16, out=stretches[:, :, 1:])
    # A sample is within a quiet stretch where one of those of the least length that hold it begins.
    first = least
    end = np.arange(first, first + RATE)
    inside = stretches[:, :, end + 1] > stretches[:, :, end + 1 - least]
    return np.asarray(inside.mean(axis=2, dtype=np.float32))
