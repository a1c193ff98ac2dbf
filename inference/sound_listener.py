"""The network that listens to a sound: frames of many beds in, what it heard in the newest piece out.

A window ends with the newest frame; what the network says of its last ``right_context_s`` is not final yet,
so the piece that is judged lies before it, and goes on where the last one ended. A window is asked about
every ``hop_s`` of the card, about all beds whose turn it is at once.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from inference.errors import UnfitModel
from ingest.types import BoolArray, FloatArray, IntArray, SignalKind, WideFloatArray
from models.melspec import MelSpec
from models.sounds import Heard
from models.sounds_level import RunningLevel
from models.spec import ModelSpec

BATCH_SIZES: Final = (2, 4, 8, 16)
"""Sizes to which batches are padded: each makes oneDNN keep another set of primitives. Measured on a CPU:
1.1 ms a window from 2 to 24, 2.6 ms alone."""


class SoundNetwork(Protocol):
    """What is used of a :class:`models.sounds.SoundModel`."""

    mel: MelSpec
    spec: ModelSpec
    classes: tuple[str, ...]
    step_classes: tuple[str, ...]
    step_s: float
    window_frames: int

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Least probability that calls each class."""

    def level(self, n_streams: int = 1) -> RunningLevel:
        """What takes levels off the frames of streams."""

    def step_times_s(self, n_steps: int) -> WideFloatArray:
        """Middle of each step."""

    def listen(self, frames_BMT: FloatArray, where_BS: BoolArray | None = None) -> Heard:
        """What is heard in windows of several beds."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """What was heard in the newest piece of some streams.

    Parameters
    ----------
    rows : ndarray of int64, shape (n,)
        Which of the streams asked about.
    probabilities : ndarray of float64, shape (n, n_classes)
        Of the network's classes.
    called : ndarray of bool, shape (n, n_classes)
        Which reach their threshold.
    begins_s, ends_s : float
        Where the piece lies, in seconds after the first sample of its window.
    heard : Heard
        All that the network said of the window.
    steps : slice
        Those of the piece.
    """

    rows: IntArray
    probabilities: WideFloatArray
    called: BoolArray
    begins_s: float
    ends_s: float
    heard: Heard
    steps: slice


class Listener:
    """One network over the streams of many beds.

    Parameters
    ----------
    kind : SignalKind
        What it listens to.
    network : SoundNetwork
        Any model of sounds.
    mel : MelSpec
        Levels that the worker makes of such sounds; the network may ask for pictures above them.
    n_slots : int
        Streams to make room for.

    Raises
    ------
    UnfitModel
        The card asks for other frames, or another pace.
    """

    def __init__(self, kind: SignalKind, network: SoundNetwork, mel: MelSpec, n_slots: int) -> None:
        card = network.spec
        _check_fit(kind, network, mel)
        self.card = card
        self.network = network
        self.mel = network.mel
        self.per_second = round(mel.frame_hz)
        self.hop_s = round(card.hop_s)
        n_seconds = -(-network.window_frames // self.per_second)
        self.window_s = n_seconds + 1
        """Seconds that a window touches, with what its first frames reach back."""
        self.level = network.level(n_slots)
        self.frames = np.zeros((n_slots, n_seconds, self.mel.n_rows, self.per_second), dtype=np.float32)
        """Ring of leveled frames, a second in each place."""
        self.seconds = np.zeros(n_slots, dtype=np.int64)
        """Seconds that each stream was listened to."""
        self._turn = np.zeros(n_slots, dtype=np.int64)
        self._thresholds = np.array([network.thresholds[name] for name in network.classes])
        n_steps = round(card.window_s / card.step_s)
        last = round((card.window_s - card.right_context_s) / card.step_s)
        first = max(0, last - round(card.hop_s / card.step_s))
        self._steps = slice(first, last)
        self._judged = (np.arange(n_steps) >= first) & (np.arange(n_steps) < last)
        self.judged_s = math.ceil(
            card.window_s if kind is SignalKind.HEART_SOUND else card.window_s - first * card.step_s
        )
        """Last seconds, those among them that are judged."""
        # A step stands for the middle of what its frames are made of.
        self._begin_s = float(network.step_times_s(1)[0]) - network.step_s / 2
        # A murmur is judged by whole cycles: the window as it is.
        self.whole = kind is SignalKind.HEART_SOUND
        for size in BATCH_SIZES:
            # The first call of each size compiles and allocates: not when the first alarm waits for it.
            self._listen(np.zeros((size, self.mel.n_rows, network.window_frames), dtype=np.float32))

    def resize(self, n_slots: int) -> None:
        """Make room for more streams."""
        extra = n_slots - len(self.frames)
        self.level.resize(n_slots)
        self.frames = np.pad(self.frames, ((0, extra), (0, 0), (0, 0), (0, 0)))
        self.seconds = np.pad(self.seconds, (0, extra))
        self._turn = np.pad(self._turn, (0, extra))

    def seat(self, slot: int, bed: str) -> None:
        """Give a bed its turn, by its name: beds that began together are not all asked about at once."""
        self._turn[slot] = zlib.crc32(bed.encode()) % self.hop_s

    def reset(self, slots: IntArray) -> None:
        """Begin some streams anew."""
        self.level.reset(slots)
        self.frames[slots], self.seconds[slots] = 0.0, 0

    def push(self, slots: IntArray, frames: FloatArray) -> Pieces | None:
        """Take a second's frames of some streams; judge those whose turn it is.

        Parameters
        ----------
        slots : ndarray of int64, shape (n,)
            Distinct streams.
        frames : ndarray of float32, shape (n, n_rows, n_frames)
            Log-mel frames that one second completes: ``mel`` of it and of ``mel.early`` hops before it, so
            that at a stream's start the first of them begin before it and are none.
        """
        early = self.mel.early
        self.seconds[slots] += 1
        seconds = self.seconds[slots]
        n_places = self.frames.shape[1]
        for begins, skip in ((seconds == 1, early), (seconds > 1, 0)):
            rows = np.flatnonzero(begins)
            if len(rows):
                place = (slots[rows], seconds[rows] % n_places)
                self.frames[(*place, slice(None), slice(skip, None))] = self.level.push(
                    slots[rows], frames[rows, :, skip:]
                )
        window_frames = self.network.window_frames
        ready = seconds * self.per_second - early - window_frames
        due = (ready >= 0) & ((seconds + self._turn[slots]) % self.hop_s == 0)
        rows = np.flatnonzero(due)
        if len(rows) == 0:
            return None
        order = (seconds[rows, None] + 1 + np.arange(n_places)) % n_places
        blocks = self.frames[slots[rows, None], order]
        joined = blocks.transpose(0, 2, 1, 3).reshape(len(rows), blocks.shape[2], -1)
        heard = self._listen(joined[:, :, -window_frames:])
        probabilities = heard.probabilities.astype(np.float64)
        begins_s = 0.0 if self.whole else self._begin_s + self._steps.start * self.network.step_s
        ends_s = self.card.window_s if self.whole else self._begin_s + self._steps.stop * self.network.step_s
        called: BoolArray = probabilities >= self._thresholds
        return Pieces(rows, probabilities, called, begins_s, ends_s, heard, self._steps)

    def _listen(self, windows: FloatArray) -> Heard:
        most = BATCH_SIZES[-1]
        parts = []
        for begin in range(0, len(windows), most):
            part = windows[begin : begin + most]
            size = next(size for size in BATCH_SIZES if size >= len(part))
            padded = np.pad(part, ((0, size - len(part)), (0, 0), (0, 0)))
            where = None if self.whole else np.tile(self._judged, (size, 1))
            parts.append((self.network.listen(padded, where), len(part)))
        return Heard(
            *(
                np.concatenate([getattr(heard, name)[:n] for heard, n in parts])
                for name in Heard.__dataclass_fields__
            )
        )


def _check_fit(kind: SignalKind, network: SoundNetwork, mel: MelSpec) -> None:
    card = network.spec
    if network.mel.levels() != mel:
        raise UnfitModel(
            f"model {card.name}: its frames are {network.mel}, those of {kind} are {mel}; train it with those"
        )
    if card.hop_s != round(card.hop_s) or card.hop_s < 1.0:
        raise UnfitModel(f"model {card.name}: hop_s={card.hop_s:g}, but sounds are judged by whole seconds")
    if card.window_s < card.right_context_s + card.hop_s:
        raise UnfitModel(
            f"model {card.name}: window_s={card.window_s:g} is less than right_context_s="
            f"{card.right_context_s:g} and hop_s={card.hop_s:g}: something would never be judged"
        )
