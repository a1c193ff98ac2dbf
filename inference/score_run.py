"""Whole records through the worker's pipeline at full speed, on the records' own clock.

Continuity, bank, networks, rules, engine and alarm book are the worker's; only Kafka is left out. Nothing is
ever dropped (``overload=queue``): the next second is not taken before the last one is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tqdm import tqdm

from inference.beat_classes import BeatPredictor
from inference.monitor import EcgMonitor
from inference.predictor import Predictor
from inference.types import Alarm
from ingest.continuity import Continuity
from ingest.replay import Source, read_sources, source_chunks
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, SignalKind

START_NS: Final = 1_700_000_000 * NS_PER_S
"""Device time of the first sample of every record."""

AT_ONCE: Final = 100
"""Records that are played side by side: bounds what is held in memory."""


def bed_of(record: Path) -> str:
    """Name of the bed that plays a record: its folder and its own name, as cards name it."""
    return f"{record.parent.name}/{record.name.removesuffix('.hea')}"


def make_monitor(predictor: Predictor, beats: BeatPredictor | None) -> EcgMonitor:
    """The pipeline behind the raw topic; its clock stands still, for what matters is the records' time."""
    return EcgMonitor(predictor, lambda: START_NS, beats)


def play(
    records: Sequence[Path], predictor: Predictor, beats: BeatPredictor | None, settings: IngestSettings
) -> dict[str, list[Alarm]]:
    """Play records side by side, a second each in turn.

    Returns
    -------
    dict of str to list of Alarm
        Every step of the lives of each bed's alarms.
    """
    alarms: dict[str, list[Alarm]] = {bed_of(record): [] for record in records}
    bar = tqdm(total=len(records), unit="record", disable=None)
    for begin in range(0, len(records), AT_ONCE):
        part = records[begin : begin + AT_ONCE]
        sources = [source for record in part for source in read_sources([record], [bed_of(record)])]
        for alarm in _play(sources, make_monitor(predictor, beats), settings):
            alarms[alarm.bed].append(alarm)
        bar.update(len(part))
    bar.close()
    return alarms


def _play(sources: Sequence[Source], monitor: EcgMonitor, settings: IngestSettings) -> list[Alarm]:
    heard: list[Alarm] = []
    ecg = [source for source in sources if source.signal.kind is SignalKind.ECG]
    lines = {source.bed: Continuity(settings) for source in ecg}
    streams = [source_chunks(source, START_NS, source.signal.n_samples, 1.0, "score") for source in ecg]
    offset = 0
    while streams:
        turn = [(stream, next(stream, None)) for stream in streams]
        streams = [stream for stream, chunk in turn if chunk is not None]
        pieces = [
            (chunk.bed, piece)
            for _, chunk in turn
            if chunk is not None
            for piece in lines[chunk.bed].push(chunk, offset, chunk.end_ns // 1_000_000)
        ]
        heard.extend(monitor.push(pieces).alarms)
        offset += 1
    return heard
