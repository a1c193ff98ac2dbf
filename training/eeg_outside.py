"""What a network takes for a seizure and is none: rhythm from outside of the head, suppression with bursts.

Chest percussion, compressions, patting, rocking, a bed or pump that shakes and water in a ventilator's tube
are rhythmic in many derivations at once. What tells them from a seizure: one rate without evolution in
frequency, field or amplitude, a sudden begin and end, and a background that goes on below (ACNS Critical Care
EEG Terminology 2021 asks a seizure for evolution; Tatum et al., J Clin Neurophysiol 28 (2011) 351-362, show
these artefacts). Amplitudes are in units of a channel's running scale. None of it is of the simulator
(:mod:`ingest.sim_eeg`).

Shape legend: C channels, N or n samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from training.eeg_signal import RATE_HZ, FloatArray

WideArray = npt.NDArray[np.float64]

RATES_HZ = (0.9, 8.0)
"""Strikes or swings a second."""
JITTER = 0.03
"""Largest SD of a strike's time, in periods: a hand or a pump keeps its pace."""
UNEVEN = 0.2
"""Largest SD of a strike's size."""
SIZES = (0.4, 8.0)
"""Of the artefact, in units of the background."""
MECHANICAL = 0.3
"""Share that is rhythm from outside; the rest is suppression."""


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _unit(wave: WideArray) -> WideArray:
    wave = wave - wave.mean()
    return np.asarray(wave / max(1e-6, float(wave.std())), dtype=np.float64)


def strikes(n: int, rng: np.random.Generator) -> WideArray:
    """Blows at one rate, each of which rings off: percussion, compressions, patting."""
    period = RATE_HZ / _log_uniform(*RATES_HZ, rng)
    at = np.arange(rng.uniform(0, period), n, period)
    at = at + rng.uniform(0, JITTER) * period * rng.standard_normal(len(at))
    train = np.zeros(n)
    size = 1.0 + rng.uniform(0, UNEVEN) * rng.standard_normal(len(at))
    np.add.at(train, np.clip(np.rint(at), 0, n - 1).astype(np.int64), size)
    t = np.arange(round(0.8 * RATE_HZ)) / RATE_HZ
    ring = np.exp(-t / _log_uniform(0.03, 0.3, rng)) * np.sin(
        2 * np.pi * rng.uniform(1.5, 15.0) * t + rng.uniform(0, 2 * np.pi)
    )
    # A blow is no step: what carries it is soft.
    return _unit(np.convolve(train, np.convolve(ring, np.hanning(max(3, round(rng.uniform(3, 14))))))[:n])


def swings(n: int, rng: np.random.Generator) -> WideArray:
    """A wave of one rate and shape: rocking, a bed that shakes."""
    t = np.arange(n) / RATE_HZ
    shake = lfilter([0.02], [1.0, -0.98], rng.standard_normal(n)) * rng.uniform(0, 4 * JITTER) * 10
    phase = 2 * np.pi * _log_uniform(*RATES_HZ, rng) * t + shake + rng.uniform(0, 2 * np.pi)
    steep = rng.uniform(0.8, 3.0)
    wave = sum(
        rng.uniform(0.3, 1.0) / order**steep * np.sin(order * phase + rng.uniform(0, 2 * np.pi))
        for order in range(1, int(rng.integers(2, 8)))
    )
    uneven = lfilter([0.02], [1.0, -0.98], rng.standard_normal(n)) * rng.uniform(0, UNEVEN) * 10
    return _unit(np.asarray(wave) * np.clip(1.0 + uneven, 0.3, 2.0))


def gurgles(n: int, rng: np.random.Generator) -> WideArray:
    """Tremor that comes with each breath: water in the tube of a ventilator."""
    t = np.arange(n) / RATE_HZ
    breath = (t * rng.uniform(0.15, 0.5) + rng.random()) % 1.0
    open_part = rng.uniform(0.25, 0.7)
    inside = np.clip(np.minimum(breath, open_part - breath) / 0.04, 0, 1)
    return _unit(swings(n, rng) * inside)


def _when(n: int, first: int, last: int, rng: np.random.Generator) -> WideArray:
    """Envelope (n,) that goes on and off at once, with pauses now and then."""
    edge = rng.uniform(0.02, 0.4) * RATE_HZ
    at = np.arange(n)
    on = np.clip((at - first) / edge, 0, 1) * np.clip((last - at) / edge, 0, 1)
    if rng.random() < 0.3:
        pause, every = rng.uniform(1.0, 4.0) * RATE_HZ, rng.uniform(5.0, 15.0) * RATE_HZ
        since = (at + rng.uniform(0, every)) % (every + pause)
        on *= np.clip(np.maximum(every - since, since - every - pause + edge) / edge, 0, 1)
    return np.asarray(on)


