"""Sounds played into a monitor of sounds, and a stand-in for its network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from inference.alarm_book import AlarmBook
from inference.monitor import Outcome
from inference.sound_monitor import SoundMonitor
from inference.windows import WindowMonitor
from ingest.continuity import Piece
from ingest.types import NS_PER_S, BoolArray, Chunk, FloatArray, SignalKind
from models.melspec import LUNG_MEL, MelSpec
from models.sounds import Heard
from models.sounds_level import RunningLevel

T0 = 1_700_000_000 * NS_PER_S
LUNG, HEART = SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND
MEMORY_FRAMES = 1_000.0


@dataclass(frozen=True)
class Card:
    """What is read of a card."""

    name: str = "plain-sounds"
    sha256: str = "1" * 64
    window_s: float = 5.12
    hop_s: float = 3.0
    step_s: float = 0.08
    right_context_s: float = 1.0


@dataclass
class PlainListener:
    """A threshold instead of a network: what is loud above 1 kHz is a wheeze, no matter what it sounds like.

    It keeps the windows that it was shown.
    """

    spec: Card = field(default_factory=Card)
    mel: MelSpec = LUNG_MEL
    classes: tuple[str, ...] = ("crackle", "wheeze")
    step_classes: tuple[str, ...] = ("crackle", "wheeze")
    step_s: float = 0.08
    window_frames: int = 256
    seen: list[FloatArray] = field(default_factory=list)

    @property
    def thresholds(self) -> dict[str, float]:
        return {"crackle": 0.5, "wheeze": 0.3}

    def level(self, n_streams: int = 1) -> RunningLevel:
        mel = self.mel
        return RunningLevel(MEMORY_FRAMES, mel.n_mels, n_streams, lines=mel.long > 0, clicks=mel.short > 0)

    def step_times_s(self, n_steps: int) -> np.ndarray:
        first = (3 * self.mel.hop + self.mel.window) / 2 / self.mel.rate_hz
        return first + np.arange(n_steps) * self.step_s

    def listen(self, frames_BMT: FloatArray, where_BS: BoolArray | None = None) -> Heard:
        self.seen.extend(frames_BMT)
        n = len(frames_BMT)
        loud = frames_BMT[:, -16:].max(axis=1).reshape(n, -1, 4).max(axis=2) > 1.5
        steps = np.stack([np.zeros_like(loud), 0.9 * loud], axis=2).astype(np.float32)
        looked = loud & (np.ones_like(loud) if where_BS is None else where_BS)
        wheeze = np.where(looked.any(axis=1), 0.4, 0.1)
        return Heard(
            np.stack([np.full(n, 0.1), wheeze], axis=1).astype(np.float32),
            steps,
            np.full(loud.shape, 1 / loud.shape[1], dtype=np.float32),
            np.zeros((n, 0), dtype=np.float32),
            np.zeros((n, 0), dtype=np.int64),
        )


def asked_at(bed: str, seconds: int) -> list[int]:
    """Seconds of a stream at which the stand-in is asked: each third, by the bed's name, from six on."""
    return [second for second in range(6, seconds + 1) if (second + crc32(bed.encode())) % 3 == 0]


def monitor(kind: SignalKind, network: PlainListener | None = None) -> SoundMonitor:
    """A monitor with alarms as the catalogue sets them."""
    return SoundMonitor(kind, WindowMonitor(kind, AlarmBook(), lambda: T0), network)  # type: ignore[arg-type]


def pieces(
    kind: SignalKind,
    sound: np.ndarray,
    cuts: Sequence[int] = (),
    *,
    fs_hz: float = 4_000.0,
    bed: str = "bed",
    begins: int = 0,
    starts: bool = True,
    lead_off: Iterable[range] = (),
) -> list[tuple[str, Piece]]:
    """Cut a sound into chunks, a second each or at ``cuts``.

    ``begins`` counts samples that came before; ``starts``: what comes does not join them.
    """
    second = round(fs_hz)
    edges = [0, *(cuts or range(second, len(sound), second)), len(sound)]
    made = []
    for seq, (begin, end) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        start_ns = T0 + round((begins + begin) / fs_hz * NS_PER_S)
        samples = np.asarray(sound[begin:end], dtype=np.float32)[:, None]
        off = any(begin // second in seconds for seconds in lead_off)
        chunk = Chunk(bed, "d", kind, ("chest",), fs_hz, start_ns, seq, samples, lead_off=(off,))
        made.append((bed, Piece(chunk, begins + begin, samples, start_ns, 0, seq == 0 and starts)))
    return made


def play(monitor: SoundMonitor, parts: Iterable[tuple[str, Piece]]) -> Outcome:
    """Push one piece after another."""
    whole = Outcome()
    for part in parts:
        whole.extend(monitor.push([part]))
    return whole


def raised(outcome: Outcome) -> list[str]:
    """Kinds of alarms that began, in order."""
    return [alarm.kind for alarm in outcome.alarms if alarm.state.value == "active"]
