"""A recording that is uploaded, through the pipeline of the ward."""

from __future__ import annotations

import streamlit as st

from dashboard import analysis_view, shared, words
from dashboard.settings import limits_of
from inference.analysis_job import AnalysisDesk


@st.cache_resource(show_spinner=False)
def desk() -> AnalysisDesk:
    """Return what all sessions of this server hand their recordings to."""
    settings = shared.dashboard_settings()
    return AnalysisDesk(limits_of(settings), settings.analyses_at_once)


def show() -> None:
    """Show the page."""
    analysis_view.analyse_page(desk())
    st.caption(words.NOTICE)
