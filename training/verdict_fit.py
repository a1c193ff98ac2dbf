"""Fitting the verdict: logistic regression with a Gaussian prior on the weights, by Newton's method.

Deterministic: no batches, no seeds, no early stopping. Nothing is chosen on the rows but the weights.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from models.verdict import LIMIT, KindWeights
from models.verdict_leads import WideFloatArray
from training.errors import DataMissing

BoolArray = npt.NDArray[np.bool_]

STEPS: Final = 50
TOLERANCE: Final = 1e-8
BIAS_VARIANCE: Final = 1e3
LEAST_SCALE: Final = 1e-6


def fit_kind(values: WideFloatArray, true: BoolArray, variance: float) -> KindWeights:
    """Most probable weights under a prior N(0, ``variance``) on each standardised number.

    Parameters
    ----------
    values : ndarray of float64, shape (n_alarms, n_features)
        Finite numbers.
    true : ndarray of bool, shape (n_alarms,)
        Which alarms are true; both answers must occur.
    variance : float
        Of the prior; the bias is all but free.

    Raises
    ------
    DataMissing
        All alarms have one answer: nothing can be told apart.
    """
    if true.all() or not true.any():
        raise DataMissing(
            f"{len(true)} alarms, all {'true' if true.all() else 'false'}: nothing to tell apart"
        )
    centre, spread = values.mean(0), values.std(0)
    # A number that never varies here must not blow up where it does.
    scale = np.where(spread < LEAST_SCALE, 1.0 / LEAST_SCALE, spread)
    standard = np.clip((values - centre) / scale, -LIMIT, LIMIT)
    x = torch.from_numpy(np.column_stack([standard, np.ones(len(standard))]))
    y = torch.from_numpy(true.astype(np.float64))
    precision = torch.full((x.shape[1],), 1.0 / variance, dtype=torch.float64)
    precision[-1] = 1.0 / BIAS_VARIANCE
    weight = torch.zeros(x.shape[1], dtype=torch.float64)
    weight[-1] = float(np.log(true.mean() / (1.0 - true.mean())))
    for _ in range(STEPS):
        p = torch.sigmoid(x @ weight)
        gradient = x.T @ (p - y) + precision * weight
        hessian = (x.T * (p * (1 - p))) @ x + torch.diag(precision)
        step = torch.linalg.solve(hessian, gradient)
        # Far from the optimum a full Newton step of a separable set may overshoot.
        weight -= step * min(1.0, 5.0 / float(step.abs().max() + 1e-12))
        if float(step.abs().max()) < TOLERANCE:
            break
    found = weight.numpy()
    return KindWeights(centre, scale, found[:-1].copy(), found[-1:].copy())


def rule_kind() -> KindWeights:
    """The definition alone: one number, the evidence, that calls an alarm true from 0 on."""
    return KindWeights(np.zeros(1), np.ones(1), np.ones(1), np.zeros(1))
