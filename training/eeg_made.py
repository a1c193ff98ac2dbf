"""Made seizures and artefacts over real background, in units of a channel's running scale.

A made seizure is rhythmic, evolves in frequency, amplitude and field (ACNS Critical Care EEG Terminology
2021, part F: evolution), and is either drawn from a waveform or one of Bonn's ictal segments. None of this
is the simulator that plays to the worker (:mod:`ingest.sim_eeg`): what that shows is no training.

Shape legend: C channels, N samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from training.eeg_signal import RATE_HZ

FloatArray = npt.NDArray[np.float32]
WideArray = npt.NDArray[np.float64]

LAG_S = 0.03
"""Channels of one discharge lag behind each other by up to so much."""


STRETCHED = 1.15
"""Borrowed seizures are played at most so much faster."""

FEWEST = 3
"""Derivations that a made seizure is seen in at least, where there are so many."""

SEEN = 0.3
"""Share of its size from which a discharge that rises can be seen."""


def rhythm(n: int, rng: np.random.Generator) -> WideArray:
    """A discharge that evolves, shape (n,), of about unit size: from sharp waves to spike and wave."""
    t = np.arange(n) / RATE_HZ
    first = rng.uniform(2.5, 11.0)
    last = rng.uniform(1.5, 4.0) if rng.random() < 0.7 else first * rng.uniform(0.8, 1.2)
    turn_s = rng.uniform(5.0, 25.0)
    wander = np.cumsum(rng.standard_normal(n)) * rng.uniform(0.002, 0.02)
    frequency = last + (first - last) * np.exp(-t / turn_s)
    phase = 2 * np.pi * np.cumsum(frequency * np.exp(np.clip(wander, -0.3, 0.3))) / RATE_HZ
    phase += rng.uniform(0, 2 * np.pi)
    wave = np.sin(phase)
    for harmonic in (2, 3, 4):
        wave += rng.uniform(0, 0.6) / harmonic * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    if rng.random() < 0.5:
        # Spike before the wave: a narrow peak once a cycle.
        cycle = (phase / (2 * np.pi)) % 1.0
        wave += rng.uniform(0.5, 2.5) * np.exp(-0.5 * ((cycle - 0.2) / rng.uniform(0.03, 0.08)) ** 2)
    wave -= wave.mean()
    wave *= 1.0 + 0.3 * np.sin(2 * np.pi * rng.uniform(0.05, 0.4) * t + rng.uniform(0, 2 * np.pi))
    return np.asarray(wave / max(1e-6, float(wave.std())), dtype=np.float64)


def borrowed(segment: FloatArray, n: int, n_channels: int, rng: np.random.Generator) -> WideArray:
    """A stretch of a real seizure, its time stretched, of about unit size; shape (n_channels, n).

    Channels are dealt from those of the seizure, so that they keep what they have in common.
    """
    length = min(segment.shape[1] - 1, round(n * rng.uniform(0.8, STRETCHED)))
    first = int(rng.integers(0, segment.shape[1] - length))
    at = first + np.linspace(0, length - 1, n)
    left = at.astype(np.int64)
    rows = segment[rng.integers(0, len(segment), n_channels)].astype(np.float64)
    wave = rows[:, left] + (at - left) * (rows[:, left + 1] - rows[:, left])
    wave -= wave.mean(axis=1, keepdims=True)
    return np.asarray(wave / max(1e-6, float(wave.std())), dtype=np.float64)


def field(n_channels: int, rng: np.random.Generator) -> tuple[WideArray, WideArray]:
    """Gain (C,) of a discharge in each channel and the seconds (C,) after which it arrives there."""
    general = rng.random() < 0.4
    share = rng.uniform(0.6, 1.0) if general else rng.uniform(0.15, 0.6)
    taking = rng.random(n_channels) < share
    # What only one or two derivations see is an electrode's, not a brain's.
    taking[rng.permutation(n_channels)[:FEWEST]] = True
    gain = np.where(taking, np.exp(0.4 * rng.standard_normal(n_channels)), rng.uniform(0, 0.15))
    spread_s = 0.0 if general else rng.uniform(0.0, 8.0)
    arrival = np.where(rng.random(n_channels) < 0.5, 0.0, rng.uniform(0, 1, n_channels) * spread_s)
    arrival[int(np.argmax(gain))] = 0.0
    return gain * rng.choice((-1.0, 1.0), n_channels), arrival


def add_seizure(
    x_CN: FloatArray, first: int, last: int, segment: FloatArray | None, rng: np.random.Generator
) -> tuple[FloatArray, int]:
    """A window with a made seizure from sample ``first`` to ``last``, and the sample at which it can be seen.

    Parameters
    ----------
    x_CN : ndarray of float32, shape (C, N)
        Background; missing samples stay missing.
    first, last : int
        Where it begins and ends; a seizure that began before the window has a negative ``first``.
    segment : ndarray or None, shape (R, n)
        R channels of a real seizure to borrow from; None: it is drawn.
    rng : Generator
        Of the batch.
    """
    n, rate = last - first, RATE_HZ
    gain, arrival_s = field(len(x_CN), rng)
    size = rng.uniform(1.3, 5.0)
    rise_s, fall_s = rng.uniform(0.3, 6.0), rng.uniform(0.2, 2.0)
    t = np.arange(n) / rate
    lag = rng.uniform(0, LAG_S, len(x_CN))
    since_CN = t[None] - arrival_s[:, None]
    envelope_CN = np.clip(since_CN / rise_s, 0, 1) * np.clip((t[-1] - t) / fall_s, 0, 1)[None]
    if segment is None:
        # All channels have the same wave, each a little late.
        at_CN = np.clip(np.arange(n)[None] - rate * lag[:, None], 0, n - 1).astype(np.int64)
        wave_CN = rhythm(n, rng)[at_CN]
    else:
        wave_CN = borrowed(segment, n, len(x_CN), rng)
    made_CN = size * gain[:, None] * envelope_CN * wave_CN
    inside = slice(max(0, first), min(x_CN.shape[1], last))
    cut = slice(inside.start - first, inside.stop - first)
    out = x_CN.copy()
    quieter = 1.0 - rng.uniform(0, 0.6) * envelope_CN[:, cut] * (np.abs(gain) > 0.2)[:, None]
    out[:, inside] = out[:, inside] * quieter + made_CN[:, cut]
    return out, first + round(SEEN * rise_s * rate)


def _some(n_channels: int, share: float, rng: np.random.Generator) -> WideArray:
    """Gains (C,) of an artefact that a share of the channels has."""
    gain = (rng.random(n_channels) < share) * np.exp(0.4 * rng.standard_normal(n_channels))
    gain[int(rng.integers(n_channels))] = 1.0
    return np.asarray(gain * rng.choice((-1.0, 1.0), n_channels))


def _muscle(n: int, rng: np.random.Generator) -> WideArray:
    """Bursts of noise above 15 Hz; every second or so where somebody chews."""
    noise = lfilter([1.0, -1.0], [1.0, 0.3], rng.standard_normal(n))
    t = np.arange(n) / RATE_HZ
    if rng.random() < 0.5:
        pace = np.sin(2 * np.pi * rng.uniform(0.8, 2.2) * t + rng.uniform(0, 6))
        return np.asarray(noise * np.clip(pace, 0, 1) ** 2 * 2)
    start, long_s = rng.uniform(0, t[-1]), rng.uniform(1.0, 10.0)
    return np.asarray(noise * ((t > start) & (t < start + long_s)))


def _blinks(n: int, rng: np.random.Generator) -> WideArray:
    """Slow peaks, one by one or fluttering."""
    out, at = np.zeros(n), 0.0
    width = rng.uniform(0.06, 0.14)
    t = np.arange(n) / RATE_HZ
    pause = rng.choice((0.4, 1.0, 3.0))
    while at < t[-1]:
        at += float(rng.exponential(pause)) + 0.2
        out += rng.uniform(0.6, 1.0) * np.exp(-0.5 * ((t - at) / width) ** 2)
    return out


def _pops(n: int, rng: np.random.Generator) -> WideArray:
    """An electrode's contact: steps that fall back."""
    out = np.zeros(n)
    for _ in range(int(rng.integers(1, 8))):
        at = int(rng.integers(n))
        out[at:] += rng.choice((-1.0, 1.0)) * np.exp(-np.arange(n - at) / (rng.uniform(0.05, 0.6) * RATE_HZ))
    return out


