"""The EEG of a bed: live sweep or a page of the last minutes by montage, spectra, trends, and what is marked.

The browser gets the channels as they come and the montages as weights: a change of montage, filter or scale
needs no server and holds for a frozen page, too.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard import shared
from dashboard.asked import nothing, read_ask
from dashboard.eeg_feed import EegSession, EegSource, build_eeg_feed
from dashboard.eeg_headers import Ask
from dashboard.eeg_history import EegPast, ReadStore
from dashboard.monitor import MM_PER_INCH
from dashboard.review import DPI
from ingest.types import SignalKind

FEED_S: Final = 0.5
LOOK_S: Final = 2.0
_SESSION: Final = "eeg-session"
_FOLDER: Final = Path(__file__).parent / "component"
_SCRIPTS: Final = (
    "preferences.js",
    "protocol.js",
    "elements.js",
    "trace.js",
    "sound_pane_spectrum.js",
    "eeg_signal.js",
    "eeg_filter.js",
    "eeg_sheet.js",
    "eeg_ground.js",
    "eeg_marks.js",
    "eeg_past.js",
    "eeg_trends.js",
    "eeg_lanes.js",
    "eeg_trend_pane.js",
    "eeg_view.js",
    "eeg_words.js",
    "eeg_controls.js",
    "eeg_pane.js",
    "eeg_mount.js",
)


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_page = st.components.v2.component(
    "wardwave_eeg",
    html=_text("eeg_pane.html"),
    css=_text("eeg_pane.css"),
    js="\n".join(_text(name) for name in _SCRIPTS),
)
_pipe = st.components.v2.component("wardwave_eeg_pipe", js=_text("eeg_pane_pipe.js"))


def show_eeg(ward: EegSource, bed: str, read_store: ReadStore = shared.store) -> None:
    """Show the EEG of a bed; to be called outside of fragments.

    Parameters
    ----------
    ward : EegSource
        Where the samples come from, and what workers said of them.
    bed : str
        Its label.
    read_store : callable
        Gives what the recorder wrote of the last day, or why it is not to be had.
    """
    session = _session(bed, read_store)
    if not _has_eeg(ward, session):
        st.caption("This bed sends no EEG.")
        _rerun_on_eeg(ward, session)
        return

    @st.fragment
    def page() -> None:
        # A fragment: what the browser asks runs this alone, not the page.
        data = {"view": session.view, "pixelsPerMm": DPI / MM_PER_INCH}
        result = _page(key="eeg", data=data, on_ask_change=nothing)
        asked = read_ask(result, Ask)
        if asked is not None:
            session.answer(asked)

    page()

    @st.fragment(run_every=FEED_S)
    def feed() -> None:
        _pipe(key="eeg-pipe", data=build_eeg_feed(ward, session))

    feed()


def _session(bed: str, read_store: ReadStore) -> EegSession:
    held = st.session_state.get(_SESSION)
    if not isinstance(held, EegSession) or held.bed != bed:
        held = st.session_state[_SESSION] = EegSession(
            view=uuid.uuid4().hex, bed=bed, past=EegPast(bed, read_store)
        )
    return held


def _has_eeg(ward: EegSource, session: EegSession) -> bool:
    """Whether the bed sends an EEG, or the store has one of its last day."""
    snapshot = ward.snapshot()
    shown = snapshot.bed(session.bed)
    if shown is not None and any(stream.kind is SignalKind.EEG for stream in shown.streams):
        return True
    if session.past is None:
        return False
    session.past.look(snapshot)
    return session.past.is_known


def _rerun_on_eeg(ward: EegSource, session: EegSession) -> None:
    @st.fragment(run_every=LOOK_S)
    def look() -> None:
        if _has_eeg(ward, session):
            st.rerun()

    look()
