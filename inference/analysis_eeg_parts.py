"""Parts of what an analysis finds in an EEG, as plain data. Times are seconds from the first sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

USED: Final = "read"
TREND_SIDES: Final = ("left", "right", "whole")
SIDED_TRENDS: Final = ("aeeg_low_uv", "aeeg_high_uv", "edge_hz", "alpha_delta", "suppression")


class EegSeizure(msgspec.Struct, frozen=True):
    """A stretch that a network holds for a seizure, by the rule of its card.

    ``raised_s`` is when the ward's worker would have known, ``at_s`` where the probability is greatest;
    ``looked`` has the derivations that were looked at most, with their mean weight (sum over all: 1);
    ``to_the_end`` that it was going on when the recording ended.
    """

    begin_s: float
    end_s: float
    raised_s: float
    at_s: float
    probability: float
    looked: dict[str, float]
    to_the_end: bool = False

    @property
    def length_s(self) -> float:
        """How long it was."""
        return self.end_s - self.begin_s


class EegElectrode(msgspec.Struct, frozen=True):
    """A channel: what its name is read as, whether it was used, and the share of seconds with each sign.

    ``use`` is "read", or why it was not; ``usable_share`` of the seconds it could be read in.
    """

    name: str
    read_as: str
    use: str
    usable_share: float | None
    signs: dict[str, float]


class EegMark(msgspec.Struct, frozen=True):
    """Something that was annotated in the file; ``seizure`` where its words name one."""

    begin_s: float
    end_s: float
    label: str
    seizure: bool


class EegComparison(msgspec.Struct, frozen=True):
    """Seizures annotated in the file against those that were found, counted by SzCORE's overlap.

    ``annotated`` is how many there are by its rules (joined under 90 s, cut at 5 min), ``found`` how many of
    them were found, ``not_annotated`` how many were found where none is annotated.
    """

    annotated: int
    found: int
    not_annotated: int


class EegLines(msgspec.Struct, frozen=True):
    """What is known of each second, by its end: None where it could not be told.

    ``probability`` is that of a seizure; ``trends`` holds each of :data:`SIDED_TRENDS` of both sides and the
    whole ("edge_hz_left") and "asymmetry".
    """

    times_s: list[float]
    probability: list[float | None]
    trends: dict[str, list[float | None]]


class EegSuppression(msgspec.Struct, frozen=True):
    """The longest stretch of suppressed seconds, and where the ratio of a minute was highest; None: none."""

    begin_s: float | None
    end_s: float | None
    highest: float | None
    highest_at_s: float | None


MINUTES_FROM_S: Final = 600.0


def span_words(seconds: float) -> str:
    """A length as people say it: "45 s", "58 min"; never more than there is."""
    if seconds < MINUTES_FROM_S:
        return f"{int(seconds + 1e-6)} s"
    minutes = int((seconds + 1e-6) / 60)
    return f"{minutes} min"


def compared_words(one: EegComparison) -> str:
    """The comparison in one line."""
    return (
        f"annotated in the file: {one.annotated}, of which {one.found} found and "
        f"{one.annotated - one.found} not; found where none is annotated: {one.not_annotated} (any overlap "
        "from 30 s before to 60 s after counts, less than 90 s apart is one, 5 min at most: SzCORE)"
    )


def looked_words(looked: dict[str, float]) -> str:
    """Derivations that were looked at most."""
    return ", ".join(looked)


def listed(names: Sequence[str], most: int = 8) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
