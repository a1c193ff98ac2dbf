"""What the pages show, as functions of typed state."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import pandas as pd
import streamlit as st

from dashboard.monitor import mount_canvas, send_feed
from dashboard.payload import ViewSession, build_feed
from dashboard.snapshots import BedSnapshot, WardSnapshot
from dashboard.summary import alarm_text
from dashboard.ward import Ward
from dashboard.words import plain
from inference.types import Alarm, AlarmState, Priority
from ingest.types import SignalKind

FEED_S: Final = 0.5
LIST_S: Final = 1.0

PAGE_STYLE: Final = """<style>
[data-testid="stMainBlockContainer"] { padding: 3.75rem 8px 0; max-width: none; }
[data-testid="stAppDeployButton"], [data-testid="stToolbarActions"] { display: none; }
[data-testid="stMainMenu"] { display: none; }
[data-testid="stStatusWidget"] { display: none; }
[data-testid="stElementContainer"] { opacity: 1 !important; transition: none !important; }
[data-testid="stVerticalBlock"] { gap: .4rem; }
[data-testid="stElementContainer"]:has([data-testid="stHtml"] > style:only-child) { display: none; }
/* The primary colour is for lines and words; behind the white words of a button it is darker. */
[data-testid^="stBaseButton-primary"]:not(:disabled), span[data-baseweb="tag"] {
  background-color: #0a6f92 !important; border-color: #0a6f92; color: #fff !important;
}
[data-testid^="stBaseButton-primary"]:not(:disabled):hover { background-color: #085a77 !important; }
/* The canvas of the ward makes room for what a page has to say in a box. */
[data-testid="stMain"]:has(.st-key-monitor-ward, .st-key-monitor-wall) {
  &:has([data-testid="stAlert"], [data-testid="stException"]) { --told: 24vh; }
  [data-testid="stAlert"], [data-testid="stException"] { max-height: 23vh; overflow: auto; }
}
/* A phone: the pages stand in Streamlit's sidebar; its buttons must be seen, beside and below the bar. */
@media (max-width: 768px) {
  [data-testid="stExpandSidebarButton"] {
    width: auto !important; height: 34px; padding: 0 6px; border: 1px solid #6d7f8c !important;
  }
  [data-testid="stExpandSidebarButton"] * { color: inherit !important; }
  [data-testid="stExpandSidebarButton"]::after { content: "Pages"; font-size: 15px; }
  [data-testid="stSidebarHeader"] { margin-top: 60px; }
  [data-testid="stSidebarCollapseButton"] { display: flex !important; visibility: visible !important; }
}
@media (max-width: 400px) {
  [data-testid="stExpandSidebarButton"]::after { display: none; }
}
/* A live alarm's words begin a line of their own rather than stand one letter a line. */
[data-testid="stHtml"] span[style*="flex: 1"] { min-width: min(100%, 14em); }
/* Streamlit's box "server is not responding" would cover the beds; CONNECTION LOST says it. */
[data-testid="stDialog"], [data-baseweb="modal"] { display: none !important; }
</style>"""

WALL_STYLE: Final = """<style>
[data-testid="stHeader"] { display: none; }
[data-testid="stMainBlockContainer"] { padding: 0; }
[data-testid="stMain"] { overflow: hidden; }
[data-testid="stVerticalBlock"] { gap: 0; }
</style>"""


def new_view(bed: str | None, history_s: float) -> ViewSession:
    """Begin a page view: its first feed brings history, older feeds are ignored by the component."""
    return ViewSession(view=uuid.uuid4().hex, bed=bed, history_s=history_s, ward=chosen_ward())


def chosen_ward() -> str | None:
    """The ward that this browser shows, by address (``?ward=``) or by choice; ``None`` for all."""
    wanted = st.query_params.get("ward") or st.session_state.get("ward")
    if not isinstance(wanted, str) or not wanted:
        return None
    st.session_state["ward"] = wanted
    return wanted


def live_traces(
    ward: Ward,
    session: ViewSession,
    *,
    mm_per_second: float = 25.0,
    gain_mm_per_mv: float = 10.0,
    wall: bool = False,
) -> None:
    """Show the canvas and keep feeding it.

    Parameters
    ----------
    ward : Ward
        Where the data are.
    session : ViewSession
        One page view, from :func:`new_view`.
    mm_per_second, gain_mm_per_mv : float
        Sweep and gain.
    wall : bool
        Larger, without controls.
    """
    chosen = mount_canvas(
        session.view,
        grid=session.bed is not None,
        mm_per_second=mm_per_second,
        gain_mm_per_mv=gain_mm_per_mv,
        wall=wall,
        ward=session.ward,
    )
    if chosen is not None:
        st.session_state["ward"] = chosen
        st.query_params.pop("ward", None)
        st.rerun()
    _keep_feeding(ward, session, FEED_S)


def live_head(ward: Ward) -> None:
    """Keep the bar of a page without traces fed: it sounds and tells of a lost connection there, too."""
    session = ViewSession(view=uuid.uuid4().hex, ward=chosen_ward(), head_only=True)
    _keep_feeding(ward, session, LIST_S)


def _keep_feeding(ward: Ward, session: ViewSession, every_s: float) -> None:
    @st.fragment(run_every=every_s)
    def feed() -> None:
        send_feed(build_feed(ward, session, ward.snapshot()))

    feed()


def connection_line(snapshot: WardSnapshot) -> str | None:
    """Return a line to show when what is on the screen is not live."""
    if snapshot.connected:
        return None
    problem = snapshot.problem or "no answer"
    return f"Broker lost for {snapshot.silent_s:.0f} s: {problem}. Nothing shown is live."


def device_time(time_ns: int | None) -> str:
    """Format a device time in UTC to the second, or a dash."""
    if time_ns is None:
        return "–"
    return datetime.fromtimestamp(time_ns / 1e9, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def alarm_rows(alarms: Sequence[Alarm]) -> list[dict[str, str | float]]:
    """Return the alarm list as rows of a table."""
    return [
        {
            "Bed": alarm.bed,
            "Priority": str(alarm.priority),
            "Alarm": alarm_text(alarm),
            "State": str(alarm.state),
            "By": alarm.acknowledged_by or "–",
            "Onset (UTC)": device_time(alarm.onset_ns),
            "End (UTC)": device_time(alarm.ended_ns),
            "Delay (s)": round(
                alarm.delay.measurement_s + alarm.delay.configured_s + alarm.delay.system_s, 2
            ),
        }
        for alarm in alarms
    ]


ROW_STYLE: Final = {
    Priority.HIGH: "background-color: #8f1212; color: #fff; font-weight: 700",
    Priority.MEDIUM: "background-color: #5e4d00; color: #fff",
    Priority.LOW: "background-color: #0b3a47; color: #fff",
    Priority.TECHNICAL: "background-color: #0b3a47; color: #fff",
}


def row_style(priority: str, state: str) -> str:
    """Return the CSS of an alarm's row: only what stands and nobody has seen is coloured."""
    return ROW_STYLE[Priority(priority)] if state in (AlarmState.ACTIVE, AlarmState.LATCHED) else ""


def alarm_list(snapshot: WardSnapshot, bed: str | None = None) -> None:
    """Show current alarms, then the ended ones, newest first."""
    problem = connection_line(snapshot)
    if problem:
        st.error(problem, icon="⚠️")
    alarms = [alarm for alarm in snapshot.alarms if bed in (None, alarm.bed)]
    st.subheader("Alarms" if bed is None else f"Alarms of {plain(bed)}")
    if not alarms:
        st.caption("No alarm in the last 12 hours.")
        return
    table = pd.DataFrame(alarm_rows(alarms))
    coloured = table.style.apply(
        lambda row: [row_style(row["Priority"], row["State"])] * len(row), axis=1
    ).format(precision=2)
    st.dataframe(coloured, hide_index=True, width="stretch")
    st.caption("Times are UTC.")


def bed_numbers(bed: BedSnapshot) -> None:
    """Show the numbers of a bed and what the models say, each with its age."""
    rows: list[dict[str, str]] = [
        {
            "What": f"{vital.signal}: {'breaths' if vital.signal == SignalKind.LUNG_SOUND else 'heart rate'}",
            "Value": _number(vital.rate_per_min, "/min"),
            "Quality": f"{vital.quality:.0%}",
            "Age": f"{vital.age_s:.0f} s",
        }
        for vital in bed.vitals
    ]
    rows += [
        {
            "What": f"{finding.signal}: {finding.model}",
            "Value": f"{finding.label} {finding.probability:.0%}",
            "Quality": f"{finding.quality:.0%}",
            "Age": f"{finding.age_s:.0f} s",
        }
        for finding in bed.findings
    ]
    rows += [
        {
            "What": f"{stream.kind}: {', '.join(stream.channels)}",
            "Value": f"{stream.source_hz:g} Hz from {stream.device}",
            "Quality": "lead off" if any(stream.lead_off or ()) else "",
            "Age": f"{stream.age_s:.0f} s",
        }
        for stream in bed.streams
    ]
    st.dataframe(rows, hide_index=True, width="stretch")


def choose_bed(snapshot: WardSnapshot, wanted: str | None) -> str | None:
    """Show the choice of beds; return the chosen one, or ``None`` while there are none.

    A wanted bed that has sent nothing yet may be chosen too: its page fills when it does.
    """
    names = [bed.bed for bed in snapshot.beds]
    if wanted is not None and wanted not in names:
        names.insert(0, wanted)
    if not names:
        st.info("No bed sends data yet. Start devices, or `wardwave demo`.")
        return None
    at = names.index(wanted) if wanted in names else 0
    return st.selectbox("Bed", names, index=at, label_visibility="collapsed", width=240)


def rerun_on_new_beds(read: Callable[[], WardSnapshot]) -> None:
    """Run the page again when beds come that its choice does not offer yet."""
    known = {bed.bed for bed in read().beds}

    @st.fragment(run_every=LIST_S)
    def watch() -> None:
        if any(bed.bed not in known for bed in read().beds):
            st.rerun()

    watch()


def bed_details(read: Callable[[], WardSnapshot], bed: str) -> None:
    """Show the numbers and the alarm list of a bed, renewed every second."""

    @st.fragment(run_every=LIST_S)
    def details() -> None:
        snapshot = read()
        shown = snapshot.bed(bed)
        left, right = st.columns([2, 3])
        with left:
            st.subheader("Numbers and signals")
            if shown is None:
                st.caption("This bed sends no data.")
            else:
                bed_numbers(shown)
        with right:
            alarm_list(snapshot, bed)

    details()


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:.0f} {unit}"
