"""The simulated ward shows what its script says, in life-like size, and is the same for any cut."""

from __future__ import annotations

import argparse
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import find_peaks, welch

from ingest import simulate
from ingest.errors import SettingsError
from ingest.settings import Settings
from ingest.sim_events import EVENTS, Event, parse_event, parse_script
from ingest.simulate import Ward
from ingest.types import NS_PER_S, Chunk, SignalKind

START = 1_700_000_000 * NS_PER_S
KINDS = ("ecg", "lung_sound", "heart_sound", "eeg", "resp", "pleth", "abp")


def signal(
    ward: Ward, bed: str = "bed-01", kind: str = "ecg", seconds: float = 30.0, chunk_s: float = 1.0
) -> np.ndarray:
    chunks = [c for c in ward.chunks(START, seconds, chunk_s) if (c.bed, c.kind) == (bed, kind)]
    return np.concatenate([chunk.samples for chunk in chunks])


def r_peaks_s(samples: np.ndarray, fs: float = 250.0) -> np.ndarray:
    steep = np.abs(np.diff(samples[:, 0], prepend=samples[0, 0]))
    energy = np.convolve(steep, np.ones(20) / 20, "same")
    peaks, _ = find_peaks(energy, height=0.35 * np.percentile(energy, 99), distance=int(0.25 * fs))
    return peaks / fs


@settings(max_examples=12, deadline=None)
@given(st.floats(0.02, 13.0), st.integers(0, 50), st.sampled_from(KINDS))
def test_any_cut_gives_the_same_signal(chunk_s: float, seed: int, kind: str) -> None:
    events = ["bed-01:vf@2s:3s", "bed-01:lead-off@6s:1s"] if kind == "ecg" else []
    ward = Ward(1, seed, events, [kind])
    np.testing.assert_array_equal(
        signal(ward, kind=kind, seconds=13, chunk_s=chunk_s), signal(ward, kind=kind, seconds=13, chunk_s=13)
    )


def test_a_bed_does_not_depend_on_the_others_but_on_the_seed() -> None:
    np.testing.assert_array_equal(signal(Ward(1, 4)), signal(Ward(5, 4, ["bed-03:vf@3s:5s"], ["ecg", "eeg"])))
    assert not np.array_equal(signal(Ward(1, 4)), signal(Ward(1, 5)))
    assert not np.array_equal(signal(Ward(2, 4)), signal(Ward(2, 4), "bed-02"))


def test_chunks_come_in_time_order_and_join_without_gaps() -> None:
    chunks = list(Ward(3, 1, kinds=KINDS).chunks(START, 3.3, 0.5))
    ends = [chunk.end_ns for chunk in chunks]
    assert ends == sorted(ends)
    for bed, kind in itertools.product(("bed-01", "bed-02", "bed-03"), KINDS):
        own = [c for c in chunks if (c.bed, c.kind) == (bed, kind)]
        assert [c.seq for c in own] == list(range(7))
        assert own[0].start_ns == START
        assert all(abs(a.end_ns - b.start_ns) <= 1 for a, b in itertools.pairwise(own))
        assert own[-1].end_ns == pytest.approx(START + 3.3 * NS_PER_S, abs=NS_PER_S / own[0].fs_hz)


@pytest.mark.parametrize("kind", KINDS)
def test_the_coding_is_lossless(kind: str) -> None:
    ward = Ward(1, 2, kinds=[kind])
    coding, samples = ward.codings["bed-01", SignalKind(kind)], signal(ward, kind=kind, seconds=10)
    np.testing.assert_allclose(coding.physical(coding.digitise(samples)), samples, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("sinus", 58, 97),
        ("sinus=120", 115, 125),
        ("brady", 33, 37),
        ("tachy", 146, 154),
        ("vt", 176, 184),
        ("af", 75, 130),
    ],
)
def test_rates(name: str, low: float, high: float) -> None:
    ward = Ward(3, 7, [f"bed-0{i}:{name}@0s:60s" for i in (1, 2, 3)])
    for bed in ward.beds:
        times = np.array([beat.time_s for beat in ward.truth(bed, 60).beats])
        assert low < 60 / np.diff(times).mean() < high
        found = r_peaks_s(signal(ward, bed, seconds=60))
        assert len(found) == pytest.approx(len(times), abs=2 + 0.03 * len(times))
        inner = times[(times > 1) & (times < 59)]
        assert np.abs(found[:, None] - inner).min(axis=0).max() < 0.12


