"""Leads with the beats on them: annotated ones of mitdb, found ones of CinC 2017, for the beats task.

A beat's place is the largest deflection near its mark, found by the code that serves, so that R-R intervals
and segments are those of a running monitor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models import decode, store
from models import streaming as runs
from models.beat_rows import FS_HZ, correlation, rows, segments_at
from models.decode import refine_peaks
from models.spec import STEP_CLASSES
from models.streaming import WINDOW_S, run_lead
from training import streaming
from training.sources import (
    BEAT_CLASS,
    BEAT_CLASS_UNKNOWN,
    FloatArray,
    IntArray,
    Recording,
    WideFloatArray,
    read_annotation,
    read_table,
)
from training.streaming import final_beats

ALLOWED_N: Final = np.uint8(1 << STEP_CLASSES.index("N"))
NONE: Final = np.uint8(1 << STEP_CLASSES.index("none"))
NOT_S: Final = np.uint8((1 << len(STEP_CLASSES)) - 1 - (1 << STEP_CLASSES.index("S")))
"""Beats in atrial fibrillation are of any class but S: a premature beat has no meaning there."""

S_OR_V: Final = np.uint8((1 << STEP_CLASSES.index("S")) | (1 << STEP_CLASSES.index("V")))
LIKE_USUAL: Final = 0.8
FEWEST: Final = 8
"""Recordings with fewer found beats are left out."""


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead and its beats.

    Attributes
    ----------
    name : str
        ``source/record``.
    signal : ndarray of float32, shape (n_samples,)
        Conditioned, mV.
    peaks : ndarray of int64, shape (n_beats,)
        Samples, ascending.
    allowed : ndarray of uint8, shape (n_beats,)
        Bit mask of the step classes that may hold; 0 where nothing is known.
    sinus : bool
        False where a recording is in atrial fibrillation throughout.
    """

    name: str
    signal: FloatArray
    peaks: IntArray
    allowed: npt.NDArray[np.uint8]
    sinus: bool = True


def refined(signal: FloatArray, positions: WideFloatArray) -> IntArray:
    """Marks moved to the largest deflection near them, as the decoder does with what it finds."""
    length = round(WINDOW_S * FS_HZ)
    late = round(0.7 * length)
    start = np.clip(np.rint(positions).astype(np.int64) - late, 0, len(signal) - length)
    windows = np.lib.stride_tricks.sliding_window_view(signal, length)
    placed = [
        refine_peaks(windows[part], FS_HZ, np.arange(len(part)), at / FS_HZ) + part / FS_HZ
        for part, at in (
            (start[begin : begin + 256], (positions - start)[begin : begin + 256])
            for begin in range(0, len(start), 256)
        )
    ]
    return np.rint(np.concatenate(placed) * FS_HZ).astype(np.int64) if placed else np.zeros(0, dtype=np.int64)


def class_masks(classes: IntArray) -> npt.NDArray[np.uint8]:
    """Bit masks of known classes; 0 for beats of none."""
    return np.where(classes < 0, 0, 1 << classes.clip(0)).astype(np.uint8)


def aberrant(data: Path, recording: Recording) -> npt.NDArray[np.bool_]:
    """Which beats of a record are marked as premature atrial beats with aberrant conduction (``a``).

    EC57 counts them as S, but their shape is that of V.
    """
    marks = read_annotation(data / recording.source / recording.record).symbol
    symbols = [mark for mark in marks if mark in BEAT_CLASS or mark in BEAT_CLASS_UNKNOWN or mark == "/"]
    return np.array([symbol == "a" for symbol in symbols], dtype=np.bool_)


def annotated_leads(recording: Recording, loose: npt.NDArray[np.bool_] | None = None) -> list[Lead]:
    """Each lead of a record with beat marks; every lead has peaks of its own.

    Parameters
    ----------
    recording : Recording
        Of mitdb.
    loose : ndarray of bool or None, shape (n_beats,)
        Beats that may be S or V; for training only.
    """
    masks = class_masks(recording.beat_classes)
    if loose is not None:
        masks[loose] = S_OR_V
    leads = []
    for signal in recording.signal:
        peaks = refined(signal, recording.beats)
        order = np.argsort(peaks, kind="stable")
        leads.append(Lead(recording.name, signal, peaks[order], masks[order]))
    return leads


class Finder:
    """Beats that the monitor's network finds, kept on disk.

    Parameters
    ----------
    monitor : str
        Name or card of the network.
    cache : Path
        Folder of the cache.
    """

    def __init__(self, monitor: str, cache: Path) -> None:
        self._monitor, self._cache = monitor, cache
        self._model, self.spec = store.load(monitor)
        code = hashlib.sha256(self.spec.sha256.encode())
        for module in (decode, runs, streaming):
            code.update(Path(str(module.__file__)).read_bytes())
        self._code = code.hexdigest()

    def __call__(self, signal: FloatArray) -> IntArray:
        """Peaks in samples, as they become final in a stream."""
        if len(signal) < WINDOW_S * FS_HZ:
            return np.zeros(0, dtype=np.int64)
        key = hashlib.sha256(self._code.encode() + signal.tobytes()).hexdigest()[:32]
        entry = self._cache / f"found-{key}.npy"
        if entry.exists():
            return np.asarray(np.load(entry, allow_pickle=False), dtype=np.int64)
        found = final_beats(run_lead(self._model, signal), self.spec.step_s, self.spec.thresholds["beat"])
        peaks = np.rint(found.time_s * FS_HZ).astype(np.int64)
        self._cache.mkdir(parents=True, exist_ok=True)
        part = entry.with_suffix(".part.npy")
        np.save(part, peaks)
        part.replace(entry)
        return peaks


def handheld_names(data: Path) -> dict[str, str]:
    """Recordings of CinC 2017 in normal rhythm or atrial fibrillation, and which of them (N, A)."""
    table = read_table(data / "cinc2017" / "REFERENCE.csv")
    return {f"cinc2017/{row[0]}": row[1] for row in table if row[1] in ("N", "A")}


def found_leads(recordings: Sequence[Recording], labels: dict[str, str], find: Finder) -> list[Lead]:
    """Recordings in normal rhythm, all beats N, or in atrial fibrillation, beats found.

    In fibrillation no beat is S; those that look like the recording's usual one are N.
    """
    leads = []
    for recording in recordings:
        signal = recording.signal[0]
        peaks = find(signal)
        if len(peaks) < FEWEST:
            continue
        allowed = np.full(len(peaks), ALLOWED_N, dtype=np.uint8)
        sinus = labels[recording.name] == "N"
        if not sinus:
            segments = segments_at(signal, peaks)
            like = correlation(segments, np.median(segments, axis=0, keepdims=True))
            allowed[like < LIKE_USUAL] = NOT_S
        leads.append(Lead(recording.name, signal, peaks, allowed, sinus))
    return leads


def rows_of(signal: FloatArray, peaks: IntArray) -> FloatArray:
    """Rows of a whole lead, shape (n_beats, ROW)."""
    intervals = np.diff(peaks, prepend=peaks[:1]) / FS_HZ
    whole = rows(segments_at(signal, peaks)[None], intervals[None], np.zeros(1, dtype=np.int64))
    return np.asarray(whole[0], dtype=np.float32)
