"""Figures of a model on held-out patients, as tables and as the metrics of its card."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.cnn_lstm import CnnLstm
from models.spec import RHYTHM_CLASSES, STEP_CLASSES, Interval
from models.streaming import FS_HZ, WINDOW_S
from training.monitor_thresholds import GAIN
from training.monitor_validate import RHYTHM_S, Scored, known_windows, run_recordings, score_beats
from training.scoring import (
    balanced_accuracy,
    beat_scores,
    bootstrap,
    learning_s,
    rhythm_scores,
    rhythm_table,
    shockable,
)
from training.sources import ALARM_S, FloatArray, IntArray, Recording, WideFloatArray, bit

HARD_RECORD: Final = "232"
"""Holds nine tenths of the supraventricular beats of the test side here: figures are given without it too."""

BEAT_FIGURES: Final = ("qrs_se", "qrs_ppv", "veb_se", "veb_ppv", "veb_f1", "sveb_se", "sveb_ppv", "sveb_f1")
RHYTHM_FIGURES: Final = ("sensitivity", "specificity", "precision", "f1")
BEFORE_ALARM_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Alarms:
    """CinC 2015 alarms of one kind: how many true and false ones the model upholds."""

    true_upheld: int
    true_total: int
    false_upheld: int
    false_total: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that an evaluation found.

    Attributes
    ----------
    beats : dict of str to ndarray, shape (6, 5)
        Beat table of each record (rows none, N, S, V, F, no class).
    rhythms : dict of str to ndarray, shape (6, 6)
        Rhythm table of each record.
    windows : dict of str to (ndarray of int64 (n,), ndarray of float32 (n, 6), ndarray of float64 (n,))
        Class, probabilities and the middle of the judged span in seconds, of each window of known rhythm.
    alarms : dict of str to Alarms
        By kind.
    metrics : dict of str to Interval
        Gross figures with 95 % intervals.
    n_short : int
        Records in ``beats`` of less than six minutes, which have no learning period.
    """

    beats: dict[str, IntArray]
    rhythms: dict[str, IntArray]
    windows: dict[str, tuple[IntArray, FloatArray, WideFloatArray]]
    alarms: dict[str, Alarms]
    metrics: dict[str, Interval]
    n_short: int = 0


def _beat_metrics(tables: dict[str, IntArray], prefix: str) -> dict[str, Interval]:
    """Each figure over all records, with its interval."""

    def figure(name: str) -> Callable[[IntArray], float]:
        return lambda table: float(getattr(beat_scores(table), name))

    total = np.asarray(sum(tables.values()))
    counts = {"qrs": int(total[1:].sum()), "sveb": int(total[2].sum()), "veb": int(total[3].sum())}
    return {
        f"{prefix}{name}": bootstrap(list(tables.values()), figure(name), counts[name.split("_")[0]])
        for name in BEAT_FIGURES
    }


def _rhythm_metrics(tables: dict[str, IntArray], prefix: str) -> dict[str, Interval]:
    """Each class against the rest, and the balanced accuracy, with intervals."""

    def figure(index: int, name: str) -> Callable[[IntArray], float]:
        return lambda table: float(getattr(rhythm_scores(table, index), name))

    stack = list(tables.values())
    total = np.asarray(sum(stack))
    metrics = {f"{prefix}balanced_accuracy": bootstrap(stack, balanced_accuracy, int(total.sum()))}
    if total[:2].sum():
        n, rest = int(total[:2].sum()), int(total[2:].sum())
        metrics |= {
            f"{prefix}shockable_sensitivity": bootstrap(stack, lambda t: shockable(t, with_noise=True)[0], n),
            f"{prefix}shockable_specificity": bootstrap(
                stack, lambda t: shockable(t, with_noise=True)[1], rest
            ),
            f"{prefix}shockable_specificity_without_noise": bootstrap(
                stack, lambda t: shockable(t, with_noise=False)[1], rest - int(total[4].sum())
            ),
        }
    for index, label in enumerate(RHYTHM_CLASSES):
        if total[index].sum():
            for name in RHYTHM_FIGURES:
                metrics[f"{prefix}{label}_{name}"] = bootstrap(
                    stack, figure(index, name), int(total[index].sum())
                )
    return metrics


