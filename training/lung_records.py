"""ICBHI 2017 as published, and its single-channel recordings with one table of cycles.

As published each recording is ``PATIENT_INDEX_PLACE_MODE_DEVICE.wav`` with a ``.txt`` of its breathing
cycles (begin, end, crackle, wheeze); beside them, or above, lie the official split
(``ICBHI_challenge_train_test.txt``) and the diagnoses (``patient_diagnosis.csv`` or
``ICBHI_Challenge_diagnosis.txt``). The other layout has ``cycles.csv`` and ``audio/``.
Rocha et al., Physiological Measurement 40 (2019) 035001.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from training.errors import BadAnnotation, DataMissing
from training.sources import FloatArray, IntArray, WideFloatArray

TABLE: Final = "cycles.csv"
SPLIT: Final = "ICBHI_challenge_train_test.txt"
DIAGNOSES: Final = ("patient_diagnosis.csv", "ICBHI_Challenge_diagnosis.txt")
BOTH_SIDES: Final = ("156", "218")
"""Patients with recordings on both official sides: they test only."""

DIAGNOSIS_OF: Final = {
    "Healthy": "healthy",
    "COPD": "chronic",
    "Bronchiectasis": "chronic",
    "Asthma": "chronic",
    "URTI": "acute",
    "LRTI": "acute",
    "Pneumonia": "acute",
    "Bronchiolitis": "acute",
}
"""Groups as Garcia-Ordas et al., Sensors 20 (2020) 1214, have them (acute is their non-chronic)."""

CLASS_OF: Final = {"groups": DIAGNOSIS_OF, "icbhi": {word: word for word in DIAGNOSIS_OF}}
"""Class of each of ICBHI's diagnoses, by what a recipe's ``data.diagnoses`` asks for."""


def classes_of(diagnoses: str) -> tuple[str, ...]:
    """Classes of the diagnosis head, in its order."""
    return tuple(dict.fromkeys(CLASS_OF[diagnoses].values()))


@dataclass(frozen=True, slots=True)
class Cycles:
    """Breathing cycles of one recording.

    Attributes
    ----------
    start_s, end_s : ndarray of float64, shape (n,)
        Ascending.
    labels : ndarray of int64, shape (n, 2)
        Whether there are crackles, wheezes.
    """

    start_s: WideFloatArray
    end_s: WideFloatArray
    labels: IntArray


@dataclass(frozen=True, slots=True)
class LungRecording:
    """One recording before its sound is read.

    Attributes
    ----------
    side : str
        Of the official split: train or test; empty where there is none.
    diagnosis : str
        ICBHI's own word; empty where it is not known.
    """

    name: str
    path: Path
    patient: str
    place: str
    device: str
    side: str
    diagnosis: str
    cycles: Cycles


@dataclass(frozen=True, slots=True)
class LungRecord:
    """A recording with its leveled frames, shape (M, T)."""

    about: LungRecording
    frames: FloatArray


def parse_name(stem: str) -> tuple[str, str, str]:
    """Patient, place and device of a recording's name.

    Raises
    ------
    BadAnnotation
        It is not PATIENT_INDEX_PLACE_MODE_DEVICE.
    """
    parts = stem.split("_")
    if len(parts) != 5 or not parts[0].isdecimal():
        raise BadAnnotation(f"recording {stem}: ICBHI names are PATIENT_INDEX_PLACE_MODE_DEVICE")
    return parts[0], parts[2], parts[4]


def list_recordings(folder: Path) -> dict[str, LungRecording]:
    """Recordings of a set in either layout, by ``FOLDER/RECORDING``.

    Raises
    ------
    DataMissing
        The folder is not there or holds no recordings.
    BadAnnotation
        A table or a name is not as published.
    """
    if not folder.is_dir():
        raise DataMissing(f"{folder}: not there; put the ICBHI 2017 recordings into it")
    found = _tabled(folder) if (folder / TABLE).is_file() else _published(folder)
    if not found:
        raise DataMissing(f"{folder}: holds neither {TABLE} with audio/ nor .wav with .txt of cycles")
    return {one.name: one for one in found}


def _cycles(rows: list[tuple[float, float, int, int]], path: Path) -> Cycles:
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    bad = np.flatnonzero((table[:, 1] <= table[:, 0]) | ~np.isin(table[:, 2:], (0, 1)).all(1))
    if len(bad):
        raise BadAnnotation(f"{path}: cycle {bad[0] + 1}: end after begin, crackle and wheeze 0 or 1")
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Cycles(table[:, 0], table[:, 1], table[:, 2:].astype(np.int64))


def _tabled(folder: Path) -> list[LungRecording]:
    table = folder / TABLE
    with table.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    wanted = {"recording", "start_s", "end_s", "crackle", "wheeze", "official_split", "diagnosis"}
    missing = wanted - set(rows[0] if rows else ())
    if missing:
        raise BadAnnotation(f"{table}: no column {', '.join(sorted(missing))}")
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row["recording"], []).append(row)
    found = []
    for stem, group in groups.items():
        try:
            cells = [
                (float(row["start_s"]), float(row["end_s"]), int(row["crackle"]), int(row["wheeze"]))
                for row in group
            ]
        except ValueError as error:
            raise BadAnnotation(f"{table}: recording {stem}: {error}") from error
        path = next(
            (
                path
                for suffix in (".flac", ".wav")
                if (path := folder / "audio" / f"{stem}{suffix}").is_file()
            ),
            None,
        )
        if path is None:
            raise DataMissing(f"{folder / 'audio'}: no {stem}.flac or .wav, which {TABLE} names")
        patient, place, device = parse_name(stem)
        first = group[0]
        side, diagnosis = first["official_split"], first["diagnosis"]
        found.append(
            LungRecording(
                f"{folder.name}/{stem}", path, patient, place, device, side, diagnosis, _cycles(cells, table)
            )
        )
    return found


def _published(folder: Path) -> list[LungRecording]:
    sides = _words(_beside(folder, (SPLIT,)))
    diagnoses = _words(_beside(folder, DIAGNOSES))
    found = []
    for path in sorted(path for path in folder.rglob("*.wav") if path.with_suffix(".txt").is_file()):
        patient, place, device = parse_name(path.stem)
        found.append(
            LungRecording(
                f"{folder.name}/{path.stem}",
                path,
                patient,
                place,
                device,
                sides.get(path.stem, ""),
                diagnoses.get(patient, ""),
                _read_cycles(path.with_suffix(".txt")),
            )
        )
    return found


def _beside(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((path for name in names for path in sorted(folder.rglob(name))), None)


def _words(path: Path | None) -> dict[str, str]:
    """First and second word of each line of a table, parted by blanks, tabs or commas."""
    if path is None:
        return {}
    pairs = [line.replace(",", " ").split() for line in path.read_text().splitlines() if line.strip()]
    if any(len(pair) < 2 for pair in pairs):
        raise BadAnnotation(f"{path}: a line has fewer than two words")
    return {pair[0]: pair[1] for pair in pairs}


def _read_cycles(path: Path) -> Cycles:
    rows: list[tuple[float, float, int, int]] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            start, end, crackle, wheeze = line.split()
            rows.append((float(start), float(end), int(crackle), int(wheeze)))
        except ValueError as error:
            raise BadAnnotation(
                f"{path}, line {number}: expected begin, end, crackle, wheeze, found {line!r}"
            ) from error
    return _cycles(rows, path)
