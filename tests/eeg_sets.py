"""Tiny EEG files, and sets of them in the layout that CHB-MIT is published in, made by the tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyedflib

ELECTRODES = ("Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
              "P4", "P8", "O1", "O2")  # fmt: skip
PAIRS = ("FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP2-F4", "F4-C4", "C4-P4", "P4-O2", "FZ-CZ", "CZ-PZ")


def waves(
    n_channels: int, seconds: int, fs_hz: int, seizure: tuple[float, float] | None, seed: int
) -> np.ndarray:
    """Noise in µV, and large 3 Hz waves where there is a seizure; shape (n_channels, n)."""
    rng = np.random.default_rng(seed)
    t = np.arange(seconds * fs_hz) / fs_hz
    x = 15 * rng.standard_normal((n_channels, len(t)))
    if seizure is not None:
        inside = (t >= seizure[0]) & (t < seizure[1])
        x += rng.uniform(60, 120, (n_channels, 1)) * np.sign(np.sin(2 * np.pi * 3 * t)) * inside
    return x


def write_edf(
    path: Path,
    labels: Sequence[str],
    signals: Sequence[np.ndarray],
    rates: Sequence[int],
    unit: str = "uV",
) -> Path:
    """One EDF file; values beyond ±3,200 of its unit are cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = pyedflib.EdfWriter(str(path), len(labels), file_type=pyedflib.FILETYPE_EDFPLUS)
    for i, (label, rate) in enumerate(zip(labels, rates, strict=True)):
        writer.setSignalHeader(
            i,
            {
                "label": label, "dimension": unit, "sample_frequency": rate, "physical_max": 3200.0,
                "physical_min": -3200.0, "digital_max": 32767, "digital_min": -32768, "transducer": "",
                "prefilter": "",
            },
        )  # fmt: skip
    writer.writeSamples([np.clip(one, -3200, 3200) for one in signals])
    writer.close()
    return path


def write_eeg(
    path: Path,
    seconds: int = 60,
    seizure: tuple[float, float] | None = None,
    labels: Sequence[str] = PAIRS,
    fs_hz: int = 128,
    seed: int = 0,
) -> Path:
    """One EDF file of EEG."""
    x = waves(len(labels), seconds, fs_hz, seizure, seed)
    return write_edf(path, labels, list(x), [fs_hz] * len(labels))


def write_chbmit(folder: Path, cases: Sequence[str], seconds: int = 60) -> Path:
    """CHB-MIT: two records a case, a seizure from 20 to 45 s in the second."""
    for i, case in enumerate(cases):
        head = (
            f"Data Sampling Rate: 128 Hz\n*****\n\nFile Name: {case}_01.edf\nNumber of Seizures in File: 0\n"
        )
        write_eeg(folder / case / f"{case}_01.edf", seconds, None, seed=2 * i)
        write_eeg(folder / case / f"{case}_02.edf", seconds, (20, 45), seed=2 * i + 1)
        (folder / case / f"{case}_02.edf.seizures").write_bytes(b"\0")
        name = "Seizure 1" if i % 2 else "Seizure"
        (folder / case / f"{case}-summary.txt").write_text(
            f"{head}\nFile Name: {case}_02.edf\nFile Start Time: 11:42:54\nFile End Time: 11:43:54\n"
            f"Number of Seizures in File: 1\n{name} Start Time: 20 seconds\n{name} End Time: 45 seconds\n"
        )
    return folder
