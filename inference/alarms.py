"""The alarm engine: when alarms of every bed begin and end, as arrays.

condition true → ``on_delay_s`` → active → condition false for ``off_delay_s`` → over. What becomes of an
alarm between (acknowledged, paused, latched, escalated) is the book's matter (:mod:`inference.alarm_book`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from inference.alarm_spec import AlarmSetting, AlarmSpec
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

IDLE, DELAYED, ACTIVE = 0, 1, 2

Reasons = Callable[[int, int], tuple[str, ...]]
"""Words for the alarm at (row, column) of the conditions, made only for what is raised."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the signal says at one time. Shapes (n_beds, n_rules) but ``slots`` and ``times_ns`` (n_beds,).

    ``judged`` is False where a rule cannot be judged now: its alarm stays as it is.
    """

    slots: IntArray
    times_ns: IntArray
    true: BoolArray
    judged: BoolArray
    onsets_ns: IntArray
    values: WideFloatArray
    reasons: Reasons | None = None

    def of(self, rows: IntArray) -> Conditions:
        """Of some of the beds, by their rows."""
        said = self.reasons
        return Conditions(
            self.slots[rows],
            self.times_ns[rows],
            self.true[rows],
            self.judged[rows],
            self.onsets_ns[rows],
            self.values[rows],
            None if said is None else lambda row, column: said(int(rows[row]), column),
        )


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that has begun (``ended_ns`` None) or whose condition is over."""

    slot: int
    setting: AlarmSetting
    onset_ns: int
    raised_ns: int
    ended_ns: int | None
    value: float | None
    reasons: tuple[str, ...] = ()


