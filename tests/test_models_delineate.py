"""Waves from step probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.delineate import QRS, STEP_CLASSES, WAVES, decode_waves

STEP_S = 0.008
P, T = WAVES.index("P"), WAVES.index("T")
CYCLE = ((P, 0.30, 0.35, 0.40), (QRS, 0.46, 0.50, 0.553), (T, 0.70, 0.82, 0.90))


def shares(waves: tuple[tuple[int, float, float, float], ...], n_steps: int = 250) -> np.ndarray:
    """Share of each step that each class covers: what a perfect network says, (n_steps, 7)."""
    edge = (np.arange(n_steps + 1) - 0.5) * STEP_S
    table = np.zeros((n_steps, len(STEP_CLASSES)))
    for kind, onset, peak, end in waves:
        for column, begin, until in ((1 + 2 * kind, onset, peak), (2 + 2 * kind, peak, end)):
            table[:, column] += np.diff(np.clip(edge, begin, until)) / STEP_S
    table[:, 0] = 1 - table[:, 1:].sum(1)
    return table


def moved(waves: tuple[tuple[int, float, float, float], ...], by: float) -> tuple:
    return tuple((kind, *(place + by for place in places)) for kind, *places in waves)


@given(by=st.floats(-0.1, 0.9))
def test_marks_lie_between_steps(by: float) -> None:
    """Marks are found to a quarter of a step wherever the wave falls on the grid."""
    found = decode_waves(shares(moved(CYCLE, by))[None], STEP_S)
    assert found.kind.tolist() == [P, QRS, T]
    wanted = np.array([places for _, *places in moved(CYCLE, by)])
    marks = np.stack([found.onset_s, found.peak_s, found.end_s], axis=1)
    assert np.abs(marks - wanted).max() < 0.26 * STEP_S
    assert (found.probability > 0.9).all()


def test_windows_are_read_by_themselves() -> None:
    """A batch gives what its windows give alone."""
    windows = [shares(moved(CYCLE, by)) for by in (0.0, 0.4)] + [shares(())] + [shares(moved(CYCLE, 0.7))]
    batch = decode_waves(np.stack(windows), STEP_S)
    for i, window in enumerate(windows):
        alone = decode_waves(window[None], STEP_S)
        own = batch.select(batch.window == i)
        assert own.kind.tolist() == alone.kind.tolist()
        np.testing.assert_allclose(own.onset_s, alone.onset_s)
        np.testing.assert_allclose(own.peak_s, alone.peak_s)


def test_one_p_and_one_t_between_two_qrs() -> None:
    """The heavier of two T waves of a cycle stays, as does the QRS that follows without a T wave."""
    spurious = (T, 1.0, 1.02, 1.05)
    next_qrs = (QRS, 1.40, 1.44, 1.48)
    found = decode_waves(shares((*CYCLE, spurious, next_qrs))[None], STEP_S)
    assert found.kind.tolist() == [P, QRS, T, QRS]
    assert found.end_s[2] == pytest.approx(0.90, abs=0.002)


def test_pieces_of_a_wave_are_joined_and_specks_dropped() -> None:
    """A gap of 24 ms inside a T wave is closed; a P wave of one step is none."""
    table = shares(CYCLE)
    table[98:101] = 0
    table[98:101, 0] = 1
    table[20] = np.eye(len(STEP_CLASSES))[1]
    found = decode_waves(table[None], STEP_S)
    assert found.kind.tolist() == [P, QRS, T]
    assert found.onset_s[2] == pytest.approx(0.70, abs=0.002)
    assert found.end_s[2] == pytest.approx(0.90, abs=0.002)


def test_gain_decides_on_weak_waves() -> None:
    """A P wave of probability 0.4 is none, unless the gain of P waves says so."""
    table = shares(CYCLE)
    weak = table.copy()
    weak[:, 1:3] *= 0.4
    weak[:, 0] = 1 - weak[:, 1:].sum(1)
    assert decode_waves(weak[None], STEP_S).kind.tolist() == [QRS, T]
    assert decode_waves(weak[None], STEP_S, gains={"P": 2.0}).kind.tolist() == [P, QRS, T]


@given(seed=st.integers(0, 2**32 - 1), sharpness=st.floats(0.1, 12))
def test_whatever_the_network_says_marks_are_in_order(seed: int, sharpness: float) -> None:
    """Onset, peak and end are in order and inside the window, waves in order of window and time."""
    logits = sharpness * np.random.default_rng(seed).standard_normal((3, 120, len(STEP_CLASSES)))
    table = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = decode_waves(table.astype(np.float32), STEP_S)
    assert (found.onset_s <= found.peak_s).all()
    assert (found.peak_s <= found.end_s).all()
    assert found.onset_s.min(initial=0.0) >= -STEP_S
    assert found.end_s.max(initial=0.0) <= 120 * STEP_S
    order = np.lexsort((found.onset_s, found.window))
    assert (order == np.arange(len(order))).all()


def test_another_number_of_classes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 50, 4\), expected \(n, n_steps, 7\)"):
        decode_waves(np.zeros((2, 50, 4)), STEP_S)
