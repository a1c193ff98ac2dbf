"""Buttons that command: one press is one command of the signed-in user, answered where it was made.

A press goes out in the callback of its button, which Streamlit runs once; a page that runs again sends
nothing. It waits in a thread of its own, so that live traces go on; :func:`replies`, in a fragment that runs
every second, says that it waits and then what came of it.
"""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import streamlit as st

from dashboard import access, shared
from dashboard.asking import HERE, Asked, Order, Outcome, Reply, ask
from dashboard.snapshots import WardSnapshot
from dashboard.summary import alarm_text
from dashboard.words import count, countdown, plain
from inference.commands import Acknowledge, PauseAudio, ResumeAudio
from inference.types import Alarm, AlarmState, Bed, Priority
from ingest.types import NS_PER_S

__all__ = [
    "acknowledge_all",
    "alarm_buttons",
    "ask",
    "button",
    "alarm_line",
    "may_command",
    "paused_words",
    "press",
    "replies",
    "sound_buttons",
    "waiting",
    "ward_controls",
    "why_not",
]

RENEWED_S: Final = 1.0
PAUSES_S: Final = (120, 60, 300)
"""Pauses to choose from, the usual one first."""
BRIEFLY_S: Final = 0.5
"""Most answers come within it: the run that follows the press shows them."""
APPLIED_S: Final = 10.0
"""So long it stands that something was done; what was not done stands longer."""
REFUSED_S: Final = 60.0
MOST_LISTED: Final = 12
"""Alarms that a ward's list shows, and so acknowledges at once."""
TURNS: Final = 256
_ASKED: Final = "asked"
_BADGE: Final = "padding:2px 10px;border-radius:4px;font-weight:700"
_COLOURS: Final = {
    Priority.HIGH: "background:#c81e1e;color:#fff",
    Priority.MEDIUM: "background:#ffd42a;color:#1a1500",
    Priority.LOW: "background:#0b3a47;color:#35d6ff",
    Priority.TECHNICAL: "background:#0b3a47;color:#35d6ff",
}


def why_not(snapshot: WardSnapshot) -> str | None:
    """Say why the user can command nothing now, with the way out; ``None`` where they can."""
    user = access.current_user()
    if not user.may_command:
        return (
            f"{user.name} ({user.role}) looks only: clinicians and admins acknowledge, pause, admit and set "
            "limits."
        )
    if not snapshot.connected:
        # Asked now, the broker would hold this page.
        return f"No commands: the broker has not answered for {snapshot.silent_s:.0f} s."
    sender = shared.sender()
    if isinstance(sender, shared.Missing):
        return f"{sender.why[:1].upper()}{sender.why[1:]}"
    return None


def may_command(snapshot: WardSnapshot) -> bool:
    """Whether the user can command now; where not, the page says why."""
    why = why_not(snapshot)
    if why is not None:
        st.caption(plain(why))
    return why is None


def press(scope: str, label: str, orders: Sequence[Order]) -> None:
    """Send what a button stands for: to be called from its callback.

    A second press of what still waits for its answer is left alone.

    Parameters
    ----------
    scope : str
        Which :func:`replies` shows the answer.
    label : str
        What was pressed, in words.
    orders : sequence of Order
        What to do, in this order.
    """
    held = _asked(scope)
    if any(one.label == label and not one.done for one in held):
        return
    address = st.context.ip_address or HERE
    asked = Asked(shared.sender(), access.current_user(), orders, label, address)
    _all_asked()[scope] = [*[one for one in held if not one.done], asked]
    asked.wait(BRIEFLY_S)


def _all_asked() -> dict[str, list[Asked]]:
    found: dict[str, list[Asked]] = st.session_state.setdefault(_ASKED, {})
    return found


def _asked(scope: str) -> list[Asked]:
    return _all_asked().get(scope, [])


def replies(scope: str) -> None:
    """Show what waits and what was answered; to be called in a fragment that runs every second."""
    shown = [one for one in _asked(scope) if not one.done or one.age_s < _lasts_s(one.replies)]
    _all_asked()[scope] = shown
    for one in shown:
        applied = [reply for reply in one.replies if reply.outcome is Outcome.APPLIED]
        for reply in one.replies:
            if reply.outcome is Outcome.REFUSED:
                st.error(f"Not done: {_words(reply)}")
            elif reply.outcome is Outcome.UNANSWERED:
                st.warning(f"No answer: {_words(reply)}")
        if applied:
            st.success("Done: " + "  \n".join(map(_words, applied)))
        if not one.done:
            st.info(f"{plain(one.label)}: waiting for the worker's answer, {one.age_s:.0f} s")


def _lasts_s(found: Iterable[Reply]) -> float:
    return APPLIED_S if all(one.outcome is Outcome.APPLIED for one in found) else REFUSED_S


def _words(reply: Reply) -> str:
    return plain("; ".join((reply.text, *reply.changes)))


