"""Alarms that a network's windows make (EEG, lung and heart sounds): windows of many beds in, alarms out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import msgspec
import numpy as np

from inference.alarm_book import AlarmBook
from inference.alarm_spec import AlarmSetting
from inference.alarms import AlarmEngine, Conditions, EngineState, Reasons
from inference.beats import NEVER
from inference.catalog import Catalogue, load_catalogue
from inference.errors import SnapshotError
from inference.types import Alarm, Prediction
from inference.window_history import HistoryState, Votes, WindowHistory
from inference.window_rules import WindowSpecs
from ingest.types import NS_PER_S, BoolArray, IntArray, SignalKind, WideFloatArray

CLEAN: Final = 0.5
"""Quality from which a window counts."""

SET_BACK_NS: Final = 30 * NS_PER_S
"""A window so far behind the last one is not late: the device's clock was set back."""

FIRST_SLOTS: Final = 64


Words = Callable[[int, str], tuple[str, ...]]
"""What speaks for the alarm of a kind, by the row of its window; asked only where it is raised."""


@dataclass(frozen=True, slots=True)
class Windows:
    """What a network says of windows of many beds; a bed may stand several times, in order.

    Parameters
    ----------
    beds : sequence of str, length n
        Whose they are.
    starts_ns, ends_ns : ndarray of int64, shape (n,)
        Device time of each window.
    probabilities : ndarray, shape (n, n_classes)
        NaN where the network says nothing.
    classes : tuple of str
        Their names.
    quality : ndarray, shape (n,)
        0 to 1; below :data:`CLEAN` a window neither raises nor ends an alarm.
    offsets : ndarray of int64, shape (n,)
        Raw record that completed each window.
    words : callable or None
        The reasons of alarms that these windows raise.
    lags_s : tuple of float
        How much earlier than its window each class speaks of, so that onsets are those of the signal; empty
        where none does.
    """

    beds: tuple[str, ...]
    starts_ns: IntArray
    ends_ns: IntArray
    probabilities: WideFloatArray
    classes: tuple[str, ...]
    quality: WideFloatArray
    offsets: IntArray
    words: Words | None = None
    lags_s: tuple[float, ...] = ()


class WindowsState(msgspec.Struct, frozen=True):
    """One bed of a :class:`WindowMonitor`, for snapshots."""

    end_ns: int
    suspended: bool
    alarms: EngineState
    history: HistoryState


