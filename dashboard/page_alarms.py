"""The alarms of all beds: live ones to act on, past ones to find, one of them to review."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from dashboard import alarm_choice, alarm_lists, alarm_review, controls, shared, views
from dashboard.snapshots import WardSnapshot
from dashboard.words import plain
from inference.errors import StoreError
from inference.store import Store

TOPIC_HOURS: Final = 12
"""How far back the dashboard reads the alarm topic."""
TALL_PX, LOW_PX = 460, 214
"""Height of the table of past alarms, without and with a review below it."""


def show() -> None:
    """Show alarms, live and past."""
    st.session_state.pop("preset", None)
    alarms_page(shared.feed().ward.snapshot, shared.store())


def alarms_page(read_snapshot: Callable[[], WardSnapshot], store: Store | shared.Missing) -> None:
    """Show the page of what is read."""
    alarm_lists.live_alarms(read_snapshot)
    with st.expander("Sound, and all alarms at once"):
        controls.ward_controls(read_snapshot, "alarms-ward")
    snapshot = read_snapshot()
    try:
        wanted = alarm_choice.choose_filter(store, snapshot.alarms)
        page = alarm_choice.read_page(store, snapshot.alarms, wanted)
        chosen = alarm_lists.chosen()
        alarm_lists.past_alarms(page.alarms, TALL_PX if chosen is None else LOW_PX)
        alarm_choice.turn_pages(page)
        if isinstance(store, shared.Missing):
            st.warning(alarm_choice.missing_words(store, TOPIC_HOURS))
        if chosen is None:
            st.caption("Choose a row, or Review, to see an alarm's strip, life and labels.")
        else:
            alarm_review.review(chosen, read_snapshot, store)
    except StoreError as error:
        st.error(plain(f"The store does not answer: {error}"))
    st.caption(views.NOTICE)
