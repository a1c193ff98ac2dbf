"""QRS detection in noise: mixing, matching, the bench and the noise that windows are trained in."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from training import noise_cli
from training.corpus import build_corpus
from training.errors import BadRecipe, DataMissing
from training.monitor_noise import Disturber, qrs_amplitudes, stressed
from training.noise_detectors import COMPETITORS, competitor, detect
from training.noise_mix import CleanLead, mix, noise_amplitude_mv, qrs_amplitude_mv, read_lead
from training.noise_records import load_noise, raw_noise
from training.noise_score import Bench, Counts, count, items_of
from training.noise_tables import f1, figure_of, lead_of, to_evaluation
from training.sources import Recording, WideFloatArray

FS_HZ = 360.0
BEATS_S = np.arange(0.5, 329.0, 0.8)


def made_ecg(height_mv: float = 1.2) -> WideFloatArray:
    """330 s of a lead of triangles of 80 ms."""
    time = np.arange(round(330 * FS_HZ)) / FS_HZ
    since = np.abs((time - 0.1) % 0.8 - 0.4)
    return height_mv * np.clip(1 - since / 0.04, 0, None)


@pytest.fixture(scope="module")
def lead() -> CleanLead:
    beats = (BEATS_S * FS_HZ).astype(np.int64)
    return CleanLead("mitdb/100", made_ecg(), FS_HZ, beats, beats)


@pytest.fixture(scope="module")
def made_data(tmp_path_factory: pytest.TempPathFactory, lead: CleanLead) -> Path:
    """A folder with one annotated record and a noise record whose halves differ."""
    data = tmp_path_factory.mktemp("data")
    (data / "mitdb").mkdir()
    (data / "nstdb").mkdir()
    columns = {"fs": 360, "units": ["mV"], "fmt": ["16"], "adc_gain": [2000.0], "baseline": [0]}
    wfdb.wrsamp(
        "100", sig_name=["MLII"], p_signal=lead.samples[:, None], write_dir=str(data / "mitdb"), **columns
    )
    symbols = ["N"] * len(lead.beats)
    wfdb.wrann("100", "atr", lead.beats, symbols, write_dir=str(data / "mitdb"), fs=360)
    rng = np.random.default_rng(0)
    for name in ("bw", "ma"):
        noise = rng.standard_normal((720 * 60, 2)) * np.repeat([[0.1], [0.4]], 360 * 60, axis=0)
        both = {key: value * 2 if isinstance(value, list) else value for key, value in columns.items()}
        wfdb.wrsamp(name, sig_name=["a", "b"], p_signal=noise, write_dir=str(data / "nstdb"), **both)
    return data


class Counting:
    """Finds every beat, and counts how often it was asked."""

    name, key = "counting", "counting-1"

    def __init__(self) -> None:
        self.asked = 0

    def beats_s(self, samples: WideFloatArray, fs_hz: float) -> WideFloatArray:
        self.asked += 1
        return BEATS_S + 0.04


@pytest.mark.parametrize("snr_db", [24.0, 0.0, -6.0])
def test_noise_is_mixed_at_the_ratio_asked_for(lead: CleanLead, snr_db: float) -> None:
    noise = np.random.default_rng(1).standard_normal(round(200 * FS_HZ))
    added = mix(lead, noise, snr_db) - lead.samples
    begin = round(300 * FS_HZ)
    assert not added[:begin].any()
    assert added[begin] == pytest.approx(0.0)
    found = noise_amplitude_mv(added[begin:], FS_HZ)
    signal = qrs_amplitude_mv(lead) / np.sqrt(8)
    assert 20 * np.log10(signal / found) == pytest.approx(snr_db, abs=0.3)


def test_slow_drift_is_not_counted_as_noise() -> None:
    time = np.arange(round(100 * FS_HZ)) / FS_HZ
    noise = np.random.default_rng(2).standard_normal(len(time))
    with_drift = noise + 50 * np.sin(2 * np.pi * time / 1000)
    assert noise_amplitude_mv(with_drift, FS_HZ) == pytest.approx(noise_amplitude_mv(noise, FS_HZ), rel=0.01)


def test_short_noise_begins_again(lead: CleanLead) -> None:
    noise = np.random.default_rng(3).standard_normal(round(2 * FS_HZ))
    added = (mix(lead, noise, 0.0) - lead.samples)[round(300 * FS_HZ) :]
    np.testing.assert_allclose(added[:720], added[720:1440], atol=1e-12)


@given(st.floats(-0.12, 0.12))
def test_a_detectors_own_delay_costs_nothing(delay_s: float) -> None:
    reference = np.arange(0.4, 600, 0.83)
    scored = int(((reference >= 300) & (reference < 599)).sum())
    assert count(reference, reference + delay_s, 599.0) == Counts(scored, 0, 0)


def test_what_is_missed_and_made_up_is_counted_after_the_learning_period_only() -> None:
    reference = np.arange(0.0, 600, 1.0)
    found = np.delete(reference, [10, 20, 400, 401, 402])
    found = np.sort(np.concatenate([found, [100.5, 450.5, 451.5]]))
    assert count(reference, found, 598.0) == Counts(298 - 3, 3, 2)
    assert count(reference, np.zeros(0), 598.0) == Counts(0, 298, 0)


def test_a_run_goes_on_where_it_was(made_data: Path, tmp_path: Path) -> None:
    items = items_of(["mitdb/100"], ["bw", "ma"], [6, -6], [])
    assert [item.key for item in items][:2] == ["mitdb-100-clean", "mitdb-100-bw+6"]
    detector = Counting()
    bench = Bench(made_data, [detector], tmp_path)
    part = bench.run(items[:2])
    assert detector.asked == 2
    next(tmp_path.rglob("*clean.json")).write_text("damaged")
    whole = bench.run(items)
    assert detector.asked == 6
    assert {item: whole[item] for item in part} == part
    assert whole[items[0]]["counting"].missed == whole[items[0]]["counting"].extra == 0


def test_every_detector_runs_on_the_same_clean_lead(made_data: Path, tmp_path: Path) -> None:
    detectors = [competitor(name) for name in COMPETITORS]
    (item,) = items_of(["mitdb/100"], [], [], [])
    found = Bench(made_data, detectors, tmp_path).run([item])[item]
    assert all(f1(np.array([c.found, c.missed, c.extra])) > 0.9 for c in found.values()), found


def test_a_library_that_gives_up_has_found_nothing() -> None:
    class Failing(Counting):
        def beats_s(self, samples: WideFloatArray, fs_hz: float) -> WideFloatArray:
            raise IndexError("no peaks")

    assert len(detect(Failing(), np.zeros(1000), FS_HZ)) == 0


def test_the_halves_of_the_noise_are_apart(made_data: Path) -> None:
    train, test = raw_noise(made_data, "bw", "train")[0], raw_noise(made_data, "bw", "test")[0]
    assert train.shape == test.shape == (360 * 60, 2)
    assert train.std() == pytest.approx(0.1, rel=0.1)
    assert test.std() == pytest.approx(0.4, rel=0.1)
    assert load_noise(made_data).shape == (4 * 60 * 125,)
    with pytest.raises(DataMissing, match="nstdb"):
        load_noise(made_data / "nowhere")


def test_a_lead_is_read_with_its_beats(made_data: Path, lead: CleanLead) -> None:
    read = read_lead(made_data, "mitdb/100")
    np.testing.assert_array_equal(read.beats, lead.beats)
    assert qrs_amplitude_mv(read) == pytest.approx(1.2, rel=0.02)
    with pytest.raises(DataMissing, match="101"):
        read_lead(made_data, "mitdb/101")


def test_intervals_hold_the_figure_and_a_lead_is_paired() -> None:
    good = np.array([[100, 1, 0], [90, 4, 3], [95, 0, 1]])
    bad = good + np.array([[0, 5, 5]])
    figure = figure_of(good, f1)
    assert figure.low <= figure.value <= figure.high
    ahead = lead_of(good, bad)
    assert 0 < ahead.low <= ahead.value <= ahead.high


def test_tables_name_the_best_of_the_others() -> None:
    items = items_of(["mitdb/100", "mitdb/103"], ["ma"], [0], ["nstdb/118e06"])
    one = {"net": Counts(90, 10, 10), "a": Counts(80, 20, 20), "b": Counts(85, 15, 15)}
    evaluation = to_evaluation(dict.fromkeys(items, one), ["net", "a", "b"])
    overview = evaluation.tables[0]
    assert overview.rows[1][0] == "muscle noise, 0 dB"
    assert overview.rows[1][-2:] == ("b", "5.00 (5.00 to 5.00)")
    assert evaluation.metrics["noise_ma_0_f1"].value == pytest.approx(0.9)
    assert any("118e06" in table.title for table in evaluation.tables)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--noise", "em"], "no noise 'em'; there are bw, ma"),
        (["--snr", "loud"], "whole decibels"),
        (["--detectors", "gqrs"], "no such detector; there are xqrs"),
        (["--records", "118"], "none of those to test"),
    ],
)
def test_a_wrong_argument_is_named(made_data: Path, given: list[str], says: str) -> None:
    parser = argparse.ArgumentParser()
    noise_cli.register(parser.add_subparsers())
    args = parser.parse_args(["evaluate-noise", "ecg-cnn-lstm-1", "--data", str(made_data), *given])
    with pytest.raises((BadRecipe, DataMissing), match=says):
        args.run(args)


def made_recording() -> Recording:
    time = np.arange(125 * 60) / 125
    beats_s = np.arange(0.504, 59, 0.8)
    since = np.abs(time[:, None] - beats_s[None]).min(1)
    signal = np.float32(0.8) * np.clip(1 - since / 0.048, 0, None).astype(np.float32)
    return Recording(
        "mitdb", "100", ("II",), signal[None], beats_s * 125, np.ones(len(beats_s), dtype=np.int64),
        np.ones(len(time), dtype=np.bool_), np.full(len(time), 32, dtype=np.uint8),
    )  # fmt: skip


def test_a_recording_is_stressed_at_the_ratio_asked_for() -> None:
    clean = made_recording()
    noise = np.random.default_rng(4).standard_normal(125 * 20).astype(np.float32)
    added = stressed(clean, noise, -6.0).signal - clean.signal
    assert 20 * np.log10(0.8 / np.sqrt(8) / added.std()) == pytest.approx(-6.0, abs=0.6)


def test_amplitudes_are_zero_where_no_beat_is_known() -> None:
    nothing = np.zeros(0)
    mute = replace(made_recording(), beats=nothing, beat_classes=nothing.astype(np.int64))
    np.testing.assert_allclose(qrs_amplitudes(build_corpus([mute, made_recording()])), [0.0, 0.8], atol=0.05)


def test_silence_has_no_beats_and_buried_steps_count_nothing() -> None:
    disturber = Disturber(np.random.default_rng(5).standard_normal(20_000).astype(np.float32), 1000)
    rng = np.random.default_rng(6)
    x, steps, weight = (
        np.ones((6, 1000), np.float32),
        np.zeros((6, 125, 5), np.float32),
        np.ones((6, 125), np.float32),
    )
    steps[..., 1] = 1.0
    disturber.silence(rng, x, steps, np.array([0, 1]), 8, np.array([0.005, 2.0]))
    assert (steps[:2, -65:, 0] == 1).all()
    assert (steps[2:, :, 1] == 1).all()
    assert np.ptp(x[0, -125:]) < 0.02 < np.ptp(x[1, -525:])
    disturber.bury(rng, x, weight, np.array([4]), 8)
    assert not weight[4, -65:].any()
    assert weight[[0, 1, 2, 3, 5]].all()
    assert x[4, -525:].std() > 0.05


def test_noise_is_the_same_for_the_same_seed_and_about_of_unit_size() -> None:
    disturber = Disturber(np.random.default_rng(7).standard_normal(50_000).astype(np.float32), 1000)
    one, two = (disturber.mixed(np.random.default_rng(8), 64, 0.3) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.std() == pytest.approx(1.0, abs=0.2)
