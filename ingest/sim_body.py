"""Simulated breathing and pulse: impedance respiration, plethysmogram and arterial pressure.

neurokit2 (Makowski et al., Behav Res Methods 53 (2021) 1689-1696) gives one minute of breathing, which is
looped at the bed's own rate, and the shape of one pulse wave, which follows each beat of the bed's ECG: no
beats, no pulse. The pressure is that of a windkessel: each beat adds to it, and it runs off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from ingest.rhythms import Beats, heart_of
from ingest.sim_blocks import BlockStream, seed_of
from ingest.sim_events import Event, segments_of
from ingest.types import FloatArray, SignalKind, WideFloatArray

RESP_FS_HZ: Final = 62.5
PLETH_FS_HZ: Final = 125.0
RESP_GAIN: Final = 10_000.0
PLETH_GAIN: Final = 10_000.0
TRANSIT_S: Final = 0.22
"""From the R peak to the foot of the pulse wave at the finger."""

ABP_FS_HZ: Final = 125.0
ABP_GAIN: Final = 100.0
ABP_TRANSIT_S: Final = 0.12
"""To the radial artery."""

_EJECTION_S: Final = 0.14
_RUN_OFF_S: Final = 1.6
"""Time constant with which the pressure falls between beats, and after the last one."""

_ASYSTOLIC_MMHG: Final = 15.0
_PLETH_NOISE: Final = 0.0006
_ABP_NOISE_MMHG: Final = 0.15
_BLOCK_S: Final = 4.0
_PULSE_S: Final = 0.7


@lru_cache(maxsize=64)
def _minute_of_breathing(breaths_per_min: int) -> WideFloatArray:
    """One minute of breathing, ±1 ohm, that can be looped: a whole number of breaths."""
    from neurokit2 import rsp_simulate

    line = rsp_simulate(
        duration=60,
        sampling_rate=125,
        respiratory_rate=breaths_per_min,
        noise=0,
        method="sinusoidal",
        random_state=1,
    )
    return np.asarray(line, dtype=np.float64)[::2]


@lru_cache(maxsize=1)
def _pulse() -> WideFloatArray:
    """One pulse wave from foot to foot at :data:`PLETH_FS_HZ`, 0 to 1."""
    from neurokit2 import ppg_simulate

    rate_hz = 1_000
    line = np.asarray(
        ppg_simulate(
            duration=12,
            sampling_rate=rate_hz,
            heart_rate=75,
            frequency_modulation=0,
            ibi_randomness=0,
            drift=0,
            motion_amplitude=0,
            powerline_amplitude=0,
            burst_number=0,
            random_state=1,
        ),
        dtype=np.float64,
    )
    foot = 4_000 + int(np.argmin(line[4_000:4_800]))
    one = line[foot : foot + 800]
    one = (one - one.min()) / np.ptp(one)
    steps = round(_PULSE_S * PLETH_FS_HZ)
    shape = np.interp(np.linspace(0, 1, steps), np.linspace(0, 1, len(one)), one)
    return np.asarray(shape * np.hanning(2 * steps)[-steps:] ** 0.25)


@lru_cache(maxsize=1)
def _pressure() -> WideFloatArray:
    """What one beat adds to the pressure at :data:`ABP_FS_HZ`, 0 to 1, until less than 1 % is left."""
    times_s = np.arange(round(5 * _RUN_OFF_S * ABP_FS_HZ)) / ABP_FS_HZ
    rise = np.sin(np.minimum(times_s / _EJECTION_S, 1.0) * np.pi / 2) ** 2
    notch = 0.08 * np.exp(-0.5 * ((times_s - 0.36) / 0.03) ** 2)
    return np.asarray(rise * np.exp(-np.maximum(times_s - _EJECTION_S, 0.0) / _RUN_OFF_S) + notch)


class Resp(BlockStream):
    """Chest impedance of one bed in ohm."""

    def __init__(self, seed: int, bed: str) -> None:
        rng = np.random.default_rng(seed_of(seed, bed, "resp"))
        super().__init__(RESP_FS_HZ, 1, _BLOCK_S, float(rng.random()))
        self._minute = _minute_of_breathing(round(60 * heart_of(seed, bed).breath_hz))
        self._begin = int(rng.integers(len(self._minute)))
        self._size = rng.uniform(0.5, 1.2)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        at = self._begin + start + np.arange(n_samples)
        return _coded(self._size * self._minute.take(at, mode="wrap"), RESP_GAIN)


class _Pulsing(BlockStream):
    """A line to which every beat of the bed's ECG adds one wave.

    Parameters
    ----------
    seed, bed
        Make the patient.
    what : str
        Names its random numbers.
    events : sequence of Event
        Rhythms of this bed.
    fs_hz : float
        Sampling rate.
    transit_s : float
        From the R peak to the foot of the wave.
    """

    def __init__(
        self, seed: int, bed: str, what: str, events: Sequence[Event], fs_hz: float, transit_s: float
    ) -> None:
        rng = np.random.default_rng(seed_of(seed, bed, what))
        super().__init__(fs_hz, 1, _BLOCK_S, float(rng.random()))
        cardiac = [event for event in events if event.kind is SignalKind.ECG]
        self._beats = Beats(seed, bed, segments_of(cardiac, "sinus"))
        self._transit_s = transit_s
        self._rng = rng
        self._noise = np.random.default_rng(seed_of(seed, bed, f"{what} noise"))

    def _waves(self, start: int, n_samples: int, wave: WideFloatArray) -> WideFloatArray:
        """Sum of the waves of all beats that reach into a block."""
        line = np.zeros(n_samples + 2 * len(wave))
        first_s = start / self.fs_hz - self._transit_s
        before_s = len(wave) / self.fs_hz
        for beat in self._beats.between(max(0.0, first_s - before_s), first_s + n_samples / self.fs_hz):
            # An early beat finds the heart half filled: its pulse is small.
            strength = min(1.0, max(0.15, (beat.rr_s - 0.25) / 0.45))
            at = round((beat.time_s + self._transit_s) * self.fs_hz) - start + len(wave)
            line[at : at + len(wave)] += strength * wave[: len(line) - at]
        return np.asarray(line[len(wave) : len(wave) + n_samples])


class Pleth(_Pulsing):
    """Plethysmogram of one bed, full scale 1."""

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = ()) -> None:
        super().__init__(seed, bed, "pleth", events, PLETH_FS_HZ, TRANSIT_S)
        self._size = self._rng.uniform(0.4, 0.7)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        noise = _PLETH_NOISE * np.clip(self._noise.standard_normal(n_samples), -4, 4)
        return _coded(self._size * self._waves(start, n_samples, _pulse()) + noise, PLETH_GAIN)


class Abp(_Pulsing):
    """Arterial pressure of one bed in mmHg, about 120/75 at rest."""

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = ()) -> None:
        super().__init__(seed, bed, "abp", events, ABP_FS_HZ, ABP_TRANSIT_S)
        self._pulse_mmhg = self._rng.uniform(36.0, 46.0)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        noise = _ABP_NOISE_MMHG * self._noise.standard_normal(n_samples)
        waves = self._pulse_mmhg * self._waves(start, n_samples, _pressure())
        return _coded(_ASYSTOLIC_MMHG + waves + noise, ABP_GAIN)


def _coded(line: WideFloatArray, gain: float) -> FloatArray:
    """Samples as the device's converter gives them, shape (n_samples, 1)."""
    return (np.rint(line * gain) / gain).astype(np.float32)[:, None]
