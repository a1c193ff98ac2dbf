"""The Streamlit script: `wardwave dashboard` runs it."""

from __future__ import annotations

import streamlit as st

from dashboard import (
    access,
    monitor,
    page_alarms,
    page_analyse,
    page_bed,
    page_models,
    page_system,
    page_wall,
    page_ward,
    shared,
    views,
)

st.set_page_config(
    page_title="Wardwave",
    # An emoji stays on this machine; the browser would fetch a material icon from fonts.gstatic.com.
    page_icon="🫀",
    layout="wide",
    initial_sidebar_state="collapsed",
)
st.html(views.PAGE_STYLE)
access.guard()

BED = st.Page(page_bed.show, title="Bed", url_path="bed")
WALL = st.Page(page_wall.show, title="Wall", url_path="wall")
WARD = st.Page(page_ward.show, title="Ward", url_path="ward", default=True)
page = st.navigation(
    [
        WARD,
        WALL,
        BED,
        st.Page(page_alarms.show, title="Alarms", url_path="alarms"),
        st.Page(page_analyse.show, title="Analyse", url_path="analyse"),
        st.Page(page_models.show, title="Models", url_path="models"),
        st.Page(page_system.show, title="System", url_path="system"),
    ],
    position="top",
)
access.user_line(visible=page is not WALL)
access.enter(page.title)
traces = page in (WARD, WALL, BED)
monitor.mount_sound(wall=page is WALL, ward=page is WARD, canvas=traces)
if not traces:
    # Alarms are heard and told whatever page is looked at; those with traces feed the bar themselves.
    views.live_head(shared.feed().ward)
page.run()
