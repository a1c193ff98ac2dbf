"""Disturbances of training windows: noise that beats are read through, silence, and what no one can read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.spec import STEP_CLASSES
from training.corpus import Corpus, build_corpus
from training.sources import FloatArray, IntArray, Recording, WideFloatArray

FS_HZ = 125.0
QRS_REACH = 6
"""Samples on either side of a beat that its amplitude is read from: 50 ms, as nst does."""
TAIL_S = 4.2
"""What is silenced or buried lasts at least this long: a little more than the rhythm head looks at."""


def log_uniform(rng: np.random.Generator, bounds: tuple[float, float], size: int) -> WideFloatArray:
    """Draws between the bounds, uniform in the logarithm."""
    return np.exp(rng.uniform(np.log(bounds[0]), np.log(bounds[1]), size))


def qrs_amplitudes(corpus: Corpus) -> FloatArray:
    """Median peak-to-peak amplitude of the QRS complexes of each lead, mV; 0 where no beat is annotated.

    Returns
    -------
    ndarray of float32, shape (n_leads,)
    """
    place = corpus.beats.round().astype(np.int64)[:, None] + np.arange(-QRS_REACH, QRS_REACH + 1)
    height = np.ptp(corpus.signal[place.clip(0, len(corpus.signal) - 1)], axis=1)
    lead = np.searchsorted(corpus.ends, corpus.beats, side="right")
    return np.array(
        [np.median(height[lead == i]) if (lead == i).any() else 0.0 for i in range(len(corpus.ends))],
        dtype=np.float32,
    )


def noise_gain(amplitude: FloatArray, snr_db: WideFloatArray) -> FloatArray:
    """Factor of noise of unit standard deviation for a signal-to-noise ratio.

    As PhysioNet's nst has it, the signal's power is that of a sine of the QRS complexes' peak-to-peak
    amplitude, its square over 8.
    """
    return np.asarray(amplitude / np.sqrt(8.0) * 10.0 ** (-snr_db / 20.0), dtype=np.float32)


def stressed(recording: Recording, noise: FloatArray, snr_db: float) -> Recording:
    """A recording with noise throughout, on every lead.

    Parameters
    ----------
    recording : Recording
        With annotated beats.
    noise : ndarray of float32, shape (n,)
        Unit standard deviation; repeated where it is shorter.
    snr_db : float
        Signal-to-noise ratio, see :func:`noise_gain`.
    """
    gain = noise_gain(qrs_amplitudes(build_corpus([recording])), np.full(len(recording.leads), snr_db))
    noisy = recording.signal + gain[:, None] * np.resize(noise, recording.signal.shape[1])
    return replace(recording, signal=np.asarray(noisy, dtype=np.float32))


class Disturber:
    """Disturbs windows in place.

    Parameters
    ----------
    noise : ndarray of float32, shape (n,)
        Baseline wander and muscle noise, unit standard deviation.
    length : int
        Samples of a window.
    """

    def __init__(self, noise: FloatArray, length: int) -> None:
        self.recorded, self.length = noise, length

    def excerpts(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Pieces of recorded noise (n, N), of either sign, somewhat slower or faster than recorded."""
        scale = log_uniform(rng, (0.75, 1.33), n)
        start = rng.uniform(0, len(self.recorded) - 2 - self.length * scale)
        place = start[:, None] + np.arange(self.length) * scale[:, None]
        left = place.astype(np.int64)
        share = (place - left).astype(np.float32)
        sign = rng.choice(np.array([-1.0, 1.0], dtype=np.float32), size=(n, 1))
        return np.asarray(
            sign * (self.recorded[left] * (1 - share) + self.recorded[left + 1] * share), dtype=np.float32
        )

    def jumps(self, rng: np.random.Generator, n: int, most: int) -> FloatArray:
        """Electrode jumps (n, N), unit standard deviation: quick rises that die away in 40 to 600 ms."""
        time = np.arange(self.length)
        total = np.zeros((n, self.length))
        count = rng.integers(2, most + 1, size=n)
        for i in range(most):
            since = (time[None, :] - rng.integers(-60, self.length, size=(n, 1))).clip(0) / FS_HZ
            rise, decay = log_uniform(rng, (0.005, 0.08), n)[:, None], log_uniform(rng, (0.04, 0.6), n)
            size = rng.standard_normal((n, 1)) * (i < count)[:, None]
            total += size * (1.0 - np.exp(-since / rise)) * np.exp(-since / decay[:, None])
        total -= total.mean(1, keepdims=True)
        return np.asarray(total / np.maximum(total.std(1, keepdims=True), 1e-3), dtype=np.float32)

    def mixed(self, rng: np.random.Generator, n: int, jump_share: float) -> FloatArray:
        """One noise, two, or electrode jumps (n, N), about unit standard deviation."""
        share = rng.uniform(0, 1, size=(n, 1)).astype(np.float32)
        share *= rng.random((n, 1)) < 0.5
        noise = np.sqrt(1 - share) * self.excerpts(rng, n) + np.sqrt(share) * self.excerpts(rng, n)
        jumpy = np.flatnonzero(rng.random(n) < jump_share)
        part = rng.uniform(0.3, 1.0, size=(len(jumpy), 1)).astype(np.float32)
        noise[jumpy] = np.sqrt(1 - part) * noise[jumpy] + np.sqrt(part) * self.jumps(rng, len(jumpy), 12)
        return np.asarray(noise, dtype=np.float32)

    def silence(
        self,
        rng: np.random.Generator,
        x: FloatArray,
        steps: FloatArray,
        rows: IntArray,
        stride: int,
        peak_to_peak_mv: WideFloatArray,
    ) -> None:
        """Replace the end of windows by a line without beats, of a given height.

        A true asystole keeps a wander of 40 to 400 µV peak to peak (what CinC 2015 shows), more where the
        bed is moved; a lead that is off has less than 10 µV after the band-pass has settled from the jump.
        """
        time = np.arange(self.length)
        begin = self.length - rng.integers(round(TAIL_S * FS_HZ), self.length + 1, size=len(rows))
        line = self.excerpts(rng, len(rows))
        line *= (peak_to_peak_mv / np.maximum(np.ptp(line, axis=1), 1e-6))[:, None].astype(np.float32)
        white = np.where(peak_to_peak_mv < 0.01, 0.0003, 0.003).astype(np.float32)
        line += rng.standard_normal(line.shape, dtype=np.float32) * white[:, None]
        since = (time[None, :] - begin[:, None]).clip(0) / FS_HZ
        jump = rng.normal(0.0, 0.5, size=(len(rows), 1))
        line += (jump * np.exp(-since / 0.23) * np.cos(2.2 * since)).astype(np.float32)
        x[rows] = np.where(time[None, :] >= begin[:, None], line, x[rows])
        first = np.ceil(begin / stride).astype(np.int64)
        quiet = np.arange(steps.shape[1])[None, :] >= first[:, None]
        none = np.eye(len(STEP_CLASSES), dtype=np.float32)[0]
        steps[rows] = np.where(quiet[:, :, None], none, steps[rows])

    def bury(
        self, rng: np.random.Generator, x: FloatArray, weight: FloatArray, rows: IntArray, stride: int
    ) -> None:
        """Bury the end of windows in wander, muscle noise and electrode jumps: nothing can be read there."""
        time = np.arange(self.length)
        begin = self.length - rng.integers(round(TAIL_S * FS_HZ), self.length + 1, size=len(rows))
        buried = (time[None, :] >= begin[:, None]).astype(np.float32)
        spread = np.maximum(x[rows].std(1), 0.05) * log_uniform(rng, (2.0, 12.0), len(rows))
        noise = self.excerpts(rng, len(rows)) + 1.4 * self.jumps(rng, len(rows), 5)
        x[rows] += (noise * spread[:, None] * buried).astype(np.float32)
        weight[rows] *= 1.0 - buried[:, ::stride]
