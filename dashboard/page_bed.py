"""One bed: live traces or the frozen view, numbers and alarms, controls, sounds, EEG, trends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import streamlit as st

from dashboard import shared, views
from dashboard.bed_controls import alarm_controls, patient_controls
from dashboard.eeg_pane import show_eeg
from dashboard.limits import limits_editor
from dashboard.review import leave_review, show_review
from dashboard.snapshots import WardSnapshot
from dashboard.sounds_pane import show_sounds
from dashboard.summary import gravest_bed
from dashboard.trends import show_trends
from dashboard.ward import Ward
from dashboard.words import plain

LIVE: Final = "Live"
REVIEW: Final = "Freeze / review"
SPEEDS_MM_PER_S: Final = (12.5, 25.0, 50.0)
GAINS_MM_PER_MV: Final = (5.0, 10.0, 20.0)

Pane = Callable[[Ward, str], None]


def _details(ward: Ward, bed: str) -> None:
    views.bed_details(ward.snapshot, bed)


def _controls(ward: Ward, bed: str) -> None:
    patient_controls(ward.snapshot, bed)


def _limits(ward: Ward, bed: str) -> None:
    limits_editor(ward.snapshot, bed)


def _trends(ward: Ward, bed: str) -> None:
    show_trends(ward, shared.store, bed)


PANES: Final[dict[str, Pane]] = {
    "Numbers, alarms": _details,
    "Controls": _controls,
    "Limits": _limits,
    "Sounds": show_sounds,
    "EEG": show_eeg,
    "Trends": _trends,
}
"""Only the one that is open is worked out."""


def show() -> None:
    """Show the bed that was chosen, by address (``?bed=``), by click or here."""
    ward = shared.feed().ward
    views.rerun_on_new_beds(ward.snapshot)
    with st.container(horizontal=True, vertical_alignment="center"):
        bed = _choose(ward)
        if bed is None:
            return
        mode = st.segmented_control(
            "View", [LIVE, REVIEW], default=LIVE, required=True, label_visibility="collapsed", key="bed-view"
        )
        speed, gain = _scale() if mode == LIVE else (0.0, 0.0)
    if mode == REVIEW:
        # The bar goes on sounding, and the frozen view says above it what is grave now.
        views.live_head(ward)
        show_review(ward.history, bed)
    else:
        leave_review()
        # The canvas stays: it has the head line of the ward, and fills when the bed comes.
        _say_unknown(ward.snapshot(), bed)
        view = views.new_view(bed=bed, history_s=24.0)
        views.live_traces(ward, view, mm_per_second=speed, gain_mm_per_mv=gain)
    # Whatever part is open below: nobody looks for them while an alarm sounds.
    alarm_controls(ward.snapshot, bed)
    pane = st.segmented_control(
        "Part",
        list(PANES),
        default=next(iter(PANES)),
        required=True,
        label_visibility="collapsed",
        key="part",
    )
    PANES[pane](ward, bed)


def _say_unknown(snapshot: WardSnapshot, bed: str) -> None:
    """Say where there is no such bed: an empty screen under "live" would look like a bed that is well."""
    # Without a broker no bed is known, and the canvas says why.
    if snapshot.bed(bed) is not None or not snapshot.connected:
        return
    way_out = "Choose one of the list above." if snapshot.beds else "No bed sends data yet."
    st.warning(
        f"**No bed {plain(bed)} is known.** Nothing has come from a bed of that name, or its patient was "
        f"discharged and nothing has come since. {way_out}",
        icon="⚠️",
    )


def _choose(ward: Ward) -> str | None:
    snapshot = ward.snapshot()
    # The address goes before: it says which bed was clicked, and which to show after a reload.
    asked = st.query_params.get("bed") or st.session_state.get("bed")
    wanted = asked or st.session_state.get("preset")
    if not isinstance(wanted, str):
        # Kept while this page is shown: the page must not jump to another bed under the user's eyes.
        wanted = st.session_state["preset"] = gravest_bed(snapshot)
    bed = views.choose_bed(snapshot, wanted)
    if bed is not None and (asked or (wanted and bed != wanted)):
        st.session_state["bed"] = st.query_params["bed"] = bed
    elif bed is not None:
        st.session_state["preset"] = bed
    return bed


def _scale() -> tuple[float, float]:
    """Sweep (mm/s) and gain (mm/mV) of the live traces, as chosen here."""
    speed = st.selectbox(
        "Sweep", SPEEDS_MM_PER_S, 1, lambda value: f"{value:g} mm/s", label_visibility="collapsed", width=130
    )
    gain = st.selectbox(
        "Gain", GAINS_MM_PER_MV, 1, lambda value: f"{value:g} mm/mV", label_visibility="collapsed", width=130
    )
    return float(speed), float(gain)
