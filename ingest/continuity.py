"""From the chunks of one signal, as they come, to one unbroken line of samples.

Rules, in the order in which they are tried (``docs/time.md`` says them in words):

=====================  =====================================================================================
what comes             what is done
=====================  =====================================================================================
next in sequence       joined; the device's clock is followed while it is off by at most ``clock_jump_s``
same again, however    dropped, counted ``duplicate``: it lies on a line that was taken
late and often         (:mod:`ingest.known_chunks`)
ahead of sequence      kept back until the missing one comes, or until the chunks kept back span ``reorder_s``
missing for good       counted ``gap``; up to ``gap_reset_s`` is filled as missing, beyond it the stream
                       restarts
overlapping            what is already there is trimmed, counted ``overlap``
after its gap closed   refused as ``late`` (dead-lettered)
sequence leaps back,   a restarted device: joined by time, counted ``restart``
time goes on
clock jumps            counted ``clock_jump``, the stream restarts
time is over, out of   a chunk astray, dropped, counted ``late``; the third that goes on so, with none of the
sequence, never taken  former line in between, is a restarted device whose clock was set back: counted
                       ``restart``, the stream restarts
rate or channels       counted ``layout_change``, the stream restarts
differ
another device         refused as ``second_device`` while the first one is alive
=====================  =====================================================================================

What is decided depends on the records alone, never on when they were read, except :meth:`Continuity.expire`,
which only decides sooner what the next chunk would decide the same way.
"""

from __future__ import annotations

from collections import Counter, deque

from ingest.errors import BadChunk
from ingest.known_chunks import KnownChunks, Place, StrayLine, all_before, is_over, layout_of, stray
from ingest.pieces import ContinuityState, Piece, Received
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk

__all__ = ["Continuity", "ContinuityState", "Piece"]

