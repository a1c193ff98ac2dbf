"""What comes again is not shown as new, and what the worker reads anew is: trace and worker decide alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.traces import Trace
from ingest.continuity import Continuity
from ingest.errors import BadChunk
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk, SignalKind

T0 = 1_700_000_000 * NS_PER_S


def chunk(seq: int, start_s: float, fs: float = 100.0, device: str = "m1", length_s: float = 1.0) -> Chunk:
    values = np.full((round(length_s * fs), 1), seq % 7, dtype=np.float32)
    return Chunk("b", device, SignalKind.ECG, ("II",), fs, T0 + round(start_s * NS_PER_S), seq, values)


def shown(chunks: list[Chunk], at_s: float = 0.0) -> Trace:
    trace = Trace(chunks[0], 120.0)
    for nth, one in enumerate(chunks):
        trace.push(one, at_s + nth)
    return trace


def test_one_old_chunk_again_is_not_shown_as_live() -> None:
    trace = shown([chunk(k, float(k)) for k in range(100)])
    before = trace.describe(120.0)
    assert not trace.push(chunk(30, 30.0), 120.0)
    assert trace.describe(120.0) == before
    assert before.age_s == pytest.approx(21.0)


def test_a_backlog_of_a_minute_that_comes_again_changes_nothing() -> None:
    sent = [chunk(k, float(k)) for k in range(100)]
    trace = shown(sent)
    before = trace.describe(130.0)
    assert not any([trace.push(one, 130.0) for one in sent[40:]])
    assert trace.describe(130.0) == before
    assert trace.push(chunk(100, 100.0), 131.0)


def test_a_minute_that_came_before_the_page_began_is_not_shown_as_live() -> None:
    sent = [chunk(k, float(k)) for k in range(100)]
    trace = shown(sent[80:])
    assert not any([trace.push(one, 130.0) for one in sent[20:]])


def test_a_block_again_across_a_change_of_rate_changes_nothing() -> None:
    sent = [*[chunk(k, float(k)) for k in range(5)], *[chunk(k, float(k), fs=200.0) for k in range(5, 10)]]
    trace = shown(sent)
    before = trace.describe(30.0)
    assert not any([trace.push(one, 30.0) for one in sent])
    assert trace.describe(30.0) == before


@pytest.mark.parametrize("back_s", [3.0, 29.0, 1_000.0])
@pytest.mark.parametrize("length_s", [0.1, 1.0])
def test_a_restarted_device_with_its_clock_set_back_is_shown_after_two_chunks(
    back_s: float, length_s: float
) -> None:
    trace = shown([chunk(100 + k, k * length_s, length_s=length_s) for k in range(60)])
    begin_s = 60 * length_s - back_s
    anew = [chunk(k, begin_s + k * length_s, length_s=length_s) for k in range(4)]
    assert [trace.push(one, 100.0) for one in anew] == [False, False, True, True]
    assert trace.describe(101.0).age_s == pytest.approx(1.0)
    assert trace.end_ns == anew[-1].end_ns


def test_an_old_chunk_of_another_device_takes_no_silent_trace() -> None:
    trace = shown([chunk(k, float(k)) for k in range(10)])
    assert not trace.push(chunk(3, -40.0, device="m2"), 60.0)
    assert trace.push(chunk(20, 60.0, device="m2"), 61.0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["none", "clock", "restart", "rate", "block", "old", "device", "silence"]),
        st.sampled_from([-3_600.0, -70.0, -20.0, -2.0, 3.0, 30.0]),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=14,
)


@given(steps=STEPS)
def test_what_the_worker_drops_is_not_shown_as_new_and_the_reverse(
    steps: list[tuple[str, float, int]],
) -> None:
    order, now_s, at_s = Continuity(IngestSettings(reorder_s=0)), 0.0, 0.0
    seq, fs, device = 0, 100.0, "m1"
    trace = Trace(chunk(0, 0.0), 120.0)
    sent: list[Chunk] = []
    for kind, by, n in steps:
        at_s += by if kind in ("clock", "restart") else 0.0
        now_s += 15.0 if kind == "silence" else 0.0
        seq = 0 if kind in ("restart", "device") else seq
        fs = 300.0 - fs if kind == "rate" else fs
        device = {"m1": "m2", "m2": "m1"}[device] if kind == "device" else device
        if kind in ("block", "old"):
            came = sent[-4 * n :] if kind == "block" else sent[: 2 * n]
        else:
            came = [chunk(seq + k, at_s + k, fs, device) for k in range(n)]
            sent += came
            seq, at_s = seq + n, at_s + n
        for one in came:
            now_s += 1.0
            try:
                taken = bool(order.push(one, 0, round(now_s * 1e3)))
            except BadChunk:
                taken = False
            assert trace.push(one, now_s) == taken
