"""All signals of one bed, its numbers and its alarms."""

from __future__ import annotations

import streamlit as st

from dashboard import shared, views
from dashboard.summary import gravest_bed


def show() -> None:
    """Show the bed that was chosen, by address (``?bed=``), by click or here."""
    ward = shared.feed().ward
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
