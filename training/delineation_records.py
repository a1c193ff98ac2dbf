"""Leads with P, QRS and T waves marked by hand (LUDB): conditioned signals and waves, one item a lead.

LUDB (Kalyakulina et al. 2020) marks each lead by itself: an annotation file per lead, named after it, with
``(`` peak ``)`` for each wave. The first and last cycles of a recording are not marked, so nothing is known
outside the first and last mark.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import wfdb

from ingest import conditioning, filters, resample
from ingest.conditioning import ConditioningSpec
from models.delineate import WAVES
from training.errors import BadAnnotation, DataMissing
from training.sources import FloatArray, WideFloatArray

logger = logging.getLogger(__name__)

SPEC: Final = ConditioningSpec(rate_hz=250.0, low_hz=0.5, high_hz=40.0)
"""What the model sees. Twice the rate of the monitor's chain: boundaries are asked to a few milliseconds."""

KIND_OF: Final = {"p": WAVES.index("P"), "N": WAVES.index("QRS"), "t": WAVES.index("T")}
NEAR_S: Final = 0.012
"""A peak mark may lie this far outside its wave's brackets: some were set on the bracket itself."""


@dataclass(frozen=True, slots=True)
class Lead:
    """One lead of one recording.

    Attributes
    ----------
    record : str
        ``source/record``; also the patient, as each has one recording.
    lead : str
        Its name.
    rhythm : str
        As the header says; empty where it does not.
    signal : ndarray of float32, shape (n_samples,)
        Conditioned, mV, at the model's rate.
    kind : ndarray of int64, shape (n_waves,)
        Index into :data:`models.delineate.WAVES`, in order of time.
    marks : ndarray of float64, shape (n_waves, 3)
        Onset, peak and end in samples of ``signal``, its delay added.
    """

    record: str
    lead: str
    rhythm: str
    signal: FloatArray
    kind: np.ndarray[tuple[int], np.dtype[np.int64]]
    marks: WideFloatArray

    @property
    def known(self) -> tuple[float, float]:
        """First and last mark: between them the absence of a wave means that there is none."""
        return float(self.marks[0, 0]), float(self.marks[-1, 2])


Span = tuple[float | None, float]
Wave = tuple[int, float, float, float]


def _spans(marks: Sequence[tuple[float, str]]) -> list[Span]:
    """Brackets paired to (onset, end); the onset is None where its bracket is lost.

    Several opening and as many closing brackets in a row are copies of one wave: their medians count.
    """
    spans: list[Span] = []
    opens: list[float] = []
    closes: list[float] = []

    def close_group() -> None:
        if closes and len(opens) == len(closes):
            spans.append((float(np.median(opens)), float(np.median(closes))))
        elif closes:
            spans.append((opens[-1] if opens else None, closes[0]))
            spans.extend((None, end) for end in closes[1:])

    for place, symbol in marks:
        if symbol == "(" and closes:
            close_group()
            opens, closes = [], []
        if symbol in "()":
            (opens if symbol == "(" else closes).append(place)
    close_group()
    return spans


def _named(spans: Sequence[Span], peaks: Sequence[tuple[float, str]], near: float) -> list[Wave]:
    """Waves of spans by the peak inside; one that lost its bracket begins at its peak.

    A span without a peak is taken for QRS where a T wave follows or nothing does, else for a P wave: the
    order of waves leaves no other choice.
    """
    waves: list[Wave] = []
    previous_end = -np.inf
    unnamed: list[int] = []
    for onset, end in spans:
        begin = previous_end if onset is None else onset - near
        inside = [(place, symbol) for place, symbol in peaks if begin < place <= end + near]
        previous_end = end
        if inside:
            # Copies of one peak count by their median; of one lost bracket the last peak before the end.
            place = inside[-1][0] if onset is None else float(np.median([place for place, _ in inside]))
            first = place if onset is None else min(onset, place)
            waves.append((KIND_OF[inside[-1][1]], first, place, max(end, place)))
        elif onset is not None:
            unnamed.append(len(waves))
            waves.append((-1, onset, (onset + end) / 2, end))
    for i in unnamed:
        after = waves[i + 1][0] if i + 1 < len(waves) else KIND_OF["t"]
        waves[i] = (KIND_OF["N"] if after == KIND_OF["t"] else KIND_OF["p"], *waves[i][1:])
    return waves


