"""From the chunks of one signal, as they come, to one unbroken line of samples.

Rules, in the order in which they are tried (``docs/time.md`` says them in words):

=====================  =====================================================================================
what comes             what is done
=====================  =====================================================================================
next in sequence       joined; the device's clock is followed while it is off by at most ``clock_jump_s``
same again             dropped, counted ``duplicate``
ahead of sequence      kept back until the missing one comes, or until the chunks kept back span ``reorder_s``
missing for good       counted ``gap``; up to ``gap_reset_s`` is filled as missing, beyond it the stream
                       restarts
overlapping            what is already there is trimmed, counted ``overlap``
after its gap closed   refused as ``late`` (dead-lettered)
sequence leaps back,   a restarted device: joined by time, counted ``restart``
time goes on
clock jumps            counted ``clock_jump``, the stream restarts
rate or channels       counted ``layout_change``, the stream restarts
differ
another device         refused as ``second_device`` while the first one is alive
=====================  =====================================================================================

What is decided depends on the records alone, never on when they were read, except :meth:`Continuity.expire`,
which only decides sooner what the next chunk would decide the same way.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import msgspec

from ingest.errors import BadChunk
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk, FloatArray

REMEMBERED_GAPS = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples to append to a stream.

    ``restart`` forgets what came before; ``missing`` samples are appended, as missing, before ``samples``;
    ``offset`` is that of the record that brought the chunk.
    """

    chunk: Chunk
    offset: int
    samples: FloatArray
    start_ns: int
    missing: int
    restart: bool


@dataclass(frozen=True, slots=True)
class _Received:
    chunk: Chunk
    offset: int


class ContinuityState(msgspec.Struct, frozen=True):
    """What a successor needs to go on with a stream."""

    device: str
    next_seq: int
    expected_ns: int
    fs_hz: float
    channels: tuple[str, ...]
    received_ms: int
    skipped: list[int]
    started: bool


