"""The frozen view of a bed: paper to scroll, zoom and measure on, and why the network says what it says.

The browser gets all that is held once; filters and explanations are worked out here when it asks.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
import streamlit as st

from dashboard.asked import nothing, read_ask
from dashboard.background import Prepared
from dashboard.monitor import MM_PER_INCH
from dashboard.payload import quantise
from dashboard.review_filters import FilterName, filter_ecg
from dashboard.review_headers import AlarmMark, Ask, ExplanationMark, ReviewHeader, StillHeader
from dashboard.snapshots import BedHistory, TraceHistory
from dashboard.summary import alarm_text
from inference.explanation import LEAD_IN_S, Explained, explain_ecg
from ingest.types import NS_PER_S, FloatArray, SignalKind, WideFloatArray
from models.errors import CannotExplain, ModelError

DPI: Final = 96.0
_SESSION: Final = "review-session"
_FOLDER: Final = Path(__file__).parent / "component"
_SCRIPTS: Final = (
    "protocol.js",
    "review_data.js",
    "review_paper.js",
    "review_marks.js",
    "review_overview.js",
    "review_now.js",
    "review_toolbar.js",
    "review_gestures.js",
    "review.js",
)
AFTER_S: Final = 4.0
"""Of the signal after the moment: a beat is explained with a little future, and the resampler looks ahead."""
LEAST_S: Final = 9.0
WAIT_S: Final = 1.0
"""So long a page waits for an explanation; of one that takes longer (networks are loaded) it asks again."""


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_paper = st.components.v2.component(
    "wardwave_review",
    html=_text("review.html"),
    css=_text("review.css"),
    js="\n".join(_text(name) for name in _SCRIPTS),
)
_explained: Final = Prepared[ExplanationMark](64)
_pipe = st.components.v2.component("wardwave_review_pipe", js=_text("review_pipe.js"))


@dataclass(frozen=True, slots=True)
class ReviewSession:
    """What one page view has frozen, and how it is shown."""

    view: str
    history: BedHistory
    filter: FilterName = "raw"
    notch: Literal[0, 50, 60] = 0
    said: str = "ECG: as received"
    problem: str | None = None
    pending: bool = False
    explanation: ExplanationMark | None = None
    seq: int = 0
    whole: bool = True

    @property
    def bed(self) -> str:
        """The bed."""
        return self.history.bed


def freeze(history: BedHistory) -> ReviewSession:
    """Begin a frozen view."""
    return ReviewSession(uuid.uuid4().hex, history)


def answer(session: ReviewSession, asked: Ask) -> ReviewSession:
    """Return the view as it is after what the browser asked for (anything but a fresh freeze)."""
    session = replace(session, seq=session.seq + 1, problem=None, pending=False, whole=asked.do != "explain")
    if asked.do == "filter":
        return replace(session, filter=asked.filter, notch=asked.notch)
    if asked.do == "explain":
        key, history = (session.view, asked), session.history
        try:
            mark = _explained.get(key, lambda: explain_moment(history, asked), WAIT_S)
        except ModelError as error:
            return replace(session, explanation=None, problem=str(error))
        return replace(session, explanation=mark, pending=mark is None)
    return session


def explain_moment(history: BedHistory, asked: Ask) -> ExplanationMark:
    """Explain what the network says of a lead at a moment, from what was received.

    Raises
    ------
    ModelError
        There is nothing to explain; says the way out.
    """
    ecg = next((one for one in history.traces if one.window.stream.kind is SignalKind.ECG), None)
    if ecg is None:
        raise CannotExplain("this bed sends no ECG: only ECG is explained here")
    stream, samples = ecg.window.stream, ecg.window.samples
    indices, times_s = _places(ecg)
    moment = float(np.interp(asked.time_s, times_s, indices))
    first = max(0, round(moment - (LEAD_IN_S + 10.0) * stream.fs_hz))
    # At the begin of the history the window reaches beyond the moment.
    last = min(len(samples), max(round(moment + AFTER_S * stream.fs_hz), round(LEAST_S * stream.fs_hz)))
    found = explain_ecg(
        samples[first:last],
        stream.fs_hz,
        stream.channels,
        label=asked.label,
        channel=asked.lead,
        at_s=(moment - first) / stream.fs_hz,
    )

    def device_s(seconds: WideFloatArray | float) -> WideFloatArray:
        return np.interp(np.asarray(seconds) * stream.fs_hz + first, indices, times_s)

    return _mark(found, device_s)


def _mark(found: Explained, device_s: Callable[[WideFloatArray | float], WideFloatArray]) -> ExplanationMark:
    what = "rhythm of the last 4 s" if found.head == "window" else "beat"
    likely = sorted(found.probabilities.items(), key=lambda item: -item[1])[:3]
    others = ", ".join(f"{name} {share:.0%}" for name, share in likely if name != found.label)
    most = max(float(found.attention.max()), 1e-9)
    return ExplanationMark(
        channel=found.channel,
        label=found.label,
        text=f"{what}: {found.label} {found.probability:.0%} ({others}) · {found.model}",
        start_s=float(device_s(found.start_s)),
        end_s=float(device_s(found.end_s)),
        times_s=device_s(found.times_s).tolist(),
        attention=(found.attention / most).round(3).tolist(),
        cam=found.cam.round(3).tolist(),
    )


def _places(trace: TraceHistory) -> tuple[WideFloatArray, WideFloatArray]:
    """Indices within the window and their device times (s), increasing, from its begin to its end."""
    stream, first = trace.window.stream, trace.window.first_index
    knots = [(index - first, time_ns / NS_PER_S) for index, time_ns in trace.knots]
    count = len(trace.window.samples)
    knots = [knot for knot in knots if knot[0] < count] or [(0.0, stream.head_ns / NS_PER_S)]
    index, time_s = knots[-1]
    knots.append((float(max(count, index + 1)), time_s + (max(count, index + 1) - index) / stream.fs_hz))
    if knots[0][0] > 0:
        knots.insert(0, (0.0, knots[0][1] - knots[0][0] / stream.fs_hz))
    places = np.array(knots)
    return places[:, 0], places[:, 1]


def build_review(session: ReviewSession) -> tuple[bytes, str]:
    """Return the payload of a view and what was done to the ECG."""
    bodies: list[bytes] = []
    said, traces = session.said, []
    for trace in session.history.traces if session.whole else ():
        stream, samples = trace.window.stream, trace.window.samples
        if not len(samples):
            continue
        if stream.kind is SignalKind.ECG:
            samples, said = filter_ecg(samples, stream.fs_hz, session.filter, session.notch)
            if stream.source_hz != stream.fs_hz:
                said += f"; thinned from {stream.source_hz:g} to {stream.fs_hz:g} Hz, peaks kept"
        traces.append(_still(trace, samples, bodies))
    newest = [trace.window.stream.head_ns for trace in session.history.traces]
    header = ReviewHeader(
        view=session.view,
        seq=session.seq,
        frozen_s=max(newest, default=0) / NS_PER_S,
        said=said,
        problem=session.problem,
        pending=session.pending,
        explanation=session.explanation,
        beats=[(beat.time_ns / NS_PER_S, beat.label) for beat in session.history.beats],
        alarms=[
            AlarmMark(alarm.onset_ns / NS_PER_S, str(alarm.priority), alarm_text(alarm))
            for alarm in session.history.alarms
        ],
        traces=traces,
    )
    text = msgspec.json.encode(header)
    text += b" " * (-len(text) % 2)
    return struct.pack("<I", len(text)) + text + b"".join(bodies), said


def _still(trace: TraceHistory, samples: FloatArray, bodies: list[bytes]) -> StillHeader:
    stream = trace.window.stream
    body, scale = quantise(samples)
    bodies.append(body)
    indices, times_s = _places(trace)
    return StillHeader(
        kind=stream.kind,
        device=stream.device,
        unit=stream.unit,
        fs=stream.fs_hz,
        count=len(samples),
        scale=scale,
        channels=stream.channels,
        knots=list(zip(indices.tolist(), times_s.tolist(), strict=True)),
        lead_off=[
            (span.channel, span.start_ns / NS_PER_S, span.end_ns / NS_PER_S) for span in trace.lead_off
        ],
    )


def show_review(read: Callable[[str], BedHistory | None], bed: str) -> None:
    """Show the frozen view of a bed; to be called outside of fragments.

    Parameters
    ----------
    read : callable
        :meth:`dashboard.ward.Ward.history`.
    bed : str
        The bed; another one than before is frozen anew.
    """
    held = st.session_state.get(_SESSION)
    if isinstance(held, ReviewSession):
        # The page runs anew, perhaps in a browser that was elsewhere meanwhile.
        st.session_state[_SESSION] = replace(held, whole=True)

    @st.fragment
    def frozen() -> None:
        session = _session(read, bed)
        if session is None:
            st.info("This bed has sent nothing yet that could be frozen.")
            return
        result = _paper(
            key="review",
            data={"view": session.view, "bed": bed, "pixelsPerMm": DPI / MM_PER_INCH},
            on_ask_change=nothing,
        )
        asked = read_ask(result, Ask)
        if asked is not None and asked.do == "refresh":
            leave_review()
            st.rerun(scope="fragment")
        session = session if asked is None else answer(session, asked)
        payload, said = build_review(session)
        st.session_state[_SESSION] = replace(session, said=said)
        _pipe(key="review-pipe", data=payload)

    frozen()


def leave_review() -> None:
    """Forget what this session froze."""
    st.session_state.pop(_SESSION, None)


def _session(read: Callable[[str], BedHistory | None], bed: str) -> ReviewSession | None:
    held = st.session_state.get(_SESSION)
    if isinstance(held, ReviewSession) and held.bed == bed:
        return held
    history = read(bed)
    if history is None:
        return None
    session = freeze(history)
    st.session_state[_SESSION] = session
    return session
