"""Buttons that command: one press is one command of the signed-in user, answered where it was made.

A press goes out in the callback of its button, which Streamlit runs once; a page that runs again sends
nothing. It waits in a thread of its own, so that live traces go on; :func:`replies`, in a fragment that runs
every second, says at once that it was sent and then what came of it. Its button is spent until then.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Sequence
from typing import Final, Literal

import streamlit as st

from dashboard import access, shared
from dashboard.alarm_known import state_words
from dashboard.asking import HERE, Asked, Order, Outcome, Reply, ask
from dashboard.snapshots import WardSnapshot
from dashboard.summary import alarm_text
from dashboard.words import count, countdown, plain
from inference.commands import Acknowledge
from inference.types import Alarm, AlarmState, Priority
from ingest.types import NS_PER_S

__all__ = [
    "acknowledge_all",
    "alarm_buttons",
    "ask",
    "button",
    "alarm_line",
    "may_command",
    "press",
    "replies",
    "waiting",
    "why_not",
]

BRIEFLY_S: Final = 0.4
"""Most answers come within it after it was said that the press was sent."""
APPLIED_S: Final = 10.0
"""So long it stands that something was done; what was not done stands longer."""
REFUSED_S: Final = 60.0
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


def _all_asked() -> dict[str, list[Asked]]:
    found: dict[str, list[Asked]] = st.session_state.setdefault(_ASKED, {})
    return found


def _asked(scope: str) -> list[Asked]:
    return _all_asked().get(scope, [])


def replies(scope: str) -> None:
    """Show what was sent and what was answered; to be called in a fragment that runs every second.

    An answer that comes soon is shown in the same run: so this comes before what else the fragment shows,
    in a container above or below it, and the alarms are read afterwards.
    """
    shown = [one for one in _asked(scope) if not one.done or one.age_s < _lasts_s(one.replies)]
    _all_asked()[scope] = shown
    for one in shown:
        place = st.empty()
        if not one.done:
            place.info(f"Sent: {plain(one.label)} · waiting for the worker's answer, {one.age_s:.0f} s")
            one.wait(max(0.0, BRIEFLY_S - one.age_s))
        if one.done:
            with place.container():
                _answers(one)


def _answers(asked: Asked) -> None:
    for reply in asked.replies:
        if reply.outcome is Outcome.REFUSED:
            st.error(f"Not done: {_words(reply)}")
        elif reply.outcome is Outcome.UNANSWERED:
            st.warning(f"No answer: {_words(reply)}")
    applied = [reply for reply in asked.replies if reply.outcome is Outcome.APPLIED]
    if applied:
        st.success("Done: " + "  \n".join(map(_words, applied)))


def _sent(order: Order) -> bool:
    """Whether an order of this session is on its way."""
    return any(order in one.orders for asked in _all_asked().values() for one in asked if not one.done)


def _acknowledged() -> set[str]:
    """Alarms that this session has just acknowledged: the topic may say so a moment later."""
    return {
        id_
        for asked in _all_asked().values()
        for one in asked
        if one.done
        and one.age_s < APPLIED_S
        and all(reply.outcome is Outcome.APPLIED for reply in one.replies)
        for order in one.orders
        if isinstance(order.action, Acknowledge)
        for id_ in order.action.alarms
    }


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
    """Show a button that sends ``orders`` when it is pressed, once for each press; spent while one waits."""
    sent = bool(orders) and all(map(_sent, orders))
    st.button(
        f"Sent: {plain(label)}" if sent else plain(label),
        key=key,
        type=kind,
        disabled=disabled or sent,
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
    seen = _acknowledged()
    for one in waiting(alarms):
        if one.id not in seen:
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
        if alarm.id in _acknowledged():
            # In the place of the button, until the alarm itself says so.
            st.caption("acknowledged")
        else:
            button("Acknowledge", scope, orders, f"{key}-{alarm.id}")
    paused_s = left_s(alarm.audio_paused_until_ns)
    if paused_s > 0 and alarm.state is not AlarmState.ENDED:
        st.caption(f"sound paused {countdown(paused_s)}")


def alarm_line(
    alarm: Alarm,
    since_ns: int | None,
    with_bed: bool = False,
    width: int | Literal["content"] = "content",
) -> None:
    """Show an alarm in the colour of its priority; one that somebody has seen has a frame only.

    So has one that nothing is known of since ``since_ns`` (:func:`dashboard.alarm_known.unknown_since`).
    """
    text = f"{alarm.bed}  {alarm_text(alarm)}" if with_bed else alarm_text(alarm)
    if since_ns is not None:
        text += f" · {state_words(alarm, since_ns)}"
    plainly = since_ns is not None or alarm.state is AlarmState.ACKNOWLEDGED
    style = "border:1px solid" if plainly else _COLOURS[alarm.priority]
    st.html(f'<span style="{_BADGE};{style}">{html.escape(text)}</span>', width=width)


def left_s(until_ns: int | None) -> float:
    """Seconds until a pause ends; 0 or less where none is on."""
    return 0.0 if until_ns is None else until_ns / NS_PER_S - time.time()
