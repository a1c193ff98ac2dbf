"""Causal filters that training, replay and live share."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import signal

from ingest.types import WideFloatArray

NOTCH_HZ = (50.0, 60.0)
"""Both mains frequencies are removed together, so that one model serves every country."""

NOTCH_QUALITY = 12.0


@lru_cache(maxsize=256)
def band_pass(fs_hz: float, low_hz: float, high_hz: float, notches: bool = True) -> WideFloatArray:
    """Second-order sections of a causal Butterworth band-pass.

    Parameters
    ----------
    fs_hz : float
        Sampling rate of the signal.
    low_hz, high_hz : float
        Edges (-3 dB): second-order high-pass, fourth-order low-pass.
    notches : bool
        Whether both mains frequencies are taken out.

    Returns
    -------
    ndarray of float64, shape (n_sections, 6)

    Raises
    ------
    ValueError
        ``fs_hz`` is too low for ``high_hz``.
    """
    if fs_hz < 2.2 * high_hz:
        msg = f"fs_hz={fs_hz}: a band up to {high_hz} Hz needs at least {2.2 * high_hz:g} Hz"
        raise ValueError(msg)
    sections = [
        signal.butter(2, low_hz, btype="highpass", fs=fs_hz, output="sos"),
        signal.butter(4, high_hz, btype="lowpass", fs=fs_hz, output="sos"),
    ]
    for mains_hz in NOTCH_HZ if notches else ():
        if mains_hz < 0.45 * fs_hz and mains_hz < 2 * high_hz:
            sections.append(signal.tf2sos(*signal.iirnotch(mains_hz, NOTCH_QUALITY, fs=fs_hz)))
    return np.ascontiguousarray(np.concatenate(sections), dtype=np.float64)


@lru_cache(maxsize=256)
def settled_state(fs_hz: float, low_hz: float, high_hz: float, notches: bool = True) -> WideFloatArray:
    """State of :func:`band_pass` after a constant input of 1; shape (n_sections, 2)."""
    return np.asarray(signal.sosfilt_zi(band_pass(fs_hz, low_hz, high_hz, notches)), dtype=np.float64)
