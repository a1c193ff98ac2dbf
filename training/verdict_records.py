"""Alarms of CinC 2015 as a bed would see them at the moment they sound: nothing after 5:00 is read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from inference import verdict_beats, verdict_views
from inference.errors import NotJudged
from inference.verdict_beats import BeatSource
from inference.verdict_views import ALARM_S, PULSE, AlarmViews, record_views
from ingest import conditioning, filters, resample
from ingest.conditioning import ECG
from models import streaming
from models.verdict_leads import HISTORY_S, LeadView
from models.verdict_pulses import PulseView
from training.errors import DataMissing
from training.sources import read_table

logger = logging.getLogger(__name__)

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


def read_views(path: Path, beats: BeatSource, early_s: float = 0.0) -> AlarmViews:
    """Views of a record's alarm, as the live judge makes them.

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
        return record_views(path, beats, ALARM_S - early_s)
    except NotJudged as error:
        raise DataMissing(str(error)) from error


def _key(beats: BeatSource) -> str:
    """Changes when the beats do, or the code on the way to a view."""
    digest = hashlib.sha256(beats.key.encode())
    for module in (conditioning, filters, resample, streaming, verdict_beats, verdict_views):
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
