"""The sounds of a bed: live waveform and spectrogram, and play-back of the newest minute in the browser.

The browser works the spectrogram out of the samples. Play-back needs the samples there anyway; columns worked
out here would double what is sent (62.5 columns/s of 129 bytes beside 8 kB/s of sound).
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.asked import nothing, read_ask
from dashboard.sound_feed import HISTORY_S, SOUNDS, SoundSession, SoundSource, build_sound_feed
from dashboard.sound_marks import Ask
from ingest.types import SignalKind

FEED_S: Final = 0.5
LOOK_S: Final = 2.0
_SESSION: Final = "sound-session"
_FOLDER: Final = Path(__file__).parent / "component"
_SCRIPTS: Final = (
    "trace.js",
    "sound_pane_spectrum.js",
    "sound_pane_marks.js",
    "sound_pane_sound.js",
    "sound_pane_player.js",
    "sound_pane_draw.js",
    "sound_pane_one.js",
    "sound_pane.js",
)


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_pane = st.components.v2.component(
    "wardwave_sounds",
    html=_text("sound_pane.html"),
    css=_text("sound_pane.css"),
    js="\n".join(_text(name) for name in _SCRIPTS),
)
_pipe = st.components.v2.component("wardwave_sounds_pipe", js=_text("sound_pane_pipe.js"))


def show_sounds(ward: SoundSource, bed: str) -> None:
    """Show the lung and heart sounds of a bed; to be called outside of fragments.

    Parameters
    ----------
    ward : SoundSource
        Where the samples come from, and what networks said of them.
    bed : str
        Its label.
    """
    if not _sends_sound(ward, bed):
        st.caption("This bed sends no lung or heart sound.")
        _rerun_on_sound(ward, bed)
        return
    session = _session(bed)
    # Other controls run the page again: what is frozen or played goes on; a new canvas gets all that is held.
    session.resend()

    @st.fragment
    def pane() -> None:
        # A fragment: what the browser asks runs this alone, not the page.
        result = _pane(key="sounds", data={"view": session.view}, on_ask_change=nothing)
        asked = read_ask(result, Ask)
        if asked is not None:
            kind = SignalKind(asked.kind)
            session.marks[kind].answer(asked, lambda: ward.audio(bed, kind, HISTORY_S))

    pane()

    @st.fragment(run_every=FEED_S)
    def feed() -> None:
        _pipe(key="sounds-pipe", data=build_sound_feed(ward, session))

    feed()


def _session(bed: str) -> SoundSession:
    held = st.session_state.get(_SESSION)
    if not isinstance(held, SoundSession) or held.bed != bed:
        held = st.session_state[_SESSION] = SoundSession(view=uuid.uuid4().hex, bed=bed)
    return held


def _sends_sound(ward: SoundSource, bed: str) -> bool:
    shown = ward.snapshot().bed(bed)
    return shown is not None and any(stream.kind in SOUNDS for stream in shown.streams)


def _rerun_on_sound(ward: SoundSource, bed: str) -> None:
    @st.fragment(run_every=LOOK_S)
    def look() -> None:
        if _sends_sound(ward, bed):
            st.rerun()

    look()
