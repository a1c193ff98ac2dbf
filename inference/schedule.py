"""In which order, and how much at once, a worker judges what it has read; what is left out when it is behind.

Every window is judged whatever the load: beats, numbers and alarms cover every sample. What may be left out
are predictions that only feed the display: of a bed whose newer window goes out at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from inference.alarm_book import AlarmBook
from inference.monitor import Outcome
from inference.types import AlarmState, Prediction, Priority
from ingest.continuity import Piece
from ingest.types import NS_PER_S

LATE_S: Final = 2.0
"""Older than this when it is read, a record says that the worker is behind."""

IN_TIME_S: Final = 1.0
"""So old may it be for the worker to be no longer behind: half, so that it does not change to and fro."""

BUDGET_S: Final = 1.0
"""As many records are read at once as are judged in so long."""

LEAST_RECORDS: Final = 64
FIRST_RECORDS: Final = 256
"""Records of a poll while it is not known how fast they are judged: a worker that starts on a starved machine
must poll again within the group's 30 s."""

MOST_RECORDS: Final = 1_000
"""Records of one poll. Bounds the arrays of a batch when a backlog is worked off."""

BATCH_BEDS: Final = 256
"""Beds that are judged at once: their outputs do not wait for the rest. A network's batch is full at 64."""

SHOWN_S: Final = 4.0
"""At least so often a thinned bed is shown. A window of 8 s still holds the beats of what was left out."""

GRAVE: Final = frozenset({Priority.HIGH, Priority.MEDIUM})

Pieces = list[tuple[str, Piece]]


class Overload(StrEnum):
    """What becomes of predictions that only feed the display while a worker is behind."""

    THIN = "thin"
    QUEUE = "queue"


class Pace:
    """How many records are read at once, and whether the worker is behind."""

    def __init__(self) -> None:
        self.behind = False
        self._per_s: float | None = None

    @property
    def records(self) -> int:
        """Most records of the next poll."""
        if self._per_s is None:
            return min(FIRST_RECORDS, MOST_RECORDS)
        return round(min(MOST_RECORDS, max(LEAST_RECORDS, BUDGET_S * self._per_s)))

    def note_work(self, n_records: int, took_s: float) -> None:
        """Note how long records took; few of them say little of how fast many would be."""
        if n_records < LEAST_RECORDS or took_s <= 0:
            return
        now = n_records / took_s
        self._per_s = now if self._per_s is None else 0.5 * (self._per_s + now)

    def note_age(self, oldest_s: float, more: Callable[[], bool]) -> None:
        """Note how old the oldest record of a poll is, and whether more are waiting.

        Where none is waiting the worker is not behind, however clocks differ.
        """
        limit_s = IN_TIME_S if self.behind else LATE_S
        self.behind = oldest_s > limit_s and more()


def at_risk(book: AlarmBook, bed: str) -> bool:
    """Whether a patient's alarm of high or medium priority goes on at a bed."""
    return any(
        life.priority in GRAVE and life.state in (AlarmState.ACTIVE, AlarmState.ACKNOWLEDGED)
        for life in book.of_bed(bed)
    )


def batches(pieces: Pieces, urgent: Callable[[str], bool]) -> list[Pieces]:
    """Cut what was read into batches of beds: those at risk first, in the order in which they came.

    All pieces of a bed are in one batch: its signals are judged together.

    Parameters
    ----------
    pieces : list of (bed, Piece)
        What one poll gave.
    urgent : callable
        Whether a bed is at risk.
    """
    of_bed: dict[str, Pieces] = defaultdict(list)
    for bed, piece in pieces:
        of_bed[bed].append((bed, piece))
    # Stable: within both groups as they came.
    order = sorted(of_bed, key=lambda bed: not urgent(bed))
    return [
        [item for bed in order[begin : begin + BATCH_BEDS] for item in of_bed[bed]]
        for begin in range(0, len(order), BATCH_BEDS)
    ]


def thinned(outcome: Outcome, urgent: Callable[[str], bool]) -> tuple[Outcome, int]:
    """Leave out predictions of windows whose bed has a newer one here; their beats go out with that.

    Windows of beds at risk stay, and those with events: they are more than display.

    Returns
    -------
    Outcome
        With all vitals and alarms.
    int
        Predictions left out.
    """
    newest = {(item.bed, item.signal): index for index, item in enumerate(outcome.predictions)}
    shown_ns: dict[tuple[str, str], int] = {}
    left: dict[tuple[str, str], list[Prediction]] = defaultdict(list)
    kept: list[Prediction] = []
    for index, item in enumerate(outcome.predictions):
        key = (item.bed, item.signal)
        since_ns = shown_ns.setdefault(key, item.end_ns)
        due = item.end_ns - since_ns >= SHOWN_S * NS_PER_S
        if due or newest[key] == index or item.events or urgent(item.bed):
            kept.append(_with_beats(item, left.pop(key, [])))
            shown_ns[key] = item.end_ns
        else:
            left[key].append(item)
    n_left = len(outcome.predictions) - len(kept)
    return (Outcome(kept, outcome.vitals, outcome.alarms), n_left) if n_left else (outcome, 0)


def _with_beats(item: Prediction, left: list[Prediction]) -> Prediction:
    beats = [beat for one in left for beat in one.beats]
    return msgspec.structs.replace(item, beats=beats + item.beats) if beats else item
