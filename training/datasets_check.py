"""Whether a data set on disk is whole: records readable, labels there, files as PhysioNet has them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
import wfdb

from training.datasets import DATASETS, DataSet
from training.download import SUMS, digest, read_sums
from training.errors import BadRecipe, DataMissing
from training.layout import Located, locate
from training.sources import read_table

UNREADABLE: Final = (
    OSError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
    soundfile.SoundFileError,
)
"""What reading a damaged record or annotation raises."""


NOISES: Final = ("bw", "em", "ma")
"""Records of nstdb that are noise alone: there is nothing to annotate in them."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found.

    Attributes
    ----------
    dataset : DataSet
        Which one.
    folder : Path
        Where its records are.
    records, labelled, verified : int
        Records that were read, records with annotations or a row in the table, files whose checksum agrees.
    problems : tuple of str
        One sentence each.
    """

    dataset: DataSet
    folder: Path
    records: int
    labelled: int
    verified: int
    problems: tuple[str, ...]


def find(path: Path) -> Located:
    """The set at ``DIR/NAME``, in whichever layout.

    Raises
    ------
    BadRecipe
        NAME is no set that the recipes know.
    DataMissing
        It is not there.
    """
    if path.name not in DATASETS:
        raise BadRecipe(
            f"{path}: expected DIR/NAME, NAME one of {', '.join(DATASETS)}; "
            "a folder of your own is checked with its label map: --labels labels.toml"
        )
    located = locate(path.parent, path.name)
    if located is None:
        raise DataMissing(
            f"{path}: no records of {path.name} in {path.parent}; "
            f"wardwave datasets download {path.name} --into {path.parent}"
        )
    return located


def _labelled(located: Located, header: Path, table: set[str] | None) -> bool:
    if table is not None:
        return header.stem in table
    own = located.dataset.annotators
    return any(header.with_suffix(f".{annotator}").is_file() for annotator in own)


def _read(located: Located, header: Path) -> str | None:
    """What is wrong with a record, or None."""
    try:
        record = wfdb.rdrecord(str(header.with_suffix("")))
    except UNREADABLE as error:
        return f"{header.stem}: cannot be read: {error}"
    if not np.isfinite(record.p_signal).any():
        return f"{header.stem}: no finite sample in it"
    for annotator in located.dataset.annotators:
        file = header.with_suffix(f".{annotator}")
        if file.is_file():
            try:
                wfdb.rdann(str(header.with_suffix("")), annotator)
            except UNREADABLE as error:
                return f"{file.name}: cannot be read: {error}"
    return None


def _sums(located: Located) -> dict[Path, str]:
    """Checksums of files that are here, from SHA256SUMS.txt beside the records or above them."""
    for folder in (located.records, *located.records.parents):
        listed = folder / SUMS
        if listed.is_file():
            sums = read_sums(listed.read_text())
            return {folder / name: value for name, value in sums.items() if (folder / name).is_file()}
        if folder == located.root:
            break
    return {}


def check_dataset(path: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> Checked:
    """Read every record of a set, look for its labels, compare checksums where there are some.

    Parameters
    ----------
    path : Path
        ``DIR/NAME``.
    progress : callable
        Called with how many records are done, and how many there are.

    Raises
    ------
    BadRecipe, DataMissing
        See :func:`find`.
    """
    located = find(path)
    headers = sorted(located.records.glob("*/*.hea" if located.nested else "*.hea"))
    problems: list[str] = []
    table: set[str] | None = None
    if located.dataset.table:
        if located.table is None:
            problems.append(f"no table of labels ({located.dataset.table})")
        table = {row[0] for row in read_table(located.table)} if located.table else set()
    labelled = 0
    without: list[str] = []
    for done, header in enumerate(headers, start=1):
        wrong = _read(located, header)
        problems += [wrong] if wrong else []
        if _labelled(located, header, table):
            labelled += 1
        elif header.stem not in NOISES:
            without.append(header.stem)
        progress(done, len(headers))
    if without:
        shown = ", ".join(without[:5]) + (" …" if len(without) > 5 else "")
        problems.append(f"{len(without)} records without labels: {shown}; fetch the set again")
    sums = _sums(located)
    differing = [file.name for file, value in sums.items() if digest(file) != value]
    problems += [f"{name}: not as {SUMS} says; fetch it again" for name in differing]
    return Checked(
        located.dataset,
        located.records,
        len(headers),
        labelled,
        len(sums) - len(differing),
        tuple(problems),
    )
