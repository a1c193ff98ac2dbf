"""Recordings on disk, conditioned once and kept in a cache; then one flat array that windows are cut from."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingest import conditioning, filters, resample
from ingest.conditioning import ConditioningSpec
from training import sources
from training.errors import DataMissing
from training.sources import FloatArray, IntArray, Recording, WideFloatArray
from training.splits import Side, side_of

logger = logging.getLogger(__name__)


def _code_hash() -> str:
    """Changes when the code that conditions or reads does."""
    digest = hashlib.sha256()
    for module in (conditioning, filters, resample, sources):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def _content_hash(path: Path, code: str, spec: ConditioningSpec) -> str:
    """Changes when the record, its annotations, its table, the code or the spec does."""
    digest = hashlib.sha256(f"{code} {spec}".encode())
    tables = [path.parent / "ALARMS", path.parent / "REFERENCE.csv"]
    for file in [*(path.with_name(path.name + suffix) for suffix in (".hea", ".dat", ".atr")), *tables]:
        if file.exists():
            digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def _cached(path: Path, read: Callable[[], Recording], cache: Path, key: str) -> Recording:
    """Read through the cache. A damaged entry is made anew."""
    entry = cache / f"{path.parent.name}-{path.name}-{key}.npz"
    if entry.exists():
        try:
            with np.load(entry, allow_pickle=False) as z:
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
        except (OSError, ValueError, KeyError) as error:
            logger.warning("cache entry %s is damaged and is made anew: %s", entry.name, error)
    recording = read()
    cache.mkdir(parents=True, exist_ok=True)
    part = entry.with_suffix(".part.npz")
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


def load_side(
    data: Path, names: Iterable[str], side: Side, spec: ConditioningSpec, cache: Path
) -> list[Recording]:
    """Read all recordings of one side of the split.

    Parameters
    ----------
    data : Path
        Folder that holds one folder a data set.
    names : iterable of str
        Data sets.
    side : {"train", "validation", "test"}
        Which patients.
    spec : ConditioningSpec
        Of the serving chain.
    cache : Path
        Folder of the cache.

    Raises
    ------
    DataMissing
        A folder is not there, or no record of it stands on this side.
    """
    code = _code_hash()
    found: list[Recording] = []
    for name in names:
        before = len(found)
        for path, read in sources.readers(name, data / name, spec):
            if side_of(name, path.name) == side:
                found.append(_cached(path, read, cache, _content_hash(path, code, spec)))
        if len(found) == before:
            raise DataMissing(f"{data / name}: no record of the {side} side in it")
    logger.info("%s: %d recordings", side, len(found))
    return found


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
