"""Time as devices get it wrong, for whole streams (tests/test_ingest_continuity.py has single chunks)."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.continuity import Continuity, ContinuityState, Piece
from ingest.errors import BadChunk
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk, SignalKind

T0 = 1_700_000_000 * NS_PER_S
FS = 100.0


class Device:
    """Sends chunks of one second whose samples are their number, and gets time wrong if it is told to."""

    def __init__(self, name: str = "m1", at_s: float = 0.0) -> None:
        self.name, self.at_s, self.seq, self.fs, self.told = name, at_s, 0, FS, 0

    def next(self) -> Chunk:
        values = np.full((round(self.fs), 1), 1_000 * (self.name == "m2") + self.told, dtype=np.float32)
        start_ns = T0 + round(self.at_s * NS_PER_S)
        made = Chunk("b", self.name, SignalKind.ECG, ("II",), self.fs, start_ns, self.seq, values)
        self.at_s, self.seq, self.told = self.at_s + 1.0, self.seq + 1, self.told + 1
        return made


class Line:
    """A stream's order, and what came out of it."""

    def __init__(self, **settings: float) -> None:
        self.order = Continuity(IngestSettings(**settings))
        self.pieces: list[Piece] = []
        self.refused: list[str] = []
        self.offset = 0

    def take(self, chunk: Chunk, at_s: float) -> None:
        self.offset += 1
        try:
            self.pieces += self.order.push(chunk, self.offset, round(T0 / 1e6 + at_s * 1e3))
        except BadChunk as error:
            self.refused.append(error.reason)

    def give(self, device: Device, n: int, at_s: float | None = None) -> None:
        for _ in range(n):
            chunk = device.next()
            self.take(chunk, device.at_s if at_s is None else at_s)

    @property
    def told(self) -> list[int]:
        """Numbers of the chunks that came through, in their order."""
        return [int(piece.samples[0, 0]) for piece in self.pieces if len(piece.samples)]

    @property
    def restarts(self) -> int:
        return sum(piece.restart for piece in self.pieces)

    @property
    def missing(self) -> int:
        return sum(piece.missing for piece in self.pieces)


def test_a_clock_set_forward_is_a_gap_and_the_stream_begins_anew() -> None:
    line, device = Line(), Device()
    line.give(device, 3)
    device.at_s += 3_600
    line.give(device, 3)
    assert (line.restarts, line.missing, line.order.counts["gap"]) == (2, 0, 1)
    assert line.told == list(range(6))


def test_a_clock_set_forward_by_less_than_a_gap_leaves_samples_missing() -> None:
    line, device = Line(), Device()
    line.give(device, 3)
    device.at_s += 2
    line.give(device, 3)
    assert (line.restarts, line.missing) == (1, 200)


@pytest.mark.parametrize("rate", [-500e-6, -50e-6, 50e-6, 500e-6])
def test_a_clock_that_drifts_either_way_for_an_hour_loses_nothing(rate: float) -> None:
    line, device = Line(), Device()
    for second in range(3_600):
        device.at_s = second * (1 + rate)
        line.give(device, 1, at_s=float(second))
    assert len(line.pieces) == 3_600
    assert (line.restarts, line.missing, line.refused) == (1, 0, [])
    assert line.pieces[-1].start_ns == T0 + round(3_599 * (1 + rate) * NS_PER_S)


def test_a_leap_of_sequence_numbers_is_no_gap_where_time_goes_on() -> None:
    line, device = Line(), Device()
    line.give(device, 3)
    device.seq += 1_000_000
    line.give(device, 10)
    assert line.told == list(range(13))
    assert (line.restarts, line.missing, line.order.counts["gap"]) == (1, 0, 0)


def test_sequence_numbers_that_wrap_around_are_a_restart_and_lose_nothing() -> None:
    line, device = Line(), Device()
    device.seq = 2**32 - 3
    line.give(device, 3)
    device.seq = 0
    line.give(device, 5)
    assert line.told == list(range(8))
    assert (line.restarts, line.missing, line.order.counts["restart"]) == (1, 0, 1)


def test_a_device_that_was_off_for_some_seconds_comes_back_with_a_gap() -> None:
    line, device = Line(), Device()
    line.give(device, 5)
    device.seq, device.at_s = 0, device.at_s + 3
    line.give(device, 5)
    assert line.told == list(range(10))
    assert (line.restarts, line.missing) == (1, 300)


def test_a_chunk_that_comes_beyond_the_lateness_limit_is_refused_and_stops_nothing() -> None:
    line, device = Line(reorder_s=2), Device()
    sent = [device.next() for _ in range(8)]
    for at_s, chunk in enumerate([*sent[:2], *sent[3:6], sent[2], *sent[6:]]):
        line.take(chunk, at_s)
    assert line.refused == ["late"]
    assert line.told == [0, 1, 3, 4, 5, 6, 7]
    assert line.missing == 100


