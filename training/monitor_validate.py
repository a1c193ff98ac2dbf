"""Scores of a model on recordings: they choose checkpoint and thresholds, and fill the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from models.cnn_lstm import CnnLstm
from models.spec import STEP_CLASSES
from models.streaming import FS_HZ, WINDOW_S, Stream, run_lead
from training.monitor_noise import stressed
from training.monitor_windows import allowed_rhythms
from training.scoring import balanced_accuracy, beat_scores, beat_table, learning_s, rhythm_table
from training.sources import FloatArray, IntArray, Recording
from training.streaming import FIRST_FINAL_S, final_beats

RHYTHM_S = 4.0

STRESS: Final = (("bw", 0), ("ma", 6), ("ma", 0), ("ma", -6))
"""Noise, and signal-to-noise ratio in dB, in which detection is validated."""


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
    """Beat table of one recording by EC57: 150 ms; first five minutes and flutter left out.

    Of a record of less than six minutes only what no window makes final is left out at its begin.
    """
    recording = scored.recording
    found = final_beats(scored.stream, step_s, threshold, gains)
    last_s = float(scored.stream.starts_s[-1]) + WINDOW_S - 1.0
    reference_s = recording.beats / FS_HZ
    begin_s = max(learning_s(len(recording.rhythm) / FS_HZ), FIRST_FINAL_S)

    def counts(time_s: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        index = np.clip((time_s * FS_HZ).astype(np.int64), 0, len(recording.beats_known) - 1)
        scored_s: npt.NDArray[np.bool_] = (time_s >= begin_s) & (time_s < last_s)
        return scored_s & recording.beats_known[index]

    in_reference, in_found = counts(reference_s), counts(found.time_s)
    return beat_table(
        reference_s[in_reference],
        recording.beat_classes[in_reference],
        found.time_s[in_found],
        found.label[in_found],
    )


def total_beats(
    scored: Sequence[Scored], step_s: float, threshold: float, gains: tuple[float, ...] | None = None
) -> IntArray:
    """Sum of the beat tables of recordings; zeros where there are none."""
    none = np.zeros((len(STEP_CLASSES) + 1, len(STEP_CLASSES)), dtype=np.int64)
    return np.asarray(sum((score_beats(one, step_s, threshold, gains) for one in scored), none))


def known_windows(scored: Scored) -> tuple[IntArray, IntArray]:
    """Windows whose last 4 s are of one known rhythm: their indices (n,) and classes (n,)."""
    end = scored.stream.starts + round(WINDOW_S * FS_HZ)
    tail = round(RHYTHM_S * FS_HZ)
    rhythm = scored.recording.rhythm
    masks = allowed_rhythms(rhythm, end - tail, end)
    single = (masks > 0) & (masks & (masks - 1) == 0)
    pure = single & (rhythm[end - tail] == rhythm[end - 1])
    labels = np.log2(np.maximum(masks[pure], 1)).astype(np.int64)
    return np.flatnonzero(pure), labels


def window_rhythms(scored: Scored) -> tuple[IntArray, FloatArray]:
    """Windows whose last 4 s are of one known rhythm: class (n,) and the model's probabilities (n, 6)."""
    index, labels = known_windows(scored)
    return labels, scored.stream.rhythms[index]


def run_stressed(
    model: CnnLstm, recordings: Sequence[Recording], noise: FloatArray
) -> dict[str, list[Scored]]:
    """Run the recordings with annotated beats in noise of each kind and level of :data:`STRESS`."""
    beaten = [recording for recording in recordings if len(recording.beats)]
    # load_noise puts baseline wander first, muscle noise last, as long as each other.
    of_kind = dict(zip(("bw", "ma"), np.split(noise, [len(noise) // 2]), strict=True))
    return {
        f"{kind}{snr_db:+d}": run_recordings(model, [stressed(one, of_kind[kind], snr_db) for one in beaten])
        for kind, snr_db in STRESS
    }


def qrs_f1(scored: Sequence[Scored], step_s: float, threshold: float) -> float:
    """Harmonic mean of sensitivity and positive predictivity of beats; 0 where none are annotated."""
    tables = [score_beats(one, step_s, threshold) for one in scored if len(one.recording.beats)]
    if not tables:
        return 0.0
    scores = beat_scores(np.asarray(sum(tables)))
    return float(
        np.nan_to_num(2 * scores.qrs_se * scores.qrs_ppv / max(scores.qrs_se + scores.qrs_ppv, 1e-9))
    )


def validate(
    model: CnnLstm, recordings: Sequence[Recording], step_s: float, noise: FloatArray | None = None
) -> dict[str, float]:
    """Figures that choose the best checkpoint: beats where they are annotated, balanced accuracy of rhythm.

    Detection, clean and (where ``noise`` is given, see :func:`run_stressed`) in noise, weighs most: the
    classes of beats come from few patients here.
    """
    scored = run_recordings(model, recordings)
    scores = beat_scores(total_beats([one for one in scored if len(one.recording.beats)], step_s, 0.5))
    parts = [window_rhythms(one) for one in scored]
    labels, found = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]).argmax(1)
    stressed_runs = {} if noise is None else run_stressed(model, recordings, noise)
    in_noise = {f"qrs_f1_{name}": qrs_f1(part, step_s, 0.5) for name, part in stressed_runs.items()}
    figures = {
        "qrs_f1": qrs_f1(scored, step_s, 0.5),
        **in_noise,
        "veb_f1": float(np.nan_to_num(scores.veb_f1)),
        "sveb_f1": float(np.nan_to_num(scores.sveb_f1)),
        "rhythm": balanced_accuracy(rhythm_table(labels, found)) if len(labels) else 0.0,
    }
    detection = 50 * figures["qrs_f1"] + 10 * float(np.mean(list(in_noise.values()) or [0.0]))
    return figures | {"score": detection + 0.5 * figures["veb_f1"] + 2 * figures["rhythm"]}
