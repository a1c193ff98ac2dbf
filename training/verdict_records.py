"""Alarms of CinC 2015 as a bed would see them at the moment they sound: nothing after 5:00 is read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from ingest import conditioning, filters, resample
from ingest.conditioning import ECG, Conditioner, ConditioningSpec
from models.verdict_leads import FS_HZ, HISTORY_S, LeadView, WideFloatArray
from models.verdict_pulses import BAND_HZ, PulseView
from models.verdict_pulses import FS_HZ as PULSE_FS_HZ
from training import verdict_beats
from training.errors import DataMissing
from training.sources import read_table
from training.verdict_beats import BeatSource

logger = logging.getLogger(__name__)

ALARM_S: Final = 300.0
"""CinC 2015: the alarm sounds at 5 min, sample 75,000 at 250 Hz."""

PULSE: Final = ConditioningSpec(rate_hz=PULSE_FS_HZ, low_hz=BAND_HZ[0], high_hz=BAND_HZ[1])
PULSES: Final = ("ABP", "PLETH")
NOT_ECG: Final = (*PULSES, "RESP")
SOURCE: Final = "cinc2015"


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm.

    Attributes
    ----------
    name : str
        ``cinc2015/record``.
    kind : str
        ``Asystole``, ``Bradycardia``, ``Tachycardia``, ``Ventricular_Flutter_Fib`` or
        ``Ventricular_Tachycardia``.
    true : bool
        Whether clinicians found it true.
    """

    name: str
    kind: str
    true: bool


def read_alarms(data: Path) -> list[Alarm]:
    """All alarms of ``data/cinc2015``, in the order of its table.

    Raises
    ------
    DataMissing
        The table is not there or is empty.
    """
    rows = read_table(data / SOURCE / "ALARMS")
    if not rows:
        raise DataMissing(f"{data / SOURCE / 'ALARMS'}: no alarm in it")
    return [Alarm(f"{SOURCE}/{record}", kind, true == "1") for record, kind, true in rows]


@dataclass(frozen=True, slots=True)
class AlarmViews:
    """What is known when an alarm sounds."""

    leads: tuple[LeadView, ...]
    pulses: tuple[PulseView, ...]


def read_views(path: Path, beats: BeatSource, early_s: float = 0.0) -> AlarmViews:
    """Condition a record up to its alarm and look at the last :data:`~models.verdict_leads.HISTORY_S`.

    Parameters
    ----------
    path : Path
        WFDB record.
    beats : BeatSource
        Finds the beats of each lead.
    early_s : float
        The alarm is taken to sound so much earlier, to vary the training rows.

    Raises
    ------
    DataMissing
        The record is not there, is shorter than the history before its alarm, or has no ECG.
    """
    try:
        header = wfdb.rdheader(str(path))
        until = round((ALARM_S - early_s) * float(header.fs))
        if int(header.sig_len) < until:
            ends_s = int(header.sig_len) / float(header.fs)
            raise DataMissing(
                f"{path}: it ends at {ends_s:.0f} s, before its alarm at {ALARM_S - early_s:.0f} s"
            )
        record = wfdb.rdrecord(str(path), sampto=until)
    except (OSError, ValueError) as error:
        raise DataMissing(f"{path}: {error}") from error
    fs_hz, names = float(record.fs), tuple(record.sig_name)
    ecg = [i for i, name in enumerate(names) if name.upper() not in NOT_ECG]
    pulses = [i for i, name in enumerate(names) if name.upper() in PULSES]
    if not ecg:
        raise DataMissing(f"{path}: no ECG in it (channels {', '.join(names)})")
    samples = conditioning.condition(record.p_signal[:, ecg], fs_hz, ECG).T[:, -round(HISTORY_S * FS_HZ) :]
    if samples.shape[1] < round(HISTORY_S * FS_HZ):
        raise DataMissing(f"{path}: {samples.shape[1] / FS_HZ:.0f} s before the alarm, need {HISTORY_S:.0f}")
    leads = []
    for signal in np.ascontiguousarray(samples):
        found = beats(signal)
        leads.append(LeadView(signal, found.beat_s, found.beat_classes, found.windows))
    return AlarmViews(tuple(leads), tuple(_pulse(record.p_signal[:, i], fs_hz) for i in pulses))


def _pulse(samples: WideFloatArray, fs_hz: float) -> PulseView:
    done = Conditioner(fs_hz, 1, PULSE).push(np.zeros(1, dtype=np.int64), samples[None, None])
    last = round(HISTORY_S * PULSE.rate_hz)
    return PulseView(done.samples[0, 0, -last:], done.raw[0, 0, -last:], done.present[0, 0, -last:])


def _key(beats: BeatSource) -> str:
    """Changes when the beats do, or the code on the way to a view."""
    digest = hashlib.sha256(beats.key.encode())
    for module in (conditioning, filters, resample, verdict_beats):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(f"{ECG} {PULSE} {HISTORY_S}".encode())
    return digest.hexdigest()


LEAD_PARTS: Final = ("signal", "beat_s", "beat_classes", "windows")
PULSE_PARTS: Final = ("signal", "raw", "present")


def _cached(path: Path, beats: BeatSource, early_s: float, cache: Path, key: str) -> AlarmViews:
    """Views through the cache; a damaged entry is made anew."""
    digest = hashlib.sha256(f"{key} {early_s}".encode())
    for suffix in (".hea", ".dat"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            digest.update(file.read_bytes())
    entry = cache / f"verdict-{path.name}-{digest.hexdigest()[:32]}.npz"
    if entry.exists():
        try:
            with np.load(entry, allow_pickle=False) as held:
                return AlarmViews(
                    tuple(
                        LeadView(*(held[f"lead{i}.{part}"] for part in LEAD_PARTS))
                        for i in range(int(held["leads"]))
                    ),
                    tuple(
                        PulseView(*(held[f"pulse{i}.{part}"] for part in PULSE_PARTS))
                        for i in range(int(held["pulses"]))
                    ),
                )
        except (OSError, ValueError, KeyError) as error:
            logger.warning("cache entry %s is damaged and is made anew: %s", entry.name, error)
    views = read_views(path, beats, early_s)
    arrays = {f"lead{i}.{part}": getattr(v, part) for i, v in enumerate(views.leads) for part in LEAD_PARTS}
    arrays |= {
        f"pulse{i}.{part}": getattr(v, part) for i, v in enumerate(views.pulses) for part in PULSE_PARTS
    }
    cache.mkdir(parents=True, exist_ok=True)
    part = entry.with_suffix(".part.npz")
    np.savez(part, leads=np.array(len(views.leads)), pulses=np.array(len(views.pulses)), **arrays)
    part.replace(entry)
    return views


def load_views(
    data: Path, alarms: Sequence[Alarm], beats: BeatSource, cache: Path, early_s: float = 0.0
) -> list[AlarmViews]:
    """Views of alarms in their order, through the cache.

    Raises
    ------
    DataMissing
        No alarm at all, or a record of them is not there.
    """
    if not alarms:
        raise DataMissing(f"no alarms asked for under {data}: this side of the split is empty")
    key = _key(beats)
    return [_cached(data / alarm.name, beats, early_s, cache, key) for alarm in alarms]
