"""Buttons that command: one press is one command of the signed-in user, answered where it was made.

A press goes out in the callback of its button, which Streamlit runs once; a page that runs again sends
nothing. It waits in a thread of its own, so that live traces go on; :func:`replies`, in a fragment that runs
every second, says that it waits and then what came of it.
"""

from __future__ import annotations

import hashlib
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
from inference.types import Alarm, AlarmState, Bed
from ingest.types import NS_PER_S

__all__ = [
    "acknowledge_all",
    "alarm_buttons",
    "ask",
    "button",
    "may_command",
    "press",
    "replies",
    "sound_controls",
    "ward_controls",
    "waiting",
]

RENEWED_S: Final = 1.0
PAUSES_S: Final = (120, 60, 300)
"""Pauses to choose from, the usual one first."""
BRIEFLY_S: Final = 0.3
"""Most answers come within it: the run that follows the press shows them."""
APPLIED_S: Final = 10.0
"""So long it stands that something was done; that it was not stands longer."""
REFUSED_S: Final = 60.0
MOST_LISTED: Final = 12
"""Alarms that a ward's list shows, and so acknowledges at once."""
_ASKED: Final = "asked"


def may_command(snapshot: WardSnapshot) -> bool:
    """Whether the user can command now; where not, the page says why, and the way out."""
    user = access.current_user()
    if not user.may_command:
        st.caption(
            plain(f"{user.name} ({user.role}) looks only: ")
            + "clinicians and admins acknowledge, pause, admit and set limits."
        )
        return False
    if not snapshot.connected:
        # Asked now, the broker would hold this page.
        st.warning(f"No commands: the broker has not answered for {snapshot.silent_s:.0f} s.")
        return False
    sender = shared.sender()
    if isinstance(sender, shared.Missing):
        st.warning(plain(f"{sender.why[:1].upper()}{sender.why[1:]}"))
        return False
    return True


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
    hint: str | None = None,
) -> None:
    """Show a button that sends ``orders`` when it is pressed, once for each press."""
    st.button(
        plain(label),
        key=key,
        type=kind,
        disabled=disabled,
        help=None if hint is None else plain(hint),
        on_click=press,
        args=(scope, label, tuple(orders)),
        width="stretch",
    )


def waiting(alarms: Iterable[Alarm]) -> list[Alarm]:
    """Return the alarms that nobody has acknowledged."""
    return [one for one in alarms if one.state in (AlarmState.ACTIVE, AlarmState.LATCHED)]


def acknowledge_all(alarms: Sequence[Alarm], scope: str, key: str) -> None:
    """Show a button that acknowledges exactly ``alarms``, which stand on the screen.

    The button's key hangs on what they are: a press on a button that was drawn before another alarm came is
    that button's, and acknowledges what stood there.
    """
    asked = waiting(alarms)
    by_bed: dict[str, list[str]] = {}
    for one in asked:
        by_bed.setdefault(one.bed, []).append(one.id)
    mark = hashlib.sha256("\n".join(sorted(one.id for one in asked)).encode()).hexdigest()[:12]
    button(
        f"Acknowledge {count(len(asked), 'alarm')}",
        scope,
        [Order(Acknowledge(ids), bed) for bed, ids in by_bed.items()],
        f"{key}-acknowledge-{mark}",
        kind="primary",
        disabled=not asked,
        hint="Exactly those that are listed. A latched alarm that is over ends.",
    )


def alarm_buttons(alarm: Alarm, key: str, scope: str = "alarms") -> None:
    """Show what can be done with one alarm: acknowledge it, or who has; and its pause as it runs down.

    To be called in a fragment that also calls :func:`replies`, and only where :func:`may_command`.
    """
    if alarm.state is AlarmState.ENDED:
        return
    if alarm.state is AlarmState.ACKNOWLEDGED:
        st.caption(f"seen by {plain(alarm.acknowledged_by or 'staff')}")
    else:
        orders = [Order(Acknowledge([alarm.id]), alarm.bed)]
        button("Acknowledge", scope, orders, f"{key}-{alarm.id}", hint=f"{alarm.bed}: {alarm_text(alarm)}")
    left_s = _left_s(alarm.audio_paused_until_ns)
    if left_s > 0:
        st.caption(f"🔕 {countdown(left_s)}")


def _left_s(until_ns: int | None) -> float:
    return 0.0 if until_ns is None else until_ns / NS_PER_S - time.time()


def sound_controls(
    statuses: Sequence[Bed], scope: str, key: str, *, bed: str | None = None, ward: str | None = None
) -> None:
    """Show whether the sound of a bed or ward is paused and for how long, with buttons to change it.

    Parameters
    ----------
    statuses : sequence of Bed
        How the beds concerned are set.
    scope, key : str
        Where the answer is shown; what the buttons' keys begin with.
    bed, ward : str
        Whose sound; one of them.
    """
    paused = [one for one in statuses if _left_s(one.audio_paused_until_ns) > 0]
    if paused:
        st.markdown(_paused_words(paused, None if bed is not None else len(statuses)))
    columns = st.columns(len(PAUSES_S) + 1)
    for column, seconds in zip(columns, PAUSES_S, strict=False):
        with column:
            label = f"Pause sound {seconds} s"
            hint = "New alarms that are graver than what sounds now sound all the same."
            order = Order(PauseAudio(float(seconds)), bed, ward)
            button(label, scope, [order], f"{key}-pause-{seconds}", hint=hint)
    with columns[-1]:
        order = Order(ResumeAudio(), bed, ward)
        button("Resume sound", scope, [order], f"{key}-resume", disabled=not paused)


def _paused_words(paused: Sequence[Bed], n_beds: int | None) -> str:
    last = max(paused, key=lambda one: one.audio_paused_until_ns or 0)
    where = "" if n_beds in (None, len(paused)) else f" at {len(paused)} of {count(n_beds or 0, 'bed')}"
    names = ", ".join(sorted({one.audio_paused_by or "staff" for one in paused}))
    return f"🔕 **Sound paused{where}: {countdown(_left_s(last.audio_paused_until_ns))}** by {plain(names)}"


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
                st.caption(f"Sound of ward {plain(ward)}")
                of_ward = [one for one in statuses if one.ward == ward]
                sound_controls(of_ward, scope, f"{scope}-{ward}", ward=ward)
            alarms = waiting(snapshot.alarms)
            listed = alarms[:MOST_LISTED]
            acknowledge_all(listed, scope, scope)
            st.markdown("  \n".join(plain(f"{one.bed}  {alarm_text(one)}") for one in listed))
            if len(alarms) > len(listed):
                st.caption(f"{len(alarms) - len(listed)} more wait; they are listed when these are seen.")
        replies(scope)

    renewed()
