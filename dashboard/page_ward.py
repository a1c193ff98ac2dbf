"""All beds."""

from __future__ import annotations

import streamlit as st

from dashboard import shared, views


def show(bed_page: st.Page) -> None:
    """Show the ward; a click on a bed opens ``bed_page``."""
    ward = shared.feed().ward
    st.session_state.pop("preset", None)
    chosen = views.live_traces(ward, views.new_view(bed=None, history_s=12.0))
    if chosen is not None:
        st.session_state["bed"] = chosen
        st.switch_page(bed_page)
