"""Thresholds and class gains, chosen on validation patients only."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product
from typing import Final

import numpy as np

from models.spec import RHYTHM_CLASSES, STEP_CLASSES
from training.monitor_validate import Scored, qrs_f1, total_beats, window_rhythms
from training.scoring import beat_scores
from training.sources import FloatArray, IntArray

logger = logging.getLogger(__name__)

BEAT_GRID: Final = tuple(round(0.25 + 0.05 * i, 2) for i in range(11))
GAIN_GRID: Final = (0.3, 1.0, 3.0)
RHYTHM_GRID: Final = tuple(round(0.3 + 0.05 * i, 2) for i in range(14))
LETHAL: Final = ("vf", "vt", "asystole")
FEW: Final = 60
"""With fewer positive windows than this a threshold is not chosen but set to one half."""
GAIN: Final = "gain_"
"""Prefix of the beat classes' gains among the thresholds."""


def _choose_beats(
    scored: Sequence[Scored], in_noise: Sequence[Sequence[Scored]], step_s: float
) -> tuple[float, tuple[float, ...]]:
    """Detection threshold by QRS F1, clean and in noise, then gains by VEB and SVEB F1 (SVEB counts half)."""

    def detection(threshold: float) -> float:
        # What is lost on clean signals weighs as much as ten times that in noise: most signals are clean.
        noisy = [qrs_f1(part, step_s, threshold) for part in in_noise]
        return 10 * qrs_f1(scored, step_s, threshold) + float(np.mean(noisy))

    # Ties go to the middle of the grid.
    threshold = max(BEAT_GRID, key=lambda value: (round(detection(value), 5), -abs(value - 0.5)))

    def classes(gains: tuple[float, ...]) -> float:
        scores = beat_scores(total_beats(scored, step_s, threshold, gains))
        return float(np.nan_to_num(scores.veb_f1) + 0.5 * np.nan_to_num(scores.sveb_f1))

    candidates = [(1.0, s, v, f) for s, v, f in product(GAIN_GRID, GAIN_GRID, (0.3, 1.0))]
    gains = max(candidates, key=lambda g: (round(classes(g), 3), -float(np.abs(np.log(g)).sum())))
    return threshold, gains


def _choose_rhythm(labels: IntArray, found: FloatArray, index: int) -> float:
    """Threshold of one rhythm against the rest.

    For rhythms that kill, the best mean of sensitivity and specificity: a missed one weighs as its rarity
    does. For the others the best F1, so that they do not cry wolf.
    """
    truth = labels == index

    def merit(threshold: float) -> float:
        called = found[:, index] >= threshold
        hits, wrong = int((truth & called).sum()), int((~truth & called).sum())
        if RHYTHM_CLASSES[index] in LETHAL:
            return hits / max(1, int(truth.sum())) - wrong / max(1, int((~truth).sum()))
        return 2 * hits / max(1, int(truth.sum()) + hits + wrong)

    return max(RHYTHM_GRID, key=lambda value: (round(merit(value), 3), -abs(value - 0.5)))


def choose_thresholds(
    scored: Sequence[Scored], in_noise: Sequence[Sequence[Scored]], step_s: float
) -> dict[str, float]:
    """Choose everything from what a model says of the validation patients.

    Parameters
    ----------
    scored : sequence of Scored
        As recorded.
    in_noise : sequence of sequences of Scored
        In each noise, see :func:`training.monitor_validate.run_stressed`.
    step_s : float
        Seconds a step.

    Returns
    -------
    dict of str to float
        ``beat`` and each rhythm: least probability; ``gain_N`` and so on: factors of the beat classes.
    """
    threshold, gains = _choose_beats([one for one in scored if len(one.recording.beats)], in_noise, step_s)
    parts = [window_rhythms(one) for one in scored]
    labels, found = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    values = {"beat": threshold}
    for index, name in enumerate(RHYTHM_CLASSES[:-1]):
        if int((labels == index).sum()) < FEW:
            logger.warning("threshold of %s is a default: too few validation windows", name)
            values[name] = 0.5
        else:
            values[name] = _choose_rhythm(labels, found, index)
    return values | {GAIN + name: gain for name, gain in zip(STEP_CLASSES[1:], gains, strict=True)}
