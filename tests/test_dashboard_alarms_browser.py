"""The Alarms page in a real browser: reviews, a press, labels, files, and a store that goes away."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from dashboard import shared
from dashboard.ward import Ward
from inference.commands import Command
from inference.store_engine import connect, upgrade
from inference.store_write import Batch, StoreWriter
from inference.types import Alarm, AlarmState, Audit, CommandOutcome, Vital
from ingest.types import NS_PER_S
from tests.browsing import CHROMIUM, FLAGS, free_port, until

ROOT = Path(__file__).resolve().parent.parent
BED = "icu/3 #1 & a very long name of a bed that nobody can type"
AWAY = ".away"
"""While a file of that name is there, the database answers nobody."""
APP = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import streamlit as st
st.set_page_config(layout="wide")
from tests import test_dashboard_alarms_browser as place
place.app(sys.argv[1])
"""


@dataclass
class SlowWorker:
    """Answers after a while, and then says so on the topic."""

    ward: Ward

    def partitions_of(self, command: Command) -> list[int]:
        return [0]

    def ask(self, command: Command, timeout_s: float = 5.0) -> list[Audit]:
        time.sleep(1.5)
        self.ward.add_alarm(live_alarm(AlarmState.ACKNOWLEDGED, 1))
        return [
            Audit(
                command.id, 0, command.bed, None, command.user, command.name, 1, 2,
                CommandOutcome.APPLIED, "1 acknowledged", [],
            )
        ]  # fmt: skip


def live_alarm(state: AlarmState = AlarmState.ACTIVE, revision: int = 0) -> Alarm:
    from tests.test_dashboard_alarms import make_alarm

    by = "nurse-7" if state is AlarmState.ACKNOWLEDGED else None
    return make_alarm(
        90, bed=BED, id="live", state=state, ended_ns=None, revision=revision, acknowledged_by=by
    )


def fill(path: Path) -> None:
    """Write a store with one past alarm that has a strip."""
    from tests.test_dashboard_alarms import kept, make_alarm, make_strip

    engine = connect(f"sqlite:///{path}", writes=True)
    upgrade(engine)
    past = make_alarm(1, bed=BED, id=f"{BED}:ecg:vf:1")
    StoreWriter(engine).write(Batch(alarms=[kept(past)], strips=[make_strip(past)]))
    engine.dispose()


def app(url: str) -> None:
    """One page of the dashboard over a ward and a store of its own."""
    import streamlit as st

    from dashboard import access, monitor, page_alarms, users, views
    from dashboard.patient_store import PatientStore

    @st.cache_resource
    def place() -> tuple[Ward, PatientStore]:
        ward = Ward()
        ward.add_alarm(live_alarm())
        ward.set_connected(True)
        store = PatientStore(url)

        @event.listens_for(store._engine, "checkout")
        def _away(*_: object) -> None:
            if Path(url.removeprefix("sqlite:///")).with_suffix(AWAY).exists():
                raise OperationalError("", None, Exception("the server closed the connection"))

        return ward, store

    ward, store = place()
    # A worker speaks all the time.
    now = time.time_ns()
    ward.add_vital(Vital("v", BED, "ecg", now, 80.0, 0.0, 1.0, True, now // NS_PER_S, 0))
    ward.set_connected(True)
    shared._store = lambda: store
    shared._label_writer = lambda: _writer(url)
    shared.sender = lambda: SlowWorker(ward)
    access.current_user = lambda: users.User("nurse-7", users.Role.CLINICIAN, "local")
    st.html(views.PAGE_STYLE)
    monitor.mount_sound()
    views.live_head(ward)
    page_alarms.alarms_page(ward.snapshot, shared.store)


def _writer(url: str) -> object:
    from inference.store_labels import LabelWriter

    return LabelWriter(url)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and store of the page."""
    store = tmp_path / "store.sqlite"
    fill(store)
    script = tmp_path / "app.py"
    script.write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.fileWatcherType=none"]
    options = [
        "--server.headless=true",
        "--runner.postScriptGC=false",
        f"--server.port={port}",
        "--server.address=127.0.0.1",
        "--browser.gatherUsageStats=false",
    ]
    server = subprocess.Popen(
        [*command, *options, "--", f"sqlite:///{store}"], cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    yield f"http://127.0.0.1:{port}", store
    server.terminate()
    server.wait(20)


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium")
@pytest.mark.slow
def test_alarms_are_reviewed_acknowledged_labelled_and_taken_away(server: tuple[str, Path]) -> None:
    api = pytest.importorskip("playwright.sync_api")
    address, store = server
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1366, "height": 900})
        page.set_default_timeout(30_000)
        broken = page.get_by_test_id("stException")

        def opens() -> bool:
            try:
                page.goto(address)
            except api.Error:
                return False
            return True

        until("the server answers", opens, 60.0)
        # A live alarm.
        page.get_by_role("button", name="Review", exact=True).click()
        page.get_by_text("Was this alarm true?").wait_for()
        api.expect(page.get_by_role("heading", name="VENT FIB 90")).to_contain_text(BED)
        assert broken.count() == 0
        # One press is said to be sent, and its buttons are spent, wherever they stand.
        assert page.get_by_role("button", name="Acknowledge", exact=True).count() == 2
        page.get_by_role("button", name="Acknowledge", exact=True).first.click()
        page.get_by_text("Sent: Acknowledge · waiting").wait_for()
        spent = page.get_by_role("button", name="Sent: Acknowledge", exact=True)
        api.expect(spent.first).to_be_disabled()
        page.get_by_text("Done: acknowledge at").wait_for()
        api.expect(page.get_by_role("button", name="Acknowledge", exact=True)).to_have_count(
            0, timeout=30_000
        )
        api.expect(spent).to_have_count(0)
        api.expect(page.get_by_text("Done: acknowledge at")).to_have_count(1)
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_text("Choose a row, or Review").wait_for()
        # A past one, with its strip.
        page.locator('[data-testid="stSelectbox"]').first.click()
        page.get_by_role("option", name="All", exact=True).click()
        table = page.get_by_test_id("stDataFrame").first
        api.expect(page.get_by_text("1 alarm · page 1 of 1")).to_be_visible()
        box = table.bounding_box()
        page.mouse.click(box["x"] + 15, box["y"] + 35 + 17)
        page.get_by_test_id("stImage").wait_for()
        assert broken.count() == 0
        with page.expect_download() as taken:
            page.get_by_role("button", name="PDF", exact=True).click()
        assert taken.value.suggested_filename.startswith("icu_3_1")
        assert taken.value.suggested_filename.endswith(".pdf")
        page.locator("label", has_text="unclear").last.click()
        page.get_by_role("button", name="Save as nurse-7").click()
        page.get_by_text("unclear by nurse-7").first.wait_for()
        # The store goes: what is live stays.
        store.with_suffix(AWAY).touch()
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_text("recorder's store does not answer").first.wait_for()
        api.expect(page.get_by_text("VENT FIB 90").first).to_be_visible()
        assert broken.count() == 0
        store.with_suffix(AWAY).unlink()
        # It is found again without a press.
        api.expect(page.get_by_text("recorder's store does not answer")).to_have_count(0, timeout=60_000)
        page.get_by_text("1 alarm · page 1 of 1").wait_for()
        browser.close()
