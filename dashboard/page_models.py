"""What the models are and how well they do."""

from __future__ import annotations

import streamlit as st

from dashboard import views


def show() -> None:
    """Show the page."""
    st.caption(views.NOTICE)
