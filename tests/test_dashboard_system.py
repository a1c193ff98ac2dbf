"""Whether the system can be trusted: the verdict, the tables, and what hostile records do to them."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace

import msgspec
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import system_rows, trust
from dashboard.feed import RecordReader
from dashboard.system_state import (
    FORGET_S,
    FORGET_STOPPED_S,
    LONGEST,
    MOST_LETTERS,
    MOST_MEMBERS,
    SILENT_S,
    Refused,
    SystemSnapshot,
    SystemState,
)
from dashboard.trust import Broker, Level
from dashboard.ward import Ward
from inference.stats import PREDICTION_OUT
from inference.types import ClockAhead, Lag, Latency, LoadedModel, WorkerStatus
from ingest.settings import Settings

HERE = Broker(connected=True)
HOSTILE = "<img src=x onerror=alert(1)>**bold**"


class Clock:
    """Moves when told."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def status(member: str = "a", role: str = "infer", **changes: object) -> WorkerStatus:
    held = {"infer": [0, 1, 2, 3], "record": [0, 1, 2, 3]}.get(role, [])
    whole = WorkerStatus(
        member=member,
        role=role,
        state="running",
        host="ward-pc",
        pid=7,
        started_ns=0,
        emitted_ns=60 * 10**9,
        version="0.1.0",
        code_commit="abc",
        libraries={"Python": "3.11"},
        group="g",
        partitions=held,
        n_partitions=4,
        beds=3 if role == "infer" else 0,
        lag=[Lag(number, 0, 0.0) for number in held],
        rates={"chunks_in": 12.0},
        latencies={PREDICTION_OUT: Latency(80.0, 120.0, 90)},
        counts={"chunks_in": 700, "gap": 0},
        dead_letters={},
        clocks=[ClockAhead("bed-01", "ecg", 0.2)] if role == "infer" else [],
        models=[],
        device="cpu",
        rss_bytes=10**8,
        cpu_share=0.1,
        threads=4,
    )
    return msgspec.structs.replace(whole, **changes)


def letter(
    reason: str = "malformed", detail: str = "why", key: bytes | None = b"bed-02", offset: int = 5
) -> Refused:
    return Refused(reason, detail, "raw", 2, offset, None if key is None else base64.b64encode(key).decode())


def heard(*found: WorkerStatus, age_s: float = 0.5) -> SystemSnapshot:
    state = SystemState()
    for one in found:
        state.add_status(one, age_s)
    return state.snapshot()


def test_one_worker_that_holds_everything_is_ok() -> None:
    found = trust.judge(heard(status()), HERE)
    assert (found.level, found.reasons) == (Level.OK, ())
    assert found.line == "1 worker holds all 4 partitions, 3 beds, predictions leave within 120 ms (p99)"


def test_without_a_worker_nothing_is_watched_and_it_says_for_how_long() -> None:
    clock = Clock()
    state = SystemState(clock)
    clock.now_s += 8
    found = trust.judge(state.snapshot(), HERE)
    assert (found.level, "in the 8 s" in found.line) == (Level.NO_WORKER, True)
    state.add_status(status(), 0.0)
    state.add_status(status("r", "record"), 0.0)
    assert trust.judge(state.snapshot(), HERE).level is Level.OK
    clock.now_s += 12
    state.add_status(status("r", "record"), 0.0)
    found = trust.judge(state.snapshot(), HERE)
    assert (found.level, "for 12 s" in found.line) == (Level.NO_WORKER, True)
    state.add_status(status(state="stopped", partitions=[], emitted_ns=10**12), 0.0)
    assert trust.judge(state.snapshot(), HERE).level is Level.NO_WORKER


