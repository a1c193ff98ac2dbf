"""Leveled log-mel windows varied as other devices, chests and rooms would: SpecAugment and more.

SpecAugment: Park et al., Interspeech 2019. Shape legend: P pictures of the same bands (levels, lines,
clicks), M mel bands, T frames; a window holds the P pictures one above the other.
"""

from __future__ import annotations

import numpy as np

from models.sounds_level import RATIO_SCALE, SCALE
from training.sound_config import SoundAugment
from training.sources import FloatArray, WideFloatArray

KNOTS = 5


def _curve(n_mels: int, at: WideFloatArray) -> FloatArray:
    """Smooth course over the bands through values at evenly spaced knots, (M, 1)."""
    places = np.linspace(0, n_mels - 1, len(at))
    return np.interp(np.arange(n_mels), places, at)[:, None].astype(np.float32)


def added(window_PMT: FloatArray, other_PMT: FloatArray) -> FloatArray:
    """Two unrelated sounds heard together, as leveled pictures of either tell it.

    Powers add. What stands out of one of them stands out of the sum by its share of the power: ratios of a
    sum are the mean of both sounds' ratios, weighted by the shares.

    Parameters
    ----------
    window_PMT, other_PMT : ndarray of float32, shape (P, M, T)
        ``other`` may hold the levels alone: noise, which nothing stands out of.
    """
    level, below = np.float32(SCALE) * window_PMT[0], np.float32(SCALE) * other_PMT[0]
    both = np.logaddexp(level, below)
    out = np.empty_like(window_PMT)
    out[0] = both / np.float32(SCALE)
    if len(window_PMT) > 1:
        share = np.exp(level - both)
        ratios = np.exp(np.float32(RATIO_SCALE) * window_PMT[1:])
        others = np.exp(np.float32(RATIO_SCALE) * other_PMT[1:]) if len(other_PMT) > 1 else np.float32(1.0)
        out[1:] = np.log(share * ratios + (1 - share) * others) / np.float32(RATIO_SCALE)
    return out


def vary(
    window_MT: FloatArray,
    config: SoundAugment,
    frame_hz: float,
    rng: np.random.Generator,
    pictures: int = 1,
) -> FloatArray:
    """One window varied at random; the place of nothing in time is moved.

    Parameters
    ----------
    window_MT : ndarray of float32, shape (P * M, T)
        As :func:`training.sound_frames.frames_of` gives it.
    config : SoundAugment
        How much.
    frame_hz : float
        Frames per second.
    rng : numpy.random.Generator
        Drawn from.
    pictures : int
        That lie one above the other.
    """
    window_PMT = window_MT.reshape(pictures, -1, window_MT.shape[1])
    _, n_mels, n_frames = window_PMT.shape
    shift = int(rng.integers(-config.band_shift, config.band_shift + 1))
    if shift:
        rows = np.clip(np.arange(n_mels) - shift, 0, n_mels - 1)
        window_PMT = window_PMT[:, rows]
    tilt = _curve(n_mels, rng.normal(0, config.tilt, KNOTS))
    out = window_PMT.astype(np.float32)
    out[0] += tilt + np.float32(rng.normal(0, config.level))
    if rng.random() < config.floor_probability:
        floor = _curve(n_mels, rng.uniform(*config.floor) + rng.normal(0, 0.3, KNOTS))
        # The floor itself is as restless as any noise.
        noise = floor + np.float32(0.25) * rng.standard_normal((1, n_mels, n_frames), dtype=np.float32)
        out = added(out, noise)
    for _ in range(config.band_masks):
        width = int(rng.integers(0, config.band_mask + 1))
        first = int(rng.integers(0, n_mels - width + 1))
        out[:, first : first + width] = 0.0
    for _ in range(config.time_masks):
        width = int(rng.integers(0, round(config.time_mask_s * frame_hz) + 1))
        first = int(rng.integers(0, max(1, n_frames - width + 1)))
        out[..., first : first + width] = 0.0
    return out.reshape(window_MT.shape)
