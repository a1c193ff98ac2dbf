"""A recording annotated by a model: its beats and changes of rhythm as WFDB annotations at its own rate.

Beats are found as they are in a stream, with the first and the last seconds of the recording taken too. The
rhythm of a second is what the windows whose judged span holds it say on average: here the future is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import wfdb

from models import store
from models.cnn_lstm import CnnLstm
from models.decode import OVERLAP_S, accept, decode_beats, refine_peaks
from models.spec import RHYTHM_CLASSES, STEP_CLASSES, Conv1dFrontEnd, ModelSpec
from models.streaming import run_windows
from training.annotate_lead import Lead
from training.errors import CannotAnnotate
from training.streaming import FinalBeats

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ANNOTATOR: Final = "ww"
MARKS: Final = {
    "vf": "(VFIB",
    "vt": "(VT",
    "asystole": "(ASYS",
    "af": "(AFIB",
    "noise": "(NOISE",
    "other": "(N",
}
"""Rhythm marks. ``(N`` stands for every rhythm that the model has no name for."""

SHORTEST_S: Final = {"vf": 3, "vt": 3, "asystole": 4, "af": 10, "noise": 3, "other": 3}
"""Shorter stretches take the rhythm before them."""

OTHER: Final = RHYTHM_CLASSES.index("other")
VF: Final = RHYTHM_CLASSES.index("vf")

BeatClassifier = Callable[[FloatArray, IntArray], IntArray]
"""From a conditioned lead and the samples of its peaks to the step classes: a second network's say."""


@dataclass(frozen=True, slots=True)
class Annotations:
    """What is written: samples of the recording (ascending), symbols and rhythm marks, all of one length."""

    sample: IntArray
    symbol: tuple[str, ...]
    aux_note: tuple[str, ...]
    fs_hz: float


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of a whole lead with what the model says of them; the last one ends with the lead.

    Attributes
    ----------
    start : ndarray of int64, shape (n_windows,)
        First samples.
    windows : ndarray of float32, shape (n_windows, n_times)
    steps, rhythms : ndarray of float32, shapes (n_windows, n_steps, 5), (n_windows, 6)
        Probabilities.
    """

    start: IntArray
    windows: FloatArray
    steps: FloatArray
    rhythms: FloatArray


def run_whole(model: CnnLstm, spec: ModelSpec, signal: FloatArray) -> Windows:
    """Run the model over a lead from end to end."""
    length, hop = spec.window_samples, round(spec.hop_s * spec.fs_hz)
    last = len(signal) - length
    start = np.unique(np.append(np.arange(0, last + 1, hop, dtype=np.int64), last))
    windows = np.lib.stride_tricks.sliding_window_view(signal, length)[start]
    steps, rhythms = run_windows(model, windows)
    return Windows(start, windows, steps, rhythms)


def find_beats(found: Windows, spec: ModelSpec) -> FinalBeats:
    """Beats of a whole lead, in seconds of the conditioned signal."""
    said = decode_beats(
        found.steps, spec.step_s, threshold=spec.thresholds["beat"], class_gains=spec.beat_gains
    )
    start_s = found.start / spec.fs_hz
    until_s = spec.window_s - spec.right_context_s
    # Each window hands out what became final since the one before; the first and the last their ends too.
    begin = np.append(-np.inf, start_s[:-1] + until_s - OVERLAP_S)
    end = np.append(start_s[:-1] + until_s, np.inf)
    at_s = said.position_s + start_s[said.window]
    own = np.flatnonzero((at_s >= begin[said.window]) & (at_s < end[said.window]))
    window = said.window[own]
    placed = refine_peaks(found.windows, spec.fs_hz, window, said.position_s[own]) + start_s[window]
    order = np.argsort(placed, kind="stable")
    keep = order[accept(placed[order], said.probability[own][order])]
    return FinalBeats(placed[keep], said.label[own][keep], said.probability[own][keep])


def _runs(labels: IntArray) -> list[tuple[int, int, int]]:
    """Stretches of one label: begin, end, label."""
    edges = np.flatnonzero(np.diff(labels)) + 1
    bounds = [0, *edges.tolist(), len(labels)]
    return [(a, b, int(labels[a])) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]


def second_rhythms(found: Windows, spec: ModelSpec, seconds: int) -> IntArray:
    """Rhythm of each second of a lead, index into ``RHYTHM_CLASSES``, shape (seconds,).

    A rhythm with a threshold holds where its mean probability reaches it; of several the one furthest above
    its own; else it is ``other``.
    """
    end_s = np.floor((found.start + spec.window_samples) / spec.fs_hz).astype(np.int64)
    total, count = np.zeros((seconds, len(RHYTHM_CLASSES))), np.zeros(seconds)
    for back in range(1, round(spec.window_label_s) + 1):
        np.add.at(total, (end_s - back).clip(0, seconds - 1), found.rhythms)
        np.add.at(count, (end_s - back).clip(0, seconds - 1), 1)
    known = np.flatnonzero(count)
    nearest = known[np.searchsorted(known, np.arange(seconds)).clip(0, len(known) - 1)]
    mean = total[nearest] / count[nearest, None]
    least = np.array([spec.thresholds.get(name, np.inf) for name in RHYTHM_CLASSES])
    above = mean / least
    labels = np.where(above.max(1) >= 1, above.argmax(1), OTHER).astype(np.int64)
    for begin, end, label in _runs(labels):
        if begin and end - begin < SHORTEST_S[RHYTHM_CLASSES[label]]:
            labels[begin:end] = labels[begin - 1]
    return labels


def rhythm_marks(labels: IntArray) -> list[tuple[float, str, str]]:
    """Seconds, symbol and note of each change; fibrillation stands between ``[`` and ``]``."""
    marks: list[tuple[float, str, str]] = []
    for begin, end, label in _runs(labels):
        marks.append((float(begin), "+", MARKS[RHYTHM_CLASSES[label]]))
        if label == VF:
            marks += [(float(begin), "[", ""), (float(end), "]", "")]
    return marks


def annotate(
    model: CnnLstm, spec: ModelSpec, lead: Lead, classify: BeatClassifier | None = None
) -> Annotations:
    """Beats and rhythm changes of a lead, placed in the recording: the conditioning's delay is taken off.

    Parameters
    ----------
    classify : callable or None
        A second network's say on the beats' classes.

    Raises
    ------
    CannotAnnotate
        The model is not one that finds beats and rhythms in windows.
    """
    waveform = isinstance(spec.architecture.front_end, Conv1dFrontEnd)
    if not waveform or (spec.step_classes, spec.window_classes) != (STEP_CLASSES, RHYTHM_CLASSES):
        raise CannotAnnotate(
            f"{spec.name} (task {spec.task}) does not find beats and rhythms; give a monitor"
        )
    found = run_whole(model, spec, lead.signal)
    beats = find_beats(found, spec)
    beat_s, label = beats.time_s, beats.label
    if classify is not None and len(beat_s):
        label = classify(lead.signal, np.rint(beat_s * spec.fs_hz).astype(np.int64))
    rhythm = second_rhythms(found, spec, max(1, round(len(lead.signal) / spec.fs_hz)))
    second = beat_s.astype(np.int64).clip(0, len(rhythm) - 1)
    there = rhythm[second] != VF
    marks = rhythm_marks(rhythm)
    marks += [
        (t, STEP_CLASSES[k], "") for t, k in zip(beat_s[there].tolist(), label[there].tolist(), strict=True)
    ]
    places = np.array([t for t, _, _ in marks]) - lead.delay_s
    sample = np.rint(places * lead.fs_hz).astype(np.int64).clip(0, lead.n_samples - 1)
    order = np.argsort(sample, kind="stable")
    return Annotations(
        sample[order],
        tuple(marks[i][1] for i in order),
        tuple(marks[i][2] for i in order),
        lead.fs_hz,
    )


def write(found: Annotations, record: str, folder: Path, annotator: str = ANNOTATOR) -> Path:
    """Write ``FOLDER/RECORD.ANNOTATOR``.

    Raises
    ------
    CannotAnnotate
        The annotator's name is no letters, is of another's annotation that is there, or the folder cannot
        be written to.
    """
    path = folder / f"{record}.{annotator}"
    if not re.fullmatch(r"[A-Za-z]+", annotator):
        raise CannotAnnotate(f"annotator {annotator!r}: letters only, as {ANNOTATOR}")
    if annotator != ANNOTATOR and path.exists():
        raise CannotAnnotate(f"{path} is there already; choose another --annotator or --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wfdb.wrann(
            record,
            annotator,
            found.sample,
            symbol=list(found.symbol),
            aux_note=list(found.aux_note),
            fs=found.fs_hz,
            write_dir=str(folder),
        )
    except (OSError, ValueError) as error:
        raise CannotAnnotate(f"{path}: cannot be written: {error}") from error
    return path


def beat_classifier(name: str) -> BeatClassifier:
    """The second network: classes of beats from the beats around them (task ``beats``).

    Raises
    ------
    CannotAnnotate
        The model is for another task.
    """
    from inference.beat_classes import WAIT_S
    from training.beats_scores import probabilities

    model, spec = store.load(name)
    if spec.task != "beats" or spec.step_classes != STEP_CLASSES:
        raise CannotAnnotate(f"--beats-model {name}: its task is {spec.task}, not beats")
    gains = np.array(spec.beat_gains)

    def classify(signal: FloatArray, peaks: IntArray) -> IntArray:
        found = probabilities(model, signal, peaks, round(spec.window_s), WAIT_S)
        return np.asarray((found[:, 1:] * gains).argmax(1) + 1, dtype=np.int64)

    return classify
