"""Recordings in atrial fibrillation or flutter: no P wave can be there, though nobody marked the other waves.

Few leads of a set with marks are in fibrillation, and a network that has seen few takes its waves for P
waves. CinC 2017 has hundreds of short recordings, mitdb some hours on other leads; all train only.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from ingest import conditioning
from ingest.conditioning import ConditioningSpec
from training.errors import DataMissing
from training.sources import FloatArray, read_annotation, read_table

GUARD_S: Final = 1.0
"""Kept free on both sides of a change of rhythm, and where the filter settles."""

LEAST_S: Final = 6.0
MARKS: Final = ("(AFIB", "(AFL")


def list_fibrillation(data: Path, source: str) -> tuple[str, ...]:
    """Records of cinc2017 labelled A, or all of mitdb, as ``source/record``.

    Raises
    ------
    DataMissing
        The set is not there, or is another one.
    """
    if source == "cinc2017":
        labelled = [row[0] for row in read_table(data / source / "REFERENCE.csv") if row[1] == "A"]
        names = [name for name in labelled if (data / source / f"{name}.hea").exists()]
    elif source == "mitdb":
        names = [path.stem for path in (data / source).glob("*.hea")]
    else:
        raise DataMissing(f"{source}: no recordings in fibrillation known there; there are cinc2017, mitdb")
    if not names:
        raise DataMissing(f"{data / source}: no record in it; set data.fibrillation to the sets there are")
    return tuple(f"{source}/{name}" for name in sorted(names))


def _spans(path: Path, source: str, fs_hz: float, n_samples: int) -> list[tuple[float, float]]:
    """Seconds in fibrillation, guards taken off."""
    end_s = n_samples / fs_hz
    if source == "cinc2017":
        return [(GUARD_S, end_s)]
    annotation = read_annotation(path)
    marks = [
        (sample / fs_hz, note.strip("\0 "))
        for sample, note in zip(annotation.sample, annotation.aux_note, strict=True)
        if note.startswith("(")
    ]
    return [
        (begin + GUARD_S, end - GUARD_S)
        for (begin, mark), (end, _) in pairwise([*marks, (end_s, "")])
        if mark in MARKS
    ]


def read_fibrillation(data: Path, name: str, spec: ConditioningSpec) -> list[FloatArray]:
    """Stretches of at least 6 s in fibrillation, each lead by itself, conditioned, (n_samples,) in mV.

    Raises
    ------
    DataMissing
        The record cannot be read.
    """
    path = data / name
    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError) as error:
        raise DataMissing(f"{path}: {error}") from error
    fs_hz = float(record.fs)
    spans = _spans(path, name.split("/", 1)[0], fs_hz, len(record.p_signal))
    spans = [(begin, end) for begin, end in spans if end - begin >= LEAST_S]
    if not spans:
        return []
    signal = conditioning.condition(record.p_signal, fs_hz, spec)
    cuts = [(round(begin * spec.rate_hz), round(end * spec.rate_hz)) for begin, end in spans]
    parts = [signal[begin:end, lead] for begin, end in cuts for lead in range(signal.shape[1])]
    return [np.ascontiguousarray(part) for part in parts if np.isfinite(part).all()]


def load_fibrillation(
    data: Path, names: tuple[str, ...], spec: ConditioningSpec, cache: Path
) -> list[FloatArray]:
    """Stretches of many records, through one cache entry keyed by names, sizes, code and spec.

    Raises
    ------
    DataMissing
        A record cannot be read.
    """
    digest = hashlib.sha256(f"{spec}".encode() + Path(__file__).read_bytes())
    digest.update(Path(str(conditioning.__file__)).read_bytes())
    for name in names:
        for suffix in (".hea", ".dat", ".mat", ".atr"):
            file = data / f"{name}{suffix}"
            if file.exists():
                digest.update(f"{name}{suffix} {file.stat().st_size}".encode())
    entry = cache / f"fibrillation-{digest.hexdigest()[:24]}.npz"
    if entry.exists():
        with np.load(entry, allow_pickle=False) as held:
            return np.split(held["signal"], held["cuts"])
    parts = [part for name in names for part in read_fibrillation(data, name, spec)]
    if not parts:
        raise DataMissing(
            f"no stretch of {LEAST_S:g} s in fibrillation; set data.fibrillation to () to do without"
        )
    cache.mkdir(parents=True, exist_ok=True)
    part_file = entry.with_suffix(".part.npz")
    np.savez(part_file, signal=np.concatenate(parts), cuts=np.cumsum([len(part) for part in parts])[:-1])
    part_file.replace(entry)
    return parts
