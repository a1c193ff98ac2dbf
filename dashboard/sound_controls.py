"""The sound of a bed or of a ward: its pause, which runs down, and what waits there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import streamlit as st

from dashboard.alarm_known import unknown_since
from dashboard.asking import Order
from dashboard.controls import (
    acknowledge_all,
    alarm_line,
    button,
    left_s,
    may_command,
    replies,
    waiting,
)
from dashboard.snapshots import WardSnapshot
from dashboard.words import count, countdown, plain
from inference.commands import PauseAudio, ResumeAudio
from inference.types import Bed

RENEWED_S: Final = 1.0
PAUSES_S: Final = (120, 60, 300)
"""Pauses to choose from, the usual one first."""
MOST_LISTED: Final = 12
"""Alarms that a ward's list shows, and so acknowledges at once."""


def sound_buttons(
    paused: bool, scope: str, key: str, *, bed: str | None = None, ward: str | None = None
) -> None:
    """Show the buttons for the sound of a bed or a ward (one of them); ``paused`` says whether it is."""
    for seconds in PAUSES_S:
        order = Order(PauseAudio(float(seconds)), bed, ward)
        button(f"Pause sound {seconds} s", scope, [order], f"{key}-pause-{seconds}")
    button("Resume sound", scope, [Order(ResumeAudio(), bed, ward)], f"{key}-resume", disabled=not paused)


def paused_words(statuses: Sequence[Bed]) -> str | None:
    """Say of how many of some beds the sound is paused, for how long and by whom; ``None`` of none."""
    paused = [one for one in statuses if left_s(one.audio_paused_until_ns) > 0]
    if not paused:
        return None
    longest_s = max(left_s(one.audio_paused_until_ns) for one in paused)
    where = "" if len(paused) == len(statuses) else f" at {len(paused)} of {count(len(statuses), 'bed')}"
    names = ", ".join(sorted({one.audio_paused_by or "staff" for one in paused}))
    return f"SOUND PAUSED{where} {countdown(longest_s)} by {names}"


def ward_controls(read_snapshot: Callable[[], WardSnapshot], scope: str = "ward") -> None:
    """Show sound and acknowledgement of all beds, renewed every second.

    Listed are the gravest alarms that wait; only those are acknowledged by the button beside them.
    """

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        above, below = st.container(), st.container()
        with below:
            replies(scope)
        snapshot = read_snapshot()
        alarms = waiting(snapshot.alarms)
        listed = alarms[:MOST_LISTED]
        with above:
            if not may_command(snapshot):
                return
            statuses = [bed.status for bed in snapshot.beds if bed.status is not None]
            for ward in sorted({one.ward for one in statuses}):
                _ward_sound(ward, [one for one in statuses if one.ward == ward], scope)
            acknowledge_all(listed, scope, scope)
        now_ns = time.time_ns()
        with below:
            for one in listed:
                alarm_line(one, unknown_since(one, snapshot, now_ns), with_bed=True)
            if len(alarms) > len(listed):
                st.caption(f"{len(alarms) - len(listed)} more wait; they are listed when these are seen.")

    renewed()


def _ward_sound(ward: str, statuses: Sequence[Bed], scope: str) -> None:
    words = paused_words(statuses)
    with st.container(horizontal=True, vertical_alignment="center"):
        sound_buttons(words is not None, scope, f"{scope}-{ward}", ward=ward)
        # Last in its row: the buttons stay where they are when it comes and goes.
        st.markdown(f"Sound of {plain(ward)}" + (f": **{plain(words)}**" if words else ""), width="content")
