"""What the devices of a chaos run send: a small ward of simulated and real records, second by second.

The plan is made once and kept on disk, so that a device that was killed goes on where it stopped and an
unbroken run gets the very same bytes.
"""

from __future__ import annotations

import heapq
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ingest import wire
from ingest.recording import Coding, canonical_unit
from ingest.replay import Source, read_sources, source_chunks
from ingest.simulate import Ward
from ingest.types import NS_PER_S, Chunk, SignalKind

logger = logging.getLogger(__name__)

DEVICE: Final = "chaos"
EVERY_S: Final = 60
"""What happens at a simulated bed happens again after so long."""

LEAST_EVENT_S: Final = 5
"""Nothing begins so shortly before the end."""

SIGNALS: Final[Mapping[str, tuple[SignalKind, ...]]] = {
    "bed-01": (SignalKind.ECG,),
    "bed-02": (SignalKind.ECG, SignalKind.EEG),
    "bed-03": (SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND),
}
"""What each simulated bed carries."""

STORY: Final = (
    ("bed-01", "asystole", 12, 9),
    ("bed-01", "vf", 36, 12),
    ("bed-02", "tachy", 8, 26),
    ("bed-02", "seizure", 20, 30),
    ("bed-03", "wheeze", 10, 25),
)
"""Bed, event, when in each minute, for how long (s)."""

RECORDS: Final = (("bed-04", "mitdb/207"), ("bed-05", "vfdb/430"))
"""Real records with ventricular fibrillation, where they are."""


class Sent(msgspec.Struct, frozen=True):
    """One record for the raw topic: its key, and its value as bytes."""

    bed: str
    value: bytes


class Plan(msgspec.Struct, frozen=True):
    """Everything that is sent: ``seconds`` holds the chunks that are complete after each second.

    ``ends_ns`` is the device time at which each stream ("bed/signal") ends.
    """

    start_ns: int
    seconds: list[list[Sent]]
    ends_ns: dict[str, int]

    @property
    def beds(self) -> list[str]:
        """Beds that send."""
        return sorted({stream.partition("/")[0] for stream in self.ends_ns})

    @property
    def n_records(self) -> int:
        """How many chunks are sent."""
        return sum(map(len, self.seconds))

    def write(self, path: Path) -> None:
        """Keep the plan for the device's process."""
        path.write_bytes(msgspec.msgpack.encode(self))


def read_plan(path: Path) -> Plan:
    """Read what :meth:`Plan.write` wrote."""
    return msgspec.msgpack.decode(path.read_bytes(), type=Plan)


@dataclass(frozen=True, slots=True)
class WardOptions:
    """Which ward is replayed.

    Parameters
    ----------
    seconds : int
        How long.
    seed : int
        Of the simulated beds.
    n_beds : int
        Simulated beds, at most those of :data:`SIGNALS`; the real ones come in addition.
    data : Path or None
        Folder of real recordings; those of :data:`RECORDS` that are there are replayed, too.
    """

    seconds: int
    seed: int = 1
    n_beds: int = 3
    data: Path | None = None


def make_plan(options: WardOptions, start_ns: int) -> Plan:
    """Make all chunks of a ward, one second each, encoded as devices do.

    Parameters
    ----------
    start_ns : int
        Device time of the first sample of every signal.
    """
    streams = [
        *(_simulated(options, bed, start_ns) for bed in list(SIGNALS)[: options.n_beds]),
        *(_real(source, options.seconds, start_ns) for source in _sources(options)),
    ]
    seconds: list[list[Sent]] = [[] for _ in range(options.seconds)]
    ends_ns: dict[str, int] = {}
    for chunk, coding in heapq.merge(*streams, key=lambda item: item[0].end_ns):
        after = math.ceil((chunk.end_ns - start_ns) / NS_PER_S - 1e-6)
        seconds[min(after, options.seconds) - 1].append(Sent(chunk.bed, _encode(chunk, coding)))
        ends_ns[f"{chunk.bed}/{chunk.kind}"] = chunk.end_ns
    return Plan(start_ns, seconds, ends_ns)


def _simulated(options: WardOptions, bed: str, start_ns: int) -> Iterator[tuple[Chunk, Coding | None]]:
    kinds = SIGNALS[bed]
    events = [
        f"{bed}:{name}@{begin_s}s:{for_s}s"
        for of, name, at_s, for_s in STORY
        if of == bed
        for begin_s in range(at_s, options.seconds - LEAST_EVENT_S, EVERY_S)
    ]
    ward = Ward(options.n_beds, options.seed, events, kinds)
    signals = [ward.signal(bed, kind, start_ns) for kind in kinds]
    for second in range(options.seconds):
        for signal in signals:
            chunk = signal.next_chunk(second + 1.0)
            if chunk is not None:
                yield chunk, ward.codings[bed, chunk.kind]


def _sources(options: WardOptions) -> list[Source]:
    found: list[Source] = []
    for bed, name in RECORDS:
        path = None if options.data is None else options.data / name
        if path is None or not path.with_suffix(".hea").is_file():
            continue
        found += [one for one in read_sources([path], [bed]) if one.signal.kind is SignalKind.ECG]
    if options.data is not None and not found:
        logger.warning("no recordings under %s: only simulated beds are replayed", options.data)
    return found


def _real(source: Source, seconds: int, start_ns: int) -> Iterator[tuple[Chunk, Coding | None]]:
    n_samples = round(seconds * source.signal.fs_hz)
    for chunk in source_chunks(source, start_ns, n_samples, 1.0, DEVICE):
        yield chunk, source.signal.coding


def _encode(chunk: Chunk, coding: Coding | None) -> bytes:
    return wire.encode(
        bed=chunk.bed,
        device=DEVICE,
        kind=chunk.kind,
        channels=chunk.channels,
        unit=canonical_unit(chunk.kind),
        fs_hz=chunk.fs_hz,
        start_ns=chunk.start_ns,
        seq=chunk.seq,
        samples=chunk.samples if coding is None else coding.digitise(chunk.samples),
        gain=None if coding is None else coding.gain,
        baseline=None if coding is None else coding.baseline,
        lead_off=chunk.lead_off,
    )
