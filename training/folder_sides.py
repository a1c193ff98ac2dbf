"""Which of a user's records are of one person, and on which side each patient stands."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Final

from training.errors import BadAnnotation, DataMissing
from training.folder_labels import Patients, Shares
from training.sources import read_table
from training.splits import Side

logger = logging.getLogger(__name__)

SIDES: Final[tuple[Side, ...]] = ("train", "validation", "test")
VALIDATION_SHARE: Final = 0.2
"""Of the patients of a fold that do not test: how many validate."""


def _two_columns(path: Path, head: str) -> dict[str, str]:
    """A CSV file of two columns, with or without a head."""
    rows = read_table(path)
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise BadAnnotation(f"{path}: row {number} has {len(row)} columns; expected {head}")
    table: dict[str, str] = {}
    for key, value in ((row[0].strip(), row[1].strip()) for row in rows):
        if table.setdefault(key, value) != value:
            raise BadAnnotation(f"{path}: {key} is {table[key]!r} and {value!r}; leave one row ({head})")
    table.pop(head.split(",")[0], None)
    return table


def patients_of(records: tuple[str, ...], rule: Patients, beside: Path) -> dict[str, str]:
    """Patient of each record.

    Parameters
    ----------
    records : tuple of str
        Names.
    rule : Patients
        Of the label map.
    beside : Path
        Folder that a relative ``file`` is in.

    Raises
    ------
    DataMissing
        The file is not there, or a record is not in it.
    BadAnnotation
        A row of it is not ``record,patient``, or two rows of a record differ.
    """
    if rule.file is not None:
        table = _two_columns(beside / rule.file, "record,patient")
        missing = [record for record in records if record not in table]
        if missing:
            raise DataMissing(f"{beside / rule.file}: no patient for record {', '.join(missing[:5])}")
        return {record: table[record] for record in records}
    if rule.prefix is not None:
        return {record: record[: rule.prefix] for record in records}
    if rule.before is not None:
        return {record: record.split(rule.before, 1)[0] for record in records}
    logger.warning("each record counts as a patient of its own; if it is not so, say so under [patients]")
    return {record: record for record in records}


def sides_of(patients: set[str], shares: Shares, beside: Path) -> dict[str, Side]:
    """Side of each patient: from a file, else by shares in the order of their names' hashes.

    Raises
    ------
    DataMissing
        The file is not there, a patient is not in it, or there are too few patients.
    BadAnnotation
        A row of it is not ``patient,train|validation|test``, or two rows of a patient differ.
    """
    sides: dict[str, Side] = {}
    if shares.file is not None:
        path = beside / shares.file
        table = _two_columns(path, "patient,side")
        missing = sorted(patients - set(table))
        if missing:
            raise DataMissing(f"{path}: no side for patient {', '.join(missing[:5])}")
        for patient in sorted(patients):
            side = next((side for side in SIDES if side == table[patient]), None)
            if side is None:
                raise BadAnnotation(f"{path}: {patient} is on side {table[patient]!r}; {', '.join(SIDES)}")
            sides[patient] = side
        return sides
    order = _shuffled(patients)
    n_test = max(1, round(shares.test * len(order))) if shares.test else 0
    n_validation = max(1, round(shares.validation * len(order)))
    if len(order) <= n_test + n_validation:
        raise DataMissing(
            f"{len(order)} patients cannot train, validate and test: add some, set split.test = 0, "
            "or name a split.file"
        )
    sides = dict.fromkeys(order, "train")
    sides |= dict.fromkeys(order[: n_test + n_validation], "validation")
    return sides | dict.fromkeys(order[:n_test], "test")


def _shuffled(patients: set[str]) -> list[str]:
    """In the order of their names' hashes: arbitrary, the same each time."""
    return sorted(patients, key=lambda patient: hashlib.sha256(patient.encode()).digest())


def folds_of(patients: set[str], k: int) -> list[tuple[set[str], set[str], set[str]]]:
    """Patients who train, validate and test in each of ``k`` folds.

    Raises
    ------
    DataMissing
        Fewer patients than folds, or too few to train and validate besides.
    """
    order = _shuffled(patients)
    if len(order) < max(k, 3):
        raise DataMissing(f"{k} folds of {len(order)} patients: at least {max(k, 3)} patients are needed")
    folds = []
    for i in range(k):
        test = order[i::k]
        # Begins behind the fold's own patients, so that folds validate on different ones.
        rest = [patient for patient in order[i:] + order[:i] if patient not in test]
        n = max(1, round(VALIDATION_SHARE * len(rest)))
        folds.append((set(rest[n:]), set(rest[:n]), set(test)))
    return folds
