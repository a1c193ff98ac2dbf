"""Pulses of all beds from plethysmogram and arterial pressure, for the ECG's alarms. Knows nothing of Kafka.

A channel is trusted while its samples are there and move, it has learned what its pulses look like, and no
flush or movement passed a moment ago. What the ECG may know at one raw offset is what records before it told
(:meth:`PulseMonitor.evidence`), so that answers do not depend on how many records were read at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from inference.beats import NEVER
from inference.packed import Array, PackedStream, pack, pack_stream, unpack, unpack_stream
from inference.pulse_baseline import Baseline
from inference.pulse_history import RECENT, PulseHistory
from inference.upstrokes import APART, find, slope_sum
from ingest.bank import Bank, Due, layers
from ingest.conditioning import PULSE
from ingest.continuity import Piece
from ingest.types import NS_PER_S, BoolArray, IntArray, SignalKind, WideFloatArray

KINDS: Final = (SignalKind.ABP, SignalKind.PLETH)
"""Pulse channels, the better one first: a pressure does not vanish under a cuff or in the cold."""

HOP_S: Final = 0.5
WINDOW_S: Final = 2.5
TALL_S: Final = 2.0
"""At 30 beats a minute there is one upstroke in so much."""

NO_SOURCE: Final = -1
REACH_NS: Final = 7 * NS_PER_S // 2
"""A channel judged less far than this before the moment in question says nothing: room for chunks of 2 s that
come after the ECG's, a hop, and what a pulse needs to be known."""

AHEAD_NS: Final = NS_PER_S // 2
"""Pulses so much after the moment in question count: the pulse comes after the beat."""

LEAST_PRESENT: Final = 0.9
MOST_STILL: Final = 0.9
"""Share of samples that may equal their neighbour: a line at its rail, or of no sensor, is still; one of few
steps a pulse is still for half of the time."""

LEAST_LEVELS: Final = 6
"""Different values of a line that carries a pulse: that of a dead sensor flickers between two or three."""

FASTEST_PER_S: Final = 1.0 / 0.25


@dataclass(frozen=True, slots=True)
class PulseEvidence:
    """What the better pulse channel of some beds said. Shapes (n_beds,), pulses (n_beds, RECENT).

    Parameters
    ----------
    known : ndarray of bool
        A trusted channel is judged up to less than :data:`REACH_NS` before ``at_ns``.
    source : ndarray of int64
        Index into :data:`KINDS`, :data:`NO_SOURCE` where neither is known.
    at_ns, frontier_ns : ndarray of int64
        The moment in question; the time up to which pulses were judged.
    times_ns : ndarray of int64
        End of each upstroke, oldest first; :data:`~inference.beats.NEVER` where there were fewer.
    heights, likeness : ndarray of float64
        Rise relative to the usual one, correlation with the usual shape; NaN where there is none.
    """

    known: BoolArray
    source: IntArray
    at_ns: IntArray
    frontier_ns: IntArray
    times_ns: IntArray
    heights: WideFloatArray
    likeness: WideFloatArray

    @property
    def last_pulse_ns(self) -> IntArray:
        """Time of the last pulse; :data:`~inference.beats.NEVER` where there was none."""
        return np.asarray(self.times_ns[:, -1])

    def of(self, rows: IntArray) -> PulseEvidence:
        """Of some of the beds, by their rows."""
        return PulseEvidence(*(getattr(self, name)[rows] for name in self.__slots__))

    def count_in(self, seconds: float) -> IntArray:
        """Pulses of the last seconds before the moment in question."""
        since_ns = self.at_ns - round(seconds * NS_PER_S)
        return np.asarray((self.times_ns > since_ns[:, None]).sum(axis=1))

    def rate_bpm(self, n_intervals: int = 5) -> WideFloatArray:
        """Rate over the last intervals; NaN where there are fewer."""
        before_ns = self.times_ns[:, -1 - n_intervals]
        span_s = (self.last_pulse_ns - before_ns) / NS_PER_S
        return np.where(
            (before_ns > NEVER) & (span_s > 0), 60.0 * n_intervals / np.maximum(span_s, 1e-9), np.nan
        )


class PulseState(msgspec.Struct, frozen=True):
    """State of one pulse channel of one bed, for snapshots."""

    stream: PackedStream
    arrays: dict[str, Array]
    counts: list[int]
    newest_offset: int


