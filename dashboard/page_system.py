"""Whether the system can be trusted now, and what that rests on."""

from __future__ import annotations

import streamlit as st

from dashboard import access, access_log, page_sign_in, shared, system_rows, system_view, trust, words
from dashboard.access import Role
from dashboard.system_state import SystemSnapshot
from dashboard.trust import Broker
from inference.status import LIBRARIES
from ingest import version

RENEWED_S = 2.0
TABLE_HEIGHT = 300
DASHBOARD_LIBRARIES = ("streamlit", *LIBRARIES)


@st.cache_resource(show_spinner=False)
def own_versions() -> dict[str, str]:
    """Versions that this server runs."""
    return {
        "Wardwave": version.installed(),
        "Commit": version.code_commit("dashboard", "inference", "ingest", "models"),
        **version.libraries(*DASHBOARD_LIBRARIES),
    }


def show() -> None:
    """Show the page."""
    feed, settings = shared.feed(), shared.settings()
    topics = settings.topics
    names = {
        topics.raw: "what devices send",
        topics.predictions: "what the networks say",
        topics.vitals: "the numbers beside the traces",
        topics.alarms: "alarms",
        topics.beds: "how beds are set",
        topics.status: "what this page shows",
        topics.dead_letters: "refused records",
    }

    # By itself: the page's own style hides elements that bring one.
    st.html(system_view.STYLE)

    @st.fragment(run_every=RENEWED_S)
    def renewed() -> None:
        snapshot, ward = feed.system.snapshot(), feed.ward.snapshot()
        broker = Broker(ward.connected, ward.silent_s, ward.problem)
        system_view.head(trust.judge(snapshot, broker), system_rows.figures(snapshot))
        tables(snapshot)
        left, right = st.columns([2, 3])
        with left:
            rows = system_rows.topic_rows(names, feed.topics, connected=ward.connected)
            line = system_view.broker_line(broker, settings.kafka.bootstrap_servers)
            system_view.table("Broker and topics that this dashboard reads", rows, "None.", line)
        with right:
            rows = system_rows.version_rows(snapshot, own_versions())
            system_view.table("Versions", rows, "None.")

    renewed()
    if access.current_user().role is Role.ADMIN:
        with st.expander("Who did what at the dashboards (admins only)"):
            access_log.show_log()
        with st.expander("Users (admins only)"):
            page_sign_in.show_users()
    st.caption(words.NOTICE)


def tables(snapshot: SystemSnapshot) -> None:
    """Show what the processes say; docs/system.md tells what each figure means."""
    rows = system_rows.process_rows(snapshot)
    system_view.table("Processes", rows, "No process has said anything yet: start `wardwave infer`.")
    left, right = st.columns([5, 6])
    with left:
        rows = system_rows.partition_rows(snapshot)
        system_view.table("Partitions", rows, "No worker has said which it holds.", height=TABLE_HEIGHT)
    with right:
        rows = system_rows.latency_rows(snapshot)
        system_view.table("Latency, last 30 s", rows, "Nothing measured yet.", height=TABLE_HEIGHT)
    left, right = st.columns([5, 6])
    with left:
        rows = system_rows.clock_rows(snapshot)
        note = (
            f"Over the last minute; off by more than {trust.clock_limit_s():g} s raises an alarm of the bed."
        )
        system_view.table("Device clocks", rows, "No worker hears a device.", note, TABLE_HEIGHT)
    with right:
        rows = system_rows.throughput_rows(snapshot)
        system_view.table("Throughput and counters", rows, "Nothing counted yet.", height=TABLE_HEIGHT)
    letters(snapshot)


def letters(snapshot: SystemSnapshot) -> None:
    """Show refused records, with a filter."""
    counted = [f"{reason} {n}" for reason, n in sorted(snapshot.refused.items(), key=lambda one: -one[1])]
    wanted = st.text_input(
        "Refused records (dead letters) with these words",
        key="letters_wanted",
        placeholder="bed, reason, words of the detail, topic/partition@offset",
    )
    st.text(f"By reason: {', '.join(counted)}" if counted else "None refused in the last hour.")
    rows = system_rows.letter_rows(snapshot.letters, wanted)
    if counted:
        title = f"The newest {len(rows)}"
        system_view.table(title, rows, "None of the newest holds these words.", height=TABLE_HEIGHT)
