"""Sound models: levels of streams, pictures as input, heart states in their order, windows and recordings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.cnn_lstm import CnnLstm, cost_of, example_input
from models.errors import CannotExplain, CardMismatch, ModelError
from models.sounds import DIAGNOSES, SoundModel
from models.sounds_explain import label_target, murmur_target, spectrogram_map, window_target
from models.sounds_heart import STATES, STEP_CLASSES, decode_states, murmur_logit, onsets
from models.sounds_level import RATIO_SCALE, SCALE, USUAL_CLICK, RunningLevel, level_frames
from models.sounds_run import run_recording, window_starts
from models.spec import Architecture, Conv1dFrontEnd, Conv2dFrontEnd, Cost, MelFrames, ModelSpec

STEP_S = 0.02


def front_end(rows: int = 16, hop: int = 80, strides: tuple[int, ...] = (2, 2)) -> Conv2dFrontEnd:
    return Conv2dFrontEnd(
        rows=rows,
        hop=hop,
        mel=MelFrames(n_mels=rows, hop=hop),
        widths=(4, 6),
        row_pools=(2, 2),
        strides=strides,
        features=12,
    )


def architecture(step_classes: int = 2, window_classes: int = 5, **changes: object) -> Architecture:
    settings = {
        "front_end": front_end(),
        "recurrent_stride": 1,
        "hidden": 6,
        "attention_width": 8,
        "heads": 2,
        "window_steps": 32,
        "step_classes": step_classes,
        "window_classes": window_classes,
    }
    return Architecture.model_validate(settings | changes)


def lung_spec(**changes: object) -> ModelSpec:
    fields = {
        "name": "lung-test",
        "task": "lung",
        "description": "a test's",
        "signal": "sound",
        "fs_hz": 4000.0,
        "band_hz": (50.0, 1800.0),
        "window_s": 2.56,
        "step_s": 0.08,
        "step_classes": ("crackle", "wheeze"),
        "window_classes": ("crackle", "wheeze", *DIAGNOSES),
        "thresholds": {"crackle": 0.4, "wheeze": 0.5, "crackle_scale": 2.0, "crackle_offset": -1.0},
        "normalisation": "",
        "architecture": architecture(),
        "cost": Cost(parameters=1, mflop_per_window=1.0, recurrent_share=0.1),
        "data": "none",
        "split": {},
        "metrics": {},
        "training": {},
        "code_commit": "none",
    }
    return ModelSpec.model_validate(fields | changes)


@pytest.fixture(scope="module")
def lung() -> SoundModel:
    torch.manual_seed(3)
    return SoundModel(CnnLstm(architecture()).eval(), lung_spec())


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_levels_are_the_same_for_any_cut(cuts: list[int], n_streams: int) -> None:
    frames = np.random.default_rng(1).normal(-8, 2, (n_streams, 5, sum(cuts))).astype(np.float32)
    streams = np.arange(n_streams)
    whole = RunningLevel(50.0, 5, n_streams).push(streams, frames)
    level = RunningLevel(50.0, 5, n_streams)
    ends = np.cumsum(cuts)
    parts = [
        level.push(streams, frames[..., end - n : end]) for n, end in zip(cuts, ends.tolist(), strict=True)
    ]
    assert np.array_equal(np.concatenate(parts, axis=-1), whole)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=8))
@settings(deadline=None, max_examples=20)
def test_lines_are_leveled_and_clicks_are_not_for_any_cut(cuts: list[int]) -> None:
    frames = np.random.default_rng(1).normal(1, 1, (2, 15, sum(cuts))).astype(np.float32)
    whole = RunningLevel(50.0, 5, 2, lines=True, clicks=True).push(np.arange(2), frames)
    level = RunningLevel(50.0, 5, 2, lines=True, clicks=True)
    ends = np.cumsum(cuts)
    parts = [
        level.push(np.arange(2), frames[..., end - n : end])
        for n, end in zip(cuts, ends.tolist(), strict=True)
    ]
    assert np.array_equal(np.concatenate(parts, axis=-1), whole)
    assert np.allclose(whole[:, 10:], (frames[:, 10:] - USUAL_CLICK) / RATIO_SCALE)
    assert np.allclose(
        whole[:, 5:10] * RATIO_SCALE, RunningLevel(50.0, 5, 2).push(np.arange(2), frames[:, 5:10]) * SCALE
    )
    assert np.allclose(whole[0], level_frames(frames[0], 50.0, lines=True, clicks=True))


def test_frames_without_the_pictures_that_are_asked_for_are_refused() -> None:
    with pytest.raises(ValueError, match=r"take \(R, 15, T\)"):
        RunningLevel(50.0, 5, 1, lines=True, clicks=True).push(np.arange(1), np.zeros((1, 5, 3), np.float32))


def test_pictures_one_above_the_other_are_channels_of_the_network() -> None:
    mel = MelFrames(n_mels=48, long=1024, short=32)
    front_end = Conv2dFrontEnd(rows=48, hop=80, mel=mel, widths=(4, 6), row_pools=(4, 4), strides=(2, 2))
    config = Architecture(front_end=front_end, recurrent_stride=1, hidden=4, attention_width=8, heads=2)
    assert example_input(config, 80 * 16).shape == (1, 1, 144, 16)
    model = CnnLstm(config).eval()
    x = torch.randn(2, 1, 144, 16)
    features = model.front_end(x)
    assert features.shape == (2, 64, 4)
    x[:, :, 96:] = 0.0
    assert not torch.allclose(model.front_end(x), features)
    assert spectrogram_map(model, x[:, 0].numpy(), window_target(0)).shape == (2, 48, 16)


def test_a_level_begins_as_the_plain_mean_and_forgets() -> None:
    frames = np.concatenate([np.zeros((1, 10)), np.full((1, 400), 6.0)], axis=1).astype(np.float32)
    leveled = level_frames(frames, 40.0)
    assert leveled[0, 9] == 0
    assert leveled[0, 10] == pytest.approx(6 * (1 - 1 / 11) / SCALE, rel=0.1)
    assert leveled[0, -1] < 0.01


def test_another_gain_gives_the_same_frames() -> None:
    frames = np.random.default_rng(2).normal(0, 2, (4, 100)).astype(np.float32)
    assert np.allclose(level_frames(frames, 30.0), level_frames(frames + 5, 30.0), atol=1e-5)


def test_one_stream_begun_anew_leaves_the_other_alone() -> None:
    frames = np.random.default_rng(4).normal(0, 1, (2, 3, 20)).astype(np.float32)
    level = RunningLevel(20.0, 3, 1)
    level.resize(2)
    first = level.push(np.arange(2), frames)
    level.reset(np.array([1]))
    again = level.push(np.arange(2), frames)
    assert np.array_equal(again[1], first[1])
    assert not np.array_equal(again[0], first[0])


@pytest.mark.parametrize(("channels", "columns"), [(1, 64), (3, 61), (1, 1)])
def test_pictures_of_any_width_and_channels_become_steps(channels: int, columns: int) -> None:
    model = CnnLstm(architecture(channels=channels)).eval()
    out = model(torch.randn(2, channels, 16, columns))
    assert out.step_logits.shape == (2, -(-columns // 4), 2)
    assert torch.allclose(out.attention.sum(1), torch.ones(2), atol=1e-5)


def test_the_window_head_sees_only_the_chosen_steps() -> None:
    torch.manual_seed(0)
    model = CnnLstm(architecture(recurrent=False, attention=False)).eval()
    x = torch.randn(1, 1, 16, 128)
    where = torch.zeros(1, 32, dtype=torch.bool)
    where[0, 4:10] = True
    other = x.clone()
    other[..., 80:] = 5.0
    with torch.inference_mode():
        a, b = model(x, where), model(other, where)
    assert torch.allclose(a.window_logits, b.window_logits, atol=1e-6)
    assert float(a.attention[0, ~where[0]].abs().max()) == 0
    assert float(a.attention.sum()) == pytest.approx(1)


def test_all_steps_chosen_is_the_same_as_none_chosen() -> None:
    torch.manual_seed(0)
    model = CnnLstm(architecture()).eval()
    x = torch.randn(2, 1, 16, 128)
    with torch.inference_mode():
        chosen, plain = model(x, torch.ones(2, 32, dtype=torch.bool)), model(x)
    assert torch.allclose(chosen.window_logits, plain.window_logits, atol=1e-5)


def test_cost_of_pictures_counts_their_convolutions() -> None:
    config = architecture()
    assert example_input(config, 80 * 128).shape == (1, 1, 16, 128)
    assert cost_of(config, 80 * 128).mflop_per_window > 2 * 16 * 128 * 9 * 4 / 1e6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"row_pools": (4, 8)}, "none are left"),
        ({"strides": (2,)}, "one entry a block"),
        ({"mel": MelFrames(n_mels=32, hop=80)}, "mel has 32"),
    ],
)
def test_a_front_end_that_does_not_fit_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Conv2dFrontEnd.model_validate(front_end().model_dump() | changes)


def made_course(durations: list[int], start: int = 0) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.concatenate([np.full(n, (start + i) % 4, dtype=np.int64) for i, n in enumerate(durations)])


def logits_of(path: np.ndarray[tuple[int], np.dtype[np.int64]], height: float) -> np.ndarray:  # type: ignore[type-arg]
    logits = np.zeros((1, len(path), len(STEP_CLASSES)))
    logits[0, np.arange(len(path)), path] = height
    return logits


@given(st.integers(22, 60), st.integers(0, 3), st.integers(0, 2**20))
@settings(deadline=None, max_examples=20)
def test_clear_heart_sounds_are_decoded_as_they_are(cycle: int, start: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    beats = [[6, 3 + cycle // 8, 5, cycle - 14 - cycle // 8 + int(rng.integers(0, 3))] for _ in range(5)]
    path = made_course([n for beat in beats for n in beat][start:], start)
    found = decode_states(logits_of(path, 3.0), STEP_S)[0]
    assert (found == path).mean() > 0.95
    # The last state is cut off by the end: there the usual durations may say more than a few steps.
    assert all(np.abs(onsets(found, 0) - at).min() <= 1 for at in onsets(path, 0)[:-1])


@given(st.integers(0, 2**20))
@settings(deadline=None, max_examples=15)
def test_states_of_noise_keep_their_order_and_last(seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, (3, 150, 5))
    for path in decode_states(logits, STEP_S):
        changes = np.flatnonzero(np.diff(path)) + 1
        assert np.array_equal(path[changes], (path[changes - 1] + 1) % 4)
        assert np.diff(changes).min() * STEP_S >= 0.02
        assert len(changes) < 4 * 150 * STEP_S / 0.3 + 4


def test_courses_are_decoded_together_as_alone() -> None:
    logits = np.random.default_rng(3).normal(0, 2, (4, 90, 5))
    together = decode_states(logits, STEP_S)
    alone = np.concatenate([decode_states(logits[i : i + 1], STEP_S) for i in range(4)])
    assert np.array_equal(together, alone)


def test_a_long_recording_is_decoded_in_blocks_without_seams() -> None:
    path = made_course([6, 7, 5, 14] * 160)
    found = decode_states(logits_of(path, 2.0), STEP_S)[0]
    assert len(path) > 2.5 * 36 / STEP_S
    assert (found == path).mean() > 0.99
    assert np.array_equal(onsets(found, 0), onsets(path, 0))


@pytest.mark.parametrize("n_steps", [0, 1, 3])
def test_a_moment_of_sound_has_states_too(n_steps: int) -> None:
    assert decode_states(np.zeros((2, n_steps, 5)), STEP_S).shape == (2, n_steps)


def test_a_blip_is_no_heart_sound() -> None:
    path = made_course([6, 8, 6, 20, 6, 8, 6, 20])
    logits = logits_of(path, 2.0)
    logits[0, 30] = [4.0, 0, 0, 0, 0]
    assert np.array_equal(onsets(decode_states(logits, STEP_S)[0], 0), onsets(path, 0))


def test_too_few_outputs_for_the_states_are_refused() -> None:
    with pytest.raises(ModelError, match="diastole"):
        decode_states(np.zeros((1, 10, 3)), STEP_S)


def test_a_murmur_is_heard_in_systole_alone() -> None:
    path = made_course([5, 10, 5, 20])[None]
    logits = np.zeros((1, 40, 5))
    logits[..., 4] = np.where(path == STATES.index("systole"), 2.0, -9.0)
    assert murmur_logit(logits, np.array([1.0]), path)[0] == pytest.approx(1.5)
    no_systole = np.zeros((1, 40), dtype=np.int64)
    assert murmur_logit(logits, np.array([1.0]), no_systole)[0] == pytest.approx(1.0)


@pytest.mark.parametrize(("n_steps", "starts"), [(10, [0]), (32, [0]), (33, [0, 1]), (64, [0, 16, 32])])
def test_windows_cover_a_recording_to_its_end(n_steps: int, starts: list[int]) -> None:
    assert window_starts(n_steps, 32, 16).tolist() == starts


@pytest.mark.parametrize("n_frames", [3, 128, 301])
def test_a_recording_of_any_length_is_heard(lung: SoundModel, n_frames: int) -> None:
    frames = np.random.default_rng(0).normal(0, 1, (16, n_frames)).astype(np.float32)
    heard = lung.hear(frames)
    assert heard.step_probabilities.shape == (1, -(-n_frames // 4), 2)
    assert heard.attention.sum() == pytest.approx(1, abs=1e-4)
    assert heard.diagnoses.sum() == pytest.approx(1, abs=1e-4)
    assert np.isfinite(heard.probabilities).all()


def test_a_recording_as_long_as_a_window_is_heard_as_that_window(lung: SoundModel) -> None:
    frames = np.random.default_rng(0).normal(0, 1, (16, lung.window_frames)).astype(np.float32)
    course = run_recording(lung.network, frames, lung.window_steps, lung.window_steps // 2)
    heard, window = lung.hear(frames), lung.listen(frames[None])
    assert course.first_step.tolist() == [0]
    assert np.allclose(heard.probabilities, window.probabilities, atol=1e-5)
    assert np.allclose(heard.step_probabilities, window.step_probabilities, atol=1e-5)


def test_windows_that_do_not_count_say_nothing_of_the_whole(lung: SoundModel) -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(0, 1, (16, 2 * lung.window_frames)).astype(np.float32)
    whole = np.concatenate([clean, rng.normal(0, 9, clean.shape).astype(np.float32)], axis=1)
    counts = np.arange(4 * lung.window_steps) < 2 * lung.window_steps
    alone = lung.hear(clean)
    assert np.allclose(lung.hear(whole, counts).diagnoses, alone.diagnoses, atol=1e-5)
    assert not np.allclose(lung.hear(whole).diagnoses, alone.diagnoses, atol=1e-3)


def test_beds_are_heard_together_as_alone(lung: SoundModel) -> None:
    frames = np.random.default_rng(5).normal(0, 1, (3, 16, lung.window_frames)).astype(np.float32)
    together = lung.listen(frames)
    assert together.probabilities.shape == (3, 2)
    alone = np.concatenate([lung.listen(frames[i : i + 1]).probabilities for i in range(3)])
    assert np.allclose(together.probabilities, alone, atol=1e-5)


def test_probabilities_are_calibrated_by_the_card(lung: SoundModel) -> None:
    assert lung.calibrate("crackle", np.array([0.5])) == pytest.approx(0.5)
    assert lung.calibrate("wheeze", np.array([0.0])) == pytest.approx(0.5)
    assert lung.thresholds == {"crackle": 0.4, "wheeze": 0.5}


@pytest.mark.parametrize("shape", [(2, 8, 128), (16, 128), (0, 16, 128)])
def test_frames_of_another_shape_are_refused(lung: SoundModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="lung-test"):
        lung.listen(np.zeros(shape, dtype=np.float32))


def test_an_ecg_model_hears_no_sounds() -> None:
    spec = lung_spec(
        architecture=architecture(front_end=Conv1dFrontEnd()), fs_hz=125.0, step_s=0.064, window_s=8.0
    )
    with pytest.raises(CardMismatch, match="conv1d"):
        SoundModel(CnnLstm(spec.architecture), spec)


def test_a_map_shows_where_the_evidence_lies() -> None:
    torch.manual_seed(1)
    model = CnnLstm(architecture(recurrent=False, attention=False)).eval()
    frames = np.random.default_rng(0).normal(0, 0.3, (2, 16, 128)).astype(np.float32)
    frames[:, :, 40:60] += 3.0
    where = np.zeros((2, 32), dtype=np.bool_)
    where[:, 10:15] = True
    maps = spectrogram_map(model, frames, label_target(1), where)
    assert maps.shape == frames.shape
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert maps[:, :, :30].sum() + maps[:, :, 72:].sum() < 0.05 * max(maps.sum(), 1e-9) + 1e-6


def test_maps_are_of_classes_that_there_are(lung: SoundModel) -> None:
    frames = np.random.default_rng(5).normal(0, 1, (1, 16, lung.window_frames)).astype(np.float32)
    assert lung.explain(frames, "wheeze").shape == frames.shape
    assert lung.explain(frames, "acute").shape == frames.shape
    with pytest.raises(CannotExplain, match="crackle, wheeze"):
        lung.explain(frames, "murmur")
    with pytest.raises(CannotExplain, match="no spectrogram"):
        spectrogram_map(CnnLstm(architecture(front_end=Conv1dFrontEnd())), frames, label_target(0))


def test_a_murmur_is_explained_too() -> None:
    torch.manual_seed(1)
    model = CnnLstm(architecture(step_classes=5, window_classes=1)).eval()
    frames = np.random.default_rng(0).normal(0, 1, (2, 16, 128)).astype(np.float32)
    maps = spectrogram_map(model, frames, murmur_target)
    assert maps.shape == frames.shape
    assert maps.max() == pytest.approx(1)
