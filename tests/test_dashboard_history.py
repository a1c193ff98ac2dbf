"""What a bed's page scrolls back through: nothing lost, nothing of another patient, memory bounded."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.history import FULL_SCALE, VITALS_S, HeardBeats, Knots
from dashboard.traces import MOST_BYTES, Trace
from dashboard.ward import Ward
from inference.types import Beat, Bed, Prediction, Vital
from ingest.types import MISSING_INT16, Chunk, FloatArray, SignalKind

T0 = 1_800_000_000_000_000_000
S = 1_000_000_000
BED = "bed-01"


def chunk(
    samples: FloatArray,
    start_s: float,
    seq: int,
    fs: float = 250.0,
    kind: SignalKind = SignalKind.ECG,
    lead_off: tuple[bool, ...] | None = None,
) -> Chunk:
    wide = np.asarray(samples, dtype=np.float32)
    wide = wide[:, None] if wide.ndim == 1 else wide
    names = tuple(f"c{number}" for number in range(wide.shape[1]))
    return Chunk(BED, "d", kind, names, fs, T0 + round(start_s * S), seq, wide, lead_off=lead_off)


def beat(time_s: float, label: str = "N") -> Beat:
    return Beat(T0 + round(time_s * S), label, 0.9)


def prediction(beats: list[Beat], offset: int = 0, revision: int = 0, end_s: float = 8.0) -> Prediction:
    end_ns = T0 + round(end_s * S)
    return Prediction(
        "p", BED, "ecg", "m", "c0", end_ns - 8 * S, end_ns, {"vt": 0.9}, beats, 1.0, offset, revision
    )


def vital(time_s: float, rate: float | None = 60.0) -> Vital:
    return Vital("v", BED, "ecg", T0 + round(time_s * S), rate, 1.0, 0.9, rate is not None, round(time_s), 0)


def status(stay: str | None, revision: int) -> Bed:
    return Bed(
        BED, "w", stay, stay is not None, None, "adult", False, None, None, None, None, [], revision, 0
    )


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 4000), st.sampled_from([0.0, 0.0, 0.7, 45.0])), min_size=1, max_size=12
    ),
    st.sampled_from([62.5, 250.0, 360.0, 1000.0]),
)
def test_any_pieces_and_gaps_give_the_trace_that_one_piece_gives(
    pieces: list[tuple[int, float]], fs: float
) -> None:
    ward, whole, at_s = Ward(history_s=600.0), [], 0.0
    for seq, (size, gap_s) in enumerate(pieces):
        missing = round(gap_s * fs)
        at_s += missing / fs
        values = np.sin(np.arange(size) / 7 + seq).astype(np.float32)
        ward.add_chunk(chunk(values, at_s, seq, fs))
        at_s += size / fs
        whole += [np.full(missing if seq else 0, np.nan, dtype=np.float32), values]
    reference = Ward(history_s=600.0)
    reference.add_chunk(chunk(np.concatenate(whole), 0.0, 0, fs))
    found, wanted = ward.history(BED), reference.history(BED)
    assert found is not None
    assert wanted is not None
    np.testing.assert_array_equal(found.traces[0].window.samples, wanted.traces[0].window.samples)


def test_ten_minutes_are_held_and_no_more() -> None:
    ward = Ward(history_s=600.0)
    for seq in range(700):
        ward.add_chunk(chunk(np.full(250, seq), float(seq), seq))
    held = ward.history(BED)
    assert held is not None
    samples = held.traces[0].window.samples
    assert samples.shape == (150_000, 1)
    assert samples[0, 0] == 100
    assert samples[-1, 0] == 699


def test_the_ring_begins_small_and_many_channels_are_bounded() -> None:
    first = chunk(np.zeros((250, 64)), 0.0, 0)
    trace = Trace(first, 600.0)
    assert trace.n_bytes < MOST_BYTES / 8
    for seq in range(500):
        trace.push(chunk(np.zeros((250, 64)), float(seq), seq), 0.0)
    assert MOST_BYTES / 2 < trace.n_bytes <= MOST_BYTES


def test_a_gap_of_minutes_in_a_sound_costs_no_memory() -> None:
    ward = Ward(history_s=600.0)
    sound = np.full(4410, 0.5)
    ward.add_chunk(chunk(sound, 0.0, 0, 44_100.0, SignalKind.LUNG_SOUND))
    ward.add_chunk(chunk(sound, 590.0, 1, 44_100.0, SignalKind.LUNG_SOUND))
    held = ward.history(BED)
    assert held is not None
    window = held.traces[0].window
    assert len(window.samples) == pytest.approx(590.1 * window.stream.fs_hz, abs=4)
    audio = ward.audio(BED, SignalKind.LUNG_SOUND, 600.0)
    assert audio is not None
    fs_hz, samples, end_ns = audio
    assert (fs_hz, len(samples), samples.dtype) == (44_100.0, 60 * 44_100, np.int16)
    assert end_ns == T0 + round(590.1 * S)
    assert (samples[:-4410] == MISSING_INT16).all()
    assert (samples[-4410:] == round(0.5 * FULL_SCALE)).all()


@settings(deadline=None)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=12), st.floats(0.001, 80.0))
def test_sound_in_any_pieces_is_the_sound(sizes: list[int], newest_s: float) -> None:
    ward, signal, at = Ward(), np.random.default_rng(1).uniform(-1.2, 1.2, sum(sizes)), 0
    signal[::7] = np.nan
    for seq, size in enumerate(sizes):
        piece = signal[at : at + size]
        ward.add_chunk(chunk(piece, at / 1000.0, seq, 1000.0, SignalKind.HEART_SOUND))
        at += size
    audio = ward.audio(BED, SignalKind.HEART_SOUND, newest_s)
    assert audio is not None
    clipped = np.clip(np.rint(np.nan_to_num(signal.astype(np.float32)) * FULL_SCALE), -FULL_SCALE, FULL_SCALE)
    wanted = np.where(np.isnan(signal), MISSING_INT16, clipped).astype(np.int16)
    count = min(len(wanted), 60_000, round(newest_s * 1000))
    np.testing.assert_array_equal(audio[1], wanted[len(wanted) - count :])
    assert ward.audio(BED, SignalKind.LUNG_SOUND, 1.0) is None
    assert ward.audio("bed-99", SignalKind.HEART_SOUND, 1.0) is None


def test_a_beat_told_again_is_one_beat_and_the_later_record_says_its_class() -> None:
    held = HeardBeats(600.0)
    held.add(prediction([beat(1.0), beat(2.0)], offset=5))
    held.add(prediction([beat(1.004, "V")], offset=9))
    held.add(prediction([beat(2.003, "S")], offset=4))
    assert [(one.label, one.time_ns) for one in held.since(T0)] == [
        ("V", T0 + round(1.004 * S)),
        ("N", T0 + 2 * S),
    ]


@settings(deadline=None)
@given(st.permutations(range(40)))
def test_beats_in_any_order_come_sorted_and_the_old_ones_go(order: list[int]) -> None:
    held = HeardBeats(10.0)
    for number in order:
        held.add(prediction([beat(number * 0.5)], offset=number))
    found = [(one.time_ns - T0) / S for one in held.since(0)]
    assert found == sorted(found)
    assert found[-1] == 19.5
    assert found[0] >= 9.5


def test_a_flood_of_beats_is_bounded() -> None:
    held = HeardBeats(10.0)
    held.add(prediction([beat(number * 0.11) for number in range(500)]))
    assert len(held.since(0)) <= 60


def test_a_drifting_clock_is_followed_and_jitter_is_not() -> None:
    rng = np.random.default_rng(2)
    steady, drifting = Knots(250.0, T0), Knots(250.0, T0)
    for second in range(1, 600):
        steady.note(second * 250.0, T0 + round((second + rng.normal(0, 0.001)) * S))
        drifting.note(second * 250.0, T0 + round(second * 1.001 * S))
    assert len(steady.since(0)) < 5
    index, time_ns = drifting.since(100_000)[-1]
    assert 20 < len(drifting.since(0)) + len(drifting.since(100_000)) < 200
    assert time_ns == T0 + round(index / 250 * 1.001 * S)


def test_a_lead_that_was_off_is_named_with_its_time() -> None:
    ward = Ward(history_s=600.0)
    for seq, off in enumerate([False, True, True, False]):
        ward.add_chunk(chunk(np.zeros((250, 2)), float(seq), seq, lead_off=(off, False)))
    held = ward.history(BED)
    assert held is not None
    spans = [(one.channel, one.start_ns - T0, one.end_ns - T0) for one in held.traces[0].lead_off]
    assert spans == [(0, S, 3 * S)]


def test_numbers_of_the_last_hour_are_kept() -> None:
    ward = Ward()
    for second in range(VITALS_S + 100):
        ward.add_vital(vital(float(second), None if second % 2 else 60.0))
    (kept,) = ward.vital_history(BED)
    assert kept.signal == "ecg"
    assert kept.times_ns.shape == kept.heart_rate_bpm.shape == kept.quality.shape == (VITALS_S,)
    assert kept.times_ns[-1] == T0 + (VITALS_S + 99) * S
    assert (np.diff(kept.times_ns) == S).all()
    assert np.isnan(kept.heart_rate_bpm[1::2]).all()
    assert (kept.heart_rate_bpm[::2] == 60).all()
    assert ward.vital_history("bed-99") == ()


def test_a_new_patient_sees_nothing_of_the_one_before() -> None:
    ward = Ward(history_s=600.0)
    ward.add_bed(status("stay-1", 1))
    ward.add_chunk(chunk(np.ones(250), 0.0, 0))
    ward.add_prediction(prediction([beat(0.5)], end_s=1.0))
    ward.add_vital(vital(1.0))
    ward.add_bed(status("stay-1", 2))
    before = ward.history(BED)
    assert before is not None
    assert (len(before.traces[0].window.samples), len(before.beats), before.newest is None) == (250, 1, False)
    ward.add_bed(status("stay-2", 3))
    ward.add_chunk(chunk(np.zeros(250), 1.0, 1))
    after = ward.history(BED)
    assert after is not None
    assert (after.traces[0].window.samples == 0).all()
    assert (len(after.traces[0].window.samples), after.beats, after.newest) == (250, (), None)
    assert ward.vital_history(BED) == ()
