"""What stands beside and over a bed's sounds: marks of networks, rates, and where a network looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
import numpy as np

from dashboard.background import Prepared
from dashboard.heard_sounds import ABNORMAL, Heard, Piece
from dashboard.history import FULL_SCALE, Int16Array
from inference.explanation_sound import SoundExplained, explain_audio
from ingest.types import MISSING_INT16, NS_PER_S, SignalKind
from models import cards
from models.errors import ModelError

Audio = tuple[float, Int16Array, int]


class Ask(msgspec.Struct, frozen=True):
    """What the browser asks for: to hold what is frozen, to let it go, or to be told where a network looked.

    ``time_s`` is a device time; 0 for the newest that was judged.
    """

    do: Literal["freeze", "live", "explain", "forget"]
    kind: Literal["lung_sound", "heart_sound"]
    time_s: float = 0.0
    label: str = ""


class Looked(msgspec.Struct, frozen=True, rename="camel"):
    """Where a network looked: rows from the lowest, 0 to 1; device times in s."""

    start_s: float
    step_s: float
    edges_hz: list[float]
    cam: list[list[float]]
    attention: list[float]
    text: str


class Marks(msgspec.Struct, frozen=True, rename="camel"):
    """What is said of one sound: pieces since the feed before the last, rate, explanation."""

    epoch: int = 0
    model: str = ""
    pieces: list[Piece] = []
    rate: float | None = None
    looked: Looked | None = None
    said: str = ""


@dataclass(slots=True)
class MarksSession:
    """What one page view was sent of the marks of one sound, and what it asked."""

    epoch: int = 0
    before: int = 0
    last: int = 0
    asked: Ask | None = None
    frozen: Audio | None = None
    newest_s: float = 0.0
    number: int = 0

    def resend(self) -> None:
        """Let the next feed bring all pieces."""
        self.before = self.last = 0

    def answer(self, asked: Ask, audio: Callable[[], Audio | None]) -> None:
        """Take in what the browser asked; what is frozen is held here as long as it is there."""
        self.number += 1
        match asked.do:
            case "explain":
                self.asked = asked
            case "forget":
                self.asked = None
            case "freeze":
                self.frozen = audio()
                # What was explained as the newest stays the one that is explained.
                self._explain_at(self.newest_s)
            case "live":
                self.frozen = None
                self._explain_at(0.0)

    def _explain_at(self, time_s: float) -> None:
        if self.asked is not None:
            self.asked = msgspec.structs.replace(self.asked, time_s=time_s)

    def step(self, heard: Heard) -> list[Piece]:
        """Return what to send of what is held, and move on; a feed repeats what the one before it held."""
        if heard.epoch != self.epoch:
            self.epoch, self.before = heard.epoch, 0
            self.last, self.newest_s = 0, 0.0
        self.before, self.last = self.last, heard.count
        self.newest_s = max((piece.end_s for piece in heard.pieces), default=self.newest_s)
        return heard.pieces


_explained: Final = Prepared[Looked](32)


def looked(
    view: str, kind: SignalKind, session: MarksSession, heard: Heard, audio: Callable[[], Audio | None]
) -> tuple[Looked | None, str]:
    """Return where the network looked, or in words why that is not shown (yet); never waits."""
    asked = session.asked
    if asked is None:
        return None, ""
    if not heard.model:
        return None, "No network has judged this sound: there is nothing to explain"
    if heard.model not in cards.shipped():
        # The name came over the wire: nothing but what is shipped is ever loaded by it.
        return None, "The network that judged this sound is not among those of this dashboard"
    at_s = asked.time_s or session.newest_s
    held = session.frozen
    key = (view, kind, session.number, at_s)
    try:
        found = _explained.get(
            key, lambda: _look(heard.model, kind, held or audio(), at_s, asked.label or None), 0.0
        )
    except ModelError as error:
        return None, f"No explanation: {error}"
    return found, "" if found is not None else "The network is asked …"


def _look(model: str, kind: SignalKind, held: Audio | None, at_s: float, label: str | None) -> Looked:
    from models.errors import CannotExplain

    if held is None:
        raise CannotExplain("the bed sends this sound no more")
    fs_hz, digital, end_ns = held
    begin_s = end_ns / NS_PER_S - len(digital) / fs_hz
    if not begin_s <= at_s <= end_ns / NS_PER_S:
        raise CannotExplain("this moment is no longer held: go back to live, and freeze again")
    samples = np.where(digital == MISSING_INT16, np.nan, digital / np.float64(FULL_SCALE))
    return _told(explain_audio(model, kind, samples, fs_hz, at_s - begin_s, label), begin_s)


def _told(found: SoundExplained, begin_s: float) -> Looked:
    # What a single window says of the diagnosis is of no use at a bed.
    heard = {name: share for name, share in found.probabilities.items() if name in {*ABNORMAL, found.label}}
    shares = ", ".join(f"{name} {share:.0%}" for name, share in heard.items())
    return Looked(
        begin_s + found.start_s,
        found.step_s,
        [round(edge, 1) for edge in found.edges_hz],
        found.cam.round(2).tolist(),
        (found.attention / max(1e-9, float(found.attention.max()))).round(2).tolist(),
        f"Outlined: what spoke most for {found.label} in this window ({shares}; HiResCAM of {found.model}). "
        "Line below: its attention",
    )
