"""Recorded beds of the demo: which records, from where on, and what their annotations say should alarm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dashboard.errors import DashboardError
from inference.episodes import Answer, Episode, match, reference_episodes, table
from inference.types import Alarm
from ingest.types import NS_PER_S

LEAD_IN_S: Final = 30.0
"""How long before its first annotated episode a record begins."""


@dataclass(frozen=True, slots=True)
class RecordedBed:
    """A record, the second from which it is played, and its annotated episodes."""

    bed: str
    path: Path
    start_s: float
    episodes: tuple[Episode, ...]


def find_recordings(paths: tuple[Path, ...], most: int, start_s: float | None) -> list[RecordedBed]:
    """Return at most ``most`` WFDB records, those with annotated episodes first, in turn over the folders.

    Parameters
    ----------
    paths : tuple of Path
        Folders, or headers.
    most : int
        Records to play.
    start_s : float or None
        Where to begin in each; by default 30 s before its first annotated episode.

    Raises
    ------
    DashboardError
        A path is missing or holds no record.
    """
    groups = [[_bed(header, start_s) for header in _headers(path)] for path in paths]
    ranked = [sorted(group, key=lambda bed: (not bed.episodes, bed.path.name)) for group in groups]
    turns = max((len(group) for group in ranked), default=0)
    chosen = [group[turn] for turn in range(turns) for group in ranked if turn < len(group)]
    return chosen[: max(0, most)]


def _headers(path: Path) -> list[Path]:
    if not path.exists():
        raise DashboardError(f"--wfdb {path}: there is no such file or folder")
    found = sorted(path.glob("*.hea")) if path.is_dir() else [path]
    if not found:
        raise DashboardError(f"--wfdb {path}: no WFDB records (*.hea) in this folder")
    return found


def _bed(header: Path, start_s: float | None) -> RecordedBed:
    episodes = tuple(reference_episodes(header))
    if start_s is None:
        start_s = max(0.0, episodes[0].onset_s - LEAD_IN_S) if episodes else 0.0
    return RecordedBed(f"{header.parent.name}-{header.stem}", header, start_s, episodes)


def episode_table(
    beds: Iterable[RecordedBed], manifest: Path, alarms: Iterable[Alarm], ended_ns: int
) -> list[str]:
    """Lines of a table: each episode that was played, and the alarm that answered it.

    ``manifest`` is what ``wardwave replay --manifest`` wrote; an episode counts as played when at least 10 s
    of the record after its onset were sent before ``ended_ns``.
    """
    try:
        written = {item["bed"]: item for item in json.loads(manifest.read_text())["beds"]}
    except (OSError, ValueError):
        return []
    heard = list(alarms)
    answers: list[Answer] = []
    for bed in beds:
        if bed.bed not in written:
            continue
        zero_ns = int(written[bed.bed]["file_zero_ns"])
        until_s = (ended_ns - zero_ns) / NS_PER_S
        played = [
            item for item in bed.episodes if item.onset_s >= bed.start_s and item.onset_s + 10.0 <= until_s
        ]
        answers += match(played, [alarm for alarm in heard if alarm.bed == bed.bed], zero_ns)
    return table(answers) if answers else []
