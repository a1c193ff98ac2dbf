"""The most likely course of S1, systole, S2, diastole: a semi-Markov model over a network's step outputs.

States follow one another in a ring; how long each lasts is judged by log-normal priors around what is usual
at a heart's cycle, and the cycle is the one of a few that explains the recording best. Schmidt et al.,
Physiological Measurement 31 (2010) 513-529, decode heart sounds so; Springer et al., IEEE Trans. Biomed.
Eng. 63 (2016) 822-832, with the first and the last state cut off anywhere, as here.

Shape legend: B courses, S steps, K states, C cycles, D durations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

N_STATES: Final = 4
PREDECESSORS: Final = (3, 0, 1, 2)
CYCLES_S: Final = tuple(float(cycle) for cycle in np.geomspace(0.36, 1.5, 16).round(4))
"""Heart cycles that are tried: 167 to 40 a minute."""
SPREAD: Final = (0.25, 0.25, 0.25, 0.2)
"""SD of each state's duration in logarithms, about twice that within one recording of CirCor."""
LONGEST_S: Final = 1.8
EVIDENCE: Final = 0.3
"""Weight of a step's log-probability: neighbouring steps say the same and are no evidence of their own."""
PRIOR: Final = 6.0
"""Weight of the durations. Both weights chosen on validation patients of cross-validation."""
REACH_S: Final = 0.04
"""How far a change of state is moved to where the network alone would put it."""
BLOCK_S: Final = 30.0
CONTEXT_S: Final = 3.0
AT_ONCE: Final = 8
"""Blocks of a recording that are decoded together: more need memory and gain no time."""


@dataclass(frozen=True, slots=True)
class Durations:
    """Logarithms of how likely each duration is, the longest first: at index ``D - d`` one of ``d`` steps.

    Attributes
    ----------
    exact : ndarray of float64, shape (D, K, C)
        Of a state that begins and ends in view.
    cut : ndarray of float64, shape (D, K, C)
        Of a state that goes on out of view: it may be any longer.
    """

    exact: WideFloatArray
    cut: WideFloatArray


def usual_s(cycle_s: WideFloatArray) -> WideFloatArray:
    """Usual durations of the states at heart cycles, (K, C): lines through CirCor's annotations."""
    s1, systole, s2 = 0.10 + 0.03 * cycle_s, 0.09 + 0.11 * cycle_s, 0.08 + 0.03 * cycle_s
    return np.stack([s1, systole, s2, cycle_s - s1 - systole - s2])


@lru_cache(maxsize=8)
def durations(step_s: float) -> Durations:
    """Priors of the durations at a step length."""
    lasts = np.log(np.arange(round(LONGEST_S / step_s), 0, -1) * step_s)[:, None, None]
    exact = -0.5 * PRIOR * ((lasts - np.log(usual_s(np.array(CYCLES_S)))) / np.array(SPREAD)[:, None]) ** 2
    return Durations(exact, np.maximum.accumulate(exact))


