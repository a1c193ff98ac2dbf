"""Simulated chest sounds at 4 kHz: breathing with crackles and wheezes, heart sounds with a murmur.

Crackles are damped oscillations of some milliseconds in late inspiration, wheezes tones with harmonics of
over 100 ms in expiration, as the CORSA definitions describe them (Sovijärvi et al., Eur Respir Rev 10 (2000)
585-590).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.rhythms import Beat, Beats
from ingest.sim_blocks import BlockStream, inside, ramp, seed_of
from ingest.sim_events import Event, TruthSpan, segments_of
from ingest.types import FloatArray, SignalKind, WideFloatArray

FS_HZ: Final = 4_000.0
GAIN: Final = 32_767.0
HEART_IN_LUNG: Final = 0.01
_BLOCK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Breath:
    """One breath: its phases, crackles (time, pitch, strength) and wheeze (start, end, pitch)."""

    start_s: float
    turn_s: float
    end_s: float
    crackles: tuple[tuple[float, float, float], ...]
    wheeze: tuple[float, float, float] | None


def breaths(seed: int, bed: str, events: Sequence[Event]) -> Iterator[Breath]:
    """Yield the breaths of a bed without end."""
    own = [event for event in events if event.kind is SignalKind.LUNG_SOUND]
    rng = np.random.default_rng(seed_of(seed, bed, "breaths"))
    period_s = 60.0 / rng.uniform(13, 19)
    pitch_hz = rng.uniform(180, 420)
    at_s = 0.3
    while True:
        length_s = period_s * (1 + 0.06 * float(np.clip(rng.standard_normal(), -2.5, 2.5)))
        turn_s, end_s = at_s + 0.40 * length_s, at_s + 0.82 * length_s
        count = int(rng.poisson(9)) + 2
        times = np.sort(rng.uniform(at_s + 0.15 * length_s, turn_s, count))
        pitches, strengths = rng.uniform(220, 700, count), rng.uniform(0.15, 0.45, count)
        tone_hz = pitch_hz * float(rng.uniform(0.93, 1.07))
        active = {event.name for event in own if event.at_s <= at_s and event.end_s >= at_s + 0.5 * length_s}
        quiet = any(e.name == "apnoea" and e.at_s < end_s and e.end_s > at_s for e in own)
        if not quiet:
            yield Breath(
                at_s,
                turn_s,
                end_s,
                tuple(zip(times.tolist(), pitches.tolist(), strengths.tolist(), strict=True))
                if "crackles" in active
                else (),
                (turn_s + 0.08, end_s - 0.10 * length_s, tone_hz) if "wheeze" in active else None,
            )
        at_s += length_s


class LungSound(BlockStream):
    """Breathing heard at the chest of one bed, and faintly the heart of its ECG; full scale ±1."""

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = ()) -> None:
        from scipy.signal import butter

        rng = np.random.default_rng(seed_of(seed, bed, "lung"))
        super().__init__(FS_HZ, 1, _BLOCK_S, float(rng.random()))
        self._source = breaths(seed, bed, events)
        self._breaths: list[Breath] = []
        self._noise = np.random.default_rng(seed_of(seed, bed, "lung noise"))
        self._sos = butter(2, (90, 550), "bandpass", fs=FS_HZ, output="sos")
        self._state = np.zeros((len(self._sos), 2))
        self._loudness = rng.uniform(0.05, 0.09)
        self._beats = _beats_of(seed, bed, events)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        from scipy.signal import sosfilt

        times_s = np.arange(start, start + n_samples) / FS_HZ
        end_s = (start + n_samples) / FS_HZ
        while not self._breaths or self._breaths[-1].start_s < end_s:
            self._breaths.append(next(self._source))
        self._breaths = [breath for breath in self._breaths if breath.end_s + 0.1 > times_s[0]]
        white = self._noise.standard_normal((n_samples, 2))
        flow, self._state = sosfilt(self._sos, white[:, 0], zi=self._state)
        loud = np.zeros(n_samples)
        extra = np.zeros(n_samples)
        for breath in self._breaths:
            loud += _hump(times_s, breath.start_s, breath.turn_s)
            loud += 0.45 * _hump(times_s, breath.turn_s, breath.end_s)
            for at_s, pitch_hz, strength in breath.crackles:
                extra += _crackle(times_s, at_s, pitch_hz, strength)
            if breath.wheeze is not None:
                extra += _wheeze(times_s, *breath.wheeze)
        sound = 2.5 * self._loudness * loud * flow + extra + 0.002 * white[:, 1]
        for beat in self._beats.between(times_s[0] - 1.0, times_s[-1] + 0.1):
            for at_s, pitch_hz in zip(sound_times(beat), (65.0, 80.0), strict=True):
                sound += _thump(times_s, at_s, pitch_hz, HEART_IN_LUNG, 0.03)
        return _quantised(sound)


def _hump(times_s: WideFloatArray, start_s: float, end_s: float) -> WideFloatArray:
    at = np.clip((times_s - start_s) / (end_s - start_s), 0.0, 1.0)
    hump: WideFloatArray = np.sin(np.pi * at) ** 2
    return hump


def _crackle(times_s: WideFloatArray, at_s: float, pitch_hz: float, strength: float) -> WideFloatArray:
    """Return a two-cycle deflection whose half-waves lengthen as it fades."""
    out = np.zeros(len(times_s))
    since_s = times_s - at_s
    rows = np.flatnonzero((since_s >= 0) & (since_s < 0.02))
    t = since_s[rows]
    out[rows] = strength * np.sin(2 * np.pi * pitch_hz * t * (1 - 12 * t)) * np.exp(-t * pitch_hz * 1.1)
    return out


def _wheeze(times_s: WideFloatArray, start_s: float, end_s: float, pitch_hz: float) -> WideFloatArray:
    since_s = times_s - start_s
    phase = 2 * np.pi * pitch_hz * since_s * (1 - 0.03 * since_s)
    tone = np.sin(phase) + 0.35 * np.sin(2 * phase) + 0.12 * np.sin(3 * phase)
    wheeze: WideFloatArray = 0.06 * tone * ramp(times_s, start_s, end_s - 0.06, 0.06)
    return wheeze


def _quantised(sound: WideFloatArray) -> FloatArray:
    steps = np.rint(np.clip(sound, -1.0, 1.0) * GAIN)
    return (steps / GAIN).astype(np.float32)[:, None]


def lung_truth(seed: int, bed: str, events: Sequence[Event], until_s: float) -> list[TruthSpan]:
    """Return each crackle and wheeze before ``until_s``."""
    spans: list[TruthSpan] = []
    for breath in breaths(seed, bed, events):
        if breath.start_s >= until_s:
            return [span for span in spans if span.start_s < until_s]
        for at_s, _, _ in breath.crackles:
            spans.append(TruthSpan(at_s, at_s + 0.02, "crackle", SignalKind.LUNG_SOUND))
        if breath.wheeze is not None:
            spans.append(TruthSpan(breath.wheeze[0], breath.wheeze[1], "wheeze", SignalKind.LUNG_SOUND))
    return spans


def _beats_of(seed: int, bed: str, events: Sequence[Event]) -> Beats:
    """Return the beats that give the bed's ECG."""
    return Beats(seed, bed, segments_of([e for e in events if e.kind is SignalKind.ECG], "sinus"))


