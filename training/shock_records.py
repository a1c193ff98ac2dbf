"""Records for the shock task: conditioned leads, and spans of one rhythm as a defibrillator sees them.

After the AHA's scheme (Kerber et al. 1997): shockable (VF with flutter, VT of at least 150/min), not
shockable (everything else that is sure), and what is scored apart (slow VT, high-grade ectopy, noise).
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

import numpy as np

from ingest import conditioning, filters, resample
from ingest.conditioning import ConditioningSpec
from training.errors import BadAnnotation, DataMissing
from training.shock_rate import REGULAR, periods, rate_track
from training.sources import FloatArray, WideFloatArray, conditioned, read_annotation, read_table

logger = logging.getLogger(__name__)

CLASSES: Final = ("vf", "vt", "other")
VF, VT, OTHER = 1, 2, 4
"""Bits of the classes that may hold."""

Stratum = Literal["vf", "vt", "other", "slow vt", "ectopy", "noise", "weak"]
STRATA: Final[tuple[Stratum, ...]] = ("vf", "vt", "other", "slow vt", "ectopy", "noise", "weak")
"""The first three are scored; ``weak`` spans (an alarm's word, a recording's label) only train."""

FAST_BPM: Final = 150.0
WINDOW_S: Final = 4.0
GUARD_S: Final = {"vfdb": 1.0, "mitdb": 0.25}
"""Kept free on both sides of a change of rhythm: vfdb's marks lie up to a second off."""

VF_MARKS: Final = ("(VF", "(VFIB", "(VFL")
PATIENT_OF: Final = {"mitdb/202": "mitdb/201", "vfdb/605": "vfdb/425"}
"""Two records of one person. 605 is 425's tape digitised again, 719 s later (10 s pieces correlate 0.8)."""

ALARM_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one rhythm, in samples of the conditioned signal, guards taken off.

    Attributes
    ----------
    begin, end : int
        Half-open.
    mark : str
        As annotated.
    stratum : str
        One of ``STRATA``.
    allowed : int
        Bits of the classes that may hold.
    bpm : float
        Rate where the rhythm is VT, else NaN.
    """

    begin: int
    end: int
    mark: str
    stratum: Stratum
    allowed: int
    bpm: float = float("nan")


@dataclass(frozen=True, slots=True)
class ShockRecord:
    """One record: leads (n_leads, n_samples) in mV at the model's rate, and its spans in order."""

    name: str
    patient: str
    signal: FloatArray
    spans: tuple[Span, ...]


def patient_of(name: str) -> str:
    """Who is recorded: the record's own name, unless another record is of the same person."""
    return PATIENT_OF.get(name, name)


