"""Which chunks of a signal were taken, in bounded memory; and when chunks that are none of them begin a line.

A device counts its chunks and times them, so what it sends lies on a line: each number has its time. A chunk
that comes again lies on a line that was taken, however long ago; one of a device that began anew, its clock
and count set back, does not. The worker (:mod:`ingest.continuity`) and the dashboard's traces ask the same
memory, so that what is dropped there is not shown as new here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ingest.types import NS_PER_S, Chunk

SLACK_NS: Final = NS_PER_S // 4
"""So far a chunk's time may be off its line: devices' clocks jitter and drift.

Half a chunk where that is less: the next one of a device that does not count has the same number.
"""

MOST_SLACK_NS: Final = 60 * NS_PER_S
"""Of lines that were joined to save memory."""

MOST_LINES: Final = 32
"""Of one layout. A clock that is off by 500 ppm takes two, one that jumps takes one more each time."""

RECENT: Final = 64
"""So many of a layout's last chunks are known one by one: on a line or not, they are no news."""

MOST_RUNS: Final = 8
"""Layouts (devices, rates, channels) that are remembered."""

REACH_NS: Final = 24 * 3_600 * NS_PER_S
"""What is older is refused before it comes here; so far a line reaches back before its first chunk."""

ENOUGH: Final = 8
"""So many chunks tell how long a device's second is."""

SURE: Final = 3
"""So many chunks of one new line, with nothing of the line that stands in between, make it the line."""

NEAR_NS: Final = 600 * NS_PER_S
"""So far apart chunks of a new line may lie: some devices send a strip now and then."""

Layout = tuple[str, float, tuple[str, ...]]


class Line(msgspec.Struct):
    """Numbers ``first_seq`` to ``end_seq`` (without it), ``step_ns`` apart; each within ``slack_ns``."""

    first_seq: int
    end_seq: int
    start_ns: int
    step_ns: int
    slack_ns: int = SLACK_NS

    def at_ns(self, seq: int) -> int:
        """Time at which a number stands."""
        return self.start_ns + (seq - self.first_seq) * self.step_ns

    def passes(self, chunk: Chunk) -> bool:
        """Whether a chunk's time is that of its number."""
        return abs(chunk.start_ns - self.at_ns(chunk.seq)) <= self.slack_ns

    def holds(self, chunk: Chunk) -> bool:
        """Whether a chunk is one of its numbers at its time."""
        return self.first_seq <= chunk.seq < self.end_seq and self.passes(chunk)


class Run(msgspec.Struct, frozen=True):
    """Lines of one layout, the oldest first, and number and time of its last chunks; for snapshots."""

    device: str
    fs_hz: float
    channels: tuple[str, ...]
    lines: list[Line]
    recent: list[tuple[int, int]] = []


@dataclass(frozen=True, slots=True)
class Place:
    """Where a signal stands: the number that comes next, and its time."""

    next_seq: int
    expected_ns: int


def layout_of(chunk: Chunk) -> Layout:
    """Device, rate and channels."""
    return chunk.device, chunk.fs_hz, chunk.channels


def is_over(chunk: Chunk, expected_ns: int, tolerance_ns: float) -> bool:
    """Whether a chunk's time is over where a signal stands at ``expected_ns``."""
    middle_ns = (chunk.start_ns + chunk.end_ns) // 2
    return middle_ns < expected_ns and chunk.end_ns <= expected_ns + tolerance_ns


def joins(chunk: Chunk, expected_ns: int) -> bool:
    """Whether a chunk begins where a signal stands, within half its length: it is news, whatever its number.

    Of a device that does not count, or counts strangely, numbers and times tell little.
    """
    return 2 * abs(chunk.start_ns - expected_ns) <= chunk.end_ns - chunk.start_ns


@dataclass(frozen=True, slots=True)
class _Held:
    """What is known of one layout: its lines, and its last chunks one by one."""

    lines: list[Line] = field(default_factory=list)
    recent: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=RECENT))


