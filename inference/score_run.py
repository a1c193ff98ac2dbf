"""Whole records through the worker's pipeline at full speed, on the records' own clock.

Continuity, bank, networks, rules, pulses, engine and alarm book are the worker's; only Kafka and the wire are
left out, and with them the alarm that looks at the machine's clock (no data). Nothing is ever dropped
(``overload=queue``): the next second is not taken before the last one is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol

from tqdm import tqdm

from inference.beat_predictor import BeatPredictor
from inference.bedside import Bedside
from inference.monitor import Outcome
from inference.predictor import Predictor
from inference.types import Alarm
from ingest.continuity import Continuity, Piece
from ingest.replay import Source, read_sources, source_chunks
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk

START_NS: Final = 1_700_000_000 * NS_PER_S
"""Device time of the first sample of every record."""

CHUNK_S: Final = 1.0
AT_ONCE: Final = 100
"""Records that are played side by side: bounds what is held in memory."""


class Monitors(Protocol):
    """What pieces are pushed into: a :class:`inference.bedside.Bedside`, or one monitor of it."""

    def push(self, pieces: Iterable[tuple[str, Piece]]) -> Outcome:
        """Append pieces and judge what became due."""
        ...


class VirtualClock:
    """Wall clock of a replay: a record's second is judged the moment it is there."""

    def __init__(self) -> None:
        self.now_ns = START_NS

    def __call__(self) -> int:
        """Nanoseconds since the epoch."""
        return self.now_ns


def bed_of(record: Path) -> str:
    """Name of the bed that plays a record: its folder and its own name, as cards name it."""
    return f"{record.parent.name}/{record.name.removesuffix('.hea')}"


def play(
    records: Sequence[Path], predictor: Predictor, beats: BeatPredictor | None, settings: IngestSettings
) -> dict[str, list[Alarm]]:
    """Play records side by side, all their signals, a second each in turn.

    Returns
    -------
    dict of str to list of Alarm
        Every step of the lives of each bed's alarms.

    Raises
    ------
    BadRecording
        A record cannot be read or has no signal that a bed may carry.
    """
    alarms: dict[str, list[Alarm]] = {bed_of(record): [] for record in records}
    for begin in range(0, len(records), AT_ONCE):
        part = records[begin : begin + AT_ONCE]
        sources = [source for record in part for source in read_sources([record], [bed_of(record)])]
        clock = VirtualClock()
        steps = play_sources(sources, Bedside(predictor, clock, beats), clock, settings)
        seconds = round(max((source.signal.duration_s for source in sources), default=0.0))
        for outcome in tqdm(steps, total=seconds, unit="s", desc=f"{len(part)} records", disable=None):
            for alarm in outcome.alarms:
                alarms[alarm.bed].append(alarm)
    return alarms


def play_sources(
    sources: Sequence[Source], bedside: Monitors, clock: VirtualClock, settings: IngestSettings
) -> Iterator[Outcome]:
    """Push signals that are in memory, a second of each in turn; yield what each second gave.

    Parameters
    ----------
    sources : sequence of Source
        Not empty; one per bed and signal kind.
    bedside : Monitors
        Fresh; its clock is ``clock``.
    clock : VirtualClock
        Set to the end of each second before it is judged.
    settings : IngestSettings
        Limits of continuity.
    """
    lines = {(source.bed, source.signal.kind): Continuity(settings) for source in sources}
    streams = [
        source_chunks(source, START_NS, source.signal.n_samples, CHUNK_S, "score") for source in sources
    ]
    offset = 0
    for turn in _turns(streams):
        clock.now_ns = max(chunk.end_ns for chunk in turn)
        pieces: list[tuple[str, Piece]] = []
        for chunk in turn:
            line = lines[chunk.bed, chunk.kind]
            pieces.extend((chunk.bed, piece) for piece in line.push(chunk, offset, chunk.end_ns // 1_000_000))
            offset += 1
        yield bedside.push(pieces)


def _turns(streams: Sequence[Iterator[Chunk]]) -> Iterator[list[Chunk]]:
    """The next chunk of each stream that has one; all of a turn are of one second."""
    while turn := [chunk for stream in streams if (chunk := next(stream, None)) is not None]:
        yield turn
