"""A rule for each trouble with time."""

import dataclasses

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


def chunk(
    seq: int, start_s: float | None = None, device: str = "m1", n: int = 100, fs: float = 100.0
) -> Chunk:
    start = seq * n / fs if start_s is None else start_s
    values = np.arange(n, dtype=np.float32)[:, None] + seq * n
    return Chunk("b", device, SignalKind.ECG, ("II",), fs, T0 + round(start * NS_PER_S), seq, values)


def numbered(item: Chunk, seq: int) -> Chunk:
    return dataclasses.replace(item, seq=seq)


def feed(line: Continuity, chunks: list[Chunk]) -> list[Piece]:
    return [
        piece
        for offset, item in enumerate(chunks)
        for piece in line.push(item, offset, item.end_ns // 1_000_000)
    ]


def samples(pieces: list[Piece]) -> list[float]:
    return [
        value
        for piece in pieces
        for value in [*[float("nan")] * piece.missing, *piece.samples[:, 0].tolist()]
    ]


@pytest.fixture
def line() -> Continuity:
    return Continuity(IngestSettings())


def test_chunks_in_order_are_joined(line: Continuity) -> None:
    pieces = feed(line, [chunk(k) for k in range(5)])
    assert samples(pieces) == list(range(500))
    assert [piece.restart for piece in pieces] == [True, False, False, False, False]


def test_a_duplicate_is_dropped_and_counted(line: Continuity) -> None:
    pieces = feed(line, [chunk(0), chunk(1), chunk(1), chunk(0), chunk(2)])
    assert samples(pieces) == list(range(300))
    assert line.counts["duplicate"] == 2


@given(order=st.permutations(range(1, 4)))
def test_reordered_within_the_limit_is_put_in_order(order: list[int]) -> None:
    line = Continuity(IngestSettings(reorder_s=5))
    pieces = feed(line, [chunk(0), *[chunk(k) for k in order], chunk(4)])
    assert samples(pieces) == list(range(500))
    assert line.counts["gap"] == 0


def test_a_short_gap_is_filled_as_missing(line: Continuity) -> None:
    pieces = feed(line, [chunk(0), chunk(1), chunk(3), chunk(4), chunk(5)])
    got = samples(pieces)
    assert np.isnan(got[200:300]).all()
    assert got[300:] == list(range(300, 600))
    assert line.counts["gap"] == 1


def test_a_long_gap_restarts_the_stream(line: Continuity) -> None:
    pieces = feed(line, [chunk(0), chunk(60), chunk(61), chunk(62)])
    assert [piece.restart for piece in pieces] == [True, True, False, False]


def test_what_comes_after_its_gap_was_closed_is_late(line: Continuity) -> None:
    feed(line, [chunk(0), chunk(2), chunk(3), chunk(4)])
    with pytest.raises(BadChunk, match="seq=1") as caught:
        feed(line, [chunk(1)])
    assert caught.value.reason == "late"


def test_an_overlap_is_trimmed(line: Continuity) -> None:
    pieces = feed(line, [chunk(0), chunk(1, start_s=0.5)])
    assert samples(pieces)[:100] == list(range(100))
    assert len(samples(pieces)) == 150
    assert pieces[1].start_ns == T0 + NS_PER_S
    assert line.counts["overlap"] == 1


def test_a_restarted_device_goes_on_by_time(line: Continuity) -> None:
    pieces = feed(line, [chunk(7), chunk(8), chunk(0, start_s=9.0), chunk(1, start_s=10.0)])
    assert len(samples(pieces)) == 400
    assert sum(piece.restart for piece in pieces) == 1
    assert line.counts["restart"] == 1


def test_a_clock_set_back_restarts_the_stream(line: Continuity) -> None:
    pieces = feed(line, [chunk(0), chunk(1), chunk(2, start_s=-3600)])
    assert [piece.restart for piece in pieces] == [True, False, True]
    assert line.counts["clock_jump"] == 1


def test_a_slow_drift_is_followed(line: Continuity) -> None:
    pieces = feed(line, [chunk(k, start_s=k * 1.001) for k in range(600)])
    assert sum(piece.missing for piece in pieces) == 0
    assert sum(piece.restart for piece in pieces) == 1
    assert pieces[-1].start_ns == T0 + round(599 * 1.001 * NS_PER_S)


def test_a_second_device_is_refused_until_the_first_is_silent(line: Continuity) -> None:
    feed(line, [chunk(0), chunk(1)])
    with pytest.raises(BadChunk, match="'m2'") as caught:
        feed(line, [chunk(2, device="m2")])
    assert caught.value.reason == "second_device"
    pieces = feed(line, [chunk(20, device="m2")])
    assert pieces[0].restart


def test_another_rate_restarts_the_stream(line: Continuity) -> None:
    pieces = feed(line, [chunk(0), chunk(1, start_s=1.0, fs=200.0)])
    assert [piece.restart for piece in pieces] == [True, True]
    assert line.counts["layout_change"] == 1


def test_state_put_back_goes_on(line: Continuity) -> None:
    feed(line, [chunk(0), chunk(1)])
    successor = Continuity(IngestSettings())
    successor.restore(line.state())
    pieces = feed(successor, [chunk(1), chunk(2)])
    assert samples(pieces) == list(range(200, 300))
    assert not pieces[0].restart


@given(
    dropped=st.sets(st.integers(1, 18), max_size=4),
    doubled=st.sets(st.integers(0, 19), max_size=5),
    swapped=st.sets(st.integers(1, 17), max_size=3),
)
def test_every_sample_that_came_in_time_is_there_once(
    dropped: set[int], doubled: set[int], swapped: set[int]
) -> None:
    order = list(range(20))
    for k in swapped:
        order[k], order[k + 1] = order[k + 1], order[k]
    sent = [chunk(k) for k in order if k not in dropped for _ in range(2 if k in doubled else 1)]
    line = Continuity(IngestSettings(reorder_s=8, gap_reset_s=30))
    pieces = feed(line, sent) + line.expire()
    got = np.array(samples(pieces))
    known = got[~np.isnan(got)]
    expected = np.concatenate([np.arange(k * 100, k * 100 + 100) for k in range(20) if k not in dropped])
    np.testing.assert_array_equal(known, expected)


@pytest.mark.parametrize("chunk_s", [0.1, 0.2, 1.0])
def test_every_chunk_sent_twice_counts_once(line: Continuity, chunk_s: float) -> None:
    n = round(100 * chunk_s)
    sent = [chunk(k, n=n) for k in range(20) for _ in range(2)]
    assert len(samples(feed(line, sent))) == 20 * n
    assert line.counts["duplicate"] == 20


def test_one_wrong_sequence_number_does_not_turn_time_back(line: Continuity) -> None:
    wrong = chunk(2**62, start_s=10.0)
    pieces = feed(line, [*[chunk(k) for k in range(10)], wrong, *[chunk(k) for k in range(10, 20)]])
    pieces += line.expire()
    pieces += feed(line, [chunk(k) for k in range(20, 25)])
    assert sum(piece.restart for piece in pieces) == 1
    assert np.isfinite(samples(pieces)).all()
    assert len(samples(pieces)) == 2500


@pytest.mark.parametrize("back", [1, 4, 60])
def test_a_block_that_comes_again_counts_once(line: Continuity, back: int) -> None:
    sent = [chunk(k) for k in range(100)]
    pieces = feed(line, [*sent, *sent[-back:], *sent[-back:], chunk(100)])
    assert samples(pieces) == list(range(10_100))
    assert (line.counts["duplicate"], sum(piece.restart for piece in pieces)) == (2 * back, 1)


def test_a_block_that_comes_again_across_changes_of_rate_and_clock_counts_once(line: Continuity) -> None:
    sent = [
        *[chunk(k) for k in range(4)],
        *[chunk(k, start_s=float(k), fs=200.0, n=200) for k in range(4, 8)],
        *[chunk(k, start_s=k - 500.0) for k in range(8, 12)],
        *[chunk(k, start_s=k - 1_000.0) for k in range(4)],
    ]
    once = samples(feed(Continuity(IngestSettings()), sent))
    assert samples(feed(line, [*sent, *sent, *sent[:7], *sent[9:]])) == once
    assert (line.counts["layout_change"], line.counts["duplicate"]) == (2, len(sent) + 7 + 7)


@pytest.mark.parametrize("n", [10, 100])
@pytest.mark.parametrize("back_s", [20.0, 1_000.0, 80_000.0])
def test_a_restarted_device_with_its_clock_set_back_is_read_after_two_chunks(
    line: Continuity, n: int, back_s: float
) -> None:
    feed(line, [chunk(k, n=n) for k in range(100, 300)])
    begin_s = 300 * n / 100 - back_s
    anew = [chunk(k, start_s=begin_s + k * n / 100, n=n) for k in range(10)]
    pieces = feed(line, anew)
    assert samples(pieces) == list(range(2 * n, 10 * n))
    assert [piece.restart for piece in pieces] == [True] + [False] * 7
    assert (line.counts["restart"], line.counts["late"]) == (1, 2)
    assert feed(line, anew) == [], "nor do the two that were lost come later"


def test_a_leap_of_the_count_with_the_clock_set_back_is_read_after_two_chunks(line: Continuity) -> None:
    feed(line, [chunk(k) for k in range(10)])
    pieces = feed(line, [chunk(1_000 + k, start_s=k - 500.0) for k in range(5)])
    assert len(pieces) == 3
    assert pieces[0].restart


def test_a_restarted_device_of_short_chunks_loses_none_where_time_goes_on(line: Continuity) -> None:
    feed(line, [chunk(k, n=10) for k in range(50)])
    pieces = feed(line, [chunk(k, start_s=5.0 + k / 10, n=10) for k in range(50)])
    assert len(pieces) == 50
    assert not any(piece.restart for piece in pieces)


def test_old_chunks_that_were_never_taken_begin_no_stream(line: Continuity) -> None:
    feed(line, [chunk(k) for k in range(100, 200)])
    strays = [chunk(k, start_s=k - 5_000.0, fs=fs) for k in range(50) for fs in (100.0, 200.0)]
    assert feed(line, [strays[0]] * 9) == []
    assert feed(line, strays) == [], "of two kinds"
    mixed = [one for k in range(200, 250) for one in (strays[2 * (k - 200)], chunk(k))]
    assert samples(feed(line, mixed)) == list(range(20_000, 25_000)), "while the device goes on"


def test_an_old_chunk_of_another_device_takes_no_silent_bed(line: Continuity) -> None:
    feed(line, [chunk(k) for k in range(10)])
    old = chunk(3, start_s=-40.0, device="m2")
    assert line.push(old, 0, T0 // 1_000_000 + 60_000) == []
    pieces = feed(line, [chunk(10)])
    assert not pieces[0].restart


def test_what_comes_again_does_not_keep_another_device_from_a_bed(line: Continuity) -> None:
    feed(line, [chunk(k) for k in range(10)])
    for second in range(10, 30):
        assert line.push(chunk(9), 0, T0 // 1_000_000 + 1_000 * second) == []
    assert feed(line, [chunk(20, device="m2")])[0].restart


def test_a_state_of_a_version_without_the_memory_is_read_and_drops_what_is_behind_it(
    line: Continuity,
) -> None:
    feed(line, [chunk(k) for k in range(100)])
    former = msgspec.to_builtins(line.state())
    del former["known"], former["stray"]
    successor = Continuity(IngestSettings())
    successor.restore(msgspec.convert(former, ContinuityState))
    assert feed(successor, [chunk(k) for k in range(40, 100)]) == []
    assert successor.counts["duplicate"] == 60
    assert samples(feed(successor, [chunk(100), chunk(99), chunk(101)])) == list(range(10_000, 10_200))
    assert len(feed(successor, [chunk(k, start_s=90.0 + k, fs=200.0) for k in range(5)])) == 3


@pytest.mark.parametrize("n", [10, 20, 25, 100])
@pytest.mark.parametrize("numbers", [1, 2, 256])
def test_short_chunks_of_a_device_that_does_not_count_or_wraps_are_all_read(n: int, numbers: int) -> None:
    line = Continuity(IngestSettings())
    pieces = feed(line, [numbered(chunk(k, n=n), k % numbers) for k in range(300)])
    assert samples(pieces) == list(range(300 * n))
    assert line.counts["duplicate"] == 0


@pytest.mark.parametrize("counts", [True, False])
def test_strips_now_and_then_of_another_device_whose_clock_is_behind_are_read(counts: bool) -> None:
    line = Continuity(IngestSettings())
    former = [chunk(k) for k in range(60)]
    strips = [numbered(chunk(k, 30.0 * k - 3600, device="m2", n=500), k * counts) for k in range(20)]
    feed(line, former)
    taken = 0
    for offset, strip in enumerate(strips):
        taken += len(line.push(strip, 1_000 + offset, T0 // 1_000_000 + 100_000 + 30_000 * offset))
    assert taken >= len(strips) - 2
    assert line.counts["device_change"] == 1
