"""Noise of nstdb (baseline wander, muscle noise): the first half trains, the second half tests."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import numpy as np
import wfdb

from ingest import conditioning
from ingest.conditioning import ECG
from training.errors import DataMissing
from training.sources import FloatArray, WideFloatArray

Half = Literal["train", "test"]
NOISES: Final = ("bw", "ma")
NSTDB: Final = "nstdb"


def raw_noise(data: Path, name: str, half: Half) -> tuple[WideFloatArray, float]:
    """One half of a noise record as it is on disk.

    Parameters
    ----------
    data : Path
        Folder that holds ``nstdb``.
    name : str
        ``bw`` (baseline wander) or ``ma`` (muscle noise).
    half : {"train", "test"}
        First 15 min: augmentation and validation. Last 15 min: noise tests only.

    Returns
    -------
    samples : ndarray of float64, shape (n_samples, 2)
        mV.
    fs_hz : float
        Sampling rate.

    Raises
    ------
    DataMissing
        The record is not there or cannot be read.
    """
    try:
        record = wfdb.rdrecord(str(data / NSTDB / name))
    except (OSError, ValueError) as error:
        raise DataMissing(f"{data / NSTDB / name}: {error}") from error
    middle = len(record.p_signal) // 2
    samples = record.p_signal[:middle] if half == "train" else record.p_signal[middle:]
    return np.asarray(samples, dtype=np.float64), float(record.fs)


def load_noise(data: Path, half: Half = "train") -> FloatArray:
    """Baseline wander and muscle noise of nstdb, conditioned as the signals are, unit standard deviation.

    Returns
    -------
    ndarray of float32, shape (n,)
        Both channels of ``bw``, then both of ``ma``, end to end, at the model's rate.

    Raises
    ------
    DataMissing
        nstdb is not there.
    """
    parts = []
    for name in NOISES:
        samples, fs_hz = raw_noise(data, name, half)
        done = conditioning.condition(samples, fs_hz, ECG)
        parts.append((done / done.std(0)).T.reshape(-1))
    return np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)
