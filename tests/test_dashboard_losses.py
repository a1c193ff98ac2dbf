"""In a real browser: a lead, the worker, the network, the broker die, and the ward says which."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dashboard.children import Child
from inference.types import Priority, Vital, VitalBatch
from ingest.broker import EmbeddedBroker
from ingest.kafka import ensure_topics, producer
from ingest.publisher import Publisher
from ingest.settings import KafkaSettings, Settings
from tests.browsing import CHROMIUM, FLAGS, free_port, until
from tests.test_dashboard_browser import an_alarm, publish_alarms

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kafka,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium"),
]
BED = "bed-01"
FS = 125


class OneBed(threading.Thread):
    """A bed with ECG and breath and its worker; each falls silent on demand."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self.halt = threading.Event()
        self.ecg = self.worker = True

    def run(self) -> None:
        began, second = time.time(), 0
        numbers = producer(self._settings)
        with Publisher(self._settings, device="test") as publisher:
            while not self.halt.is_set():
                start_ns = round((began + second) * 1e9)
                for kind, channel, unit in (("ecg", "II", "mV"), ("resp", "RESP", "ohm")):
                    if kind == "ecg" and not self.ecg:
                        continue
                    wave = np.sin(2 * np.pi * (second + np.arange(FS) / FS))[:, None]
                    publisher.publish(
                        bed=BED,
                        kind=kind,
                        channels=(channel,),
                        unit=unit,
                        fs_hz=float(FS),
                        start_ns=start_ns,
                        samples=(1_000 * wave).astype(np.int16),
                        gain=1000.0,
                        baseline=0,
                    )
                if self.worker:
                    at_ns = start_ns + 1_000_000_000
                    one = Vital(f"v{second}", BED, "ecg", at_ns, 60.0, 0.0, 1.0, True, second, 0)
                    numbers.send(self._settings.topics.vitals, value=msgspec.json.encode(VitalBatch([one])))
                second += 1
                self.halt.wait(max(0.0, began + second - time.time()))
        numbers.close()

    def stop(self) -> None:
        """Send what is left, then end: to be called while the broker is there."""
        self.halt.set()
        self.join(30)


@pytest.fixture
def own_broker() -> Iterator[EmbeddedBroker]:
    """A broker that this test may kill."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.mark.slow
def test_each_loss_is_named_and_the_page_recovers_by_itself(
    own_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    api = pytest.importorskip("playwright.sync_api")
    address = own_broker.bootstrap_servers
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=address, partitions=2))
    ensure_topics(settings)
    bed = OneBed(settings)
    bed.start()
    port = free_port()
    environment = {"WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": address, "WARDWAVE_KAFKA__PARTITIONS": "2"}
    child = Child("dashboard", ["dashboard", "--port", str(port)], environment, tmp_path)
    try:
        with api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
            page = browser.new_page(viewport={"width": 1366, "height": 768})
            until(child.last_lines(), lambda: _opens(page, f"http://127.0.0.1:{port}", api.Error), 60)
            _play(page, bed, child, own_broker, settings)
            browser.close()
    finally:
        bed.stop()
        child.stop()


def _play(page: object, bed: OneBed, child: Child, broker: EmbeddedBroker, settings: Settings) -> None:
    tile = page.locator(f'.tile[data-bed="{BED}"]')
    urgent, bar = page.locator(".urgent"), page.locator(".bar .lost")
    veil = tile.locator(".veil").first
    until("the heart rate", lambda: tile.count() == 1 and tile.locator(".rate").inner_text() == "60", 60)
    until("two traces", lambda: tile.locator(".veil").count() == 2)
    assert veil.inner_text() == ""

    # The lead: breath still comes, so the bed is not silent, but its ECG must not look alive.
    bed.ecg = False
    until("the silent ECG is veiled", lambda: "NO DATA" in veil.inner_text())
    until("only the ECG", lambda: tile.locator(".cover").inner_text() == "")
    until("the breath goes on", lambda: tile.locator(".veil").nth(1).inner_text() == "")
    until("and told", lambda: "ECG NO DATA" in urgent.inner_text())
    bed.ecg = True
    until("it is back", lambda: veil.inner_text() == "" and tile.locator(".rate").inner_text() == "60")

    bed.worker = False
    until("the worker", lambda: "NOT ANALYSED" in tile.locator(".strip").inner_text())
    until("and its alarms", lambda: "alarms suspended" in urgent.inner_text())
    bed.worker = True
    until("it is back", lambda: tile.locator(".strip").inner_text() == "")

    publish_alarms(settings, an_alarm(BED, "vfib", Priority.HIGH, "VENT FIB/FLUTTER"))
    words = tile.locator(".alarm .message")
    until("an alarm", lambda: words.inner_text().startswith("*** VENT FIB") and _flashes(tile))
    until("the head", lambda: urgent.inner_text().startswith(f"{BED} *** VENT FIB"))

    # The server stands still, as a network that is cut: no connection is closed.
    os.kill(child.pid, signal.SIGSTOP)
    try:
        until("the connection", lambda: "CONNECTION LOST" in tile.locator(".cover").inner_text())
        until("the bar, too", lambda: "CONNECTION LOST" in bar.inner_text())
        assert tile.locator(".rate").inner_text() == "--"
        # What was known is still told, as what was known.
        assert words.inner_text().startswith("before loss: *** VENT FIB")
        assert words.is_visible()
        assert urgent.inner_text().startswith(f"before loss: {BED} *** VENT FIB")
        assert not _flashes(tile)
        assert tile.evaluate("node => getComputedStyle(node).borderTopStyle") == "dashed"
        assert "connection lost, before loss: *** VENT FIB" in tile.locator(".said").inner_text()
    finally:
        os.kill(child.pid, signal.SIGCONT)
    until("it is back", lambda: tile.locator(".cover").inner_text() == "" and bar.inner_text() == "", 60)
    until("the alarm, live", lambda: words.inner_text().startswith("*** VENT FIB") and _flashes(tile))
    assert urgent.inner_text().startswith(f"{BED} *** VENT FIB")

    bed.stop()
    pid = broker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until("the broker", lambda: "BROKER LOST" in page.locator(".link").inner_text())
    until("no trace looks alive", lambda: "NO DATA" in tile.locator(".cover").inner_text())


def _flashes(tile: object) -> bool:
    return bool(tile.evaluate("node => node.getAnimations({ subtree: true }).length > 0"))


def _opens(page: object, url: str, error: type[Exception]) -> bool:
    try:
        page.goto(url)
    except error:
        return False
    return True
