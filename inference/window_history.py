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


Counts = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Votes:
    """One window of each of some beds. Shapes (n_beds,), of ``votes`` and ``counted`` (n_beds, n_rules).

    ``counted`` is False where a rule may not look at the window (not clean, or suspended). What a rule looks
    at began ``lags_ns`` before the window, shape (n_rules,).
    """

    slots: IntArray
    starts_ns: IntArray
    ends_ns: IntArray
    votes: BoolArray
    counted: BoolArray
    lags_ns: IntArray


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
    counting: Counts
    heard: Counts

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
            ("vote_start", now.starts_ns[:, None] - now.lags_ns),
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
            at, ago = slots[rows], self._ago(slots[rows])
            began = now.ends_ns[rows, None] // MINUTE_NS - onsets[rows] // MINUTE_NS
            before = (self.heard[at] > 0) & (ago > began[:, :, None])
            # The nearest heard minutes, as many as must have been quiet.
            order = np.broadcast_to(np.argsort(ago, axis=2), before.shape)
            rank = np.cumsum(np.take_along_axis(before, order, axis=2), axis=2)
            nearest = np.empty_like(before)
            np.put_along_axis(nearest, order, rank <= self._rules.quiet[:, None], axis=2)
            share = _share(self.counting[at], self.heard[at], before & nearest)
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
        passed = minute - self.minute[slots]
        rows = np.flatnonzero(passed)
        # Places of the minutes that have passed since are stale.
        behind = (np.arange(n_minutes) - (self.minute[slots[rows]] + 1)[:, None]) % n_minutes
        stale = (behind < passed[rows, None])[:, None, :]
        self.minute[slots] = minute
        at = minute % n_minutes
        for ring, gained in ((self.counting, now.votes & now.counted), (self.heard, now.counted)):
            ring[slots[rows]] = np.where(stale, 0, ring[slots[rows]])
            ring[slots, :, at] += gained

    def _ago(self, slots: IntArray) -> IntArray:
        """How many minutes ago each place of the rings was; shape (n_beds, 1, n_minutes)."""
        n_minutes = self._rules.minutes
        return (self.minute[slots, None, None] - np.arange(n_minutes)) % n_minutes

    def _trend(self, now: Votes) -> tuple[WideFloatArray, WideFloatArray, BoolArray]:
        """Share of counting windows in %, its rise in percentage points, and whether enough was heard.

        Half of the minutes that it looks at must have been heard, and as many before as it looks at.
        """
        rules, shape = self._rules, now.votes.shape
        columns = np.flatnonzero(rules.trend)
        lines = (now.slots[:, None], columns)
        counting, heard, ago = self.counting[lines], self.heard[lines], self._ago(now.slots)
        until = rules.recent[columns][:, None]
        recent = ago < until
        before = ~recent & (ago < until + rules.before[columns][:, None])
        shares = [100.0 * _share(counting, heard, span) for span in (recent, before)]
        n_recent, n_before = (((heard > 0) & span).sum(axis=2) for span in (recent, before))
        share, rise, known = np.zeros(shape), np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        share[:, columns], rise[:, columns] = shares[0], shares[0] - shares[1]
        known[:, columns] = (2 * n_recent >= rules.recent[columns]) & (n_before >= rules.recent[columns])
        return share, rise, known

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


def _share(counting: Counts, heard: Counts, span: BoolArray) -> WideFloatArray:
    """Share of counting windows in the minutes of a span; shapes (n_beds, n_rules, n_minutes), 0 of none."""
    n_counting = np.einsum("bri,bri->br", counting, span, dtype=np.int64)
    n_heard = np.einsum("bri,bri->br", heard, span, dtype=np.int64)
    return np.asarray(n_counting / np.maximum(n_heard, 1))
