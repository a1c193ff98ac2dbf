"""Episodes of atrial fibrillation in long records, scored as EC57 asks: by episode and by duration.

Windows of one length slide at hops of 1 s, as they would in a stream. A window's answer is dated to its
middle; it is known half a window (and the detector's second) later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.cnn_lstm import CnnLstm
from models.spec import Interval
from training.af_beats import FS_HZ, BoolArray, IntArray, WideFloatArray
from training.af_config import AF_CLASSES
from training.af_predict import log_probabilities, sliding
from training.af_records import Lead
from training.evaluation import Cell, Table
from training.scoring import bootstrap
from training.sources import bit

HOP_S: Final = 1.0
LEARNING_S: Final = 300.0
"""EC57: the first 5 min of a record are not scored."""

SMOOTH: Final = 15
"""Windows in a row whose log odds are averaged: the answer is that of their middle, too."""

LEVELS: Final = tuple(round(0.05 * i, 2) for i in range(4, 20))
HEAD: Final = ("episode Se", "episode +P", "duration Se", "duration +P")


@dataclass(frozen=True, slots=True)
class Answers:
    """What the network says of one record, second by second. Arrays of shape (n_seconds,).

    Attributes
    ----------
    name : str
        ``source/record``.
    probability : ndarray of float64
        Of fibrillation, NaN where no window is centred yet.
    reference : ndarray of bool
        Whether the record is in fibrillation or flutter.
    scored : ndarray of bool
        After the first 5 min, where the rhythm is known and a window answers.
    """

    name: str
    probability: WideFloatArray
    reference: BoolArray
    scored: BoolArray


def smooth(log_odds: WideFloatArray, width: int) -> WideFloatArray:
    """Mean of the last ``width`` values (of as many as there are at the start)."""
    total = np.concatenate([[0.0], np.cumsum(log_odds)])
    end = np.arange(1, len(log_odds) + 1)
    begin = np.maximum(0, end - width)
    return np.asarray((total[end] - total[begin]) / (end - begin))


def answer(model: CnnLstm, lead: Lead, window_s: float) -> Answers:
    """Slide windows over a lead."""
    logs = log_probabilities(model, [lead], sliding(lead, window_s, HOP_S))
    af = logs[:, AF_CLASSES.index("A")]
    odds = smooth(np.clip(af - np.log(-np.expm1(np.minimum(af, -1e-9))), -8, 8), SMOOTH)
    n = int(lead.duration_s)
    seconds = np.arange(n) + 0.5
    delay_s = window_s / 2 + (SMOOTH - 1) / 2 * HOP_S
    place = np.round((seconds + delay_s - window_s) / HOP_S).astype(np.int64)
    known = (place >= 0) & (place < len(odds))
    probability = np.full(n, np.nan)
    probability[known] = 1 / (1 + np.exp(-odds[place[known]]))
    middle = np.minimum((seconds * FS_HZ).astype(np.int64), len(lead.rhythm) - 1)
    rhythm = lead.rhythm[middle]
    scored = known & (rhythm > 0) & (seconds >= LEARNING_S)
    return Answers(lead.name, probability, rhythm == bit("af"), scored)


def episodes(where: BoolArray) -> IntArray:
    """Beginnings and ends of the runs of true, (n_episodes, 2); ends are exclusive."""
    edges = np.diff(np.concatenate([[0], where.astype(np.int8), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], axis=1)


def _touched(runs: IntArray, where: BoolArray) -> int:
    """How many runs overlap with ``where``."""
    total = np.concatenate([[0], np.cumsum(where)])
    return int((total[runs[:, 1]] > total[runs[:, 0]]).sum())


def count(answers: Answers, level: float) -> IntArray:
    """Counts of one record.

    Returns
    -------
    ndarray of int64, shape (7,)
        Reference episodes, those found; found episodes, those right; seconds of reference, of both, of found.
    """
    reference = answers.reference & answers.scored
    found = (np.nan_to_num(answers.probability) >= level) & answers.scored
    true_runs, found_runs = episodes(reference), episodes(found)
    return np.array(
        [
            len(true_runs),
            _touched(true_runs, found),
            len(found_runs),
            _touched(found_runs, reference),
            reference.sum(),
            (reference & found).sum(),
            found.sum(),
        ],
        dtype=np.int64,
    )


def figures(counts: IntArray) -> tuple[float, float, float, float]:
    """Episode sensitivity and +P, duration sensitivity and +P; NaN where nothing is counted."""
    pairs = ((1, 0), (3, 2), (5, 4), (5, 6))
    shares = [counts[a] / counts[b] if counts[b] else float("nan") for a, b in pairs]
    return float(shares[0]), float(shares[1]), float(shares[2]), float(shares[3])


def choose_level(answers: Sequence[Answers]) -> float:
    """Level of the best sum of duration sensitivity and +P (of equals the middle); 0.5 without episodes."""
    counts = [np.sum([count(one, level) for one in answers], axis=0) for level in LEVELS]
    if not answers or counts[0][4] == 0:
        return 0.5
    scores = np.array([np.nansum(figures(np.asarray(part))[2:]) for part in counts])
    best = np.flatnonzero(scores >= scores.max() - 1e-3)
    return LEVELS[int(best[len(best) // 2])]


def _percent(value: float) -> str:
    return "–" if not np.isfinite(value) else f"{100 * value:.1f}"


def episode_table(answers: Sequence[Answers], level: float, window_s: float) -> Table:
    """Record by record, and all together."""
    counts = {one.name: count(one, level) for one in answers}
    rows: list[tuple[Cell, ...]] = [
        (name, int(c[0]), int(c[2]), int(c[4]), int(c[6]), *map(_percent, figures(c)))
        for name, c in sorted(counts.items())
    ]
    total = np.asarray(np.sum(list(counts.values()), axis=0))
    rows.append(
        (
            "gross",
            int(total[0]),
            int(total[2]),
            int(total[4]),
            int(total[6]),
            *map(_percent, figures(total)),
        )
    )
    return Table(
        "Atrial fibrillation and flutter, EC57",
        ("record", "episodes", "found", "AF s", "found s", *HEAD),
        tuple(rows),
        f"windows of {window_s:g} s at 1 s hops, first lead, first 5 min excluded; percent",
    )


def episode_metrics(answers: Sequence[Answers], level: float) -> dict[str, Interval]:
    """Gross figures, intervals by bootstrap over records."""
    counts = [count(one, level) for one in answers]
    total = np.asarray(np.sum(counts, axis=0))
    names = ("af_episode_se", "af_episode_ppv", "af_duration_se", "af_duration_ppv")
    behind = (int(total[0]), int(total[2]), int(total[4]), int(total[6]))
    metrics = {}
    for i, (name, n) in enumerate(zip(names, behind, strict=True)):

        def figure(table: IntArray, i: int = i) -> float:
            return figures(table)[i]

        if n:
            metrics[f"mitdb_{name}"] = bootstrap(counts, figure, n)
    return metrics