def test_qrs_and_noise_have_the_size_of_real_ones() -> None:
    ward = Ward(20, 3)
    heights, noises = [], []
    for bed in ward.beds:
        samples = signal(ward, bed, seconds=20)[:, 0]
        for beat in ward.truth(bed, 19).beats[1:]:
            at = round(beat.time_s * 250)
            heights.append(np.ptp(samples[at - 15 : at + 15]))
        hz, power = welch(samples, 250, nperseg=1024)
        noises.append(np.sqrt(power[(hz > 60) & (hz < 120)].mean() * 125) * 1000)
    assert 0.8 < np.median(heights) < 1.8
    assert 9 < np.median(noises) < 22


def test_sinus_breathes_and_af_does_not_repeat() -> None:
    ward = Ward(2, 5, ["bed-02:af@0s:300s"])
    sinus, af = (np.diff([b.time_s for b in ward.truth(bed, 300).beats]) for bed in ward.beds)
    assert 0.01 < sinus.std() / sinus.mean() < 0.06
    assert af.std() / af.mean() > 0.15
    assert abs(np.corrcoef(af[:-1], af[1:])[0, 1]) < 0.2


def test_bigeminy_and_pvc_labels() -> None:
    ward = Ward(2, 5, ["bed-01:bigeminy@0s:60s", "bed-02:pvc@0s:300s"])
    labels = "".join(beat.label for beat in ward.truth("bed-01", 60).beats)
    assert labels.replace("NV", "") in ("", "N")
    pvc = [beat.label for beat in ward.truth("bed-02", 300).beats]
    assert 0.05 < pvc.count("V") / len(pvc) < 0.25


def test_vf_is_disorganised_and_within_its_band() -> None:
    ward = Ward(6, 9, [f"bed-0{i}:vf@5s:60s" for i in range(1, 7)])
    for bed in ward.beds:
        assert not [b for b in ward.truth(bed, 65).beats if 5 <= b.time_s < 65]
        vf = signal(ward, bed, seconds=65)[6 * 250 :, 0]
        hz, power = welch(vf - vf.mean(), 250, nperseg=1000)
        assert power[(hz >= 2.5) & (hz <= 9)].sum() > 0.7 * power[hz > 1].sum()
        sizes = [np.ptp(vf[i : i + 250]) for i in range(0, len(vf) - 250, 250)]
        assert 0.5 < np.median(sizes) < 2.5
        assert max(sizes) > 1.3 * min(sizes)


def test_asystole_is_no_flat_line() -> None:
    ward = Ward(6, 9, [f"bed-0{i}:asystole@5s:60s" for i in range(1, 7)])
    for bed in ward.beds:
        quiet = signal(ward, bed, seconds=65)[round(5.7 * 250) :]
        extents = np.array([np.ptp(quiet[i : i + 1000], axis=0) for i in range(0, len(quiet) - 1000, 100)])
        assert extents.min() >= 0.040
        assert extents.max() < 0.6
        assert not [b for b in ward.truth(bed, 65).beats if 5 <= b.time_s < 65]


def test_lead_off_is_flagged_and_flat_and_its_beats_are_not_in_the_truth() -> None:
    ward = Ward(1, 1, ["bed-01:lead-off@5s:5s", "bed-01:vt@3s:9s"])
    chunks = list(ward.chunks(START, 15))
    assert [chunk.lead_off for chunk in chunks] == [(5 <= i < 10,) * 2 for i in range(15)]
    off = np.concatenate([chunk.samples for chunk in chunks])[1250:2500]
    assert np.ptp(off, axis=0).max() < 0.010
    assert not [b for b in ward.truth("bed-01", 15).beats if 5 <= b.time_s < 10]
    assert {(s.name, s.start_s, s.end_s) for s in ward.truth("bed-01", 15).spans} >= {
        ("lead-off", 5, 10),
        ("vt", 3, 12),
    }


