"""A user's own folder of WFDB records as the data source ``folder``: records, labels, patients, sides.

What headers and annotations can tell is checked when the folder is opened, before any signal is conditioned
(:mod:`training.folder_check`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from ingest import conditioning
from ingest.conditioning import ConditioningSpec
from training.config import FolderConfig
from training.errors import BadAnnotation, DataMissing
from training.folder_labels import Labels, read_labels
from training.folder_sides import SIDES, folds_of, patients_of, sides_of
from training.folder_signal import is_empty, warn_of_gaps
from training.sources import Recording, bit, conditioned
from training.splits import Side
from training.task import Split

SOURCE: Final = "folder"
CODE: Final = ("folder_source.py", "folder_labels.py")
PLAUSIBLE_MV: Final = (0.005, 50.0)
"""Height of an ECG after the band-pass: outside of it the header's gain or unit cannot be right."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A user's records.

    Attributes
    ----------
    path : Path
        Where they are.
    labels : Labels
        What their annotations mean.
    records : tuple of str
        Names of the records.
    patient_of : mapping of str to str
        Patient of each record.
    sides : mapping of str to {"train", "validation", "test"}
        Side of each patient.
    """

    path: Path
    labels: Labels
    records: tuple[str, ...]
    patient_of: Mapping[str, str]
    sides: Mapping[str, Side]

    def side_of(self, record: str) -> Side:
        """Side of a record: that of its patient."""
        return self.sides[self.patient_of[record]]

    def split(self) -> Split:
        """Records of the three sides."""
        train, validation, test = (
            tuple(f"{SOURCE}/{record}" for record in self.records if self.side_of(record) == side)
            for side in SIDES
        )
        return Split(train, validation, test)

    def folds(self, k: int) -> list[Split]:
        """``k`` splits by patient; each patient tests in one of them.

        Raises
        ------
        DataMissing
            Fewer patients than folds.
        """

        def names(patients: Collection[str]) -> tuple[str, ...]:
            return tuple(f"{SOURCE}/{name}" for name in self.records if self.patient_of[name] in patients)

        return [Split(*map(names, sides)) for sides in folds_of(set(self.sides), k)]

    @property
    def meaning(self) -> str:
        """Changes when the label map or the code that reads does."""
        code = b"".join(Path(__file__).with_name(name).read_bytes() for name in CODE)
        return hashlib.sha256(code + self.labels.model_dump_json().encode()).hexdigest()

    def readers(self, spec: ConditioningSpec) -> Iterator[tuple[Path, Callable[[], Recording]]]:
        """Each record and how to read it, in order of names."""
        for record in self.records:
            path = self.path / record
            yield path, partial(read_own, path, self.labels, spec)


def read_own(path: Path, labels: Labels, spec: ConditioningSpec) -> Recording:
    """Read a record with its own annotations and label map.

    Raises
    ------
    DataMissing
        No signal in it, or one of no plausible height.
    BadAnnotation
        A symbol or note that the map does not have.
    """
    try:
        signal, leads, fs_hz = conditioned(path, spec)
    except DataMissing as error:
        if is_empty(path):
            raise DataMissing(f"{path}: no finite sample in its ECG, all are missing (NaN)") from error
        raise
    height = float(np.subtract(*np.nanpercentile(signal, (99.5, 0.5))))
    low, high = PLAUSIBLE_MV
    if not low <= height <= high:
        raise DataMissing(f"{path}: its ECG is {height:.3g} mV high: are gain and unit in the header right?")
    annotation = wfdb.rdann(str(path), labels.annotator)
    # Annotations may count in a clock of their own.
    scale = spec.rate_hz / float(annotation.fs or fs_hz)
    place = annotation.sample * scale + conditioning.delay_s(fs_hz, spec) * spec.rate_hz
    n = signal.shape[1]
    try:
        classes = [labels.beat_class(symbol) for symbol in annotation.symbol]
        rhythms = [labels.rhythm_class(note.strip("\0 ")) for note in annotation.aux_note]
    except KeyError as error:
        raise BadAnnotation(
            f"{path}.{labels.annotator}: {error.args[0]!r} is not in the label map"
        ) from error
    # A record without any beat mark tells of rhythms alone, not that there are no beats.
    known = np.full(n, bool(labels.beats) and any(label is not None for label in classes))
    begin: int | None = None
    for at, symbol in zip(place.tolist(), annotation.symbol, strict=True):
        if symbol == "[":
            begin = round(at)
        elif symbol == "]" and begin is not None:
            known[begin : round(at)] = False
            begin = None
    rhythm = np.zeros(n, dtype=np.uint8)
    for at, name in zip(place.tolist(), rhythms, strict=True):
        if name is not None:
            rhythm[max(0, round(at)) :] = bit(name)
    is_beat = np.array([label is not None for label in classes], dtype=np.bool_)
    warn_of_gaps(path, annotation.sample[is_beat] / float(annotation.fs or fs_hz))
    return Recording(
        SOURCE,
        path.name,
        leads,
        signal,
        np.asarray(place[is_beat], dtype=np.float64),
        np.array([label for label in classes if label is not None], dtype=np.int64),
        known,
        rhythm,
    )


def list_records(folder: Path) -> tuple[str, ...]:
    """Names of a folder's records: those that its file RECORDS names, else all headers.

    Raises
    ------
    DataMissing
        No such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise DataMissing(f"{folder}: no such folder (--records names a folder of WFDB records)")
    listed = folder / "RECORDS"
    names = (
        listed.read_text().split() if listed.is_file() else sorted(path.stem for path in folder.glob("*.hea"))
    )
    if not names:
        raise DataMissing(f"{folder}: no WFDB records (*.hea) in it")
    below = [name for name in names if "/" in name]
    if below:
        raise DataMissing(
            f"{listed}: {', '.join(below[:3])} lie in other folders; put the records (or links to them) "
            "into one folder, each with a name of its own"
        )
    return tuple(dict.fromkeys(names))


_opened: dict[str, Folder] = {}
"""The folder of this process's recipe, under the name of the source: readers are found by that name."""


def describe_folder(config: FolderConfig) -> Folder:
    """Records, labels, patients and sides of a user's folder; its records are not looked into.

    Raises
    ------
    DataMissing, BadAnnotation
        The folder, the label map or a file that it names is not there or wrong.
    """
    path = Path(config.records)
    labels_file = Path(config.labels) if config.labels else None
    labels = read_labels(labels_file)
    records = list_records(path)
    beside = path if labels_file is None else labels_file.parent
    patient_of = patients_of(records, labels.patients, beside)
    sides = sides_of(set(patient_of.values()), labels.split, beside)
    return Folder(path, labels, records, patient_of, sides)


def open_folder(config: FolderConfig) -> Folder:
    """Check a user's folder and make it the source ``folder`` of this process.

    Raises
    ------
    DataMissing, BadAnnotation
        All that is wrong with it, at once.
    """
    from training.folder_check import check

    folder = describe_folder(config)
    check(folder, mapped_by_user=bool(config.labels))
    _opened[SOURCE] = folder
    return folder


def opened() -> Folder:
    """The folder of this process's recipe.

    Raises
    ------
    DataMissing
        It was not opened.
    """
    if SOURCE not in _opened:
        raise DataMissing(f"source {SOURCE!r} is not open: its recipe names it")
    return _opened[SOURCE]
