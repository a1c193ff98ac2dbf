"""The editor of a bed's alarm settings: a table, what was changed in it, and the button that sends it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

import pandas as pd
import streamlit as st

from dashboard.asking import Order
from dashboard.controls import may_command, press, replies
from dashboard.limit_changes import (
    EDITED,
    RESET,
    Change,
    Row,
    changes,
    problems,
    quieter,
    table,
    widest_first,
)
from dashboard.snapshots import WardSnapshot
from dashboard.sound_controls import RENEWED_S
from dashboard.words import count, plain
from inference.catalog import load_catalogue
from inference.types import Priority

Read = Callable[[], WardSnapshot]

HEIGHT: Final = 460
"""Pixels of the table: it scrolls, the changes under it stay in sight."""
_COLUMNS: Final = {
    "name": st.column_config.TextColumn("Alarm", pinned=True, width=265),
    "enabled": st.column_config.CheckboxColumn("On", width=65),
    "priority": st.column_config.SelectboxColumn(
        "Priority", options=list(Priority), required=True, width=105
    ),
    "limit": st.column_config.NumberColumn("Limit", width=70),
    "unit": st.column_config.TextColumn("Unit", width=60),
    "beats": st.column_config.NumberColumn("Beats", width=70, help="How many in a row make the alarm."),
    "bounds": st.column_config.TextColumn("Least to most", width=200),
    "on_delay_s": st.column_config.NumberColumn("On-delay (s)", width=110),
    "off_delay_s": st.column_config.NumberColumn("Off-delay (s)", width=110),
    "source": st.column_config.TextColumn("Set by", width=75),
    RESET: st.column_config.CheckboxColumn(
        "Reset", width=85, help="Unset what was set for this bed: profile, site and ward count again."
    ),
    "condition": st.column_config.TextColumn("Raised when"),
    "key": st.column_config.TextColumn("Called on the wire"),
}


@dataclass(frozen=True, slots=True)
class _Opened:
    """A table as it was opened; ``round`` makes its widgets anew."""

    rows: tuple[Row, ...]
    round: int


def limits_editor(read_snapshot: Read, bed: str) -> None:
    """Show all alarm settings of a bed to edit; viewers see them only.

    The table stands still while it is edited. Where the bed is set otherwise meanwhile, by this editor or by
    somebody else, an untouched table is renewed; of a touched one it is said.
    """
    now = _rows(read_snapshot, bed)
    if now is None:
        st.caption("No worker has said yet how this bed is set.")
        _watch(read_snapshot, bed)
        return
    if not may_command(read_snapshot()):
        # Nothing is edited: the watch compares with what is shown here.
        st.session_state.pop(_key(bed), None)
        st.session_state.pop(f"{_key(bed)}-touched", None)
        st.dataframe(_frame(now).drop(columns=RESET), column_config=_COLUMNS, hide_index=True, height=HEIGHT)
        _watch(read_snapshot, bed)
        return
    opened = st.session_state.get(_key(bed))
    if not isinstance(opened, _Opened):
        opened = st.session_state[_key(bed)] = _Opened(now, 0)
    elif opened.rows != now and not _touched(bed):
        opened = st.session_state[_key(bed)] = _Opened(now, opened.round + 1)

    @st.fragment
    def still() -> None:
        _editor(read_snapshot, bed)

    still()
    _watch(read_snapshot, bed)


def _key(bed: str) -> str:
    return f"limits-{bed}"


def _touched(bed: str) -> bool:
    return bool(st.session_state.get(f"{_key(bed)}-touched"))


def _rows(read: Read, bed: str) -> tuple[Row, ...] | None:
    shown = read().bed(bed)
    if shown is None or shown.status is None:
        return None
    return table(load_catalogue(), shown.status, [stream.kind.value for stream in shown.streams])


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    found = pd.DataFrame([{**asdict(row), RESET: False} for row in rows], columns=list(_COLUMNS))
    # A column without a single limit would be one of objects, which cannot be edited as numbers.
    return found.astype({"limit": float, "beats": float, "on_delay_s": float, "off_delay_s": float})


def _editor(read: Read, bed: str) -> None:
    opened = st.session_state.get(_key(bed))
    if not isinstance(opened, _Opened):
        return
    edited = st.data_editor(
        _frame(opened.rows),
        key=f"{_key(bed)}-table-{opened.round}",
        column_config=_COLUMNS,
        disabled=[name for name in _COLUMNS if name not in (*EDITED, RESET)],
        hide_index=True,
        height=HEIGHT,
        width="stretch",
        placeholder="–",
    )
    cells = [{str(name): cell for name, cell in row.items()} for row in edited.to_dict("records")]
    asked = changes(opened.rows, cells)
    st.session_state[f"{_key(bed)}-touched"] = bool(asked)
    if not asked:
        st.caption("Change a value; nothing is sent before you apply it.")
        return
    st.markdown(f"**{count(len(asked), 'alarm')} of {plain(bed)} to be changed**")
    st.markdown("\n".join(f"- {plain(line)}" for change in asked for line in change.lines))
    wrong = problems(load_catalogue(), opened.rows, asked)
    for line in wrong:
        st.error(plain(line))
    ready = _confirmed(bed, asked) and not wrong
    apply, drop, _ = st.columns([2, 2, 4])
    with apply:
        st.button(
            "Apply",
            key=f"{_key(bed)}-apply",
            type="primary",
            disabled=not ready,
            on_click=_apply,
            args=(read, bed, asked),
            width="stretch",
        )
    with drop:
        st.button(
            "Drop the changes", key=f"{_key(bed)}-drop", on_click=_open, args=(read, bed), width="stretch"
        )


def _confirmed(bed: str, asked: Sequence[Change]) -> bool:
    """Ask once more before an alarm of high priority is made quieter."""
    lost = quieter(asked)
    if not lost:
        return True
    # Confirmed is what stands there: another change asks anew.
    mark = hashlib.sha256("\n".join(lost).encode()).hexdigest()[:12]
    words = "; ".join(lost)
    return st.checkbox(plain(f"I confirm for {bed}: {words}."), key=f"{_key(bed)}-sure-{mark}")


def _apply(read: Read, bed: str, asked: Sequence[Change]) -> None:
    now = {row.key: row for row in _rows(read, bed) or ()}
    if any(now.get(change.before.key) != change.before for change in asked):
        # The list compared with values that hold no more; the watch says so.
        return
    press(_key(bed), f"Settings of {bed}", [Order(change.action, bed) for change in widest_first(asked)])
    _open(read, bed)


def _open(read: Read, bed: str) -> None:
    """Show the table as the bed is set now."""
    held = st.session_state.get(_key(bed))
    now = _rows(read, bed)
    if isinstance(held, _Opened) and now is not None:
        st.session_state[_key(bed)] = _Opened(now, held.round + 1)
        st.session_state[f"{_key(bed)}-touched"] = False


def _watch(read: Read, bed: str) -> None:
    """Show answers, and see whether the bed is set otherwise than the table says; live."""
    shown = _rows(read, bed)

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        opened, now = st.session_state.get(_key(bed)), _rows(read, bed)
        held = opened.rows if isinstance(opened, _Opened) else shown
        other = now is not None and now != held
        if other and not _touched(bed):
            # Before anything is drawn: what this run drew would stand beside what the page draws anew.
            st.rerun()
        replies(_key(bed))
        if not other:
            return
        st.warning(
            "The settings of this bed were changed meanwhile: your changes cannot be applied to what you see."
        )
        if st.button("Drop my changes and show the settings", key=f"{_key(bed)}-reload"):
            _open(read, bed)
            st.rerun()

    renewed()
