"""An alarm's life step by step, its delays and reasons, and verdicts on devices' alarms of the same time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import streamlit as st

from dashboard.views import device_time
from dashboard.words import plain
from inference.store import Store
from inference.types import Alarm, AlarmState, Audit, Verdict
from ingest.types import NS_PER_S

AROUND_NS: Final = 30 * NS_PER_S
"""So near to an alarm's life, what staff did at its bed and what devices said belongs to it."""

ACTIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Step:
    """Something in an alarm's life: when (UTC, ns), what, and who."""

    time_ns: int
    what: str
    who: str


def steps_of(alarm: Alarm, life: list[Alarm], actions: list[Audit]) -> list[Step]:
    """Everything that happened to an alarm, in order.

    Parameters
    ----------
    alarm : Alarm
        Its newest step.
    life : list of Alarm
        Every step of it, in order; empty where only the newest one is known.
    actions : list of Audit
        What staff did at its bed meanwhile.
    """
    steps = [
        Step(alarm.onset_ns, "onset (device time)", ""),
        Step(alarm.raised_ns, "raised (device time)", ""),
    ]
    known = life or [alarm]
    steps.append(Step(known[0].emitted_ns, f"{known[0].state} on the topic (worker's clock)", "worker"))
    for before, after in pairwise(known):
        words = _change(before, after)
        if words:
            steps.append(Step(after.emitted_ns, words, _who(before, after)))
    if not life and alarm.acknowledged_ns is not None:
        steps.append(Step(alarm.acknowledged_ns, "acknowledged", alarm.acknowledged_by or "staff"))
    if not life and alarm.escalated_ns is not None:
        steps.append(Step(alarm.escalated_ns, "escalated: nobody had acknowledged it", "worker"))
    if alarm.ended_ns is not None:
        steps.append(Step(alarm.ended_ns, "condition over (device time)", ""))
    steps += [
        Step(
            one.applied_ns,
            " · ".join(part for part in (one.action, one.outcome, one.detail) if part),
            one.user,
        )
        for one in actions
    ]
    return sorted(steps, key=lambda step: step.time_ns)


def _change(before: Alarm, after: Alarm) -> str:
    changes = []
    if after.state is not before.state:
        changes.append(str(after.state))
    if after.priority is not before.priority:
        changes.append(f"now {after.priority} priority")
    if after.escalated_ns is not None and before.escalated_ns is None:
        changes.append("escalated: nobody had acknowledged it")
    if after.audio_paused_until_ns != before.audio_paused_until_ns:
        until = after.audio_paused_until_ns
        changes.append("sound on again" if until is None else f"sound paused until {device_time(until)} UTC")
    if after.message != before.message:
        changes.append(after.message)
    new = [reason for reason in after.reasons if reason not in before.reasons]
    return "; ".join([*changes, *new])


def _who(before: Alarm, after: Alarm) -> str:
    acknowledged = after.state is AlarmState.ACKNOWLEDGED or after.acknowledged_by != before.acknowledged_by
    return after.acknowledged_by or "staff" if acknowledged else "worker"


def show_life(alarm: Alarm, store: Store | None) -> None:
    """Show each step with who and when.

    Raises
    ------
    StoreError
        The database does not answer. So for the other function, too.
    """
    st.markdown("**Life**")
    life = [] if store is None else store.life(alarm.id)
    steps = steps_of(alarm, life, [] if store is None else _actions(alarm, store))
    rows = [
        {"When (UTC)": f"{device_time(step.time_ns)}.{step.time_ns // 100_000_000 % 10}", "What": step.what}
        | {"Who": step.who}
        for step in steps
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    if store is None:
        st.caption("Only its newest step is known here: the recorder keeps every one.")


def _actions(alarm: Alarm, store: Store) -> list[Audit]:
    """What staff did at the bed from the alarm's onset to its end."""
    since_ns = min(alarm.onset_ns, alarm.raised_ns)
    until_ns = alarm.emitted_ns + AROUND_NS
    found = store.audit(bed=alarm.bed, since_ns=since_ns, until_ns=until_ns, limit=ACTIONS)
    # Who acknowledged it is in its own steps; the others' acknowledgements are not its life.
    return [one for one in found if one.action != "acknowledge"]


def show_facts(alarm: Alarm, store: Store | None) -> None:
    """Show value and limit, delays, reasons, and verdicts on devices' alarms."""
    st.markdown("**Delay**")
    delay = alarm.delay
    total = delay.measurement_s + delay.configured_s + delay.system_s
    rows = [
        {"Part": part, "s": f"{seconds:.2f}"}
        for part, seconds in (
            ("measurement (window)", delay.measurement_s),
            ("configured", delay.configured_s),
            ("system", delay.system_s),
            ("total", total),
        )
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    if alarm.value is not None or alarm.limit is not None:
        unit = f" {alarm.unit}" if alarm.unit else ""
        parts = [("value", alarm.value), ("limit", alarm.limit)]
        said = ", ".join(f"{name} {number:g}{unit}" for name, number in parts if number is not None)
        st.caption(plain(said))
    st.markdown("**Reasons**")
    for reason in alarm.reasons:
        st.markdown(f"- {plain(reason)}")
    if not alarm.reasons:
        st.caption("None given: the condition alone.")
    for verdict in [] if store is None else _verdicts(alarm, store):
        _show_verdict(verdict)
    with st.expander("Record"):
        st.caption(plain(f"{alarm.id} · signal {alarm.signal} · raw offset {alarm.raw_offset}"))


def _verdicts(alarm: Alarm, store: Store) -> list[Verdict]:
    last_ns = max(alarm.raised_ns, alarm.ended_ns or alarm.raised_ns)
    return store.verdicts(bed=alarm.bed, since_ns=alarm.onset_ns - AROUND_NS, until_ns=last_ns + AROUND_NS)


def _show_verdict(verdict: Verdict) -> None:
    """Show whether a device's own alarm stands."""
    judged = {None: "could not be judged", True: "stands", False: "is probably false"}[verdict.stands]
    share = "" if verdict.probability is None else f" ({verdict.probability:.0%} likely true)"
    st.markdown(f"**Alarm of {plain(verdict.device)}**")
    st.markdown(
        plain(f"{verdict.kind} at {device_time(verdict.time_ns)} UTC {judged}{share}. {verdict.detail}")
    )
    for reason in verdict.reasons:
        st.markdown(f"- {plain(reason)}")
