"""The published detector that our figures stand beside: neurokit2's wavelet delineation of the raw lead."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from ingest import conditioning
from ingest.conditioning import ConditioningSpec
from training.delineation_records import Lead
from training.delineation_scores import FoundWaves
from training.errors import DataMissing
from training.sources import WideFloatArray

logger = logging.getLogger(__name__)

PEER: Final = "neurokit2 dwt"
KEYS: Final = (
    ("ECG_P_Onsets", "ECG_P_Peaks", "ECG_P_Offsets"),
    ("ECG_R_Onsets", "ECG_R_Peaks", "ECG_R_Offsets"),
    ("ECG_T_Onsets", "ECG_T_Peaks", "ECG_T_Offsets"),
)


def delineate_dwt(samples: WideFloatArray, fs_hz: float) -> FoundWaves:
    """Waves that ``ecg_clean``, ``ecg_peaks`` and ``ecg_delineate(method="dwt")`` find, in samples.

    Parameters
    ----------
    samples : ndarray of float64, shape (n_samples,)
        One lead as recorded, mV.
    fs_hz : float
        Sampling rate.

    Returns
    -------
    FoundWaves
        Nothing where neurokit2 gives up; marks it does not give are NaN.
    """
    import neurokit2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cleaned = neurokit2.ecg_clean(samples, sampling_rate=fs_hz)
        try:
            _, peaks = neurokit2.ecg_peaks(cleaned, sampling_rate=fs_hz)
            r_peaks = peaks["ECG_R_Peaks"]
            _, found = neurokit2.ecg_delineate(cleaned, r_peaks, sampling_rate=fs_hz, method="dwt")
        except (ValueError, IndexError, ZeroDivisionError, KeyError) as error:
            # Its own limits (too few beats, none at all) show up as errors of numpy and pandas.
            logger.warning("neurokit2 gives up on a lead: %s", error)
            return FoundWaves(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
    found = {**found, "ECG_R_Peaks": r_peaks}
    kinds, marks = [], []
    for kind, keys in enumerate(KEYS):
        columns = [np.asarray(found.get(key, []), dtype=np.float64) for key in keys]
        size = max(len(column) for column in columns)
        padded = [np.pad(column, (0, size - len(column)), constant_values=np.nan) for column in columns]
        marks.append(np.stack(padded, axis=1))
        kinds.append(np.full(size, kind, dtype=np.int64))
    return FoundWaves(np.concatenate(kinds), np.concatenate(marks))


def peer_waves(data: Path, lead: Lead, spec: ConditioningSpec) -> FoundWaves:
    """The peer's waves on the raw signal of a lead, in samples of the conditioned one.

    Raises
    ------
    DataMissing
        The record cannot be read.
    """
    path = data / lead.record
    try:
        record = wfdb.rdrecord(str(path), channel_names=[lead.lead])
    except (OSError, ValueError) as error:
        raise DataMissing(f"{path}: {error}") from error
    fs_hz = float(record.fs)
    found = delineate_dwt(np.asarray(record.p_signal[:, 0], dtype=np.float64), fs_hz)
    delay = conditioning.delay_s(fs_hz, spec) * spec.rate_hz
    return FoundWaves(found.kind, found.marks * spec.rate_hz / fs_hz + delay)
