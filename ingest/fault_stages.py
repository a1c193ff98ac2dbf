"""The stages behind :mod:`ingest.faults`. One stage serves one stream (bed and signal kind)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from ingest.types import NS_PER_S, BoolArray, Chunk, FloatArray, SignalKind, WideFloatArray

_BLOCK: Final = 1_024
_RAIL: Final = {
    SignalKind.ECG: 5.0,
    SignalKind.EEG: 3_000.0,
    SignalKind.LUNG_SOUND: 1.0,
    SignalKind.HEART_SOUND: 1.0,
    SignalKind.RESP: 1.0,
    SignalKind.PLETH: 1.0,
    SignalKind.ABP: 300.0,
}
_NOISE_RMS: Final = {
    SignalKind.ECG: 0.2,
    SignalKind.EEG: 30.0,
    SignalKind.LUNG_SOUND: 0.05,
    SignalKind.HEART_SOUND: 0.05,
    SignalKind.RESP: 0.1,
    SignalKind.PLETH: 0.1,
    SignalKind.ABP: 5.0,
}


@dataclass(frozen=True, slots=True)
class Item:
    """A chunk and its place in the stream before any clock fault, in seconds from the first sample."""

    chunk: Chunk
    at_s: float

    @property
    def end_s(self) -> float:
        """Where it ends."""
        return self.at_s + self.chunk.duration_s


class Stage(Protocol):
    """One fault on one stream."""

    def push(self, item: Item) -> list[Item]:
        """Return what becomes of a chunk."""

    def flush(self) -> list[Item]:
        """Return what is still held back."""


def build_stage(
    name: str, at_s: float, for_s: float, value: float | None, channel: str | None, seed: int
) -> Stage:
    """Make the stage of a fault by its name."""
    if name in ("gap", "duplicate"):
        return _Repeat(at_s, for_s, 0 if name == "gap" else 2)
    if name == "reorder":
        return _Reorder(at_s, for_s)
    if name == "late":
        return _Late(at_s, for_s)
    if name == "clock-drift":
        return _Clock(at_s, 0.0, value or 0.0)
    if name == "jump":
        return _Clock(at_s, value or 0.0, 0.0)
    if name == "restart":
        return _Restart(at_s, for_s)
    return _Samples(name, at_s, for_s, value, channel, seed)


def _touches(item: Item, at_s: float, for_s: float) -> bool:
    """Whether a chunk touches a span; a span of length 0 is touched by the chunk that holds its instant."""
    if for_s <= 0:
        return item.at_s <= at_s < item.end_s
    return item.at_s < at_s + for_s and item.end_s > at_s


@dataclass(slots=True)
class _Repeat:
    at_s: float
    for_s: float
    times: int

    def push(self, item: Item) -> list[Item]:
        return [item] * (self.times if _touches(item, self.at_s, self.for_s) else 1)

    def flush(self) -> list[Item]:
        return []


@dataclass(slots=True)
class _Reorder:
    at_s: float
    for_s: float
    held: Item | None = None

    def push(self, item: Item) -> list[Item]:
        if self.held is not None:
            first, self.held = self.held, None
            return [item, first]
        if _touches(item, self.at_s, self.for_s):
            self.held = item
            return []
        return [item]

    def flush(self) -> list[Item]:
        last, self.held = self.held, None
        return [] if last is None else [last]


@dataclass(slots=True)
class _Late:
    at_s: float
    for_s: float
    held: Item | None = None

    def push(self, item: Item) -> list[Item]:
        if _touches(item, self.at_s, 0.0):
            self.held = item
            return []
        if self.held is not None and item.at_s >= self.held.at_s + self.for_s:
            return [item, *self.flush()]
        return [item]

    def flush(self) -> list[Item]:
        last, self.held = self.held, None
        return [] if last is None else [last]


@dataclass(slots=True)
class _Clock:
    at_s: float
    jump_s: float
    drift_ppm: float

    def push(self, item: Item) -> list[Item]:
        since_s = item.at_s - self.at_s
        if since_s < 0:
            return [item]
        shift_ns = round((self.jump_s + since_s * self.drift_ppm * 1e-6) * NS_PER_S)
        return [replace(item, chunk=replace(item.chunk, start_ns=item.chunk.start_ns + shift_ns))]

    def flush(self) -> list[Item]:
        return []


@dataclass(slots=True)
class _Restart:
    at_s: float
    silent_s: float
    first_seq: int | None = None

    def push(self, item: Item) -> list[Item]:
        if item.end_s <= self.at_s or item.at_s < self.at_s and not self.silent_s:
            return [item]
        if self.silent_s and item.at_s < self.at_s + self.silent_s:
            return []
        if self.first_seq is None:
            self.first_seq = item.chunk.seq
        return [replace(item, chunk=replace(item.chunk, seq=item.chunk.seq - self.first_seq))]

    def flush(self) -> list[Item]:
        return []


@dataclass(slots=True)
class _Samples:
    """Faults of the samples themselves, exact to the sample: lead-off, noise, flat, rail, nan."""

    name: str
    at_s: float
    for_s: float
    value: float | None
    channel: str | None
    seed: int

    def push(self, item: Item) -> list[Item]:
        chunk = item.chunk
        first = round(item.at_s * chunk.fs_hz)
        index = np.arange(first, first + chunk.n_samples)
        start = round(self.at_s * chunk.fs_hz)
        rows: BoolArray = (index >= start) & (index < start + round(self.for_s * chunk.fs_hz))
        if not rows.any():
            return [item]
        columns = np.array([self.channel in (None, name) for name in chunk.channels])
        samples = chunk.samples.copy()
        struck = np.ix_(rows, columns)
        samples[struck] = self._replacement(samples, chunk, first)[struck]
        changed = replace(chunk, samples=samples)
        if self.name == "lead-off":
            before = chunk.lead_off or (False,) * len(chunk.channels)
            flags = tuple(old or bool(new) for old, new in zip(before, columns, strict=True))
            changed = replace(changed, lead_off=flags)
        return [replace(item, chunk=changed)]

    def flush(self) -> list[Item]:
        return []

    def _replacement(self, samples: FloatArray, chunk: Chunk, first: int) -> FloatArray:
        if self.name == "nan":
            return np.full_like(samples, np.nan)
        if self.name in ("flat", "lead-off"):
            return np.zeros_like(samples)
        if self.name == "rail":
            return np.full_like(samples, _RAIL[chunk.kind])
        rms = _NOISE_RMS[chunk.kind] if self.value is None else self.value
        noise = muscle_noise(self.seed, first, len(samples), len(chunk.channels), chunk.fs_hz)
        noisy: FloatArray = (samples + rms * noise).astype(np.float32)
        return noisy


def muscle_noise(seed: int, first: int, n_samples: int, n_channels: int, fs_hz: float) -> WideFloatArray:
    """Return muscle-like noise of RMS 1: broad-band, little below 10 Hz, in bursts.

    It is a function of the sample's number, so that any cut of a stream gets the same noise.

    Returns
    -------
    ndarray of float64, shape (n_samples, n_channels)
    """
    start = first - 1
    blocks = range(start // _BLOCK, (first + n_samples) // _BLOCK + 1)
    white = np.concatenate(
        [np.random.default_rng([seed, 0x4D55, b + 1]).standard_normal((_BLOCK, n_channels)) for b in blocks]
    )
    at = start - blocks[0] * _BLOCK
    part = white[at : at + n_samples + 1]
    times_s = np.arange(first, first + n_samples)[:, None] / fs_hz
    bursts = 1.0 + 0.6 * np.sin(2 * np.pi * 1.3 * times_s) * np.sin(2 * np.pi * 0.37 * times_s)
    noise: WideFloatArray = (part[1:] - 0.9 * part[:-1]) * bursts / np.sqrt(1.81 * 1.09)
    return noise
