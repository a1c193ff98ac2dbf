"""Recordings of the task "af": conditioned leads, the detector's beats in them, what is true of them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ingest.conditioning import ECG
from models import decode, store
from models import streaming as runs
from models.cnn_lstm import CnnLstm
from models.decode import WideFloatArray, accept, decode_beats, refine_peaks
from models.spec import ModelSpec
from models.streaming import WINDOW_S, run_lead
from training import sources, streaming
from training.af_beats import FS_HZ, FloatArray
from training.af_config import AF_CLASSES
from training.corpus import load_names
from training.errors import BadAnnotation, DataMissing
from training.sources import Recording
from training.streaming import final_beats

logger = logging.getLogger(__name__)

SHORTEST_S: Final = WINDOW_S - 1.0
"""A lead is held for a second at its end: with it, it must fill a window of the detector."""

FIRST_S: Final = 0.1
"""Where the first window of a stream begins to be believed."""


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead, its beats as the detector finds them, and its truth.

    Attributes
    ----------
    name : str
        ``source/record``.
    signal : ndarray of float32, shape (n,)
        Conditioned, mV, 125 Hz.
    time_s, probability : ndarray, shape (n_beats,)
        The detector's beats in order.
    label : int
        Index into ``AF_CLASSES``, -1 where the lead has no single label.
    rhythm : ndarray of uint8, shape (n,)
        Bit mask of the rhythms that may hold (:class:`~training.sources.Recording`).
    """

    name: str
    signal: FloatArray
    time_s: WideFloatArray
    probability: FloatArray
    label: int
    rhythm: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

    @property
    def duration_s(self) -> float:
        """Seconds of the lead."""
        return len(self.signal) / FS_HZ


class Detector:
    """The network whose beats become time steps, with a cache of what it found.

    Parameters
    ----------
    name : str
        A shipped model's name, or a path (:func:`models.store.load`).
    cache : Path
        Folder of the cache.
    """

    def __init__(self, name: str, cache: Path) -> None:
        self.spec: ModelSpec = store.read_spec(name)
        self.cache = cache
        self._name = name
        self._model: CnnLstm | None = None
        code = b"".join(Path(str(module.__file__)).read_bytes() for module in (decode, runs, streaming))
        self._key = hashlib.sha256(code + self.spec.sha256.encode()).hexdigest()

    def beats(self, signal: FloatArray) -> tuple[WideFloatArray, FloatArray]:
        """Times in seconds and probabilities of the beats of one lead, as a stream would find them.

        The first window is believed from its start, and the lead is held for a second at its end, so that
        its last beats become final.
        """
        if self._model is None:
            self._model, _ = store.load(self._name)
        held = np.concatenate([signal, np.full(round(FS_HZ), signal[-1], dtype=np.float32)])
        stream = run_lead(self._model, held)
        threshold, step_s, gains = self.spec.thresholds["beat"], self.spec.step_s, self.spec.beat_gains
        found = final_beats(stream, step_s, threshold, gains)
        first = decode_beats(
            stream.steps[:1],
            step_s,
            threshold=threshold,
            class_gains=gains,
            final_from_s=FIRST_S,
            final_to_s=WINDOW_S - runs.RIGHT_CONTEXT_S - runs.HOP_S - decode.OVERLAP_S,
        )
        placed = refine_peaks(stream.windows[:1], FS_HZ, first.window, first.position_s)
        time_s = np.concatenate([placed, found.time_s])
        probability = np.concatenate([first.probability, found.probability])
        order = np.argsort(time_s, kind="stable")
        kept = order[accept(time_s[order], probability[order])]
        kept = kept[time_s[kept] < len(signal) / FS_HZ]
        return time_s[kept], probability[kept].astype(np.float32)

    def cached(self, recording: Recording) -> tuple[WideFloatArray, FloatArray]:
        """Beats of a recording's first lead, through the cache. A damaged entry is made anew."""
        signal = recording.signal[0]
        digest = hashlib.sha256(self._key.encode() + signal.tobytes()).hexdigest()[:32]
        entry = self.cache / f"beats-{recording.source}-{recording.record}-{digest}.npz"
        if entry.exists():
            try:
                with np.load(entry, allow_pickle=False) as kept:
                    return kept["time_s"], kept["probability"]
            except (OSError, ValueError, KeyError) as error:
                logger.warning("cache entry %s is damaged and is made anew: %s", entry.name, error)
        time_s, probability = self.beats(signal)
        self.cache.mkdir(parents=True, exist_ok=True)
        part = entry.with_suffix(".part.npz")
        np.savez(part, time_s=time_s, probability=probability)
        part.replace(entry)
        return time_s, probability


def labels_of(data: Path) -> dict[str, int]:
    """Label of each record of cinc2017, as index into ``AF_CLASSES``.

    Raises
    ------
    DataMissing
        REFERENCE.csv is not there.
    BadAnnotation
        A label that the challenge does not have.
    """
    path = data / "cinc2017" / "REFERENCE.csv"
    labels: dict[str, int] = {}
    for record, label, *_ in sources.read_table(path):
        if label not in AF_CLASSES:
            raise BadAnnotation(f"{path}: {record} is {label!r}; the labels are {', '.join(AF_CLASSES)}")
        labels[f"cinc2017/{record}"] = AF_CLASSES.index(label)
    return labels


def load_leads(data: Path, names: Sequence[str], detector: Detector) -> list[Lead]:
    """Read the first lead of recordings and find its beats, both through the cache.

    Parameters
    ----------
    data : Path
        Folder that holds one folder a data set.
    names : sequence of str
        ``source/record``.
    detector : Detector
        Whose beats.

    Raises
    ------
    DataMissing
        A record is not there, or shorter than a window of the detector.
    BadAnnotation
        See :func:`labels_of`.
    """
    labels = labels_of(data) if any(name.startswith("cinc2017/") for name in names) else {}
    leads = []
    for recording in load_names(data, names, ECG, detector.cache):
        n = recording.signal.shape[1]
        if n < SHORTEST_S * FS_HZ:
            raise DataMissing(
                f"{recording.name}: {n / FS_HZ:.1f} s long, beats need {SHORTEST_S:g} s or more"
            )
        time_s, probability = detector.cached(recording)
        label = labels.get(recording.name, -1)
        leads.append(Lead(recording.name, recording.signal[0], time_s, probability, label, recording.rhythm))
    return leads