REMEMBERED_GAPS = 64


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
        self._waiting: dict[int, Received] = {}
        self._known = KnownChunks()
        self._stray: StrayLine | None = None
        self._follow()
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
            and self._stray is None
            and chunk.device == self._device
            and chunk.fs_hz == self._fs_hz
            and chunk.channels == self._channels
            and abs(chunk.start_ns - self._expected_ns) <= self._tolerance_ns
            and abs(chunk.start_ns - self._line_ns - chunk.seq * self._step_ns) <= self._slack_ns
        )
        if usual:
            # What nearly every chunk is, at once.
            if received_ms > self._received_ms:
                self._received_ms = received_ms
            self._next_seq, self._expected_ns = chunk.seq + 1, chunk.end_ns
            self._known.recent.append((chunk.seq, chunk.start_ns))
            return [Piece(chunk, offset, chunk.samples, chunk.start_ns, 0, False)]
        return self._unusual(Received(chunk, offset), received_ms)

    def _unusual(self, received: Received, received_ms: int) -> list[Piece]:
        chunk = received.chunk
        if not self._started:
            self._received_ms = received_ms
            self._note(chunk)
            return [self._restart(received)]
        same_layout = layout_of(chunk) == (self._device, self._fs_hz, self._channels)
        # Of that number there may be another one, of a device that began anew.
        left_out = same_layout and chunk.seq in self._skipped and self._known.holds(chunk, self._next_seq)
        came = self._known.came(chunk, Place(self._next_seq, self._expected_ns))
        if came and not left_out:
            # Says nothing, not even that its device is alive; but what is being sent is old.
            self.counts["duplicate"] += 1
            self._stray = None if same_layout else self._stray
            return []
        other_device = chunk.device != self._device
        if other_device:
            self._refuse_while_alive(chunk, received_ms)
        in_sequence = chunk.seq == self._next_seq and not other_device
        if not in_sequence and not left_out and is_over(chunk, self._expected_ns, self._tolerance_ns):
            return self._astray(received, received_ms)
        if other_device:
            self.counts["device_change"] += 1
            return self._begin(received, received_ms)
        self._stray = None
        if not same_layout:
            self.counts["layout_change"] += 1
            return self._begin(received, received_ms)
        self._received_ms = max(self._received_ms, received_ms)
        if chunk.seq == self._next_seq:
            self.counts["reorder"] += bool(self._waiting)
            return [*self._join(received), *self._contiguous_waiting()]
        if chunk.seq > self._next_seq:
            return self._ahead(received)
        return self._behind(received, left_out)

    def _astray(self, received: Received, received_ms: int) -> list[Piece]:
        """Drop what is old and was never taken, until it is sure that a device began anew."""
        self._stray = stray(self._stray, received.chunk)
        if not self._stray.is_sure:
            self.counts["late"] += 1
            return []
        if received.chunk.device == self._device:
            self.counts["restart"] += 1
        else:
            self.counts["device_change"] += 1
        return self._begin(received, received_ms)

    def expire(self) -> list[Piece]:
        """Wait no longer for what is missing."""
        return self._release()

    def _refuse_while_alive(self, chunk: Chunk, received_ms: int) -> None:
        """Refuse another device until the one that is read has been silent."""
        if received_ms - self._received_ms < self._settings.device_silence_s * 1e3:
            raise BadChunk(
                "second_device",
                f"device={chunk.device!r}: bed {chunk.bed!r} already gets {chunk.kind} from device "
                f"{self._device!r}; disconnect one, or wait {self._settings.device_silence_s:g} s",
            )

    def _begin(self, received: Received, received_ms: int) -> list[Piece]:
        """Give what was kept back of the former line, then begin the stream anew."""
        released = self._release()
        self._received_ms = max(self._received_ms, received_ms)
        self._note(received.chunk)
        return [*released, self._restart(received)]

    def _restart(self, received: Received) -> Piece:
        chunk = received.chunk
        self._skipped.clear()
        self._stray = None
        self._started = True
        self._device, self._fs_hz, self._channels = chunk.device, chunk.fs_hz, chunk.channels
        self._next_seq, self._expected_ns = chunk.seq + 1, chunk.end_ns
        return Piece(chunk, received.offset, chunk.samples, chunk.start_ns, missing=0, restart=True)

    def _note(self, chunk: Chunk) -> None:
        """Remember a chunk before it is counted."""
        self._known.note(chunk, Place(self._next_seq, self._expected_ns))
        self._follow()

    def _follow(self) -> None:
        """Have the newest line at hand."""
        self._line_ns, self._step_ns, self._slack_ns = self._known.newest_line

    def _join(self, received: Received) -> list[Piece]:
        """Append a chunk at its place in time; its sequence number has been dealt with."""
        chunk = received.chunk
        ahead_ns = chunk.start_ns - self._expected_ns
        self._note(chunk)
        self._next_seq = chunk.seq + 1
        if abs(ahead_ns) <= self._tolerance_ns:
            self._expected_ns = chunk.end_ns
            return [Piece(chunk, received.offset, chunk.samples, chunk.start_ns, missing=0, restart=False)]
        if ahead_ns > 0:
            return [self._after_gap(received, ahead_ns)]
        return self._overlapping(received, -ahead_ns)

    def _after_gap(self, received: Received, ahead_ns: int) -> Piece:
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

    def _overlapping(self, received: Received, behind_ns: int) -> list[Piece]:
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

    def _ahead(self, received: Received) -> list[Piece]:
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
        if is_over(received.chunk, self._expected_ns, self._tolerance_ns):
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

    def _behind(self, received: Received, left_out: bool) -> list[Piece]:
        chunk = received.chunk
        middle_ns = (chunk.start_ns + chunk.end_ns) // 2
        if middle_ns >= self._expected_ns:
            self.counts["restart"] += 1
            released = self._release()
            self._skipped.clear()
            return [*released, *self._join(received)]
        if left_out:
            self._skipped.remove(chunk.seq)
            self.counts["late"] += 1
            raise BadChunk(
                "late",
                f"seq={chunk.seq}: came after its gap was closed; send in order or within "
                f"{self._settings.reorder_s:g} s",
            )
        return self._join(received)

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
            self._known.state(self._next_seq),
            self._stray,
        )

    def restore(self, state: ContinuityState) -> None:
        """Go on from a snapshot."""
        self._device, self._next_seq, self._expected_ns = state.device, state.next_seq, state.expected_ns
        self._fs_hz, self._channels, self._received_ms = state.fs_hz, state.channels, state.received_ms
        self._skipped = deque(state.skipped, maxlen=REMEMBERED_GAPS)
        self._started = state.started
        self._stray = state.stray
        known = state.known
        if state.started and not known:
            layout = (state.device, state.fs_hz, state.channels)
            known = all_before(layout, Place(state.next_seq, state.expected_ns))
        self._known.restore(known)
        self._follow()
        self._waiting.clear()