def test_a_broker_that_does_not_answer_comes_before_all_else() -> None:
    found = trust.judge(heard(status()), Broker(False, 9.0, "refused"))
    assert (found.level, found.line) == (Level.NO_BROKER, "the broker has not answered for 9 s (refused)")


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([status(partitions=[0, 3])], "2 of 4 partitions read by no worker: 1–2"),
        ([status(), status("b", partitions=[2])], "1 partition held by two workers at once: 2"),
        (
            [status(lag=[Lag(1, 900, 31.0)])],
            "worker ward-pc:7 is behind on 1 partition, most on 1: 900 records, 31 s",
        ),
        (
            [status(latencies={PREDICTION_OUT: Latency(900.0, 4_200.0, 5)})],
            "predictions of worker ward-pc:7 take 4.2 s (p99) from the broker's receipt",
        ),
        ([status(rates={"commits_refused": 0.1})], "the broker refuses commits of worker ward-pc:7"),
        (
            [status(clocks=[ClockAhead("bed-09", "ecg", -40.0)])],
            "1 device clock off by more than 2 s, most bed-09 ecg: 40.0 s behind",
        ),
        (
            [status(), status("r", "record", version="0.2.0")],
            "processes run different versions: 0.1.0 (abc), 0.2.0 (abc)",
        ),
        (
            [status(models=[LoadedModel("m", "1")]), status("j", "judge", models=[LoadedModel("m", "2")])],
            "processes run different weights of m",
        ),
        (
            [status(), status("r", "record", counts={"database_away": 1})],
            "recorder ward-pc:7 stores nothing: its database does not answer or is full; what Kafka still "
            "keeps is stored later",
        ),
        (
            [status(counts={"networks_lacking": 3})],
            "worker ward-pc:7 is without networks that it was to have (3): the rest is watched; its log says "
            "which and why",
        ),
        (
            [status(counts={"device_keys_unread": 1})],
            "worker ward-pc:7 cannot use the file of device keys: those read before are believed on, revoked "
            "ones too",
        ),
        (
            [status(), status("j", "judge", fallen_back={"m": "cuda: CUDA error"})],
            "judge ward-pc:7 lost its GPU: m on the CPU, more slowly; restart it to use the GPU again "
            "(cuda: CUDA error)",
        ),
    ],
)  # fmt: skip
def test_what_degrades_the_system_is_named(members: list[WorkerStatus], reason: str) -> None:
    found = trust.judge(heard(*members), HERE)
    assert (found.level, found.reasons) == (Level.DEGRADED, (reason,))
    assert found.line == reason


def test_a_database_that_came_back_is_ok_again() -> None:
    back = status("r", "record", counts={"database_away": 0, "database_losses": 7})
    assert trust.judge(heard(status(), back), HERE).level is Level.OK


def test_a_recorder_that_fell_silent_degrades_one_that_said_goodbye_does_not() -> None:
    clock = Clock()
    state = SystemState(clock)
    state.add_status(status("r", "record"), 0.0)
    clock.now_s += 7
    state.add_status(status(), 0.0)
    assert trust.judge(state.snapshot(), HERE).line == "the recorder has said nothing for 7 s"
    assert system_rows.process_rows(state.snapshot())[1]["State"] == "silent for 7 s"
    assert dict(system_rows.figures(state.snapshot()))["recorder"] == "silent for 7 s"
    state.add_status(status("r", "record", state="stopped", emitted_ns=10**12), 0.0)
    assert trust.judge(state.snapshot(), HERE).level is Level.OK
    assert dict(system_rows.figures(state.snapshot()))["recorder"] == "none"


def test_the_partitions_of_a_silent_worker_are_held_by_nobody_until_another_has_them() -> None:
    clock = Clock()
    state = SystemState(clock)
    state.add_status(status("dead", partitions=[0, 1]), 0.0)
    clock.now_s += 6
    state.add_status(status("alive", partitions=[2, 3]), 0.0)
    assert "read by no worker: 0–1" in trust.judge(state.snapshot(), HERE).line
    rows = system_rows.partition_rows(state.snapshot())
    assert [(row["Partition"], row["Worker"]) for row in rows[:2]] == [(0, "NOBODY"), (1, "NOBODY")]
    state.add_status(status("alive", emitted_ns=61 * 10**9), 0.0)
    assert trust.judge(state.snapshot(), HERE).level is Level.OK