def test_lung_sounds_hold_what_the_truth_says() -> None:
    ward = Ward(
        3, 2, ["bed-01:crackles@0s:30s", "bed-02:wheeze@0s:30s", "bed-03:apnoea@10s:15s"], ["lung_sound"]
    )
    crackling, wheezing, still = (signal(ward, bed, "lung_sound", 30)[:, 0] for bed in ward.beds)
    plain = signal(Ward(1, 2, kinds=["lung_sound"]), kind="lung_sound", seconds=30)[:, 0]
    crackles = [s for s in ward.truth("bed-01", 29).spans if s.name == "crackle"]
    assert len(crackles) > 20
    changed = np.flatnonzero(crackling != plain) / 4000
    starts = np.array([s.start_s for s in crackles])
    assert all(np.abs(starts - t).min() < 0.021 for t in changed[(changed < 29)][::50])
    wheezes = [s for s in ward.truth("bed-02", 29).spans if s.name == "wheeze" and s.end_s - s.start_s < 10]
    assert len(wheezes) >= 5
    for span in [s for s in wheezes if s.end_s - s.start_s > 0.3]:
        hz, power = welch(wheezing[int(span.start_s * 4000) : int(span.end_s * 4000)], 4000, nperseg=1024)
        assert 150 < hz[power.argmax()] < 480
        assert power.max() > 30 * np.median(power[(hz > 100) & (hz < 600)])
    assert np.std(still[14 * 4000 : 22 * 4000]) < 0.1 * np.std(still[: 8 * 4000])


def test_heart_sounds_follow_the_beats_of_the_ecg_and_fall_silent_in_vf() -> None:
    ward = Ward(1, 6, ["bed-01:vf@20s:10s", "bed-01:murmur@0s:10s"], ["ecg", "heart_sound"])
    sound = signal(ward, kind="heart_sound", seconds=30)[:, 0]
    beats = [b.time_s for b in ward.truth("bed-01", 19).beats]
    for time_s in beats:
        at = int((time_s + 0.03) * 4000)
        assert np.abs(sound[at : at + 400]).max() > 0.1
    assert np.abs(sound[int(21 * 4000) :]).max() < 0.05
    systole = [np.std(sound[int((t + 0.18) * 4000) : int((t + 0.24) * 4000)]) for t in beats]
    murmur = [t < 10 for t in beats]
    assert np.mean(np.array(systole)[murmur]) > 2 * np.mean(np.array(systole)[~np.array(murmur)])


def test_spike_wave_is_three_hertz_and_large() -> None:
    ward = Ward(1, 6, ["bed-01:spike-wave@20s:15s"], ["eeg"])
    eeg = signal(ward, kind="eeg", seconds=40)
    assert eeg.shape == (40 * 256, 19)
    before, during = eeg[: 19 * 256], eeg[21 * 256 : 34 * 256]
    hz, power = welch(during[:, 4], 256, nperseg=1024)
    assert 2.5 <= hz[1 + power[1:].argmax()] <= 3.5
    assert np.ptp(during[:, 4]) > 3 * np.ptp(before[:, 4])
    hz, power = welch(before[:, 17], 256, nperseg=1024)
    alpha = power[(hz > 8) & (hz < 12)].max()
    assert alpha > 3 * power[(hz > 15) & (hz < 25)].max()


def test_text_form_of_events() -> None:
    assert parse_event("bed-03:vf@20s:15s") == Event("bed-03", "vf", 20.0, 15.0)
    assert parse_event("bed-03:sinus=120@1m:30") == Event("bed-03", "sinus", 60.0, 30.0, 120.0)


