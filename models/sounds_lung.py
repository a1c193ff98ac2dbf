"""Evidence of crackles and wheezes in a stretch of sound, from a lung model's window head and its steps.

Shape legend: B windows, S steps, K labels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
WideFloatArray = npt.NDArray[np.float64]


def evidence(
    step_logits_BSK: FloatArray, window_logits_BK: FloatArray, where_BS: npt.NDArray[np.bool_]
) -> WideFloatArray:
    """Mean of the window head's logit and the logit of the pooled steps, (B, K).

    Steps are pooled by the linear softmax: the mean of their probabilities weighted by themselves, so that a
    short sound counts and many faint steps do not (Wang, Li and Metze, ICASSP 2019).

    Parameters
    ----------
    step_logits_BSK : ndarray, shape (B, S, K)
        Of each label apart.
    window_logits_BK : ndarray, shape (B, K)
        Of the same labels.
    where_BS : ndarray of bool, shape (B, S)
        Steps that count, at least one a window.
    """
    p_BSK = where_BS[..., None] / (1.0 + np.exp(-step_logits_BSK.astype(np.float64)))
    pooled_BK = np.clip((p_BSK * p_BSK).sum(1) / np.maximum(p_BSK.sum(1), 1e-9), 1e-6, 1 - 1e-6)
    return np.asarray((np.log(pooled_BK / (1 - pooled_BK)) + window_logits_BK) / 2, dtype=np.float64)