def test_two_devices_at_one_bed_do_not_mix_whoever_was_first() -> None:
    line, first, second = Line(), Device("m1"), Device("m2")
    for at_s in range(30):
        line.give(first, 1, at_s)
        line.give(second, 1, at_s)
    assert line.told == list(range(30))
    assert line.refused == ["second_device"] * 30


def test_a_signal_passes_to_another_device_and_back_only_after_silence() -> None:
    line, first, second = Line(device_silence_s=10), Device("m1"), Device("m2", at_s=20.0)
    line.give(first, 5)
    line.give(second, 5)
    first.at_s = 22.0
    line.give(first, 1)
    assert line.refused == ["second_device"]
    first.at_s = 40.0
    line.give(first, 2)
    assert line.told == [0, 1, 2, 3, 4, *range(1_000, 1_005), 6, 7]
    assert (line.restarts, line.order.counts["device_change"]) == (3, 2)


def test_a_rate_that_changes_while_a_chunk_is_waited_for_loses_none_that_came() -> None:
    line, device = Line(reorder_s=5), Device()
    line.give(device, 2)
    device.next()
    line.give(device, 1)
    device.fs = 200.0
    line.give(device, 2)
    assert line.told == [0, 1, 3, 4, 5]
    assert [piece.chunk.fs_hz for piece in line.pieces] == [100.0, 100.0, 100.0, 200.0, 200.0]
    assert (line.restarts, line.missing, line.order.counts["layout_change"]) == (2, 100, 1)


def _trouble(kind: str, device: Device, by: float) -> None:
    if kind == "clock":
        device.at_s += by
    elif kind == "leap":
        device.seq = max(0, device.seq + round(by))
    elif kind == "restart":
        device.seq = 0
    elif kind == "lost":
        device.next()
    elif kind == "rate":
        device.fs = 300.0 - device.fs


def _read(line: Line, chunks: list[Chunk], handed_over: int | None = None) -> None:
    """Let a line take chunks; after some a successor goes on from its bytes."""
    for nth, chunk in enumerate(chunks):
        if nth == handed_over:
            state = msgspec.msgpack.decode(msgspec.msgpack.encode(line.order.state()), type=ContinuityState)
            line.order = Continuity(IngestSettings(reorder_s=0))
            line.order.restore(state)
        line.take(chunk, float(nth))


SPANS = st.integers(3, 12)
BACK_S = st.one_of(st.floats(0.5, 120.0), st.floats(120.0, 80_000.0))


@given(lives=st.lists(st.tuples(SPANS, BACK_S, st.booleans()), min_size=2, max_size=4), data=st.data())
def test_a_device_that_restarts_with_any_clock_is_read_again_and_blocks_again_count_once(
    lives: list[tuple[int, float, bool]], data: st.DataObject
) -> None:
    line, device, sent = Line(), Device(), list[Chunk]()
    for span, back_s, other_rate in lives:
        device.seq, device.at_s, device.fs = 0, device.at_s - back_s, 200.0 if other_rate else FS
        anew = [device.next() for _ in range(span)]
        # A clock that comes back to just where it was when the count began: none could tell.
        begins = {chunk.start_ns for chunk in sent if chunk.seq == 0}
        if any(abs(anew[0].start_ns - begin_ns) < NS_PER_S for begin_ns in begins):
            return
        _read(line, anew)
        assert set(line.told) >= set(range(device.told - span + 2, device.told)), "all but two"
        sent += anew
        here, there = sorted(data.draw(st.tuples(*[st.integers(0, len(sent))] * 2)))
        n_before = len(line.pieces)
        # The first two of a life were not read: one that begins just where the signal stands is news.
        taken = set(line.told)
        _read(line, [one for one in sent[here:there] if int(one.samples[0, 0]) in taken])
        assert len(line.pieces) == n_before
    assert len(line.told) == len(set(line.told))
    assert line.refused == []


@given(
    troubles=st.lists(st.tuples(st.sampled_from(["clock", "leap", "restart", "rate", "block", "none"]),
                                st.sampled_from([-3_600.0, -30.0, 1.0, 30.0]), st.integers(1, 5)),
                      min_size=1, max_size=12),
    at=st.integers(0, 60),
)  # fmt: skip
def test_a_successor_in_the_middle_of_any_of_these_decides_alike(
    troubles: list[tuple[str, float, int]], at: int
) -> None:
    device, sent = Device(), list[Chunk]()
    for kind, by, n in troubles:
        _trouble(kind, device, by)
        sent += sent[-3 * n :] if kind == "block" else [device.next() for _ in range(n)]
    one, two = Line(reorder_s=0), Line(reorder_s=0)
    _read(one, sent)
    _read(two, sent, handed_over=at)
    assert two.told == one.told
    assert [piece.restart for piece in two.pieces] == [piece.restart for piece in one.pieces]
    assert two.refused == one.refused
    assert two.order.state() == one.order.state()


TROUBLES = st.tuples(
    st.sampled_from(["clock", "leap", "restart", "lost", "rate", "none", "twice", "held", "other", "block"]),
    st.sampled_from([-3_600.0, -30.0, -1.0, -0.3, 0.1, 0.3, 1.0, 3.0, 30.0]),
    st.integers(1, 4),
)