def _alarm_of(scored: Sequence[Scored], name: str, threshold: float) -> tuple[bool, bool] | None:
    """Whether an alarm of this rhythm is true, and whether the model upholds it; None for other records."""
    rhythm = scored[0].recording.rhythm
    last = rhythm[min(len(rhythm), round(ALARM_S * FS_HZ)) - 1]
    everything = (1 << len(RHYTHM_CLASSES)) - 1
    if last not in (bit(name), everything & ~bit(name)):
        return None
    index = RHYTHM_CLASSES.index(name)
    upheld = False
    for one in scored:
        ends = one.stream.starts_s + WINDOW_S
        near = (ends > ALARM_S - BEFORE_ALARM_S) & (ends <= ALARM_S)
        upheld = upheld or bool((one.stream.rhythms[near, index] >= threshold).any())
    return bool(last == bit(name)), upheld


def score_alarms(records: Sequence[Sequence[Scored]], thresholds: Mapping[str, float]) -> dict[str, Alarms]:
    """Which alarms of CinC 2015 the rhythm head upholds, on any ECG lead, in the 10 s before them."""
    found: dict[str, Alarms] = {}
    for name in ("vf", "vt", "asystole"):
        verdicts = [v for one in records if (v := _alarm_of(one, name, thresholds[name])) is not None]
        found[name] = Alarms(
            sum(real and upheld for real, upheld in verdicts),
            sum(real for real, _ in verdicts),
            sum(upheld and not real for real, upheld in verdicts),
            sum(not real for real, _ in verdicts),
        )
    return found


def evaluate(
    model: CnnLstm, step_s: float, thresholds: Mapping[str, float], recordings: Sequence[Recording]
) -> Report:
    """Score a model on recordings: beats and rhythm windows on the first lead, alarms on all ECG leads.

    Parameters
    ----------
    model : CnnLstm
        In evaluation mode.
    step_s : float
        Seconds a step.
    thresholds : mapping of str to float
        As :func:`training.monitor_thresholds.choose_thresholds` gives them.
    recordings : sequence of Recording
        Of one side of the split.
    """
    gains = tuple(thresholds.get(GAIN + name, 1.0) for name in STEP_CLASSES[1:])
    alarmed = [r for r in recordings if r.source == "cinc2015"]
    scored = run_recordings(model, [r for r in recordings if r.source != "cinc2015"])
    beats = {
        one.recording.record: score_beats(one, step_s, thresholds["beat"], gains)
        for one in scored
        if len(one.recording.beats)
    }
    rhythms: dict[str, IntArray] = {}
    windows: dict[str, tuple[IntArray, FloatArray, WideFloatArray]] = {}
    for one in scored:
        index, labels = known_windows(one)
        found = one.stream.rhythms[index]
        if len(labels):
            middle_s = one.stream.starts_s[index] + WINDOW_S - RHYTHM_S / 2
            windows[one.recording.name] = (labels, found, middle_s)
            rhythms[one.recording.name] = rhythm_table(labels, found.argmax(1))
    leads = [run_recordings(model, [r], all_leads=True) for r in alarmed]
    metrics: dict[str, Interval] = {}
    if beats:
        metrics |= _beat_metrics(beats, "")
        if HARD_RECORD in beats and len(beats) > 1:
            metrics |= _beat_metrics({k: v for k, v in beats.items() if k != HARD_RECORD}, "without_232_")
    monitored = {k: v for k, v in rhythms.items() if not k.startswith("cinc2017")}
    handheld = {k: v for k, v in rhythms.items() if k.startswith("cinc2017")}
    if monitored:
        metrics |= _rhythm_metrics(monitored, "rhythm_")
    if handheld:
        metrics |= _rhythm_metrics(handheld, "cinc2017_")
    n_short = sum(
        learning_s(len(one.recording.rhythm) / FS_HZ) == 0 for one in scored if len(one.recording.beats)
    )
    alarms = score_alarms([x for x in leads if x], thresholds)
    return Report(beats, rhythms, windows, alarms, metrics, n_short)
