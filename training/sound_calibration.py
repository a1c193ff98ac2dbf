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
    scale_prior: float = PRIOR,
    offset_prior: float = PRIOR,
    offset: float = 0.0,
) -> tuple[float, float]:
    """Scale and offset that make logits the likeliest, with a prior for what they are without this side.

    Parameters
    ----------
    logit, truth : ndarray of float64, shape (n,)
        ``truth`` is 0 or 1. With one kind alone nothing can be fitted: 1 and ``offset``.
    items_per_patient : float
        Items of one patient are alike: all of them together count as one.
    scale_prior, offset_prior : float
        Weights that hold the scale near 1 and the offset near ``offset``: as many patients' worth.
    offset : float
        Where the offset is held; not 0 where items were drawn otherwise than they occur.
    """
    if len(truth) == 0 or truth.min() == truth.max():
        return 1.0, offset

    def cost(parameters: WideFloatArray) -> float:
        z = np.exp(parameters[0]) * logit + parameters[1]
        likelihood = np.logaddexp(0.0, z) - truth * z
        prior = scale_prior * parameters[0] ** 2 + offset_prior * (parameters[1] - offset) ** 2
        return float(likelihood.sum() / items_per_patient + prior)

    found = optimize.minimize(cost, np.array([0.0, offset]), method="BFGS").x
    return round(float(np.exp(found[0])), 4), round(float(found[1]), 4)


def calibrated(logit: WideFloatArray, scale: float, offset: float) -> WideFloatArray:
    """Probabilities of logits."""
    return np.asarray(expit(scale * logit + offset), dtype=np.float64)
