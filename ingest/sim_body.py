"""Simulated breathing and pulse: impedance respiration and plethysmogram, shapes by neurokit2.

neurokit2 (Makowski et al., Behav Res Methods 53 (2021) 1689-1696) gives one minute of breathing, which is
looped at the bed's own rate, and the shape of one pulse wave, which follows each beat of the bed's ECG: no
beats, no pulse.
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


class Pleth(BlockStream):
    """Plethysmogram of one bed, full scale 1."""

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = ()) -> None:
        rng = np.random.default_rng(seed_of(seed, bed, "pleth"))
        super().__init__(PLETH_FS_HZ, 1, _BLOCK_S, float(rng.random()))
        cardiac = [event for event in events if event.kind is SignalKind.ECG]
        self._beats = Beats(seed, bed, segments_of(cardiac, "sinus"))
        self._size = rng.uniform(0.4, 0.7)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        pulse = _pulse()
        line = np.zeros(n_samples + 2 * len(pulse))
        first_s = start / self.fs_hz - TRANSIT_S
        before_s = len(pulse) / self.fs_hz
        for beat in self._beats.between(max(0.0, first_s - before_s), first_s + n_samples / self.fs_hz):
            # An early beat finds the heart half filled: its pulse is small.
            strength = min(1.0, max(0.15, (beat.rr_s - 0.25) / 0.45))
            at = round((beat.time_s + TRANSIT_S) * self.fs_hz) - start + len(pulse)
            line[at : at + len(pulse)] += strength * pulse[: len(line) - at]
        return _coded(self._size * line[len(pulse) : len(pulse) + n_samples], PLETH_GAIN)


def _coded(line: WideFloatArray, gain: float) -> FloatArray:
    """Samples as the device's converter gives them, shape (n_samples, 1)."""
    return (np.rint(line * gain) / gain).astype(np.float32)[:, None]
