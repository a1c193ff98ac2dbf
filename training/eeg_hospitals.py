"""CHB-MIT and Siena as they are published: lists of seizures in text files beside the EDF files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.szcore import DAY_S, Event
from training.eeg_recording import EegRecording, make_event, read_lines
from training.errors import BadAnnotation, DataMissing

SAME_PERSON: Final = {"chb21": "chb01"}
"""CHB-MIT: case 21 is the child of case 01, a year and a half later."""


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
    for number, line in enumerate(read_lines(path), 1):
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
            seizures[name].append(
                make_event(path, f"line {number}", start, value.split()[0] if value else "")
            )
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
    for number, line in enumerate(read_lines(path), 1):
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
            seizures.setdefault(edf, []).append(make_event(path, f"line {number}", start, end))
            start = None
    return seizures
