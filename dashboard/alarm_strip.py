"""The strip of the alarm that is reviewed: drawn, its beats found and explained while the page goes on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import streamlit as st

from dashboard import strip_view
from dashboard.background import Prepared
from dashboard.strip_lanes import gap_words
from dashboard.strip_sheet import Drawing
from dashboard.words import plain
from inference.explanation import Explained
from inference.strips import Strip, StripBeat
from inference.types import Alarm
from models.errors import ModelError

WAIT_S: Final = 1.0
"""So long a page waits for a strip; one that takes longer is shown when it is there."""
LOOK_S: Final = 0.5
MAKING_S: Final = 120.0
"""So long a drawing waits for its beats: the networks may have to be loaded first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be seen on a strip."""

    beats: bool
    explained: bool
    dark: bool


@dataclass(frozen=True, slots=True)
class Drawn:
    """A strip as it is shown; ``problems`` says what could not be found."""

    drawing: Drawing
    png: bytes
    problems: tuple[str, ...]


_beats: Final = Prepared[tuple[StripBeat, ...]](64)
_explained: Final = Prepared[Explained](16)
_drawn: Final = Prepared[Drawn](16)


@functools.cache
def _finder() -> Callable[[Strip], tuple[StripBeat, ...]]:
    # Seconds of loading torch, which only a strip that is opened needs.
    from inference.strip_beats import BeatFinder

    return BeatFinder()


def show_strip(strip: Strip, alarm: Alarm) -> Drawing | None:
    """Show a strip with its choices; return what was drawn, ``None`` as long as there is nothing."""
    drawn = None
    if strip.signals:
        beats, explain = st.columns([1, 4])
        # A toggle's state is the session's, not the alarm's: who wants beats wants them in the next strip.
        wanted = Wanted(
            beats=beats.toggle("Beats", value=True, key="review-beats"),
            explained=explain.toggle("Where the network looked", key="review-explain"),
            dark=st.context.theme.type != "light",
        )
        drawn = _draw_soon(strip, alarm, wanted, WAIT_S)
        if drawn is None:
            st.info("The strip is being drawn …")
            again_when(lambda: _draw_soon(strip, alarm, wanted, 0.0) is not None)
        else:
            _show(drawn)
    for said in gap_words(strip):
        st.warning(plain(said))
    st.caption(plain(strip_view.GRID_WORDS))
    return None if drawn is None else drawn.drawing


def _show(drawn: Drawn) -> None:
    alarm, strip = drawn.drawing.alarm, drawn.drawing.strip
    for problem in drawn.problems:
        st.warning(plain(problem))
    words = f"Strip of {alarm.bed}: {alarm.kind}, {len(strip.signals)} pieces of signal"
    st.image(drawn.png, alt=words)
    if drawn.drawing.explained is not None:
        st.caption(plain(strip_view.explained_words(drawn.drawing.explained)))


def again_when(true: Callable[[], bool]) -> None:
    """Run the page again as soon as something is so; to be called outside of fragments."""

    @st.fragment(run_every=LOOK_S)
    def look() -> None:
        if true():
            st.rerun()

    look()


def _draw_soon(strip: Strip, alarm: Alarm, wanted: Wanted, wait_s: float) -> Drawn | None:
    key = (alarm.id, alarm.revision, strip.end_ns, len(strip.signals), wanted)
    return _drawn.get(key, lambda: _draw(strip, alarm, wanted), wait_s)


def _draw(strip: Strip, alarm: Alarm, wanted: Wanted) -> Drawn:
    key, problems = (alarm.id, strip.end_ns, len(strip.signals)), []
    beats: tuple[StripBeat, ...] = ()
    explained = None
    try:
        if wanted.beats:
            beats = _beats.get(key, lambda: _finder()(strip), MAKING_S) or ()
    except ModelError as error:
        problems.append(f"No beats: {error}")
    try:
        if wanted.explained:
            explained = _explained.get(
                (*key, alarm.raised_ns), lambda: strip_view.explain_strip(strip, alarm), MAKING_S
            )
    except ModelError as error:
        problems.append(f"No explanation: {error}")
    drawing = Drawing(strip, alarm, beats, explained)
    return Drawn(drawing, strip_view.strip_png(drawing, dark=wanted.dark), tuple(problems))
