"""The ward on a wall: the whole screen, no navigation, no controls; Escape leads back."""

from __future__ import annotations

import streamlit as st

from dashboard import shared, views


def show() -> None:
    """Show the ward larger, without anything that is not looked at from across the room."""
    st.html(views.WALL_STYLE)
    views.live_traces(shared.feed().ward, views.new_view(bed=None, history_s=12.0), wall=True)
