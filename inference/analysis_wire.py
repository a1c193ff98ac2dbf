"""What passes between the process that asks for an analysis and the one that makes it.

msgpack and JSON of typed structs, in frames with their length: nothing that comes back is ever executed.
"""

from __future__ import annotations

import struct
from typing import IO, Final

import msgspec
import numpy as np

from inference.analysis_eeg_trace import EegTrace
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import ReadOptions
from inference.analysis_sound import SoundPicture
from inference.analysis_sound_trace import SoundTrace
from inference.analysis_unpack import Upload
from inference.cli import DEFAULT_BEATS, DEFAULT_MODEL
from ingest.recording import Coding, Signal
from ingest.types import FloatArray

PROGRESS, REFUSED, FAILED, FINDINGS, TRACES = b"p", b"r", b"x", b"f", b"t"
MAX_FRAME: Final = 400_000_000
_STEPS: Final = 32_000


class Models(msgspec.Struct, frozen=True):
    """Names of the networks, or absolute paths of their cards.

    ``beats`` says what beats are, None leaves that to ``ecg``; None of ``lung``, ``heart`` and ``eeg`` is the
    shipped one where there is one, "none" is no network.
    """

    ecg: str = DEFAULT_MODEL
    beats: str | None = DEFAULT_BEATS
    lung: str | None = None
    heart: str | None = None
    eeg: str | None = None


DEFAULT_MODELS: Final = Models()


class Task(msgspec.Struct, frozen=True):
    """All that the child is told; ``folder`` is empty and the parent's to remove."""

    files: list[Upload]
    options: ReadOptions
    limits: AnalysisLimits
    folder: str
    models: Models


class Trace(msgspec.Struct, frozen=True):
    """A signal to look at: 16-bit steps, channel beside channel; −32768 is missing."""

    signal: str
    channels: list[str]
    unit: str
    fs_hz: float
    gain: list[float]
    baseline: list[float]
    digital: bytes

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.digital) / 2 / len(self.channels) / self.fs_hz

    def physical(self, begin_s: float, end_s: float) -> FloatArray:
        """Samples of a part in the signal's unit, (n_samples, n_channels), NaN where missing."""
        steps = np.frombuffer(self.digital, dtype="<i2").reshape(-1, len(self.channels))
        first, last = (max(0, round(at_s * self.fs_hz)) for at_s in (begin_s, end_s))
        return Coding(tuple(self.gain), tuple(self.baseline)).physical(steps[first:last])


class Picture(msgspec.Struct, frozen=True):
    """A sound to look at (:class:`inference.analysis_sound.SoundPicture`)."""

    signal: str
    low: list[float]
    high: list[float]
    rows: int
    spectrum: bytes
    top_hz: float
    duration_s: float


class Traces(msgspec.Struct, frozen=True):
    """What is shown of the recording itself."""

    traces: list[Trace]
    pictures: list[Picture]
    sounds: list[SoundTrace] = []
    eegs: list[EegTrace] = []


class Stage(msgspec.Struct, frozen=True):
    """How far an analysis is: the share of the stage that is done, 0 to 1."""

    name: str
    share: float


def trace_of(signal: Signal) -> Trace:
    """Bring a signal to 16 bits: its own coding, else the range of each channel."""
    coding = signal.coding
    if coding is None:
        low = np.nan_to_num(np.fmin.reduce(signal.samples, axis=0)).astype(np.float64)
        high = np.nan_to_num(np.fmax.reduce(signal.samples, axis=0)).astype(np.float64)
        gain = 2 * _STEPS / np.maximum(high - low, 1e-9)
        coding = Coding(tuple(gain.tolist()), tuple((-(high + low) / 2 * gain).tolist()))
    return Trace(
        str(signal.kind),
        list(signal.channels),
        signal.unit,
        signal.fs_hz,
        list(coding.gain),
        list(coding.baseline),
        coding.digitise(signal.samples).astype("<i2").tobytes(),
    )


def picture_of(signal: str, picture: SoundPicture) -> Picture:
    """A sound's picture as it travels."""
    return Picture(
        signal,
        picture.low.round(5).tolist(),
        picture.high.round(5).tolist(),
        picture.spectrum.shape[0],
        picture.spectrum.tobytes(),
        picture.top_hz,
        picture.duration_s,
    )


def write_frame(out: IO[bytes], kind: bytes, payload: bytes) -> None:
    """Write a frame and flush."""
    out.write(kind + struct.pack("<Q", len(payload)) + payload)
    out.flush()


def read_frame(source: IO[bytes]) -> tuple[bytes, bytes] | None:
    """Read a frame; None at the end, or where what comes is none."""
    head = source.read(9)
    if len(head) < 9:
        return None
    (length,) = struct.unpack("<Q", head[1:])
    if length > MAX_FRAME:
        return None
    payload = source.read(length)
    return (head[:1], payload) if len(payload) == length else None
