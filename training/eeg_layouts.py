"""Published EEG sets as lists of recordings with seizures: CHB-MIT, Siena, TUSZ, and BIDS as SzCORE has it.

Nothing of a signal is read here but an EDF's header, so that what is wrong with the annotations is said
before any time is spent.
"""

from __future__ import annotations

import csv
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.errors import BadAnnotation, DataMissing
from training.szcore import Event, merge_events

logger = logging.getLogger(__name__)

SAME_PERSON: Final = {"chb21": "chb01"}
"""CHB-MIT: case 21 is the child of case 01, a year and a half later."""

DAY_S: Final = 86_400.0
TOUCHING_S: Final = 1e-3
"""Seizures of several channels (TUSZ) with a shorter pause are one."""
LONGEST_EXCESS_S: Final = 2.0
"""An annotation may end so much behind its record (headers count whole blocks); it is cut there."""


@dataclass(frozen=True, slots=True)
class EegRecording:
    """One recording of a set, before its signal is read.

    Attributes
    ----------
    name : str
        ``source/record``.
    patient : str
        Unit of splits and intervals.
    path : Path
        Of the signal.
    seizures : tuple of (float, float)
        Starts and ends in seconds from the record's start.
    side : str
        Official side where the set has one (``train``, ``dev``, ``eval``), else empty.
    """

    name: str
    patient: str
    path: Path
    seizures: tuple[Event, ...]
    side: str = ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise DataMissing(f"{path}: {error.strerror}") from error


def _event(path: Path, where: str, start: str | float, end: str | float) -> Event:
    """A start and an end as numbers.

    Raises
    ------
    BadAnnotation
        They are no numbers, or the end is not after the start.
    """
    try:
        found = float(start), float(end)
    except ValueError:
        raise BadAnnotation(
            f"{path}: {where}: {start!r} to {end!r} are no seconds; correct the file"
        ) from None
    if not found[1] > found[0] >= 0:
        raise BadAnnotation(
            f"{path}: {where}: a seizure from {found[0]:g} s to {found[1]:g} s; it begins at 0 or later and "
            "ends after that: correct the file"
        )
    return found


def list_chbmit(folder: Path, source: str) -> list[EegRecording]:
    """CHB-MIT: ``chbNN/chbNN-summary.txt`` with the seizures, ``chbNN/*.edf``.

    Raises
    ------
    DataMissing
        No summary there.
    BadAnnotation
        A summary names another number of seizures than times, or a ``.seizures`` file stands beside a record
        without any.
    """
    found: list[EegRecording] = []
    for summary in sorted(folder.glob("*/chb*-summary.txt")):
        seizures = _of_summary(summary)
        for edf in sorted(summary.parent.glob("*.edf")):
            of_file = seizures.get(edf.name, [])
            if edf.with_name(edf.name + ".seizures").exists() and not of_file:
                raise BadAnnotation(
                    f"{summary}: names no seizure of {edf.name}, but {edf.name}.seizures says there is one; "
                    "fetch both anew"
                )
            case = summary.parent.name
            found.append(
                EegRecording(f"{source}/{edf.stem}", SAME_PERSON.get(case, case), edf, tuple(of_file))
            )
    if not found:
        raise DataMissing(f"{folder}: no chbNN/chbNN-summary.txt with .edf files beside it")
    return found


def _of_summary(path: Path) -> dict[str, list[Event]]:
    seizures: dict[str, list[Event]] = {}
    told: dict[str, int] = {}
    name, start = "", ""
    for number, line in enumerate(_lines(path), 1):
        key, _, value = (part.strip() for part in line.partition(":"))
        word = re.sub(r"\s*\d+\s*", " ", key.lower()).strip()
        if word == "file name":
            name, start = value, ""
            seizures.setdefault(name, [])
        elif word == "number of seizures in file":
            told[name] = int(value) if value.isdigit() else -1
        elif word == "seizure start time":
            start = value.split()[0] if value else ""
        elif word == "seizure end time":
            seizures[name].append(_event(path, f"line {number}", start, value.split()[0] if value else ""))
            start = ""
    for name, number in told.items():
        if number != len(seizures[name]):
            raise BadAnnotation(
                f"{path}: {name} has {number} seizures by its number, {len(seizures[name])} by their times; "
                "correct the summary"
            )
    return seizures


_CLOCK: Final = re.compile(r"(\d{1,2})\s*[.:]\s*(\d{1,2})\s*[.:]\s*(\d{1,2})\s*$")


def _clock_s(path: Path, number: int, value: str) -> float:
    match = _CLOCK.search(value.strip())
    hours, minutes, seconds = (int(part) for part in match.groups()) if match else (99, 0, 0)
    if hours > 24 or minutes > 59 or seconds > 59:
        raise BadAnnotation(f"{path}: line {number}: {value!r} is no time as 19.58.36; correct the file")
    return hours * 3600.0 + minutes * 60.0 + seconds


