"""The beats task's figures: at the annotated beats, and end to end with beats that the monitor finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.beat_rows import FS_HZ, set_next, shown
from models.beats import BeatFeatures
from models.cnn_lstm import CnnLstm
from models.spec import STEP_CLASSES
from models.streaming import HOP_S, WINDOW_S
from training.beats_records import Lead, rows_of
from training.evaluation import Evaluation, Predictions, Table
from training.scoring import UNKNOWN, BeatScores, beat_scores, bootstrap, learning_s, match_beats
from training.sources import FloatArray, IntArray, Recording, WideFloatArray

AT_MARKS: Final = "beats at the annotations"
END_TO_END: Final = "beats end to end"
HARD_RECORD: Final = "mitdb/232"
"""Holds nine tenths of the supraventricular beats of the test side here: figures are given without it too."""

FIGURES: Final = ("qrs_se", "qrs_ppv", "veb_se", "veb_ppv", "veb_f1", "sveb_se", "sveb_ppv", "sveb_f1")
COUNTS: Final = ("N", "S", "V", "F", "false V", "false S")
V, S, F = (STEP_CLASSES.index(name) for name in "VSF")
Counts = dict[str, IntArray]
"""Beat table (6, 5) of each record, as :func:`training.scoring.beat_table` lays it out."""


def probabilities(
    model: CnnLstm,
    signal: FloatArray,
    peaks: IntArray,
    beats: int,
    wait_s: float,
    hidden: tuple[str, ...] = (),
    batch: int = 256,
) -> FloatArray:
    """What the network says of each beat at the time when it decides: one beat later, or after the wait.

    A beat is judged in the sequence that ends with the next beat; where none comes for ``wait_s``, in the
    one that ends with the beat itself. Each beat's features are computed once: nothing else is saved.

    Parameters
    ----------
    model : CnnLstm
        With a front end of beats.
    signal : ndarray of float32, shape (n_samples,)
        A conditioned lead, mV.
    peaks : ndarray of int64, shape (n,)
        Its beats.
    beats : int
        Rows that the network sees at once.
    wait_s : float
        So long is the next beat waited for; 0 decides at once, without the next interval.
    hidden : tuple of str
        What the network was trained without: :func:`models.beat_rows.shown`.

    Returns
    -------
    ndarray of float32, shape (n, 5)
        Of none, N, S, V, F.
    """
    n = len(peaks)
    if n == 0:
        return np.zeros((0, len(STEP_CLASSES)), dtype=np.float32)
    with_next = rows_of(signal, peaks)
    newest, waiting = with_next.copy(), with_next.copy()
    set_next(newest, np.full(n, np.nan))
    set_next(waiting, np.full(n, wait_s if wait_s > 0 else np.nan))
    waits = np.diff(peaks, append=peaks[-1:] + round(10 * FS_HZ)) > wait_s * FS_HZ
    model.eval()
    with torch.inference_mode():
        known, last, alone = (_features(model, rows * shown(hidden)) for rows in (with_next, newest, waiting))
        parts = []
        for begin in range(0, n, batch):
            index = np.arange(begin, min(n, begin + batch))
            end = np.where(waits[index], index, index + 1)
            window = torch.from_numpy(end[:, None] + np.arange(1 - beats, 1))
            features = known[window.clamp(min=0)] * (window >= 0)[:, :, None]
            waited = torch.from_numpy(waits[index])[:, None]
            at = torch.from_numpy(end)
            features[:, -1] = torch.where(waited, alone[at], last[at])
            logits = model.head_outputs(features.transpose(1, 2)).step_logits
            place = torch.from_numpy(beats - 1 - (end - index))
            parts.append(logits[torch.arange(len(index)), place].softmax(-1))
    return np.asarray(torch.cat(parts).cpu().numpy(), dtype=np.float32)


def _features(model: CnnLstm, rows: FloatArray) -> Tensor:
    front_end = model.front_end
    assert isinstance(front_end, BeatFeatures)
    device = next(model.parameters()).device
    return torch.cat(
        [front_end.features(part.to(device)) for part in torch.split(torch.from_numpy(rows), 512)]
    )


def beats_loss(
    logits_BTK: Tensor, allowed_BTK: Tensor, weight_T: Tensor, class_weights_K: Tensor, smoothing: float
) -> Tensor:
    """Minus log of the probability of the classes that may hold, weighted by class and place.

    Parameters
    ----------
    logits_BTK, allowed_BTK : Tensor, shape (B, T, K)
        ``allowed`` is 1 for classes that may hold; all 0 where nothing is known, all but one for "not this".
    weight_T : Tensor, shape (T,)
        Of the places in a sequence.
    class_weights_K : Tensor, shape (K,)
        Beats of several possible classes weigh as N.
    smoothing : float
        Label smoothing.
    """
    log_p_BTK = functional.log_softmax(logits_BTK, dim=-1)
    inside_BT = torch.logsumexp(log_p_BTK.masked_fill(allowed_BTK == 0, -1e4), dim=-1)
    entropy_BT = -(1 - smoothing) * inside_BT - smoothing * log_p_BTK.mean(-1)
    n_BT = allowed_BTK.sum(-1)
    of_class_BT = torch.where(n_BT == 1, (allowed_BTK * class_weights_K).sum(-1), class_weights_K[1])
    weight_BT = of_class_BT * (n_BT > 0) * weight_T
    return (entropy_BT * weight_BT).sum() / (weight_BT.sum() + 1.0)


def decide(probability: FloatArray, gains: Sequence[float]) -> IntArray:
    """Step class N, S, V or F of each beat, (n, 5) to (n,)."""
    return np.asarray((probability[:, 1:] * np.asarray(gains)).argmax(1) + 1, dtype=np.int64)


def _predictions(
    title: str,
    record: str,
    time_s: WideFloatArray,
    truth: IntArray,
    probability: FloatArray,
    decided: IntArray,
    outside: int | None = None,
) -> Predictions:
    return Predictions(
        title,
        STEP_CLASSES,
        tuple(f"{record} @ {t:.2f} s" for t in time_s.tolist()),
        (record,) * len(time_s),
        truth,
        probability.astype(np.float64),
        decided,
        np.ones(len(time_s)),
        outside=outside,
    )


def at_marks(lead: Lead, probability: FloatArray, gains: Sequence[float]) -> Predictions:
    """Annotated beats of a whole record. "None" is no answer here; beats of no class are left out."""
    known = lead.allowed > 0
    share = probability[known] * (np.arange(len(STEP_CLASSES)) > 0)
    share = share / np.maximum(share.sum(1, keepdims=True), 1e-9)
    truth = np.log2(lead.allowed[known]).astype(np.int64)
    time_s = lead.peaks[known] / FS_HZ
    return _predictions(AT_MARKS, lead.name, time_s, truth, share, decide(share, gains))


def end_to_end(
    recording: Recording, peaks: IntArray, probability: FloatArray, gains: Sequence[float]
) -> Predictions:
    """Beats found against beats annotated: EC57's 150 ms, first five minutes and flutter left out.

    A found beat that the network calls none is dropped. A missed beat is decided "none"; a false one's truth
    is "none". Beats of no class and what was found for them are left out.
    """
    n_windows = (recording.signal.shape[1] - round(WINDOW_S * FS_HZ)) // round(HOP_S * FS_HZ)
    last_s = n_windows * HOP_S + WINDOW_S - 1.0
    begin_s = learning_s(recording.signal.shape[1] / FS_HZ)

    def counts(time_s: WideFloatArray) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        index = np.clip((time_s * FS_HZ).astype(np.int64), 0, len(recording.beats_known) - 1)
        inside = (time_s >= begin_s) & (time_s < last_s)
        return np.asarray(inside & recording.beats_known[index], dtype=np.bool_)

    reference_s, found_s = recording.beats / FS_HZ, peaks / FS_HZ
    in_reference = counts(reference_s)
    in_found = counts(found_s) & (probability[:, 0] <= 0.5)
    reference_s, truth = reference_s[in_reference], recording.beat_classes[in_reference]
    found_s, share = found_s[in_found], probability[in_found]
    of_reference, of_found = match_beats(reference_s, found_s)
    decided = decide(share, gains)
    matched, missed = np.flatnonzero(of_reference >= 0), np.flatnonzero(of_reference < 0)
    false = np.flatnonzero(of_found < 0)
    nothing = np.eye(1, len(STEP_CLASSES), dtype=np.float32)
    time_s = np.concatenate([reference_s[matched], reference_s[missed], found_s[false]])
    truths = np.concatenate([truth[matched], truth[missed], np.zeros(len(false), dtype=np.int64)])
    answers = np.concatenate([decided[of_reference[matched]], np.zeros_like(missed), decided[false]])
    shares = np.concatenate(
        [share[of_reference[matched]], np.repeat(nothing, len(missed), axis=0), share[false]]
    )
    order = np.argsort(time_s, kind="stable")
    order = order[truths[order] >= 0]
    return _predictions(
        END_TO_END,
        recording.name,
        time_s[order],
        truths[order],
        shares[order],
        answers[order],
        STEP_CLASSES.index("none"),
    )


def tables_of(predictions: Predictions) -> Counts:
    """Beat table of each record."""
    tables = {
        name: np.zeros((UNKNOWN + 1, len(STEP_CLASSES)), dtype=np.int64) for name in predictions.patient
    }
    patient = np.array(predictions.patient)
    for name, table in tables.items():
        mine = patient == name
        np.add.at(table, (predictions.truth[mine], predictions.decided[mine]), 1)
    return tables


def _row(name: str, table: IntArray) -> tuple[str | float | int, ...]:
    scores = beat_scores(table)
    counts = [int(table[STEP_CLASSES.index(kind)].sum()) for kind in "NSVF"]
    false_v = int(table[:F, V].sum() - table[V, V])
    false_s = int(table[:UNKNOWN, S].sum() - table[S, S])
    return (name, *counts, false_v, false_s, *(round(100 * getattr(scores, f), 2) for f in FIGURES))


def _total(tables: Counts) -> IntArray:
    none = np.zeros((UNKNOWN + 1, len(STEP_CLASSES)), dtype=np.int64)
    return np.asarray(sum(tables.values(), none))


def _table(title: str, tables: Counts) -> Table:
    rows = [_row(name, table) for name, table in tables.items()]
    rows.append(_row("all", _total(tables)))
    if HARD_RECORD in tables and len(tables) > 1:
        rest = [table for name, table in tables.items() if name != HARD_RECORD]
        rows.append(_row("without 232", np.asarray(sum(rest))))
    head = ("record", *COUNTS, *(f"{name.replace('_', ' ')} %" for name in FIGURES))
    return Table(
        title, head, tuple(rows), "VEB and SVEB as EC57 counts them: fusion called V is no false VEB."
    )


def _figure(name: str) -> Callable[[IntArray], float]:
    return lambda table: float(getattr(beat_scores(table), name))


def _metrics(tables: Counts, prefix: str) -> dict[str, tuple[list[IntArray], str]]:
    """Which tables each metric is of."""
    found = {f"{prefix}{name}": (list(tables.values()), name) for name in FIGURES}
    if HARD_RECORD in tables and len(tables) > 1:
        rest = [table for record, table in tables.items() if record != HARD_RECORD]
        found |= {f"without_232_{prefix}{name}": (rest, name) for name in FIGURES}
    return found


def macro_f1(tables: Mapping[str, IntArray], name: str, fewest: int = 12) -> float:
    """Mean over patients with at least ``fewest`` beats of the class (``veb`` or ``sveb``) of their F1."""
    label = {"veb": V, "sveb": S}[name]
    values = [
        getattr(beat_scores(table), f"{name}_f1") for table in tables.values() if table[label].sum() >= fewest
    ]
    return float(np.mean(values)) if values else float("nan")


def scores_of(tables: Counts) -> BeatScores:
    """Figures of all records together."""
    return beat_scores(_total(tables))


def to_evaluation(parts: Sequence[Predictions]) -> Evaluation:
    """Tables and metrics with intervals from the two kinds of predictions."""
    tables, metrics = [], {}
    for predictions, prefix in zip(parts, ("", "end_to_end_"), strict=True):
        counts = tables_of(predictions)
        tables.append(_table(predictions.title, counts))
        for key, (stack, name) in _metrics(counts, prefix).items():
            if not prefix and name.startswith("qrs"):
                continue
            total = np.asarray(sum(stack))
            n = {"qrs": int(total[1:].sum()), "veb": int(total[V].sum()), "sveb": int(total[S].sum())}
            metrics[key] = bootstrap(stack, _figure(name), n[name.split("_")[0]])
    return Evaluation(predictions=tuple(parts), tables=tuple(tables), metrics=metrics)