class PulseMonitor:
    """All beds' plethysmograms and arterial pressures.

    The first channel of a chunk is looked at. Beds have numbers (:meth:`number`), theirs as long as the
    process lives, so that a question is asked with an array.
    """

    def __init__(self) -> None:
        # Everything is relative to the channel's own usual pulse, so that one bank holds both kinds.
        self.bank = Bank(SignalKind.PLETH, PULSE, WINDOW_S, HOP_S)
        n_slots = len(self.bank.count)
        self._hop_s = self.bank.hop / PULSE.rate_hz
        self._baseline = Baseline(n_slots, self._hop_s)
        self._history = PulseHistory(n_slots)
        self._newest_offset = np.full(n_slots, -1, dtype=np.int64)
        """Highest so far: chunks that were kept back for order come with lower ones."""
        self._numbers: dict[str, int] = {}
        self._slots = np.full((64, len(KINDS)), -1, dtype=np.int64)

    def number(self, bed: str) -> int:
        """Number of a bed, for :meth:`evidence`; a new bed gets one."""
        number = self._numbers.setdefault(bed, len(self._numbers))
        if number >= len(self._slots):
            self._slots = np.pad(self._slots, ((0, len(self._slots)), (0, 0)), constant_values=-1)
        return number

    def watched(self, numbers: IntArray) -> BoolArray:
        """Which beds have a pulse channel, by their numbers; of the others :meth:`evidence` knows nothing."""
        return np.asarray((self._slots[numbers] >= 0).any(axis=1))

    def has(self, bed: str, kind: SignalKind) -> bool:
        """Whether a channel of a bed is watched."""
        return _name(bed, kind) in self.bank.beds

    def _slot(self, bed: str, kind: SignalKind) -> int:
        name = _name(bed, kind)
        if name not in self.bank.beds:
            slot = self.bank.slot(name)
            n_slots = len(self.bank.count)
            self._baseline.resize(n_slots)
            self._history.resize(n_slots)
            extra = max(0, n_slots - len(self._newest_offset))
            self._newest_offset = np.pad(self._newest_offset, (0, extra), constant_values=-1)
            number = self.number(bed)
            self._slots[number, KINDS.index(kind)] = slot
        return self.bank.beds[name]

    def remove(self, bed: str, kind: SignalKind) -> None:
        """Forget a channel of a bed, if it is watched."""
        if not self.has(bed, kind):
            return
        slot = self.bank.beds[_name(bed, kind)]
        self.bank.remove(_name(bed, kind))
        self._baseline.reset(np.array([slot]))
        self._history.reset(slot)
        self._newest_offset[slot] = -1
        self._slots[self.number(bed), KINDS.index(kind)] = -1

    def push(self, pieces: Iterable[tuple[str, Piece]]) -> None:
        """Append pieces of many beds, of either kind, and judge what became due.

        All pieces of a poll are pushed before the ECG of that poll asks.
        """
        placed = [(self._slot(bed, piece.chunk.kind), piece) for bed, piece in pieces]
        self._make_room(placed)
        for step in self.bank.push(placed):
            for restart in step.restarts:
                self._restart(restart.slot, restart.start_ns)
            for layer in layers(step.due):
                self._judge(layer)

    def _make_room(self, placed: list[tuple[int, Piece]]) -> None:
        """Room for all that a stream may get now: the ECG asks afterwards about any moment of it."""
        hops: dict[int, float] = {}
        for slot, piece in placed:
            seconds = (len(piece.samples) + piece.missing) / piece.chunk.fs_hz
            # A restart makes an entry, too.
            hops[slot] = hops.get(slot, 0.0) + seconds / self._hop_s + 1.0
        most = max(hops.values(), default=0.0)
        self._history.make_room(round(most), round(most * self._hop_s * FASTEST_PER_S))

    def _restart(self, slot: int, start_ns: int) -> None:
        """A new stream: another sensor, gain or clock perhaps. What was usual is learned anew."""
        self._baseline.reset(np.array([slot]))
        self._newest_offset[slot] = max(self._newest_offset[slot], self.bank.offset[slot])
        self._history.restart(slot, start_ns, int(self._newest_offset[slot]))

    def _judge(self, due: Due) -> None:
        slots = due.slots
        windows, present = self.bank.gather(due, np.zeros(len(slots), dtype=np.int64))
        sums = slope_sum(windows)
        tall = sums[:, -round(TALL_S * PULSE.rate_hz) :].max(axis=1)
        usual = self._baseline.usual(slots)
        least = np.maximum(self._baseline.threshold(slots, tall, usual), 1e-9)
        begin = self.bank.window - APART - self.bank.hop
        found = find(windows, sums, least, begin).where_present(present)
        taught = self._baseline.teach(slots, found, usual)
        offsets = np.maximum(self._newest_offset[slots], due.offsets)
        self._newest_offset[slots] = offsets
        first = due.ends - self.bank.window
        times_ns = self.bank.time_ns(slots[found.row], first[found.row] + found.at)
        self._history.add(slots[found.row], times_ns, taught.heights, taught.likeness, offsets[found.row])
        trusted = self._baseline.trusted(slots, usual) & self._sound(due, present)
        self._history.judged(slots, self.bank.time_ns(slots, due.ends - APART), offsets, trusted)

    def _sound(self, due: Due, present: BoolArray) -> BoolArray:
        """Whether the line's last seconds were there and moved."""
        last = round(TALL_S * PULSE.rate_hz)
        raw, _, lead_off = self.bank.recent(due, last)
        still = np.mean(np.diff(raw[:, 0], axis=1) == 0, axis=1)
        levels = 1 + np.count_nonzero(np.diff(np.sort(raw[:, 0], axis=1), axis=1), axis=1)
        share = present[:, -last:].mean(axis=1)
        moves = (still <= MOST_STILL) & (levels >= LEAST_LEVELS)
        return np.asarray((share >= LEAST_PRESENT) & moves & ~lead_off[:, 0, -1])

    def evidence(self, numbers: IntArray, at_ns: IntArray, before_offset: IntArray) -> PulseEvidence:
        """What is known about some beds at a time.

        Parameters
        ----------
        numbers : ndarray of int64, shape (n_beds,)
            As :meth:`number` gave them.
        at_ns : ndarray of int64, shape (n_beds,)
            Device time in question.
        before_offset : ndarray of int64, shape (n_beds,)
            Only raw records before this one count.
        """
        chosen = _nothing(at_ns)
        for source in reversed(range(len(KINDS))):
            slots = self._slots[numbers, source]
            known = self._history.known(np.maximum(slots, 0), before_offset, at_ns + AHEAD_NS)
            reaches = at_ns - known.frontier_ns <= REACH_NS
            use = (slots >= 0) & known.trusted & reaches
            chosen = PulseEvidence(
                chosen.known | use,
                np.where(use, source, chosen.source),
                at_ns,
                np.where(use, known.frontier_ns, chosen.frontier_ns),
                np.where(use[:, None], known.times_ns, chosen.times_ns),
                np.where(use[:, None], known.heights, chosen.heights),
                np.where(use[:, None], known.likeness, chosen.likeness),
            )
        return chosen

    def state(self, bed: str, kind: SignalKind) -> PulseState | None:
        """State of one channel after its newest record; ``None`` while it has no samples."""
        slot = self.bank.beds.get(_name(bed, kind))
        if slot is None or slot not in self.bank.channels:
            return None
        columns, counts = self._history.state(slot)
        arrays = {**columns, **self._baseline.state(slot)}
        return PulseState(
            pack_stream(self.bank.state(_name(bed, kind))),
            {name: pack(array) for name, array in arrays.items()},
            counts,
            int(self._newest_offset[slot]),
        )

    def restore(self, bed: str, kind: SignalKind, state: PulseState) -> None:
        """Put one channel back as :meth:`state` gave it.

        Raises
        ------
        ValueError, TypeError, KeyError
            The state comes from another version; the channel is not watched afterwards.
        """
        arrays = {name: unpack(array) for name, array in state.arrays.items()}
        try:
            slot = self._slot(bed, kind)
            self.bank.restore(_name(bed, kind), unpack_stream(state.stream))
            self._history.restore(slot, arrays, state.counts)
            self._baseline.restore(slot, arrays)
            self._newest_offset[slot] = state.newest_offset
        except (ValueError, TypeError, KeyError):
            self.remove(bed, kind)
            raise


def _name(bed: str, kind: SignalKind) -> str:
    return f"{kind.value}/{bed}"


def _nothing(at_ns: IntArray) -> PulseEvidence:
    shape = (len(at_ns), RECENT)
    return PulseEvidence(
        np.zeros(len(at_ns), dtype=np.bool_),
        np.full(len(at_ns), NO_SOURCE, dtype=np.int64),
        at_ns,
        np.full(len(at_ns), NEVER, dtype=np.int64),
        np.full(shape, NEVER, dtype=np.int64),
        np.full(shape, np.nan),
        np.full(shape, np.nan),
    )
