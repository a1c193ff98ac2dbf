"""Waves of the simulated EEG: seizures, bursts and artefacts, each as (times, electrodes) in µV.

All are functions of time alone, so that any cut of a stream gives the same samples; what is drawn is drawn
once for each event. Shapes: ``times_s`` (n,), results (n, n_channels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.sim_blocks import ramp
from ingest.types import WideFloatArray

SITES: Final = {
    "Fp1": (-0.3, 0.95), "Fp2": (0.3, 0.95), "F7": (-0.8, 0.6), "F3": (-0.4, 0.5), "Fz": (0.0, 0.5),
    "F4": (0.4, 0.5), "F8": (0.8, 0.6), "T7": (-1.0, 0.0), "C3": (-0.5, 0.0), "Cz": (0.0, 0.0),
    "C4": (0.5, 0.0), "T8": (1.0, 0.0), "P7": (-0.8, -0.6), "P3": (-0.4, -0.5), "Pz": (0.0, -0.5),
    "P4": (0.4, -0.5), "P8": (0.8, -0.6), "O1": (-0.3, -0.95), "O2": (0.3, -0.95),
}  # fmt: skip
"""Electrodes on a head seen from above: x to the right, y to the front."""

CHANNELS: Final = tuple(SITES)
PLACES: Final = np.array(list(SITES.values()))
FOCI: Final = ("F7", "F8", "T7", "T8", "F3", "F4", "C3", "C4", "P3", "P4", "P7", "P8", "O1", "O2")
BURST_UV: Final = 2.2
SUPPRESSED: Final = 0.05
"""Size of the background within bursts, and between them."""


def field(site: str, width: float | WideFloatArray) -> WideFloatArray:
    """How much of what arises at an electrode each one sees; (n_channels,) or, of widths (n, 1), (n, n)."""
    distance = np.linalg.norm(PLACES - np.array(SITES[site]), axis=1)
    weight: WideFloatArray = np.exp(-np.square(distance / width))
    return weight


@dataclass(frozen=True, slots=True)
class Seizure:
    """A focal seizure: rhythmic waves that grow, slow down and spread, then stop at once.

    Parameters
    ----------
    start_s, end_s : float
        When.
    focus : str
        Electrode over it.
    first_hz, last_hz : float
        Frequencies at the onset and at the end.
    peak_uv : float
        Half the peak-to-peak size over the focus at its height.
    reach : float
        Width of the field at the end, in radii of the head: 0.5 stays there, 1.5 is nearly everywhere.
    phase : float
        At the onset.
    """

    start_s: float
    end_s: float
    focus: str
    first_hz: float
    last_hz: float
    peak_uv: float
    reach: float
    phase: float

    @classmethod
    def draw(cls, rng: np.random.Generator, start_s: float, end_s: float) -> Seizure:
        """Draw one of the usual kinds."""
        return cls(
            start_s,
            end_s,
            str(rng.choice(FOCI)),
            float(rng.uniform(4.5, 8.0)),
            float(rng.uniform(1.6, 2.6)),
            float(rng.uniform(60.0, 130.0)),
            float(rng.uniform(0.6, 1.6)),
            float(rng.uniform(0, 2 * np.pi)),
        )

    def frequency_hz(self, times_s: WideFloatArray) -> WideFloatArray:
        """Of the waves at some times."""
        since, slowing = self._since(times_s)
        hz: WideFloatArray = self.last_hz + (self.first_hz - self.last_hz) * np.exp(-since / slowing)
        return hz

    def _since(self, times_s: WideFloatArray) -> tuple[WideFloatArray, float]:
        return np.maximum(times_s - self.start_s, 0.0), (self.end_s - self.start_s) / 2.5

    def __call__(self, times_s: WideFloatArray) -> WideFloatArray:
        """Return its waves, 0 outside of it."""
        since, slowing = self._since(times_s)
        cycles = self.last_hz * since + (self.first_hz - self.last_hz) * slowing * (
            1 - np.exp(-since / slowing)
        )
        done = np.clip(since / (self.end_s - self.start_s), 0.0, 1.0)[:, None]
        # What is further from the focus follows it, by up to a sixth of a cycle.
        lag = np.linalg.norm(PLACES - np.array(SITES[self.focus]), axis=1) / 12
        turn = 2 * np.pi * (cycles[:, None] - lag) + self.phase
        wave = np.sin(turn) + 0.45 * np.sin(2 * turn + 0.8) + 0.2 * np.sin(3 * turn + 1.6)
        size = self.peak_uv * (0.25 + 0.75 * np.clip(done / 0.35, 0, 1))
        spread = field(self.focus, 0.35 + (self.reach - 0.35) * done)
        weight = ramp(times_s, self.start_s, self.end_s, 0.5)[:, None]
        waves: WideFloatArray = weight * size * spread * wave
        return waves


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


def burst_gain(rng: np.random.Generator, start_s: float, end_s: float) -> Callable[..., WideFloatArray]:
    """Draw when bursts come; the result gives the size of the background within the event."""
    begins = np.cumsum(rng.uniform(5.0, 11.0, max(2, int((end_s - start_s) / 5.0) + 1))) + start_s - 4.0
    lengths = rng.uniform(0.8, 2.0, len(begins))

    def gain(times_s: WideFloatArray) -> WideFloatArray:
        nth = np.clip(np.searchsorted(begins, times_s, side="right") - 1, 0, len(begins) - 1)
        since = times_s - begins[nth]
        burst = np.clip(since / 0.15, 0, 1) - np.clip((since - lengths[nth]) / 0.15, 0, 1)
        size: WideFloatArray = SUPPRESSED + (BURST_UV - SUPPRESSED) * np.clip(burst, 0, 1)
        return size

    return gain


def _occasions(rng: np.random.Generator, start_s: float, end_s: float, every_s: float) -> WideFloatArray:
    """Times of something that comes every ``every_s`` or so."""
    steps = rng.uniform(0.4, 1.6, max(1, int((end_s - start_s) / every_s) + 1)) * every_s
    times: WideFloatArray = start_s + np.cumsum(steps)
    return times[times < end_s]


def _since_last(times_s: WideFloatArray, begins: WideFloatArray) -> WideFloatArray:
    """Time since the last of some occasions, infinite before the first."""
    nth = np.searchsorted(begins, times_s, side="right")
    since: WideFloatArray = times_s - np.concatenate([[-np.inf], begins])[nth]
    return since


Waves = Callable[[WideFloatArray], WideFloatArray]


def blinks(rng: np.random.Generator, start_s: float, end_s: float) -> Waves:
    """Blinks, every 4 s or so: the front of the eyes is positive and turns up."""
    begins = _occasions(rng, start_s, end_s, 4.0)
    front = np.exp(-np.square((PLACES[:, 1] - 1.05) / 0.38))

    def waves(times_s: WideFloatArray) -> WideFloatArray:
        since = np.minimum(_since_last(times_s, begins), 10.0)
        shape = np.exp(-0.5 * ((since - 0.15) / 0.06) ** 2) - 0.2 * np.exp(-0.5 * ((since - 0.4) / 0.1) ** 2)
        return np.asarray(170.0 * shape[:, None] * front)

    return waves


def chewing(rng: np.random.Generator, start_s: float, end_s: float) -> tuple[Waves, Waves]:
    """Chewing, 1.5 times a second: slow waves over the temples, and how loud the muscles are."""
    rate_hz, phase = rng.uniform(1.2, 1.8), rng.uniform(0, 2 * np.pi)
    temples = np.clip(np.abs(PLACES[:, 0]) - 0.1, 0.1, 1.0)

    def slow(times_s: WideFloatArray) -> WideFloatArray:
        weight = ramp(times_s, start_s, end_s, 0.3)
        return np.asarray((weight * 45.0 * np.sin(2 * np.pi * rate_hz * times_s + phase))[:, None] * temples)

    def loudness(times_s: WideFloatArray) -> WideFloatArray:
        weight = ramp(times_s, start_s, end_s, 0.3)
        bite = np.clip(np.sin(2 * np.pi * rate_hz * times_s + phase), 0, 1) ** 2
        return np.asarray((weight * 60.0 * bite)[:, None] * temples)

    return slow, loudness


def muscle(start_s: float, end_s: float) -> Waves:
    """How loud tense muscles of jaw and forehead are."""
    where = np.clip(np.abs(PLACES[:, 0]) + 0.5 * np.clip(PLACES[:, 1], 0, 1), 0.15, 1.0)

    def loudness(times_s: WideFloatArray) -> WideFloatArray:
        return np.asarray(ramp(times_s, start_s, end_s, 0.5)[:, None] * 55.0 * where)

    return loudness


def percussion(rng: np.random.Generator, start_s: float, end_s: float) -> Waves:
    """Chest percussion or patting: waves of one frequency over the back of the head, without evolution."""
    rate_hz, phase = rng.uniform(3.5, 5.5), rng.uniform(0, 2 * np.pi)
    back = np.clip(0.4 - 0.7 * PLACES[:, 1], 0.0, 1.1)

    def waves(times_s: WideFloatArray) -> WideFloatArray:
        weight = ramp(times_s, start_s, end_s, 0.2)
        turn = 2 * np.pi * rate_hz * times_s + phase
        return np.asarray((weight * 60.0 * (np.sin(turn) + 0.3 * np.sin(2 * turn)))[:, None] * back)

    return waves


def pops(rng: np.random.Generator, start_s: float, end_s: float) -> Waves:
    """One electrode jumps every 4 s or so, and comes back within a second."""
    begins = _occasions(rng, start_s, end_s, 4.0)
    sizes = rng.choice([-1.0, 1.0], len(begins)) * rng.uniform(180.0, 400.0, len(begins))
    one = np.eye(len(CHANNELS))[rng.integers(len(CHANNELS))]

    def waves(times_s: WideFloatArray) -> WideFloatArray:
        nth = np.searchsorted(begins, times_s, side="right")
        since = _since_last(times_s, begins)
        size = np.concatenate([[0.0], sizes])[nth]
        return np.asarray((size * np.exp(-np.minimum(since, 50.0) / 0.7))[:, None] * one)

    return waves


def mains(rng: np.random.Generator, start_s: float, end_s: float, hz: float = 50.0) -> Waves:
    """Hum over all electrodes."""
    sizes, phases = rng.uniform(50.0, 110.0, len(CHANNELS)), rng.uniform(0, 0.6, len(CHANNELS))

    def waves(times_s: WideFloatArray) -> WideFloatArray:
        weight = ramp(times_s, start_s, end_s, 0.1)[:, None]
        return np.asarray(weight * sizes * np.sin(2 * np.pi * hz * times_s[:, None] + phases))

    return waves