def _movement(n: int, rng: np.random.Generator) -> WideArray:
    """Large, slow, without rhythm."""
    pole = np.exp(-2 * np.pi * rng.uniform(0.4, 2.0) / RATE_HZ)
    slow = lfilter([1.0], [1.0, -2 * pole, pole**2], rng.standard_normal(n))
    t = np.arange(n) / RATE_HZ
    start, long_s = rng.uniform(-4, t[-1]), rng.uniform(2.0, 12.0)
    envelope = np.clip((t - start) / 0.5, 0, 1) * np.clip((start + long_s - t) / 0.5, 0, 1)
    return np.asarray(slow / max(1e-6, float(slow.std())) * envelope)


def _heart(n: int, rng: np.random.Generator) -> WideArray:
    """The ECG's spikes."""
    t = np.arange(n) / RATE_HZ
    beat_s = 60.0 / rng.uniform(50, 130)
    since = (t + 0.02 * np.cumsum(rng.standard_normal(n)) / RATE_HZ) % beat_s
    return np.asarray(np.exp(-0.5 * ((since - 0.1) / 0.012) ** 2))


def _spindle(n: int, rng: np.random.Generator) -> WideArray:
    """Alpha that waxes and wanes, or spindles of sleep."""
    t = np.arange(n) / RATE_HZ
    phase = 2 * np.pi * rng.uniform(8.0, 14.5) * t + 1.5 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * t)
    waxing = np.clip(np.sin(2 * np.pi * rng.uniform(0.05, 0.5) * t + rng.uniform(0, 6)), 0, 1)
    return np.asarray(np.sin(phase) * waxing)


