"""Log-mel spectrogram of sounds: one front end for recordings and for streams of many beds.

Frame ``k`` covers samples ``[k * hop, k * hop + window)``. Nothing is padded, so a stream that keeps its last
``window - hop`` samples gives the frames of the whole signal. Everything is computed in double precision: a
quiet band beside a loud one would otherwise drown in rounding.

Mel scale after O'Shaughnessy (1987), 2595 log10(1 + f / 700); triangles of height 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]

_BLOCK_FRAMES: Final = 8_192
"""Frames that are transformed at once; bounds the memory that a long recording takes."""


@lru_cache(maxsize=16)
def _hann(window: int) -> WideFloatArray:
    """Periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def _edges_hz(n_mels: int, low_hz: float, high_hz: float) -> WideFloatArray:
    lowest, highest = (2_595.0 * np.log10(1.0 + edge_hz / 700.0) for edge_hz in (low_hz, high_hz))
    mels = np.linspace(lowest, highest, n_mels + 2)
    return np.asarray(700.0 * (10.0 ** (mels / 2_595.0) - 1.0), dtype=np.float64)


@lru_cache(maxsize=16)
def _bank(rate_hz: float, n_fft: int, n_mels: int, low_hz: float, high_hz: float) -> WideFloatArray:
    """Triangles, shape (bins, bands)."""
    bins_hz = np.arange(n_fft // 2 + 1)[:, None] * rate_hz / n_fft
    edges_hz = _edges_hz(n_mels, low_hz, high_hz)
    rising = (bins_hz - edges_hz[:-2]) / np.diff(edges_hz)[:-1]
    falling = (edges_hz[2:] - bins_hz) / np.diff(edges_hz)[1:]
    return np.maximum(0.0, np.minimum(rising, falling))


@dataclass(frozen=True, slots=True)
class MelSpec:
    """What a log-mel spectrogram is made with; stands in model cards.

    Parameters
    ----------
    rate_hz : float
        Sampling rate of the sound.
    window, hop : int
        Samples of a frame (periodic Hann) and between frames.
    n_fft : int
        Length of the transform; the frame is filled up with zeros, so that narrow bands still hold bins.
    n_mels : int
        Bands.
    low_hz, high_hz : float
        Where the lowest band begins and the highest ends.
    floor : float
        Added to a band's power before the logarithm. A sine of amplitude 1 (full scale) gives power 1 at
        the centre of a band.

    Raises
    ------
    ValueError
        The numbers do not fit together.
    """

    rate_hz: float
    window: int
    hop: int
    n_fft: int
    n_mels: int
    low_hz: float
    high_hz: float
    floor: float = 1e-10

    def __post_init__(self) -> None:
        if not 0 < self.hop <= self.window <= self.n_fft:
            raise ValueError(
                f"hop={self.hop}, window={self.window}, n_fft={self.n_fft}: need 0 < hop <= window <= n_fft"
            )
        if not 0 <= self.low_hz < self.high_hz <= self.rate_hz / 2:
            raise ValueError(
                f"low_hz={self.low_hz}, high_hz={self.high_hz}: need 0 <= low < high <= {self.rate_hz / 2:g},"
                f" half of rate_hz"
            )
        if not self.floor > 0 or self.n_mels < 1:
            raise ValueError(f"floor={self.floor}, n_mels={self.n_mels}: both must be above 0")
        if not np.all(_bank(self.rate_hz, self.n_fft, self.n_mels, self.low_hz, self.high_hz).any(axis=0)):
            raise ValueError(
                f"n_mels={self.n_mels}: a band holds no bin of n_fft={self.n_fft}; take fewer bands or a "
                f"longer n_fft"
            )

    @property
    def frame_hz(self) -> float:
        """Frames per second."""
        return self.rate_hz / self.hop

    def n_frames(self, n_samples: int) -> int:
        """Whole frames in ``n_samples`` samples."""
        return max(0, (n_samples - self.window) // self.hop + 1)

    def n_samples(self, n_frames: int) -> int:
        """Samples that ``n_frames`` frames cover."""
        return (n_frames - 1) * self.hop + self.window if n_frames else 0

    def band_edges_hz(self) -> WideFloatArray:
        """Return where bands begin, peak and end: band ``m`` spans entries ``m`` to ``m + 2``."""
        return _edges_hz(self.n_mels, self.low_hz, self.high_hz)


LUNG_MEL: Final = MelSpec(
    rate_hz=4_000.0, window=256, hop=80, n_fft=512, n_mels=48, low_hz=60.0, high_hz=1_900.0
)
"""Lung sounds: 64 ms every 20 ms, long enough for a wheeze's tone, short enough for a crackle's click."""

HEART_MEL: Final = MelSpec(
    rate_hz=4_000.0, window=192, hop=40, n_fft=512, n_mels=32, low_hz=25.0, high_hz=400.0
)
"""Heart sounds: 48 ms every 10 ms. Half of a Hann window's weight lies within its middle 18 ms, so the onset
of S1 or S2 stands out well within the 40 ms by which segmentations are judged; a longer window blurs it, a
shorter one no longer parts 30 from 80 Hz."""


@lru_cache(maxsize=16)
def _bins(spec: MelSpec) -> slice:
    """Bins that lie in a band."""
    bank = _bank(spec.rate_hz, spec.n_fft, spec.n_mels, spec.low_hz, spec.high_hz)
    inside = np.flatnonzero(bank.any(axis=1))
    return slice(int(inside[0]), int(inside[-1]) + 1)


@lru_cache(maxsize=16)
def _weights(spec: MelSpec) -> WideFloatArray:
    """Triangles scaled so that a sine of amplitude 1 gives power 1 in its bin, shape (bins in use, bands)."""
    bank = _bank(spec.rate_hz, spec.n_fft, spec.n_mels, spec.low_hz, spec.high_hz)[_bins(spec)]
    return np.asarray(bank * (2.0 / _hann(spec.window).sum()) ** 2, dtype=np.float64)


def log_mel(samples: npt.NDArray[np.floating], spec: MelSpec) -> FloatArray:
    """Log-mel spectrogram of whole signals.

    Parameters
    ----------
    samples : ndarray, shape (..., n_samples)
        Sound, full scale ±1.
    spec : MelSpec
        What to do.

    Returns
    -------
    ndarray of float32, shape (..., n_mels, n_frames)
        Natural logarithm of power and floor.
    """
    *lead, n_samples = samples.shape
    n_frames = spec.n_frames(n_samples)
    out = np.empty((*lead, spec.n_mels, n_frames), dtype=np.float32)
    if out.size == 0:
        return out
    framed = np.lib.stride_tricks.sliding_window_view(samples, spec.window, axis=-1)[..., :: spec.hop, :]
    bins, weights = _bins(spec), _weights(spec)
    block = max(1, _BLOCK_FRAMES // int(np.prod(lead, dtype=np.int64)))
    for begin in range(0, n_frames, block):
        part = framed[..., begin : begin + block, :]
        frames = np.zeros((*part.shape[:-1], spec.n_fft))
        np.multiply(part, _hann(spec.window), out=frames[..., : spec.window])
        spectrum = fft.rfft(frames, axis=-1, overwrite_x=True)[..., bins]
        power = spectrum.real**2 + spectrum.imag**2
        bands = np.log(power.reshape(-1, len(weights)) @ weights + spec.floor)
        out[..., begin : begin + block] = np.moveaxis(bands.reshape(*part.shape[:-1], -1), -1, -2)
    return out
    framed = np.lib.stride_tricks.sliding_window_view(samples, spec.window, axis=-1)[..., :: spec.hop, :]
    block = max(1, _BLOCK_FRAMES // int(np.prod(lead, dtype=np.int64)))
    for begin in range(0, n_frames, block):
        frames = framed[..., begin : begin + block, :] * _hann(spec.window)
        spectrum = fft.rfft(frames, spec.n_fft, axis=-1)
        power = spectrum.real**2 + spectrum.imag**2
        bands = np.log(power @ _weights(spec) + spec.floor)
        out[..., begin : begin + block] = np.moveaxis(bands, -1, -2)
    return out
