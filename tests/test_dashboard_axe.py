"""Accessibility of every page: axe-core, in a real browser, finds nothing serious or critical.

axe-core (MPL-2.0) is no part of this repository: npm fetches it into a cache folder for this test alone.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from dashboard.children import Child
from inference.types import Alarm, AlarmState, Bed, Delay, Priority, Setting, Vital, VitalBatch
from ingest.kafka import producer
from ingest.settings import Settings
from tests.browsing import CHROMIUM

AXE = "axe-core@4.14.1"
CACHE = Path.home() / ".cache" / "wardwave-tests" / AXE.replace("@", "-")
PAGES = ("", "wall", "bed?bed=bed-01", "alarms", "analyse", "models", "system")
PARTS = {
    "Controls": "text=Profile",
    "Limits": '[data-testid="stDataFrame"] >> nth=0',
    "Sounds": ".pane >> nth=1",
    "EEG": ".eeg[data-rows]",
    "Trends": "text=Newest number",
}
"""Parts of a bed's page, each with what shows that it is there."""
RUN = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .filter((found) => ["serious", "critical"].includes(found.impact))
  .flatMap((found) => found.nodes.map((node) => [
    found.impact, found.id, node.html.slice(0, 140),
    [...node.any, ...node.all, ...node.none].map((check) => check.message).join("; ").slice(0, 200),
  ].join(" | ")))"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kafka,
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def axe() -> Path:
    """Script of axe-core, fetched once."""
    script = CACHE / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not there to fetch axe-core (apt-get install npm)")
        CACHE.mkdir(parents=True, exist_ok=True)
        options = ["--no-save", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-timeout=20000"]
        fetched = subprocess.run(
            [npm, "install", "--prefix", CACHE, *options, AXE], check=False, capture_output=True, text=True
        )
        if fetched.returncode:
            pytest.skip(f"npm cannot fetch {AXE}: {fetched.stderr.strip()[-300:]}")
    return script


def until(what: str, true: Callable[[], bool], timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)


def publish_state(settings: Settings) -> None:
    """Say how a bed is set and what sounds, in place of a worker."""
    now_ns = time.time_ns()
    client = producer(settings)
    limits = [
        Setting("ecg", kind, True, Priority.MEDIUM, limit, "/min", 20.0, 300.0, 2.0, 2.0, "profile")
        for kind, limit in (("hr_high", 120.0), ("hr_low", 50.0))
    ]
    state = Bed("bed-01", "icu", None, True, None, "adult", False, None, None, None, None, limits, 1, now_ns)
    client.send(settings.topics.beds, key=b"bed-01", value=msgspec.json.encode(state))
    vitals = [
        Vital(f"v{ago}", "bed-01", "ecg", now_ns - ago * 1_000_000_000, 80.0, 1.0, 0.9, True, 600 - ago, 0)
        for ago in range(600, 0, -1)
    ]
    client.send(settings.topics.vitals, key=b"bed-01", value=msgspec.json.encode(VitalBatch(vitals)))
    for priority, message in (
        (Priority.HIGH, "*** VENT FIB/FLUTTER"),
        (Priority.MEDIUM, "** HR 134 > 120"),
        (Priority.LOW, "* PVC RUN"),
        (Priority.TECHNICAL, "!!! ECG LEAD OFF"),
    ):
        bed = {Priority.HIGH: "bed-01", Priority.MEDIUM: "bed-02"}.get(priority, "bed-03")
        alarm = Alarm(
            id=f"{bed}-{priority}",
            bed=bed,
            signal="ecg",
            kind=str(priority),
            priority=priority,
            state=AlarmState.ACTIVE,
            message=message,
            onset_ns=now_ns,
            raised_ns=now_ns,
            emitted_ns=now_ns,
            ended_ns=None,
            value=None,
            limit=None,
            unit=None,
            delay=Delay(3.0, 0.0, 0.2),
            raw_offset=1,
            revision=0,
        )
        client.send(settings.topics.alarms, key=bed.encode(), value=msgspec.json.encode(alarm))
    client.flush()
    client.close()


@pytest.fixture
def address(kafka: Settings, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": kafka.kafka.bootstrap_servers,
        "WARDWAVE_KAFKA__PARTITIONS": str(kafka.kafka.partitions),
        **{f"WARDWAVE_TOPICS__{name.upper()}": topic for name, topic in kafka.topics.model_dump().items()},
    }
    kinds = ["ecg", "lung_sound", "heart_sound", "eeg"]
    simulate = ["simulate", "--beds", "3", "--kinds", *kinds]
    children = [
        Child("simulate", simulate, environment, tmp_path),
        Child("dashboard", ["dashboard", "--port", str(port)], environment, tmp_path),
    ]
    try:
        publish_state(kafka)
        until("the server answers", lambda: _answers(port), 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        for child in reversed(children):
            child.stop()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _settled(page) -> None:
    page.wait_for_selector('[data-testid="stMainBlockContainer"]', state="attached", timeout=40_000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=40_000)


def test_axe_finds_nothing_serious_on_any_page(address: str, axe: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    found: list[str] = []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1366, "height": 768}, reduced_motion="reduce")

        def check(where: str) -> None:
            _settled(page)
            page.evaluate(axe.read_text())
            found.extend(f"{where}: {line}" for line in page.evaluate(RUN))
            if "WARDWAVE_SCREENSHOTS" in os.environ:
                name = f"{where.replace(', ', '_').replace(' ', '_')}.png"
                page.screenshot(path=Path(os.environ["WARDWAVE_SCREENSHOTS"]) / name)

        for theme in ("dark", "light"):
            for path in PAGES:
                # The whole page of a bed at once: axe passes over colours of what is scrolled out of sight.
                page.set_viewport_size({"width": 1366, "height": 1800 if path.startswith("bed") else 768})
                page.goto(f"{address}/{path}{'&' if '?' in path else '?'}theme={theme}")
                _settled(page)
                if path in ("", "wall", "bed?bed=bed-01"):
                    page.locator('.tile[data-bed="bed-01"]').wait_for(timeout=40_000)
                check(f"{path.partition('?')[0] or 'ward'}, {theme}")
                for part, sign in PARTS.items() if path.startswith("bed") else ():
                    page.get_by_role("radio", name=part, exact=True).click()
                    page.wait_for_selector(sign, timeout=40_000)
                    until(
                        "the part before is gone",
                        lambda: page.get_by_text("Numbers and signals").count() == 0,
                    )
                    check(f"bed, {part}, {theme}")
        browser.close()
    assert not found, "\n" + "\n".join(found)
