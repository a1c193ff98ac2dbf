"""A simulated EEG of an ICU: 19 channels of the 10-20 system against one reference.

The background has a spectrum that falls with frequency, an alpha rhythm over the back of the head and, where
it is drawn so, slow waves of sedation. Over it go events (:data:`ingest.sim_events.EVENTS`): seizures
that grow, slow down and spread, bursts and suppression, artefacts. A day of them is drawn by
:func:`ingest.sim_eeg_day.draw_day`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from ingest.sim_blocks import BlockStream, inside, ramp, seed_of
from ingest.sim_eeg_waves import (
    CHANNELS,
    PLACES,
    SUPPRESSED,
    Seizure,
    blinks,
    burst_gain,
    chewing,
    mains,
    muscle,
    percussion,
    pops,
    spike_wave,
)
from ingest.sim_events import Event
from ingest.types import FloatArray, WideFloatArray

FS_HZ: Final = 256.0
GAIN: Final = 10.0
"""Steps per µV."""

RAIL_UV: Final = 3_000.0
AFTER_S: Final = 25.0
"""For so long the background stays low after a seizure."""

OFF: Final = "electrode-off"
_AR_POLES: Final = ((0.985, 1.0), (0.90, 1.8), (0.40, 1.6))
_NOISE_UV: Final = 0.35
"""Of the amplifier."""


class EegStream(BlockStream):
    """The EEG of one bed in µV (common reference).

    Parameters
    ----------
    seed : int
        Of the ward.
    bed : str
        Whose.
    events : sequence of Event
        What happens; those of other signals are left out.
    sedated : bool
        Slow waves instead of an alpha rhythm.
    """

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = (), sedated: bool = False) -> None:
        rng = np.random.default_rng(seed_of(seed, bed, "eeg"))
        super().__init__(FS_HZ, len(CHANNELS), 4.0, float(rng.random()))
        self._noise = np.random.default_rng(seed_of(seed, bed, "eeg noise"))
        distance = np.linalg.norm(PLACES[:, None] - PLACES[None], axis=2)
        mix = np.exp(-((distance / 0.55) ** 2))
        self._mix = mix / np.sqrt((mix**2).sum(axis=0))
        self._state = np.zeros((len(_AR_POLES), 1, len(CHANNELS)))
        self._muscle_state = np.zeros((1, len(CHANNELS)))
        self._alpha_hz, self._alpha_uv = rng.uniform(8.8, 11.2), rng.uniform(12, 28)
        self._phases = rng.uniform(0, 2 * np.pi, 4)
        self._sedated = sedated
        self._delta_hz, self._delta_uv = rng.uniform(0.9, 1.6), rng.uniform(15, 30)
        self._off_site = int(rng.integers(len(CHANNELS)))
        self.seizures: list[Seizure] = []
        self._events = [_Drawn(event, seed, bed) for event in events if event.name in _KINDS]
        self.seizures = [one.seizure for one in self._events if one.seizure is not None]

    def _render(self, start: int, n_samples: int) -> FloatArray:
        times_s = np.arange(start, start + n_samples) / FS_HZ
        now = [one for one in self._events if one.begin_s < times_s[-1] and one.end_s > times_s[0]]
        signal = self._background(n_samples) + self._rhythm(times_s)
        loudness = np.zeros_like(signal)
        for one in now:
            signal *= one.gain(times_s)[:, None]
        for one in now:
            signal += one.waves(times_s)
            if one.loudness is not None:
                loudness += one.loudness(times_s)
        white = self._noise.standard_normal((n_samples, len(CHANNELS)))
        signal += _NOISE_UV * white
        # Muscle is noise whose power rises with frequency; its state goes on whether it is heard or not.
        # Not with the module: it would make every command start late.
        from scipy.signal import lfilter

        fast, self._muscle_state = lfilter([0.75, -0.65], [1.0], white, axis=0, zi=self._muscle_state)
        signal += loudness * fast
        for one in now:
            if one.event.name == OFF:
                signal[inside(times_s, one.event.at_s, one.event.end_s), self._off_site] = 0.0
        return (np.rint(np.clip(signal, -RAIL_UV, RAIL_UV) * GAIN) / GAIN).astype(np.float32)

    def lead_off(self, start: int, n_samples: int) -> tuple[bool, ...] | None:
        """Return which electrode is off: its flag is set from the first sample to the last one."""
        times_s = np.arange(start, start + n_samples) / FS_HZ
        off = any(
            inside(times_s, one.event.at_s, one.event.end_s).any()
            for one in self._events
            if one.event.name == OFF
        )
        return tuple(off and site == self._off_site for site in range(len(CHANNELS))) if off else None

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

    def _rhythm(self, times_s: WideFloatArray) -> WideFloatArray:
        """Return the alpha rhythm over the back of the head, or the slow waves of sedation over its front."""
        turn = 2 * np.pi * times_s
        spindle = (0.55 + 0.45 * np.sin(0.23 * turn + self._phases[0])) * (
            0.8 + 0.2 * np.sin(0.61 * turn + self._phases[1])
        )
        if self._sedated:
            wave = np.sin(self._delta_hz * turn + 2.0 * np.sin(0.17 * turn + self._phases[3]))
            front = np.clip(0.6 + 0.4 * PLACES[:, 1], 0.2, 1.0)
            return np.asarray((self._delta_uv * (0.4 + 0.6 * spindle) * wave)[:, None] * front)
        wave = np.sin(self._alpha_hz * turn + 1.2 * np.sin(0.4 * turn + self._phases[2]))
        return np.asarray(
            (self._alpha_uv * spindle * wave)[:, None] * np.clip(0.45 - 0.75 * PLACES[:, 1], 0.05, 1.0)
        )


def _nothing(times_s: WideFloatArray) -> WideFloatArray:
    return np.zeros((len(times_s), len(CHANNELS)))


class _Drawn:
    """An event of one bed with all that was drawn for it: what it adds, what it does to the background."""

    def __init__(self, event: Event, seed: int, bed: str) -> None:
        rng = np.random.default_rng(seed_of(seed, bed, f"{event.name} {event.at_s}"))
        self.event = event
        self.begin_s, self.end_s = event.at_s, event.end_s + 1.0
        self.seizure: Seizure | None = None
        self.waves: Callable[[WideFloatArray], WideFloatArray] = _nothing
        self.loudness: Callable[[WideFloatArray], WideFloatArray] | None = None
        self._bursts: Callable[..., WideFloatArray] | None = None
        span = (event.at_s, event.end_s)
        if event.name == "seizure":
            self.waves = self.seizure = Seizure.draw(rng, *span)
            self.end_s += 4 * AFTER_S
        elif event.name == "spike-wave":
            self.waves = self._spike_wave
        elif event.name == "burst-suppression":
            self._bursts = burst_gain(rng, *span)
        elif event.name == "chewing":
            self.waves, self.loudness = chewing(rng, *span)
        elif event.name == "muscle":
            self.loudness = muscle(*span)
        elif event.name in _DRAWN:
            self.waves = _DRAWN[event.name](rng, *span)

    def _spike_wave(self, times_s: WideFloatArray) -> WideFloatArray:
        frontal = np.clip(0.75 + 0.35 * PLACES[:, 1] - 0.25 * np.abs(PLACES[:, 0]), 0.2, 1.1)
        weight = ramp(times_s, self.event.at_s, self.event.end_s, 0.3)
        return np.asarray((weight * spike_wave(times_s - self.event.at_s))[:, None] * frontal)

    def gain(self, times_s: WideFloatArray) -> WideFloatArray:
        """Size of the background."""
        start_s, end_s = self.event.at_s, self.event.end_s
        if self._bursts is not None:
            weight = ramp(times_s, start_s, end_s, 1.0)
            return np.asarray(1 + weight * (self._bursts(times_s) - 1))
        if self.event.name == "suppression":
            return np.asarray(1 - (1 - SUPPRESSED) * ramp(times_s, start_s, end_s, 1.0))
        if self.event.name == "spike-wave":
            return np.asarray(1 - 0.5 * ramp(times_s, start_s, end_s, 0.3))
        if self.seizure is not None:
            during = ramp(times_s, start_s, end_s, 2.0)
            after = np.where(times_s > end_s, np.exp(-np.maximum(times_s - end_s, 0) / AFTER_S), 0.0)
            return np.asarray(1 - 0.3 * during - 0.6 * after * (1 - during))
        return np.ones(len(times_s))


_DRAWN: Final = {"blinks": blinks, "percussion": percussion, "electrode-pop": pops, "eeg-mains": mains}
_KINDS: Final = {
    "seizure", "spike-wave", "burst-suppression", "suppression", "chewing", "muscle", OFF, *_DRAWN,
}  # fmt: skip
