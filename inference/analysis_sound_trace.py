"""A sound as it is shown and explained after an analysis: its frames, and the envelope of its waveform.

The frames are the ones that a network sees, so what is drawn, marked and explained lies on one axis.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from ingest.types import FloatArray, WideFloatArray

ENVELOPE_HZ: Final = 100
FULL_SCALE: Final = 32_767


class SoundTrace(msgspec.Struct, frozen=True):
    """Frames and envelope of one sound.

    ``frames`` are float16, ``(n_rows, n_frames)``: ``n_mels`` rows of log power, and the pictures above them
    that the network sees. ``low`` and ``high`` are int16 of full scale, 100 a second. Frame ``k`` begins at
    ``begin_s + k * frame_s`` and is centred half a ``window_s`` later; bands lie between ``edges_hz``,
    ``n_mels + 1`` of them.
    """

    signal: str
    n_mels: int
    n_rows: int
    frames: bytes
    frame_s: float
    window_s: float
    begin_s: float
    edges_hz: list[float]
    low: bytes
    high: bytes
    duration_s: float

    def mel(self) -> FloatArray:
        """Frames as the network's :func:`models.sounds_level.level_frames` takes them."""
        return np.frombuffer(self.frames, dtype="<f2").reshape(self.n_rows, -1).astype(np.float32)

    def envelope(self) -> tuple[WideFloatArray, WideFloatArray]:
        """Lowest and highest sample of each hundredth of a second, full scale 1."""
        low, high = (np.frombuffer(part, dtype="<i2") / FULL_SCALE for part in (self.low, self.high))
        return low, high

    @property
    def centre_s(self) -> float:
        """Middle of the first frame."""
        return self.begin_s + self.window_s / 2
