"""Variation of shock windows: time, gain, polarity, other devices' filters, noise, electrode jumps."""

from __future__ import annotations

import numpy as np

from training.shock_config import ShockAugment
from training.shock_records import FAST_BPM, OTHER, VF, VT, WINDOW_S
from training.shock_windows import ShockWindows
from training.sources import FloatArray, IntArray, WideFloatArray


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], size: int) -> WideFloatArray:
    """Draws between the bounds, uniform in the logarithm."""
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), size))


def cut(signal: FloatArray, start: IntArray, scale: WideFloatArray, length: int) -> FloatArray:
    """Windows of ``length`` samples that run through ``scale`` times as many, linear between samples."""
    place = start[:, None] + np.arange(length) * scale[:, None]
    left = np.minimum(place.astype(np.int64), len(signal) - 2)
    part = (place - left).astype(np.float32)
    return np.asarray(signal[left] * (1 - part) + signal[left + 1] * part, dtype=np.float32)


def _filters(rng: np.random.Generator, x: FloatArray, augment: ShockAugment, rate_hz: float) -> FloatArray:
    """First-order low and high cuts in the frequency domain, as other devices have."""
    n, length = x.shape
    hz = np.fft.rfftfreq(length, 1 / rate_hz)[None]
    low, high = (
        log_uniform(rng, augment.low_cut_hz, n)[:, None],
        log_uniform(rng, augment.high_cut_hz, n)[:, None],
    )
    shape = (1j * hz / low) / (1 + 1j * hz / low) / (1 + 1j * hz / high)
    return np.fft.irfft(np.fft.rfft(x) * shape, length).astype(np.float32)


def _jumps(rng: np.random.Generator, n: int, length: int, rate_hz: float) -> FloatArray:
    """A step of the electrode's offset as the 0.5 Hz high-pass leaves it, (n, length), height 1."""
    since = np.arange(length)[None] - rng.integers(0, length, n)[:, None]
    decay = log_uniform(rng, (0.1, 0.6), n)[:, None] * rate_hz
    sign = rng.choice([-1.0, 1.0], n)[:, None]
    return np.where(since >= 0, sign * np.exp(-np.maximum(since, 0) / decay), 0.0).astype(np.float32)


def vary(
    rng: np.random.Generator,
    windows: ShockWindows,
    may_hold: IntArray,
    chosen: IntArray,
    partner: IntArray,
    noise: FloatArray,
    augment: ShockAugment,
    rate_hz: float,
) -> tuple[FloatArray, IntArray]:
    """Cut the chosen windows and vary them.

    Parameters
    ----------
    may_hold : ndarray of int64, shape (n_windows,)
        Bits of the classes that may hold in each window.
    chosen, partner : ndarray of int64, shape (n,)
        Index of a window, -1 for noise alone; index of the window that is added to it, -1 for none.
    noise : ndarray of float32
        At unit standard deviation.
    rate_hz : float
        Of the windows.

    Returns
    -------
    x : ndarray of float32, shape (n, length)
    allowed : ndarray of int64, shape (n,)
        Bits of the classes that may hold; VT slowed below 150/min may be called either way.
    """
    n, length = len(chosen), round(WINDOW_S * rate_hz)
    held = chosen >= 0
    index = np.maximum(chosen, 0)
    scale = np.where(
        rng.random(n) < augment.time_scale_probability, log_uniform(rng, augment.time_scale, n), 1.0
    )
    # A longer cut must not leave its span.
    scale = np.minimum(scale, (windows.room[index] - 1) / length)
    x = cut(windows.signal, windows.start[index], scale, length)
    allowed = np.where(held, may_hold[index], OTHER)
    slowed = held & (windows.bpm[index] * scale < FAST_BPM) & ((allowed == VT) | (allowed == (VF | VT)))
    allowed = np.where(slowed, allowed | OTHER, allowed)
    second = partner >= 0
    if second.any():
        other = partner[second]
        added = cut(windows.signal, windows.start[other], np.ones(len(other)), length)
        x[second] += (rng.uniform(0.2, 1.0, len(other))[:, None] * added).astype(np.float32)
    x *= (log_uniform(rng, augment.gain, n) * np.where(rng.random(n) < augment.flip_probability, -1, 1))[
        :, None
    ].astype(np.float32)
    x[~held] = 0
    tilted = rng.random(n) < augment.tilt_probability
    if tilted.any():
        x[tilted] = _filters(rng, x[tilted], augment, rate_hz)
    # Noise is as large as a share of the signal or of 0.5 mV, so that flat lines are drowned too.
    size = np.maximum(x.std(1), 0.15)
    level = np.where(rng.random(n) < augment.noise_probability, log_uniform(rng, augment.noise_level, n), 0)
    level = np.where(held, level, log_uniform(rng, (0.1, 3.0), n)) * size
    place = rng.integers(0, len(noise) - 2 * length, n)
    x += level[:, None].astype(np.float32) * cut(noise, place, log_uniform(rng, (0.7, 1.4), n), length)
    white = np.where(rng.random(n) < augment.white_probability, log_uniform(rng, (0.01, 0.15), n), 0) * size
    x += (white[:, None] * rng.standard_normal(x.shape)).astype(np.float32)
    jumped = rng.random(n) < np.where(held, augment.jump_probability, 0.3)
    if jumped.any():
        height = log_uniform(rng, (0.5, 6.0), int(jumped.sum())) * size[jumped]
        x[jumped] += height[:, None].astype(np.float32) * _jumps(rng, len(height), length, rate_hz)
    return x, allowed