def _leads(path: Path, spec: ConditioningSpec, cache: Path) -> tuple[FloatArray, float]:
    """Conditioned leads and their delay in seconds, through a cache keyed by content and code."""
    digest = hashlib.sha256(str(spec).encode())
    for module in (conditioning, filters, resample):
        digest.update(Path(str(module.__file__)).read_bytes())
    for suffix in (".hea", ".dat", ".mat"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            digest.update(file.read_bytes())
    entry = cache / f"shock-{path.parent.name}-{path.name}-{digest.hexdigest()[:24]}.npz"
    if entry.exists():
        try:
            with np.load(entry, allow_pickle=False) as held:
                return held["signal"], float(held["delay_s"])
        except (OSError, ValueError, KeyError) as error:
            logger.warning("cache entry %s is damaged and is made anew: %s", entry.name, error)
    signal, _, fs_hz = conditioned(path, spec, kinds=("RESP", "PLETH", "ABP"))
    delay_s = conditioning.delay_s(fs_hz, spec)
    cache.mkdir(parents=True, exist_ok=True)
    # Two runs may make the same entry at once.
    part = entry.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(part, signal=signal, delay_s=delay_s)
    part.replace(entry)
    return signal, delay_s


def _runs(values: WideFloatArray) -> list[tuple[int, int, bool]]:
    """Runs of windows on one side of the fast rate: first, one past the last, whether fast."""
    fast = values >= FAST_BPM
    cuts = [0, *(np.flatnonzero(fast[1:] != fast[:-1]) + 1), len(values)]
    return [(int(a), int(b), bool(fast[a])) for a, b in pairwise(cuts)]


def _tachycardia(
    signal: FloatArray, begin: int, end: int, mark: str, rate_hz: float, beats: WideFloatArray | None
) -> list[Span]:
    """Cut a VT span into spans at least, and spans less, than 150/min.

    Rates are of 4 s windows, one a second, by R-R where beats are marked, else by
    :func:`training.shock_rate.rate_track`. A span takes the windows of its run whole.
    """
    window, second = round(WINDOW_S * rate_hz), round(rate_hz)
    if end - begin < window:
        return []
    if beats is None:
        bpm, _ = rate_track(signal[:, begin:end], rate_hz, window)
    else:
        starts = np.arange(begin, end - window + 1, second)
        inside = [beats[(beats >= a) & (beats < a + window)] for a in starts]
        bpm = np.array([60 * rate_hz / np.median(np.diff(b)) if len(b) > 2 else 0.0 for b in inside])
    spans = []
    for a, b, fast in _runs(bpm):
        last = end if b == len(bpm) else begin + (b - 1) * second + window
        stratum: Stratum = "vt" if fast else "slow vt"
        allowed = VT if fast else VT | OTHER
        spans.append(Span(begin + a * second, last, mark, stratum, allowed, float(np.median(bpm[a:b]))))
    return spans


def annotated(path: Path, source: str, spec: ConditioningSpec, cache: Path) -> ShockRecord:
    """Read a record of vfdb (rhythms) or mitdb (rhythms and beats).

    Raises
    ------
    DataMissing, BadAnnotation
        No record or annotations; no rhythm mark in them.
    """
    signal, delay_s = _leads(path, spec, cache)
    annotation = read_annotation(path)
    n, rate_hz = signal.shape[1], spec.rate_hz
    scale = rate_hz / float(annotation.fs)
    place = np.asarray(annotation.sample) * scale + delay_s * rate_hz
    notes = [note.strip("\0 ") for note in annotation.aux_note]
    changes = [(float(p), mark) for p, mark in zip(place, notes, strict=True) if mark.startswith("(")]
    if not changes:
        raise BadAnnotation(f"{path}.atr: no rhythm mark in it")
    symbols = np.array(annotation.symbol)
    is_beat = np.isin(symbols, list("NLRejnBAaJSVErFQ/f!"))
    beats = place[is_beat] if is_beat.any() else None
    guard = round(GUARD_S[source] * rate_hz)
    ends = [p for p, _ in changes[1:]] + [float(n)]
    marks = [mark for _, mark in changes]
    spans: list[Span] = []
    for index, ((start, mark), stop) in enumerate(zip(changes, ends, strict=True)):
        begin, end = max(0, round(start)) + guard, min(n, round(stop)) - guard
        if end - begin < WINDOW_S * rate_hz:
            continue
        if mark == "(VT":
            spans += _tachycardia(signal, begin, end, mark, rate_hz, beats)
        elif mark in VF_MARKS:
            spans.append(Span(begin, end, mark, "vf", VF))
        elif mark == "(HGEA":
            spans.append(Span(begin, end, mark, "ectopy", VT | OTHER))
        elif mark == "(NOISE":
            around = {*marks[max(0, index - 1) : index], *marks[index + 1 : index + 2]}
            # Noise between rhythms that may be shocked may hide one.
            sure = not around & {*VF_MARKS, "(VT", "(HGEA"}
            spans.append(Span(begin, end, mark, "noise", OTHER if sure else VF | VT | OTHER))
        else:
            spans.append(Span(begin, end, mark, "other", OTHER))
    name = f"{source}/{path.name}"
    return ShockRecord(name, patient_of(name), signal, tuple(spans))


def alarmed(path: Path, kind: str, real: bool, spec: ConditioningSpec, cache: Path) -> ShockRecord:
    """Read a record of CinC 2015: weak spans, from what its alarm says of the 10 s before it.

    A true VF or VT alarm gives its class to the last 5 s (VT only if they are regular and fast); a false one,
    or another alarm, says "other". The minutes before are "other" where it is of no ventricular rhythm.
    """
    signal, delay_s = _leads(path, spec, cache)
    alarm = min(signal.shape[1], round((ALARM_S + delay_s) * spec.rate_hz))
    before = round(10 * spec.rate_hz)
    bit = {"Ventricular_Flutter_Fib": VF, "Ventricular_Tachycardia": VT}.get(kind)
    spans = []
    if bit is None:
        spans.append(Span(0, alarm, kind, "weak", OTHER))
    elif real:
        begin = alarm - before // 2
        # Five beats make a VT alarm: only where the whole stretch repeats itself fast is it called VT.
        bpm, regularity = periods(signal[None, :, begin:alarm], spec.rate_hz)
        sure = bit == VF or (bpm[0] >= FAST_BPM and regularity[0] >= REGULAR)
        spans.append(Span(begin, alarm, kind, "weak", bit if sure else VT | OTHER))
    else:
        spans.append(Span(alarm - before, alarm, "false alarm", "weak", OTHER))
    name = f"cinc2015/{path.name}"
    return ShockRecord(name, name, signal, tuple(spans))


def labelled(path: Path, label: str, spec: ConditioningSpec, cache: Path) -> ShockRecord:
    """Read a record of CinC 2017: handheld, one lead; nothing in it is shockable."""
    signal, _ = _leads(path, spec, cache)
    name = f"cinc2017/{path.name}"
    return ShockRecord(name, name, signal, (Span(0, signal.shape[1], label, "weak", OTHER),))


def list_records(data: Path, source: str) -> tuple[str, ...]:
    """Names ``source/record`` of a data set, in order.

    Raises
    ------
    DataMissing
        The folder is not there or empty.
    """
    names = tuple(f"{source}/{path.stem}" for path in sorted((data / source).glob("*.hea")))
    if not names:
        raise DataMissing(
            f"{data / source}: no WFDB records in it; --data names the folder that holds {source}/"
        )
    return names


def read_records(
    data: Path, names: tuple[str, ...], spec: ConditioningSpec, cache: Path
) -> list[ShockRecord]:
    """Read records by name, ``source/record``; of vfdb, mitdb, cinc2015 or cinc2017.

    Raises
    ------
    DataMissing, BadAnnotation
        See their own words.
    """
    used = {name.partition("/")[0] for name in names}
    alarms, labels = {}, {}
    if "cinc2015" in used:
        alarms = {row[0]: (row[1], row[2] == "1") for row in read_table(data / "cinc2015" / "ALARMS")}
    if "cinc2017" in used:
        labels = {row[0]: row[1] for row in read_table(data / "cinc2017" / "REFERENCE.csv")}
    records = []
    for name in names:
        source, _, record = name.partition("/")
        path = data / source / record
        if source in GUARD_S:
            records.append(annotated(path, source, spec, cache))
        elif record in alarms:
            records.append(alarmed(path, *alarms[record], spec, cache))
        elif record in labels:
            records.append(labelled(path, labels[record], spec, cache))
        else:
            raise DataMissing(
                f"{name}: no label of it in {data / source}; there are vfdb, mitdb, cinc2015, cinc2017"
            )
    return records
