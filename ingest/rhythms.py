"""When a simulated heart beats: sinus with respiratory arrhythmia, AF, VT, ectopics and pauses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.sim_blocks import seed_of
from ingest.sim_events import Segment

BEATLESS: Final = ("vf", "asystole")
_RATES: Final = {"brady": 35.0, "tachy": 150.0, "vt": 180.0, "af": 98.0}


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat.

    Parameters
    ----------
    time_s : float
        R peak, seconds from the start.
    rr_s : float
        Interval that the rhythm is running at; the T wave follows its root (Bazett).
    label : str
        AAMI class: N or V.
    atrial : bool
        Whether a P wave leads it.
    """

    time_s: float
    rr_s: float
    label: str
    atrial: bool


@dataclass(frozen=True, slots=True)
class Heart:
    """What does not change at one bed: the resting rate and the breathing that modulates it."""

    rate_bpm: float
    breath_hz: float
    breath_phase: float


def heart_of(seed: int, bed: str) -> Heart:
    """Draw the heart of a bed."""
    rng = np.random.default_rng(seed_of(seed, bed, "heart"))
    return Heart(rng.uniform(62, 92), rng.uniform(0.2, 0.3), rng.uniform(0, 2 * np.pi))


class Beats:
    """The beats of one bed in order; the same seed gives the same beats however they are asked for.

    Parameters
    ----------
    seed, bed
        Name the stream of random numbers.
    segments : sequence of Segment
        Rhythms from 0 to infinity.
    """

    def __init__(self, seed: int, bed: str, segments: Sequence[Segment]) -> None:
        self._heart = heart_of(seed, bed)
        self._rng = np.random.default_rng(seed_of(seed, bed, "beats"))
        self._source = self._generate(segments)
        self._ahead: Beat | None = None
        self._kept: list[Beat] = []

    def between(self, start_s: float, end_s: float) -> list[Beat]:
        """Return the beats of ``start_s`` … ``end_s``; earlier ones are forgotten, so ask forwards."""
        while self._ahead is None or self._ahead.time_s < end_s:
            if self._ahead is not None:
                self._kept.append(self._ahead)
            self._ahead = next(self._source, Beat(np.inf, 1.0, "N", False))
        self._kept = [beat for beat in self._kept if beat.time_s >= start_s]
        return [beat for beat in self._kept if beat.time_s < end_s]

    def _generate(self, segments: Sequence[Segment]) -> Iterator[Beat]:
        last_s, first = -0.5, True
        for segment in segments:
            if segment.name in BEATLESS:
                # what follows begins afresh
                last_s, first = segment.end_s, True
                continue
            ectopic = False
            while True:
                beat, pause = self._next(segment, last_s, first, ectopic)
                if beat.time_s >= segment.end_s:
                    break
                if beat.time_s >= segment.start_s:
                    yield beat
                    ectopic = beat.label == "V"
                last_s, first = beat.time_s + pause, False

    def _next(self, segment: Segment, last_s: float, first: bool, after_ectopic: bool) -> tuple[Beat, float]:
        """Return the next beat and how much longer than usual the pause after it is."""
        name = segment.name
        rate = segment.rate_bpm or _RATES.get(name, self._heart.rate_bpm)
        mean_s = 60.0 / rate
        jitter = float(self._rng.standard_normal())
        chance = float(self._rng.random())
        if name == "af":
            rr_s = float(np.clip(mean_s * np.exp(0.24 * jitter - 0.03), 0.33, 2.0))
        elif name == "vt":
            rr_s = mean_s * (1 + 0.008 * jitter)
        else:
            depth = 0.045 if name in ("sinus", "pvc", "bigeminy") else 0.01
            breath = np.sin(2 * np.pi * self._heart.breath_hz * last_s + self._heart.breath_phase)
            rr_s = float(mean_s * (1 + depth * breath + 0.3 * depth * jitter))
        if name == "vt":
            return Beat(last_s + rr_s, mean_s, "V", False), 0.0
        premature = (
            not after_ectopic and not first and (name == "bigeminy" or (name == "pvc" and chance < 0.15))
        )
        if premature:
            early_s = max(0.36, 0.6 * rr_s)
            return Beat(last_s + early_s, mean_s, "V", False), max(0.0, 0.9 * (rr_s - early_s))
        return Beat(last_s + rr_s * (0.7 if first else 1.0), rr_s, "N", name != "af"), 0.0
