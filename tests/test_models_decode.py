"""Decoding beats: they are found where their mass is, once, whatever the batch and the hop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decode import OVERLAP_S, accept, decode_beats, refine_peaks

STEP_S = 0.064
T = 125


def steps_with(beats: list[tuple[float, int]], offset_s: float = 0.0, height: float = 0.98) -> np.ndarray:
    """Probabilities (T, 5) as a perfect model gives them for beats (seconds, class)."""
    found = np.zeros((T, 5))
    for time_s, label in beats:
        place = (time_s - offset_s) / STEP_S
        left = int(np.floor(place))
        for step in (left, left + 1):
            if 0 <= step < T:
                found[step, label] += height * (1 - abs(place - step))
    found[:, 0] = 1 - found[:, 1:].sum(-1)
    return found


beat_trains = st.lists(st.floats(0.25, 1.6), min_size=1, max_size=30).map(
    lambda gaps: [0.5 + t for t in np.cumsum([0, *gaps]).tolist()]
)


@given(beat_trains, st.integers(0, 2**32 - 1))
def test_each_beat_is_found_once_at_its_place_with_its_class(times: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    beats = [(t, int(rng.integers(1, 5))) for t in times if t < 7.5]
    found = decode_beats(steps_with(beats)[None], STEP_S)
    assert len(found.window) == len(beats)
    np.testing.assert_allclose(found.position_s, [t for t, _ in beats], atol=0.05)
    assert found.label.tolist() == [label for _, label in beats]


@given(beat_trains)
def test_a_batch_gives_what_its_windows_give_alone(times: list[float]) -> None:
    one = steps_with([(t, 1) for t in times if t < 7.5])
    batch = np.stack([one, np.eye(5)[np.zeros(T, dtype=int)], one[::-1]])
    together = decode_beats(batch, STEP_S)
    for index in range(3):
        alone = decode_beats(batch[index : index + 1], STEP_S)
        np.testing.assert_array_equal(together.position_s[together.window == index], alone.position_s)
    assert not (together.window == 1).any()


@given(beat_trains)
def test_windows_a_second_apart_hand_out_each_beat_once(times: list[float]) -> None:
    length = 8 + int(max(times)) + 8
    windows = np.stack([steps_with([(t, 1) for t in times], float(start)) for start in range(-8, length)])
    found = decode_beats(windows, STEP_S, final_from_s=6 - OVERLAP_S, final_to_s=7)
    absolute = found.position_s + found.window - 8
    order = np.argsort(absolute, kind="stable")
    kept = absolute[order][accept(absolute[order], found.probability[order])]
    assert len(kept) == len(times)
    np.testing.assert_allclose(kept, times, atol=0.05)


def test_below_the_threshold_there_is_no_beat() -> None:
    weak = steps_with([(2.0, 1), (4.0, 3)], height=0.3)
    assert len(decode_beats(weak[None], STEP_S, threshold=0.5).window) == 0
    assert len(decode_beats(weak[None], STEP_S, threshold=0.2).window) == 2


def test_gains_move_the_class_not_the_beat() -> None:
    undecided = steps_with([(3.0, 1)], height=0.5) + steps_with([(3.0, 3)], height=0.4)
    undecided[:, 0] = 1 - undecided[:, 1:].sum(-1)
    plain = decode_beats(undecided[None], STEP_S)
    moved = decode_beats(undecided[None], STEP_S, class_gains=(1.0, 1.0, 2.0, 1.0))
    assert (plain.label.tolist(), moved.label.tolist()) == ([1], [3])
    np.testing.assert_array_equal(plain.position_s, moved.position_s)


def test_an_empty_batch_gives_no_beats() -> None:
    assert len(decode_beats(np.zeros((0, T, 5)), STEP_S).window) == 0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_peaks_are_refined_on_the_signal(sign: float) -> None:
    signal = np.zeros((2, 1000))
    signal[1, 500] = sign
    refined = refine_peaks(signal, 125.0, np.array([1]), np.array([4.03]))
    np.testing.assert_allclose(refined, [4.0])


def test_refining_at_an_edge_stays_inside() -> None:
    signal = np.random.default_rng(0).standard_normal((1, 1000))
    refined = refine_peaks(signal, 125.0, np.array([0, 0]), np.array([0.0, 7.99]))
    assert refined.min() >= 0
    assert refined.max() < 8