class EngineState(msgspec.Struct, frozen=True):
    """One bed's alarms, for snapshots; each list has one entry a rule, named by ``kinds``."""

    kinds: list[str]
    phase: list[int]
    true_since_ns: list[int]
    false_since_ns: list[int]
    onset_ns: list[int]
    raised_ns: list[int]
    value: list[float | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What rules hold against their values, as set for some beds. Shapes (n_beds, n_rules), NaN where none.

    ``limit`` is eased by the hysteresis where the alarm is active: ``above`` for rules that alarm over their
    limit, ``below`` for those that alarm under it.
    """

    above: WideFloatArray
    below: WideFloatArray
    beats: WideFloatArray

    def of(self, rows: IntArray) -> Limits:
        """Of some of the beds, by their rows."""
        return Limits(self.above[rows], self.below[rows], self.beats[rows])


class AlarmEngine:
    """States of ``rules`` over all beds.

    Parameters
    ----------
    rules : tuple of AlarmSpec
        What can be raised.
    n_slots : int
        Beds to make room for.
    """

    def __init__(self, rules: tuple[AlarmSpec, ...], n_slots: int) -> None:
        self.rules = rules
        self._column = {rule.kind: column for column, rule in enumerate(rules)}
        shape = (n_slots, len(rules))
        self._phase = np.zeros(shape, dtype=np.int8)
        self._true_since = np.zeros(shape, dtype=np.int64)
        self._false_since = np.zeros(shape, dtype=np.int64)
        self._onset = np.zeros(shape, dtype=np.int64)
        self._raised = np.zeros(shape, dtype=np.int64)
        self._value = np.full(shape, np.nan)
        kinds = [rule.kind for rule in rules]
        self._yields = np.array([[kind in rule.yields_to for kind in kinds] for rule in rules])
        # Nobody acknowledges what they have not seen: what latches is not taken away by another alarm.
        self._gives_way = np.array([not rule.latching for rule in rules])
        self._hysteresis = np.array([rule.hysteresis for rule in rules])
        self._defaults = tuple(AlarmSetting.of(rule) for rule in rules)
        self._settings: dict[int, tuple[AlarmSetting, ...]] = {}
        self._limit = np.empty((0, len(rules)))
        self._beats = np.empty((0, len(rules)))
        self._on_ns = np.empty((0, len(rules)))
        self._off_ns = np.empty((0, len(rules)))
        self._enabled = np.empty((0, len(rules)), dtype=np.bool_)
        self._make_settings(n_slots)

    def column(self, kind: str) -> int:
        """Place of a rule."""
        return self._column[kind]

    def _make_settings(self, n_slots: int) -> None:
        extra = n_slots - len(self._limit)
        for name, values in zip(SET_ARRAYS, _rows(self._defaults), strict=True):
            more = np.tile(values, (extra, 1))
            setattr(self, name, np.concatenate([getattr(self, name), more]))

    def resize(self, n_slots: int) -> None:
        """Make room for more beds."""
        extra = n_slots - len(self._phase)
        if extra <= 0:
            return
        for name in ("_phase", "_true_since", "_false_since", "_onset", "_raised"):
            setattr(self, name, np.pad(getattr(self, name), ((0, extra), (0, 0))))
        self._value = np.pad(self._value, ((0, extra), (0, 0)), constant_values=np.nan)
        self._make_settings(n_slots)

    def configure(self, slot: int, signal: str, settings: Mapping[str, AlarmSetting]) -> None:
        """Set a bed's limits, delays and what is switched on; they hold from the next update.

        Parameters
        ----------
        slot : int
            The bed.
        signal : str
            Kind of signal that this engine watches.
        settings : mapping
            By "signal/kind", as :meth:`inference.catalog.Catalogue.settings` gives them.
        """
        own = tuple(settings[f"{signal}/{rule.kind}"] for rule in self.rules)
        self._settings[slot] = own
        for name, values in zip(SET_ARRAYS, _rows(own), strict=True):
            getattr(self, name)[slot] = values

    def limits(self, slots: IntArray) -> Limits:
        """Limits of some beds, eased where the alarm is active."""
        ease = np.where(self.active(slots), self._hysteresis, 0.0)
        limit = self._limit[slots]
        return Limits(limit - ease, limit + ease, self._beats[slots])

    def reset(self, slot: int) -> None:
        """Forget a bed, its settings too."""
        self.clear(slot)
        self._settings.pop(slot, None)
        for name, values in zip(SET_ARRAYS, _rows(self._defaults), strict=True):
            getattr(self, name)[slot] = values

    def clear(self, slot: int) -> None:
        """Forget a bed's alarms and keep its settings."""
        self._phase[slot] = IDLE
        self._true_since[slot] = self._false_since[slot] = self._onset[slot] = self._raised[slot] = 0
        self._value[slot] = np.nan

    def clock_set_back(self, slot: int) -> None:
        """Forget delays that run on a bed's old clock; what is active stays active."""
        self._false_since[slot] = 0
        self._phase[slot] = np.where(self._phase[slot] == DELAYED, IDLE, self._phase[slot])

    def active(self, slots: IntArray) -> BoolArray:
        """Which alarms are active; shape (n_beds, n_rules)."""
        return np.asarray(self._phase[slots] == ACTIVE, dtype=np.bool_)

    def update(self, now: Conditions) -> list[Change]:
        """Step the alarms of some beds; each bed once a call. Returns what changed.

        While a graver alarm stands, what yields to it is neither raised nor stands beside it; it is raised
        anew if its condition still holds when the graver one has gone.
        """
        # Where nothing is true and nothing runs, nothing changes: most beds, most of the time.
        busy = (now.true & self._enabled[now.slots]).any(axis=1) | self._phase[now.slots].any(axis=1)
        busy |= self._false_since[now.slots].any(axis=1)
        rows = np.flatnonzero(busy)
        return self._step(now, rows) if len(rows) else []

    def _step(self, whole: Conditions, rows: IntArray) -> list[Change]:
        """Step the alarms of some rows of the conditions."""
        now = whole if len(rows) == len(whole.slots) else whole.of(rows)
        slots, times = now.slots, now.times_ns[:, None]
        phase = self._phase[slots]
        enabled = self._enabled[slots]
        wanted = now.true & enabled
        judged = now.judged | ~enabled
        graver = ((wanted & judged) | (phase == ACTIVE)) @ self._yields.T
        true = wanted & ~(graver & (phase != ACTIVE))
        begins = judged & true & (phase == IDLE)
        self._true_since[slots] = np.where(begins, times, self._true_since[slots])
        self._onset[slots] = np.where(begins, now.onsets_ns, self._onset[slots])
        phase = np.where(begins, DELAYED, phase)
        phase = np.where(judged & ~true & (phase == DELAYED), IDLE, phase)
        raised = judged & (phase == DELAYED) & (times - self._true_since[slots] >= self._on_ns[slots])
        self._raised[slots] = np.where(raised, times, self._raised[slots])
        self._value[slots] = np.where(raised, now.values, self._value[slots])
        phase = np.where(raised, ACTIVE, phase)
        gone = judged & ~true & (phase == ACTIVE)
        since = np.where(gone & (self._false_since[slots] == 0), times, self._false_since[slots])
        self._false_since[slots] = np.where(true & judged, 0, since)
        ended = gone & (times - self._false_since[slots] >= self._off_ns[slots])
        standing = (phase == ACTIVE) & ~ended
        superseded = judged & standing & (standing @ self._yields.T) & self._gives_way
        self._false_since[slots] = np.where(superseded, times, self._false_since[slots])
        ended |= superseded
        phase = np.where(ended, IDLE, phase)
        changes = self._changes(now, raised, ended, standing)
        self._false_since[slots] = np.where(ended, 0, self._false_since[slots])
        self._phase[slots] = phase
        return changes

    def _changes(
        self, now: Conditions, raised: BoolArray, ended: BoolArray, standing: BoolArray
    ) -> list[Change]:
        """Changes of one step; ``standing`` is what stood before the graver superseded the lesser."""
        changes = []
        for row, column in zip(*(place.tolist() for place in np.nonzero(raised | ended)), strict=True):
            slot, over = int(now.slots[row]), bool(ended[row, column])
            value = float(self._value[slot, column])
            changes.append(
                Change(
                    slot,
                    self._settings.get(slot, self._defaults)[column],
                    int(self._onset[slot, column]),
                    int(self._raised[slot, column]),
                    int(self._false_since[slot, column]) if over else None,
                    None if np.isnan(value) else value,
                    self._graver(standing[row], column) if over else _said(now, row, column),
                )
            )
        return changes

    def _graver(self, standing: BoolArray, column: int) -> tuple[str, ...]:
        """Words for an alarm that ended while its condition held."""
        if not standing[column]:
            return ()
        graver = self.rules[int(np.flatnonzero(standing & self._yields[column])[0])]
        return (f"superseded by {graver.key}, which says it more gravely",)

    def state(self, slot: int) -> EngineState:
        """One bed's alarms, for a snapshot."""
        return EngineState(
            [rule.kind for rule in self.rules],
            self._phase[slot].tolist(),
            self._true_since[slot].tolist(),
            self._false_since[slot].tolist(),
            self._onset[slot].tolist(),
            self._raised[slot].tolist(),
            [None if np.isnan(value) else float(value) for value in self._value[slot]],
        )

    def restore(self, slot: int, state: EngineState) -> None:
        """Put one bed's alarms back as they were; rules that the state does not know begin idle."""
        self.clear(slot)
        for column, rule in enumerate(self.rules):
            if rule.kind not in state.kinds:
                continue
            at = state.kinds.index(rule.kind)
            value = state.value[at]
            self._phase[slot, column] = state.phase[at]
            self._true_since[slot, column] = state.true_since_ns[at]
            self._false_since[slot, column] = state.false_since_ns[at]
            self._onset[slot, column] = state.onset_ns[at]
            self._raised[slot, column] = state.raised_ns[at]
            self._value[slot, column] = np.nan if value is None else value


def _said(now: Conditions, row: int, column: int) -> tuple[str, ...]:
    return () if now.reasons is None else now.reasons(row, column)


SET_ARRAYS = ("_limit", "_beats", "_on_ns", "_off_ns", "_enabled")


def _rows(settings: tuple[AlarmSetting, ...]) -> tuple[WideFloatArray, ...]:
    """One value a rule for each of :data:`SET_ARRAYS`."""
    return (
        np.array([np.nan if one.limit is None else one.limit for one in settings]),
        np.array([np.nan if one.beats is None else one.beats for one in settings]),
        np.array([one.on_delay_s * NS_PER_S for one in settings]),
        np.array([one.off_delay_s * NS_PER_S for one in settings]),
        np.array([one.enabled for one in settings]),
    )
