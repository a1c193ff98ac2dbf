"""The review of one alarm: its strip, life, delays and reasons, and the reviewer's label.

It runs with the page, not with the clock: only its first line is renewed, so that a form that is being
filled in and what was chosen stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import streamlit as st

from dashboard import access, access_log, alarm_life, alarm_lists, controls, shared
from dashboard.alarm_known import newer, state_words, unknown_since
from dashboard.alarm_strip import again_when, show_strip
from dashboard.snapshots import WardSnapshot
from dashboard.strip_files import strip_files
from dashboard.strip_sheet import Drawing
from dashboard.summary import alarm_text
from dashboard.views import device_time
from dashboard.words import plain
from inference.errors import StoreError
from inference.store import Store
from inference.store_labels import LONGEST_COMMENT, AlarmLabel, Label
from inference.strips import Strip
from inference.types import Alarm, AlarmState

SCOPE: Final = "review"
RENEWED_S: Final = 1.0
_SAID: Final = "label-said"


@dataclass(frozen=True, slots=True)
class _Reviewed:
    """What is known of the alarm that is reviewed.

    ``store`` is ``None`` where the alarm is not in it, ``why`` says why not: its newest step is known alone.
    """

    alarm: Alarm
    store: Store | None
    why: str
    label: AlarmLabel | None
    strip: Strip | None


def review(alarm_id: str, read_snapshot: Callable[[], WardSnapshot], store: Store | shared.Missing) -> None:
    """Show the review of an alarm.

    Raises
    ------
    StoreError
        The database does not answer.
    """
    found = _find(alarm_id, read_snapshot(), store)
    if found is None:
        st.warning(plain(f"Alarm {alarm_id} is neither on the topic nor in the store."))
        st.button("Close", on_click=alarm_lists.choose, args=(None,), key="review-close")
        return
    title, close = st.columns([9, 1], vertical_alignment="bottom")
    title.subheader(plain(f"{found.alarm.bed}   {alarm_text(found.alarm)}"))
    close.button("Close", on_click=alarm_lists.choose, args=(None,), key="review-close", width="stretch")
    _now_line(found.alarm, read_snapshot)
    left, right = st.columns([3, 1])
    with left:
        drawing = _strip_part(found)
        alarm_life.show_life(found.alarm, found.store)
    with right:
        _label_part(found)
        if drawing is not None:
            _export_part(drawing, found)
        alarm_life.show_facts(found.alarm, found.store)


def _find(alarm_id: str, snapshot: WardSnapshot, store: Store | shared.Missing) -> _Reviewed | None:
    """Newest step of the alarm: the topic is ahead of the store."""
    live = next((alarm for alarm in snapshot.alarms if alarm.id == alarm_id), None)
    stored = None if isinstance(store, shared.Missing) else store.alarm(alarm_id)
    steps = [alarm for alarm in (live, None if stored is None else stored.alarm) if alarm is not None]
    if not steps:
        return None
    alarm = newer(steps[0], steps[-1])
    if isinstance(store, shared.Missing):
        return _Reviewed(alarm, None, store.why, None, None)
    if stored is None:
        return _Reviewed(alarm, None, "the recorder has not written this alarm yet", None, None)
    return _Reviewed(alarm, store, "", stored.label, store.strip_of(alarm_id))


def _now_line(alarm: Alarm, read_snapshot: Callable[[], WardSnapshot]) -> None:
    """Where the alarm is in its life now, with its buttons."""

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        above, below = st.container(), st.container()
        with below:
            controls.replies(SCOPE)
        snapshot = read_snapshot()
        now = newer(alarm, next((one for one in snapshot.alarms if one.id == alarm.id), None))
        with above:
            words, buttons = st.columns([5, 1], vertical_alignment="center")
        state = state_words(now, unknown_since(now, snapshot, time.time_ns()))
        ended = f", ended {device_time(now.ended_ns)} UTC" if now.ended_ns is not None else ""
        said = f"{now.priority} priority · {state} · onset {device_time(now.onset_ns)} UTC{ended}"
        words.caption(plain(said))
        if now.state is not AlarmState.ENDED and access.current_user().may_command and snapshot.connected:
            with buttons:
                controls.alarm_buttons(now, "reviewed", SCOPE)

    renewed()


def _strip_part(found: _Reviewed) -> Drawing | None:
    """Show the strip; return what was drawn."""
    strip, alarm = found.strip, found.alarm
    if strip is None:
        st.info(_no_strip(found))
        store = found.store
        if store is not None:
            again_when(lambda: _has_strip(store, alarm.id))
        return None
    return show_strip(strip, alarm)


def _no_strip(found: _Reviewed) -> str:
    if found.store is None:
        return plain(f"No strip: {found.why}.")
    return "No strip yet: the recorder writes it when all signals reach its end, 10 s after the alarm."


def _has_strip(store: Store, alarm_id: str) -> bool:
    try:
        stored = store.alarm(alarm_id)
    except StoreError:
        return False
    return stored is not None and stored.strip_complete is not None


def _label_part(found: _Reviewed) -> None:
    """Show what reviewers said, with a form to say more."""
    st.markdown("**Was this alarm true?**")
    # Where the store is away nobody waits for it a second time.
    writer = shared.Missing(found.why) if found.store is None else shared.label_writer()
    user = access.current_user()
    if found.store is None or isinstance(writer, shared.Missing):
        why = writer.why if isinstance(writer, shared.Missing) else found.why
        st.caption(plain(f"Labels are kept in the recorder's store: {why}."))
        return
    _history(found.store, found.alarm.id)
    if not user.may_command:
        st.caption(plain(f"{user.name} ({user.role}) looks only: clinicians and admins label."))
        return
    alarm_id = found.alarm.id
    with st.form(f"label-{alarm_id}", clear_on_submit=True, border=True):
        st.radio("Label", list(Label), horizontal=True, index=None, key=f"label-word-{alarm_id}")
        st.text_area("Why (optional)", max_chars=LONGEST_COMMENT, height=80, key=f"label-why-{alarm_id}")
        # In a callback: the list above shows the new label in the run that follows.
        words = plain(f"Save as {user.name}")
        st.form_submit_button(words, on_click=save_label, args=(alarm_id,), width="stretch")


def save_label(alarm_id: str) -> None:
    """Store what the form says, by the name of who is signed in now."""
    user, writer = access.current_user(), shared.label_writer()
    word = st.session_state.get(f"label-word-{alarm_id}")
    comment = st.session_state.get(f"label-why-{alarm_id}") or ""
    if not user.may_command or isinstance(writer, shared.Missing):
        access_log.note("refused", user.name, asked="label", alarm=alarm_id)
        st.session_state[_SAID] = ("error", "Not saved: clinicians and admins label; sign in again.")
        return
    if word is None:
        st.session_state[_SAID] = ("error", "Not saved: choose true, false or unclear.")
        return
    try:
        label = writer.add(alarm_id, Label(word), reviewer=user.name, comment=comment)
    except StoreError as error:
        st.session_state[_SAID] = ("error", f"Not saved: {error}")
        return
    access_log.note("label", user.name, alarm=alarm_id, label=str(label.label))
    st.session_state[_SAID] = ("success", f"Saved: {label.label} by {label.reviewer}.")


def _history(store: Store, alarm_id: str) -> None:
    """Show all labels of the alarm, the one that counts first."""
    kind, words = st.session_state.pop(_SAID, (None, ""))
    if kind == "error":
        st.error(plain(words))
    elif kind == "success":
        st.success(plain(words))
    labels = store.labels(alarm_id)
    if not labels:
        st.caption("Nobody has labelled it yet.")
    for number, label in enumerate(labels):
        said = plain(f"{label.label} by {label.reviewer}, {device_time(label.labelled_ns)} UTC")
        comment = f"  \n{plain(label.comment)}" if label.comment else ""
        if number == 0:
            st.markdown(f"**{said}**{comment}")
        else:
            st.caption(f"before: {said}{comment}")


def _export_part(drawing: Drawing, found: _Reviewed) -> None:
    """Show buttons to take the strip away; each download is noted."""
    st.markdown("**Take away**")
    user = access.current_user().name
    columns = st.columns(4, gap="small")
    for column, file in zip(columns, strip_files(drawing, found.label), strict=True):
        column.download_button(
            file.words,
            data=file.make,
            file_name=file.name,
            mime=file.mime,
            key=f"take-{file.words}",
            on_click=_note_export,
            args=(user, found.alarm.id, file.name),
            width="stretch",
        )


def _note_export(user: str, alarm_id: str, name: str) -> None:
    access_log.note("export", user, alarm=alarm_id, file=name)
