"""What crosses the boundaries of the ingest side.

Shapes: chunk ``(n_samples, n_channels)``, window ``(n_channels, n_times)``,
batch ``(n_windows, n_channels, n_times)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

NS_PER_S: Final = 1_000_000_000
MISSING_INT16: Final = -32768
"""The digital value that stands for a missing sample."""


class SignalKind(StrEnum):
    """The kinds of signal that a bed may carry."""

    ECG = "ecg"
    EEG = "eeg"
    LUNG_SOUND = "lung_sound"
    HEART_SOUND = "heart_sound"
    RESP = "resp"
    PLETH = "pleth"
    ABP = "abp"


SOUNDS: Final = (SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND)
"""What a stethoscope sends."""


UNIT_SCALES: Final[dict[SignalKind, dict[str, float]]] = {
    SignalKind.ECG: {"mV": 1.0, "uV": 1e-3, "V": 1e3},
    SignalKind.EEG: {"uV": 1.0, "mV": 1e3, "V": 1e6},
    SignalKind.LUNG_SOUND: {"au": 1.0, "Pa": 1.0},
    SignalKind.HEART_SOUND: {"au": 1.0, "Pa": 1.0},
    SignalKind.RESP: {"au": 1.0, "ohm": 1.0},
    SignalKind.PLETH: {"au": 1.0},
    SignalKind.ABP: {"mmHg": 1.0, "kPa": 7.50061683},
}
"""Accepted units of each kind and the factor to its canonical unit, which is the first one named."""

DEAD_LETTER_REASONS: Final = (
    "malformed",
    "oversized",
    "unknown_content_type",
    "unknown_version",
    "invalid_field",
    "wrong_unit",
    "non_finite",
    "time_travel",
    "key_mismatch",
    "second_device",
    "late",
    "bad_signature",
)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of one signal as a device sent it, in the canonical unit of its kind.

    Parameters
    ----------
    bed, device : str
        Labels, never a patient's name.
    kind : SignalKind
        What the signal is.
    channels : tuple of str
        Names of the channels (leads).
    fs_hz : float
        Sampling rate; may be fractional (62.5).
    start_ns : int
        Device time of the first sample, ns since the epoch.
    seq : int
        Counts the chunks of this (device, kind), from 0 at the device's start.
    samples : ndarray of float32, shape (n_samples, n_channels)
        ECG in mV, EEG in µV, sounds in full-scale units; NaN where missing.
    lead_off : tuple of bool or None
        One flag a channel, where the device says.
    pacer_ns : tuple of int
        Times of pacing pulses, device time.
    status : str or None
        Free text of the device.
    battery : float or None
        0 to 1.
    """

    bed: str
    device: str
    kind: SignalKind
    channels: tuple[str, ...]
    fs_hz: float
    start_ns: int
    seq: int
    samples: FloatArray
    lead_off: tuple[bool, ...] | None = None
    pacer_ns: tuple[int, ...] = ()
    status: str | None = None
    battery: float | None = None

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self.samples.shape[0])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.fs_hz

    @property
    def end_ns(self) -> int:
        """Device time just after the last sample."""
        return self.start_ns + round(self.n_samples / self.fs_hz * NS_PER_S)
