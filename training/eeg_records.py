"""Recordings of the EEG tasks: listed from all sources, signals mapped from the cache, seconds labelled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.spec import ChannelsFrontEnd
from models.szcore import Event
from training.eeg_layouts import list_published
from training.eeg_recording import EegRecording, inside
from training.eeg_sets import ARCHIVES, CLIPS, list_clips, list_guinea, read_clip, read_guinea
from training.eeg_signal import RATE_HZ, FloatArray, HalfArray, keep, read_edf
from training.errors import BadRecipe

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EegRecord:
    """One recording, ready for the model.

    Attributes
    ----------
    about : EegRecording
        Name, patient, seizures.
    names : tuple of str
        Its C derivations.
    x : ndarray of float16, shape (C, T * step)
        Scaled, NaN where missing; mapped from the cache.
    seizures : tuple of (float, float)
        Seconds, inside the record.
    seizure : ndarray of bool, shape (T,)
        Steps of which the greater part is seizure.
    there : ndarray of bool, shape (T,)
        Steps that have a signal.
    step_s : float
        Length of a step.
    """

    about: EegRecording
    names: tuple[str, ...]
    x: HalfArray
    seizures: tuple[Event, ...]
    seizure: BoolArray
    there: BoolArray
    step_s: float

    @property
    def n_steps(self) -> int:
        """Steps of the recording."""
        return len(self.seizure)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_steps * self.step_s

    def scored_s(self) -> float:
        """Seconds with a signal."""
        return float(self.there.sum()) * self.step_s


def list_recordings(data: Path, sources: Sequence[str]) -> dict[str, EegRecording]:
    """All recordings of the sources, by name.

    A source is one of the archives (``chbmit_clips``, ``guinea_bissau_eeg``), or any folder below ``data``
    that holds CHB-MIT, Siena, TUSZ or a BIDS set as it is published.

    Raises
    ------
    BadRecipe
        No source, or one twice.
    DataMissing, BadAnnotation
        See the layouts' own words.
    """
    if not sources or len(set(sources)) < len(sources):
        raise BadRecipe(f"data.sources={list(sources)}: name at least one set, each once")
    found: dict[str, EegRecording] = {}
    for source in sources:
        folder = data / source
        if source in ARCHIVES:
            listed = list_clips(folder) if source == CLIPS else list_guinea(folder)
        else:
            listed = list_published(folder, source)
        found |= {one.name: one for one in listed}
    return found


def _read(recording: EegRecording, unit_factor: float) -> Iterator[tuple[tuple[str, ...], FloatArray]]:
    source = recording.name.split("/", 1)[0]
    if source in ARCHIVES:
        yield read_clip(recording) if source == CLIPS else read_guinea(recording)
    else:
        yield read_edf(recording.path, unit_factor)


@lru_cache(maxsize=4)
def _digest(path: Path, _size: int, _changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load_record(
    recording: EegRecording, front_end: ChannelsFrontEnd, cache: Path, unit_factor: float = 1.0
) -> EegRecord:
    """A recording with its signal through the cache.

    Parameters
    ----------
    recording : EegRecording
        As listed.
    front_end : ChannelsFrontEnd
        Steps and scale of the model.
    cache : Path
        Folder of the cache.
    unit_factor : float
        As :func:`training.eeg_signal.read_edf` has it.

    Raises
    ------
    BadAnnotation
        The file cannot be read, holds no EEG, or a seizure lies outside of it.
    """
    stat = recording.path.stat()
    digest = _digest(recording.path, stat.st_size, stat.st_mtime_ns)
    held = keep(
        cache,
        recording.name,
        f"{recording.name} {digest} {unit_factor}",
        _read(recording, unit_factor),
        front_end.step,
        front_end.scale,
    )
    return label(recording, held.names, held.x, front_end.step)


def label(recording: EegRecording, names: tuple[str, ...], x: HalfArray, step: int) -> EegRecord:
    """A record of a scaled signal and the seizures of its recording."""
    step_s = step / RATE_HZ
    n_steps = x.shape[1] // step
    seizures = inside(recording, n_steps * step_s)
    middle_s = (np.arange(n_steps) + 0.5) * step_s
    seizure = np.zeros(n_steps, dtype=np.bool_)
    for start, end in seizures:
        seizure |= (middle_s >= start) & (middle_s < end)
    # One sample of a step tells whether a channel is there in it: gaps are longer than steps.
    there: BoolArray = np.any(np.isfinite(x[:, step // 2 :: step]), axis=0)
    return EegRecord(recording, names, x, seizures, seizure, there[:n_steps], step_s)