class HeartSound(BlockStream):
    """S1 and S2 of the same heart that gives the bed's ECG, with a systolic murmur where scripted."""

    def __init__(self, seed: int, bed: str, events: Sequence[Event] = ()) -> None:
        from scipy.signal import butter

        rng = np.random.default_rng(seed_of(seed, bed, "heart sound"))
        super().__init__(FS_HZ, 1, _BLOCK_S, float(rng.random()))
        self._beats = _beats_of(seed, bed, events)
        self._murmurs = [(e.at_s, e.end_s) for e in events if e.name == "murmur"]
        self._noise = np.random.default_rng(seed_of(seed, bed, "heart noise"))
        self._sos = butter(2, (120, 320), "bandpass", fs=FS_HZ, output="sos")
        self._state = np.zeros((len(self._sos), 2))
        self._pitch_hz = rng.uniform(45, 60)

    def _render(self, start: int, n_samples: int) -> FloatArray:
        from scipy.signal import sosfilt

        times_s = np.arange(start, start + n_samples) / FS_HZ
        white = self._noise.standard_normal((n_samples, 2))
        hiss, self._state = sosfilt(self._sos, white[:, 0], zi=self._state)
        sound = 0.003 * white[:, 1]
        for beat in self._beats.between(times_s[0] - 1.0, times_s[-1] + 0.1):
            first_s, second_s = sound_times(beat)
            size = 0.30 if beat.label == "N" else 0.18
            sound += _thump(times_s, first_s, self._pitch_hz, size, 0.035)
            sound += _thump(times_s, second_s, 1.35 * self._pitch_hz, 0.75 * size, 0.024)
            if any(a <= beat.time_s < b for a, b in self._murmurs):
                sound += 0.10 * 3 * hiss * _hump(times_s, first_s + 0.06, second_s)
        return _quantised(sound)


def sound_times(beat: Beat) -> tuple[float, float]:
    """Return when S1 and S2 of a beat begin; systole follows the root of R-R."""
    return beat.time_s + 0.03, beat.time_s + 0.03 + 0.30 * float(np.sqrt(np.clip(beat.rr_s, 0.3, 1.4)))


def _thump(
    times_s: WideFloatArray, at_s: float, pitch_hz: float, size: float, fade_s: float
) -> WideFloatArray:
    out = np.zeros(len(times_s))
    rows = np.flatnonzero(inside(times_s, at_s, at_s + 0.15))
    t = times_s[rows] - at_s
    tone = np.sin(2 * np.pi * pitch_hz * t) + 0.4 * np.sin(2 * np.pi * 2.1 * pitch_hz * t)
    out[rows] = size * 1.6 * tone * (1 - np.exp(-t / 0.008)) * np.exp(-t / fade_s)
    return out
