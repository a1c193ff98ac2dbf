"""The alarm engine: the life of every alarm of every bed, as arrays.

condition true → ``on_delay_s`` → active → condition false for ``off_delay_s`` → ended. Acknowledging, pausing
and latching have their states on the wire already and join with the commands topic.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from inference.catalog import Rule
from ingest.types import NS_PER_S, BoolArray, IntArray, WideFloatArray

IDLE, DELAYED, ACTIVE = 0, 1, 2


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


@dataclass(frozen=True, slots=True)
class Change:
    """An alarm that has begun (``ended_ns`` None) or ended."""

    slot: int
    rule: Rule
    onset_ns: int
    raised_ns: int
    ended_ns: int | None
    value: float | None
    revision: int


class EngineState(msgspec.Struct, frozen=True):
    """One bed's alarms, for snapshots; each list has one entry a rule, named by ``kinds``."""

    kinds: list[str]
    phase: list[int]
    true_since_ns: list[int]
    false_since_ns: list[int]
    onset_ns: list[int]
    raised_ns: list[int]
    value: list[float | None]


class AlarmEngine:
    """States of ``rules`` over all beds.

    Parameters
    ----------
    rules : tuple of Rule
        What can be raised.
    n_slots : int
        Beds to make room for.
    """

    def __init__(self, rules: tuple[Rule, ...], n_slots: int) -> None:
        self.rules = rules
        shape = (n_slots, len(rules))
        self._phase = np.zeros(shape, dtype=np.int8)
        self._true_since = np.zeros(shape, dtype=np.int64)
        self._false_since = np.zeros(shape, dtype=np.int64)
        self._onset = np.zeros(shape, dtype=np.int64)
        self._raised = np.zeros(shape, dtype=np.int64)
        self._value = np.full(shape, np.nan)
        self._on_ns = np.array([rule.on_delay_s * NS_PER_S for rule in rules])
        self._off_ns = np.array([rule.off_delay_s * NS_PER_S for rule in rules])
        kinds = [rule.kind for rule in rules]
        self._yields = np.array([[kind in rule.yields_to for kind in kinds] for rule in rules])

    def resize(self, n_slots: int) -> None:
        """Make room for more beds."""
        extra = n_slots - len(self._phase)
        if extra <= 0:
            return
        for name in ("_phase", "_true_since", "_false_since", "_onset", "_raised"):
            setattr(self, name, np.pad(getattr(self, name), ((0, extra), (0, 0))))
        self._value = np.pad(self._value, ((0, extra), (0, 0)), constant_values=np.nan)

    def reset(self, slot: int) -> None:
        """Forget a bed."""
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
        """Step the life of the alarms of some beds; each bed once a call. Returns what changed."""
        slots, times = now.slots, now.times_ns[:, None]
        phase = self._phase[slots]
        graver = ((now.true & now.judged) | (phase == ACTIVE)) @ self._yields.T
        true = now.true & ~(graver & (phase != ACTIVE))
        begins = now.judged & true & (phase == IDLE)
        self._true_since[slots] = np.where(begins, times, self._true_since[slots])
        self._onset[slots] = np.where(begins, now.onsets_ns, self._onset[slots])
        phase = np.where(begins, DELAYED, phase)
        phase = np.where(now.judged & ~true & (phase == DELAYED), IDLE, phase)
        raised = now.judged & (phase == DELAYED) & (times - self._true_since[slots] >= self._on_ns)
        self._raised[slots] = np.where(raised, times, self._raised[slots])
        self._value[slots] = np.where(raised, now.values, self._value[slots])
        phase = np.where(raised, ACTIVE, phase)
        gone = now.judged & ~true & (phase == ACTIVE)
        since = np.where(gone & (self._false_since[slots] == 0), times, self._false_since[slots])
        self._false_since[slots] = np.where(true & now.judged, 0, since)
        ended = gone & (times - self._false_since[slots] >= self._off_ns)
        phase = np.where(ended, IDLE, phase)
        changes = self._changes(slots, now.times_ns, raised, ended)
        self._false_since[slots] = np.where(ended, 0, self._false_since[slots])
        self._phase[slots] = phase
        return changes

    def _changes(self, slots: IntArray, times: IntArray, raised: BoolArray, ended: BoolArray) -> list[Change]:
        changes = []
        for row, column in zip(*np.nonzero(raised | ended), strict=True):
            slot, over = int(slots[row]), bool(ended[row, column])
            value = float(self._value[slot, column])
            changes.append(
                Change(
                    slot,
                    self.rules[column],
                    int(self._onset[slot, column]),
                    int(self._raised[slot, column]),
                    int(self._false_since[slot, column]) if over else None,
                    None if np.isnan(value) else value,
                    revision=1 if over else 0,
                )
            )
        return changes

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
        self.reset(slot)
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
