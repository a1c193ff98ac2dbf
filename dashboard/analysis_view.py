"""Analyse: hand in a recording, wait, look at what was found. Names come from strangers: text only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

import streamlit as st
from streamlit import runtime
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx

from dashboard import access, access_log, analysis_result
from dashboard.words import count, plain
from inference.analysis_job import Analysis, AnalysisDesk, Result
from inference.analysis_read import ReadOptions
from inference.analysis_unpack import Upload, shown
from inference.errors import InferenceError
from ingest.sound_files import SOUND_ENDINGS
from ingest.types import SignalKind

RENEWED_S: Final = 0.5
RUNNING: Final = "analysis"
RESULT: Final = "analysis_result"
PROBLEM: Final = "analysis_problem"
ROUND: Final = "analysis_round"
HELD: Final = "analysis_held"
"""Files that may be refused: kept until others are chosen, as Streamlit forgets what an uploader held."""

KIND: Final = "analysis_kind"
_SOUNDS: Final = [ending.removeprefix(".") for ending in SOUND_ENDINGS]
TYPES: Final = ["zip", "hea", "dat", "mat", "edf", "bdf", *_SOUNDS, "csv", "tsv"]
SOUND_KINDS: Final = {"Lung sounds": SignalKind.LUNG_SOUND, "Heart sounds": SignalKind.HEART_SOUND}
BY_NAME: Final = "by the channels' names"
NO_RATE: Final = 0.0
BY_HEAD: Final = "as the file says"
UNITS: Final = ("mV", "uV", "V")


def analyse_page(desk: AnalysisDesk) -> None:
    """Show the form, the progress or the result, whichever it is time for."""
    running = st.session_state.get(RUNNING)
    if isinstance(running, Analysis):
        _progress(desk, running)
        return
    result = st.session_state.get(RESULT)
    if isinstance(result, Result):
        name, again = st.columns([5, 1], vertical_alignment="center")
        name.subheader(plain(result.findings.name))
        _start_over(again)
        analysis_result.show(result)
        return
    _form(desk)


def _forget() -> None:
    for key in (RUNNING, RESULT, PROBLEM, HELD, KIND):
        st.session_state.pop(key, None)
    # A new key drops the files that the uploader holds.
    st.session_state[ROUND] = st.session_state.get(ROUND, 0) + 1


def _start_over(place: DeltaGenerator) -> None:
    """Forget the files, what was found and what was refused."""
    place.button("Start over", on_click=_forget, width="stretch")


def _form(desk: AnalysisDesk) -> None:
    title, again = st.columns([5, 1], vertical_alignment="center")
    title.subheader("Analyse a recording")
    if st.session_state.get(PROBLEM) or st.session_state.get(HELD):
        _start_over(again)
    st.caption(
        "ECG and EEG as WFDB (.hea with its data, or a zip of them), EDF or BDF, or CSV; sounds of a chest "
        "(WAV, FLAC, MP3, OGG, AIFF). It goes through the same pipeline as the beds and is forgotten with "
        "this browser session. The access log keeps who handed it in, the kind of file, its size and its "
        "checksum: no name, no content."
    )
    problem = st.session_state.get(PROBLEM)
    if problem:
        st.error(plain(str(problem)), icon="⚠️")
    files = st.file_uploader(
        "Files of one recording",
        type=TYPES,
        accept_multiple_files=True,
        key=f"analysis_files_{st.session_state.get(ROUND, 0)}",
        max_upload_size=desk.limits.max_upload_mb,
    )
    held: list[Upload] = st.session_state.get(HELD, [])
    uploads = [Upload(file.name, file.getvalue()) for file in files] or held
    if held and not files:
        st.caption(f"Still here: {plain(', '.join(shown(one.name) for one in held))}")
    unasked, kind = _sound_kind(uploads)
    options = _options(kind)
    if st.button("Analyse", type="primary", disabled=not uploads or (unasked and options.kind is None)):
        st.session_state.pop(PROBLEM, None)
        st.session_state[HELD] = uploads
        note_uploads(uploads)
        try:
            st.session_state[RUNNING] = desk.submit(uploads, options, _here())
        except InferenceError as error:
            st.session_state[PROBLEM] = str(error)
        st.rerun()


def _sound_kind(uploads: Sequence[Upload]) -> tuple[bool, str | None]:
    """Ask what a sound is of, since no name tells it surely: whether it must be said, and what was."""
    if not any(PurePath(one.name).suffix.lower() in SOUND_ENDINGS for one in uploads):
        return False, None
    # Kept as the files are: after a refusal it is not asked again.
    names, held = list(SOUND_KINDS), st.session_state.get(KIND)
    said = st.radio("What was recorded?", names, names.index(held) if held else None, horizontal=True)
    st.session_state[KIND] = said
    return True, None if said is None else str(SOUND_KINDS[said])


def note_uploads(uploads: Sequence[Upload]) -> None:
    """Write into the access log what was handed in; never a name: it may be a patient's."""
    for one in uploads:
        suffix = PurePath(one.name).suffix.lower().removeprefix(".")
        access_log.note(
            "upload",
            access.current_user().name,
            suffix=suffix if suffix in TYPES else "other",
            bytes=len(one.data),
            sha256=hashlib.sha256(one.data).hexdigest(),
        )


def _here() -> Callable[[], bool]:
    """Return what tells whether this browser's tab is connected, from whatever page of ours it shows.

    Not the page's own polls: those end when its user looks at the ward meanwhile, and a browser lets a hidden
    tab poll but once a minute.
    """
    context = get_script_run_ctx()
    session = context.session_id if context is not None else ""
    return lambda: not runtime.exists() or runtime.get_instance().is_active_session(session)


def _options(sound: str | None = None) -> ReadOptions:
    with st.expander("What the file does not say itself"):
        left, middle, unit_at, right, last = st.columns(5)
        kind = left.selectbox("Kind of signal", [BY_NAME, *(str(kind) for kind in SignalKind)])
        rate = middle.number_input(
            "Rate of a CSV without times (Hz, 0: it has them)", 0.0, 48_000.0, NO_RATE, format="%g"
        )
        unit = unit_at.selectbox("Unit of a CSV that names none, or of an EDF's EEG", [BY_HEAD, *UNITS])
        channels = right.text_input("Channels, by comma (empty: all)")
        record = last.text_input("Record, where there are several")
    return ReadOptions(
        sound if kind == BY_NAME else kind,
        None if rate == NO_RATE else rate,
        tuple(name.strip() for name in channels.split(",") if name.strip()),
        record.strip() or None,
        None if unit == BY_HEAD else unit,
    )


def _progress(desk: AnalysisDesk, analysis: Analysis) -> None:
    """Show how far it is; beds and other sessions go on, since it runs in a process of its own."""
    st.subheader("Analysing")

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        if analysis.done:
            _take(analysis)
            st.rerun()
        if analysis.waiting:
            ahead = desk.ahead_of(analysis)
            st.progress(0.0, f"Waiting: {count(ahead, 'recording')} before this one")
        else:
            stage = analysis.stage
            st.progress(min(1.0, max(0.0, stage.share)), f"{plain(stage.name)}: {stage.share:.0%}")

    renewed()
    if st.button("Cancel"):
        analysis.cancel()
        st.session_state[PROBLEM] = "Cancelled."
        st.session_state.pop(RUNNING, None)
        st.rerun()


def _take(analysis: Analysis) -> None:
    st.session_state.pop(RUNNING, None)
    if analysis.result is not None:
        _forget()
        st.session_state[RESULT] = analysis.result
    else:
        st.session_state[PROBLEM] = str(analysis.problem or "the analysis ended without a result")
