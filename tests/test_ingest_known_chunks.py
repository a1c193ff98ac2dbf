"""The memory of what was taken: it holds what came, and nothing that never was; it stays small."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.known_chunks import MOST_LINES, MOST_RUNS, SURE, KnownChunks, Place, Run, StrayLine, stray
from ingest.types import NS_PER_S, Chunk, SignalKind

T0 = 1_700_000_000 * NS_PER_S


def chunk(seq: int, start_s: float, length_s: float = 1.0, device: str = "m1", fs: float = 100.0) -> Chunk:
    values = np.zeros((round(length_s * fs), 1), dtype=np.float32)
    return Chunk("b", device, SignalKind.ECG, ("II",), fs, T0 + round(start_s * NS_PER_S), seq, values)


class Taken:
    """A memory, and where the signal stands."""

    def __init__(self) -> None:
        self.memory, self.place = KnownChunks(), Place(0, 0)
        self.chunks: list[Chunk] = []

    def take(self, *chunks: Chunk) -> None:
        for one in chunks:
            self.memory.note(one, self.place)
            self.place = Place(one.seq + 1, one.end_ns)
            self.chunks.append(one)

    def holds(self, one: Chunk) -> bool:
        return self.memory.holds(one, self.place.next_seq)

    @property
    def n_lines(self) -> int:
        return sum(len(run.lines) for run in self.memory.state(self.place.next_seq))


@given(
    lengths=st.lists(st.sampled_from([0.1, 0.5, 1.0, 1.2]), min_size=1, max_size=60),
    gaps=st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.2, 5.0, 700.0]), min_size=60, max_size=60),
)
def test_whatever_the_lengths_and_gaps_all_that_was_taken_is_known(
    lengths: list[float], gaps: list[float]
) -> None:
    taken, at_s = Taken(), 0.0
    for seq, (length_s, gap_s) in enumerate(zip(lengths, gaps, strict=False)):
        at_s += gap_s
        taken.take(chunk(seq, at_s, length_s))
        at_s += length_s
    assert all(taken.holds(one) for one in taken.chunks[-MOST_LINES:])
    assert not taken.holds(chunk(len(lengths), at_s))
    assert taken.n_lines <= MOST_LINES


@pytest.mark.parametrize("rate", [-500e-6, 0.0, 500e-6])
def test_ten_hours_of_a_clock_that_drifts_are_a_few_lines_and_all_known(rate: float) -> None:
    taken = Taken()
    taken.take(*(chunk(seq, seq * (1 + rate)) for seq in range(36_000)))
    assert taken.n_lines <= 3
    assert all(taken.holds(one) for one in taken.chunks[::500])
    assert not taken.holds(chunk(100, 101.0))


def test_chunks_of_uneven_length_are_all_known_for_an_hour_in_bounded_memory() -> None:
    taken, at_s = Taken(), 0.0
    lengths = np.random.default_rng(7).uniform(0.5, 1.5, 3_600).round(2)
    for seq, length_s in enumerate(lengths.tolist()):
        taken.take(chunk(seq, at_s, length_s))
        at_s += length_s
    assert taken.n_lines <= MOST_LINES
    assert all(taken.holds(one) for one in taken.chunks)
    assert not taken.holds(chunk(100, taken.chunks[100].start_ns / NS_PER_S - T0 / NS_PER_S + 200.0))


def test_another_line_through_the_same_hour_is_not_known() -> None:
    taken = Taken()
    taken.take(*(chunk(seq, float(seq)) for seq in range(3_600)))
    assert not any(taken.holds(chunk(seq, seq + shift)) for seq in range(99) for shift in (-9.0, 0.5, 60.0))


def test_what_was_left_out_is_as_good_as_taken_on_either_side_of_a_clock_that_was_set_meanwhile() -> None:
    taken = Taken()
    taken.take(chunk(100, 100.0), chunk(101, 101.0), chunk(200, 230.0))
    assert taken.holds(chunk(150, 150.0)), "kept through an outage, by the clock of before"
    assert taken.holds(chunk(150, 180.0)), "and by that of after"
    assert taken.holds(chunk(40, 40.0)), "before this reader began to listen"


def test_layouts_are_remembered_beside_each_other_and_the_longest_unused_is_forgotten_first() -> None:
    taken = Taken()
    for nth in range(3 * MOST_RUNS):
        taken.take(chunk(2 * nth, 2.0 * nth, fs=100.0), chunk(2 * nth + 1, 2.0 * nth + 1, fs=200.0 + nth))
    assert all(taken.holds(one) for one in taken.chunks[::2])
    assert all(taken.holds(one) for one in taken.chunks[-2 * MOST_RUNS + 2 :])
    assert not taken.holds(taken.chunks[1])
    assert len(taken.memory.state(taken.place.next_seq)) == MOST_RUNS


def test_a_memory_that_was_put_back_through_bytes_is_the_same() -> None:
    taken = Taken()
    taken.take(chunk(0, 0.0), chunk(1, 1.0), chunk(2, 500.0), chunk(3, 501.0, fs=200.0))
    state = taken.memory.state(taken.place.next_seq)
    again = KnownChunks()
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=list[Run]))
    assert again.newest_line == taken.memory.newest_line
    assert again.state(4) == state
    assert all(again.holds(one, 4) for one in taken.chunks)


def followed(*chunks: Chunk) -> StrayLine:
    found: StrayLine | None = None
    for one in chunks:
        found = stray(found, one)
    assert found is not None
    return found


def test_chunks_astray_are_a_device_that_began_anew_only_when_they_go_on() -> None:
    line = [chunk(seq, float(seq)) for seq in range(SURE)]
    assert followed(*line).is_sure
    assert followed(line[0], line[0], line[1], line[0], line[1], line[2]).is_sure
    assert followed(chunk(1, 1.0), chunk(0, 0.0), chunk(3, 3.0), chunk(2, 2.0), chunk(5, 5.0)).is_sure
    assert not followed(*[line[0]] * 9).is_sure, "one that comes again and again"
    assert not followed(*[chunk(9 - seq, 9.0 - seq) for seq in range(9)]).is_sure, "backwards"
    assert not followed(*[chunk(seq, 3600.0 * seq) for seq in range(9)]).is_sure, "picked from hours"
    assert not followed(*[chunk(seq, seq, fs=100.0 + 50 * (seq % 2)) for seq in range(9)]).is_sure