@given(troubles=st.lists(TROUBLES, max_size=25))
def test_whatever_a_device_does_to_time_no_chunk_counts_twice_and_time_goes_on(
    troubles: list[tuple[str, float, int]],
) -> None:
    line, device, other = Line(), Device("m1"), Device("m2")
    held: list[Chunk] = []
    sent: list[Chunk] = []
    now_s = 0.0
    for kind, by, n in troubles:
        _trouble(kind, device, by)
        for _ in range(n):
            now_s += 1.0
            chunk = device.next()
            if kind == "held":
                held.append(chunk)
                continue
            for _ in range(2 if kind == "twice" else 1):
                line.take(chunk, now_s)
            sent.append(chunk)
            if kind == "other":
                line.take(other.next(), now_s)
        for chunk in held if kind != "held" else []:
            line.take(chunk, now_s)
        held = [] if kind != "held" else held
        for chunk in sent[-3 * n :] if kind == "block" else []:
            line.take(chunk, now_s)
    line.pieces += line.order.expire()
    assert set(line.refused) <= {"late", "second_device"}
    assert len(line.told) == len(set(line.told))
    tolerance_ns = IngestSettings().clock_jump_s * NS_PER_S
    for before, piece in zip(line.pieces, line.pieces[1:], strict=False):
        if not piece.restart:
            end_ns = before.start_ns + len(before.samples) / before.chunk.fs_hz * NS_PER_S
            ahead_ns = piece.start_ns - end_ns - piece.missing / piece.chunk.fs_hz * NS_PER_S
            assert abs(ahead_ns) <= tolerance_ns + NS_PER_S / FS


def test_what_a_gateway_kept_of_a_former_life_takes_no_number_of_the_one_that_goes_on() -> None:
    line, device = Line(), Device()
    line.give(device, 300)
    kept = [device.next() for _ in range(60)]
    device.seq, device.at_s = 0, device.at_s + 40
    line.give(device, 32)
    _read(line, kept)
    n_before = device.told
    line.give(device, 1_000)
    assert set(range(n_before, device.told)) <= set(line.told)


@pytest.mark.parametrize("n_lost", [0, 20, 60, 200])
@pytest.mark.parametrize("back_s", [100, 3_600])
def test_chunks_lost_before_a_device_restarted_hold_up_nothing_after_it(n_lost: int, back_s: float) -> None:
    line, device = Line(), Device()
    line.give(device, 1)
    for _ in range(n_lost):
        device.next()
    line.give(device, 5)
    device.seq, device.at_s, n_before = 0, device.at_s - back_s - n_lost, device.told
    line.give(device, 70)
    assert line.told[-68:] == list(range(n_before + 2, n_before + 70))


@pytest.mark.parametrize("after_s", [0.0, 2.0, 20.0])
def test_copies_of_a_new_life_are_copies_though_chunks_of_these_numbers_were_lost_before(
    after_s: float,
) -> None:
    line, device = Line(), Device()
    line.give(device, 4)
    for _ in range(4):
        device.next()
    line.give(device, 4)
    device.seq, device.at_s = 0, device.at_s + after_s
    anew = [device.next() for _ in range(12)]
    _read(line, anew)
    n_before = len(line.pieces)
    _read(line, anew[4:8])
    assert (len(line.pieces), line.refused) == (n_before, [])
    assert line.order.counts["duplicate"] == 4


@pytest.mark.parametrize("back_s", [1.0, 2.0, 2.3, 5.0])
@pytest.mark.parametrize("n_again", [1, 3, 8])
def test_copies_right_after_a_clock_was_set_back_are_no_news(back_s: float, n_again: int) -> None:
    line, device = Line(), Device()
    sent = [device.next() for _ in range(100)]
    device.at_s -= back_s
    sent.append(device.next())
    _read(line, sent)
    _read(line, sent[-1 - n_again : -1])
    _read(line, [device.next() for _ in range(20)])
    assert line.told[-120:] == list(range(device.told))[-120:]
    assert len(line.told) == len(set(line.told))


@pytest.mark.parametrize(("length_s", "every_s"), [(2, 1.9), (2, 1), (10, 5)])
def test_a_restarted_device_whose_chunks_overlap_is_read(length_s: float, every_s: float) -> None:
    def sent(first_s: float, n: int) -> list[Chunk]:
        values = np.zeros((round(length_s * FS), 1), dtype=np.float32)
        times = [T0 + round((first_s + every_s * seq) * NS_PER_S) for seq in range(n)]
        return [
            Chunk("b", "m1", SignalKind.ECG, ("II",), FS, at, seq, values) for seq, at in enumerate(times)
        ]

    line = Line()
    _read(line, sent(0.0, 300))
    n_before = len(line.pieces)
    _read(line, sent(-5_000.3, 50))
    assert len(line.pieces) - n_before == 48
