"""What the line looked like where an alarm was false, so that a reader can judge for himself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from inference.errors import InferenceError
from inference.score import RecordScore
from ingest.recording import kind_of_channel
from ingest.types import SignalKind, WideFloatArray

BEFORE_S: Final = 12.0
AFTER_S: Final = 3.0
LEADS: Final = 2


@dataclass(frozen=True, slots=True)
class Strip:
    """ECG around an alarm; ``raised_s`` and ``length_s`` count from the strip's begin."""

    title: str
    raised_s: float
    length_s: float
    leads: tuple[tuple[str, WideFloatArray], ...]


def false_strips(scores: Sequence[RecordScore], paths: Mapping[str, Path], most: int) -> list[Strip]:
    """Strips of the first ``most`` false alarms.

    Parameters
    ----------
    scores : sequence of RecordScore
        In the order in which they are shown.
    paths : mapping of str to Path
        Where each record is.
    most : int
        How many.

    Raises
    ------
    InferenceError
        A record cannot be read.
    """
    chosen = [(score, alarm) for score in scores for alarm in score.false][:most]
    return [
        read_strip(
            paths[score.record], f"{score.record}, {alarm.raised_s:.0f} s: {alarm.message}", alarm.raised_s
        )
        for score, alarm in chosen
    ]


def read_strip(path: Path, title: str, raised_s: float) -> Strip:
    """Read the ECG from 12 s before to 3 s after a moment."""
    try:
        header = wfdb.rdheader(str(path))
        fs_hz, whole = float(header.fs), int(header.sig_len)
        first = min(max(0, round((raised_s - BEFORE_S) * fs_hz)), whole - 1)
        last = min(whole, max(first + 1, round((raised_s + AFTER_S) * fs_hz)))
        names = [name for name in header.sig_name if kind_of_channel(name) is SignalKind.ECG][:LEADS]
        record = wfdb.rdrecord(str(path), sampfrom=first, sampto=last, channel_names=names)
    except (OSError, ValueError) as error:
        raise InferenceError(f"record {path}: {error}; run without --strips") from error
    samples = np.asarray(record.p_signal, dtype=np.float64)
    leads = tuple((name, samples[:, at]) for at, name in enumerate(names))
    return Strip(title, raised_s - first / fs_hz, (last - first) / fs_hz, leads)
