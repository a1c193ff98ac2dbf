"""What can be wrong with a user's records, found from headers and annotations alone, in one error."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import wfdb

from ingest.conditioning import ECG
from models.spec import STEP_CLASSES
from training.errors import BadAnnotation, DataMissing
from training.folder_labels import UNCLASSED_NAME
from training.folder_signal import implausible_rate, truncated

if TYPE_CHECKING:
    from training.folder_source import Folder

logger = logging.getLogger(__name__)

SHORTEST_S: Final = 10.0
SHOWN: Final = 5


@dataclass(slots=True)
class Findings:
    """What was found while going through the records.

    Attributes
    ----------
    wrong : dict of str to list of str
        Records by what is wrong with them; the key ends with the way out.
    unknown : Counter of str
        Symbols and notes that the label map does not have.
    passed_over : Counter of str
        Symbols of no beat that neither the label map nor its ``[ignore]`` names.
    counts : dict of str to Counter of str
        Beats and rhythm marks of each class, by side.
    """

    wrong: dict[str, list[str]] = field(default_factory=dict)
    unknown: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=dict)

    @property
    def n_wrong(self) -> int:
        """How often something was wrong."""
        return sum(map(len, self.wrong.values()))

    def add(self, what: str, record: str) -> None:
        """Note a record."""
        self.wrong.setdefault(what, []).append(record)


def check(folder: Folder, *, mapped_by_user: bool) -> None:
    """Go through all headers and annotations.

    Parameters
    ----------
    folder : Folder
        With labels, patients and sides.
    mapped_by_user : bool
        Whether each class of the label map is one that the user wants; WFDB's own codes need not all occur.

    Raises
    ------
    BadAnnotation
        Symbols that the label map does not have, with their counts.
    DataMissing
        Anything else.
    """
    found = Findings()
    for record in folder.records:
        header = _check_header(folder, record, found)
        if header is not None:
            _count(folder, record, header, found)
    lines = [f"{len(names)} records {what}: {_some(names)}" for what, names in found.wrong.items()]
    if found.unknown:
        symbols = ", ".join(f"{symbol!r} {n} times" for symbol, n in found.unknown.most_common(20))
        lines.append(
            f"annotations that the label map does not have: {symbols}; "
            "give them a class under [beats] or [rhythms], or name them under [ignore]"
        )
    if not lines:
        lines = _check_classes(folder, found, mapped_by_user=mapped_by_user)
    if lines:
        kind = BadAnnotation if found.unknown else DataMissing
        raise kind(f"{folder.path}: " + "\n  ".join(lines))
    if found.passed_over:
        listed = ", ".join(f"{symbol!r} {n} times" for symbol, n in found.passed_over.most_common())
        logger.info("passed over as no beats (name them under [ignore], or give them a class): %s", listed)
    for side, counts in found.counts.items():
        logger.info("%s: %s", side, ", ".join(f"{name} {n}" for name, n in sorted(counts.items())))


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "")


def _check_header(folder: Folder, record: str, found: Findings) -> wfdb.Record | None:
    """Header of a record that has signals to read and annotations; None for another."""
    path = folder.path / record
    try:
        header = wfdb.rdheader(str(path))
    except FileNotFoundError:
        found.add("without a header (RECORDS names them)", record)
        return None
    except (OSError, ValueError, IndexError, TypeError):
        found.add("whose header cannot be read", record)
        return None
    before = found.n_wrong
    units = [unit.lower() for unit in getattr(header, "units", None) or ()]
    files = [name for name in getattr(header, "file_name", None) or () if name != "~"]
    if isinstance(header, wfdb.Record) and "mv" not in units:
        shown = ", ".join(sorted(set(units))) or "no signals"
        found.add(f"without a channel in mV ({shown}); the header has to state gain and unit mV", record)
    if any(not (folder.path / name).is_file() for name in files):
        found.add("whose signal file is missing", record)
    elif isinstance(header, wfdb.Record) and header.sig_len and truncated(header, folder.path):
        found.add("whose signal file is shorter than its header says; copy it again", record)
    if header.fs < ECG.min_fs_hz:
        found.add(f"sampled at {header.fs:g} Hz; {ECG.min_fs_hz:g} Hz is the least", record)
    elif not header.sig_len or header.sig_len / header.fs < SHORTEST_S:
        found.add(f"shorter than {SHORTEST_S:g} s; take them out, or name the others in RECORDS", record)
    if not path.with_name(f"{record}.{folder.labels.annotator}").is_file():
        found.add(
            f'without annotations .{folder.labels.annotator} (annotator = "…" in the label map); '
            "take them out, or name the others in RECORDS",
            record,
        )
    return header if found.n_wrong == before else None


def _count(folder: Folder, record: str, header: wfdb.Record, found: Findings) -> None:
    """Count the classes of a record's annotations, note what the map does not have."""
    labels = folder.labels
    try:
        annotation = wfdb.rdann(str(folder.path / record), labels.annotator)
    except (OSError, ValueError, IndexError, KeyError):
        found.add(f"whose annotations .{labels.annotator} cannot be read", record)
        return
    if not len(annotation.sample):
        found.add(f"whose annotations .{labels.annotator} are empty; take them out", record)
        return
    fs_hz = float(annotation.fs or header.fs)
    if annotation.sample[-1] / fs_hz > header.sig_len / header.fs + 1.0:
        found.add("annotated beyond their end: is the sampling rate in the header right?", record)
    counts = found.counts.setdefault(folder.side_of(record), Counter())
    beats: set[str] = set()
    for symbol, n in Counter(annotation.symbol).items():
        try:
            label = labels.beat_class(symbol)
        except KeyError:
            found.unknown[symbol] += n
            continue
        # Notes of rhythm come with "+": they are counted below.
        if label is None and symbol != "+" and symbol not in labels.ignore.symbols:
            found.passed_over[symbol] += n
        if label is not None:
            beats.add(symbol)
            counts[STEP_CLASSES[label] if label >= 0 else UNCLASSED_NAME] += n
    _warn_of_rate(folder, record, annotation.sample[np.isin(annotation.symbol, list(beats))] / fs_hz)
    for note, n in Counter(note.strip("\0 ") for note in annotation.aux_note).items():
        try:
            name = labels.rhythm_class(note)
        except KeyError:
            found.unknown[note] += n
            continue
        if name is not None:
            counts[name] += n


