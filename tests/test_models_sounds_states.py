"""S1, systole, S2, diastole of a course: what is decoded is the best path, as plain loops find it."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import sounds_states
from models.sounds_states import CYCLES_S, EVIDENCE, LONGEST_S, PRIOR, SPREAD, decode, log_softmax, usual_s

WideFloatArray = npt.NDArray[np.float64]
STEP_S = 0.1
"""So coarse that no change of state is moved: what is decoded is the semi-Markov path itself."""


def duration_score(state: int, cycle_s: float, steps: int) -> float:
    usual = usual_s(np.array([cycle_s]))[state, 0]
    return float(-0.5 * PRIOR * (np.log(steps * STEP_S / usual) / SPREAD[state]) ** 2)


def score(log_p: WideFloatArray, runs: list[tuple[int, int]], cycle_s: float) -> float:
    """Of a path of (state, steps): its steps' evidence and its durations; the outermost may be any longer."""
    longest, total, at = round(LONGEST_S / STEP_S), 0.0, 0
    for i, (state, steps) in enumerate(runs):
        lasts = range(steps, longest + 1) if i in (0, len(runs) - 1) else (steps,)
        total += max(duration_score(state, cycle_s, n) for n in lasts)
        total += EVIDENCE * float(log_p[at : at + steps, state].sum())
        at += steps
    return total


def all_paths(n_steps: int) -> list[list[tuple[int, int]]]:
    """Every way to fill the steps with states that follow one another."""
    found = []
    for n_runs in range(1, n_steps + 1):
        for cuts in itertools.combinations(range(1, n_steps), n_runs - 1):
            lengths = np.diff([0, *cuts, n_steps]).tolist()
            found += [[((first + i) % 4, n) for i, n in enumerate(lengths)] for first in range(4)]
    return found


def plain(log_p: WideFloatArray) -> npt.NDArray[np.int64]:
    """The best path of one course by dynamic programming, one end, state, cycle and duration at a time."""
    n_steps, longest = len(log_p), round(LONGEST_S / STEP_S)
    best, path = -np.inf, np.zeros(n_steps, dtype=np.int64)
    for cycle_s in CYCLES_S:
        exact = [[duration_score(k, cycle_s, d) for d in range(1, longest + 1)] for k in range(4)]
        held: dict[tuple[int, int], tuple[float, int]] = {}
        for end, k in itertools.product(range(1, n_steps + 1), range(4)):
            for d in range(1, min(end, longest) + 1):
                outermost = d == end or end == n_steps
                lasts = max(exact[k][d - 1 :]) if outermost else exact[k][d - 1]
                before = held[end - d, (k - 1) % 4][0] if d < end else 0.0
                total = before + lasts + EVIDENCE * float(log_p[end - d : end, k].sum())
                if (end, k) not in held or total > held[end, k][0]:
                    held[end, k] = total, d
        state = max(range(4), key=lambda k: held[n_steps, k][0])
        if held[n_steps, state][0] > best:
            best, end, k = held[n_steps, state][0], n_steps, state
            while end > 0:
                lasted = held[end, k][1]
                path[end - lasted : end] = k
                end, k = end - lasted, (k - 1) % 4
    return path


@given(st.integers(1, 45), st.integers(1, 3), st.floats(0.2, 8.0), st.integers(0, 2**20))
@settings(deadline=None, max_examples=12)
def test_the_decoded_path_is_that_of_plain_loops(
    n_steps: int, n_courses: int, height: float, seed: int
) -> None:
    logits = np.random.default_rng(seed).normal(0, height, (n_courses, n_steps, 4))
    log_p = log_softmax(logits)
    assert np.array_equal(decode(log_p, STEP_S), np.stack([plain(one) for one in log_p]))


@pytest.mark.parametrize("seed", range(2))
def test_no_other_path_of_a_short_course_is_better(seed: int) -> None:
    log_p = log_softmax(np.random.default_rng(seed).normal(0, 4, (1, 6, 4)))
    found = decode(log_p, STEP_S)[0]
    edges = [0, *(np.flatnonzero(np.diff(found)) + 1).tolist(), len(found)]
    runs = [(int(found[a]), b - a) for a, b in itertools.pairwise(edges)]
    best = max(score(log_p[0], path, cycle_s) for path in all_paths(6) for cycle_s in CYCLES_S)
    assert max(score(log_p[0], runs, cycle_s) for cycle_s in CYCLES_S) == pytest.approx(best)


def test_many_blocks_are_decoded_as_few(monkeypatch: pytest.MonkeyPatch) -> None:
    log_p = log_softmax(np.random.default_rng(5).normal(0, 2, (2, 3_000, 4)))
    together = decode(log_p, STEP_S)
    monkeypatch.setattr(sounds_states, "AT_ONCE", 2)
    assert np.array_equal(decode(log_p, STEP_S), together)


def test_half_an_hour_is_decoded_in_bounded_memory() -> None:
    log_p = log_softmax(np.random.default_rng(6).normal(0, 2, (1, 90_000, 4)))
    decode(log_p[:, :500], 0.02)
    tracemalloc.start()
    decode(log_p, 0.02)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6
