"""A recording that is uploaded, through the pipeline of the ward."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import analysis_view, shared, words
from dashboard.settings import DashboardSettings
from inference.analysis_job import AnalysisDesk
from inference.analysis_limits import AnalysisLimits

UNPACKED: Final = 4
"""An archive may grow so many times over the largest upload."""


@st.cache_resource(show_spinner=False)
def desk() -> AnalysisDesk:
    """Return what all sessions of this server hand their recordings to."""
    settings = shared.dashboard_settings()
    return AnalysisDesk(limits_of(settings), settings.analyses_at_once)


def limits_of(settings: DashboardSettings) -> AnalysisLimits:
    """Return what an analysis may take."""
    return AnalysisLimits(
        max_upload_mb=settings.max_upload_mb,
        max_unpacked_mb=UNPACKED * settings.max_upload_mb,
        time_s=settings.analysis_time_s,
        memory_mb=settings.analysis_memory_mb,
    )


def show() -> None:
    """Show the page."""
    analysis_view.analyse_page(desk())
    st.caption(words.NOTICE)
