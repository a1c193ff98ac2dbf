"""The bank: all beds' streams of one signal kind as arrays.

Pieces of many beds go in, grouped so that filter and resampler run once per group; windows of many beds come
out as one batch. Outputs are counted from each stream's start; windows end at multiples of the hop.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from ingest.conditioning import Conditioner, ConditionerState, ConditioningSpec
from ingest.continuity import Piece
from ingest.types import NS_PER_S, BoolArray, FloatArray, IntArray, SignalKind

FIRST_SLOTS = 64
FIRST_CHANNELS = 2
SLACK_S = 4.0
"""Room in the ring beyond a window, so that several hops may be due before they are gathered."""

Layout = tuple[float, int]


@dataclass(frozen=True, slots=True)
class Due:
    """Windows that have become complete. Shape of each array: (n_windows,).

    ``slots`` names the streams, ``ends`` the output count just after the window's last sample and ``offsets``
    the raw record that completed it.
    """

    slots: IntArray
    ends: IntArray
    offsets: IntArray


@dataclass(frozen=True, slots=True)
class Restart:
    """A stream that begins anew: nothing before ``start_ns`` joins what follows."""

    slot: int
    start_ns: int
    channels: tuple[str, ...]
    device: str
    fs_hz: float


@dataclass(frozen=True, slots=True)
class Round:
    """At most a second of each stream: what began anew, then what became due."""

    restarts: tuple[Restart, ...]
    due: Due


@dataclass(frozen=True, slots=True)
class StreamState:
    """One stream's state, for snapshots."""

    fs_hz: float
    channels: tuple[str, ...]
    conditioner: ConditionerState
    count: int
    reference_in: int
    reference_ns: int
    offset: int
    samples: FloatArray
    raw: FloatArray
    present: BoolArray
    lead_off: BoolArray