def list_siena(folder: Path, source: str) -> list[EegRecording]:
    """Siena: ``PNnn/Seizures-list-PNnn.txt`` with times of the clock, ``PNnn/*.edf``.

    Times stand with dots or colons and pass midnight; a record's start may be told once for several
    seizures; names are spelt variously (``PNO6-1.edf``, ``PN11-.edf``).

    Raises
    ------
    DataMissing
        No list there, or one names a file that is not beside it.
    BadAnnotation
        A time is none, or a seizure comes before its record's start is told.
    """
    found: list[EegRecording] = []
    for listing in sorted(folder.glob("*/[Ss]eizures-list-*.txt")):
        edfs = sorted(path for path in listing.parent.iterdir() if path.suffix.lower() == ".edf")
        seizures = _of_siena(listing, edfs)
        found += [
            EegRecording(f"{source}/{edf.stem}", listing.parent.name, edf, tuple(seizures.get(edf, ())))
            for edf in edfs
        ]
    if not found:
        raise DataMissing(f"{folder}: no PNnn/Seizures-list-PNnn.txt with .edf files beside it")
    return found


def _siena_file(listing: Path, number: int, name: str, edfs: Sequence[Path]) -> Path:
    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower().removesuffix(".edf").replace("pno", "pn0"))

    same = [edf for edf in edfs if plain(edf.name) == plain(name)]
    # "PN11-.edf" where only PN11-1.edf is there.
    near = same or [edf for edf in edfs if plain(edf.name).startswith(plain(name))]
    if len(near) != 1:
        beside = ", ".join(edf.name for edf in near) or "no such file"
        raise DataMissing(
            f"{listing}: line {number} names {name!r}; beside it there is {beside}: fetch or rename it"
        )
    return near[0]


def _of_siena(path: Path, edfs: Sequence[Path]) -> dict[Path, list[Event]]:
    seizures: dict[Path, list[Event]] = {}
    edf: Path | None = None
    began: float | None = None
    start: float | None = None
    for number, line in enumerate(_lines(path), 1):
        key, _, value = (part.strip() for part in line.partition(":"))
        word = key.lower()
        if word.startswith("file name"):
            named = _siena_file(path, number, value, edfs)
            edf, began = named, began if named == edf else None
        elif word.startswith("registration start"):
            began = _clock_s(path, number, value)
        elif "registration" in word or "end time" not in word and "start time" not in word:
            continue
        elif edf is None or began is None:
            raise BadAnnotation(
                f"{path}: line {number}: a seizure before its file name and registration start; add these"
            )
        elif "start time" in word:
            start = (_clock_s(path, number, value) - began) % DAY_S
        else:
            end = (_clock_s(path, number, value) - began) % DAY_S
            if start is None:
                raise BadAnnotation(f"{path}: line {number}: an end without a start before it; add it")
            seizures.setdefault(edf, []).append(_event(path, f"line {number}", start, end))
            start = None
    return seizures


def list_tusz(folder: Path, source: str) -> list[EegRecording]:
    """TUSZ: ``edf/{train,dev,eval}/PATIENT/…/NAME.edf`` with ``NAME.csv_bi`` (or ``NAME.csv``) beside it.

    Any channel's seizure is one of the record. Records without either file are refused.

    Raises
    ------
    DataMissing
        No recording, or one without annotations.
    BadAnnotation
        A line that is none.
    """
    found: list[EegRecording] = []
    for side in ("train", "dev", "eval"):
        for edf in sorted(folder.glob(f"edf/{side}/**/*.edf")):
            table = next(
                (one for one in (edf.with_suffix(".csv_bi"), edf.with_suffix(".csv")) if one.exists()), None
            )
            if table is None:
                raise DataMissing(
                    f"{edf}: no {edf.stem}.csv_bi or .csv beside it; fetch it, or remove the record"
                )
            found.append(
                EegRecording(f"{source}/{edf.stem}", edf.stem.split("_")[0], edf, _of_tusz(table), side)
            )
    if not found:
        raise DataMissing(f"{folder}: no edf/train, edf/dev or edf/eval with .edf files below")
    return found


def _of_tusz(path: Path) -> tuple[Event, ...]:
    rows = [line for line in _lines(path) if line.strip() and not line.startswith("#")]
    seizures: list[Event] = []
    for number, row in enumerate(csv.DictReader(rows), 2):
        label = (row.get("label") or "").strip()
        if not label or row.get("start_time") is None or row.get("stop_time") is None:
            raise BadAnnotation(
                f"{path}: row {number}: needs columns start_time, stop_time and label; fetch the file anew"
            )
        # bckg, and everything else that is no kind of seizure (artf, eyem, …).
        if label == "seiz" or label.endswith("sz"):
            seizures.append(_event(path, f"row {number}", row["start_time"], row["stop_time"]))
    return tuple(merge_events(seizures, TOUCHING_S))


