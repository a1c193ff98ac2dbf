"""A recording that is uploaded, through the pipeline of the ward."""

from __future__ import annotations

import streamlit as st

from dashboard import analysis_view, shared, words
from inference.analysis_job import AnalysisDesk
from inference.analysis_limits import AnalysisLimits


@st.cache_resource(show_spinner=False)
def desk() -> AnalysisDesk:
    """Return what all sessions of this server hand their recordings to."""
    settings = shared.dashboard_settings()
    limits = AnalysisLimits(
        max_upload_mb=settings.max_upload_mb,
        max_unpacked_mb=4 * settings.max_upload_mb,
        time_s=settings.analysis_time_s,
        memory_mb=settings.analysis_memory_mb,
    )
    return AnalysisDesk(limits, settings.analyses_at_once)


def show() -> None:
    """Show the page."""
    analysis_view.analyse_page(desk())
    st.caption(words.NOTICE)
