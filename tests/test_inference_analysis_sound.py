"""A recording of a sound: what is marked in it, breath by breath and in all, and what is left unjudged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from inference.analysis import analyse
from inference.analysis_findings import SoundFindings
from inference.analysis_read import Opened
from inference.analysis_sound_cycles import breath_cuts_s, cycles_between
from inference.analysis_sound_hear import NOTHING_CLEAN, frames_of
from inference.analysis_sound_trace import SoundTrace
from inference.explanation_sound import explain_audio, explain_window
from ingest.recording import Recording, Signal
from ingest.sounds import LungSound
from ingest.types import SignalKind
from models.errors import CannotExplain
from models.sounds import SoundModel
from tests.sound_networks import FS_HZ, RuleModel, breathing, random_model
from tests.sound_sets import BEAT_S, heart_sound

LUNG, HEART = SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND
WHEEZES = ((13.0, 13.9), (25.2, 26.4))
STEP_S = 0.08


def signal_of(line: np.ndarray, kind: SignalKind = LUNG, fs_hz: float = FS_HZ) -> Signal:
    names = ("left", "right")[: 1 if line.ndim == 1 else line.shape[1]]
    return Signal(kind, names, "au", float(fs_hz), line.reshape(len(line), -1).astype(np.float32))


def found_in(signal: Signal, model: SoundModel | None = None) -> tuple[SoundFindings, list[SoundTrace]]:
    traces: list[SoundTrace] = []
    found = analyse(
        Opened(Recording("chest", (signal,)), "WAV", []),
        None,
        lambda *_: None,
        listeners={} if model is None else {signal.kind: model},
        sound_traces=traces,
    )
    return found.sounds[0], traces


@pytest.fixture(scope="module")
def wheezing() -> tuple[SoundFindings, list[SoundTrace]]:
    return found_in(signal_of(breathing(40.0, WHEEZES)), RuleModel())


def test_a_wheeze_is_marked_where_it_is(wheezing: tuple[SoundFindings, list[SoundTrace]]) -> None:
    sound, _ = wheezing
    assert {mark.label for mark in sound.marks} == {"wheeze"}
    assert [mark.probability for mark in sound.marks] == [0.8, 0.8]
    for mark, (begin_s, end_s) in zip(sound.marks, WHEEZES, strict=True):
        assert mark.begin_s == pytest.approx(begin_s, abs=STEP_S)
        assert mark.end_s == pytest.approx(end_s, abs=STEP_S)


def test_breaths_are_found_and_those_with_the_wheeze_are_called(
    wheezing: tuple[SoundFindings, list[SoundTrace]],
) -> None:
    sound, _ = wheezing
    assert sound.rates is not None
    assert sound.rates.median == pytest.approx(15.0, abs=0.5)
    assert sound.cycles is not None
    lengths = [cycle.end_s - cycle.begin_s for cycle in sound.cycles]
    assert len(lengths) >= 7
    assert lengths == pytest.approx([4.0] * len(lengths), abs=0.5)
    called = [cycle for cycle in sound.cycles if cycle.label == "wheeze"]
    assert len(called) == 2
    for cycle, (begin_s, end_s) in zip(called, WHEEZES, strict=True):
        assert cycle.begin_s < begin_s < end_s < cycle.end_s
        assert cycle.probabilities == {"crackle": 0.1, "wheeze": 0.9}
    assert {cycle.label for cycle in sound.cycles} == {"wheeze", "normal"}
    assert "no network says where" in sound.cycles_from


def test_the_whole_has_a_verdict_with_what_it_is_worth(
    wheezing: tuple[SoundFindings, list[SoundTrace]],
) -> None:
    sound, _ = wheezing
    assert sound.verdict is not None
    assert sound.verdict.label == "chronic"
    assert sound.verdict.probabilities == {"healthy": 0.2, "chronic": 0.7, "acute": 0.1}
    assert "not calibrated" in sound.verdict.note
    assert sound.heard == {"crackle": 0.1, "wheeze": 0.9}
    assert sound.thresholds == {"crackle": 0.6, "wheeze": 0.5}
    assert "lung-test" in sound.statement


def test_what_is_shown_lies_on_the_axis_of_the_marks(
    wheezing: tuple[SoundFindings, list[SoundTrace]],
) -> None:
    sound, (trace,) = wheezing
    frames = trace.mel()
    at_s = trace.centre_s + np.arange(frames.shape[1]) * trace.frame_s
    edges = np.array(trace.edges_hz)
    row = int(np.searchsorted(edges, 1_400.0)) - 1
    loud = at_s[frames[row] > frames[row].max() - 3.0]
    first, second = sound.marks
    assert (loud[0], loud[-1]) == pytest.approx((first.begin_s, second.end_s), abs=STEP_S)
    low, high = trace.envelope()
    assert len(low) == len(high) == 4_000
    assert high[1_300:1_390].min() > 0.02


def test_nothing_is_judged_while_somebody_speaks() -> None:
    line = breathing(40.0, WHEEZES)
    rng = np.random.default_rng(1)
    line[12 * FS_HZ : 15 * FS_HZ] += 0.6 * rng.standard_normal(3 * FS_HZ).clip(-1.5, 1.5).astype(np.float32)
    sound, _ = found_in(signal_of(line), RuleModel())
    (loss,) = sound.lost
    assert (loss.begin_s, loss.end_s) == pytest.approx((12.0, 15.0), abs=0.5)
    assert "speech" in loss.reason
    assert [mark.begin_s > 20 for mark in sound.marks] == [True]
    assert sound.cycles is not None
    spoken = [cycle for cycle in sound.cycles if 12 <= (cycle.begin_s + cycle.end_s) / 2 < 15]
    assert [(one.label, one.probabilities) for one in spoken] == [("not judged", {})] * len(spoken)
    assert spoken


def rubbed(seconds: int) -> np.ndarray:
    """Bursts far over full scale, a tenth of a second each."""
    rng = np.random.default_rng(0)
    bursts = np.repeat(rng.random(10 * seconds) > 0.5, FS_HZ // 10)
    return np.clip(0.9 * rng.standard_normal(len(bursts)) * bursts, -1, 1)


@pytest.mark.parametrize("spoil", [rubbed, lambda seconds: np.full(seconds * FS_HZ, np.nan)])
def test_what_could_not_be_judged_has_no_say_in_the_verdict_nor_in_the_cycles(
    spoil: Callable[[int], np.ndarray],
) -> None:
    heart = SoundModel.load("heart-sounds-1")
    clean = heart_sound(16, False, 1)
    alone, _ = found_in(signal_of(clean, HEART), heart)
    spoiled, _ = found_in(signal_of(np.concatenate([clean, spoil(40)]), HEART), heart)
    assert spoiled.lost_s == pytest.approx(40, abs=1)
    assert alone.verdict is not None
    assert spoiled.verdict is not None
    assert spoiled.verdict.label == alone.verdict.label
    assert spoiled.heard["murmur"] == pytest.approx(alone.heard["murmur"], abs=0.1)
    assert len(spoiled.marks) == pytest.approx(len(alone.marks), abs=2)


def test_of_a_sound_that_could_not_be_judged_at_all_nothing_is_said() -> None:
    sound, _ = found_in(signal_of(rubbed(20), HEART), random_model(heart=True))
    assert sound.lost_s == 20
    assert (sound.verdict, sound.heard, sound.marks, sound.cycles) == (None, {}, [], [])
    assert "No moment" in sound.cycles_from


def test_a_sensor_that_fell_off_is_called_so() -> None:
    noise = 0.0004 * np.random.default_rng(0).standard_normal(30 * FS_HZ)
    sound, _ = found_in(
        signal_of(np.concatenate([LungSound(1, "bed").next_samples(40 * FS_HZ)[:, 0], noise]))
    )
    assert {loss.reason for loss in sound.lost} == {"sensor off: nothing beats any more below 150 Hz"}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda line: np.clip(5 * line, -0.2, 0.2), "clipped"),
        (lambda line: line + 0.3 * np.sin(2 * np.pi * 50 * np.arange(len(line)) / FS_HZ), "mains hum"),
    ],
)
def test_clipping_and_mains_are_named(spoil: object, reason: str) -> None:
    line = breathing(30.0).astype(np.float64)
    assert callable(spoil)
    line[20 * FS_HZ : 24 * FS_HZ] = spoil(20 * line[20 * FS_HZ : 24 * FS_HZ] if reason == "clipped" else
                                          line[20 * FS_HZ : 24 * FS_HZ])  # fmt: skip
    sound, _ = found_in(signal_of(line), RuleModel())
    assert reason in {loss.reason for loss in sound.lost}


def test_without_a_network_the_rate_is_there_and_nothing_is_named() -> None:
    sound, traces = found_in(signal_of(breathing(30.0, WHEEZES)))
    assert sound.rates is not None
    assert sound.rates.median == pytest.approx(15.0, abs=0.5)
    assert (sound.model, sound.verdict, sound.cycles, sound.marks) == (None, None, None, [])
    assert "No network listened" in sound.statement
    assert len(traces) == 1


def test_silence_and_a_short_sound_have_no_verdict() -> None:
    silent, _ = found_in(signal_of(np.zeros(20 * FS_HZ)), RuleModel())
    assert silent.cycles == []
    assert silent.marks == []
    assert silent.cycles_from == NOTHING_CLEAN
    assert silent.rates is not None
    assert silent.rates.median is None
    short, _ = found_in(signal_of(breathing(2.0)), RuleModel())
    assert short.verdict is None


def test_a_rate_that_carries_no_breath_is_said() -> None:
    sound, traces = found_in(signal_of(breathing(20.0, fs_hz=2_000), fs_hz=2_000), RuleModel())
    assert "2000 Hz: at least 3960 Hz" in sound.statement
    assert (sound.verdict, traces) == (None, [])


@pytest.mark.parametrize("fs_hz", [8_000, 44_100])
def test_marks_hold_their_time_at_other_rates(fs_hz: int) -> None:
    sound, _ = found_in(signal_of(breathing(20.0, WHEEZES[:1], fs_hz=fs_hz), fs_hz=fs_hz), RuleModel())
    (mark,) = sound.marks
    assert (mark.begin_s, mark.end_s) == pytest.approx(WHEEZES[0], abs=STEP_S)


def test_the_second_channel_is_said_not_to_be_heard() -> None:
    both = np.stack([breathing(20.0), breathing(20.0, WHEEZES)], axis=1)
    sound, _ = found_in(signal_of(both), RuleModel())
    assert sound.marks == []
    assert "Of 2 channels the first (left)" in sound.statement


def test_heart_sounds_come_in_their_order_with_their_rate() -> None:
    line = heart_sound(30, False, 1)
    sound, _ = found_in(signal_of(line, HEART), random_model(heart=True))  # type: ignore[arg-type]
    assert sound.rates is not None
    assert sound.rates.median == pytest.approx(60 / BEAT_S, abs=2.0)
    labels = [mark.label for mark in sound.marks]
    assert labels
    assert all(a != b for a, b in zip(labels, labels[1:], strict=False))
    assert sound.verdict is not None
    assert set(sound.verdict.probabilities) == {"murmur present", "murmur absent"}
    assert sum(sound.verdict.probabilities.values()) == pytest.approx(1.0)
    assert sound.cycles is not None
    assert all(cycle.begin_s < cycle.end_s for cycle in sound.cycles)


def test_a_breath_that_was_not_found_leaves_a_gap() -> None:
    assert cycles_between(np.array([0.0, 4.0, 8.0, 20.0, 24.0])) == [(0.0, 4.0), (4.0, 8.0), (20.0, 24.0)]
    assert cycles_between(np.array([1.0])) == []
    assert len(breath_cuts_s(np.zeros((48, 0), dtype=np.float32))) == 0


def test_breaths_that_grow_faster_are_followed() -> None:
    slow, fast = breathing(40.0, period_s=5.0), breathing(42.0, period_s=3.0)
    cuts = breath_cuts_s(frames_of(signal_of(np.concatenate([slow, fast]))).frames)
    lengths = np.diff(cuts)
    assert np.median(lengths[cuts[1:] < 35]) == pytest.approx(5.0, abs=0.3)
    assert np.median(lengths[cuts[:-1] > 45]) == pytest.approx(3.0, abs=0.3)


@pytest.mark.parametrize("heart", [False, True])
def test_an_explanation_lies_over_its_window(heart: bool) -> None:
    model = random_model(heart)
    kind = HEART if heart else LUNG
    line = breathing(20.0, WHEEZES[:1])
    found = explain_audio(model, kind, line, FS_HZ, 13.5)
    assert found.end_s - found.start_s == pytest.approx(model.spec.window_s, abs=0.05)
    assert found.start_s < 13.5 < found.end_s
    rows, steps = found.cam.shape
    assert rows >= 6
    assert len(found.edges_hz) == rows + 1
    assert found.edges_hz[0] < 80
    assert found.edges_hz[-1] > 380
    assert steps * found.step_s == pytest.approx(model.spec.window_s, abs=found.step_s)
    assert found.cam.min() >= 0
    assert found.cam.max() in (0.0, pytest.approx(1.0))
    assert found.attention.sum() == pytest.approx(1.0, abs=1e-4)
    assert found.probability == pytest.approx(found.probabilities[found.label])


def test_what_is_explained_is_what_the_class_hangs_on() -> None:
    model = random_model()
    made = frames_of(signal_of(breathing(20.0, WHEEZES[:1])))
    one = explain_window(model, made.frames, made.begin_s, 13.5, "wheeze")
    other = explain_window(model, made.frames, made.begin_s, 13.5, "chronic")
    assert (one.label, other.label) == ("wheeze", "chronic")
    assert not np.array_equal(one.cam, other.cam)
    assert sum(other.probabilities[name] for name in ("healthy", "chronic", "acute")) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("seconds", "fs_hz", "label", "words"),
    [
        (3.0, 4_000, None, "looks at 5.12 s"),
        (20.0, 2_000, None, "from 3960 Hz on"),
        (20.0, 4_000, "murmur", "no such class"),
    ],
)
def test_what_cannot_be_explained_says_why(seconds: float, fs_hz: int, label: str | None, words: str) -> None:
    with pytest.raises(CannotExplain, match=words):
        explain_audio(random_model(), LUNG, breathing(seconds, fs_hz=fs_hz), fs_hz, 2.0, label)


def test_missing_samples_are_not_explained() -> None:
    line = breathing(20.0)
    line[8 * FS_HZ : 16 * FS_HZ] = np.nan
    with pytest.raises(CannotExplain, match="missing"):
        explain_audio(random_model(), LUNG, line, FS_HZ, 12.0)
