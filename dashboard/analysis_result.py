"""The result of an analysis: facts, findings, trends, strips with explanation, sounds, report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from dashboard import analysis_pictures as pictures
from dashboard.analysis_eeg import show_eeg
from dashboard.analysis_report import to_html
from dashboard.analysis_sounds import show_sounds
from dashboard.views import row_style
from dashboard.words import clock, plain
from inference.analysis_findings import NOTICE, AlarmFinding, EcgFindings, Findings, gravest_first, to_json
from inference.analysis_job import Result
from inference.analysis_wire import Trace
from inference.explanation import Explained, explain_ecg
from inference.types import AlarmState
from models.errors import ModelError

SETTLE_S: Final = 30.0
"""Of the recording before a strip, for the filters in front of the explained network."""


REPORT: Final = "analysis_report"
BEAT_WORDS: Final = {"N": "normal", "S": "supraventricular", "V": "ventricular", "F": "fusion"}


def show(result: Result) -> None:
    """Show all of a result."""
    found = result.findings
    _head(found)
    for note in found.notes:
        st.warning(plain(note))
    if found.ecg is not None:
        trace = next(one for one in result.traces.traces if one.signal == "ecg")
        _alarms(found.ecg)
        _strips(trace, found.ecg)
        _trends(found.ecg, found.duration_s)
    show_eeg(result, dark=_dark())
    show_sounds(result, dark=_dark())
    _signals(found)
    _downloads(result)


def _dark() -> bool:
    return bool(st.context.theme.type != "light")


def _head(found: Findings) -> None:
    cells = {"Format": found.format, "Length": clock(found.duration_s).split(".")[0]}
    if found.ecg is not None:
        rates = [rate for rate in found.ecg.rates.heart_rate_bpm if rate is not None]
        cells["Alarms"] = str(len(found.ecg.alarms))
        cells["Median HR (bpm)"] = f"{np.median(rates):.0f}" if rates else "–"
        cells["HR range"] = f"{min(rates):.0f}–{max(rates):.0f}" if rates else "–"
        for label, number in found.ecg.beat_counts().items():
            cells[f"{label}, {BEAT_WORDS[label]}"] = f"{number:,}"
        lost_s = sum(one.end_s - one.begin_s for one in found.ecg.unusable)
        cells["Not judged"] = f"{lost_s / found.duration_s:.0%}"
    for column, (name, value) in zip(st.columns(len(cells)), cells.items(), strict=True):
        column.metric(name, value)


def _alarms(ecg: EcgFindings) -> None:
    st.markdown("##### Alarms that the ward's monitor would have raised")
    if not ecg.alarms:
        st.caption("None.")
        return
    table = pd.DataFrame(
        [
            {
                "Onset": clock(one.onset_s),
                "Raised": clock(one.raised_s),
                "End": "to the end" if one.end_s is None else clock(one.end_s),
                "Priority": str(one.priority),
                "Alarm": one.message,
                "Reasons": "; ".join(one.reasons),
            }
            for one in gravest_first(ecg.alarms)
        ]
    )
    coloured = table.style.apply(
        lambda row: [row_style(row["Priority"], AlarmState.ACTIVE)] * len(row), axis=1
    )
    st.dataframe(coloured, hide_index=True, width="stretch", height=min(35 * len(table) + 38, 320))


def _strips(trace: Trace, ecg: EcgFindings) -> None:
    """Ten seconds around a finding or any moment, with what the network looked at on request."""
    st.markdown("##### Strip")
    alarms = gravest_first(ecg.alarms)
    places: dict[str, AlarmFinding | None] = {f"{clock(one.onset_s)}  {one.message}": one for one in alarms}
    places["any moment"] = None
    left, middle, right = st.columns([3, 3, 2])
    chosen = places[left.selectbox("Around", list(places))]
    leads = middle.multiselect("Leads", trace.channels, trace.channels[: pictures.MAX_LEADS])
    last_s = max(0.0, trace.duration_s - pictures.STRIP_S)
    begin_s = pictures.strip_begin_s(chosen.onset_s, trace.duration_s) if chosen is not None else 0.0
    if chosen is None and last_s > 0:
        begin_s = st.slider("Begin (s)", 0.0, last_s, 0.0, 1.0)
    right.write("")
    asked = right.checkbox("What the network looked at")
    end_s = min(trace.duration_s, begin_s + pictures.STRIP_S)
    explained = _explain(trace, end_s) if asked else None
    weight = None if explained is None else _weight(explained, trace, begin_s, end_s)
    st.image(
        pictures.strip(trace, begin_s, ecg.beats, alarms, dark=_dark(), leads=leads, weight=weight),
        output_format="PNG",
    )
    if chosen is not None and chosen.reasons:
        # The table above cuts what is long.
        st.caption(plain(f"Measured when it was raised: {'; '.join(chosen.reasons)}"))
    if explained is not None:
        others = ", ".join(f"{name} {share:.0%}" for name, share in _likeliest(explained.probabilities))
        st.caption(
            f"Shaded: what spoke for “{plain(explained.label)}” in lead {plain(explained.channel)} "
            f"(HiResCAM of {plain(explained.model)}) in the window that ends with this strip. "
            f"Its probabilities: {others}."
        )


def _likeliest(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])[:3]


def _explain(trace: Trace, end_s: float) -> Explained | None:
    first_s = max(0.0, end_s - SETTLE_S - pictures.STRIP_S)
    try:
        return explain_ecg(
            trace.physical(first_s, end_s),
            trace.fs_hz,
            tuple(trace.channels),
            start_ns=round(first_s * 1e9),
        )
    except ModelError as error:
        st.caption(plain(f"No explanation: {error}"))
        return None


def _weight(explained: Explained, trace: Trace, begin_s: float, end_s: float) -> pictures.Line:
    """Activation at each sample of the strip, 0 outside the explained window."""
    at_s = np.arange(round(begin_s * trace.fs_hz), round(end_s * trace.fs_hz)) / trace.fs_hz
    return np.interp(at_s, explained.times_s + explained.start_ns / 1e9, explained.cam, left=0.0, right=0.0)


def _trends(ecg: EcgFindings, duration_s: float) -> None:
    st.markdown("##### Heart rate, and what the network said of each window")
    span = alt.Scale(domain=[0, max(duration_s / 60, 1 / 60)], nice=False)
    minutes = alt.X("minute:Q", title="minutes from the begin", scale=span)
    times, rate = pictures.thinned(ecg.rates.times_s, ecg.rates.heart_rate_bpm, peak=False)
    rates = pd.DataFrame({"minute": times / 60, "bpm": rate})
    lost = pd.DataFrame(
        [{"minute": one.begin_s / 60, "to": one.end_s / 60} for one in ecg.unusable], columns=["minute", "to"]
    )
    shade = alt.Chart(lost).mark_rect(color="#888", opacity=0.35).encode(x=minutes, x2="to:Q")
    line = alt.Chart(rates).mark_line(color="#18a058").encode(
        x=minutes, y=alt.Y("bpm:Q", title="heart rate (bpm)", scale=alt.Scale(zero=False))
    )  # fmt: skip
    st.altair_chart((shade + line).properties(height=180), width="stretch")
    shown = pd.concat(
        [
            pd.DataFrame({"minute": at_s / 60, "probability": values, "class": name})
            for name, (at_s, values) in pictures.probabilities(ecg).items()
        ]
        or [pd.DataFrame(columns=["minute", "probability", "class"])]
    )
    colours = alt.Scale(domain=list(pictures.RHYTHMS), range=list(pictures.RHYTHMS.values()))
    lines = alt.Chart(shown).mark_line().encode(
        x=minutes,
        y=alt.Y("probability:Q", scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("class:N", scale=colours, legend=alt.Legend(orient="top", title=None)),
    )  # fmt: skip
    st.altair_chart((shade + lines).properties(height=200), width="stretch")
    st.caption("Grey: no lead could be used; nothing was judged there.")


def _signals(found: Findings) -> None:
    st.markdown("##### Signals")
    rows = [
        {
            "Signal": _words(one.signal),
            "Channel": channel.name,
            "Rate (Hz)": one.fs_hz,
            "Missing": f"{channel.missing_share:.1%}",
            "Flat": f"{channel.flat_share:.1%}",
            "Range": f"{channel.low:.4g} to {channel.high:.4g} {one.unit}",
        }
        for one in found.signals
        for channel in one.channels
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch")
    # Beside the table, not in it: a cell would cut them. Sounds and EEG have said it above.
    sounds = {sound.signal for sound in found.sounds} | ({"eeg"} if found.eeg is not None else set())
    for one in found.signals:
        if one.signal in sounds:
            continue
        st.markdown(plain(f"{_words(one.signal)}: {one.statement}"))


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _downloads(result: Result) -> None:
    left, middle, right = st.columns([1, 1, 3])
    made, html = st.session_state.get(REPORT, (None, b""))
    if made is not result:
        html = to_html(result)
        st.session_state[REPORT] = (result, html)
    left.download_button("Report (HTML)", html, "wardwave-analysis.html", "text/html")
    middle.download_button(
        "Findings (JSON)", to_json(result.findings), "wardwave-analysis.json", "application/json"
    )
    files = ", ".join(f"{one.name} SHA-256 {one.sha256[:16]}…" for one in result.findings.files)
    right.caption(plain(f"{NOTICE}. {files}. {'; '.join(result.findings.models)}"))