def log_softmax(logits: FloatArray) -> WideFloatArray:
    """Logarithms of the probabilities of the last axis."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), dtype=np.float64)


def decode(log_p_BSK: WideFloatArray, step_s: float) -> IntArray:
    """Most likely states, (B, S), of courses whose log-probabilities are (B, S, 4); long ones in blocks."""
    n_courses, n_steps, _ = log_p_BSK.shape
    block, context = round(BLOCK_S / step_s), round(CONTEXT_S / step_s)
    if n_steps <= block + 2 * context:
        return _decode(log_p_BSK, step_s)
    length = block + 2 * context
    starts = np.append(np.arange(0, n_steps - length, block), n_steps - length)
    path = np.empty((n_courses, n_steps), dtype=np.int64)
    for first in range(0, len(starts), AT_ONCE):
        some = starts[first : first + AT_ONCE]
        pieces = log_p_BSK[:, some[:, None] + np.arange(length)].reshape(-1, length, N_STATES)
        found = _decode(pieces, step_s).reshape(n_courses, len(some), length)
        for i, start in enumerate(some.tolist()):
            # What the piece before has decided with context on both sides stays.
            skip = context if first + i else 0
            path[:, start + skip : start + length] = found[:, i, skip:]
    return path


def _decode(log_p_BSK: WideFloatArray, step_s: float) -> IntArray:
    n_courses, n_steps, _ = log_p_BSK.shape
    if n_steps == 0:
        return np.zeros((n_courses, 0), dtype=np.int64)
    path_BS = _viterbi(EVIDENCE * log_p_BSK, durations(step_s))
    reach = round(REACH_S / step_s)
    return _sharpened(path_BS, log_p_BSK, reach) if reach else path_BS


def _viterbi(score_BSK: WideFloatArray, prior: Durations) -> IntArray:
    """Best path through states of any duration, the cycle of each course chosen with it."""
    n_courses, n_steps, _ = score_BSK.shape
    longest, _, n_cycles = prior.exact.shape
    total = np.zeros((n_steps + 1, n_courses, N_STATES, 1))
    total[1:, ..., 0] = np.cumsum(score_BSK, axis=1).transpose(1, 0, 2)
    # entered[longest - 1 + t, :, k]: the best path that enters state k after t steps, less k's evidence up to
    # there; nothing enters before the first step, so that each end looks back on as many rows.
    entered = np.full((longest + n_steps, n_courses, N_STATES, n_cycles), -np.inf)
    held = np.empty((longest, n_courses, N_STATES, n_cycles))
    best = np.empty(held.shape[1:])
    of_all = Durations(prior.exact[:, None], prior.cut[:, None])
    for end in range(1, n_steps + 1):
        _paths_that_end(end, entered, of_all, held)
        np.maximum.reduce(held, axis=0, out=best)
        best += total[end]
        np.subtract(best[:, PREDECESSORS], total[end], out=entered[longest - 1 + end])
    return _traced(best, entered, prior)


def _paths_that_end(end: int, entered: WideFloatArray, prior: Durations, out: WideFloatArray) -> None:
    """Paths whose last state lasted each duration before it ended at ``end``, the longest first."""
    longest = len(prior.exact)
    usual = prior.cut if end == len(entered) - longest else prior.exact
    np.add(entered[end - 1 : end - 1 + longest], usual, out=out)
    if end <= longest:
        # The first state began before the recording did.
        out[longest - end] = prior.cut[longest - end]


def _traced(best_BKC: WideFloatArray, entered: WideFloatArray, prior: Durations) -> IntArray:
    """States of the best path of each course: how long each lasted is asked again along that path alone."""
    longest, n_courses = len(prior.exact), len(best_BKC)
    n_steps = len(entered) - longest
    path, held = np.empty((n_courses, n_steps), dtype=np.int64), np.empty(longest)
    for course in range(n_courses):
        state, cycle = np.unravel_index(int(best_BKC[course].argmax()), best_BKC[course].shape)
        k, end = int(state), n_steps
        while end > 0:
            own = Durations(prior.exact[:, k, cycle], prior.cut[:, k, cycle])
            _paths_that_end(end, entered[:, course, k, cycle], own, held)
            begin = end - longest + int(held.argmax())
            path[course, begin:end] = k
            k, end = (k - 1) % N_STATES, begin
    return path


def _sharpened(path_BS: IntArray, log_p_BSK: WideFloatArray, reach: int) -> IntArray:
    """Changes of state moved, by no more than ``reach``, to where the probabilities cross."""
    course, at = np.nonzero(np.diff(path_BS, axis=1))
    at = at + 1
    if not len(at):
        return path_BS
    n_steps = path_BS.shape[1]
    before, after = path_BS[course, at - 1], path_BS[course, at]
    # Half of the way to the neighbours at most, so that no state vanishes.
    first = np.append(True, course[1:] != course[:-1])
    last = np.append(first[1:], True)
    to_left = np.where(first, at, at - np.roll(at, 1))
    to_right = np.where(last, n_steps - at, np.roll(at, -1) - at)
    shifts = np.arange(-reach, reach + 1)
    allowed = (shifts > -to_left[:, None] / 2) & (shifts < to_right[:, None] / 2)
    place = np.clip(at[:, None] + shifts, 0, n_steps)
    # Evidence for the state before, summed up to each place: where it is largest the change belongs.
    sums = np.zeros((len(path_BS), n_steps + 1, N_STATES))
    sums[:, 1:] = np.cumsum(log_p_BSK, axis=1)
    gain = sums[course[:, None], place, before[:, None]] - sums[course[:, None], place, after[:, None]]
    moved = at + shifts[np.where(allowed, gain, -np.inf).argmax(1)]
    out = path_BS.copy()
    for i in np.flatnonzero(moved != at):
        low, high = sorted((int(at[i]), int(moved[i])))
        out[course[i], low:high] = after[i] if moved[i] < at[i] else before[i]
    return out
