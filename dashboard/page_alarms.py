"""The alarms of all beds."""

from __future__ import annotations

import streamlit as st

from dashboard import shared, views


def show() -> None:
    """Show alarms, live and past."""
    ward = shared.feed().ward
    st.session_state.pop("preset", None)

    @st.fragment(run_every=views.LIST_S)
    def renewed() -> None:
        snapshot = ward.snapshot()
        views.ward_head(snapshot)
        views.alarm_list(snapshot)

    renewed()
    st.caption(views.NOTICE)
