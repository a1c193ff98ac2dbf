"""The alarms of all beds: live ones to act on, past ones to find, one of them to review."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from dashboard import alarm_choice, alarm_lists, alarm_review, shared, sound_controls, words
from dashboard.alarm_strip import again_when
from dashboard.snapshots import WardSnapshot
from dashboard.words import plain
from inference.errors import StoreError
from inference.store import Store

Stored = Store | shared.Missing

TOPIC_HOURS: Final = 12
"""How far back the dashboard reads the alarm topic."""
TALL_PX, LOW_PX = 460, 214
"""Height of the table of past alarms, without and with a review below it."""


def show() -> None:
    """Show alarms, live and past."""
    st.session_state.pop("preset", None)
    alarms_page(shared.feed().ward.snapshot, shared.store)


def alarms_page(read_snapshot: Callable[[], WardSnapshot], read_store: Callable[[], Stored]) -> None:
    """Show the page of what is read."""
    alarm_lists.live_alarms(read_snapshot)
    with st.expander("Sound, and all alarms at once"):
        sound_controls.ward_controls(read_snapshot, "alarms-ward")
    store = read_store()
    try:
        _past(read_snapshot, store)
    except StoreError as error:
        st.error(plain(f"{shared.AWAY[:1].upper()}{shared.AWAY[1:]} ({error}). {alarm_choice.WAY_OUT}"))
    there = not isinstance(store, shared.Missing)
    # What was shown of it, or that it was away, is no longer so.
    again_when(lambda: isinstance(read_store(), shared.Missing) is there)
    st.caption(words.NOTICE)


def _past(read_snapshot: Callable[[], WardSnapshot], store: Stored) -> None:
    """Show what fits the filter, and the review of one alarm."""
    snapshot = read_snapshot()
    if isinstance(store, shared.Missing):
        st.warning(alarm_choice.missing_words(store, TOPIC_HOURS))
    wanted = alarm_choice.choose_filter(store, snapshot.alarms)
    page = alarm_choice.read_page(store, snapshot.alarms, wanted)
    chosen = alarm_lists.chosen()
    alarm_lists.past_alarms(page.alarms, snapshot, TALL_PX if chosen is None else LOW_PX)
    alarm_choice.turn_pages(page)
    if chosen is None:
        st.caption("Choose a row, or Review, to see an alarm's strip, life and labels.")
    else:
        alarm_review.review(chosen, read_snapshot, store)
