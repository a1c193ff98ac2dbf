"""Areas under the ROC with intervals over patients, exact in every draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from models.spec import Interval
from training.metrics import DRAWS, FEWEST, interval
from training.sources import WideFloatArray


def auroc(score: WideFloatArray, truth: WideFloatArray) -> float:
    """Area under the ROC by ranks; NaN where one kind is missing."""
    positive = truth > 0.5
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return float("nan")
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def auroc_interval(items: Sequence[tuple[str, str, float, bool]]) -> Interval:
    """Area of items (name, patient, score, truth) with its 95 % interval, patients drawn with replacement."""
    score = np.array([one for _, _, one, _ in items], dtype=np.float64)
    truth = np.array([one for _, _, _, one in items], dtype=np.float64)
    names = list(dict.fromkeys(patient for _, patient, _, _ in items))
    of_patient: dict[str, list[int]] = {name: [] for name in names}
    for i, (_, patient, _, _) in enumerate(items):
        of_patient[patient].append(i)
    drawn = np.full(DRAWS, np.nan)
    if len(names) >= FEWEST:
        rng = np.random.default_rng(0)
        places = [np.array(of_patient[name]) for name in names]
        for i in range(DRAWS):
            chosen = np.concatenate([places[k] for k in rng.integers(0, len(names), len(names))])
            drawn[i] = auroc(score[chosen], truth[chosen])
    return interval(auroc(score, truth), drawn, len(items))
