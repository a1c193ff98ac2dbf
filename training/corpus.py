"""Recordings on disk, conditioned once and kept in a cache; then one flat array that windows are cut from."""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingest import conditioning, filters, resample
from ingest.conditioning import ECG, ConditioningSpec
from training import folder_source, sources
from training.errors import DataMissing
from training.sources import FloatArray, IntArray, Recording, WideFloatArray

logger = logging.getLogger(__name__)


def _code_hash() -> str:
    """Changes when the code that conditions or reads does."""
    digest = hashlib.sha256()
    for module in (conditioning, filters, resample, sources):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _named_in(header: Path, *, segments: bool = True) -> set[Path]:
    """Files that a header names: signals that bear another name, segments with their headers and signals."""
    found: set[Path] = set()
    if not header.is_file():
        return found
    lines = [line for line in header.read_text(errors="replace").splitlines() if line and line[0] != "#"]
    for word in {line.split()[0] for line in lines[1:] if line.split()}:
        segment = header.with_name(f"{word}.hea")
        if segments and segment.is_file():
            found |= {segment, *_named_in(segment, segments=False)}
        elif (header.parent / word).is_file():
            found.add(header.parent / word)
    return found


def _content_hash(path: Path, code: str, spec: ConditioningSpec) -> str:
    """Changes when the record, its annotations, its table, the code or the spec does."""
    digest = hashlib.sha256(f"{code} {spec}".encode())
    tables = [path.parent / "ALARMS", *path.parent.glob("REFERENCE*.csv")]
    # Header, signals (.dat or .mat) and whatever annotations there are.
    own = [file for file in path.parent.glob(glob.escape(path.name) + ".*") if file.is_file()]
    for file in sorted([*own, *(table for table in tables if table.exists())]):
        digest.update(file.read_bytes())
    for file in sorted(_named_in(path.with_name(path.name + ".hea")) - {*own}):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _cached(path: Path, read: Callable[[], Recording], cache: Path, key: str) -> Recording:
    """Read through the cache. A damaged entry is made anew."""
    entry = cache / f"{path.parent.name}-{path.name}-{key}.npz"
    if entry.exists():
        try:
            with entry.open("rb") as file, np.load(file, allow_pickle=False) as z:
                return Recording(
                    str(z["source"]),
                    str(z["record"]),
                    tuple(str(name) for name in z["leads"]),
                    z["signal"],
                    z["beats"],
                    z["beat_classes"],
                    z["beats_known"],
                    z["rhythm"],
                )
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("cache entry %s is damaged and is made anew: %s", entry.name, error)
    recording = read()
    cache.mkdir(parents=True, exist_ok=True)
    # Several trainings may fill the cache at the same time.
    part = entry.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(
        part,
        source=recording.source,
        record=recording.record,
        leads=np.array(recording.leads),
        signal=recording.signal,
        beats=recording.beats,
        beat_classes=recording.beat_classes,
        beats_known=recording.beats_known,
        rhythm=recording.rhythm,
    )
    part.replace(entry)
    return recording


def names_of(data: Path, wanted: Iterable[str]) -> tuple[str, ...]:
    """``source/record`` of each record of the data sets, in order.

    Raises
    ------
    DataMissing
        A folder is not there or holds no records.
    """
    return tuple(
        f"{source}/{path.name}"
        for source in wanted
        for path, _ in sources.readers(source, data / source, ECG)
    )


def load_names(data: Path, names: Sequence[str], spec: ConditioningSpec, cache: Path) -> list[Recording]:
    """Read recordings through the cache.

    Parameters
    ----------
    data : Path
        Folder that holds one folder a data set.
    names : sequence of str
        ``source/record``.
    spec : ConditioningSpec
        Of the serving chain.
    cache : Path
        Folder of the cache.

    Raises
    ------
    DataMissing
        No names at all (an empty side of a split), or a record of them is not there.
    """
    if not names:
        raise DataMissing(f"no records asked for under {data}: this side of the split is empty")
    code = _code_hash()
    asked = set(names)
    found: dict[str, Recording] = {}
    for source in dict.fromkeys(name.split("/", 1)[0] for name in names):
        meaning = folder_source.opened().meaning if source == "folder" else ""
        for path, read in sources.readers(source, data / source, spec):
            name = f"{source}/{path.name}"
            if name in asked:
                found[name] = _cached(path, read, cache, _content_hash(path, code + meaning, spec))
    missing = [name for name in names if name not in found]
    if missing:
        raise DataMissing(
            f"{data}: no record {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''} in it"
        )
    return [found[name] for name in names]


@dataclass(frozen=True, slots=True)
class Corpus:
    """All leads of many recordings, end to end.

    Attributes
    ----------
    signal : ndarray of float32, shape (n,)
        Conditioned samples, lead after lead.
    begins, ends : ndarray of int64, shape (n_leads,)
        Where each lead lies.
    owner : ndarray of int64, shape (n_leads,)
        Index of its recording.
    source, record : tuple of str, one a recording
        Where it is from.
    beats : ndarray of float64, shape (n_beats,)
        Positions in ``signal``, ascending; each beat once a lead.
    beat_classes : ndarray of int64, shape (n_beats,)
        As :class:`~training.sources.Recording` has them.
    beats_known, rhythm : ndarray, shape (n,)
        As :class:`~training.sources.Recording` has them.
    """

    signal: FloatArray
    begins: IntArray
    ends: IntArray
    owner: IntArray
    source: tuple[str, ...]
    record: tuple[str, ...]
    beats: WideFloatArray
    beat_classes: IntArray
    beats_known: npt.NDArray[np.bool_]
    rhythm: npt.NDArray[np.uint8]


def build_corpus(recordings: Sequence[Recording]) -> Corpus:
    """Lay recordings end to end; every lead becomes examples of its own."""
    lengths = [r.signal.shape[1] for r in recordings for _ in r.leads]
    ends = np.cumsum(lengths, dtype=np.int64)
    begins = ends - np.array(lengths, dtype=np.int64)
    leads = [(i, r) for i, r in enumerate(recordings) for _ in r.leads]
    return Corpus(
        np.concatenate([r.signal.reshape(-1) for r in recordings]),
        begins,
        ends,
        np.array([i for i, _ in leads], dtype=np.int64),
        tuple(r.source for r in recordings),
        tuple(r.record for r in recordings),
        np.concatenate([r.beats + begin for begin, (_, r) in zip(begins, leads, strict=True)]),
        np.concatenate([r.beat_classes for _, r in leads]),
        np.concatenate([r.beats_known for _, r in leads]),
        np.concatenate([r.rhythm for _, r in leads]),
    )
