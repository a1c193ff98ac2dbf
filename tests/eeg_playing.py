"""An EEG played into a monitor of EEGs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from inference.alarm_book import AlarmBook
from inference.eeg_monitor import EegMonitor
from inference.monitor import Outcome
from inference.types import EegTrends
from inference.windows import WindowMonitor
from ingest.continuity import Piece
from ingest.sim_eeg import EegStream
from ingest.sim_eeg_waves import CHANNELS
from ingest.sim_events import Event
from ingest.types import NS_PER_S, Chunk, SignalKind

T0 = 1_700_000_000 * NS_PER_S
FS = 256.0


def monitor() -> EegMonitor:
    """A monitor with alarms as the catalogue sets them."""
    return EegMonitor(WindowMonitor(SignalKind.EEG, AlarmBook(), lambda: T0))


def simulated(seconds: int, *events: Event, bed: str = "bed", seed: int = 1) -> np.ndarray:
    """A simulated EEG, (n_samples, 19) in µV at 256 Hz."""
    return EegStream(seed, bed, events).next_samples(round(seconds * FS))


def pieces(
    samples: np.ndarray,
    channels: Sequence[str] = CHANNELS,
    *,
    fs_hz: float = FS,
    cuts: Iterable[int] | None = None,
    bed: str = "bed",
    begin_s: float = 0.0,
    off: Sequence[str] = (),
    restart: bool = True,
    first: int = 0,
) -> list[tuple[str, Piece]]:
    """Cut a signal into pieces: a second each, or at some samples."""
    edges = [
        0,
        *(cuts if cuts is not None else range(round(fs_hz), len(samples), round(fs_hz))),
        len(samples),
    ]
    flags = tuple(name in off for name in channels) if off else None
    made = []
    for nth, (begin, end) in enumerate(zip(edges, edges[1:], strict=False)):
        if begin == end:
            continue
        part = samples[begin:end].astype(np.float32)
        start_ns = T0 + round((begin_s + begin / fs_hz) * NS_PER_S)
        chunk = Chunk(bed, "amp", SignalKind.EEG, tuple(channels), fs_hz, start_ns, nth, part, flags)
        made.append((bed, Piece(chunk, first + nth, part, start_ns, 0, restart and begin == 0)))
    return made


def play(into: EegMonitor, parts: Sequence[tuple[str, Piece]], at_once: int = 1) -> Outcome:
    """Push pieces, so many at once."""
    outcome = Outcome()
    for begin in range(0, len(parts), at_once):
        outcome.extend(into.push(parts[begin : begin + at_once]))
    return outcome


def trends(outcome: Outcome) -> list[EegTrends]:
    """Of each second."""
    return [vital.eeg for vital in outcome.vitals if vital.eeg is not None]


def raised(outcome: Outcome) -> list[str]:
    """Kinds of alarms that began."""
    return [alarm.kind for alarm in outcome.alarms if alarm.state.value == "active"]
