"""Which past alarms are shown: the filter's widgets, pages, and the same filter over alarms in memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import shared
from dashboard.words import count, plain
from inference.catalog import load_catalogue
from inference.store import Store, StoredAlarm
from inference.store_labels import Label
from inference.store_query import NO_LABEL, AlarmFilter
from inference.types import Alarm, AlarmState, Priority
from ingest.types import NS_PER_S

PAGE_ROWS: Final = 25
SPANS: Final[dict[str, float | None]] = {
    "Last hour": 1.0,
    "Last 24 hours": 24.0,
    "Last 7 days": 7 * 24.0,
    "Last 30 days": 30 * 24.0,
    "All": None,
}
FROM_TO: Final = "From … to …"
WAY_OUT: Final = (
    "Live alarms and traces go on. It is looked for every few seconds; start the database or `wardwave "
    "record`, or mend WARDWAVE_RECORDER__URL."
)
LABEL_WORDS: Final = {
    Label.TRUE.value: "true",
    Label.FALSE.value: "false",
    Label.UNCLEAR.value: "unclear",
    NO_LABEL: "not labelled",
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of past alarms, and how many there are in all."""

    alarms: tuple[StoredAlarm, ...]
    number: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least one."""
        return max(1, -(-self.total // PAGE_ROWS))


@st.cache_data(show_spinner=False)
def _kinds() -> list[str]:
    return sorted({spec.kind for spec in load_catalogue().alarms})


@st.cache_data(show_spinner=False, ttl=60.0)
def _stored_beds(_store: Store) -> list[str]:
    return _store.beds()


def choose_filter(store: Store | shared.Missing, alarms: Sequence[Alarm]) -> AlarmFilter:
    """Show the filter and return it; times are UTC by the devices' clocks.

    Raises
    ------
    StoreError
        The database does not answer.
    """
    stored = [] if isinstance(store, shared.Missing) else _stored_beds(store)
    beds = sorted({*stored, *(alarm.bed for alarm in alarms)})
    kinds = sorted({*_kinds(), *(alarm.kind for alarm in alarms)})
    columns = st.columns([3, 3, 2, 2, 2, 2])
    # Choices are shown as text, not as Markdown.
    wanted_beds = columns[0].multiselect("Beds", beds, key="alarms-beds", placeholder="all beds")
    wanted_kinds = columns[1].multiselect("Kinds", kinds, key="alarms-kinds", placeholder="all kinds")
    priorities = columns[2].multiselect(
        "Priority", list(Priority), key="alarms-priorities", placeholder="all"
    )
    states = columns[3].multiselect("State", list(AlarmState), key="alarms-states", placeholder="all")
    span = columns[4].selectbox("Raised (UTC)", [*SPANS, FROM_TO], index=1, key="alarms-span")
    # Labels are in the store; the page says so where there is none.
    labels = [] if isinstance(store, shared.Missing) else _wanted_labels(columns[5])
    since_ns, until_ns = _bounds(span)
    return AlarmFilter(
        beds=tuple(wanted_beds),
        kinds=tuple(wanted_kinds),
        priorities=tuple(priorities),
        states=tuple(states),
        labels=tuple(NO_LABEL if label == NO_LABEL else Label(label) for label in labels),
        since_ns=since_ns,
        until_ns=until_ns,
    )


def _wanted_labels(column: DeltaGenerator) -> list[str]:
    return column.multiselect(
        "Label",
        list(LABEL_WORDS),
        key="alarms-labels",
        format_func=LABEL_WORDS.__getitem__,
        placeholder="all",
    )


def _bounds(span: str) -> tuple[int | None, int | None]:
    if span != FROM_TO:
        hours = SPANS[span]
        return None if hours is None else time.time_ns() - round(hours * 3_600 * NS_PER_S), None
    left, right = st.columns(2)
    since = left.datetime_input("From (UTC)", value=None, key="alarms-from")
    until = right.datetime_input("To (UTC)", value=None, key="alarms-to")
    return _ns(since), _ns(until)


def _ns(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.replace(tzinfo=UTC).timestamp()) * NS_PER_S


def fits(alarm: Alarm, wanted: AlarmFilter) -> bool:
    """Whether an alarm in memory fits a filter, labels aside: they are in the store."""
    return (
        (not wanted.beds or alarm.bed in wanted.beds)
        and (not wanted.kinds or alarm.kind in wanted.kinds)
        and (not wanted.priorities or alarm.priority in wanted.priorities)
        and (not wanted.states or alarm.state in wanted.states)
        and (wanted.since_ns is None or alarm.raised_ns >= wanted.since_ns)
        and (wanted.until_ns is None or alarm.raised_ns < wanted.until_ns)
    )


def read_page(store: Store | shared.Missing, alarms: Sequence[Alarm], wanted: AlarmFilter) -> Page:
    """Read the page that was turned to; without a store, of what the topic held when the dashboard began.

    Raises
    ------
    StoreError
        The database does not answer.
    """
    if isinstance(store, shared.Missing):
        found = sorted((alarm for alarm in alarms if fits(alarm, wanted)), key=lambda alarm: -alarm.raised_ns)
        total = len(found)
    else:
        total = store.count(wanted)
    number = min(max(0, int(st.session_state.get("alarms-page", 0))), max(0, -(-total // PAGE_ROWS) - 1))
    begin = number * PAGE_ROWS
    if isinstance(store, shared.Missing):
        shown = tuple(StoredAlarm(alarm, "", None) for alarm in found[begin : begin + PAGE_ROWS])
    else:
        shown = tuple(store.find(wanted, limit=PAGE_ROWS, offset=begin))
    return Page(shown, number, total)


def turn_pages(page: Page) -> None:
    """Show which page of how many this is, with buttons to turn."""
    words, back, on = st.columns([6, 1, 1])
    words.caption(f"{count(page.total, 'alarm')} · page {page.number + 1} of {page.pages}")

    def turn(by: int) -> None:
        st.session_state["alarms-page"] = page.number + by

    back.button(
        "Newer", key="alarms-newer", disabled=page.number == 0, on_click=turn, args=(-1,), width="stretch"
    )
    last = page.number + 1 >= page.pages
    on.button("Older", key="alarms-older", disabled=last, on_click=turn, args=(1,), width="stretch")


def missing_words(missing: shared.Missing, n_hours: int) -> str:
    """What is shown without a store, and how to get more; escaped for Markdown."""
    return plain(
        f"Shown are the last {n_hours} h of the alarm topic, without strips and labels: {missing.why}. "
        f"{WAY_OUT}"
    )
