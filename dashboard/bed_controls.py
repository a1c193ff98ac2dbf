"""Commands for one bed: its alarms and their sound, which patient lies there, its profile, its standby."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import streamlit as st

from dashboard import access
from dashboard.alarm_known import unknown_since
from dashboard.asking import Order
from dashboard.controls import (
    acknowledge_all,
    alarm_buttons,
    alarm_line,
    button,
    may_command,
    press,
    replies,
)
from dashboard.limit_changes import profile_lines
from dashboard.snapshots import WardSnapshot
from dashboard.sound_controls import RENEWED_S, paused_words, sound_buttons
from dashboard.views import device_time
from dashboard.words import plain, ward_words
from inference.catalog import load_catalogue
from inference.commands import MOST_LABEL, Action, Admit, Discharge, SetProfile, Standby, Transfer
from inference.types import Alarm, Bed
from ingest.types import NS_PER_S

Read = Callable[[], WardSnapshot]

CONFIRM_S: Final = 60.0
"""A question that nobody answered is asked anew: the bed may have changed."""
MOST_ALARMS: Final = 12
"""Alarms that are listed, the gravest; only these are acknowledged."""

LINE: Final = 480
"""Pixels of an alarm's text: the buttons beside stand under one another."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before something is done that cannot be undone."""

    text: str
    label: str
    order: Order
    asked_s: float


def alarm_controls(read_snapshot: Read, bed: str) -> None:
    """Show who lies here, the alarms with their buttons, the sound, standby and all answers; live."""

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        # Above the alarms, which come and go: no button moves away under the pointer.
        above = st.container()
        replies(bed)
        snapshot, now_ns = read_snapshot(), time.time_ns()
        shown = snapshot.bed(bed)
        status = shown.status if shown is not None else None
        alarms = shown.alarms if shown is not None else ()
        listed = alarms[:MOST_ALARMS]
        with above:
            st.markdown(_status_words(bed, status))
            may = shown is not None and may_command(snapshot)
            if may:
                _buttons(bed, status, listed)
        for alarm in listed:
            with st.container(horizontal=True, vertical_alignment="center"):
                alarm_line(alarm, unknown_since(alarm, snapshot, now_ns), width=LINE)
                if may:
                    alarm_buttons(alarm, f"{bed}-one", bed)
        if len(alarms) > len(listed):
            st.caption(f"{len(alarms) - len(listed)} more stand; they are listed when these are over.")

    renewed()


def _buttons(bed: str, status: Bed | None, listed: Sequence[Alarm]) -> None:
    on = status is not None and status.standby
    paused = status is not None and paused_words([status]) is not None
    with st.container(horizontal=True):
        acknowledge_all(listed, bed, f"{bed}-all")
        sound_buttons(paused, bed, f"{bed}-sound", bed=bed)
        button(
            "End standby" if on else "Standby",
            bed,
            [Order(Standby(not on), bed)],
            f"{bed}-standby-{'end' if on else 'begin'}",
        )


def _status_words(bed: str, status: Bed | None) -> str:
    if status is None:
        return f"**{plain(bed)}**: no worker has said yet how this bed is set"
    patient = f"stay {status.stay}" if status.stay is not None else "a patient without a pseudonym"
    parts = [
        f"admitted: {patient}{_since(status)}" if status.admitted else "nobody is admitted",
        f"profile {status.profile}",
        ward_words(status.ward),
    ]
    if status.standby:
        parts.append(f'STANDBY by {status.standby_by or "staff"}: "no data" is silent')
    paused = paused_words([status])
    return f"**{plain(bed)}** {plain(' · '.join(parts))}" + (f" · **{plain(paused)}**" if paused else "")


def _since(status: Bed) -> str:
    """How long the patient has been here ("since 2026-11-21 08:05:00 UTC, 3 h")."""
    if status.admitted_ns is None:
        return ""
    hours = (time.time_ns() - status.admitted_ns) / (3_600 * NS_PER_S)
    shown = f"{hours:.1f} h" if hours < 10 else f"{hours:.0f} h"
    return f" since {device_time(status.admitted_ns)} UTC ({shown})"


def patient_controls(read_snapshot: Read, bed: str) -> None:
    """Show admission, discharge, transfer and profile. It stands still: nothing typed is lost.

    What forgets or moves a patient is asked once more before it is sent. Answers are shown by
    :func:`alarm_controls`, which says to viewers that they only look.
    """

    @st.fragment
    def still() -> None:
        snapshot = read_snapshot()
        if not may_command(snapshot):
            return
        _question(bed)
        admission, leaving, profile = st.columns(3, gap="large")
        with admission:
            _admission(read_snapshot, bed)
        with leaving:
            _leaving(read_snapshot, bed)
        with profile:
            _profile(read_snapshot, bed)

    if not access.current_user().may_command:
        return
    with st.expander("Admit, discharge, transfer, profile"):
        still()


def _admission(read: Read, bed: str) -> None:
    wards = sorted({one.status.ward for one in read().beds if one.status is not None})
    with st.form(f"{bed}-admit", border=False):
        st.markdown("**Admit** a new patient, who inherits nothing")
        st.text_input(
            "Pseudonym of the stay",
            key=f"{bed}-stay",
            max_chars=MOST_LABEL,
            placeholder="s-4711",
            help="Never a name, a date of birth or a number of the hospital.",
        )
        st.caption("⚠️ Never enter a name.")
        profiles = list(load_catalogue().profiles)
        st.selectbox("Profile", profiles, key=f"{bed}-admit-profile", index=None, placeholder="as the ward's")
        st.selectbox("Ward", wards, key=f"{bed}-ward", index=None, placeholder="as the site's file says")
        st.form_submit_button("Admit", on_click=_admit, args=(read, bed), width="stretch")
    _complaint(f"{bed}-admit")


