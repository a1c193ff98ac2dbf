"""Log-mel spectrogram of sounds: one front end for recordings and for streams of many beds.

Column ``k`` is made of samples ``[k * hop, k * hop + span)``, where ``span`` is that of the longest frame;
the others lie in its middle. Nothing is padded, so a stream that keeps its last ``span - hop`` samples gives
the columns of the whole signal. Everything is computed in double precision: a quiet band beside a loud one
would otherwise drown in rounding.

Mel scale after O'Shaughnessy (1987), 2595 log10(1 + f / 700); triangles of height 1.

One length of frame serves no two sounds: a wheeze is a line that a quarter of a second resolves, a crackle a
click of 5 to 15 ms. Two more pictures of the same bands and columns can therefore lie above the first: how
far a band stands out of its neighbourhood in long frames, and how far the loudest of a column's short frames
stands out of them all. Both are ratios, which no gain of a device shifts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import fft

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]

_BLOCK_FRAMES: Final = 8_192
"""Frames that are transformed at once; bounds the memory that a long recording takes."""

SHORTS: Final = 8
"""Short frames a column."""
SHORT_BANDS: Final = 3
"""Bands of the picture that share one of short frames, which tell fewer apart."""
AROUND_HZ: Final = 100.0
"""A line stands out of what lies so far to both its sides."""
FAINT: Final = 1e-12
"""Power below which nothing stands out: less than 16-bit samples hold."""


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
    long, short : int
        Samples of the frames in which lines, and clicks, stand out; 0: no such picture.

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
    long: int = 0
    short: int = 0

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
        self._check_pictures()

    def _check_pictures(self) -> None:
        if self.long and (self.long < self.window or not np.all(np.diff(_borders(self)) > 0)):
            raise ValueError(
                f"long={self.long}: need window={self.window} at least, a bin in each of {self.n_mels} bands"
            )
        if not self.short:
            return
        if self.hop % SHORTS or self.n_mels % SHORT_BANDS or self.short + self.hop > self.span:
            raise ValueError(
                f"short={self.short}: need hop={self.hop} a multiple of {SHORTS}, n_mels={self.n_mels} one "
                f"of {SHORT_BANDS}, and short + hop of at most {self.span}, the longest frame"
            )
        if not np.all(_short_bank(self).any(axis=0)):
            raise ValueError(f"short={self.short}: too short, a band holds no bin of {4 * self.short}")

    @property
    def span(self) -> int:
        """Samples that a column is made of."""
        return max(self.window, self.long)

    @property
    def early(self) -> int:
        """Columns that are complete with a stretch of sound, but begin before it."""
        return -(-(self.span - self.hop) // self.hop)

    @property
    def lead_s(self) -> float:
        """How far into a column its frame of levels begins."""
        return (self.span - self.window) // 2 / self.rate_hz

    def levels(self) -> MelSpec:
        """The spectrogram without the pictures above it."""
        return replace(self, long=0, short=0)

    @property
    def n_rows(self) -> int:
        """Rows of a column: the bands, once a picture."""
        return self.n_mels * (1 + (self.long > 0) + (self.short > 0))

    @property
    def frame_hz(self) -> float:
        """Frames per second."""
        return self.rate_hz / self.hop

    def n_frames(self, n_samples: int) -> int:
        """Whole frames in ``n_samples`` samples."""
        return max(0, (n_samples - self.span) // self.hop + 1)

    def n_samples(self, n_frames: int) -> int:
        """Samples that ``n_frames`` frames cover."""
        return (n_frames - 1) * self.hop + self.span if n_frames else 0

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


@lru_cache(maxsize=16)
def _borders(spec: MelSpec) -> npt.NDArray[np.int64]:
    """First bins of each band's own part of a long frame's spectrum, and the bin after the last's."""
    edges_hz = spec.band_edges_hz()
    between_hz = (edges_hz[1:-2] + edges_hz[2:-1]) / 2
    limits_hz = np.concatenate([edges_hz[:1], between_hz, edges_hz[-1:]])
    return np.ceil(limits_hz * spec.long / spec.rate_hz).astype(np.int64)


