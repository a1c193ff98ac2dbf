"""Noise mixed into clean records at a signal-to-noise ratio, as PhysioNet's nst defines it.

The signal's power is that of a sine of the QRS complexes' peak-to-peak amplitude, its square over 8; the
noise's is the square of its RMS amplitude about the mean of each second. Both are trimmed means, over the
first 300 normal beats and the first 300 s, without the largest and smallest 5 %. Noise begins after a
learning period of 5 min without any and then lasts to the end (nst lets it come and go every 2 min).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import wfdb

from training.errors import DataMissing
from training.noise_records import raw_noise
from training.sources import (
    BEAT_CLASS,
    BEAT_CLASS_UNKNOWN,
    IntArray,
    WideFloatArray,
    read_annotation,
)

LEARNING_S: Final = 300.0
"""Without noise, and by EC57 not scored."""
MEASURED: Final = 300
"""Beats of the signal and seconds of the noise that amplitudes are measured on."""
TRIMMED: Final = 0.05
REACH_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class CleanLead:
    """The first lead of an annotated record.

    Attributes
    ----------
    name : str
        ``source/record``.
    samples : ndarray of float64, shape (n,)
        mV, as recorded.
    fs_hz : float
        Sampling rate.
    beats : ndarray of int64, shape (n_beats,)
        Samples of all beats, ascending.
    normal : ndarray of int64, shape (n_normal,)
        Samples of those marked normal.
    """

    name: str
    samples: WideFloatArray
    fs_hz: float
    beats: IntArray
    normal: IntArray


def trimmed_mean(values: WideFloatArray, share: float = TRIMMED) -> float:
    """Mean without the largest and the smallest share of the values."""
    cut = int(share * len(values))
    return float(np.sort(values)[cut : len(values) - cut].mean())


def qrs_amplitude_mv(lead: CleanLead) -> float:
    """Peak-to-peak amplitude of the QRS complexes: trimmed mean over the first normal beats.

    Raises
    ------
    DataMissing
        The record has no beat to measure.
    """
    reach = round(REACH_S * lead.fs_hz)
    marks = lead.normal if len(lead.normal) else lead.beats
    marks = marks[(marks >= reach) & (marks < len(lead.samples) - reach)][:MEASURED]
    if not len(marks):
        raise DataMissing(f"{lead.name}: no beat in it to measure the signal's amplitude on")
    around = lead.samples[marks[:, None] + np.arange(-reach, reach + 1)]
    return trimmed_mean(np.ptp(around, axis=1))


def noise_amplitude_mv(noise: WideFloatArray, fs_hz: float) -> float:
    """RMS amplitude of noise about the mean of each second: trimmed mean over the first 300 s."""
    second = round(fs_hz)
    n = min(MEASURED, len(noise) // second)
    return trimmed_mean(noise[: n * second].reshape(n, second).std(axis=1))


def mix(lead: CleanLead, noise: WideFloatArray, snr_db: float) -> WideFloatArray:
    """The lead with noise after the learning period; noise that is too short begins again.

    Parameters
    ----------
    lead : CleanLead
        Without noise.
    noise : ndarray of float64, shape (m,)
        At the lead's sampling rate.
    snr_db : float
        Signal-to-noise ratio.

    Returns
    -------
    ndarray of float64, shape (n,)
        mV.
    """
    wanted = qrs_amplitude_mv(lead) / np.sqrt(8.0) * 10.0 ** (-snr_db / 20.0)
    gain = wanted / noise_amplitude_mv(noise, lead.fs_hz)
    begin = round(LEARNING_S * lead.fs_hz)
    mixed = lead.samples.copy()
    # The offset takes away the step that the noise would begin with.
    mixed[begin:] += gain * (np.resize(noise, max(0, len(mixed) - begin)) - noise[0])
    return mixed


def read_lead(data: Path, name: str) -> CleanLead:
    """Read the first lead of a record of mitdb or nstdb, with its beats.

    Raises
    ------
    DataMissing
        The record or its annotation is not there, or cannot be read.
    """
    try:
        record = wfdb.rdrecord(str(data / name), channels=[0])
    except (OSError, ValueError) as error:
        raise DataMissing(f"{data / name}: {error}") from error
    annotation = read_annotation(data / name)
    symbols = np.array(annotation.symbol)
    known = [*BEAT_CLASS, *BEAT_CLASS_UNKNOWN, "/"]
    samples = np.asarray(annotation.sample, dtype=np.int64)
    return CleanLead(
        name,
        np.asarray(record.p_signal[:, 0], dtype=np.float64),
        float(record.fs),
        samples[np.isin(symbols, known)],
        samples[symbols == "N"],
    )


def held_back_noise(data: Path, name: str, fs_hz: float) -> WideFloatArray:
    """First channel of the half of nstdb's noise that nothing was trained on.

    Raises
    ------
    DataMissing
        It is not there, or was recorded at another rate.
    """
    samples, noise_hz = raw_noise(data, name, "test")
    if noise_hz != fs_hz:
        raise DataMissing(f"nstdb/{name}: {noise_hz:g} Hz, but the record to mix it into has {fs_hz:g} Hz")
    return samples[:, 0]
