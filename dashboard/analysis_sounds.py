"""The sounds of an analysis on the page: verdict, rates, what was heard when, breath by breath, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
import streamlit as st

from dashboard import analysis_pictures as pictures
from dashboard import analysis_sound_words as words
from dashboard.analysis_sound_pictures import sound_sheet
from dashboard.words import clock, plain
from inference.analysis_findings import AlarmFinding, SoundFindings, gravest_first
from inference.analysis_job import Result
from inference.analysis_sound_trace import SoundTrace
from inference.analysis_wire import Picture
from inference.explanation_sound import SoundExplained, explain_window
from models.errors import ModelError

LENGTHS_S: Final = (5.0, 15.0, 60.0)
MOST_PLACES: Final = 200


def show_sounds(result: Result, *, dark: bool) -> None:
    """Show every sound of a result."""
    traces = {trace.signal: trace for trace in result.traces.sounds}
    for sound, picture in zip(result.findings.sounds, result.traces.pictures, strict=True):
        st.markdown(f"##### {plain(words.title(sound))}")
        st.info(plain(sound.statement))
        _verdict(sound)
        _cells(sound)
        show_alarms(sound.alarms)
        trace = traces.get(sound.signal)
        if trace is None:
            st.image(pictures.sound_chart(picture, dark=dark), output_format="PNG")
            continue
        _whole(picture, trace, dark=dark)
        _stretch(sound, trace, dark=dark)
        _cycles(sound)


def _verdict(sound: SoundFindings) -> None:
    if sound.verdict is not None:
        st.markdown(plain(words.verdict(sound.verdict)))
        st.caption(plain(sound.verdict.note))
    elif sound.model is not None:
        st.caption("No verdict: what could be judged is shorter than one window of the network.")


def _cells(sound: SoundFindings) -> None:
    cells = words.figures(sound)
    for begin in range(0, len(cells), 6):
        row = cells[begin : begin + 6]
        for column, (name, value) in zip(st.columns(6), row, strict=False):
            column.metric(name, value)
    for one in sound.lost:
        st.caption(plain(f"Not judged {clock(one.begin_s)} to {clock(one.end_s)}: {one.reason}"))


def show_alarms(alarms: Sequence[AlarmFinding]) -> None:
    """Show the alarms of a signal that has no page of its own."""
    if alarms:
        rows = [
            {
                "Onset": clock(one.onset_s),
                "End": "to the end" if one.end_s is None else clock(one.end_s),
                "Priority": str(one.priority),
                "Alarm": one.message,
            }
            for one in gravest_first(alarms)
        ]
        st.markdown("Alarms that the ward's monitor would have raised")
        st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    else:
        st.caption("No alarm of the ward's monitor would have been raised.")


def _whole(picture: Picture, trace: SoundTrace, *, dark: bool) -> None:
    if trace.duration_s > max(LENGTHS_S):
        with st.expander("The whole recording"):
            st.image(pictures.sound_chart(picture, dark=dark), output_format="PNG")


def _stretch(sound: SoundFindings, trace: SoundTrace, *, dark: bool) -> None:
    """Some seconds around what was heard, or any moment, with what the network looked at on request."""
    key = f"analysis-sound-{sound.signal}"
    places = words.places(sound, MOST_PLACES)
    left, middle, right = st.columns([3, 2, 3], vertical_alignment="bottom")
    chosen = places[left.selectbox("Around", list(places), key=f"{key}-around")]
    length_s = float(
        middle.selectbox("Shown", LENGTHS_S, 1, lambda value: f"{value:g} s", key=f"{key}-length")
    )
    length_s = min(length_s, max(1.0, trace.duration_s))
    last_s = max(0.0, trace.duration_s - length_s)
    if chosen is not None:
        begin_s = min(last_s, max(0.0, float(round(chosen - length_s / 2))))
    else:
        begin_s = st.slider("Begin (s)", 0.0, last_s, 0.0, 1.0, key=f"{key}-begin") if last_s > 0 else 0.0
    explained = None
    if sound.model is not None and right.checkbox("What the network looked at", key=f"{key}-why"):
        label = right.selectbox("For", words.explained(sound), key=f"{key}-label")
        at_s = chosen if chosen is not None else begin_s + length_s / 2
        explained = _explain(sound.model, trace, at_s, label)
    st.image(
        sound_sheet(trace, sound, begin_s, length_s, dark=dark, explained=explained), output_format="PNG"
    )
    st.caption(plain(words.legend(sound)))
    if explained is not None:
        st.caption(plain(words.explanation(explained)))


def _explain(model: str, trace: SoundTrace, at_s: float, label: str) -> SoundExplained | None:
    try:
        return explain_window(model, trace.mel(), trace.begin_s, at_s, label)
    except ModelError as error:
        st.caption(plain(f"No explanation: {error}"))
        return None


def _cycles(sound: SoundFindings) -> None:
    if sound.cycles is None:
        return
    st.caption(plain(sound.cycles_from))
    rows = words.cycle_rows(sound)
    if rows:
        st.dataframe(
            pd.DataFrame(rows), hide_index=True, width="stretch", height=min(35 * len(rows) + 38, 250)
        )
