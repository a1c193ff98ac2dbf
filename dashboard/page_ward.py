"""All beds; a click on one opens its page (``component/ward.js``)."""

from __future__ import annotations

import streamlit as st

from dashboard import shared, views


def show() -> None:
    """Show the ward."""
    st.session_state.pop("preset", None)
    views.live_traces(shared.feed().ward, views.new_view(bed=None, history_s=12.0))
