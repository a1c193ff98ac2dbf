"""The Streamlit script: `wardwave dashboard` runs it."""

from __future__ import annotations

import streamlit as st

from dashboard import views
from dashboard.feed import Feed
from dashboard.summary import gravest_bed
from ingest.settings import load_settings


@st.cache_resource(show_spinner=False)
def shared_feed() -> Feed:
    """Return the one consumer of this server process."""
    return Feed(load_settings()).start()


def ward_page() -> None:
    """All beds."""
    ward = shared_feed().ward
    st.session_state.pop("preset", None)
    chosen = views.live_traces(ward, views.new_view(bed=None, history_s=12.0))
    if chosen is not None:
        st.session_state["bed"] = chosen
        st.switch_page(BED_PAGE)


def bed_page() -> None:
    """All signals of one bed, its numbers and its alarms."""
    ward = shared_feed().ward
    snapshot = ward.snapshot()
    wanted = st.session_state.get("bed") or st.query_params.get("bed")
    if wanted is not None:
        st.session_state["bed"] = wanted
    wanted = wanted or st.session_state.get("preset")
    if not isinstance(wanted, str):
        # Kept while this page is shown: the page must not jump to another bed under the user's eyes.
        wanted = st.session_state["preset"] = gravest_bed(snapshot)
    views.rerun_on_new_beds(ward.snapshot)
    bed = views.choose_bed(snapshot, wanted)
    if bed is None:
        return
    if bed != wanted:
        st.session_state["bed" if wanted else "preset"] = bed
    views.live_traces(ward, views.new_view(bed=bed, history_s=24.0))
    views.bed_details(ward.snapshot, bed)


def alarms_page() -> None:
    """Return the alarms of all beds."""
    ward = shared_feed().ward
    st.session_state.pop("preset", None)

    @st.fragment(run_every=views.LIST_S)
    def renewed() -> None:
        snapshot = ward.snapshot()
        views.ward_head(snapshot)
        views.alarm_list(snapshot)

    renewed()
    st.caption(views.NOTICE)


BED_PAGE = st.Page(bed_page, title="Bed", url_path="bed", icon=":material/bed:")

st.set_page_config(
    page_title="Wardwave",
    # An emoji stays on this machine; the browser would fetch a material icon from fonts.gstatic.com.
    page_icon="🫀",
    layout="wide",
    initial_sidebar_state="collapsed",
)
st.html(views.PAGE_STYLE)
st.navigation(
    [
        st.Page(ward_page, title="Ward", icon=":material/monitor_heart:", default=True),
        BED_PAGE,
        st.Page(alarms_page, title="Alarms", url_path="alarms", icon=":material/notifications:"),
    ],
    position="top",
).run()
