"""CirCor DigiScope as published: heart sounds at up to four places of each patient, segmented by hand.

``training_data.csv`` has a row a patient; ``ID_PLACE.wav`` (``.flac`` too, several of a place as
``ID_PLACE_1.wav``) and beside each a ``.tsv`` of begin, end, state: 1 S1, 2 systole, 3 S2, 4 diastole,
0 not annotated. Oliveira et al., IEEE J Biomed Health Inform 26 (2022) 2524-2535.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from training.errors import BadAnnotation, DataMissing
from training.sources import FloatArray, IntArray, WideFloatArray

SOURCE: Final = "circor2022"
TABLE: Final = "training_data.csv"
MURMURS: Final = ("Absent", "Present", "Unknown")
SUFFIXES: Final = (".flac", ".wav")


@dataclass(frozen=True, slots=True)
class Segments:
    """What was annotated of one recording.

    Attributes
    ----------
    start_s, end_s : ndarray of float64, shape (n,)
        Ascending.
    state : ndarray of int64, shape (n,)
        1 S1, 2 systole, 3 S2, 4 diastole, 0 not annotated.
    """

    start_s: WideFloatArray
    end_s: WideFloatArray
    state: IntArray

    def at(self, times_s: WideFloatArray) -> IntArray:
        """State at each time; 0 outside all segments."""
        if not len(self.start_s):
            return np.zeros(len(times_s), dtype=np.int64)
        place = np.searchsorted(self.start_s, times_s, side="right") - 1
        inside = (place >= 0) & (times_s < self.end_s[np.maximum(place, 0)])
        return np.where(inside, self.state[np.maximum(place, 0)], 0).astype(np.int64)


@dataclass(frozen=True, slots=True)
class HeartRecord:
    """One recording.

    Attributes
    ----------
    patient : str
        Unit of every split.
    place : str
        AV, PV, TV, MV or Phc.
    murmur : str
        Of the patient: Absent, Present or Unknown.
    heard_here : float
        1 where a murmur was heard at this place, 0 where the patient has none, NaN where it is not known.
    grade : str
        Of the patient's systolic murmur, as I/VI; empty where there is none.
    frames : ndarray of float32, shape (M, T)
        As the network sees it.
    """

    name: str
    path: Path
    patient: str
    place: str
    murmur: str
    heard_here: float
    grade: str
    campaign: str
    segments: Segments
    frames: FloatArray


def list_recordings(folder: Path) -> dict[str, Path]:
    """Recordings of the folder that have their segments beside them, by ``circor2022/ID_PLACE``.

    Raises
    ------
    DataMissing
        The folder or its table is not there, or it holds no recording with segments.
    """
    if not (folder / TABLE).is_file():
        raise DataMissing(f"{folder / TABLE}: not there; unpack the CirCor DigiScope set into {folder}")
    found = {
        f"{SOURCE}/{path.stem}": path
        for path in sorted(path for path in _files(folder) if path.with_suffix(".tsv").is_file())
    }
    if not found:
        raise DataMissing(f"{folder}: no recording (.wav or .flac) with a .tsv of segments beside it")
    return found


def _files(folder: Path) -> list[Path]:
    # As PhysioNet gives it, the recordings lie in a folder below the table.
    return [path for suffix in SUFFIXES for path in folder.rglob(f"*_*{suffix}")]


def read_segments(path: Path) -> Segments:
    """Read a ``.tsv`` of segments.

    Raises
    ------
    BadAnnotation
        A line is not begin, end, state, or states are not 0 to 4 in order of time.
    """
    rows: list[tuple[float, float, int]] = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        try:
            start, end, state = line.split()
            row = float(start), float(end), int(state)
        except ValueError as error:
            raise BadAnnotation(
                f"{path}, line {number}: expected begin, end, state, found {line!r}"
            ) from error
        if not 0 <= row[2] <= 4 or row[1] < row[0] or (rows and row[0] < rows[-1][0]):
            raise BadAnnotation(f"{path}, line {number}: {line!r}: states are 0 to 4, times ascend")
        rows.append(row)
    table = np.array(rows, dtype=np.float64).reshape(-1, 3)
    return Segments(table[:, 0], table[:, 1], table[:, 2].astype(np.int64))


def read_patients(folder: Path) -> dict[str, dict[str, str]]:
    """Rows of the table by patient.

    Raises
    ------
    BadAnnotation
        A column is missing, or Murmur is none of Absent, Present, Unknown.
    """
    table = folder / TABLE
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    wanted = {"Patient ID", "Murmur", "Murmur locations", "Systolic murmur grading", "Campaign"}
    missing = wanted - set(rows[0] if rows else ())
    if missing:
        raise BadAnnotation(f"{table}: no column {', '.join(sorted(missing))}")
    for row in rows:
        if row["Murmur"] not in MURMURS:
            raise BadAnnotation(
                f"{table}: patient {row['Patient ID']}: Murmur={row['Murmur']!r}; it is one of "
                f"{', '.join(MURMURS)}"
            )
    return {row["Patient ID"].strip(): row for row in rows}


def heard_at(row: dict[str, str], place: str) -> float:
    """1 where a murmur was heard at a place, 0 where the patient has none, NaN where that is not known."""
    if row["Murmur"] == "Absent":
        return 0.0
    # Of a patient with a murmur, a place where none was marked may still carry a faint one.
    heard = row["Murmur"] == "Present" and place in row["Murmur locations"].split("+")
    return 1.0 if heard else float("nan")


def make_record(name: str, path: Path, row: dict[str, str], frames: FloatArray) -> HeartRecord:
    """A recording with what the table and its segments say."""
    place = path.stem.split("_")[1]
    grade = row["Systolic murmur grading"]
    return HeartRecord(
        name,
        path,
        row["Patient ID"].strip(),
        place,
        row["Murmur"],
        heard_at(row, place),
        "" if grade in ("nan", "") else grade,
        row["Campaign"],
        read_segments(path.with_suffix(".tsv")),
        frames,
    )
