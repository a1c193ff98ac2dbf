"""Scores of a model on recordings: they choose checkpoint and thresholds, and fill the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.cnn_lstm import CnnLstm
from training.monitor_windows import allowed_rhythms
from training.scoring import balanced_accuracy, beat_scores, beat_table, rhythm_table
from training.sources import FloatArray, IntArray, Recording
from training.streaming import FS_HZ, HOP_S, WINDOW_S, Stream, final_beats, run_lead

LEARNING_S = 300.0
"""EC57: the first five minutes are not scored."""

RHYTHM_S = 4.0


@dataclass(frozen=True, slots=True)
class Scored:
    """A recording's lead with what the model says of it."""

    recording: Recording
    lead: int
    stream: Stream


def run_recordings(
    model: CnnLstm, recordings: Sequence[Recording], *, all_leads: bool = False
) -> list[Scored]:
    """Run the first lead of each recording (or all of them)."""
    return [
        Scored(recording, lead, run_lead(model, recording.signal[lead]))
        for recording in recordings
        for lead in range(len(recording.leads) if all_leads else 1)
        if recording.signal.shape[1] >= WINDOW_S * FS_HZ
    ]


def score_beats(
    scored: Scored, step_s: float, threshold: float, gains: tuple[float, ...] | None = None
) -> IntArray:
    """Beat table of one recording by EC57: 150 ms, first five minutes and flutter left out."""
    recording = scored.recording
    found = final_beats(scored.stream, step_s, threshold, gains)
    last_s = (len(scored.stream.windows) - 1) * HOP_S + WINDOW_S - 1.0
    reference_s = recording.beats / FS_HZ

    def counts(time_s: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        index = np.clip((time_s * FS_HZ).astype(np.int64), 0, len(recording.beats_known) - 1)
        return (time_s >= LEARNING_S) & (time_s < last_s) & recording.beats_known[index]

    in_reference, in_found = counts(reference_s), counts(found.time_s)
    return beat_table(
        reference_s[in_reference],
        recording.beat_classes[in_reference],
        found.time_s[in_found],
        found.label[in_found],
    )


def window_rhythms(scored: Scored) -> tuple[IntArray, FloatArray]:
    """Windows whose last 4 s are of one known rhythm: class (n,) and the model's probabilities (n, 6)."""
    n = len(scored.stream.windows)
    end = np.arange(n, dtype=np.int64) * round(HOP_S * FS_HZ) + round(WINDOW_S * FS_HZ)
    tail = round(RHYTHM_S * FS_HZ)
    rhythm = scored.recording.rhythm
    masks = allowed_rhythms(rhythm, end - tail, end)
    single = (masks > 0) & (masks & (masks - 1) == 0)
    pure = single & (rhythm[end - tail] == rhythm[end - 1])
    labels = np.log2(np.maximum(masks[pure], 1)).astype(np.int64)
    return labels, scored.stream.rhythms[pure]


def validate(model: CnnLstm, recordings: Sequence[Recording], step_s: float) -> dict[str, float]:
    """Figures that choose the best checkpoint: beats where they are annotated, balanced accuracy of rhythm.

    Few patients have supraventricular beats, so their figure is noisy and counts half in the score.
    """
    scored = run_recordings(model, recordings)
    beats = sum(score_beats(one, step_s, 0.5) for one in scored if len(one.recording.beats))
    scores = beat_scores(np.asarray(beats))
    parts = [window_rhythms(one) for one in scored]
    labels, found = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]).argmax(1)
    table = rhythm_table(labels, found)
    harmonic = 2 * scores.qrs_se * scores.qrs_ppv / max(scores.qrs_se + scores.qrs_ppv, 1e-9)
    figures = {
        "qrs_f1": float(np.nan_to_num(harmonic)),
        "veb_f1": float(np.nan_to_num(scores.veb_f1)),
        "sveb_f1": float(np.nan_to_num(scores.sveb_f1)),
        "rhythm": balanced_accuracy(table),
    }
    beats_count = figures["veb_f1"] + 0.5 * figures["sveb_f1"] + 10 * (figures["qrs_f1"] - 0.9)
    return figures | {"score": beats_count + 2 * figures["rhythm"]}
