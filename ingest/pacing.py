"""Chunks leave in device-time order, as fast as asked for, and the device's clock ends at the present."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy.typing as npt

from ingest.errors import SettingsError
from ingest.faults import Faults
from ingest.recording import Coding, canonical_unit
from ingest.types import NS_PER_S, Chunk, SignalKind

Publish = Callable[[Chunk], None]


class Clock(Protocol):
    """What tells the time and lets it pass."""

    def now_ns(self) -> int:
        """Return ns since the epoch."""

    def wait_until(self, time_ns: int) -> None:
        """Return at that time, at once if it has passed."""


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return ns since the epoch."""
        return time.time_ns()

    def wait_until(self, time_ns: int) -> None:
        """Sleep until then."""
        rest_ns = time_ns - time.time_ns()
        if rest_ns > 0:
            time.sleep(rest_ns / NS_PER_S)


class ChunkPublisher(Protocol):
    """The part of :class:`ingest.publisher.Publisher` that is used here."""

    def publish(
        self,
        *,
        bed: str,
        kind: str,
        channels: Sequence[str],
        unit: str,
        fs_hz: float,
        start_ns: int,
        samples: npt.ArrayLike,
        gain: Sequence[float] | None = None,
        baseline: Sequence[float] | None = None,
        seq: int | None = None,
        device: str | None = None,
        lead_off: Sequence[bool] | None = None,
    ) -> None:
        """Send one chunk."""


@dataclass(frozen=True, slots=True)
class PlayCount:
    """What was sent: chunks taken in, chunks after faults, samples."""

    planned: int
    sent: int
    samples: int


def parse_speed(text: str) -> float:
    """Read ``1``, ``10`` or ``max`` (infinite).

    Raises
    ------
    SettingsError
        Not a positive number.
    """
    if text.strip().lower() == "max":
        return math.inf
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not speed > 0:
        raise SettingsError(f"speed {text!r}: give 1 (real time), 10 or another positive number, or max")
    return speed


def device_start_ns(now_ns: int, length_s: float | None, speed: float) -> int:
    """Return the device time of the first sample so that the last one is at the present when it is sent.

    Parameters
    ----------
    length_s : float or None
        Of the longest stream; None where it has no end.

    Raises
    ------
    SettingsError
        An endless stream faster than real time would run into the future.
    """
    if speed == 1.0:
        return now_ns
    if length_s is None:
        raise SettingsError(
            f"an endless stream at speed {speed:g} has no end to place at the present: give a duration"
        )
    return now_ns + round((length_s / speed - length_s) * NS_PER_S)


def play(
    chunks: Iterable[Chunk],
    publish: Publish,
    *,
    start_ns: int,
    speed: float,
    clock: Clock,
    faults: Faults | None = None,
    progress: Callable[[float], None] | None = None,
) -> PlayCount:
    """Publish chunks when a device would, ``speed`` times as fast.

    Parameters
    ----------
    chunks : iterable of Chunk
        In the order of their ends. A chunk leaves when its last sample exists.
    publish : callable
        Takes each chunk.
    start_ns : int
        Device time at which playing begins.
    faults : Faults, optional
        What goes wrong on the way.
    progress : callable, optional
        Is told the device seconds played.
    """
    wall_ns = clock.now_ns()
    planned = sent = samples = 0
    for chunk in chunks:
        played_ns = chunk.end_ns - start_ns
        if math.isfinite(speed):
            clock.wait_until(wall_ns + round(played_ns / speed))
        planned += 1
        for out in [chunk] if faults is None else faults.push(chunk):
            publish(out)
            sent += 1
            samples += out.n_samples
        if progress is not None:
            progress(played_ns / NS_PER_S)
    for out in [] if faults is None else faults.flush():
        publish(out)
        sent += 1
        samples += out.n_samples
    return PlayCount(planned, sent, samples)


def publish_through(
    publisher: ChunkPublisher, codings: Mapping[tuple[str, SignalKind], Coding | None]
) -> Publish:
    """Return what sends a chunk through a publisher, as int16 where its stream has a coding."""

    def publish(chunk: Chunk) -> None:
        coding = codings.get((chunk.bed, chunk.kind))
        publisher.publish(
            bed=chunk.bed,
            kind=str(chunk.kind),
            channels=chunk.channels,
            unit=canonical_unit(chunk.kind),
            fs_hz=chunk.fs_hz,
            start_ns=chunk.start_ns,
            samples=chunk.samples if coding is None else coding.digitise(chunk.samples),
            gain=None if coding is None else coding.gain,
            baseline=None if coding is None else coding.baseline,
            seq=chunk.seq,
            device=chunk.device,
            lead_off=chunk.lead_off,
        )

    return publish


@contextlib.contextmanager
def progress_bar(length_s: float | None) -> Iterator[Callable[[float], None]]:
    """Show seconds of device time on a terminal; nothing where there is none."""
    from tqdm import tqdm

    with tqdm(total=length_s, unit="s", disable=None, smoothing=0.1, mininterval=0.5) as bar:
        shown_s = last_s = 0.0

        def advance(played_s: float) -> None:
            nonlocal shown_s, last_s
            last_s = played_s
            if played_s - shown_s >= 0.5:
                bar.update(round(played_s - shown_s, 3))
                shown_s = played_s

        yield advance
        bar.update(round(last_s - shown_s, 3))
