"""Sequences of beats: steps, pieces, the typical beat, numbers of timing; batches drawn from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.af_beats import BEFORE, CONTEXT, FS_HZ, LONGEST_GAP_S, SEGMENT, WIDTH, fill_gaps, sequences
from training.af_config import AF_CLASSES, AfAugmentConfig, AfDataConfig
from training.af_records import Lead
from training.af_sampling import AfSampler
from training.errors import DataMissing
from training.sources import bit


def beat_train(times_s: np.ndarray, duration_s: float, height_mv: float = 1.0) -> np.ndarray:
    """A lead with a narrow bump at each time."""
    time_s = np.arange(round(duration_s * FS_HZ)) / FS_HZ
    bumps = np.exp(-0.5 * ((time_s[:, None] - times_s[None]) / 0.02) ** 2)
    return (height_mv * bumps.sum(1)).astype(np.float32)


def rows(times_s: np.ndarray, duration_s: float = 30.0) -> np.ndarray:
    """Rows of one window."""
    sure = np.ones(len(times_s), dtype=np.float32)
    return sequences(beat_train(times_s, duration_s)[None], [times_s], [sure])[0]


def number(x: np.ndarray, name: str) -> np.ndarray:
    """One of the context's numbers, all rows."""
    return x[:, 2 * SEGMENT + CONTEXT.index(name)]


def test_a_row_holds_the_beat_the_typical_beat_and_its_timing():
    times_s = np.arange(0.8, 29.5, 0.8)
    x = rows(times_s)
    assert x.shape == (len(times_s), WIDTH)
    assert np.allclose(x[:, BEFORE], 1.0, atol=1e-3)
    assert np.allclose(x[3, :SEGMENT], x[3, SEGMENT : 2 * SEGMENT], atol=1e-3)
    assert np.allclose(number(x, "rr_before")[1:], 0.0, atol=1e-6)
    assert number(x, "before_known")[0] == 0
    assert number(x, "after_known")[-1] == 0
    assert np.allclose(number(x, "rr_irregularity"), 0.0, atol=1e-6)


def test_a_premature_beat_stands_out_in_timing_and_shape():
    times_s = np.arange(0.8, 29.5, 0.8)
    times_s[10] -= 0.3
    signal = beat_train(times_s, 30.0)
    signal -= 2 * beat_train(times_s[10:11], 30.0)
    x = sequences(signal[None], [times_s], [np.ones(len(times_s), dtype=np.float32)])[0]
    assert number(x, "rr_before_to_median")[10] == pytest.approx(3 * np.log(0.5 / 0.8))
    assert number(x, "rr_after_to_median")[10] == pytest.approx(3 * np.log(1.1 / 0.8))
    assert number(x, "likeness")[10] < -0.9
    assert number(x, "likeness")[9] > 0.9


def test_irregular_beats_show_in_every_row():
    rng = np.random.default_rng(0)
    times_s = np.cumsum(rng.uniform(0.45, 1.2, 30))
    assert (number(rows(times_s, 35.0), "rr_irregularity") > 0.5).all()


@given(st.lists(st.floats(0.1, 29.9), max_size=40, unique=True))
def test_steps_leave_no_long_gap_and_keep_every_beat(times):
    times_s = np.sort(np.array(times, dtype=np.float64))
    placed_s, beat = fill_gaps(times_s, 30.0)
    assert np.array_equal(placed_s[beat >= 0], times_s)
    assert np.diff(placed_s, prepend=0.0, append=30.0).max() <= LONGEST_GAP_S


def test_a_window_without_beats_still_has_steps():
    x = rows(np.zeros(0))
    assert len(x) > 10
    assert (number(x, "no_beat") == 1).all()
    assert np.isfinite(x).all()


def test_a_windows_rows_do_not_depend_on_its_neighbours():
    first_s, second_s = np.arange(0.5, 29.5, 0.9), np.arange(0.2, 29.5, 0.6)
    windows = np.stack([beat_train(first_s, 30.0), beat_train(second_s, 30.0)])
    both = sequences(
        windows, [first_s, second_s], [np.ones(len(t), dtype=np.float32) for t in (first_s, second_s)]
    )
    assert np.allclose(both[0, : len(first_s)], rows(first_s), atol=1e-6)
    assert not both[0, len(first_s) :].any()
    assert np.allclose(both[1, : len(second_s)], rows(second_s), atol=1e-6)


