"""What a bed's channels showed up to an alarm: arrays in, views out. Training and the live judge share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from inference.errors import NotJudged
from inference.verdict_beats import BeatSource, beats_of
from ingest import conditioning
from ingest.conditioning import ECG, Conditioner, ConditioningSpec
from ingest.types import FloatArray, WideFloatArray
from models import verdict
from models.verdict import Verdict
from models.verdict_leads import FS_HZ, HISTORY_S, LeadView
from models.verdict_pulses import BAND_HZ, PulseView
from models.verdict_pulses import FS_HZ as PULSE_FS_HZ

MODEL: Final = "icu-verdict-1"
ALARM_S: Final = 300.0
"""CinC 2015: the alarm sounds at 5 min, sample 75,000 at 250 Hz."""

PULSE: Final = ConditioningSpec(rate_hz=PULSE_FS_HZ, low_hz=BAND_HZ[0], high_hz=BAND_HZ[1])
PULSES: Final = ("ABP", "PLETH")
NOT_ECG: Final = (*PULSES, "RESP")


@dataclass(frozen=True, slots=True)
class AlarmViews:
    """What is known when an alarm sounds."""

    leads: tuple[LeadView, ...]
    pulses: tuple[PulseView, ...]


@dataclass(frozen=True, slots=True)
class PulseSignal:
    """One pulse channel, shape (n_samples,), NaN where missing; the last sample is the alarm's."""

    samples: FloatArray | WideFloatArray
    fs_hz: float


def views_of(
    ecg: FloatArray | WideFloatArray, fs_hz: float, beats: BeatSource, pulses: Sequence[PulseSignal] = ()
) -> AlarmViews:
    """Condition a bed's signals and look at the last :data:`~models.verdict_leads.HISTORY_S` of them.

    Parameters
    ----------
    ecg : ndarray, shape (n_samples, n_leads)
        In mV, NaN where missing; the last sample is the alarm's. What is there before the history lets the
        filters settle.
    fs_hz : float
        Of the ECG.
    beats : BeatSource
        Finds the beats of each lead.
    pulses : sequence of PulseSignal
        Arterial pressure and plethysmogram, as far as there are any.

    Raises
    ------
    NotJudged
        The ECG is shorter than the history.
    """
    n_times = round(HISTORY_S * FS_HZ)
    samples = conditioning.condition(ecg, fs_hz, ECG).T[:, -n_times:]
    if samples.shape[1] < n_times:
        found_s = samples.shape[1] / FS_HZ
        raise NotJudged(f"{found_s:.0f} s of unbroken ECG before the alarm, need {HISTORY_S:.0f}")
    leads = []
    for signal in np.ascontiguousarray(samples):
        found = beats(signal)
        leads.append(LeadView(signal, found.beat_s, found.beat_classes, found.windows))
    return AlarmViews(tuple(leads), tuple(_pulse(pulse) for pulse in pulses))


def _pulse(pulse: PulseSignal) -> PulseView:
    whole = np.asarray(pulse.samples, dtype=np.float64)[None, None]
    done = Conditioner(pulse.fs_hz, 1, PULSE).push(np.zeros(1, dtype=np.int64), whole)
    last = round(HISTORY_S * PULSE.rate_hz)
    return PulseView(done.samples[0, 0, -last:], done.raw[0, 0, -last:], done.present[0, 0, -last:])


def record_views(path: Path, beats: BeatSource, at_s: float = ALARM_S) -> AlarmViews:
    """Views of a WFDB record's alarm; nothing after it is read.

    Parameters
    ----------
    path : Path
        WFDB record.
    beats : BeatSource
        Finds the beats of each lead.
    at_s : float
        When the alarm sounds, seconds from the record's begin.

    Raises
    ------
    NotJudged
        The record is not there, is shorter than the history before its alarm, or has no ECG.
    """
    try:
        header = wfdb.rdheader(str(path))
        until = round(at_s * float(header.fs))
        if int(header.sig_len) < until:
            ends_s = int(header.sig_len) / float(header.fs)
            raise NotJudged(f"{path}: it ends at {ends_s:.0f} s, before its alarm at {at_s:g} s")
        record = wfdb.rdrecord(str(path), sampto=until)
    except (OSError, ValueError) as error:
        raise NotJudged(f"{path}: {error}") from error
    fs_hz, names = float(record.fs), tuple(record.sig_name)
    ecg = [i for i, name in enumerate(names) if name.upper() not in NOT_ECG]
    pulses = [i for i, name in enumerate(names) if name.upper() in PULSES]
    if not ecg:
        raise NotJudged(f"{path}: no ECG in it (channels {', '.join(names)})")
    signals = [PulseSignal(record.p_signal[:, i], fs_hz) for i in pulses]
    try:
        return views_of(record.p_signal[:, ecg], fs_hz, beats, signals)
    except NotJudged as error:
        raise NotJudged(f"{path}: {error}") from error


@cache
def shipped(device: str | None = None) -> tuple[Verdict, BeatSource]:
    """The shipped verdict model and the beats that it was fitted on, loaded once.

    Raises
    ------
    ModelNotFound, CardMismatch, DamagedWeights
        A model is not there or not as it should be.
    """
    model = verdict.load(MODEL)
    return model, beats_of(model.spec, device)


def judge_record(path: Path, kind: str) -> tuple[bool, float]:
    """Judge the alarm of a CinC 2015 record by the shipped model, as the live judge does.

    Parameters
    ----------
    path : Path
        WFDB record whose alarm sounds at 5:00.
    kind : str
        One of :data:`models.verdict.KINDS`.

    Returns
    -------
    stands : bool
        Whether it is called true.
    probability : float
        That it is true.

    Raises
    ------
    UnknownAlarm, NotJudged
        No such kind; see :func:`record_views`.
    """
    model, beats = shipped()
    model.kind(kind)
    views = record_views(path, beats)
    answer = model.judge(kind, views.leads, views.pulses)
    return answer.true, answer.probability