class Bank:
    """Streams of one kind.

    Parameters
    ----------
    kind : SignalKind
        What the signals are.
    spec : ConditioningSpec
        How they are conditioned.
    window_s, hop_s : float
        What a model sees, and how often.
    n_channels : int
        Channels to make room for; grows with what comes.
    early : int
        Samples before a window that are kept, too.

    Attributes
    ----------
    epoch : ndarray of int64, shape (n_slots,)
        Changes whenever a slot begins to hold another stream: what was kept of it no longer counts.
    """

    def __init__(
        self,
        kind: SignalKind,
        spec: ConditioningSpec,
        window_s: float,
        hop_s: float,
        n_channels: int = FIRST_CHANNELS,
        early: int = 0,
    ) -> None:
        self.kind = kind
        self.spec = spec
        self.window = round(window_s * spec.rate_hz)
        self.hop = round(hop_s * spec.rate_hz)
        self._kept = self.window + early
        self.capacity = self._kept + round(SLACK_S * spec.rate_hz)
        self.beds: dict[str, int] = {}
        self.channels: dict[int, tuple[str, ...]] = {}
        self._layouts: dict[Layout, Conditioner] = {}
        self._layout_of: dict[int, Layout] = {}
        self._free: list[int] = []
        self._allocate(FIRST_SLOTS, n_channels)

    def _allocate(self, n_slots: int, n_channels: int) -> None:
        shape = (n_slots, n_channels, self.capacity)
        self._samples = np.zeros(shape, dtype=np.float32)
        self._raw = np.zeros(shape, dtype=np.float32)
        self._present = np.zeros(shape, dtype=np.bool_)
        self._lead_off = np.zeros(shape, dtype=np.bool_)
        self.count = np.zeros(n_slots, dtype=np.int64)
        self.epoch = np.zeros(n_slots, dtype=np.int64)
        self.n_channels = np.zeros(n_slots, dtype=np.int64)
        self.offset = np.full(n_slots, -1, dtype=np.int64)
        self._reference_in = np.zeros(n_slots, dtype=np.int64)
        self._reference_ns = np.zeros(n_slots, dtype=np.int64)
        self._fs_hz = np.ones(n_slots)
        self._samples_per_output = np.ones(n_slots)
        self._delay_s = np.zeros(n_slots)

    def _grow(self, n_slots: int, n_channels: int) -> None:
        old = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        self._allocate(max(n_slots, len(self.count)), max(n_channels, self._samples.shape[1]))
        for name, value in old.items():
            getattr(self, name)[tuple(slice(0, length) for length in value.shape)] = value
        for conditioner in self._layouts.values():
            conditioner.resize(len(self.count))

    def slot(self, bed: str) -> int:
        """Slot of a bed; a new bed gets one."""
        slot = self.beds.get(bed)
        if slot is None:
            slot = self._free.pop() if self._free else len(self.beds)
            if slot >= len(self.count):
                self._grow(2 * len(self.count), 0)
            self.beds[bed] = slot
        return slot

    def remove(self, bed: str) -> None:
        """Forget a bed; its slot may be given to another."""
        slot = self.beds.pop(bed)
        self.channels.pop(slot, None)
        layout = self._layout_of.pop(slot, None)
        if layout is not None:
            self._layouts[layout].reset(slot)
            self._drop_unused(layout)
        self.count[slot] = 0
        self._free.append(slot)

    def push(self, pieces: Iterable[tuple[int, Piece]]) -> Iterator[Round]:
        """Append pieces; yield restarts and due windows in rounds of at most a second per stream.

        The windows of a round must be gathered before the next is asked for. A slot's pieces stay in order.
        """
        queues: dict[int, list[_Part]] = defaultdict(list)
        for slot, piece in pieces:
            if not piece.missing and 0 < len(piece.samples) <= int(piece.chunk.fs_hz):
                queues[slot].append(_Part(piece, piece.samples, piece.start_ns, piece.restart))
            else:
                queues[slot].extend(_parts(piece))
        step = 0
        while queues:
            yield self._round([(slot, queue[step]) for slot, queue in queues.items()])
            step += 1
            queues = {slot: queue for slot, queue in queues.items() if step < len(queue)}

    def _round(self, parts: list[tuple[int, _Part]]) -> Round:
        groups: dict[tuple[Layout, int], list[int]] = defaultdict(list)
        restarts: list[Restart] = []
        for nth, (slot, part) in enumerate(parts):
            chunk = part.piece.chunk
            layout = (chunk.fs_hz, len(chunk.channels))
            known = self._layout_of.get(slot)
            # A stream whose state was dropped goes on for its device: here it begins.
            if part.restart or known is None:
                restarts.append(Restart(slot, part.start_ns, chunk.channels, chunk.device, chunk.fs_hz))
            if part.restart or known != layout:
                self._bind(slot, layout, chunk.channels)
            groups[layout, len(part.samples)].append(nth)
        slots = np.array([slot for slot, _ in parts], dtype=np.int64)
        self._reference_ns[slots] = [part.start_ns for _, part in parts]
        self.offset[slots] = [part.piece.offset for _, part in parts]
        before = self.count[slots]
        for (layout, _), members in groups.items():
            self._append_group(layout, slots[members], [parts[nth][1] for nth in members])
        return Round(tuple(restarts), self._due(slots, before))

    def _append_group(self, layout: Layout, slots: IntArray, parts: list[_Part]) -> None:
        """Note where clocks stand; append parts of one length, at once where their phases are equal."""
        conditioner = self._layouts[layout]
        self._reference_in[slots] = samples_in = conditioner.samples_in(slots)
        phases = conditioner.resampler.phases(samples_in)
        for phase in dict.fromkeys(phases.tolist()):
            here = np.flatnonzero(phases == phase)
            self._append(layout, slots[here], [parts[nth] for nth in here.tolist()])

    def _bind(self, slot: int, layout: Layout, channels: tuple[str, ...]) -> None:
        fs_hz, n_channels = layout
        if n_channels > self._samples.shape[1]:
            self._grow(0, n_channels)
        if layout not in self._layouts:
            self._layouts[layout] = Conditioner(fs_hz, n_channels, self.spec, len(self.count))
        conditioner = self._layouts[layout]
        conditioner.reset(slot)
        before = self._layout_of.get(slot)
        self._layout_of[slot] = layout
        if before is not None and before != layout:
            self._drop_unused(before)
        self.channels[slot] = channels
        self.n_channels[slot] = n_channels
        self.count[slot] = 0
        self.epoch[slot] += 1
        self._fs_hz[slot] = fs_hz
        self._samples_per_output[slot] = float(1 / conditioner.resampler.ratio)
        self._delay_s[slot] = conditioner.delay_s

    def _drop_unused(self, layout: Layout) -> None:
        """Free the filters of a rate and channel count that no stream has any more."""
        if layout not in self._layout_of.values():
            del self._layouts[layout]

    def _append(self, layout: Layout, slots: IntArray, parts: list[_Part]) -> None:
        stacked = np.stack([part.samples for part in parts])
        done = self._layouts[layout].push(slots, stacked.transpose(0, 2, 1))
        n_out = done.samples.shape[2]
        at = (self.count[slots][:, None] + np.arange(n_out)) % self.capacity
        where = (slots[:, None, None], np.arange(layout[1])[None, :, None], at[:, None, :])
        self._samples[where] = done.samples
        self._raw[where] = done.raw
        self._present[where] = done.present
        none = (False,) * layout[1]
        flags = [part.piece.chunk.lead_off or none for part in parts]
        self._lead_off[where] = np.array(flags, dtype=np.bool_)[:, :, None]
        self.count[slots] += n_out

    def _due(self, slots: IntArray, before: IntArray) -> Due:
        first, last = before // self.hop + 1, self.count[slots] // self.hop
        repeats = np.maximum(last - first + 1, 0)
        chosen = np.repeat(slots, repeats)
        nth = np.arange(len(chosen)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        ends = (np.repeat(first, repeats) + nth) * self.hop
        return Due(chosen, ends, self.offset[chosen])

    def time_ns(self, slots: IntArray, counts: IntArray) -> IntArray:
        """Device time of outputs, the resampler's delay taken off. Shapes broadcast."""
        samples = counts * self._samples_per_output[slots] - self._reference_in[slots]
        seconds = samples / self._fs_hz[slots] - self._delay_s[slots]
        return np.asarray(self._reference_ns[slots] + np.round(seconds * NS_PER_S).astype(np.int64))

    def gather(self, due: Due, channels: IntArray, early: int = 0) -> tuple[FloatArray, BoolArray]:
        """Windows of one channel each.

        Parameters
        ----------
        due : Due
            Which windows.
        channels : ndarray of int64, shape (n_windows,)
            Which channel of each.
        early : int
            So many samples before each window, too; at most those that the bank keeps.

        Returns
        -------
        samples : ndarray of float32, shape (n_windows, early + window)
            Zero before the stream's start.
        present : ndarray of bool, shape (n_windows, early + window)
            False where the sample was missing or before the stream's start.
        """
        counts = due.ends[:, None] + np.arange(-self.window - early, 0)
        where = (due.slots[:, None], channels[:, None], counts % self.capacity)
        inside = counts >= 0
        return np.where(inside, self._samples[where], np.float32(0)), self._present[where] & inside

    def recent(
        self, due: Due, n_times: int, n_channels: int | None = None
    ) -> tuple[FloatArray, BoolArray, BoolArray]:
        """Unfiltered samples, presence and lead-off flags just before each window's end.

        Parameters
        ----------
        due : Due
            Which windows.
        n_times : int
            Samples, at most the window.
        n_channels : int or None
            So many first channels; by default all.

        Returns
        -------
        raw, present, lead_off : ndarray, shape (n_windows, n_channels, n_times)
            Channels that a stream does not have are not present.
        """
        counts = (due.ends[:, None] + np.arange(-n_times, 0))[:, None, :]
        channels = np.arange(n_channels or self._samples.shape[1])[None, :, None]
        where = (due.slots[:, None, None], channels, counts % self.capacity)
        exists = channels < self.n_channels[due.slots][:, None, None]
        present = self._present[where] & (counts >= 0) & exists
        return self._raw[where], present, self._lead_off[where] & (counts >= 0) & exists

    def state(self, bed: str) -> StreamState:
        """Copy of one stream's state. Equal state and equal input give equal windows."""
        slot = self.beds[bed]
        layout = self._layout_of[slot]
        keep = min(int(self.count[slot]), self._kept)
        at = np.arange(self.count[slot] - keep, self.count[slot]) % self.capacity
        lines = np.ix_(np.array([slot]), np.arange(layout[1]), at)
        return StreamState(
            layout[0],
            self.channels[slot],
            self._layouts[layout].state(slot),
            int(self.count[slot]),
            int(self._reference_in[slot]),
            int(self._reference_ns[slot]),
            int(self.offset[slot]),
            self._samples[lines][0],
            self._raw[lines][0],
            self._present[lines][0],
            self._lead_off[lines][0],
        )

    def restore(self, bed: str, state: StreamState) -> int:
        """Put a stream back as :meth:`state` gave it; return its slot."""
        slot = self.slot(bed)
        layout = (state.fs_hz, len(state.channels))
        self._bind(slot, layout, state.channels)
        self._layouts[layout].restore(slot, state.conditioner)
        self.count[slot] = state.count
        self._reference_in[slot], self._reference_ns[slot] = state.reference_in, state.reference_ns
        self.offset[slot] = state.offset
        at = np.arange(state.count - state.samples.shape[1], state.count) % self.capacity
        lines = np.ix_(np.array([slot]), np.arange(layout[1]), at)
        # Another version may have kept less, and another bed left its samples here.
        self._samples[slot], self._present[slot] = 0.0, False
        self._samples[lines], self._raw[lines] = state.samples[None], state.raw[None]
        self._present[lines], self._lead_off[lines] = state.present[None], state.lead_off[None]
        return slot


def layers(due: Due) -> Iterator[Due]:
    """Split due windows so that each slot stands once in a layer, in order."""
    if len(due.slots) == 0:
        return
    order = np.argsort(due.slots, kind="stable")
    ordered = due.slots[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    lengths = np.diff(np.append(begins, len(ordered)))
    rank = np.empty(len(ordered), dtype=np.int64)
    rank[order] = np.arange(len(ordered)) - np.repeat(begins, lengths)
    for nth in range(int(rank.max()) + 1):
        here = rank == nth
        yield Due(due.slots[here], due.ends[here], due.offsets[here])


class _Part(msgspec.Struct, frozen=True, eq=False):
    """At most a second of a piece; shape of ``samples``: (n_samples, n_channels)."""

    piece: Piece
    samples: FloatArray
    start_ns: int
    restart: bool


def _parts(piece: Piece) -> Iterator[_Part]:
    fs_hz, n_channels = piece.chunk.fs_hz, len(piece.chunk.channels)
    samples = piece.samples
    start_ns = piece.start_ns - round(piece.missing / fs_hz * NS_PER_S)
    if piece.missing:
        gap = np.full((piece.missing, n_channels), np.nan, dtype=np.float32)
        samples = np.concatenate([gap, samples])
    most = max(1, round(fs_hz))
    for begin in range(0, len(samples), most):
        yield _Part(
            piece,
            samples[begin : begin + most],
            start_ns + round(begin / fs_hz * NS_PER_S),
            piece.restart and begin == 0,
        )