def test_records_refused_in_the_last_minute_degrade() -> None:
    state = SystemState()
    state.add_status(status(), 0.0)
    now_ms = 1_000_000
    state.add_dead_letter(letter(), now_ms - 70_000)
    assert trust.judge(state.snapshot(), HERE, now_ms).level is Level.OK
    state.add_dead_letter(letter("oversized", offset=6), now_ms - 5_000)
    found = trust.judge(state.snapshot(), HERE, now_ms)
    assert (
        found.line
        == "1 record refused in the last minute (oversized): what devices sent there is not watched"
    )


def test_an_older_status_never_replaces_a_newer_one() -> None:
    state = SystemState()
    state.add_status(status(emitted_ns=2), 0.0)
    state.add_status(status(emitted_ns=1, beds=99), 0.0)
    assert state.snapshot().members[0].status.beds == 3


def test_processes_that_are_gone_are_forgotten_in_time() -> None:
    clock = Clock()
    state = SystemState(clock)
    state.add_status(status("killed"), 0.0)
    state.add_status(status("left", state="stopped"), 0.0)
    clock.now_s += FORGET_STOPPED_S + 1
    assert [one.status.member for one in state.snapshot().members] == ["killed"]
    clock.now_s += FORGET_S
    snapshot = state.snapshot()
    assert snapshot.members == ()
    assert snapshot.worker_age_s == pytest.approx(FORGET_S + FORGET_STOPPED_S + 1)


def test_after_a_pause_of_the_reader_a_living_worker_is_not_called_gone() -> None:
    clock = Clock()
    state = SystemState(clock)
    broker = Broker(connected=True)
    state.note_answer()
    state.add_status(status(emitted_ns=1), 0.0)
    clock.now_s += 60.0  # this process, or its broker, stood still
    assert state.without_worker_s() is None, "nothing has been read yet"
    assert trust.judge(state.snapshot(), broker).level is Level.DEGRADED
    state.note_answer()
    for _ in range(round(SILENT_S)):
        assert state.without_worker_s() is None, "the worker may have stood still with its broker"
        clock.now_s += 1.0
        state.note_answer()
    assert state.without_worker_s() == 60 + SILENT_S, "it has had its time"
    assert trust.judge(state.snapshot(), broker).level is Level.NO_WORKER
    state.add_status(status(emitted_ns=2), 0.0)
    assert state.without_worker_s() is None


def test_a_flood_fills_nothing() -> None:
    state = SystemState()
    for number in range(MOST_MEMBERS + 50):
        state.add_status(status(f"m{number}"), 0.0)
    for number in range(MOST_LETTERS + 50):
        state.add_dead_letter(letter(f"reason {number}", "x" * 10_000, b"\xff" * 9_000, number), number)
    snapshot = state.snapshot()
    assert len(snapshot.members) == MOST_MEMBERS
    assert len(snapshot.letters) == MOST_LETTERS
    assert snapshot.letters[0].received_ms == MOST_LETTERS + 49
    assert max(len(snapshot.letters[0].detail), len(snapshot.letters[0].key)) == LONGEST
    assert len(snapshot.refused) == MOST_MEMBERS + 1
    assert sum(snapshot.refused.values()) == MOST_LETTERS + 50


def test_refused_records_are_found_by_words_of_anything() -> None:
    state = SystemState()
    state.add_dead_letter(letter(), 1)
    state.add_dead_letter(letter("invalid_field", "fs_hz=60", b"bed-07", 6), 2)
    letters = state.snapshot().letters
    assert [row["Bed key"] for row in system_rows.letter_rows(letters, "")] == ["bed-07", "bed-02"]
    assert [row["Bed key"] for row in system_rows.letter_rows(letters, "FS_HZ bed-07")] == ["bed-07"]
    assert [row["Bed key"] for row in system_rows.letter_rows(letters, "raw/2@5 malformed")] == ["bed-02"]
    assert system_rows.letter_rows(letters, "nothing like it") == []
    assert (
        system_rows.letter_rows((replace(letters[0], received_ms=-(10**18)),), "")[0]["Refused (UTC)"] == "?"
    )