class WindowMonitor:
    """The alarms of one kind of signal over all beds.

    Parameters
    ----------
    signal : SignalKind
        eeg, lung_sound or heart_sound.
    book : AlarmBook
        Where alarms go on living once they are raised.
    clock : callable
        Gives the present time, ns since the epoch.
    settings_of : callable or None
        Gives the alarm settings of a bed by "signal/kind"; by default as the catalogue says.
    catalogue : Catalogue or None
        The packaged one by default.
    """

    def __init__(
        self,
        signal: SignalKind,
        book: AlarmBook,
        clock: Callable[[], int],
        settings_of: Callable[[str], Mapping[str, AlarmSetting]] | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.signal = signal
        self.book = book
        self.rules = WindowSpecs.read((catalogue or load_catalogue()).of_signal(signal.value))
        self.engine = AlarmEngine(self.rules.specs, FIRST_SLOTS)
        self.beds: dict[str, int] = {}
        self._history = WindowHistory(self.rules, FIRST_SLOTS)
        self._end_ns = np.full(FIRST_SLOTS, NEVER, dtype=np.int64)
        self._suspended = np.zeros(FIRST_SLOTS, dtype=np.bool_)
        self._clock = clock
        self._settings_of = settings_of
        self._names: dict[int, str] = {}
        self._free: list[int] = []
        self._mixing: dict[tuple[str, ...], WideFloatArray] = {}

    def slot(self, bed: str) -> int:
        """Slot of a bed, with room for it everywhere."""
        slot = self.beds.get(bed)
        if slot is None:
            slot = self._free.pop() if self._free else len(self.beds)
            self._make_room(slot + 1)
            self.beds[bed], self._names[slot] = slot, bed
            self.configure(bed)
        return slot

    def _make_room(self, n_slots: int) -> None:
        if n_slots <= len(self._end_ns):
            return
        more = max(n_slots, 2 * len(self._end_ns))
        extra = more - len(self._end_ns)
        self._end_ns = np.pad(self._end_ns, (0, extra), constant_values=NEVER)
        self._suspended = np.pad(self._suspended, (0, extra))
        self._history.resize(more)
        self.engine.resize(more)

    def configure(self, bed: str) -> None:
        """Take up the alarm settings of a bed; they hold from its next window."""
        slot = self.beds.get(bed)
        if slot is not None and self._settings_of is not None:
            self.engine.configure(slot, self.signal.value, self._settings_of(bed))

    def suspend(self, bed: str, on: bool) -> None:
        """Hold a bed's alarms as they are while a technical alarm says that its signal is not usable."""
        if on or bed in self.beds:
            self._suspended[self.slot(bed)] = on

    def remove(self, bed: str) -> None:
        """Forget a bed."""
        slot = self.beds.pop(bed)
        del self._names[slot]
        self._forget(np.array([slot]))
        self.engine.reset(slot)
        self._suspended[slot] = False
        self._free.append(slot)

    def _forget(self, slots: IntArray) -> None:
        self._history.reset(slots)
        self._end_ns[slots] = NEVER

    def watches(self, classes: tuple[str, ...]) -> tuple[str, ...]:
        """Alarms that a model with these classes can make."""
        seen = np.flatnonzero(self._mixed(classes).any(axis=0))
        return tuple(self.rules.specs[column].kind for column in seen.tolist())

    def _mixed(self, classes: tuple[str, ...]) -> WideFloatArray:
        if classes not in self._mixing:
            self._mixing[classes] = self.rules.mixing(classes)
        return self._mixing[classes]

    def push(self, windows: Windows) -> list[Alarm]:
        """Judge windows; one that is not later than the bed's last is left out."""
        slots = np.array([self.slot(bed) for bed in windows.beds], dtype=np.int64)
        mixing = self._mixed(windows.classes)
        summed = windows.probabilities @ mixing
        usable = (windows.quality >= CLEAN) & ~np.isnan(summed).any(axis=1)
        lags_ns = _lags_ns(windows, mixing)
        alarms: list[Alarm] = []
        for rows in _layers(slots):
            fresh = rows[self._is_new(slots[rows], windows.ends_ns[rows])]
            at = slots[fresh]
            self._end_ns[at] = windows.ends_ns[fresh]
            clean = (usable[fresh] & ~self._suspended[at])[:, None] | ~self.rules.clean
            now = Votes(
                at,
                windows.starts_ns[fresh],
                windows.ends_ns[fresh],
                np.asarray(summed[fresh] >= self.rules.threshold, dtype=np.bool_),
                np.asarray(clean & mixing.any(axis=0), dtype=np.bool_),
                lags_ns,
            )
            alarms.extend(self._judge(now, windows.offsets[fresh], self._reasons(windows.words, fresh)))
        return alarms

    def push_predictions(self, items: Iterable[Prediction]) -> list[Alarm]:
        """Judge windows that stand in records; those of other signals are left out."""
        own = [item for item in items if item.signal == self.signal.value]
        return [
            alarm
            for classes, alike in groupby(own, key=lambda item: tuple(item.probabilities))
            for alarm in self.push(_windows(list(alike), classes))
        ]

    def _is_new(self, slots: IntArray, ends_ns: IntArray) -> BoolArray:
        """Which windows go on from the last ones; a clock that was set back begins anew."""
        last_ns = self._end_ns[slots]
        back = slots[ends_ns + SET_BACK_NS < last_ns]
        if len(back):
            self._forget(back)
            for slot in back.tolist():
                self.engine.clock_set_back(slot)
        return np.asarray(ends_ns > self._end_ns[slots], dtype=np.bool_)

    def _reasons(self, words: Words | None, rows: IntArray) -> Reasons | None:
        """Reasons by row of a layer and column of a rule."""
        if words is None:
            return None
        return lambda row, column: words(int(rows[row]), self.rules.specs[column].kind)

    def _judge(self, now: Votes, offsets: IntArray, reasons: Reasons | None) -> list[Alarm]:
        found = self._history.step(now, self.engine.active(now.slots), self.engine.limits(now.slots).above)
        changes = self.engine.update(
            Conditions(
                now.slots, now.ends_ns, found.true, found.enough, found.onsets_ns, found.values, reasons
            )
        )
        if not changes:
            return []
        rows = {slot: row for row, slot in enumerate(now.slots.tolist())}
        alarms = []
        for change in changes:
            row = rows[change.slot]
            if change.ended_ns is not None:
                # The next episode begins after this one: two alarms never share an id.
                column = self.engine.column(change.setting.spec.kind)
                self._history.floor[change.slot, column] = now.ends_ns[row]
            alarms += self.book.apply(
                self._names[change.slot], self.signal.value, change, int(offsets[row]), self._clock()
            )
        return alarms

    def state(self, bed: str) -> WindowsState | None:
        """State of one bed, for a snapshot; ``None`` where nothing was pushed."""
        slot = self.beds.get(bed)
        if slot is None:
            return None
        return WindowsState(
            int(self._end_ns[slot]),
            bool(self._suspended[slot]),
            self.engine.state(slot),
            self._history.state(slot),
        )

    def restore(self, bed: str, state: WindowsState) -> None:
        """Go on from a snapshot.

        Raises
        ------
        SnapshotError
            The state does not fit this version: the bed begins anew, its alarms that stand stay.
        """
        slot = self.slot(bed)
        self.engine.restore(slot, state.alarms)
        try:
            self._history.restore(slot, state.history)
        except (ValueError, TypeError, KeyError) as error:
            self._forget(np.array([slot]))
            raise SnapshotError(f"bed {bed!r}: the state of {self.signal} does not fit: {error}") from error
        self._end_ns[slot], self._suspended[slot] = state.end_ns, state.suspended


def _lags_ns(windows: Windows, mixing: WideFloatArray) -> IntArray:
    """How much earlier than its window each rule looks; shape (n_rules,)."""
    lags_s = np.array(windows.lags_s or (0.0,) * len(windows.classes))
    lags_ns: IntArray = np.round((mixing * lags_s[:, None]).max(axis=0) * NS_PER_S).astype(np.int64)
    return lags_ns


def _windows(items: list[Prediction], classes: tuple[str, ...]) -> Windows:
    return Windows(
        tuple(item.bed for item in items),
        np.array([item.start_ns for item in items], dtype=np.int64),
        np.array([item.end_ns for item in items], dtype=np.int64),
        np.array([list(item.probabilities.values()) for item in items]).reshape(len(items), len(classes)),
        classes,
        np.array([item.quality for item in items]),
        np.array([item.raw_offset for item in items], dtype=np.int64),
    )


def _layers(slots: IntArray) -> Iterator[IntArray]:
    """Rows in which each slot stands once, in order."""
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    begins = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.empty(len(slots), dtype=np.int64)
    rank[order] = np.arange(len(slots)) - np.repeat(begins, np.diff(np.append(begins, len(slots))))
    for nth in range(int(rank.max(initial=-1)) + 1):
        yield np.flatnonzero(rank == nth)
