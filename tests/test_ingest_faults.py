"""Scripted faults do to a stream what their names say, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.errors import SettingsError
from ingest.faults import KNOWN, FaultSpec, apply_faults, parse_fault
from ingest.types import NS_PER_S, Chunk, SignalKind

T0 = 1_700_000_000 * NS_PER_S
FS = 250.0


def stream(n_s: int = 20, chunk: int = 250, bed: str = "bed-01", total: int | None = None) -> list[Chunk]:
    n = n_s * 250 if total is None else total
    values = np.sin(np.arange(n)[:, None] * np.array([0.1, 0.07])).astype(np.float32) + 1
    return [
        Chunk(bed, "d", SignalKind.ECG, ("II", "V1"), FS, T0 + a * 4_000_000, i, values[a : a + chunk])
        for i, a in enumerate(range(0, n, chunk))
    ]


def run(script: str, chunks: list[Chunk] | None = None) -> list[Chunk]:
    return list(apply_faults(stream() if chunks is None else chunks, [script], seed=3))


def seconds(chunks: list[Chunk]) -> list[float]:
    return [(chunk.start_ns - T0) / NS_PER_S for chunk in chunks]


def test_gap_loses_chunks_and_their_numbers() -> None:
    out = run("gap@5s:3s")
    assert seconds(out) == [*range(5), *range(8, 20)]
    assert [chunk.seq for chunk in out] == [*range(5), *range(8, 20)]


def test_duplicate_sends_twice() -> None:
    assert seconds(run("duplicate@5s:2s")) == [0, 1, 2, 3, 4, 5, 5, 6, 6, *range(7, 20)]
    assert seconds(run("duplicate@5.5"))[5:8] == [5, 5, 6]


def test_reorder_swaps_neighbours_and_loses_nothing() -> None:
    assert seconds(run("reorder@5s:4s")) == [0, 1, 2, 3, 4, 6, 5, 8, 7, *range(9, 20)]
    assert sorted(seconds(run("reorder@19s"))) == list(range(20))


def test_late_comes_later() -> None:
    assert seconds(run("late@5s:3s")) == [0, 1, 2, 3, 4, 6, 7, 8, 5, *range(9, 20)]
    assert sorted(seconds(run("late@18s:30s"))) == list(range(20))


def test_lead_off_flags_and_flattens_only_what_it_names() -> None:
    out = run("lead-off@5.5s:2s:V1")
    assert [i for i, chunk in enumerate(out) if chunk.lead_off] == [5, 6, 7]
    assert out[6].lead_off == (False, True)
    samples = np.concatenate([chunk.samples for chunk in out])
    before = np.concatenate([chunk.samples for chunk in stream()])
    np.testing.assert_array_equal(samples[:, 0], before[:, 0])
    np.testing.assert_array_equal(np.flatnonzero(samples[:, 1] != before[:, 1]), np.arange(1375, 1875))
    assert np.ptp(samples[1375:1875, 1]) == 0


def test_nan_flat_and_rail() -> None:
    assert np.isnan(run("nan@5s:1s")[5].samples).all()
    assert (run("flat@5s:1s")[5].samples == 0).all()
    railed = run("rail@5s:1s:II")[5]
    assert (railed.samples[:, 0] == 5.0).all()
    assert np.ptp(railed.samples[:, 1]) > 0.5
    assert railed.lead_off is None


def test_noise_has_the_strength_asked_for_and_stays_in_its_span() -> None:
    before, after = stream(60), run("noise@10s:40s:0.3", stream(60))
    added = np.concatenate([b.samples - a.samples for a, b in zip(before, after, strict=True)])
    assert np.sqrt((added[2500:12500] ** 2).mean()) == pytest.approx(0.3, rel=0.1)
    assert not added[:2500].any()
    assert not added[12500:].any()
    spectrum = np.abs(np.fft.rfft(added[2500:12500, 0])) ** 2
    hz = np.fft.rfftfreq(10_000, 1 / FS)
    assert spectrum[hz > 20].sum() > 0.9 * spectrum.sum()


def test_clock_drift_and_jump_move_times_only() -> None:
    drifted = run("clock-drift@10s:500ppm")
    assert seconds(drifted)[:11] == list(range(11))
    assert seconds(drifted)[19] == pytest.approx(19 + 9 * 500e-6, abs=1e-9)
    assert seconds(run("jump@10s:-3s"))[8:12] == [8, 9, 7, 8]
    assert [chunk.seq for chunk in drifted] == list(range(20))


def test_restart_counts_from_zero_after_silence() -> None:
    out = run("restart@10s:2s")
    assert [chunk.seq for chunk in out] == [*range(10), *range(8)]
    assert seconds(out)[10] == 12
    assert [chunk.seq for chunk in run("restart@10s")] == [*range(10), *range(10)]


def test_faults_strike_the_bed_they_name() -> None:
    chunks = [c for pair in zip(stream(), stream(bed="bed-02"), strict=True) for c in pair]
    out = run("bed-02:gap@0s:20s", chunks)
    assert {chunk.bed for chunk in out} == {"bed-01"}
    assert len(run("bed-02/eeg:gap@0s:20s", chunks)) == 40


def test_faults_compose_in_order() -> None:
    out = list(apply_faults(stream(), ["jump@5s:100s", "gap@6s:1s"]))
    assert seconds(out)[4:7] == [4, 105, 107]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("shake@3s:1s", "gap@30s:5s"),
        ("gap", "unknown"),
        ("gap@3s", "a part is absent"),
        ("gap@x:1s", "start 'x' is no time"),
        ("gap@3s:0s", "over 0"),
        ("gap@3s:-1s", "is no time"),
        ("gap@3s:1s:II", "too many parts"),
        ("clock-drift@3s:fast", "is no number of ppm"),
        ("bed-01/shoe:gap@3s:1s", "kind 'shoe'"),
    ],
)
def test_a_wrong_script_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_fault(text)
    assert said in str(caught.value)


def test_unknown_channel_is_refused() -> None:
    with pytest.raises(SettingsError, match="no channel 'V9'"):
        run("flat@5s:1s:V9")


def test_the_help_lines_are_themselves_valid() -> None:
    for name, line in KNOWN.items():
        example = line.split(" ")[0]
        assert parse_fault(example.replace("[", "").replace("]", "")).name == name
    assert parse_fault("bed-01/ecg:jump@1m:-500ms") == FaultSpec(
        "jump", 60.0, value=-0.5, bed="bed-01", kind=SignalKind.ECG
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(7, 400),
    st.sampled_from(["noise@1.3s:2s", "lead-off@1s:1.5s", "nan@0.1s:3s:II", "rail@2s:1s"]),
)
def test_sample_faults_do_not_depend_on_the_cut(size: int, script: str) -> None:
    whole = run(script, stream(total=1250, chunk=1250))[0].samples
    cut = np.concatenate([chunk.samples for chunk in run(script, stream(total=1250, chunk=size))])
    np.testing.assert_array_equal(cut, whole)