def _warn_of_rate(folder: Folder, record: str, beats_s: npt.NDArray[np.float64]) -> None:
    median_s = implausible_rate(beats_s)
    if median_s is not None:
        logger.warning(
            "%s: median R-R interval %.3g s: is the header's rate right?", folder.path / record, median_s
        )


def _check_classes(folder: Folder, found: Findings, *, mapped_by_user: bool) -> list[str]:
    """Words on classes that no record of the training side has."""
    wanted = [name for name in (*folder.labels.beats, *folder.labels.rhythms) if name != UNCLASSED_NAME]
    total: Counter[str] = sum(found.counts.values(), Counter())
    if not mapped_by_user:
        wanted = [name for name in wanted if total[name]]
    if not wanted:
        return ["no annotation of any class in it; a label map (--labels) says what yours mean"]
    train, validation = (found.counts.get(side, Counter()) for side in ("train", "validation"))
    absent = [name for name in folder.labels.rhythms if name in wanted and not total[name]]
    if absent:
        logger.warning("no record has a note of rhythm %s: it is not trained on", ", ".join(absent))
    wanted = [name for name in wanted if name not in absent]
    if not sum(total[name] for name in wanted):
        return ["no annotation of any class in it; a label map (--labels) says what yours mean"]
    for name in wanted:
        if train[name] and not validation[name]:
            logger.warning("no validation patient has class %s: nothing chooses its threshold", name)
    missing = [name for name in wanted if not train[name]]
    if not missing:
        return []
    where = ", ".join(f"{name} ({total[name]} on other sides)" for name in missing)
    return [
        f"no training patient has class {where}: take it out of the label map, "
        "or move patients by a split.file"
    ]
