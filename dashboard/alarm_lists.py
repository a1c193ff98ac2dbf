"""Lists of alarms: live ones with their buttons, past ones as a table to choose from."""

from __future__ import annotations

import hashlib
import html
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import pandas as pd
import streamlit as st

from dashboard import controls
from dashboard.alarm_known import newest_steps, state_words, unknown_since
from dashboard.snapshots import WardSnapshot
from dashboard.sound_controls import paused_words
from dashboard.summary import alarm_text
from dashboard.urgency import bed_by_bed
from dashboard.views import ROW_STYLE, connection_line, device_time, row_style
from dashboard.words import count, plain
from inference.store import StoredAlarm
from inference.types import Alarm, AlarmState, Priority

RENEWED_S: Final = 1.0
LIVE_ROWS: Final = 6
"""Live alarms that are shown at once."""

ROW_PX: Final = 35
"""Height of a row of Streamlit's tables."""

CHOSEN: Final = "alarm"
"""Where a session keeps the id of the alarm that is reviewed; the page's address has it, too."""

SCOPE: Final = "alarms"


def choose(alarm_id: str | None) -> None:
    """Open the review of an alarm, or close it."""
    if alarm_id is None:
        st.session_state.pop(CHOSEN, None)
        st.query_params.pop(CHOSEN, None)
    else:
        st.session_state[CHOSEN] = st.query_params[CHOSEN] = alarm_id


def chosen() -> str | None:
    """Id of the alarm that is reviewed."""
    found = st.session_state.get(CHOSEN) or st.query_params.get(CHOSEN)
    return found if isinstance(found, str) and found else None


def live_alarms(read_snapshot: Callable[[], WardSnapshot]) -> None:
    """Show the alarms that have not ended, the gravest of each bed first, renewed every second.

    No filter hides any of them. What is open below is left alone.
    """

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        above, below = st.container(), st.container()
        with below:
            controls.replies(SCOPE)
        with above:
            _standing(read_snapshot())

    renewed()


def _standing(snapshot: WardSnapshot) -> None:
    problem = connection_line(snapshot)
    if problem:
        st.error(problem, icon="⚠️")
    paused = paused_words([bed.status for bed in snapshot.beds if bed.status is not None])
    if paused is not None:
        st.markdown(f"**{plain(paused)}**")
    alarms = bed_by_bed(alarm for alarm in snapshot.alarms if alarm.state is not AlarmState.ENDED)
    if not alarms:
        st.caption("No alarm now.")
        return
    may, now_ns = controls.may_command(snapshot), time.time_ns()
    first = _first_shown(len(alarms))
    shown = alarms[first : first + LIVE_ROWS]
    for alarm in [*_passed_over(alarms, shown), *shown]:
        _live_row(alarm, unknown_since(alarm, snapshot, now_ns), may)


def _passed_over(alarms: Sequence[Alarm], shown: Sequence[Alarm]) -> list[Alarm]:
    """High alarms that nobody has seen and that the page which was turned to would not show."""
    high = [alarm for alarm in controls.waiting(alarms) if alarm.priority is Priority.HIGH]
    return [alarm for alarm in high[:LIVE_ROWS] if alarm not in shown]


def _first_shown(n_alarms: int) -> int:
    """Index of the first live alarm that is shown, with buttons to see the others."""
    pages = -(-n_alarms // LIVE_ROWS)
    if pages == 1:
        return 0
    page = min(int(st.session_state.get("live-page", 0)), pages - 1)

    def turn(by: int) -> None:
        st.session_state["live-page"] = page + by

    words, back, on = st.columns([6, 1, 1], vertical_alignment="center")
    words.caption(
        f"{count(n_alarms, 'live alarm')}, the gravest of each bed first · page {page + 1} of {pages}"
    )
    back.button("Graver", key="live-graver", disabled=page == 0, on_click=turn, args=(-1,), width="stretch")
    last = page + 1 >= pages
    on.button("More", key="live-more", disabled=last, on_click=turn, args=(1,), width="stretch")
    return page * LIVE_ROWS


def _live_row(alarm: Alarm, since_ns: int | None, may_command: bool) -> None:
    words, review, buttons = st.columns([8, 1, 2], vertical_alignment="center")
    since = f"{state_words(alarm, since_ns)} · onset {device_time(alarm.onset_ns)} UTC"
    plainly = since_ns is not None or alarm.state is AlarmState.ACKNOWLEDGED
    style = "font-weight: 700" if plainly else ROW_STYLE[alarm.priority]
    # Labels come over the wire: text, never markup.
    words.html(
        f'<div style="{style}; border: 1px solid; border-radius: 4px; padding: 4px 10px; display: flex; '
        'flex-wrap: wrap; gap: 4px 16px; overflow-wrap: anywhere">'
        f"<span>{html.escape(alarm.bed)}</span>"
        f'<span style="flex: 1">{html.escape(alarm_text(alarm))}</span>'
        f"<span>{html.escape(since)}</span></div>"
    )
    if review.button("Review", key=f"review-{alarm.id}", width="stretch"):
        choose(alarm.id)
        st.rerun(scope="app")
    if may_command:
        with buttons:
            controls.alarm_buttons(alarm, "live", SCOPE)


def past_rows(alarms: Sequence[StoredAlarm], snapshot: WardSnapshot) -> list[dict[str, str | float]]:
    """Return past alarms as rows of a table; its cells are text, whatever they hold."""
    now_ns = time.time_ns()
    return [
        {
            "Raised (UTC)": device_time(stored.alarm.raised_ns),
            "Bed": stored.alarm.bed,
            "Priority": str(stored.alarm.priority),
            "Alarm": alarm_text(stored.alarm),
            "State": state_words(stored.alarm, unknown_since(stored.alarm, snapshot, now_ns)),
            "Label": "" if stored.label is None else str(stored.label.label),
            "By": "" if stored.label is None else stored.label.reviewer,
            "Strip": {None: "", True: "yes", False: "part"}[stored.strip_complete],
            "Ended (UTC)": device_time(stored.alarm.ended_ns),
        }
        for stored in newest_steps(alarms, snapshot)
    ]


def take_row(key: str, ids: Sequence[str]) -> None:
    """Open the review of the row that was chosen in the table of that key; none: close it."""
    rows = st.session_state[key].selection.rows
    choose(ids[rows[0]] if rows else None)


def past_alarms(alarms: Sequence[StoredAlarm], snapshot: WardSnapshot, height: int) -> None:
    """Show past alarms in a table of at most ``height`` pixels; a chosen row opens its review."""
    if not alarms:
        st.info("No alarm fits this filter.")
        return
    ids = [stored.alarm.id for stored in alarms]
    # The selection is a number of a row: with other rows it must be another table.
    key = "past-" + hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]

    table = pd.DataFrame(past_rows(alarms, snapshot))
    coloured = table.style.apply(lambda row: [row_style(row["Priority"], row["State"])] * len(row), axis=1)
    st.dataframe(
        coloured,
        hide_index=True,
        width="stretch",
        height=min(height, ROW_PX * (len(ids) + 1) + 3),
        key=key,
        on_select=partial(take_row, key, ids),
        selection_mode="single-row",
    )
