"""On which side of the models' splits a record is: figures on what a model trained on say little."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

SIDES: Final = ("train", "validation", "left_out", "test", "not named")
"""From the side that says least of unseen patients to the one that says most."""

Split = Mapping[str, Sequence[str]]
"""A card's sides, each with names of records ("mitdb/101") or a whole set ("cinc2017: 1544 records …")."""


def side_in(split: Split, record: str) -> str:
    """Side of one split; a card names records one by one, or says of a whole set where the others are."""
    for named in (record, record.split("/")[0]):
        for side, names in split.items():
            if any(name == named or name.startswith(f"{named}:") for name in names):
                return side
    return "not named"


def side_of(splits: Iterable[Split], record: str) -> str:
    """Side over several models' splits: the one that says least ("train" where any of them trained on it)."""
    return min((side_in(split, record) for split in splits), key=_rank, default="not named")


def ordered(sides: Iterable[str]) -> list[str]:
    """Each side once, trained ones first."""
    return sorted(set(sides), key=lambda side: (_rank(side), side))


def _rank(side: str) -> int:
    return SIDES.index(side) if side in SIDES else len(SIDES)
