"""From a heart-sound model's step outputs to S1, systole, S2, diastole in their order, and a murmur's logit.

Shape legend: B windows, S steps, K outputs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from models import sounds_states
from models.errors import ModelError
from models.sounds_states import log_softmax as log_softmax

FloatArray = npt.NDArray[np.floating]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

STATES: Final = ("S1", "systole", "S2", "diastole")
STEP_CLASSES: Final = (*STATES, "murmur")
"""Outputs a step: a softmax over the states, and apart from it the logit of a murmur."""

NO_STATE: Final = -1
"""Of a step that does not count."""

SYSTOLE: Final = STATES.index("systole")
MURMUR: Final = STEP_CLASSES.index("murmur")


def decode_states(logits_BSK: FloatArray, step_s: float) -> IntArray:
    """Most likely course of the states, by :mod:`models.sounds_states`.

    Parameters
    ----------
    logits_BSK : ndarray, shape (B, S, 4 or more)
        Of a softmax over :data:`STATES`; what follows them is left out.
    step_s : float
        Seconds a step.

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
    return sounds_states.decode(log_softmax(logits_BSK[..., : len(STATES)]), step_s)


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