class Continuity:
    """Order in the chunks of one (bed, signal kind).

    Parameters
    ----------
    settings : IngestSettings
        Limits.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self.counts: Counter[str] = Counter()
        self._settings = settings
        self._device = ""
        self._next_seq = 0
        self._expected_ns = 0
        self._fs_hz = 0.0
        self._channels: tuple[str, ...] = ()
        self._received_ms = 0
        self._started = False
        self._skipped: deque[int] = deque(maxlen=REMEMBERED_GAPS)
        self._waiting: dict[int, _Received] = {}
        self._tolerance_ns = settings.clock_jump_s * NS_PER_S

    @property
    def waits(self) -> bool:
        """Whether a record is kept back."""
        return bool(self._waiting)

    @property
    def first_waiting_offset(self) -> int | None:
        """Offset of the earliest record that is kept back: all before it are done."""
        return min((received.offset for received in self._waiting.values()), default=None)

    def push(self, chunk: Chunk, offset: int, received_ms: int) -> list[Piece]:
        """Take a chunk; give what can be appended now.

        Parameters
        ----------
        chunk : Chunk
            A decoded chunk.
        offset : int
            Offset of its Kafka record.
        received_ms : int
            Time stamp of its Kafka record.

        Raises
        ------
        BadChunk
            ``second_device`` or ``late``.
        """
        usual = (
            chunk.seq == self._next_seq
            and self._started
            and not self._waiting
            and chunk.device == self._device
            and chunk.fs_hz == self._fs_hz
            and chunk.channels == self._channels
            and abs(chunk.start_ns - self._expected_ns) <= self._tolerance_ns
        )
        if usual:
            # What nearly every chunk is, at once.
            if received_ms > self._received_ms:
                self._received_ms = received_ms
            self._next_seq, self._expected_ns = chunk.seq + 1, chunk.end_ns
            return [Piece(chunk, offset, chunk.samples, chunk.start_ns, 0, False)]
        received = _Received(chunk, offset)
        if not self._started or chunk.device != self._device:
            return self._first(received, received_ms)
        self._received_ms = max(self._received_ms, received_ms)
        if chunk.fs_hz != self._fs_hz or chunk.channels != self._channels:
            self.counts["layout_change"] += 1
            return [*self._release(), self._restart(received)]
        if chunk.seq == self._next_seq:
            self.counts["reorder"] += bool(self._waiting)
            return [*self._join(received), *self._contiguous_waiting()]
        if chunk.seq > self._next_seq:
            return self._ahead(received)
        return self._behind(received)

    def expire(self) -> list[Piece]:
        """Wait no longer for what is missing."""
        return self._release()

    def _first(self, received: _Received, received_ms: int) -> list[Piece]:
        chunk = received.chunk
        if self._started:
            silent_ms = received_ms - self._received_ms
            if silent_ms < self._settings.device_silence_s * 1e3:
                raise BadChunk(
                    "second_device",
                    f"device={chunk.device!r}: bed {chunk.bed!r} already gets {chunk.kind} from device "
                    f"{self._device!r}; disconnect one, or wait {self._settings.device_silence_s:g} s",
                )
            self.counts["device_change"] += 1
        released = self._release()
        self._received_ms = received_ms
        return [*released, self._restart(received)]

    def _restart(self, received: _Received) -> Piece:
        chunk = received.chunk
        self._skipped.clear()
        self._started = True
        self._device, self._fs_hz, self._channels = chunk.device, chunk.fs_hz, chunk.channels
        self._next_seq, self._expected_ns = chunk.seq + 1, chunk.end_ns
        return Piece(chunk, received.offset, chunk.samples, chunk.start_ns, missing=0, restart=True)

    def _join(self, received: _Received) -> list[Piece]:
        """Append a chunk at its place in time; its sequence number has been dealt with."""
        chunk = received.chunk
        ahead_ns = chunk.start_ns - self._expected_ns
        self._next_seq = chunk.seq + 1
        if abs(ahead_ns) <= self._tolerance_ns:
            self._expected_ns = chunk.end_ns
            return [Piece(chunk, received.offset, chunk.samples, chunk.start_ns, missing=0, restart=False)]
        if ahead_ns > 0:
            return [self._after_gap(received, ahead_ns)]
        return self._overlapping(received, -ahead_ns)

    def _after_gap(self, received: _Received, ahead_ns: int) -> Piece:
        chunk = received.chunk
        self.counts["gap"] += 1
        if ahead_ns > self._settings.gap_reset_s * NS_PER_S:
            skipped = list(self._skipped)
            piece = self._restart(received)
            self._skipped.extend(skipped)
            return piece
        self._expected_ns = chunk.end_ns
        missing = round(ahead_ns * self._fs_hz / NS_PER_S)
        return Piece(chunk, received.offset, chunk.samples, chunk.start_ns, missing=missing, restart=False)

    def _overlapping(self, received: _Received, behind_ns: int) -> list[Piece]:
        chunk = received.chunk
        known = round(behind_ns * self._fs_hz / NS_PER_S)
        if known >= chunk.n_samples:
            # In sequence, yet wholly in the past: the device's clock was set back.
            self.counts["clock_jump"] += 1
            return [self._restart(received)]
        self.counts["overlap"] += 1
        start_ns = chunk.start_ns + round(known / self._fs_hz * NS_PER_S)
        self._expected_ns = chunk.end_ns
        return [Piece(chunk, received.offset, chunk.samples[known:], start_ns, missing=0, restart=False)]

    def _ahead(self, received: _Received) -> list[Piece]:
        chunk = received.chunk
        if chunk.seq in self._waiting:
            self.counts["duplicate"] += 1
            return []
        self._waiting[chunk.seq] = received
        pieces: list[Piece] = []
        while self._waited_long_enough():
            pieces.extend(self._skip_first_gap())
        return pieces

    def _waited_long_enough(self) -> bool:
        """Whether what is kept back spans ``reorder_s``."""
        if not self._waiting:
            return False
        starts = min(waiting.chunk.start_ns for waiting in self._waiting.values())
        ends = max(waiting.chunk.end_ns for waiting in self._waiting.values())
        return ends - starts >= self._settings.reorder_s * NS_PER_S

    def _skip_first_gap(self) -> list[Piece]:
        """Give up what is missing first; what follows in sequence can be joined."""
        seq = min(self._waiting)
        received = self._waiting.pop(seq)
        if received.chunk.end_ns <= self._expected_ns + self._tolerance_ns:
            # A sequence number that was wrong: its time is over, the count goes on as it was.
            self.counts["late"] += 1
            return []
        if seq > self._next_seq:
            self._skipped.extend(range(max(self._next_seq, seq - REMEMBERED_GAPS), seq))
        return [*self._join(received), *self._contiguous_waiting()]

    def _release(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._waiting:
            pieces.extend(self._skip_first_gap())
        return pieces

    def _contiguous_waiting(self) -> list[Piece]:
        pieces: list[Piece] = []
        while self._next_seq in self._waiting:
            pieces.extend(self._join(self._waiting.pop(self._next_seq)))
        return pieces

    def _behind(self, received: _Received) -> list[Piece]:
        chunk = received.chunk
        middle_ns = (chunk.start_ns + chunk.end_ns) // 2
        if middle_ns >= self._expected_ns:
            self.counts["restart"] += 1
            released = self._release()
            return [*released, *self._join(received)]
        if chunk.seq in self._skipped:
            self._skipped.remove(chunk.seq)
            self.counts["late"] += 1
            raise BadChunk(
                "late",
                f"seq={chunk.seq}: came after its gap was closed; send in order or within "
                f"{self._settings.reorder_s:g} s",
            )
        if chunk.end_ns > self._expected_ns + self._tolerance_ns:
            return self._join(received)
        self.counts["duplicate"] += 1
        return []

    def state(self) -> ContinuityState:
        """State for a snapshot. Chunks kept back are not in it: their offsets are not done yet."""
        return ContinuityState(
            self._device,
            self._next_seq,
            self._expected_ns,
            self._fs_hz,
            self._channels,
            self._received_ms,
            list(self._skipped),
            self._started,
        )

    def restore(self, state: ContinuityState) -> None:
        """Go on from a snapshot."""
        self._device, self._next_seq, self._expected_ns = state.device, state.next_seq, state.expected_ns
        self._fs_hz, self._channels, self._received_ms = state.fs_hz, state.channels, state.received_ms
        self._skipped = deque(state.skipped, maxlen=REMEMBERED_GAPS)
        self._started = state.started
        self._waiting.clear()
