"""The recorder's store is away: pages say so at once, show what is live, and come back by themselves."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import shared
from dashboard.background import Prepared
from dashboard.patient_store import RETRY_S, PatientStore
from dashboard.snapshots import WardSnapshot
from inference.errors import StoreError
from inference.store_engine import connect, upgrade
from inference.store_query import AlarmFilter
from tests.browsing import until

LONG_S = 20.0


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def silent_address() -> Iterator[str]:
    """A port that takes connections and never answers, as a database behind a dead network."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store's file without the log that lets readers pass a writer."""
    path = tmp_path / "store.sqlite"
    engine = connect(f"sqlite:///{path}", writes=True)
    upgrade(engine)
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    return path


@pytest.fixture
def locked(path: Path) -> Iterator[Path]:
    """The same, locked by somebody."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    yield path
    holder.close()


def test_a_database_that_does_not_answer_keeps_nobody_waiting(silent_address: str) -> None:
    clock = Clock()
    store = PatientStore(f"postgresql://ward:geheim@{silent_address}/ward", wait_s=0.2, clock=clock)
    assert store.problem() == "no answer within 0.2 s"
    # What comes then does not ask it again.
    for _ in range(100):
        with pytest.raises(StoreError, match="no answer within"):
            store.count(AlarmFilter())
    assert sum(thread.name == "store" for thread in threading.enumerate()) <= 1
    until("the driver gave up by itself", lambda: "timeout" in str(store.problem()))
    assert "geheim" not in str(store.problem())
    store.close()


def test_a_locked_file_is_away_and_comes_back_by_itself(locked: Path) -> None:
    clock = Clock()
    store = PatientStore(f"sqlite:///{locked}", wait_s=5.0, clock=clock)
    assert "database is locked" in str(store.problem())
    with pytest.raises(StoreError, match="database is locked"):
        store.beds()
    store.close()


def test_a_store_that_comes_back_is_found_in_the_background(path: Path) -> None:
    clock = Clock()
    store = PatientStore(f"sqlite:///{path}", wait_s=5.0, clock=clock)
    assert store.problem() is None
    assert store.count(AlarmFilter()) == 0
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match="database is locked"):
        store.count(AlarmFilter())
    holder.execute("ROLLBACK")
    holder.close()
    # Looked for every few seconds, not at each press.
    assert "locked" in str(store.problem())
    clock.now += RETRY_S
    until("it is found", lambda: store.problem() is None)
    assert store.beds() == []
    store.close()


def test_a_store_that_is_made_later_is_found(tmp_path: Path) -> None:
    clock = Clock()
    url = f"sqlite:///{tmp_path / 'late.sqlite'}"
    store = PatientStore(url, clock=clock)
    assert "'wardwave record' makes it" in str(store.problem())
    engine = connect(url, writes=True)
    upgrade(engine)
    engine.dispose()
    clock.now += RETRY_S
    until("it is found", lambda: store.problem() is None)
    store.close()


def test_the_page_says_that_the_store_is_away_and_shows_what_is_live(
    locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PatientStore(f"sqlite:///{locked}", wait_s=5.0, clock=Clock())
    monkeypatch.setattr(shared, "_store", lambda: store)

    def script(snapshot):  # type: ignore[no-untyped-def]
        from dashboard import page_alarms, shared

        page_alarms.alarms_page(lambda: snapshot, shared.store)

    nobody = WardSnapshot(True, 0.0, None, (), (), 0)
    app = AppTest.from_function(script, args=(nobody,), default_timeout=30).run()
    assert not app.exception
    words = app.warning[0].value.replace("\\", "")
    assert "last 12 h of the alarm topic" in words
    assert "the recorder's store does not answer" in words
    assert "database is locked" in words
    assert "mend WARDWAVE_RECORDER__URL" in words
    store.close()


def test_a_store_that_goes_while_the_page_is_drawn_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = PatientStore(f"sqlite:///{path}", wait_s=5.0, clock=Clock())
    assert store.problem() is None
    monkeypatch.setattr(shared, "store", lambda: store)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")

    def script(snapshot):  # type: ignore[no-untyped-def]
        from dashboard import page_alarms, shared

        page_alarms.alarms_page(lambda: snapshot, shared.store)

    nobody = WardSnapshot(True, 0.0, None, (), (), 0)
    app = AppTest.from_function(script, args=(nobody,), default_timeout=30).run()
    assert not app.exception
    assert "The recorder's store does not answer" in app.error[0].value.replace("\\", "")
    holder.close()
    store.close()


class TestPrepared:
    def test_it_is_made_once_and_nobody_waits_longer_than_said(self) -> None:
        may_end, made = threading.Event(), []

        def make() -> str:
            assert may_end.wait(LONG_S)
            made.append(1)
            return "drawn"

        prepared = Prepared[str](2)
        assert prepared.get("a", make, 0.0) is None
        assert prepared.get("a", make, 0.01) is None
        may_end.set()
        assert prepared.get("a", make, LONG_S) == "drawn"
        assert prepared.get("a", make, 0.0) == "drawn"
        assert len(made) == 1

    def test_what_went_wrong_is_raised_where_it_is_asked_for(self) -> None:
        def fails() -> str:
            raise StoreError("no")

        prepared = Prepared[str](2)
        for _ in range(2):
            with pytest.raises(StoreError, match="no"):
                prepared.get("a", fails, LONG_S)

    def test_only_the_last_used_are_kept(self) -> None:
        made: list[str] = []

        def maker(name: str) -> str:
            made.append(name)
            return name

        prepared = Prepared[str](2)
        for name in ("a", "b", "a", "c", "a", "b"):
            assert prepared.get(name, lambda name=name: maker(name), LONG_S) == name
        assert made == ["a", "b", "c", "b"]
