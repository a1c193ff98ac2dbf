"""From a heart-sound model's step outputs to S1, systole, S2, diastole in their order, and a murmur's logit.

States follow one another in a ring and last a while: the most likely path through chains of sub-states
(minimum durations) by Viterbi's algorithm, as Schmidt et al. 2010 and Springer et al. 2016 decode heart
sounds, over a batch of streams at once.

Shape legend: B windows, S steps, K states, C sub-states.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models.errors import ModelError

FloatArray = npt.NDArray[np.floating]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STATES: Final = ("S1", "systole", "S2", "diastole")
STEP_CLASSES: Final = (*STATES, "murmur")
"""Outputs a step: a softmax over the states, and apart from it the logit of a murmur."""

SYSTOLE: Final = STATES.index("systole")
MURMUR: Final = STEP_CLASSES.index("murmur")

LEAST_S: Final = (0.06, 0.08, 0.04, 0.10)
"""Shortest that each state lasts: below what CirCor's training folds hold at the first percentile."""


def log_softmax(logits: FloatArray) -> WideFloatArray:
    """Logarithms of the probabilities of the last axis."""
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)), dtype=np.float64)


def decode_states(logits_BSK: FloatArray, step_s: float, least_s: tuple[float, ...] = LEAST_S) -> IntArray:
    """Most likely course of the states.

    Parameters
    ----------
    logits_BSK : ndarray, shape (B, S, 4 or more)
        Of a softmax over :data:`STATES`; what follows them is left out.
    step_s : float
        Seconds a step.
    least_s : tuple of float
        Shortest duration of each state.

    Returns
    -------
    ndarray of int64, shape (B, S)
        Index into :data:`STATES`.

    Raises
    ------
    ModelError
        Fewer outputs than states.
    """
    if logits_BSK.shape[2] < len(STATES):
        raise ModelError(f"logits of shape {logits_BSK.shape}: need one for each of {', '.join(STATES)}")
    score_BSK = log_softmax(logits_BSK[..., : len(STATES)])
    lengths = [max(1, round(least / step_s)) for least in least_s]
    state_C = np.repeat(np.arange(len(STATES)), lengths)
    last_C = np.append(state_C[1:] != state_C[:-1], True)
    n_windows, n_steps, _ = score_BSK.shape
    best_BC = score_BSK[:, 0, state_C] if n_steps else np.zeros((n_windows, len(state_C)))
    stayed = np.zeros((n_steps, n_windows, len(state_C)), dtype=np.bool_)
    for step in range(1, n_steps):
        before_BC = np.roll(best_BC, 1, axis=1)
        # Only a state's last sub-state may last on.
        held_BC = np.where(last_C, best_BC, -np.inf)
        stayed[step] = held_BC >= before_BC
        best_BC = np.maximum(held_BC, before_BC) + score_BSK[:, step, state_C]
    path_BS = np.empty((n_windows, n_steps), dtype=np.int64)
    at_B = best_BC.argmax(1)
    for step in range(n_steps - 1, -1, -1):
        path_BS[:, step] = state_C[at_B]
        at_B = np.where(stayed[step, np.arange(n_windows), at_B], at_B, at_B - 1) % len(state_C)
    return path_BS


def onsets(path_S: IntArray, state: int) -> IntArray:
    """Steps at which a state begins; not the first step, whose begin is not seen."""
    return np.flatnonzero((path_S[1:] == state) & (path_S[:-1] != state)) + 1


def murmur_logit(logits_BSK: FloatArray, window_logits_B: FloatArray, path_BS: IntArray) -> WideFloatArray:
    """Evidence of a murmur a window: mean of the window's logit and of its systolic steps' mean logit.

    Parameters
    ----------
    logits_BSK : ndarray, shape (B, S, 5)
        Of :data:`STEP_CLASSES`.
    window_logits_B : ndarray, shape (B,)
        Of the window head.
    path_BS : ndarray of int64, shape (B, S)
        As :func:`decode_states` gives it.
    """
    systole_BS = path_BS == SYSTOLE
    count_B = systole_BS.sum(1)
    sums_B = np.where(systole_BS, logits_BSK[..., MURMUR].astype(np.float64), 0.0).sum(1)
    of_steps_B = np.where(count_B > 0, sums_B / np.maximum(count_B, 1), window_logits_B)
    return np.asarray((of_steps_B + window_logits_B) / 2, dtype=np.float64)
