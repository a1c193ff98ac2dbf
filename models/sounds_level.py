"""Levels taken off a log-mel spectrogram as it comes: each band less its own running mean.

A stethoscope's gain and colour, and how loud a chest is, shift the bands of a log-mel spectrogram by
constants; a mean that forgets exponentially follows them. It looks at the past alone, so a stream gives the
frames of the whole recording. Subtraction of a mean in the log domain is cepstral mean normalisation
(Atal 1974; Viikki and Laurila 1998 for the running form).

Lines, which lie above the levels, lose what stands in the whole recording in the same way: hum, the tones of
a device. Clicks are told by how they differ from plain noise, which is the same for all devices; they stay.

Shape legend: R streams, M mel bands, T frames.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal

from models.melspec import MelSpec
from models.spec import MelFrames

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

SCALE: Final = 3.0
"""What a level in nepers of power is divided by, so that the network sees numbers near 1."""
RATIO_SCALE: Final = 0.5
"""What lines and clicks are divided by."""
USUAL_CLICK: Final = 0.85
"""How far the loudest short frame of plain noise stands out, in nepers of power: what a network sees as 0."""


def mel_spec(mel: MelFrames) -> MelSpec:
    """What a card says of its frames, as the spectrogram takes it."""
    return MelSpec(
        rate_hz=mel.rate_hz,
        window=mel.window,
        hop=mel.hop,
        n_fft=mel.n_fft,
        n_mels=mel.n_mels,
        low_hz=mel.low_hz,
        high_hz=mel.high_hz,
        floor=mel.floor,
        long=mel.long,
        short=mel.short,
    )


class RunningLevel:
    """Frames less the running mean of each row, of many streams, the same for any cut.

    Frame ``t`` is lowered by the mean of frames ``0`` to ``t`` with weights ``keep ** (t - k)``; at a
    stream's begin that is the plain mean of what has come.

    Parameters
    ----------
    memory_frames : float
        Time constant.
    n_mels : int
        Bands.
    n_streams : int
        Streams to make room for; grows by :meth:`resize`.
    lines, clicks : bool
        Whether these pictures lie above the levels.
    """

    def __init__(
        self,
        memory_frames: float,
        n_mels: int,
        n_streams: int = 1,
        *,
        lines: bool = False,
        clicks: bool = False,
    ) -> None:
        self._keep = float(np.exp(-1.0 / memory_frames))
        leveled = n_mels * (1 + lines)
        self._scale = np.where(np.arange(leveled) < n_mels, SCALE, RATIO_SCALE)[:, None]
        self._n_rows = leveled + n_mels * clicks
        self._sum = np.zeros((n_streams, leveled))
        self._weight = np.zeros(n_streams)

    @property
    def n_streams(self) -> int:
        """Streams that there is room for."""
        return len(self._weight)

    def resize(self, n_streams: int) -> None:
        """Make room for ``n_streams``; those that exist keep their state."""
        extra = max(0, n_streams - self.n_streams)
        self._sum = np.pad(self._sum, ((0, extra), (0, 0)))
        self._weight = np.pad(self._weight, (0, extra))

    def reset(self, streams: IntArray) -> None:
        """Begin these streams anew with their next frame."""
        self._sum[streams] = 0.0
        self._weight[streams] = 0.0

    def state(self, stream: int) -> npt.NDArray[np.float64]:
        """What is kept of one stream, for snapshots; shape (M + 1,)."""
        return np.append(self._sum[stream], self._weight[stream])

    def restore(self, stream: int, state: npt.NDArray[np.float64]) -> None:
        """Put one stream back as :meth:`state` gave it."""
        self._sum[stream], self._weight[stream] = state[:-1], state[-1]

    def push(self, streams: IntArray, frames_RMT: FloatArray) -> FloatArray:
        """Take the next frames of several distinct streams.

        Parameters
        ----------
        streams : ndarray of int64, shape (R,)
            Which.
        frames_RMT : ndarray of float32, shape (R, M, T)
            As :func:`models.melspec.log_mel` gives them; M is the rows of all pictures.

        Returns
        -------
        ndarray of float32, shape (R, M, T)
            What the network sees.

        Raises
        ------
        ValueError
            Another number of rows.
        """
        if frames_RMT.shape[1] != self._n_rows:
            raise ValueError(f"frames of shape {frames_RMT.shape}: take (R, {self._n_rows}, T)")
        if frames_RMT.shape[2] == 0:
            return frames_RMT.copy()
        leveled = self._sum.shape[1]
        levels_RMT, clicks_RMT = frames_RMT[:, :leveled], frames_RMT[:, leveled:]
        filters = np.array([1.0]), np.array([1.0, -self._keep])
        before = self._keep * self._sum[streams][..., None]
        sums, _ = signal.lfilter(*filters, levels_RMT.astype(np.float64), axis=-1, zi=before)
        ones = np.ones((len(streams), frames_RMT.shape[2]))
        weights, _ = signal.lfilter(*filters, ones, axis=-1, zi=self._keep * self._weight[streams][:, None])
        self._sum[streams] = sums[..., -1]
        self._weight[streams] = weights[..., -1]
        out = np.empty(frames_RMT.shape, dtype=np.float32)
        out[:, :leveled] = (levels_RMT - sums / weights[:, None]) / self._scale
        out[:, leveled:] = (clicks_RMT - USUAL_CLICK) / RATIO_SCALE
        return out


def level_frames(
    frames_MT: FloatArray, memory_frames: float, *, lines: bool = False, clicks: bool = False
) -> FloatArray:
    """Frames of a whole recording, (M, T), as a stream would give them."""
    n_mels = frames_MT.shape[0] // (1 + lines + clicks)
    level = RunningLevel(memory_frames, n_mels, lines=lines, clicks=clicks)
    leveled: FloatArray = level.push(np.zeros(1, dtype=np.int64), frames_MT[None])[0]
    return leveled