class KnownChunks:
    """Lines on which the chunks of one (bed, signal kind) came."""

    def __init__(self) -> None:
        self._runs: dict[Layout, _Held] = {}
        self._layout: Layout = ("", 0.0, ())
        self._newest: Line | None = None
        self.recent = _Held().recent
        """Number and time of the last chunks; who takes one without :meth:`note` adds it here."""

    @property
    def newest_line(self) -> tuple[int, int, int]:
        """Time at number 0, time from one to the next, and slack of the line on which chunks come now."""
        line = self._newest
        return (0, 0, -1) if line is None else (line.at_ns(0), line.step_ns, line.slack_ns)

    def note(self, chunk: Chunk, place: Place) -> None:
        """Note a chunk that is taken where a signal stood at ``place``."""
        layout, newest = layout_of(chunk), self._newest
        if newest is not None:
            same = layout == self._layout and chunk.seq >= place.next_seq
            if same and newest.passes(chunk):
                self.recent.append((chunk.seq, chunk.start_ns))
                return
            # What was left out in between lies on this line or on the next. An older line takes no numbers.
            ahead = layout[0] == self._layout[0] and chunk.end_ns > place.expected_ns
            newest.end_seq = max(place.next_seq, chunk.seq if ahead else 0)
        step_ns = max(1, self._step_ns(chunk, place))
        # Numbers that were left out, or what came before a device was first heard, are of this line, too.
        goes_on = layout[0] == self._layout[0] and chunk.seq >= place.next_seq
        first_seq = max(place.next_seq if goes_on else 0, chunk.seq - REACH_NS // step_ns)
        start_ns = chunk.start_ns - (chunk.seq - first_seq) * step_ns
        slack_ns = min(SLACK_NS, (chunk.end_ns - chunk.start_ns) // 2 - 1)
        self._append(layout, Line(first_seq, chunk.seq + 1, start_ns, step_ns, slack_ns))
        self.recent.append((chunk.seq, chunk.start_ns))

    def _step_ns(self, chunk: Chunk, place: Place) -> int:
        """From one chunk to the next: as the device's clock has told so far, or as long as this chunk is."""
        newest = self._newest
        if newest is not None and layout_of(chunk) == self._layout and chunk.seq >= place.next_seq:
            n_chunks = place.next_seq - newest.first_seq
            if n_chunks >= ENOUGH:
                return (place.expected_ns - newest.start_ns) // n_chunks
        return chunk.end_ns - chunk.start_ns

    def _append(self, layout: Layout, line: Line) -> None:
        held = self._runs[layout] = self._runs.pop(layout, _Held())
        if len(held.lines) >= MOST_LINES:
            _thin(held.lines)
        held.lines.append(line)
        if len(self._runs) > MOST_RUNS:
            del self._runs[next(iter(self._runs))]
        self._layout, self._newest, self.recent = layout, line, held.recent

    def came(self, chunk: Chunk, place: Place) -> bool:
        """Whether a chunk comes again where a signal stands at ``place``."""
        held = self._runs.get(layout_of(chunk))
        if held is not None and (chunk.seq, chunk.start_ns) in held.recent:
            return True
        return not joins(chunk, place.expected_ns) and self.holds(chunk, place.next_seq)

    def holds(self, chunk: Chunk, next_seq: int) -> bool:
        """Whether a chunk was taken before, or left out among such; ``next_seq`` is what comes next."""
        self._reach(next_seq)
        held = self._runs.get(layout_of(chunk))
        return held is not None and any(line.holds(chunk) for line in held.lines)

    def _reach(self, next_seq: int) -> None:
        if self._newest is not None:
            self._newest.end_seq = next_seq

    def state(self, next_seq: int) -> list[Run]:
        """Copy for a snapshot, the layout that comes now last."""
        self._reach(next_seq)
        return [
            Run(*layout, [msgspec.structs.replace(line) for line in held.lines], list(held.recent))
            for layout, held in self._runs.items()
        ]

    def restore(self, runs: list[Run]) -> None:
        """Go on from a snapshot."""
        self._runs = {
            (run.device, run.fs_hz, run.channels): _Held(
                [msgspec.structs.replace(line) for line in run.lines], deque(run.recent, RECENT)
            )
            for run in runs
            if run.lines
        }
        self._layout = next(reversed(self._runs), ("", 0.0, ()))
        newest = self._runs.get(self._layout, _Held())
        self._newest = newest.lines[-1] if newest.lines else None
        self.recent = newest.recent


def all_before(layout: Layout, place: Place) -> list[Run]:
    """Return runs that hold whatever lies behind ``place`` in number and time: where no more is known."""
    half_ns = REACH_NS // 2
    line = Line(0, place.next_seq, place.expected_ns - half_ns, 0, half_ns)
    return [Run(*layout, [line])]


def _thin(lines: list[Line]) -> None:
    """Make one line of the two neighbours that are most nearly one; else the oldest is forgotten."""
    wholes = [_joined(*pair) for pair in zip(lines, lines[1:], strict=False)]
    slacks = [MOST_SLACK_NS + 1 if whole is None else whole.slack_ns for whole in wholes]
    at = slacks.index(min(slacks))
    whole = wholes[at]
    if whole is None or whole.slack_ns > MOST_SLACK_NS:
        del lines[0]
    else:
        lines[at : at + 2] = [whole]


def _joined(first: Line, second: Line) -> Line | None:
    """One line near to both, with the slack that this takes; ``None`` where the second does not go on."""
    if second.first_seq <= first.first_seq or second.end_seq <= first.end_seq:
        return None
    n_chunks = second.end_seq - first.first_seq
    step_ns = (second.at_ns(second.end_seq) - first.start_ns) // n_chunks
    whole = Line(first.first_seq, second.end_seq, first.start_ns, step_ns)
    # Lines are straight: they lie furthest apart at their ends. The last term is that of whole nanoseconds.
    off_first = first.slack_ns + abs(first.at_ns(first.end_seq) - whole.at_ns(first.end_seq))
    off_second = second.slack_ns + abs(second.start_ns - whole.at_ns(second.first_seq))
    whole.slack_ns = max(off_first, off_second) + n_chunks
    return whole if step_ns > 0 else None


class StrayLine(msgspec.Struct, frozen=True):
    """Chunks whose time is over and that were never taken: a device that began anew, or an old one astray."""

    device: str
    fs_hz: float
    channels: tuple[str, ...]
    seq: int
    start_ns: int
    end_ns: int
    n_chunks: int = 1

    @property
    def is_sure(self) -> bool:
        """Whether it is a device that began anew: enough chunks have gone on from one to the next."""
        return self.n_chunks >= SURE


def stray(before: StrayLine | None, chunk: Chunk) -> StrayLine:
    """Take one more chunk whose time is over and that was never taken.

    Parameters
    ----------
    before : StrayLine or None
        What such chunks have come to since the last one that was taken.
    chunk : Chunk
        Never taken.
    """
    found = StrayLine(*layout_of(chunk), chunk.seq, chunk.start_ns, chunk.end_ns)
    if before is None or layout_of(chunk) != (before.device, before.fs_hz, before.channels):
        return found
    if chunk.start_ns > before.start_ns and chunk.start_ns - before.end_ns <= NEAR_NS:
        # Whatever their numbers, and even if they overlap: not every device counts.
        return msgspec.structs.replace(found, n_chunks=before.n_chunks + 1)
    if 0 <= before.start_ns - chunk.start_ns <= NEAR_NS:
        # The same again, or out of order: it tells nothing either way.
        return before
    return found
