"""Made cases that nobody recorded: an apnoea, a sensor that fell off, a wheeze louder than all else.

Each is made of a recording's own sound. What an alarm says of them is a test of the rule, no clinical figure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy import fft
from scipy import signal as dsp

from inference.monitor import Outcome
from inference.sound_listener import SoundNetwork
from inference.sound_score import BEFORE_S, T0, Annotated, play_together, with_apnoea
from inference.sound_tones import HIGHEST_HZ as HIGHEST_TONE_HZ
from inference.sound_tones import LOWEST_HZ
from ingest.types import NS_PER_S, BoolArray, FloatArray, SignalKind, WideFloatArray

AFTER_S: Final = 30
HEART_HZ: Final = 110.0
"""Up to which a heart is heard through a lung, with little breath."""

FRAME, HOP = 256, 64
"""Samples at 4 kHz of the transform that cuts wheezes out."""

TONE_DB: Final = 8.0
"""A tone above its surroundings, from which it is cut out."""

LEAST_TONE_S: Final = 0.1
WHEEZE_FREE_S: Final = 60


@dataclass(slots=True)
class Told:
    """Made cases of one kind, in how many of them each alarm was raised, and seconds that were looked at.

    ``disturbed`` of ``loud`` seconds with a loud wheeze were not judged.
    """

    made: int = 0
    alarms: Counter[str] = field(default_factory=Counter)
    loud: int = 0
    disturbed: int = 0


def breathless(sound: FloatArray, fs_hz: float) -> FloatArray:
    """An apnoea in which the heart goes on: all above it a hundredth as strong."""
    low = dsp.sosfiltfilt(dsp.butter(4, HEART_HZ, fs=fs_hz, output="sos"), sound)
    return np.asarray(low + 0.1 * (sound - low), dtype=np.float32)


def floor_of(sound: FloatArray, fs_hz: float, n_times: int) -> FloatArray:
    """Noise with the spectrum of a recording's faintest moments: 5 % quantile of each frequency's power."""
    hz, _, spectrum = dsp.stft(sound, fs_hz, nperseg=FRAME)
    # Of noise the power at a frequency is distributed exponentially: its quantile says its mean.
    power = np.quantile(np.abs(spectrum) ** 2, 0.05, axis=1) / -np.log(0.95)
    white = np.random.default_rng(1).standard_normal(n_times)
    made = fft.irfft(
        fft.rfft(white) * np.interp(fft.rfftfreq(n_times, 1 / fs_hz), hz, np.sqrt(power)), n_times
    )
    # A density of 1 passes the transform as the sum of its squared window, by which it is scaled.
    window = dsp.get_window("hann", FRAME)
    return np.asarray(made * window.sum() / np.sqrt((window**2).sum()), dtype=np.float32)


def room_of(sound: FloatArray, fs_hz: float, n_times: int) -> FloatArray:
    """Noise of a room (as strong in each octave), half as loud as the recording's faintest tenths."""
    tenth = round(0.1 * fs_hz)
    faint = np.quantile(np.square(sound[: len(sound) // tenth * tenth]).reshape(-1, tenth).mean(axis=1), 0.05)
    white = fft.rfft(np.random.default_rng(2).standard_normal(n_times))
    pink = fft.irfft(white / np.sqrt(np.maximum(fft.rfftfreq(n_times, 1 / fs_hz), 20.0)), n_times)
    return np.asarray(0.5 * np.sqrt(faint) * pink / pink.std(), dtype=np.float32)


Tail = Callable[[FloatArray, float, int], FloatArray]
TAILS: Final[dict[str, Tail]] = {
    "sensor off, its own noise": floor_of,
    "sensor off, a room": room_of,
    "apnoea, the heart goes on": lambda sound, fs_hz, n: breathless(np.resize(sound, n), fs_hz),
    "apnoea, faintest 0.6 s repeated": lambda sound, fs_hz, n: with_apnoea(sound, fs_hz)[
        round(BEFORE_S * fs_hz) : round(BEFORE_S * fs_hz) + n
    ],
    "breathing goes on": lambda sound, _, n: np.resize(sound, n),
}


def score_tails(sounds: Sequence[tuple[Annotated, FloatArray, float]]) -> dict[str, Told]:
    """Breathing, then each of :data:`TAILS`: alarms that are raised in it. All sounds have one rate."""
    return {name: _score_tail(sounds, tail) for name, tail in TAILS.items()}


def _score_tail(sounds: Sequence[tuple[Annotated, FloatArray, float]], tail: Tail) -> Told:
    lines = {}
    for record, sound, fs_hz in sounds:
        before = np.resize(sound, round(BEFORE_S * fs_hz))
        after = tail(sound, fs_hz, round(AFTER_S * fs_hz))
        lines[record.name] = np.concatenate([before, after]).astype(np.float32)
    told = Told(len(lines))
    _count(told, play_together(SignalKind.LUNG_SOUND, lines, sounds[0][2]), BEFORE_S)
    return told


def _count(told: Told, outcome: Outcome, from_s: float) -> None:
    since = T0 + round(from_s * NS_PER_S)
    raised = {(one.bed, one.kind) for one in outcome.alarms if one.ended_ns is None and one.raised_ns > since}
    told.alarms.update(kind for _, kind in raised)


def tones_of(sound: FloatArray, fs_hz: float) -> tuple[FloatArray, BoolArray]:
    """Wheezes cut out of a sound: narrow tones that hold for a tenth of a second; where they sound."""
    hz, times_s, spectrum = dsp.stft(sound, fs_hz, nperseg=FRAME, noverlap=FRAME - HOP)
    level = 20 * np.log10(np.abs(spectrum) + 1e-9)
    possible = (hz >= LOWEST_HZ) & (hz <= HIGHEST_TONE_HZ)
    tone = np.where(possible[:, None], level, -np.inf).argmax(axis=0)
    away = np.abs(np.arange(len(hz))[:, None] - tone)
    beside = np.nanmedian(np.where((away >= 4) & (away <= 10), level, np.nan), axis=0)
    lone = level[tone, np.arange(len(tone))] - beside >= TONE_DB
    breaks = ~lone | (np.abs(np.diff(tone, prepend=tone[0])) > 1)
    runs = np.cumsum(breaks)
    held = lone & (np.bincount(runs)[runs] > LEAST_TONE_S * fs_hz / HOP)
    _, cut = dsp.istft(spectrum * ((away <= 3) & held), fs_hz, nperseg=FRAME, noverlap=FRAME - HOP)
    where = np.interp(np.arange(len(sound)) / fs_hz, times_s, held.astype(np.float64)) > 0.5
    return np.resize(cut, len(sound)).astype(np.float32), where


def with_loud_wheezes(
    record: Annotated, sound: FloatArray, fs_hz: float, above_db: float
) -> tuple[FloatArray, WideFloatArray] | None:
    """A recording's cycles without wheezes for a while, then those with, their tones made louder.

    Returns
    -------
    sound : ndarray of float32, shape (n_samples,)
        Its tones are so much louder than the cycles without on average.
    share : ndarray, shape (AFTER_S,)
        Of each second after that, in which a tone sounds.

    ``None`` where the recording has no cycles of both kinds, or no tone is heard in those with wheezes.
    """
    of = {True: [np.zeros(0, np.float32)], False: [np.zeros(0, np.float32)]}
    for (begin_s, end_s), wheeze in zip(record.cycles_s, record.labels["wheeze"], strict=True):
        of[bool(wheeze)].append(sound[round(begin_s * fs_hz) : round(end_s * fs_hz)])
    plain, wheezing = np.concatenate(of[False]), np.concatenate(of[True])
    if min(len(plain), len(wheezing)) < fs_hz:
        return None
    tones, where = tones_of(wheezing, fs_hz)
    if where.sum() < 0.5 * fs_hz:
        return None
    n = round(AFTER_S * fs_hz)
    loud = 10 ** (above_db / 20) * np.sqrt(np.square(plain).mean() / np.square(tones[where]).mean())
    line = np.concatenate(
        [np.resize(plain, round(WHEEZE_FREE_S * fs_hz)), np.resize(wheezing + loud * tones, n)]
    )
    share = np.resize(where, n).reshape(AFTER_S, -1).mean(axis=1)
    return np.asarray(line * (0.9 / np.abs(line).max()), dtype=np.float32), share


def score_wheezes(
    sounds: Sequence[tuple[Annotated, FloatArray, float]], above_db: float, network: SoundNetwork | None
) -> Told:
    """Wheezes made so loud: alarms that are raised, and seconds mostly of a wheeze that were not judged."""
    made = {
        record.name: line
        for record, sound, fs_hz in sounds
        if (line := with_loud_wheezes(record, sound, fs_hz, above_db)) is not None
    }
    told = Told(len(made))
    lines = {name: line for name, (line, _) in made.items()}
    outcome = play_together(SignalKind.LUNG_SOUND, lines, sounds[0][2], network)
    _count(told, outcome, WHEEZE_FREE_S)
    for name, (_, share) in made.items():
        usable = [vital.usable for vital in outcome.vitals if vital.bed == name][WHEEZE_FREE_S:]
        wheezing = np.flatnonzero(share[: len(usable)] >= 0.5)
        told.loud += len(wheezing)
        told.disturbed += int((~np.array(usable)[wheezing]).sum())
    return told
