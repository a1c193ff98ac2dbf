"""Leveled log-mel windows varied as other devices, chests and rooms would: SpecAugment and more.

SpecAugment: Park et al., Interspeech 2019. Shape legend: M mel bands, T frames.
"""

from __future__ import annotations

import numpy as np

from models.sounds_level import SCALE
from training.sound_config import SoundAugment
from training.sources import FloatArray, WideFloatArray

KNOTS = 5


def _curve(n_mels: int, at: WideFloatArray) -> FloatArray:
    """Smooth course over the bands through values at evenly spaced knots, (M, 1)."""
    places = np.linspace(0, n_mels - 1, len(at))
    return np.interp(np.arange(n_mels), places, at)[:, None].astype(np.float32)


def vary(
    window_MT: FloatArray, config: SoundAugment, frame_hz: float, rng: np.random.Generator
) -> FloatArray:
    """One window varied at random; the place of nothing in time is moved.

    Parameters
    ----------
    window_MT : ndarray of float32, shape (M, T)
        As :func:`training.sound_frames.frames_of` gives it.
    config : SoundAugment
        How much.
    frame_hz : float
        Frames per second.
    rng : numpy.random.Generator
        Drawn from.
    """
    n_mels, n_frames = window_MT.shape
    shift = int(rng.integers(-config.band_shift, config.band_shift + 1))
    if shift:
        rows = np.clip(np.arange(n_mels) - shift, 0, n_mels - 1)
        window_MT = window_MT[rows]
    tilt = _curve(n_mels, rng.normal(0, config.tilt, KNOTS))
    out = window_MT + tilt + np.float32(rng.normal(0, config.level))
    if rng.random() < config.floor_probability:
        floor = _curve(n_mels, rng.uniform(*config.floor) + rng.normal(0, 0.3, KNOTS))
        # Powers of unrelated sounds add; the floor itself is as restless as any noise.
        noise = floor + np.float32(0.25) * rng.standard_normal(out.shape, dtype=np.float32)
        out = np.logaddexp(np.float32(SCALE) * out, np.float32(SCALE) * noise) / np.float32(SCALE)
    for _ in range(config.band_masks):
        width = int(rng.integers(0, config.band_mask + 1))
        first = int(rng.integers(0, n_mels - width + 1))
        out[first : first + width] = 0.0
    for _ in range(config.time_masks):
        width = int(rng.integers(0, round(config.time_mask_s * frame_hz) + 1))
        first = int(rng.integers(0, max(1, n_frames - width + 1)))
        out[:, first : first + width] = 0.0
    return np.asarray(out, dtype=np.float32)