def button(
    label: str,
    scope: str,
    orders: Sequence[Order],
    key: str,
    *,
    kind: Literal["primary", "secondary", "tertiary"] = "secondary",
    disabled: bool = False,
) -> None:
    """Show a button that sends ``orders`` when it is pressed, once for each press."""
    st.button(
        plain(label),
        key=key,
        type=kind,
        disabled=disabled,
        on_click=press,
        args=(scope, label, tuple(orders)),
    )


def waiting(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Return the alarms that nobody has acknowledged."""
    return [one for one in alarms if one.state in (AlarmState.ACTIVE, AlarmState.LATCHED)]


def acknowledge_all(alarms: Sequence[Alarm], scope: str, key: str) -> None:
    """Show a button that acknowledges exactly ``alarms``, which stand on the screen.

    It is another button whenever they are others: a press on one that was drawn before another alarm came
    acknowledges what stood there.
    """
    by_bed: dict[str, list[str]] = {}
    for one in waiting(alarms):
        by_bed.setdefault(one.bed, []).append(one.id)
    ids = [id_ for of_bed in by_bed.values() for id_ in of_bed]
    button(
        f"Acknowledge {count(len(ids), 'alarm')}",
        scope,
        [Order(Acknowledge(of_bed), bed) for bed, of_bed in by_bed.items()],
        f"{key}-acknowledge-{_turn(key, ids)}",
        kind="primary",
        disabled=not ids,
    )


def _turn(key: str, ids: Sequence[str]) -> int:
    """Return a number that changes with ``ids``; so few that a session which stays open does not grow."""
    held, turn = st.session_state.get(f"{key}-turn", (ids, 0))
    if held != ids:
        turn = (turn + 1) % TURNS
    st.session_state[f"{key}-turn"] = (ids, turn)
    return int(turn)


def alarm_buttons(alarm: Alarm, key: str, scope: str = "alarms") -> None:
    """Show what can be done with one alarm: acknowledge it; and the pause of its sound as it runs down.

    To be called in a fragment that also calls :func:`replies`, and only where :func:`may_command`.
    """
    if alarm.state in (AlarmState.ACTIVE, AlarmState.LATCHED):
        orders = [Order(Acknowledge([alarm.id]), alarm.bed)]
        button("Acknowledge", scope, orders, f"{key}-{alarm.id}")
    left_s = _left_s(alarm.audio_paused_until_ns)
    if left_s > 0 and alarm.state is not AlarmState.ENDED:
        st.caption(f"sound paused {countdown(left_s)}")


def alarm_line(alarm: Alarm, with_bed: bool = False, width: int | Literal["content"] = "content") -> None:
    """Show an alarm in the colour of its priority; one that somebody has seen has a frame only."""
    text = f"{alarm.bed}  {alarm_text(alarm)}" if with_bed else alarm_text(alarm)
    seen = alarm.state is AlarmState.ACKNOWLEDGED
    style = "border:1px solid" if seen else _COLOURS[alarm.priority]
    st.html(f'<span style="{_BADGE};{style}">{html.escape(text)}</span>', width=width)


def _left_s(until_ns: int | None) -> float:
    return 0.0 if until_ns is None else until_ns / NS_PER_S - time.time()


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
    paused = [one for one in statuses if _left_s(one.audio_paused_until_ns) > 0]
    if not paused:
        return None
    left_s = max(_left_s(one.audio_paused_until_ns) for one in paused)
    where = "" if len(paused) == len(statuses) else f" at {len(paused)} of {count(len(statuses), 'bed')}"
    names = ", ".join(sorted({one.audio_paused_by or "staff" for one in paused}))
    return f"SOUND PAUSED{where} {countdown(left_s)} by {names}"


def ward_controls(read_snapshot: Callable[[], WardSnapshot], scope: str = "ward") -> None:
    """Show sound and acknowledgement of all beds, renewed every second.

    Listed are the gravest alarms that wait; only those are acknowledged by the button beside them.
    """

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        snapshot = read_snapshot()
        if may_command(snapshot):
            statuses = [bed.status for bed in snapshot.beds if bed.status is not None]
            for ward in sorted({one.ward for one in statuses}):
                _ward_sound(ward, [one for one in statuses if one.ward == ward], scope)
            alarms = waiting(snapshot.alarms)
            listed = alarms[:MOST_LISTED]
            acknowledge_all(listed, scope, scope)
            replies(scope)
            for one in listed:
                alarm_line(one, with_bed=True)
            if len(alarms) > len(listed):
                st.caption(f"{len(alarms) - len(listed)} more wait; they are listed when these are seen.")
        else:
            replies(scope)

    renewed()


def _ward_sound(ward: str, statuses: Sequence[Bed], scope: str) -> None:
    words = paused_words(statuses)
    with st.container(horizontal=True, vertical_alignment="center"):
        sound_buttons(words is not None, scope, f"{scope}-{ward}", ward=ward)
        # Last in its row: the buttons stay where they are when it comes and goes.
        st.markdown(f"Sound of {plain(ward)}" + (f": **{plain(words)}**" if words else ""), width="content")
