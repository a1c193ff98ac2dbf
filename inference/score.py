"""Whole records through the monitor at full speed: which annotated episodes alarmed, when, and what else did.

The same continuity, bank, network, rules and engine as in the worker; only Kafka is left out and the clock is
the record's own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from tqdm import tqdm

from inference.beat_classes import BeatPredictor
from inference.episodes import ANSWERS, TOLERANCE_S, Answer, Episode, match, reference_episodes
from inference.monitor import EcgMonitor, Outcome
from inference.predictor import Predictor
from inference.types import Alarm, AlarmState, Priority
from ingest.continuity import Continuity
from ingest.replay import Source, read_sources, source_chunks
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, SignalKind
from models.spec import ModelSpec

START_NS = 1_700_000_000 * NS_PER_S


@dataclass(frozen=True, slots=True)
class RecordScore:
    """One record.

    Parameters
    ----------
    record, side : str
        Its name, and the side of the model's split on which it is ("train", "validation", "test", …).
    length_s : float
        Its length.
    answers : tuple of Answer
        One for each annotated episode.
    besides : tuple of Alarm
        High-priority alarms at no annotated episode.
    """

    record: str
    side: str
    length_s: float
    answers: tuple[Answer, ...]
    besides: tuple[Alarm, ...]


def score_records(
    records: Sequence[Path],
    predictor: Predictor,
    settings: IngestSettings,
    beats: BeatPredictor | None = None,
) -> list[RecordScore]:
    """Play records side by side, a second each in turn, and match their alarms with their annotations."""
    sources = {
        record: source
        for record in records
        for source in read_sources([record], [f"{record.parent.name}/{record.stem}"])
        if source.signal.kind is SignalKind.ECG
    }
    heard = _play(list(sources.values()), EcgMonitor(predictor, lambda: START_NS, beats), settings)
    scores = []
    for record, source in sources.items():
        alarms = [alarm for alarm in heard.alarms if alarm.bed == source.bed]
        length_s = source.signal.n_samples / source.signal.fs_hz
        episodes = reference_episodes(record)
        scores.append(
            RecordScore(
                source.bed,
                side_of(predictor.spec, source.bed),
                length_s,
                tuple(match(episodes, alarms, START_NS)),
                tuple(_besides(episodes, alarms)),
            )
        )
    return scores


def _play(sources: Sequence[Source], monitor: EcgMonitor, settings: IngestSettings) -> Outcome:
    lines = {source.bed: Continuity(settings) for source in sources}
    streams = [source_chunks(source, START_NS, source.signal.n_samples, 1.0, "score") for source in sources]
    heard = Outcome()
    offset = 0
    longest_s = max((source.signal.duration_s for source in sources), default=0.0)
    bar = tqdm(total=round(longest_s), unit="s", desc=f"{len(sources)} records", disable=None)
    while streams:
        turn = [(stream, next(stream, None)) for stream in streams]
        streams = [stream for stream, chunk in turn if chunk is not None]
        pieces = [
            (chunk.bed, piece)
            for _, chunk in turn
            if chunk is not None
            for piece in lines[chunk.bed].push(chunk, offset, chunk.end_ns // 1_000_000)
        ]
        heard.alarms.extend(monitor.push(pieces).alarms)
        offset += 1
        bar.update()
    bar.close()
    return heard


def _besides(episodes: Sequence[Episode], alarms: Iterable[Alarm]) -> list[Alarm]:
    """High-priority alarms that no annotated episode explains."""

    def explained(alarm: Alarm) -> bool:
        raised_s = (alarm.raised_ns - START_NS) / NS_PER_S
        return any(
            alarm.kind in ANSWERS[episode.kind]
            and episode.onset_s - 2.0 <= raised_s <= episode.end_s + TOLERANCE_S
            for episode in episodes
        )

    begun = (alarm for alarm in alarms if alarm.state is AlarmState.ACTIVE)
    return [alarm for alarm in begun if alarm.priority is Priority.HIGH and not explained(alarm)]


def side_of(card: ModelSpec, record: str) -> str:
    """Side of the model's split on which a record is."""
    whole_set = record.split("/")[0]
    # A card names records one by one, or says of a whole set where its other records are.
    for named in (record, whole_set):
        for side, names in card.split.items():
            if any(name == named or name.startswith(f"{named}:") for name in names):
                return side
    return "not named"


def poisson_interval(count: int) -> tuple[float, float]:
    """Exact 95 % interval of a count (Garwood 1936)."""
    low = float(stats.chi2.ppf(0.025, 2 * count) / 2) if count else 0.0
    return low, float(stats.chi2.ppf(0.975, 2 * count + 2) / 2)


def report(scores: Sequence[RecordScore]) -> list[str]:
    """Markdown: a line per record with episodes or false alarms, then a summary per side of the split."""
    lines = [
        "| record | side | hours | episodes | answered | delay median (s) | delay worst (s) | besides |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_record_line(score) for score in scores]
    for side in dict.fromkeys(score.side for score in scores):
        lines += ["", *_side_lines(side, [score for score in scores if score.side == side])]
    return lines


def _record_line(score: RecordScore) -> str:
    delays = _delays(score.answers)
    median = f"{np.median(delays):.1f}" if delays else ""
    worst = f"{max(delays):.1f}" if delays else ""
    kinds = Counter(alarm.kind for alarm in score.besides)
    besides = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return (
        f"| {score.record} | {score.side} | {score.length_s / 3600:.2f} | {len(score.answers)} | "
        f"{len(delays)} | {median} | {worst} | {besides} |"
    )


def _delays(answers: Iterable[Answer]) -> list[float]:
    return [answer.delay_s for answer in answers if answer.delay_s is not None]


def _side_lines(side: str, scores: Sequence[RecordScore]) -> list[str]:
    days = sum(score.length_s for score in scores) / 86_400
    lines = [f"**{side}**: {len(scores)} records, {days:.2f} bed-days"]
    for kind in ANSWERS:
        answers = [a for score in scores for a in score.answers if a.episode.kind == kind]
        if not answers:
            continue
        delays = _delays(answers)
        within = sum(delay <= 10.0 for delay in delays)
        middle = (
            f", median {np.median(delays):.1f} s, p95 {np.percentile(delays, 95):.1f} s" if delays else ""
        )
        lines.append(f"- {kind}: {len(delays)} of {len(answers)} episodes, {within} within 10 s{middle}")
    quiet = [score for score in scores if not score.answers]
    false = sum(len(score.besides) for score in quiet)
    low, high = poisson_interval(false)
    quiet_days = sum(score.length_s for score in quiet) / 86_400
    lines.append(
        f"- high-priority alarms in the {len(quiet)} records without annotated episodes: {false} in "
        f"{quiet_days:.2f} bed-days (95 % interval of the count {low:.1f} to {high:.1f}); "
        f"in the others, besides their episodes: {sum(len(s.besides) for s in scores) - false}"
    )
    return lines