def made_leads(n: int = 8, duration_s: float = 30.0) -> list[Lead]:
    """Leads of all classes; those in fibrillation are irregular."""
    rng = np.random.default_rng(5)
    leads = []
    for i in range(n):
        label = i % len(AF_CLASSES)
        rr_s = rng.uniform(0.4, 1.3, 60) if AF_CLASSES[label] == "A" else np.full(60, 0.8)
        times_s = np.cumsum(rr_s)
        times_s = times_s[times_s < duration_s - 0.3]
        signal = beat_train(times_s, duration_s)
        leads.append(
            Lead(
                f"made/{i}",
                signal,
                times_s,
                np.ones(len(times_s), dtype=np.float32),
                label,
                np.zeros(len(signal), dtype=np.uint8),
            )
        )
    return leads


def noise() -> np.ndarray:
    return np.random.default_rng(1).standard_normal(60_000).astype(np.float32)


def test_batches_are_a_function_of_seed_and_step():
    sampler = AfSampler(made_leads(), noise(), AfDataConfig(), AfAugmentConfig())
    first, again, other = sampler.batch(3, 5, 6), sampler.batch(3, 5, 6), sampler.batch(3, 6, 6)
    assert np.array_equal(first["x"], again["x"])
    assert np.array_equal(first["allowed"], again["allowed"])
    assert first["x"].shape != other["x"].shape or not np.array_equal(first["x"], other["x"])
    assert np.isfinite(first["x"]).all()


def test_every_lead_is_drawn_once_a_round():
    leads = made_leads(8)
    sampler = AfSampler(leads, noise(), AfDataConfig(), AfAugmentConfig())
    allowed = np.concatenate([sampler.batch(0, step, 4)["allowed"] for step in range(2)])
    assert allowed.sum(0).tolist() == [2, 2, 2, 2]
    assert (allowed.sum(1) == 1).all()


def test_without_variation_a_batch_is_what_serves():
    plain = AfAugmentConfig(
        time_scale_probability=0,
        gain=(1, 1),
        flip_probability=0,
        noise_probability=0,
        white_probability=0,
        missed_probability=0,
        false_probability=0,
        jitter_samples=0,
    )
    leads = made_leads(4)
    sampler = AfSampler(leads, noise(), AfDataConfig(crop_probability=0), plain)
    batch = sampler.batch(0, 0, 4)
    for x, allowed in zip(batch["x"], batch["allowed"], strict=True):
        lead = next(one for one in leads if one.label == allowed.argmax())
        served = sequences(lead.signal[None], [lead.time_s], [lead.probability])[0]
        assert np.allclose(x[: len(served)], served, atol=1e-5)
        assert not x[len(served) :].any()


@pytest.mark.parametrize(("share", "may"), [(0.0, [1, 0, 1, 1]), (1.0, [0, 1, 0, 0]), (0.5, [1, 1, 1, 1])])
def test_a_ward_record_says_fibrillation_or_not_or_nothing(share: float, may: list[int]):
    one = made_leads(1)[0]
    rhythm = np.full(len(one.signal), bit("other"), dtype=np.uint8)
    rhythm[: round(share * len(rhythm))] = bit("af")
    ward = Lead("mitdb/made", one.signal, one.time_s, one.probability, -1, rhythm)
    config = AfDataConfig(ward_share=0.5, crop_probability=0)
    sampler = AfSampler([*made_leads(), ward], noise(), config, AfAugmentConfig())
    allowed = sampler.batch(0, 0, 4)["allowed"]
    assert (allowed[:2].sum(1) == 1).all()
    assert allowed[2:].tolist() == [may, may]


def test_a_class_without_a_record_is_named():
    leads = [lead for lead in made_leads() if AF_CLASSES[lead.label] != "A"]
    with pytest.raises(DataMissing, match="class A"):
        AfSampler(leads, noise(), AfDataConfig(), AfAugmentConfig())
