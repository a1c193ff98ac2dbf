"""What is remembered of the windows of many beds: last votes, lasting runs, counts of each minute → findings.

A wheeze is new when the last quarter of an hour *that was heard* had hardly any. Gaps are stepped over, up to
an hour back: a sensor that is put back on a patient who wheezed before says nothing new. Where nothing was
heard yet the first wheeze is new: nobody has been told of it. It stays new while it goes on, and while its
alarm is active.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.beats import NEVER
from inference.packed import Array, pack, unpack
from inference.window_rules import WindowSpecs
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

VOTES_NS: Final = 60 * NS_PER_S
"""A vote older than this says nothing of the present: windows before a gap do not add to those behind it."""

OTHERS_NS: Final = 300 * NS_PER_S
"""A lasting rule needs another window so shortly before: no breath stops where none was heard."""

MINUTE_NS: Final = 60 * NS_PER_S

_RING, _RULE, _MINUTES = "ring", "rule", "minutes"
_ARRAYS: Final = {
    "vote": (_RING, np.bool_, 0),
    "vote_start": (_RING, np.int64, NEVER),
    "vote_end": (_RING, np.int64, NEVER),
    "held": (_RULE, np.bool_, 0),
    "new": (_RULE, np.bool_, 0),
    "lasted": (_RULE, np.int64, 0),
    "covered": (_RULE, np.int64, NEVER),
    "began": (_RULE, np.int64, NEVER),
    "other": (_RULE, np.int64, NEVER),
    "floor": (_RULE, np.int64, NEVER),
    "counting": (_MINUTES, np.int32, 0),
    "heard": (_MINUTES, np.int32, 0),
}
"""Shape, type and first value of what is kept for each bed and rule."""


@dataclass(frozen=True, slots=True)
class Votes:
    """One window of each of some beds. Shapes (n_beds,), of ``votes`` and ``counted`` (n_beds, n_rules).

    ``counted`` is False where a rule may not look at the window (not clean, or suspended).
    """

    slots: IntArray
    starts_ns: IntArray
    ends_ns: IntArray
    votes: BoolArray
    counted: BoolArray


@dataclass(frozen=True, slots=True)
class Findings:
    """What the rules find, shapes (n_beds, n_rules); ``enough`` says where there is enough to go by."""

    true: BoolArray
    enough: BoolArray
    onsets_ns: IntArray
    values: WideFloatArray


class HistoryState(msgspec.Struct, frozen=True):
    """What is remembered of one bed, for snapshots; arrays by name, their first axis is ``kinds``."""

    kinds: list[str]
    minute: int
    arrays: dict[str, Array]


class WindowHistory:
    """Memory of the rules over beds.

    Parameters
    ----------
    rules : WindowSpecs
        What looks at it.
    n_slots : int
        Beds to make room for.
    """

    vote: BoolArray
    vote_start: IntArray
    vote_end: IntArray
    held: BoolArray
    new: BoolArray
    lasted: IntArray
    covered: IntArray
    began: IntArray
    other: IntArray
    floor: IntArray
    counting: npt.NDArray[np.int32]
    heard: npt.NDArray[np.int32]

    def __init__(self, rules: WindowSpecs, n_slots: int) -> None:
        self._rules = rules
        self._kinds = [spec.kind for spec in rules.specs]
        self.minute = np.full(0, NEVER, dtype=np.int64)
        for name, (shape, dtype, _) in _ARRAYS.items():
            setattr(self, name, np.zeros((0, *self._shape(shape)), dtype=dtype))
        self.resize(n_slots)

    def _shape(self, name: str) -> tuple[int, ...]:
        more = {_RING: (int(self._rules.of.max(initial=1)),), _MINUTES: (self._rules.minutes,), _RULE: ()}
        return (len(self._kinds), *more[name])

    def resize(self, n_slots: int) -> None:
        """Make room for more beds."""
        extra = n_slots - len(self.minute)
        self.minute = np.pad(self.minute, (0, extra), constant_values=NEVER)
        for name, (shape, _, fill) in _ARRAYS.items():
            room = ((0, extra), *((0, 0) for _ in self._shape(shape)))
            setattr(self, name, np.pad(getattr(self, name), room, constant_values=fill))

    def reset(self, slots: IntArray) -> None:
        """Forget some beds."""
        self.minute[slots] = NEVER
        for name, (_, _, fill) in _ARRAYS.items():
            getattr(self, name)[slots] = fill

    def step(self, now: Votes, active: BoolArray, above: WideFloatArray) -> Findings:
        """Take one window of each of some beds and say what the rules find.

        Parameters
        ----------
        now : Votes
            Each bed once.
        active : ndarray of bool, shape (n_beds, n_rules)
            Alarms that are active.
        above : ndarray, shape (n_beds, n_rules)
            Limits of rules that have one.
        """
        rules = self._rules
        self._count_minutes(now)
        holds, onsets = self._hold_votes(now)
        true = holds & (self._stay_new(now, holds, onsets, active) | ~rules.new)
        enough = now.counted.copy()
        values = np.full(true.shape, np.nan)
        if rules.lasting.any():
            self._last(now, holds, onsets)
            had_others = self.began[now.slots] - self.other[now.slots] <= OTHERS_NS
            lasted_s = self.lasted[now.slots] / NS_PER_S
            true = np.where(rules.lasting, (lasted_s >= above) & had_others, true)
            values = np.where(rules.lasting, lasted_s, values)
            onsets = np.where(rules.lasting, self.began[now.slots], onsets)
        if rules.trend.any():
            share, rise, known = self._trend(now)
            true = np.where(rules.trend, rise >= above, true)
            values = np.where(rules.trend, share, values)
            onsets = np.where(rules.trend, now.ends_ns[:, None], onsets)
            enough &= known | ~rules.trend
        return Findings(true, enough, np.maximum(onsets, self.floor[now.slots]), values)

    def _hold_votes(self, now: Votes) -> tuple[BoolArray, IntArray]:
        """Whether enough of the last windows count, and when the first of these began."""
        slots, counted = now.slots, now.counted[:, :, None]
        newest = (
            ("vote", now.votes),
            ("vote_start", np.broadcast_to(now.starts_ns[:, None], now.votes.shape)),
            ("vote_end", np.broadcast_to(now.ends_ns[:, None], now.votes.shape)),
        )
        for name, values in newest:
            ring = getattr(self, name)
            pushed = np.concatenate([ring[slots][:, :, 1:], values[:, :, None]], axis=2)
            ring[slots] = np.where(counted, pushed, ring[slots])
        width = self.vote.shape[2]
        among = np.arange(width) >= width - self._rules.of[:, None]
        fresh = now.ends_ns[:, None, None] - self.vote_end[slots] <= VOTES_NS
        votes = self.vote[slots] & among & fresh
        holds: BoolArray = votes.sum(axis=2) >= self._rules.at_least
        first = votes.argmax(axis=2)[:, :, None]
        return holds, np.take_along_axis(self.vote_start[slots], first, axis=2)[:, :, 0]

    def _stay_new(self, now: Votes, holds: BoolArray, onsets: IntArray, active: BoolArray) -> BoolArray:
        """Whether what holds is new: judged when it begins, by the minutes before it."""
        slots, rules = now.slots, self._rules
        begins = holds & ~self.held[slots] & ~active & rules.new
        self.held[slots] = holds
        rows = np.flatnonzero(begins.any(axis=1))
        if len(rows):
            counting, heard = self._newest_first(now, rows)
            before = (
                np.arange(rules.minutes)
                > (now.ends_ns[rows, None] // MINUTE_NS - onsets[rows] // MINUTE_NS)[:, :, None]
            )
            there = (heard > 0) & before
            there &= np.cumsum(there, axis=2) <= rules.quiet[:, None]
            share = (counting * there).sum(axis=2) / np.maximum((heard * there).sum(axis=2), 1)
            at = slots[rows]
            self.new[at] = np.where(begins[rows], share <= rules.quiet_share, self.new[at])
        return np.asarray(self.new[slots], dtype=np.bool_)

    def _last(self, now: Votes, holds: BoolArray, onsets: IntArray) -> None:
        """Lengthen runs by what windows that count cover anew; what was not seen does not count."""
        slots, ends = now.slots, now.ends_ns[:, None]
        goes_on, breaks = now.counted & holds, now.counted & ~holds
        lasted, covered = self.lasted[slots], self.covered[slots]
        self.began[slots] = np.where(goes_on & (lasted == 0), onsets, self.began[slots])
        gained = np.maximum(ends - np.maximum(now.starts_ns[:, None], covered), 0)
        self.lasted[slots] = np.where(breaks, 0, lasted + np.where(goes_on, gained, 0))
        self.covered[slots] = np.where(breaks, NEVER, np.where(goes_on, ends, covered))
        self.other[slots] = np.where(breaks, ends, self.other[slots])

    def _count_minutes(self, now: Votes) -> None:
        slots, n_minutes = now.slots, self._rules.minutes
        minute = now.ends_ns // MINUTE_NS
        before = self.minute[slots]
        # Places of the minutes that have passed since are stale.
        stale = (np.arange(n_minutes) - (before + 1)[:, None]) % n_minutes < (minute - before)[:, None]
        self.minute[slots] = minute
        at = minute % n_minutes
        for ring, gained in ((self.counting, now.votes & now.counted), (self.heard, now.counted)):
            ring[slots] = np.where(stale[:, None, :], 0, ring[slots])
            ring[slots, :, at] += gained

    def _newest_first(self, now: Votes, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Counts of minutes of some of the beds; shape (n_rows, n_rules, n_minutes), the present first."""
        n_minutes = self._rules.minutes
        at = (self.minute[now.slots[rows], None] - np.arange(n_minutes)) % n_minutes
        order = np.broadcast_to(at[:, None, :], (len(rows), len(self._kinds), n_minutes))
        return (
            np.take_along_axis(self.counting[now.slots[rows]], order, axis=2).astype(np.int64),
            np.take_along_axis(self.heard[now.slots[rows]], order, axis=2).astype(np.int64),
        )

    def _trend(self, now: Votes) -> tuple[WideFloatArray, WideFloatArray, BoolArray]:
        """Share of counting windows in %, its rise in percentage points, and whether enough was heard.

        Half of the minutes that it looks at must have been heard, and as many before as it looks at.
        """
        rules = self._rules
        counting, heard = self._newest_first(now, np.arange(len(now.slots)))
        ago = np.arange(rules.minutes)
        recent = ago < rules.recent[:, None]
        before = ~recent & (ago < (rules.recent + rules.before)[:, None])
        shares = [
            100.0 * (counting * span).sum(axis=2) / np.maximum((heard * span).sum(axis=2), 1)
            for span in (recent, before)
        ]
        there = heard > 0
        known = (there & recent).sum(axis=2) * 2 >= rules.recent
        known &= (there & before).sum(axis=2) >= rules.recent
        return shares[0], shares[0] - shares[1], known

    def state(self, slot: int) -> HistoryState:
        """What is remembered of one bed, for a snapshot."""
        arrays = {name: pack(getattr(self, name)[slot]) for name in _ARRAYS}
        return HistoryState(self._kinds, int(self.minute[slot]), arrays)

    def restore(self, slot: int, state: HistoryState) -> None:
        """Put one bed back; a rule that was not there, or that remembers otherwise now, begins anew."""
        self.reset(np.array([slot]))
        self.minute[slot] = state.minute
        for name in _ARRAYS:
            stored = unpack(state.arrays[name])
            own = getattr(self, name)
            if stored.shape[1:] != own.shape[2:]:
                continue
            for column, kind in enumerate(self._kinds):
                if kind in state.kinds:
                    own[slot, column] = stored[state.kinds.index(kind)]
