"""Logits to probabilities: a scale and an offset fitted on validation patients (Platt 1999)."""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.special import expit

from training.sources import WideFloatArray

PRIOR = 1.0
"""Weight that holds the scale near 1 (in log) and the offset near 0: validation sides hold few patients."""


def fit_platt(
    logit: WideFloatArray,
    truth: WideFloatArray,
    *,
    items_per_patient: float = 1.0,
    offset_prior: float = PRIOR,
) -> tuple[float, float]:
    """Scale and offset that make logits the likeliest, with a weak prior for leaving them as they are.

    Parameters
    ----------
    logit, truth : ndarray of float64, shape (n,)
        ``truth`` is 0 or 1. With one kind alone nothing can be fitted: 1 and 0.
    items_per_patient : float
        Items of one patient are alike: all of them together count as one.
    offset_prior : float
        Of the offset; small where items were drawn otherwise than they occur, so that it is not near 0.
    """
    if len(truth) == 0 or truth.min() == truth.max():
        return 1.0, 0.0

    def cost(parameters: WideFloatArray) -> float:
        z = np.exp(parameters[0]) * logit + parameters[1]
        likelihood = np.logaddexp(0.0, z) - truth * z
        prior = PRIOR * parameters[0] ** 2 + offset_prior * parameters[1] ** 2
        return float(likelihood.sum() / items_per_patient + prior)

    found = optimize.minimize(cost, np.zeros(2), method="BFGS").x
    return round(float(np.exp(found[0])), 4), round(float(found[1]), 4)


def calibrated(logit: WideFloatArray, scale: float, offset: float) -> WideFloatArray:
    """Probabilities of logits."""
    return np.asarray(expit(scale * logit + offset), dtype=np.float64)