def list_bids(folder: Path, source: str) -> list[EegRecording]:
    """BIDS-EEG as SzCORE has it: ``sub-…/…/eeg/*_eeg.edf`` with ``*_events.tsv``.

    ``eventType`` beginning with ``sz`` is a seizure, others (``bckg``, ``impd``) are none.

    Raises
    ------
    DataMissing
        No recording, or one without events.
    BadAnnotation
        A line that is none.
    """
    found: list[EegRecording] = []
    for edf in sorted(folder.glob("sub-*/**/eeg/*_eeg.edf")):
        table = edf.with_name(edf.name.removesuffix("_eeg.edf") + "_events.tsv")
        if not table.exists():
            raise DataMissing(f"{edf}: no {table.name} beside it; fetch it, or remove the record")
        seizures = []
        for number, row in enumerate(csv.DictReader(_lines(table), delimiter="\t"), 2):
            if not {"onset", "duration", "eventType"} <= row.keys():
                raise BadAnnotation(
                    f"{table}: needs the columns onset, duration and eventType; see SzCORE's format"
                )
            if (row["eventType"] or "").startswith("sz"):
                end = str(float(row["onset"]) + float(row["duration"]))
                seizures.append(_event(table, f"row {number}", row["onset"], end))
        patient = edf.relative_to(folder).parts[0]
        found.append(
            EegRecording(
                f"{source}/{edf.name.removesuffix('_eeg.edf')}", f"{source}-{patient}", edf, tuple(seizures)
            )
        )
    if not found:
        raise DataMissing(f"{folder}: no sub-*/…/eeg/*_eeg.edf below")
    return found


LAYOUTS: Final[dict[str, tuple[str, Callable[[Path, str], list[EegRecording]]]]] = {
    "CHB-MIT": ("*/chb*-summary.txt", list_chbmit),
    "Siena": ("*/[Ss]eizures-list-*.txt", list_siena),
    "TUSZ": ("edf/*/*", list_tusz),
    "BIDS": ("sub-*", list_bids),
}
"""Layouts, and what tells that a folder has one."""


def list_published(folder: Path, source: str) -> list[EegRecording]:
    """Recordings of a folder in whichever layout it has.

    Parameters
    ----------
    folder : Path
        Of one set, or one that holds it (``chbmit/physionet.org/files/chbmit/1.0.0``, a version's folder).
    source : str
        Name that its recordings bear.

    Raises
    ------
    DataMissing
        The folder is not there, or has no layout that is known.
    BadAnnotation
        See the layout's own words.
    """
    if not folder.is_dir():
        raise DataMissing(f"{folder}: not there; name the folder with the set by --data and data.sources")
    for root in _roots(folder):
        for sign, listed in LAYOUTS.values():
            if next(root.glob(sign), None) is not None:
                return _distinct(folder, listed(root, source))
    raise DataMissing(
        f"{folder}: none of the layouts {', '.join(LAYOUTS)}: no chbNN-summary.txt, Seizures-list-PNnn.txt, "
        "edf/train or sub-*"
    )


def _roots(folder: Path) -> Iterable[Path]:
    level = [folder]
    for _ in range(5):
        yield from level
        level = [inner for one in level for inner in sorted(one.iterdir()) if inner.is_dir()][:50]


def _distinct(folder: Path, found: list[EegRecording]) -> list[EegRecording]:
    names = [one.name for one in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadAnnotation(f"{folder}: {twice[0]} is there twice; remove or rename one of the files")
    return found


def inside(recording: EegRecording, duration_s: float) -> tuple[Event, ...]:
    """Seizures held against the record's length.

    One that ends a little behind the record is cut there.

    Raises
    ------
    BadAnnotation
        One begins behind the record's end, or ends more than :data:`LONGEST_EXCESS_S` behind it.
    """
    kept = []
    for start, end in recording.seizures:
        if start >= duration_s or end > duration_s + LONGEST_EXCESS_S:
            raise BadAnnotation(
                f"{recording.path}: a seizure from {start:g} to {end:g} s in a record of {duration_s:g} s; "
                "is the file whole? Fetch it anew or correct its annotation"
            )
        if end > duration_s:
            logger.warning(
                "%s: a seizure's end at %g s is cut to the record's, %g s", recording.path, end, duration_s
            )
        kept.append((start, min(end, duration_s)))
    return tuple(kept)
