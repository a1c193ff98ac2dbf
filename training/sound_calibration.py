"""Logits to probabilities: a scale and an offset fitted on validation patients (Platt 1999)."""

from __future__ import annotations

import numpy as np
from scipy import optimize
from scipy.special import expit

from training.sources import WideFloatArray

PRIOR = 1.0
"""Weight that holds the scale near 1 (in log) and the offset near 0: validation sides hold few patients."""


def fit_platt(logit: WideFloatArray, truth: WideFloatArray) -> tuple[float, float]:
    """Scale and offset that make logits the likeliest, with a weak prior for leaving them as they are.

    Parameters
    ----------
    logit, truth : ndarray of float64, shape (n,)
        ``truth`` is 0 or 1. With one kind alone nothing can be fitted: 1 and 0.
    """
    if len(truth) == 0 or truth.min() == truth.max():
        return 1.0, 0.0

    def cost(parameters: WideFloatArray) -> float:
        z = np.exp(parameters[0]) * logit + parameters[1]
        likelihood = np.logaddexp(0.0, z) - truth * z
        return float(likelihood.sum() + PRIOR * (parameters**2).sum())

    found = optimize.minimize(cost, np.zeros(2), method="BFGS").x
    return round(float(np.exp(found[0])), 4), round(float(found[1]), 4)


def calibrated(logit: WideFloatArray, scale: float, offset: float) -> WideFloatArray:
    """Probabilities of logits."""
    return np.asarray(expit(scale * logit + offset), dtype=np.float64)
