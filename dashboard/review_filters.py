"""Filters of the frozen view: what each does is said beside the trace."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from scipy import signal

from ingest.filters import NOTCH_QUALITY, band_pass, settled_state
from ingest.types import FloatArray, WideFloatArray

FilterName = Literal["raw", "monitor", "diagnostic"]
MONITOR_HZ: Final = (0.5, 40.0)
DIAGNOSTIC_HZ: Final = (0.05, 150.0)
PAD_S: Final = 20.0
HIGHEST: Final = 0.45
"""Of the sampling rate: an edge above is no edge."""


def filter_ecg(samples: FloatArray, fs_hz: float, name: FilterName, notch_hz: int) -> tuple[FloatArray, str]:
    """Filter leads as asked.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        NaN where missing; stays missing. Over a gap the last value is held.
    fs_hz : float
        Their rate.
    name : {"raw", "monitor", "diagnostic"}
        The band.
    notch_hz : int
        Mains frequency, 0 for none.

    Returns
    -------
    (samples, said)
        And what was done, in words.
    """
    sections: list[WideFloatArray] = []
    said: list[str] = []
    held = _hold(samples)
    if name == "monitor":
        if fs_hz < 2.2 * MONITOR_HZ[1]:
            return samples, f"as received: {fs_hz:g} Hz is too slow for a band up to 40 Hz"
        said.append("0.5–40 Hz with 50 and 60 Hz notches, causal, as the network sees it (delays some ms)")
        state = settled_state(fs_hz, *MONITOR_HZ)[:, :, None] * held[0]
        held, _ = signal.sosfilt(band_pass(fs_hz, *MONITOR_HZ), held, axis=0, zi=state)
    elif name == "diagnostic":
        sections.append(signal.butter(1, DIAGNOSTIC_HZ[0], "highpass", fs=fs_hz, output="sos"))
        upper = f"to {fs_hz / 2:g} Hz, which the display rate of {fs_hz:g} Hz carries, of 150 Hz"
        if DIAGNOSTIC_HZ[1] < HIGHEST * fs_hz:
            sections.append(signal.butter(2, DIAGNOSTIC_HZ[1], "lowpass", fs=fs_hz, output="sos"))
            upper = "to 150 Hz"
        said.append(f"0.05 Hz {upper}, zero-phase")
    if notch_hz and notch_hz < HIGHEST * fs_hz:
        sections.append(signal.tf2sos(*signal.iirnotch(notch_hz, NOTCH_QUALITY, fs=fs_hz)))
        said.append(f"{notch_hz} Hz notch, zero-phase")
    if sections and len(held) > 1:
        # Mirrored: an end on an R wave must not lift the baseline before it.
        pad = min(len(held) - 1, round(PAD_S * fs_hz))
        held = signal.sosfiltfilt(np.concatenate(sections), held, axis=0, padtype="even", padlen=pad)
    filtered: FloatArray = np.where(np.isnan(samples), np.nan, held).astype(np.float32)
    return filtered, "ECG: " + ("; ".join(said) if said else "as received")


def _hold(samples: FloatArray) -> WideFloatArray:
    """Let missing samples take the last value there was, or the first that comes."""
    present = ~np.isnan(samples)
    first = np.take_along_axis(samples, present.argmax(axis=0)[None], axis=0)
    last = np.maximum.accumulate(np.where(present, np.arange(len(samples))[:, None], -1), axis=0)
    filled = np.where(last < 0, first, np.take_along_axis(samples, np.maximum(last, 0), axis=0))
    return np.nan_to_num(filled.astype(np.float64))