def pseudonym_problem(stay: str) -> str | None:
    """Say why a text is no pseudonym; ``None`` where it may be one, or there is none."""
    if not stay:
        return None
    if len(stay.split()) > 1 or not any(char.isdigit() for char in stay):
        return (
            f"stay={stay[:MOST_LABEL]!r}: a pseudonym has a digit and no blank (s-4711); never enter a name"
        )
    return None


def _admit(read: Read, bed: str) -> None:
    stay = str(st.session_state[f"{bed}-stay"] or "").strip()
    problem = pseudonym_problem(stay)
    st.session_state[f"{bed}-admit-problem"] = problem
    if problem is not None:
        return
    action = Admit(_chosen(f"{bed}-admit-profile"), _chosen(f"{bed}-ward"), stay or None)
    status = _status(read, bed)
    label = f"Admit {stay or 'a patient'} at {bed}"
    if status is not None and status.admitted:
        text = f"{_patient(status)} is at {bed}. Admit another? Limits, alarms and baselines are forgotten."
        _ask_first(bed, text, label, action)
    else:
        press(bed, label, [Order(action, bed)])


def _leaving(read: Read, bed: str) -> None:
    st.markdown("**Discharge**: all that is known of the patient is forgotten")
    st.button("Discharge …", key=f"{bed}-discharge", on_click=_discharge, args=(read, bed), width="stretch")
    with st.form(f"{bed}-transfer", border=False):
        st.markdown("**Transfer** with profile and limits; alarms and baselines stay behind")
        others = [one.bed for one in read().beds if one.bed != bed]
        st.selectbox("To", others, key=f"{bed}-to", index=None, placeholder="an empty bed")
        st.form_submit_button("Transfer …", on_click=_transfer, args=(read, bed), width="stretch")
    _complaint(f"{bed}-transfer")


def _discharge(read: Read, bed: str) -> None:
    status = _status(read, bed)
    text = f"Discharge {_patient(status)} from {bed}? Limits, alarms and baselines are forgotten."
    # Of the patient who was there when it was asked, and of no other.
    _ask_first(bed, text, f"Discharge from {bed}", Discharge(status.admitted_ns if status else None))


def _transfer(read: Read, bed: str) -> None:
    to_bed = _chosen(f"{bed}-to")
    st.session_state[f"{bed}-transfer-problem"] = None if to_bed else "To: choose a bed"
    if to_bed is not None:
        text = f"Transfer {_patient(_status(read, bed))} from {bed} to {to_bed}?"
        _ask_first(bed, text, f"Transfer from {bed} to {to_bed}", Transfer(to_bed))


def _profile(read: Read, bed: str) -> None:
    status = _status(read, bed)
    with st.form(f"{bed}-set-profile", border=False):
        st.markdown("**Profile**: other defaults; what was set for the bed stays")
        names = list(load_catalogue().profiles)
        index = names.index(status.profile) if status is not None and status.profile in names else None
        st.selectbox("Defaults of", names, key=f"{bed}-profile", index=index)
        st.form_submit_button("Take profile …", on_click=_take_profile, args=(read, bed), width="stretch")


def _take_profile(read: Read, bed: str) -> None:
    profile, status = _chosen(f"{bed}-profile"), _status(read, bed)
    if profile is not None:
        lines = profile_lines(load_catalogue(), status, profile)
        text = f"Take the defaults of {profile} at {bed}? {'; '.join(lines) or 'No limit changes.'}"
        _ask_first(bed, text, f"Profile {profile} at {bed}", SetProfile(profile))


def _status(read: Read, bed: str) -> Bed | None:
    shown = read().bed(bed)
    return shown.status if shown is not None else None


def _patient(status: Bed | None) -> str:
    if status is None or not status.admitted:
        return "whoever is there (nobody is admitted)"
    return f"stay {status.stay}" if status.stay is not None else "the patient"


def _chosen(key: str) -> str | None:
    found = st.session_state.get(key)
    return found if isinstance(found, str) else None


def _complaint(key: str) -> None:
    problem = st.session_state.get(f"{key}-problem")
    if isinstance(problem, str):
        st.error(plain(problem))


def _ask_first(bed: str, text: str, label: str, action: Action) -> None:
    st.session_state[f"{bed}-question"] = Question(text, label, Order(action, bed), time.monotonic())


def _question(bed: str) -> None:
    """Show what was asked, with the answers to choose from."""
    asked = st.session_state.get(f"{bed}-question")
    if not isinstance(asked, Question) or time.monotonic() - asked.asked_s > CONFIRM_S:
        return
    st.warning(plain(asked.text))
    yes, no, _ = st.columns([2, 1, 3])
    with yes:
        st.button(
            f"Yes: {plain(asked.label)}",
            key=f"{bed}-yes-{asked.asked_s}",
            type="primary",
            on_click=_answer,
            args=(bed, asked),
            width="stretch",
        )
    with no:
        st.button("No", key=f"{bed}-no", on_click=_answer, args=(bed, None), width="stretch")


def _answer(bed: str, asked: Question | None) -> None:
    # Once: a second press finds no question.
    held = st.session_state.pop(f"{bed}-question", None)
    if asked is not None and held == asked:
        press(bed, asked.label, [asked.order])