def pair_marks(samples: Sequence[int], symbols: Sequence[str], near: float) -> list[Wave]:
    """Waves of an annotation file: kind, onset, peak and end in its samples, in order of time.

    Parameters
    ----------
    samples, symbols : sequences
        As :func:`wfdb.rdann` gives them: ``(``, ``)``, and ``p``, ``N``, ``t`` for peaks. Other symbols are
        refused.
    near : float
        Samples that a peak may lie outside its brackets.

    Raises
    ------
    BadAnnotation
        A symbol of another kind, no wave, or waves that run into each other.
    """
    marks = [(float(sample), symbol) for sample, symbol in zip(samples, symbols, strict=True)]
    foreign = sorted({symbol for _, symbol in marks} - {*KIND_OF, "(", ")"})
    if foreign:
        raise BadAnnotation(f"symbols {', '.join(foreign)} are no waves: expected ( p N t )")
    waves = _named(_spans(marks), [mark for mark in marks if mark[1] not in "()"], near)
    if not waves:
        raise BadAnnotation("no wave in brackets ( ) in it")
    for before, after in zip(waves[:-1], waves[1:], strict=True):
        if after[1] < before[3]:
            raise BadAnnotation(f"waves run into each other at sample {after[1]:.0f}")
    return waves


def list_records(data: Path, source: str) -> tuple[str, ...]:
    """Records of a set as ``source/record``, in order of name.

    Raises
    ------
    DataMissing
        The folder is not there or holds none.
    """
    names = sorted(path.stem for path in (data / source).glob("*.hea"))
    if not names:
        raise DataMissing(
            f"{data / source}: no WFDB records in it; --data names the folder that holds {source}/"
        )
    return tuple(f"{source}/{name}" for name in names)


def _digest(path: Path, spec: ConditioningSpec) -> str:
    """Changes when the record, its annotations, the code or the spec does."""
    digest = hashlib.sha256(f"{spec}".encode())
    code = [Path(str(module.__file__)) for module in (conditioning, filters, resample)]
    own = sorted(path.parent.glob(f"{path.name}.*"))
    for file in [*code, Path(__file__), *own]:
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:24]


def _rhythm(comments: Sequence[str]) -> str:
    """What a header says of the rhythm."""
    for comment in comments:
        if comment.startswith("Rhythm:"):
            return comment.removeprefix("Rhythm:").strip(" .")
    return ""


def _read(data: Path, name: str, spec: ConditioningSpec) -> list[Lead]:
    path = data / name
    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError) as error:
        raise DataMissing(f"{path}: {error}") from error
    fs_hz = float(record.fs)
    scale, delay = spec.rate_hz / fs_hz, conditioning.delay_s(fs_hz, spec) * spec.rate_hz
    leads = []
    for channel, lead in enumerate(record.sig_name):
        if not path.with_name(f"{path.name}.{lead}").exists():
            continue
        if not np.isfinite(record.p_signal[:, channel]).any():
            raise DataMissing(f"{path}: lead {lead} has no samples, but annotations")
        annotation = wfdb.rdann(str(path), lead)
        try:
            waves = pair_marks(annotation.sample.tolist(), annotation.symbol, NEAR_S * fs_hz)
        except BadAnnotation as error:
            raise BadAnnotation(f"{path}.{lead}: {error}") from error
        signal = conditioning.condition(record.p_signal[:, [channel]], fs_hz, spec)[:, 0]
        marks = np.array([wave[1:] for wave in waves]) * scale + delay
        kind = np.array([wave[0] for wave in waves], dtype=np.int64)
        leads.append(Lead(name, lead, _rhythm(record.comments), np.ascontiguousarray(signal), kind, marks))
    if not leads:
        raise DataMissing(f"{path}: no annotation file named after one of its leads")
    return leads


def read_leads(data: Path, name: str, spec: ConditioningSpec, cache: Path) -> list[Lead]:
    """Annotated leads of a record, through a cache keyed by content and code.

    Parameters
    ----------
    data : Path
        Folder that holds one folder a data set.
    name : str
        ``source/record``.
    spec : ConditioningSpec
        Of the serving chain.
    cache : Path
        Its folder; made if it is not there.

    Raises
    ------
    DataMissing, BadAnnotation
        See their own words.
    """
    entry = cache / f"delineation-{name.replace('/', '-')}-{_digest(data / name, spec)}.npz"
    if entry.exists():
        try:
            with np.load(entry, allow_pickle=False) as z:
                return [
                    Lead(name, str(lead), str(z["rhythm"]), z[f"x{i}"], z[f"kind{i}"], z[f"marks{i}"])
                    for i, lead in enumerate(z["leads"])
                ]
        except (OSError, ValueError, KeyError) as error:
            logger.warning("cache entry %s is damaged and is made anew: %s", entry.name, error)
    leads = _read(data, name, spec)
    cache.mkdir(parents=True, exist_ok=True)
    part = entry.with_suffix(".part.npz")
    arrays: dict[str, Any] = {"leads": np.array([lead.lead for lead in leads]), "rhythm": leads[0].rhythm}
    for i, lead in enumerate(leads):
        arrays |= {f"x{i}": lead.signal, f"kind{i}": lead.kind, f"marks{i}": lead.marks}
    np.savez(part, **arrays)
    part.replace(entry)
    return leads
