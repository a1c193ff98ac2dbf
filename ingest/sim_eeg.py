"""A simulated EEG: 19 channels of the 10-20 system, background with an alpha rhythm, 3 Hz spike-and-wave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ingest.sim_blocks import BlockStream, ramp, seed_of
from ingest.sim_events import Event
from ingest.types import FloatArray, WideFloatArray

FS_HZ: Final = 256.0
GAIN: Final = 10.0
"""Steps per µV."""
_SITES: Final = {
    "Fp1": (-0.3, 0.95), "Fp2": (0.3, 0.95), "F7": (-0.8, 0.6), "F3": (-0.4, 0.5), "Fz": (0.0, 0.5),
    "F4": (0.4, 0.5), "F8": (0.8, 0.6), "T7": (-1.0, 0.0), "C3": (-0.5, 0.0), "Cz": (0.0, 0.0),
    "C4": (0.5, 0.0), "T8": (1.0, 0.0), "P7": (-0.8, -0.6), "P3": (-0.4, -0.5), "Pz": (0.0, -0.5),
    "P4": (0.4, -0.5), "P8": (0.8, -0.6), "O1": (-0.3, -0.95), "O2": (0.3, -0.95),
}  # fmt: skip
CHANNELS: Final = tuple(_SITES)
_PLACES: Final = np.array(list(_SITES.values()))
_AR_POLES: Final = ((0.985, 1.0), (0.90, 1.8), (0.40, 1.6))


class EegStream(BlockStream):
    """The EEG of one bed in µV (common reference)."""

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = ()) -> None:
        rng = np.random.default_rng(seed_of(seed, bed, "eeg"))
        super().__init__(FS_HZ, len(CHANNELS), 4.0, float(rng.random()))
        self._noise = np.random.default_rng(seed_of(seed, bed, "eeg noise"))
        self._seizures = [(event.at_s, event.end_s) for event in events if event.name == "spike-wave"]
        distance = np.linalg.norm(_PLACES[:, None] - _PLACES[None], axis=2)
        mix = np.exp(-((distance / 0.55) ** 2))
        self._mix = mix / np.sqrt((mix**2).sum(axis=0))
        self._state = np.zeros((len(_AR_POLES), 1, len(CHANNELS)))
        self._alpha_hz, self._alpha_uv = rng.uniform(8.8, 11.2), rng.uniform(12, 28)
        self._phases = rng.uniform(0, 2 * np.pi, 4)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        times_s = np.arange(start, start + n_samples) / FS_HZ
        signal = self._background(n_samples)
        signal += self._alpha(times_s)[:, None] * np.clip(0.45 - 0.75 * _PLACES[:, 1], 0.05, 1.0)
        frontal = np.clip(0.75 + 0.35 * _PLACES[:, 1] - 0.25 * np.abs(_PLACES[:, 0]), 0.2, 1.1)
        for start_s, end_s in self._seizures:
            if start_s < times_s[-1] and end_s + 0.3 > times_s[0]:
                weight = ramp(times_s, start_s, end_s, 0.3)
                wave = spike_wave(times_s - start_s)
                signal *= (1 - 0.5 * weight)[:, None]
                signal += (weight * wave)[:, None] * frontal
        return (np.rint(np.clip(signal, -3_000, 3_000) * GAIN) / GAIN).astype(np.float32)

    def _background(self, n_samples: int) -> WideFloatArray:
        """Return noise whose power falls with frequency, mixed over the scalp."""
        from scipy.signal import lfilter

        white = self._noise.standard_normal((n_samples, len(CHANNELS)))
        total = np.zeros_like(white)
        for i, (pole, size) in enumerate(_AR_POLES):
            part, self._state[i] = lfilter([1.0], [1.0, -pole], white, axis=0, zi=self._state[i])
            total += size * part
        mixed: WideFloatArray = 1.1 * total @ self._mix
        return mixed

    def _alpha(self, times_s: WideFloatArray) -> WideFloatArray:
        turn = 2 * np.pi * times_s
        spindle = (0.55 + 0.45 * np.sin(0.23 * turn + self._phases[0])) * (
            0.8 + 0.2 * np.sin(0.61 * turn + self._phases[1])
        )
        wave: WideFloatArray = (
            self._alpha_uv
            * spindle
            * np.sin(self._alpha_hz * turn + 1.2 * np.sin(0.4 * turn + self._phases[2]))
        )
        return wave


def spike_wave(since_s: WideFloatArray) -> WideFloatArray:
    """Return a 3 Hz spike-and-wave train in µV that slows from 3.3 to 2.7 Hz, 0 before its start."""
    t = np.maximum(since_s, 0.0)
    cycles = 2.7 * t + 0.6 * 8.0 * (1 - np.exp(-t / 8.0))
    at = cycles % 1.0
    spike = -180.0 * np.exp(-0.5 * ((at - 0.16) / 0.045) ** 2)
    after = 70.0 * np.exp(-0.5 * ((at - 0.27) / 0.04) ** 2)
    slow = -210.0 * np.exp(-0.5 * ((at - 0.62) / 0.14) ** 2) + 75.0
    wave: WideFloatArray = np.where(since_s >= 0, spike + after + slow, 0.0)
    return wave
