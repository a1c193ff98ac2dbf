"""What the EEG monitor takes of a stream's channels, and which of their derivations are mirror images."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np

from inference.eeg_trends import LEFT, RIGHT
from ingest.continuity import Piece
from ingest.montage import LONGITUDINAL, Plan, plan_of
from ingest.types import BoolArray

MOST_UNKNOWN: Final = 32
"""Channels that are watched where no derivation can be made of any."""


def mirrored(plan: Plan) -> BoolArray:
    """Which derivations have their mirror image on the other side; shape (D,)."""
    names = dict(zip(plan.places.tolist(), plan.names, strict=True))
    found = np.zeros(len(LONGITUDINAL), dtype=np.bool_)
    for left, right in zip(LEFT.tolist(), RIGHT.tolist(), strict=True):
        both = left in names and right in names and _mirror(names[left]) == names[right]
        found[left] = found[right] = both
    return found


def _mirror(name: str) -> str:
    """The derivation on the other side of one on the left (``F3-C3`` → ``F4-C4``)."""
    return re.sub(r"\d+", lambda number: str(int(number[0]) + 1), name)


@lru_cache(maxsize=512)
def _kept(channels: tuple[str, ...]) -> tuple[int, ...]:
    """Columns that are looked at: what the montage is made of, or all EEG where it cannot be made."""
    plan = plan_of(channels)
    columns = plan.inputs.tolist() or list(plan.electrodes.columns) or list(range(len(channels)))
    return tuple(columns[: max(MOST_UNKNOWN, len(plan.inputs))])


def narrowed(piece: Piece) -> Piece:
    """A piece without the channels that nothing is made of."""
    chunk = piece.chunk
    kept = _kept(chunk.channels)
    if len(kept) == len(chunk.channels):
        return piece
    columns = list(kept)
    off = chunk.lead_off
    return replace(
        piece,
        chunk=replace(
            chunk,
            channels=tuple(chunk.channels[column] for column in columns),
            samples=chunk.samples[:, columns],
            lead_off=None if off is None else tuple(off[column] for column in columns),
        ),
        samples=piece.samples[:, columns],
    )
