"""Published EEG sets as lists of recordings with seizures: CHB-MIT, Siena, TUSZ, and BIDS as SzCORE has it.

Nothing of a signal is read here, so that what is wrong with the annotations is said before any time is
spent.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from models.szcore import Event, merge_events
from training.eeg_hospitals import list_chbmit, list_siena
from training.eeg_recording import EegRecording, make_event, read_lines
from training.errors import BadAnnotation, DataMissing

TOUCHING_S: Final = 1e-3
"""Seizures of several channels (TUSZ) with a shorter pause are one."""


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
    rows = [line for line in read_lines(path) if line.strip() and not line.startswith("#")]
    seizures: list[Event] = []
    for number, row in enumerate(csv.DictReader(rows), 2):
        label = (row.get("label") or "").strip()
        if not label or row.get("start_time") is None or row.get("stop_time") is None:
            raise BadAnnotation(
                f"{path}: row {number}: needs columns start_time, stop_time and label; fetch the file anew"
            )
        # bckg, and everything else that is no kind of seizure (artf, eyem, …).
        if label == "seiz" or label.endswith("sz"):
            seizures.append(make_event(path, f"row {number}", row["start_time"], row["stop_time"]))
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
        for number, row in enumerate(csv.DictReader(read_lines(table), delimiter="\t"), 2):
            if not {"onset", "duration", "eventType"} <= row.keys():
                raise BadAnnotation(
                    f"{table}: needs the columns onset, duration and eventType; see SzCORE's format"
                )
            if (row["eventType"] or "").startswith("sz"):
                _, lasts = make_event(table, f"row {number}, duration", 0.0, row["duration"])
                start, _ = make_event(table, f"row {number}, onset", row["onset"], float("inf"))
                seizures.append((start, start + lasts))
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
