"""Trends of a bed: heart rate, ventricular beats and quality over an hour or a day, with its alarms."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol

import pandas as pd
import streamlit as st

from dashboard.shared import Missing
from dashboard.snapshots import VitalHistory, WardSnapshot
from dashboard.trend_charts import Trend, charts
from dashboard.trend_points import joined, of_history, of_points
from dashboard.words import plain
from inference.errors import StoreError
from inference.store import Store
from ingest.types import NS_PER_S, SignalKind

RENEW_S: Final = 10.0
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
SPANS: Final = {"1 h": (HOUR_S, 1), "24 h": (DAY_S, 60)}
"""Name → length and step of the points, both in seconds."""
MOST_ALARMS: Final = 1_000
_COUNTED: Final = {kind.value for kind in (SignalKind.ECG, SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND)}


class NumberSource(Protocol):
    """What is used of :class:`dashboard.ward.Ward`."""

    def snapshot(self) -> WardSnapshot:
        """Return the ward as it is now."""
        ...

    def vital_history(self, bed: str) -> tuple[VitalHistory, ...]:
        """Return the numbers of the last hour, a signal each."""
        ...


def read_trend(
    ward: NumberSource, store: Store | Missing, bed: str, signal: str, span: str, now_ns: int
) -> Trend:
    """Collect what a chart of ``span`` (of :data:`SPANS`) shows, as far as it is to be had."""
    length_s, step_s = SPANS[span]
    shown = ward.snapshot().bed(bed)
    held = next((one for one in ward.vital_history(bed) if one.signal == signal), None)
    numbers = of_history(held) if held else of_points([])
    alarms = {alarm.id: alarm for alarm in ward.snapshot().alarms if alarm.bed == bed}
    # A new patient inherits nothing: the store keeps the former one's numbers under the same bed.
    admitted_ns = (shown.status.admitted_ns if shown and shown.status else None) or 0
    since_ns = max(now_ns - length_s * NS_PER_S, admitted_ns)
    problem = store.why if isinstance(store, Missing) else None
    if not isinstance(store, Missing):
        try:
            stored = of_points(store.trend(bed, signal, since_ns=since_ns, step_s=1 if step_s == 1 else 60))
            kept = store.alarms(bed=bed, since_ns=since_ns, limit=MOST_ALARMS)
        except StoreError as error:
            problem = str(error)
        else:
            numbers = joined(stored, numbers) if step_s == 1 else stored
            alarms = {one.alarm.id: one.alarm for one in kept} | alarms
    if problem is not None and step_s != 1:
        length_s, step_s = SPANS["1 h"]
    end_ns = max(now_ns, numbers.newest_ns or 0)
    begin_ns = end_ns - length_s * NS_PER_S
    settings = shown.status.settings if shown and shown.status else []
    return Trend(
        begin_ns=begin_ns,
        end_ns=end_ns,
        step_s=step_s,
        numbers=numbers,
        alarms=tuple(
            alarm for alarm in alarms.values() if max(begin_ns, admitted_ns) <= alarm.onset_ns <= end_ns
        ),
        limits=tuple(one for one in settings if one.signal == signal and one.kind in ("hr_low", "hr_high")),
        problem=problem,
        signal=signal,
    )


def show_trends(ward: NumberSource, read_store: Callable[[], Store | Missing], bed: str) -> None:
    """Show the trends of a bed, renewed every 10 s or by button; to be called outside of fragments.

    Parameters
    ----------
    ward : NumberSource
        Holds the last hour.
    read_store : callable
        Gives what the recorder wrote, the last 24 h, or why it is not to be had; asked each time.
    bed : str
        Its label.
    """

    @st.fragment(run_every=RENEW_S)
    def trends() -> None:
        _trends(ward, read_store(), bed)

    trends()


def signals_of(ward: NumberSource, bed: str) -> list[str]:
    """Return the signals that a bed has numbers of, or may have in the store: those that it sends.

    The ECG comes first; a bed that sends none of them is asked for its ECG's.
    """
    shown = ward.snapshot().bed(bed)
    sent = {stream.kind.value for stream in shown.streams} if shown else set()
    found = {one.signal for one in ward.vital_history(bed)} | (sent & _COUNTED)
    return sorted(found or {SignalKind.ECG.value})


def _trends(ward: NumberSource, store: Store | Missing, bed: str) -> None:
    signals = signals_of(ward, bed)
    left, middle, right = st.columns([2, 2, 6], vertical_alignment="bottom")
    span = left.segmented_control("Span", list(SPANS), default="1 h", required=True, key="trend-span")
    signal = signals[0]
    if len(signals) > 1:
        signal = middle.selectbox("Numbers of", signals, format_func=_signal_words, key=f"trend-signal-{bed}")
    now_ns = time.time_ns()
    trend = read_trend(ward, store, bed, signal, span or "1 h", now_ns)
    with right:
        st.button("Renew", key="trend-renew")
    st.caption(age_line(trend, now_ns))
    if trend.problem is not None:
        # Not a caption: a command quoted in one is too faint to read.
        say = st.info if span == "24 h" else st.markdown
        say(
            "Only the last hour, from this dashboard's memory. For 24 h start the recorder with "
            f"`wardwave record` (docs/recorder.md). Now: {plain(trend.problem)}"
        )
    if trend.numbers.newest_ns is None or trend.numbers.newest_ns < trend.begin_ns:
        st.caption("No numbers in this span.")
        return
    for chart in charts(trend):
        st.altair_chart(chart, width="stretch")


def _signal_words(signal: str) -> str:
    return signal.replace("_", " ")


def age_line(trend: Trend, now_ns: int) -> str:
    """Say how old the newest point is."""
    newest_ns = trend.numbers.newest_ns
    if newest_ns is None:
        return "Newest number: none."
    age_s = max(0, now_ns - newest_ns) // NS_PER_S
    old = f"{age_s} s" if age_s < 120 else f"{age_s // 60} min"
    at = pd.Timestamp(newest_ns, tz="UTC").strftime("%Y-%m-%d %H:%M:%S")
    return f"Newest number: {at} UTC, {old} old. Times are UTC by the device's clock; gaps are left as gaps."
