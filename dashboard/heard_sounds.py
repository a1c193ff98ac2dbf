"""What networks said of a bed's sounds in the last minute: pieces of some seconds with the events in them."""

from __future__ import annotations

import itertools
from typing import Final

import msgspec

from inference.newest import Place, place
from inference.types import Prediction
from inference.windows import CLEAN
from ingest.types import NS_PER_S, SignalKind

HELD_S: Final = 75.0
"""A little over what the browser holds of the sound itself."""

MOST_EVENTS: Final = 64
"""Of one piece: what comes over the wire is bounded."""

MOST_CHARACTERS: Final = 40
SOUNDS: Final = frozenset({SignalKind.LUNG_SOUND.value, SignalKind.HEART_SOUND.value})

LATELY_S: Final = 20.0
LEAST_PIECES: Final = 2
"""A tile names what was marked in so many pieces of the last seconds: once may have been anything."""

ABNORMAL: Final = ("wheeze", "crackle", "murmur")
_MURMUR: Final = 0.5
"""A murmur has no events: it is heard in a piece from this probability on."""

_epochs = itertools.count(1)


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A marked event (a crackle, a wheeze, S1), device time in s since the epoch, and its probability."""

    start_s: float
    end_s: float
    label: str
    probability: float


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A piece that a network judged; ``judged`` is false where the sound could not be used."""

    start_s: float
    end_s: float
    judged: bool
    probabilities: dict[str, float]
    spans: list[Span]


class Heard(msgspec.Struct, frozen=True):
    """Pieces of one sound that came after some count; ``epoch`` changes where they begin anew."""

    epoch: int
    count: int
    model: str
    pieces: list[Piece]


class HeardSounds:
    """Pieces of one sound of one bed, by the time of their end; what is told again counts once."""

    __slots__ = ("_count", "_epoch", "_held", "_highest", "_model")

    def __init__(self) -> None:
        self._highest: Place = (-1, -1)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._epoch = next(_epochs)
        self._count = 0
        self._model = ""
        self._held: dict[int, tuple[int, Place, Piece]] = {}

    @property
    def model(self) -> str:
        """Name of the network that judges; empty where none does."""
        return self._model

    def add(self, told: Prediction) -> None:
        """Take in a prediction of a sound."""
        newest, order = max(self._held, default=told.end_ns), place(told)
        if told.end_ns < newest - HELD_S * NS_PER_S or (told.model != self._model and self._held):
            if order <= self._highest:
                return
            # Not a late copy: the device's clock was set back, or another network listens.
            self._begin_anew()
        held = self._held.get(told.end_ns)
        if held is not None and held[1] >= order:
            return
        self._highest = max(self._highest, order)
        self._model = told.model
        self._count += 1
        self._held[told.end_ns] = (self._count, order, _piece(told))
        oldest = max(self._held) - round(HELD_S * NS_PER_S)
        for end_ns in [end_ns for end_ns in self._held if end_ns < oldest]:
            del self._held[end_ns]

    def since(self, epoch: int, count: int) -> Heard:
        """Return pieces that came after a count of an epoch; all of them where that is another one."""
        after = count if epoch == self._epoch else 0
        pieces = [piece for number, _, piece in self._held.values() if number > after]
        return Heard(self._epoch, self._count, self._model, pieces)

    def lately(self) -> tuple[str, ...]:
        """Return what of :data:`ABNORMAL` was heard in the newest seconds more than once."""
        since_ns = max(self._held, default=0) - round(LATELY_S * NS_PER_S)
        labels = [_labels(piece) for end_ns, (_, _, piece) in self._held.items() if end_ns > since_ns]
        return tuple(name for name in ABNORMAL if sum(name in heard for heard in labels) >= LEAST_PIECES)


def _labels(piece: Piece) -> set[str]:
    labels = {span.label for span in piece.spans}
    return labels | {"murmur"} if piece.probabilities.get("murmur", 0.0) >= _MURMUR else labels


def _piece(told: Prediction) -> Piece:
    judged = told.quality >= CLEAN
    return Piece(
        told.start_ns / NS_PER_S,
        told.end_ns / NS_PER_S,
        judged,
        {name[:MOST_CHARACTERS]: round(share, 3) for name, share in told.probabilities.items()}
        if judged
        else {},
        [
            Span(
                one.start_ns / NS_PER_S,
                one.end_ns / NS_PER_S,
                one.label[:MOST_CHARACTERS],
                round(one.probability, 3),
            )
            for one in told.events[:MOST_EVENTS]
        ]
        if judged
        else [],
    )
