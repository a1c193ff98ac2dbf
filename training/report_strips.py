"""Strips of the worst items, read from the recordings where the task gave none."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ingest import conditioning
from ingest.conditioning import conditioning_of
from models.spec import ModelSpec
from training.errors import DataMissing
from training.evaluation import Strip
from training.report_summary import Summary
from training.sources import conditioned

logger = logging.getLogger(__name__)

ITEM: Final = re.compile(
    r"^(?P<record>[^\s/]+/[^\s]+)(?: lead (?P<lead>\d+))?(?: @ (?P<time_s>\d+(?:\.\d+)?) s)?"
)
STRIP_S: Final = 10.0
WHOLE_S: Final = 30.0
PER_CLASSIFICATION: Final = 6


def _cut(signal_s: float, time_s: float | None) -> tuple[float, float]:
    """Begin and end of what is shown, in seconds of the record."""
    if time_s is None:
        return 0.0, min(signal_s, WHOLE_S)
    begin = max(0.0, min(time_s - STRIP_S / 2, signal_s - STRIP_S))
    return begin, min(signal_s, begin + STRIP_S)


def strip_of(item: str, title: str, data: Path, spec: ModelSpec) -> Strip | None:
    """The recording around an item, conditioned as the model's input is; None where it names no recording.

    Parameters
    ----------
    item : str
        ``source/record``, with ``lead N`` and ``@ T s`` (conditioned time) where it is a part of it.
    """
    found = ITEM.match(item)
    if found is None:
        return None
    chain = conditioning_of(spec.fs_hz, spec.band_hz)
    try:
        signal, leads, fs_hz = conditioned(data / found["record"], chain, kinds=("RESP", "PLETH", "ABP"))
    except DataMissing as error:
        logger.warning("no strip of %s: %s", item, error)
        return None
    lead = min(int(found["lead"] or 1), len(leads)) - 1
    time_s = None if found["time_s"] is None else float(found["time_s"])
    shift_s = conditioning.delay_s(fs_hz, chain)
    begin, end = _cut(signal.shape[1] / spec.fs_hz, time_s)
    part = signal[lead : lead + 1, round(begin * spec.fs_hz) : round(end * spec.fs_hz)]
    marks = () if time_s is None else ((time_s - begin, "here"),)
    return Strip(
        f"{title} ({leads[lead]}, from {max(0.0, begin - shift_s):.1f} s, mV)",
        spec.fs_hz,
        np.asarray(part, dtype=np.float32),
        marks,
    )


def worst_strips(summaries: Sequence[Summary], data: Path, spec: ModelSpec) -> tuple[Strip, ...]:
    """For each classification the surest wrong item of each of its worst records."""
    strips = []
    for summary in summaries:
        for worst in summary.worst[:PER_CLASSIFICATION]:
            strip = strip_of(worst.item, f"{worst.item}: {worst.said}, {summary.title}", data, spec)
            if strip is not None:
                strips.append(strip)
    return tuple(strips)
