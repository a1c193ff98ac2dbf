"""What can be measured of any signal, and the picture of a whole sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inference.analysis_findings import SOUND_STATEMENT, ChannelFact, SignalFacts, SoundFindings
from ingest.recording import Signal
from ingest.types import FloatArray

FRAME_S: Final = 0.05
SILENT_DB: Final = -60.0
FULL_SCALE: Final = 0.999
ENVELOPE_BINS: Final = 1_500
SPECTRUM_COLUMNS: Final = 900
SPECTRUM_ROWS: Final = 128
SPECTRUM_DB: Final = 70.0
"""Range of the spectrogram below its loudest place."""

_FLOOR: Final = 1e-9

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SoundPicture:
    """A sound to look at.

    Attributes
    ----------
    low, high : ndarray, shape (n_bins,)
        Envelope of the first channel.
    spectrum : ndarray of uint8, shape (n_rows, n_columns)
        0 to 255 for :data:`SPECTRUM_DB` below the loudest place up to it; row 0 is the lowest frequency.
    top_hz, duration_s : float
        Upper edge and length.
    """

    low: FloatArray
    high: FloatArray
    spectrum: Picture
    top_hz: float
    duration_s: float


def facts_of(signal: Signal, statement: str) -> SignalFacts:
    """Measure each channel of a signal."""
    return SignalFacts(
        str(signal.kind),
        [_channel(name, signal.samples[:, at], signal.fs_hz) for at, name in enumerate(signal.channels)],
        signal.unit,
        signal.fs_hz,
        round(signal.duration_s, 3),
        statement,
    )


def _channel(name: str, samples: FloatArray, fs_hz: float) -> ChannelFact:
    there = samples[np.isfinite(samples)].astype(np.float64)
    if len(there) == 0:
        return ChannelFact(name, 1.0, 0.0, 0.0, 0.0, 0.0)
    step = max(1, round(fs_hz))
    seconds = there[: len(there) // step * step].reshape(-1, step)
    # A second whose samples are all alike.
    flat = float((np.ptp(seconds, axis=1) == 0).mean()) if len(seconds) else 0.0
    return ChannelFact(
        name,
        round(1.0 - len(there) / len(samples), 4),
        round(flat, 4),
        float(there.min()),
        float(there.max()),
        round(float(there.std()), 6),
    )


def sound_findings(signal: Signal, statement: str = SOUND_STATEMENT) -> SoundFindings:
    """Level, clipping and silence of a sound, over its channels; full scale is 1."""
    samples = np.nan_to_num(signal.samples).astype(np.float64)
    size = max(1, round(FRAME_S * signal.fs_hz))
    frames = samples[: len(samples) // size * size].reshape(-1, size, samples.shape[1])
    levels = 20 * np.log10(np.sqrt((frames**2).mean(axis=1)) + _FLOOR)
    return SoundFindings(
        str(signal.kind),
        _db(float(np.abs(samples).max())),
        _db(float(np.sqrt((samples**2).mean()))),
        round(float((np.abs(samples) >= FULL_SCALE).mean()), 6),
        round(float((levels < SILENT_DB).mean()), 4),
        statement,
    )


def _db(level: float) -> float:
    return round(float(20 * np.log10(level + _FLOOR)), 1)


def sound_picture(signal: Signal) -> SoundPicture:
    """Envelope and log spectrogram of the first channel, small enough to send."""
    line = np.nan_to_num(signal.samples[:, 0])
    edges = np.unique(np.linspace(0, len(line), ENVELOPE_BINS + 1).astype(int)[:-1])
    # Some 32 ms each, as listeners of lungs and hearts use; columns are spread over the whole.
    size = max(16, min(len(line), int(2 ** round(np.log2(max(2.0, 0.032 * signal.fs_hz))))))
    starts = np.linspace(0, len(line) - size, min(SPECTRUM_COLUMNS, max(1, len(line) // (size // 4))))
    frames = line[np.maximum(starts, 0).astype(int)[:, None] + np.arange(size)] * np.hanning(size + 1)[:-1]
    power = 10 * np.log10(np.abs(np.fft.rfft(frames, axis=1)).T ** 2 + 1e-12)
    rows = np.unique(np.linspace(0, len(power), min(SPECTRUM_ROWS, len(power)) + 1).astype(int)[:-1])
    shown = np.maximum.reduceat(power, rows, axis=0)
    scaled = np.clip((shown - shown.max()) / SPECTRUM_DB + 1, 0, 1)
    return SoundPicture(
        np.minimum.reduceat(line, edges),
        np.maximum.reduceat(line, edges),
        np.round(scaled * 255).astype(np.uint8),
        signal.fs_hz / 2,
        signal.duration_s,
    )