def add_mechanical(x_CN: FloatArray, first: int, last: int, rng: np.random.Generator) -> FloatArray:
    """A window with one mechanical artefact from sample ``first`` to ``last``; both may lie outside of it."""
    n_channels, n = x_CN.shape
    made = (strikes, swings, gurgles)[int(rng.choice(3, p=(0.45, 0.4, 0.15)))](n, rng)
    # Each electrode moves in its own way: the same times, another mixture of place and speed.
    speed = _unit(np.gradient(made))
    turn = rng.uniform(0, 0.8) * rng.standard_normal(n_channels)
    wave_CN = np.cos(turn)[:, None] * made + np.sin(turn)[:, None] * speed
    gain = np.exp(rng.uniform(0.1, 0.6) * rng.standard_normal(n_channels))
    gain *= np.where(rng.random(n_channels) < rng.uniform(0.5, 1.2), 1.0, rng.uniform(0, 0.3))
    gain *= rng.choice((-1.0, 1.0), n_channels) * _log_uniform(*SIZES, rng)
    return np.asarray(x_CN + gain[:, None] * wave_CN * _when(n, first, last, rng), dtype=np.float32)


def _bursts(n: int, rng: np.random.Generator) -> WideArray:
    """Where bursts are (1) and where they are not (0), shape (n,)."""
    pause_s, lasts_s = _log_uniform(1.0, 12.0, rng), _log_uniform(0.4, 4.0, rng)
    edge = rng.uniform(0.05, 0.4) * RATE_HZ
    at, t, inside = -rng.uniform(0, pause_s) * RATE_HZ, np.arange(n), np.zeros(n)
    while at < n:
        long = rng.gamma(4.0, lasts_s / 4.0) * RATE_HZ + edge
        size = np.exp(0.3 * rng.standard_normal())
        inside = np.maximum(
            inside, size * np.clip((t - at) / edge, 0, 1) * np.clip((at + long - t) / edge, 0, 1)
        )
        at += long + rng.gamma(3.0, pause_s / 3.0) * RATE_HZ
    return inside


def add_suppression(x_CN: FloatArray, first: int, last: int, rng: np.random.Generator) -> FloatArray:
    """A window whose background is suppressed from ``first`` to ``last``, with or without bursts.

    Bursts stand out by far, since the running scale sinks in the pauses; so does what comes after them.
    """
    n_channels, n = len(x_CN), int(x_CN.shape[1])
    low, high, after = _log_uniform(0.01, 0.4, rng), _log_uniform(1.0, 8.0, rng), _log_uniform(1.0, 6.0, rng)
    bursts = _bursts(n, rng) if rng.random() < 0.85 else np.zeros(n)
    edge = rng.uniform(0.2, 2.0) * RATE_HZ
    at = np.arange(n)
    begun, over = np.clip((at - first) / edge, 0, 1), np.clip((at - last) / edge, 0, 1)
    own = np.exp(0.25 * rng.standard_normal(n_channels))[:, None]
    inside = low + (high - low) * np.minimum(bursts, 2.0) * own
    size = (1 - begun) + begun * (1 - over) * inside + over * after
    # Bursts are slow waves with fast ones over them, alike in many derivations.
    pole = float(np.exp(-2 * np.pi * rng.uniform(0.5, 4.0) / RATE_HZ))
    common = _unit(lfilter([1.0, -1.0], [1.0, -1.9 * pole, 0.92 * pole**2], rng.standard_normal(n)))
    shared = own * rng.choice((-1.0, 1.0), (n_channels, 1)) * rng.uniform(0, 0.7) * high * common
    made = x_CN * size + shared * bursts * begun * (1 - over)
    return np.asarray(made + rng.uniform(0, 0.05) * rng.standard_normal(x_CN.shape), dtype=np.float32)


def add_outside(x_CN: FloatArray, first: int, last: int, rng: np.random.Generator) -> FloatArray:
    """A window with either of them from sample ``first`` to ``last``.

    Parameters
    ----------
    x_CN : ndarray of float32, shape (C, N)
        Background; missing samples stay missing.
    first, last : int
        Where it begins and ends; before and behind the window where it covers it.
    rng : Generator
        Of the batch.
    """
    make = add_mechanical if rng.random() < MECHANICAL else add_suppression
    return make(x_CN, first, last, rng)
