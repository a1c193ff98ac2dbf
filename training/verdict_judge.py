"""The verdict on one alarm of one WFDB record: what ``wardwave verdict judge`` says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import wfdb

from inference.verdict_beats import beats_of
from inference.verdict_views import ALARM_S, MODEL
from models import verdict
from models.verdict import Reason
from models.verdict_leads import HISTORY_S
from training.errors import DataMissing
from training.verdict_records import read_views


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with all that is said beside it.

    Attributes
    ----------
    at_s : float
        The moment of the alarm, seconds from the record's begin; nothing after it was read.
    leads, pulses : int
        ECG leads and pulse channels (pressure, plethysmogram) that were looked at.
    reasons : tuple of Reason
        The numbers that moved it most.
    """

    record: str
    alarm: str
    at_s: float
    true: bool
    probability: float
    threshold: float
    leads: int
    pulses: int
    reasons: tuple[Reason, ...]
    model: str
    sha256: str


def moment_of(record: Path, at_s: float | None) -> float:
    """When the alarm sounds: as asked for, else at 5:00 as in CinC 2015, or where a shorter record ends.

    Raises
    ------
    DataMissing
        The record is not there, or there is too little before that moment.
    """
    try:
        header = wfdb.rdheader(str(record))
        ends_s = float(header.sig_len or 0) / float(header.fs)
    except (OSError, ValueError) as error:
        raise DataMissing(f"{record}: {error}") from error
    moment = min(ALARM_S, ends_s) if at_s is None else at_s
    if not HISTORY_S <= moment <= ends_s:
        raise DataMissing(
            f"{record}: an alarm at {moment:g} s cannot be judged: the record has {ends_s:g} s, "
            f"and {HISTORY_S:g} s before the alarm are needed; give another --at"
        )
    return moment


def judge_record(record: Path, alarm: str, at_s: float | None = None, model: str | Path = MODEL) -> Judgement:
    """Judge an alarm by what a WFDB record holds up to it.

    Parameters
    ----------
    record : Path
        WFDB record, with or without ``.hea``.
    alarm : str
        One of :data:`models.verdict.KINDS`.
    at_s : float, optional
        Moment of the alarm, seconds (:func:`moment_of`).
    model : str or Path
        Verdict model: shipped name or path of its card.

    Raises
    ------
    UnknownAlarm
        The model knows no such kind.
    DataMissing
        The record is not there, too short, or without ECG.
    ModelNotFound, CardMismatch, DamagedWeights
        A model is not there or not as it should be.
    """
    loaded = verdict.load(model)
    loaded.kind(alarm)
    path = record.with_suffix("") if record.suffix in (".hea", ".dat", ".mat") else record
    moment = moment_of(path, at_s)
    views = read_views(path, beats_of(loaded.spec), early_s=ALARM_S - moment)
    answer = loaded.judge(alarm, views.leads, views.pulses)
    return Judgement(
        record=str(path),
        alarm=alarm,
        at_s=moment,
        true=answer.true,
        probability=answer.probability,
        threshold=loaded.spec.kinds[alarm].threshold,
        leads=len(views.leads),
        pulses=len(views.pulses),
        reasons=loaded.reasons(alarm, views.leads, views.pulses),
        model=loaded.spec.name,
        sha256=loaded.spec.sha256,
    )


def to_text(found: Judgement) -> str:
    """A judgement to be read."""
    width = max(len(reason.name) for reason in found.reasons)
    called = "TRUE" if found.true else "FALSE"
    return "\n".join(
        (
            f"{found.record}: {found.alarm} at {found.at_s:g} s is called {called}",
            f"probability that it is true {found.probability:.3f}, called true from {found.threshold:.3f} on "
            "as a miss costs five times a false alarm",
            f"looked at: {found.leads} ECG leads, {found.pulses} pulse channels, up to the alarm only",
            "what spoke most (log odds above 0: for a true alarm):",
            *(f"  {one.name:{width}}  {one.value:8.3g}  {one.log_odds:+.2f}" for one in found.reasons),
            f"model: {found.model} {found.sha256[:12]}",
        )
    )
