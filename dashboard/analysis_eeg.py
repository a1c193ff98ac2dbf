"""The EEG of an analysis on the page: what was found and judged, trends, electrodes, sheets with the why."""

from __future__ import annotations

from typing import Final

import pandas as pd
import streamlit as st

from dashboard import analysis_eeg_pictures as pictures
from dashboard import analysis_eeg_words as words
from dashboard.analysis_sounds import show_alarms
from dashboard.eeg_layout import TITLES
from dashboard.words import plain
from inference.analysis_eeg_trace import EegLooked, EegTrace, looked_of
from inference.analysis_findings import EegFindings
from inference.analysis_job import Result
from inference.analysis_wire import Trace
from inference.explanation_eeg import AFTER_S, BEFORE_S, explain_eeg
from inference.explanation_eeg_sheet import SENSITIVITIES_UV_MM
from ingest.montage import Montage
from models import cards
from models.errors import ModelError

LENGTHS_S: Final = (10.0, 20.0, 60.0)
FITTING: Final = "fitting"
SIGNAL: Final = "eeg"
TRENDS: Final = "analysis_eeg_trends"


def show_eeg(result: Result, *, dark: bool) -> None:
    """Show the EEG of a result, if there is one."""
    eeg = result.findings.eeg
    if eeg is None:
        return
    trace = next(one for one in result.traces.traces if one.signal == SIGNAL)
    spectra = next(iter(result.traces.eegs), None)
    st.markdown("##### EEG")
    st.info(plain(eeg.statement))
    if eeg.caveats:
        st.caption(plain(" ".join(eeg.caveats)))
    cells = words.figures(eeg, trace.duration_s)
    for column, (name, value) in zip(st.columns(len(cells)), cells, strict=True):
        column.metric(name, value)
    for line in words.lost_lines(eeg):
        st.caption(plain(line))
    if eeg.seizures:
        st.markdown("Seizures found")
        _table(words.seizure_rows(eeg))
    compared = words.compared(eeg)
    if compared is not None:
        st.markdown(plain(compared))
        _table(words.annotated_rows(eeg))
    show_alarms(eeg.alarms)
    if spectra is not None:
        st.markdown("##### Trends over the recording")
        st.image(_trends(result, eeg, spectra, trace.duration_s, dark=dark), output_format="PNG")
        st.caption(words.TRENDS_LEGEND)
        _sheet(result, eeg, trace, dark=dark)
    st.markdown("##### Electrodes")
    _table(words.electrode_rows(eeg))


def _trends(result: Result, eeg: EegFindings, spectra: EegTrace, duration_s: float, *, dark: bool) -> bytes:
    """The chart of a result, drawn once: it stays as it is whatever is chosen below it."""
    drawn_of, drawn_dark, chart = st.session_state.get(TRENDS, (None, False, b""))
    if drawn_of is not result or drawn_dark is not dark:
        chart = pictures.trends_chart(eeg, spectra, duration_s, dark=dark)
        st.session_state[TRENDS] = (result, dark, chart)
    return bytes(chart)


def _table(rows: words.Rows) -> None:
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", height=min(35 * len(rows) + 38, 300))


def _sheet(result: Result, eeg: EegFindings, trace: Trace, *, dark: bool) -> None:
    """Seconds around a finding or any moment, with what the network looked at on request."""
    montages = [montage for montage in Montage if pictures.drawable(trace, montage)]
    if not montages:
        return
    st.markdown("##### Sheet")
    spots = words.places(eeg)
    around, shown, gain, way, why = st.columns([3, 1, 1, 2, 2], vertical_alignment="bottom")
    at_s = spots[around.selectbox("Around", list(spots), key="analysis-eeg-around")]
    length_s = float(
        shown.selectbox("Shown", LENGTHS_S, 1, lambda value: f"{value:g} s", key="analysis-eeg-length")
    )
    gains = {FITTING: None, **{f"{one:g}": one for one in SENSITIVITIES_UV_MM}}
    uv_mm = gains[gain.selectbox("µV/mm", list(gains), key="analysis-eeg-gain")]
    montage = way.selectbox("Montage", montages, 0, lambda one: TITLES[one], key="analysis-eeg-montage")
    length_s = min(length_s, max(1.0, trace.duration_s))
    last_s = max(0.0, trace.duration_s - length_s)
    if at_s is not None:
        begin_s = pictures.sheet_begin_s(at_s, trace.duration_s, length_s)
    else:
        begin_s = st.slider("Begin (s)", 0.0, last_s, 0.0, 1.0, key="analysis-eeg-begin") if last_s else 0.0
    looked = None
    if eeg.model is not None and why.checkbox("What the network looked at", key="analysis-eeg-why"):
        looked = _looked(result, eeg, trace, at_s, begin_s + length_s / 2)
    image = pictures.eeg_sheet(
        trace,
        eeg,
        begin_s,
        length_s,
        dark=dark,
        title=pictures.sheet_title(begin_s, length_s),
        montage=montage,
        uv_mm=uv_mm,
        looked=looked,
    )
    st.image(image, output_format="PNG")
    if looked is not None and montage is Montage.LONGITUDINAL:
        st.caption(plain(words.looked_line(looked.at_s, looked.probability, looked.model)))
    elif looked is not None:
        st.caption("Where the network looked is shown in the longitudinal montage, which is what it sees.")
    st.caption(words.LEGEND)


def _looked(
    result: Result, eeg: EegFindings, trace: Trace, at_s: float | None, middle_s: float
) -> EegLooked | None:
    """The explanation that came with a seizure; of another moment one that is worked out now."""
    for seizure in eeg.seizures:
        if seizure.begin_s == at_s:
            held = pictures.looked_in(result.traces.eegs[0], seizure)
            if held is not None:
                return held
    if eeg.model not in cards.shipped():
        st.caption("No explanation: the network that judged this EEG is not among those of this dashboard.")
        return None
    asked_s = middle_s if at_s is None else at_s
    first_s = float(max(0, int(asked_s - BEFORE_S)))
    piece = trace.physical(first_s, asked_s + AFTER_S)
    try:
        told = explain_eeg(piece, trace.fs_hz, tuple(trace.channels), asked_s - first_s, str(eeg.model))
    except ModelError as error:
        st.caption(plain(f"No explanation: {error}"))
        return None
    return looked_of(told, first_s)