def test_script_file(tmp_path: Path) -> None:
    path = tmp_path / "script.txt"
    path.write_text("# a bad night\nbed-01:vf@20s:15s\n\nbed-02:af@1m:2m # later\n")
    assert [(e.bed, e.name) for e in parse_script([str(path), "bed-03:vt@1:2,bed-04:vt@1:2"])] == [
        ("bed-01", "vf"),
        ("bed-02", "af"),
        ("bed-03", "vt"),
        ("bed-04", "vt"),
    ]
    path.write_text("bed-01:vf@20s:15s\nbed-01:rest@20s:15s\n")
    with pytest.raises(SettingsError, match="line 2"):
        parse_script([str(path)])
    with pytest.raises(SettingsError, match="neither an event"):
        parse_script([str(tmp_path / "absent")])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bed-01:vf", "neither an event (bed-03:vf@20s:15s)"),
        ("vf@1s:2s", "write BED:NAME@"),
        ("bed-01:flutter@1s:2s", "is none of sinus"),
        ("bed-01:vf@1s", "duration is absent"),
        ("bed-01:vf@1s:0s", "over 0"),
        ("bed-01:vf@soon:2s", "is no time"),
        ("bed-01:vf=200@1s:2s", "fits sinus"),
        ("bed-01:vt=9@1s:2s", "10 to 350"),
        ("bed-99:vf@1s:2s", "there are bed-01 to bed-02"),
        ("bed-01:wheeze@1s:2s", "not simulated"),
        ("bed-01:vf@1s:20s,bed-01:vt@10s:20s", "begins before vf ends"),
    ],
)
def test_a_wrong_script_is_refused(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Ward(2, 1, [text])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "options", [{"n_beds": 0}, {"seed": -1}, {"fs_hz": 3.0}, {"kinds": ["shoe"]}, {"kinds": []}]
)
def test_an_impossible_ward_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(SettingsError):
        Ward(**options)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="not one sample"):
        Ward().chunks(START, 1.0, 0.001)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(sorted(n for n, (k, _) in EVENTS.items() if k is SignalKind.ECG)),
    st.floats(0, 20),
    st.floats(0.05, 20),
    st.integers(0, 1000),
)
def test_any_event_gives_finite_signals_and_ordered_beats(
    name: str, at_s: float, for_s: float, seed: int
) -> None:
    ward = Ward(1, seed, [Event("bed-01", name, at_s, for_s)])
    assert np.isfinite(signal(ward, seconds=25)).all()
    truth = ward.truth("bed-01", 25)
    times = [beat.time_s for beat in truth.beats]
    assert all(b - a > 0.2 for a, b in itertools.pairwise(times))
    assert truth.spans[0].start_s == 0
    if name in ("vf", "asystole", "lead-off"):
        assert not [t for t in times if at_s <= t < at_s + for_s]


@pytest.mark.kafka
def test_simulate_command_through_a_broker(
    kafka: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import json

    from ingest.kafka import consumer
    from ingest.wire import decode

    monkeypatch.setenv("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", kafka.kafka.bootstrap_servers)
    monkeypatch.setenv("WARDWAVE_TOPICS__RAW", kafka.topics.raw)
    parser = argparse.ArgumentParser()
    simulate.add_arguments(parser)
    words = (
        "--beds 3 --seed 4 --script bed-02:lead-off@3s:2s --speed max --duration 8 --kinds ecg heart_sound"
    )
    args = parser.parse_args([*words.split(), "--manifest", str(tmp_path / "m.json")])
    assert simulate.run(args) == 0
    written = json.loads((tmp_path / "m.json").read_text())
    reader = consumer(kafka, kafka.topics.raw, group_id=None)
    got: list[Chunk] = []
    for _ in range(100):
        for records in reader.poll(timeout_ms=200).values():
            got += [decode(record.value, dict(record.headers)["content-type"].decode()) for record in records]
        if len(got) >= 48:
            break
    reader.close()
    expected = list(
        Ward(3, 4, ["bed-02:lead-off@3s:2s"], ["ecg", "heart_sound"]).chunks(
            written["beds"][0]["start_ns"], 8
        )
    )
    order = {(c.bed, c.kind, c.seq): c for c in got}
    assert len(order) == len(got) == len(expected) == 48
    for chunk in expected:
        back = order[chunk.bed, chunk.kind, chunk.seq]
        np.testing.assert_allclose(back.samples, chunk.samples, atol=1e-6)
        assert (back.start_ns, back.lead_off) == (chunk.start_ns, chunk.lead_off)
    assert [event["name"] for event in written["events"]] == ["lead-off"]
    assert math.isclose(written["beds"][0]["fs_hz"], 250.0)


def test_a_heart_without_beats_gives_no_pulse() -> None:
    ward = Ward(1, 3, ["bed-01:asystole@10s:15s"], ["ecg", "pleth"])
    pulse = signal(ward, kind="pleth", seconds=24)[:, 0]
    beating, stopped = pulse[125 * 2 : 125 * 9], pulse[125 * 13 : 125 * 24]
    assert np.ptp(beating) > 0.3
    assert np.ptp(stopped) < 0.01


@pytest.mark.parametrize("event", ["asystole", "vf"])
def test_pressure_pulses_with_the_heart_and_runs_off_without_beats(event: str) -> None:
    ward = Ward(1, 3, [f"bed-01:{event}@20s:20s"], ["ecg", "abp"])
    pressure = signal(ward, kind="abp", seconds=40)[:, 0]
    beating, stopped = pressure[125 * 8 : 125 * 19], pressure[125 * 35 : 125 * 39]
    assert 95 < beating.max() < 150
    assert 55 < beating.min() < 95
    assert np.ptp(stopped) < 3
    assert 14 < stopped.mean() < 20