@lru_cache(maxsize=16)
def _neighbourhood(spec: MelSpec) -> WideFloatArray:
    """Weights of a long frame's bins in the mean around each band, shape (bins, bands)."""
    bins_hz = np.arange(spec.long // 2 + 1)[:, None] * spec.rate_hz / spec.long
    near = np.abs(bins_hz - spec.band_edges_hz()[1:-1]) <= AROUND_HZ
    return np.asarray(near / near.sum(axis=0), dtype=np.float64)


@lru_cache(maxsize=16)
def _tapers(spec: MelSpec) -> WideFloatArray:
    """Hann window of long frames, such that a sine of amplitude 1 has power 1 in its bin."""
    return np.asarray(_hann(spec.long) * (2.0 / _hann(spec.long).sum()), dtype=np.float64)


@lru_cache(maxsize=16)
def _short_bank(spec: MelSpec) -> WideFloatArray:
    return _bank(spec.rate_hz, 4 * spec.short, spec.n_mels // SHORT_BANDS, spec.low_hz, spec.high_hz)


@lru_cache(maxsize=16)
def _short_waves(spec: MelSpec) -> tuple[WideFloatArray, WideFloatArray]:
    """Cosines and sines of short frames' bins under their Hann window, (short, 2 bins), and the bins' bands.

    Of so few samples a product with them is quicker than a transform of each frame.
    """
    used = np.flatnonzero(_short_bank(spec).any(axis=1))
    turns = np.outer(np.arange(spec.short), used) / (4 * spec.short)
    waves = np.exp(-2j * np.pi * turns) * (_hann(spec.short) * (2.0 / _hann(spec.short).sum()))[:, None]
    both = np.concatenate([waves.real, waves.imag], axis=1)
    return np.asarray(both, dtype=np.float64), _short_bank(spec)[used]


def _levels(columns: npt.NDArray[np.floating], spec: MelSpec) -> WideFloatArray:
    """Logarithm of the bands' power in columns (..., span), shape (..., bands)."""
    first = (spec.span - spec.window) // 2
    frames = np.zeros((*columns.shape[:-1], spec.n_fft))
    middle = columns[..., first : first + spec.window]
    np.multiply(middle, _hann(spec.window), out=frames[..., : spec.window])
    spectrum = fft.rfft(frames, axis=-1, overwrite_x=True)[..., _bins(spec)]
    power, weights = spectrum.real**2 + spectrum.imag**2, _weights(spec)
    bands = np.log(power.reshape(-1, len(weights)) @ weights + spec.floor)
    return np.asarray(bands.reshape(*columns.shape[:-1], -1), dtype=np.float64)


def _standing_out(strongest: WideFloatArray, mean: WideFloatArray) -> WideFloatArray:
    """Ratio of powers in nepers; 0 where both are too faint."""
    return np.asarray(np.log((strongest + FAINT) / (mean + FAINT)), dtype=np.float64)


def _lines(columns: npt.NDArray[np.floating], spec: MelSpec) -> WideFloatArray:
    """How far the strongest bin of each band stands out of its neighbourhood, in nepers of power."""
    frames = np.multiply(columns[..., : spec.long], _tapers(spec), dtype=np.float64)
    spectrum = fft.rfft(frames, axis=-1, overwrite_x=True)
    power = spectrum.real**2 + spectrum.imag**2
    borders, around = _borders(spec), _neighbourhood(spec)
    strongest = np.maximum.reduceat(power[..., : borders[-1]], borders[:-1], axis=-1)
    mean = (power.reshape(-1, len(around)) @ around).reshape(strongest.shape)
    return _standing_out(strongest, mean)


def _clicks(columns: npt.NDArray[np.floating], spec: MelSpec) -> WideFloatArray:
    """How far the loudest of the short frames in a column's middle stands out of all of them."""
    pace = spec.hop // SHORTS
    first = (spec.span - spec.hop + pace - spec.short) // 2
    part = columns[..., first : first + spec.short + spec.hop - pace]
    framed = np.lib.stride_tricks.sliding_window_view(part, spec.short, axis=-1)[..., ::pace, :]
    waves, bank = _short_waves(spec)
    squares = (framed.astype(np.float64).reshape(-1, spec.short) @ waves) ** 2
    bands = ((squares[:, : len(bank)] + squares[:, len(bank) :]) @ bank).reshape(*framed.shape[:-1], -1)
    return np.repeat(_standing_out(bands.max(axis=-2), bands.mean(axis=-2)), SHORT_BANDS, axis=-1)


def log_mel(samples: npt.NDArray[np.floating], spec: MelSpec) -> FloatArray:
    """Log-mel spectrogram of whole signals, and what stands out above it where the spec asks for it.

    Parameters
    ----------
    samples : ndarray, shape (..., n_samples)
        Sound, full scale ±1.
    spec : MelSpec
        What to do.

    Returns
    -------
    ndarray of float32, shape (..., n_rows, n_frames)
        Natural logarithms: of power and floor (``n_mels`` rows), then of the ratios of lines and of clicks.
    """
    *lead, n_samples = samples.shape
    n_frames = spec.n_frames(n_samples)
    out = np.empty((*lead, spec.n_rows, n_frames), dtype=np.float32)
    if out.size == 0:
        return out
    pictures = [_levels, *([_lines] if spec.long else []), *([_clicks] if spec.short else [])]
    framed = np.lib.stride_tricks.sliding_window_view(samples, spec.span, axis=-1)[..., :: spec.hop, :]
    block = max(1, _BLOCK_FRAMES // int(np.prod(lead, dtype=np.int64)))
    for begin in range(0, n_frames, block):
        columns = framed[..., begin : begin + block, :]
        for i, picture in enumerate(pictures):
            rows = slice(i * spec.n_mels, (i + 1) * spec.n_mels)
            out[..., rows, begin : begin + block] = np.moveaxis(picture(columns, spec), -1, -2)
    return out