def test_the_feed_hears_both_topics_and_steps_over_what_it_cannot_read() -> None:
    settings, state = Settings(), SystemState()
    reader = RecordReader(Ward(), settings, state)

    class Record:
        partition, offset, timestamp, key, headers = 0, 1, 1_700_000_000_000, None, ()

        def __init__(self, topic: str, value: bytes) -> None:
            self.topic, self.value = topic, value

    whole = {"schema": "dead_letter/1", **msgspec.to_builtins(letter()), "value_base64": "AAAA", "later": 1}
    reader.read(Record(settings.topics.status, msgspec.json.encode(status())), 0.0)
    reader.read(Record(settings.topics.dead_letters, json.dumps(whole).encode()), 0.0)
    for topic in (settings.topics.status, settings.topics.dead_letters):
        reader.read(Record(topic, b'{"schema": "else"}'), 0.0)
    snapshot = state.snapshot()
    assert (len(snapshot.members), snapshot.refused, reader.n_unreadable) == (1, {"malformed": 1}, 2)


def page() -> None:
    """The page with a feed that hears nothing but what the test gave it."""
    import streamlit as st

    from dashboard import page_system, shared
    from dashboard.feed import Feed

    class Heard(Feed):
        def __init__(self) -> None:
            super().__init__(shared.settings())
            self.system = st.session_state["state"]
            self.ward.set_connected(st.session_state["connected"], "no answer")

    shared.feed = Heard  # type: ignore[assignment]
    page_system.show()


def shown(state: SystemState, connected: bool = True) -> AppTest:
    app = AppTest.from_function(page, default_timeout=30)
    app.session_state["state"], app.session_state["connected"] = state, connected
    app.run()
    assert not app.exception
    return app


@pytest.fixture(autouse=True)
def _own_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import shared

    monkeypatch.setattr(shared, "feed", shared.feed)


def test_the_page_shows_verdict_and_tables() -> None:
    state = SystemState(Clock())
    state.add_status(status(), 0.1)
    state.add_status(status("r", "record"), 7.0)
    app = shown(state)
    html = "".join(one.proto.body for one in app.get("html"))
    assert "DEGRADED" in html
    assert "the recorder has said nothing for 7 s" in html
    tables = [table.value for table in app.dataframe]
    columns = {name for table in tables for name in table.columns}
    assert {
        "Partitions",
        "Behind (s)",
        "p99 (ms)",
        "Ahead of the broker (s)",
        "kafka-python",
        "Topic",
    } <= columns
    assert "silent for 7 s" in tables[0]["State"].tolist()


def test_the_page_says_that_there_is_no_broker_and_no_worker() -> None:
    app = shown(SystemState(), connected=False)
    assert "NO BROKER" in "".join(one.proto.body for one in app.get("html"))
    topics = next(table.value for table in app.dataframe if "Topic" in table.value.columns)
    assert set(topics["State"]) == {"not known"}
    app = shown(SystemState())
    assert "NO WORKER" in "".join(one.proto.body for one in app.get("html"))
    assert any("start `wardwave infer`" in one.value for one in app.markdown)


def test_hostile_text_is_text_and_the_filter_filters() -> None:
    state = SystemState()
    state.add_status(status(host=HOSTILE, role=HOSTILE, version=HOSTILE, code_commit=HOSTILE), 0.1)
    state.add_status(status("b", clocks=[ClockAhead(HOSTILE, HOSTILE, 99.0)], partitions=[0]), 0.1)
    state.add_dead_letter(letter(HOSTILE, HOSTILE, HOSTILE.encode(), 6), round(time.time() * 1e3))
    state.add_dead_letter(letter(), round(time.time() * 1e3))
    app = shown(state)
    html = "".join(one.proto.body for one in app.get("html"))
    assert "<img" not in html
    assert "&lt;img" in html
    assert all(HOSTILE not in one.value for one in [*app.markdown, *app.caption])
    assert len(app.dataframe[-3].value) == 2
    app.text_input(key="letters_wanted").set_value("malformed").run()
    assert app.dataframe[-3].value["Bed key"].tolist() == ["bed-02"]