def _slow_waves(n: int, rng: np.random.Generator) -> WideArray:
    """Delta of sleep or of a sick brain: slow, large, without a steady rhythm."""
    pole = np.exp(-2 * np.pi * rng.uniform(0.5, 1.5) / RATE_HZ)
    slow = lfilter([1.0], [1.0, -1.9 * pole, 0.9 * pole**2 + 0.02], rng.standard_normal(n))
    return np.asarray(slow / max(1e-6, float(slow.std())))


def other_device(x_CN: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A window as another amplifier would give it: fast or slow waves a little larger or smaller."""
    missing = ~np.isfinite(x_CN)
    pole = np.exp(-2 * np.pi * rng.uniform(3.0, 20.0) / RATE_HZ)
    slow = lfilter([1 - pole], [1.0, -pole], np.where(missing, 0.0, x_CN), axis=1)
    size = np.exp(rng.uniform(-0.5, 0.5))
    changed = slow + size * (x_CN - slow) if rng.random() < 0.5 else size * slow + (x_CN - slow)
    return np.asarray(np.where(missing, np.nan, changed), dtype=np.float32)


LOOSE = 0.5
"""Share of artefacts that are a loose electrode's."""

ARTEFACTS = (
    (_muscle, 0.5, 4.0),
    (_blinks, 0.25, 8.0),
    (_pops, 0.1, 15.0),
    (_movement, 0.7, 8.0),
    (_heart, 0.4, 3.0),
    (_spindle, 0.5, 2.0),
    (_slow_waves, 0.9, 2.0),
)
"""What an artefact is made by, the share of channels that have it, and its greatest size."""


def add_electrode(x_CN: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A window with a loose electrode: large in the one or two derivations that it is part of.

    It trembles with rhythm as a seizure does, jumps between two levels, or hisses.
    """
    n = x_CN.shape[1]
    kind = rng.random()
    if kind < 0.5:
        wave = rhythm(n, rng)
    elif kind < 0.8:
        jumps = rng.random(n) < rng.uniform(1.0, 12.0) / RATE_HZ
        wave = lfilter([1.0, -1.0], [1.0, -0.975], np.cumsum(jumps) % 2)
    else:
        wave = _movement(n, rng) * (1.0 + 0.5 * rng.standard_normal(n))
    t = np.arange(n) / RATE_HZ
    start, lasts = rng.uniform(-4, t[-1]), rng.uniform(3.0, 20.0)
    inside = np.clip((t - start) / 0.3, 0, 1) * np.clip((start + lasts - t) / 0.3, 0, 1)
    wave = np.clip(wave / max(1e-6, float(wave.std())), -4, 4) * inside * rng.uniform(1.5, 10.0)
    gain = np.zeros(len(x_CN))
    sides = rng.permutation(len(x_CN))[: int(rng.integers(1, 3))]
    gain[sides] = (1.0, -1.0)[: len(sides)]
    return np.asarray(x_CN + gain[:, None] * wave[None], dtype=np.float32)


def add_artefact(x_CN: FloatArray, rng: np.random.Generator) -> FloatArray:
    """A window with one kind of artefact, or of background that is easily taken for a seizure."""
    if rng.random() < LOOSE:
        return add_electrode(x_CN, rng)
    made, share, most = ARTEFACTS[int(rng.integers(len(ARTEFACTS)))]
    gain = _some(len(x_CN), share * rng.uniform(0.3, 1.0), rng) * rng.uniform(0.3, 1.0) * most
    return np.asarray(x_CN + gain[:, None] * made(x_CN.shape[1], rng)[None], dtype=np.float32)
