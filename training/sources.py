"""Readers of PhysioNet sets: a record becomes conditioned leads at the model's rate, beats and rhythm spans.

The signals go through :mod:`ingest.conditioning`, the code that serves, so what trains is what serves.
Positions are in samples of the conditioned signal, its delay added, so that a beat's position is where its
peak appears.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import wfdb

from ingest import conditioning
from ingest.conditioning import ConditioningSpec
from models.spec import RHYTHM_CLASSES, STEP_CLASSES
from training.errors import BadAnnotation, DataMissing

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
WideFloatArray = npt.NDArray[np.float64]

BEATS_OF: Final = {"N": "NLRejnB", "S": "AaJS", "V": "VEr", "F": "F"}
"""AAMI EC57 classes. Q, paced and fused-with-paced beats have no class: their class is never scored."""

BEAT_CLASS: Final = {
    symbol: STEP_CLASSES.index(name) for name, symbols in BEATS_OF.items() for symbol in symbols
}
UNCLASSED: Final = -1
BEAT_CLASS_UNKNOWN: Final = "Q/f?"

UNSURE_OF: Final = {"(HGEA": ("vt", "other")}
"""High-grade ectopy runs into tachycardia and out of it: neither answer is held against a model."""

RHYTHM_OF: Final = {
    "(VF": "vf",
    "(VFIB": "vf",
    "(VFL": "vf",
    "(VT": "vt",
    "(ASYS": "asystole",
    "(AFIB": "af",
    "(AFL": "af",
    "(NOISE": "noise",
}
"""Rhythm marks with a class of their own; every other mark is ``other``."""

ALARM_CLASS: Final = {
    "Asystole": "asystole",
    "Ventricular_Flutter_Fib": "vf",
    "Ventricular_Tachycardia": "vt",
    "Tachycardia": None,
    "Bradycardia": None,
}
ALL: Final = (1 << len(RHYTHM_CLASSES)) - 1
ALARM_S: Final = 300.0
"""CinC 2015: the alarm sounds at 5 min, its cause lies in the 10 s before."""


def bit(name: str) -> int:
    """Bit of a rhythm class in a mask of those that may hold."""
    return 1 << RHYTHM_CLASSES.index(name)


@dataclass(frozen=True, slots=True)
class Recording:
    """One record, ready for the model.

    Attributes
    ----------
    source, record : str
        Data set and name.
    leads : tuple of str
        Channel names.
    signal : ndarray of float32, shape (n_leads, n_samples)
        Conditioned, mV, at the model's rate.
    beats : ndarray of float64, shape (n_beats,)
        Positions in samples, ascending.
    beat_classes : ndarray of int64, shape (n_beats,)
        Index into ``STEP_CLASSES``; -1 for a beat of no class.
    beats_known : ndarray of bool, shape (n_samples,)
        Where the absence of a beat mark means that there is no beat.
    rhythm : ndarray of uint8, shape (n_samples,)
        Bit mask of the rhythm classes that may hold; 0 where nothing is known.
    """

    source: str
    record: str
    leads: tuple[str, ...]
    signal: FloatArray
    beats: WideFloatArray
    beat_classes: IntArray
    beats_known: npt.NDArray[np.bool_]
    rhythm: npt.NDArray[np.uint8]

    @property
    def name(self) -> str:
        """``source/record``."""
        return f"{self.source}/{self.record}"


def conditioned(
    path: Path, spec: ConditioningSpec, kinds: tuple[str, ...] = ()
) -> tuple[FloatArray, tuple[str, ...], float]:
    """Conditioned ECG leads of a WFDB record, their names, and the record's own rate.

    Raises
    ------
    DataMissing
        The record is not there or cannot be read.
    """
    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError) as error:
        raise DataMissing(f"{path}: {error}") from error
    names = tuple(record.sig_name)
    keep = [i for i, unit in enumerate(record.units) if unit.lower() == "mv" and names[i] not in kinds]
    if not keep or not np.isfinite(record.p_signal[:, keep]).any():
        raise DataMissing(f"{path}: no ECG in mV in it (channels {', '.join(names)})")
    samples = conditioning.condition(record.p_signal[:, keep], float(record.fs), spec)
    return np.ascontiguousarray(samples.T), tuple(names[i] for i in keep), float(record.fs)


def read_annotation(path: Path) -> wfdb.Annotation:
    """Annotation ``.atr`` of a record.

    Raises
    ------
    DataMissing
        If there is none.
    """
    try:
        return wfdb.rdann(str(path), "atr")
    except (OSError, ValueError) as error:
        raise DataMissing(f"{path}.atr: {error}") from error


def _rhythms(annotation: wfdb.Annotation, scale: float, delay: float, n: int) -> npt.NDArray[np.uint8]:
    """Mask a sample from the rhythm marks, which hold until the next one."""
    rhythm = np.zeros(n, dtype=np.uint8)
    for sample, note in zip(annotation.sample, annotation.aux_note, strict=True):
        mark = note.strip("\0 ")
        if mark.startswith("("):
            names = UNSURE_OF.get(mark, (RHYTHM_OF.get(mark, "other"),))
            rhythm[max(0, round(sample * scale + delay)) :] = sum(bit(name) for name in names)
    return rhythm


def read_annotated(source: str, path: Path, spec: ConditioningSpec) -> Recording:
    """Read a record of mitdb (beats and rhythms) or vfdb (rhythms only).

    Raises
    ------
    DataMissing, BadAnnotation
        See their own words.
    """
    signal, leads, fs_hz = conditioned(path, spec)
    annotation = read_annotation(path)
    scale, delay = spec.rate_hz / fs_hz, conditioning.delay_s(fs_hz, spec) * spec.rate_hz
    n = signal.shape[1]
    rhythm = _rhythms(annotation, scale, delay, n)
    if not rhythm.any():
        raise BadAnnotation(f"{path}.atr: no rhythm mark in it")
    known = np.full(n, source == "mitdb")
    symbols = annotation.symbol if source == "mitdb" else []
    marks = [
        (sample * scale + delay, BEAT_CLASS.get(symbol, UNCLASSED))
        for sample, symbol in zip(annotation.sample, symbols, strict=False)
        if symbol in BEAT_CLASS or symbol in BEAT_CLASS_UNKNOWN or symbol == "/"
    ]
    begin = None
    for sample, symbol in zip(annotation.sample, symbols, strict=False):
        if symbol == "[":
            begin = round(sample * scale + delay)
        elif symbol == "]" and begin is not None:
            known[begin : round(sample * scale + delay)] = False
            begin = None
    return Recording(
        source,
        path.name,
        leads,
        signal,
        np.array([position for position, _ in marks], dtype=np.float64),
        np.array([label for _, label in marks], dtype=np.int64),
        known,
        rhythm,
    )


def read_alarm(path: Path, spec: ConditioningSpec, alarms: dict[str, tuple[str, bool]]) -> Recording:
    """Read a record of CinC 2015: what its alarm tells of the rhythm.

    A true alarm says that its arrhythmia lies within the 10 s before the alarm, so the last 5 s carry its
    class. A false one says that it lies nowhere there. Earlier in the record neither fibrillation nor
    asystole is expected.
    """
    signal, leads, _ = conditioned(path, spec, kinds=("RESP", "PLETH", "ABP"))
    n = signal.shape[1]
    kind, real = alarms[path.name]
    name = ALARM_CLASS[kind]
    rhythm = np.zeros(n, dtype=np.uint8)
    alarm = min(n, round(ALARM_S * spec.rate_hz))
    before = round(10 * spec.rate_hz)
    rhythm[: alarm - 3 * before] = ALL & ~bit("vf") & ~bit("asystole")
    if name is None:
        rhythm[alarm - before : alarm] = ALL & ~bit("vf") & ~bit("asystole")
    elif real:
        rhythm[alarm - round(5 * spec.rate_hz) : alarm] = bit(name)
    else:
        rhythm[alarm - before : alarm] = ALL & ~bit(name)
    nothing = np.zeros(0)
    return Recording(
        "cinc2015",
        path.name,
        leads,
        signal,
        nothing,
        nothing.astype(np.int64),
        np.zeros(n, dtype=np.bool_),
        rhythm,
    )


def read_reference(path: Path, spec: ConditioningSpec, labels: dict[str, str]) -> Recording:
    """Read a record of CinC 2017: one label for the whole, A is fibrillation of the atria, ~ is noise."""
    signal, leads, _ = conditioned(path, spec)
    n = signal.shape[1]
    name = {"A": "af", "~": "noise", "N": "other", "O": "other"}[labels[path.name]]
    nothing = np.zeros(0)
    return Recording(
        "cinc2017",
        path.name,
        leads,
        signal,
        nothing,
        nothing.astype(np.int64),
        np.zeros(n, dtype=np.bool_),
        np.full(n, bit(name), dtype=np.uint8),
    )


def read_table(path: Path) -> list[list[str]]:
    """Rows of a CSV file.

    Raises
    ------
    DataMissing
        If it is not there.
    """
    try:
        with path.open(newline="") as file:
            return [row for row in csv.reader(file) if row]
    except OSError as error:
        raise DataMissing(f"{path}: {error.strerror}") from error


def readers(
    source: str, folder: Path, spec: ConditioningSpec
) -> Iterator[tuple[Path, Callable[[], Recording]]]:
    """Each record of a data set and how to read it, in order of names.

    Raises
    ------
    DataMissing
        The folder or its table is not there.
    """
    if source == "folder":
        from training import folder_source

        yield from folder_source.opened().readers(spec)
        return
    paths = [path.with_suffix("") for path in sorted(folder.glob("*.hea"))]
    if not paths:
        raise DataMissing(f"{folder}: no WFDB records in it; --data names the folder that holds {source}/")
    if source in ("mitdb", "vfdb"):
        for path in paths:
            yield path, partial(read_annotated, source, path, spec)
    elif source == "cinc2015":
        alarms = {row[0]: (row[1], row[2] == "1") for row in read_table(folder / "ALARMS")}
        for path in paths:
            if path.name in alarms:
                yield path, partial(read_alarm, path, spec, alarms)
    elif source == "cinc2017":
        labels = {row[0]: row[1] for row in read_table(folder / "REFERENCE.csv")}
        for path in paths:
            if labels.get(path.name, "") in ("A", "N", "O", "~"):
                yield path, partial(read_reference, path, spec, labels)
    else:
        raise DataMissing(f"{source}: no reader for this set; there are mitdb, vfdb, cinc2015, cinc2017")
