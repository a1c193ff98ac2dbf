"""The ward in a real browser: traces move, an alarm shows, what is old or lost says so."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dashboard.children import Child
from inference.types import Alarm, AlarmState, Delay, Priority, Vital, VitalBatch
from ingest.kafka import producer
from ingest.publisher import Publisher
from ingest.settings import Settings
from tests.browsing import CHROMIUM, FLAGS, free_port, until

FS = 250
BEDS = tuple(f"bed-{number:02d}" for number in range(1, 9))

pytestmark = [
    pytest.mark.browser,
    pytest.mark.kafka,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium"),
]


def heart(time_s: np.ndarray, rate_bpm: float) -> np.ndarray:
    """A drawn heart beat (mV): P, Q, R, S, T as bells."""
    phase = (time_s * rate_bpm / 60) % 1.0
    waves = (
        (0.2, 0.025, 0.15),
        (0.28, 0.008, -0.1),
        (0.3, 0.01, 1.2),
        (0.32, 0.01, -0.25),
        (0.55, 0.05, 0.3),
    )
    return sum(
        (size * np.exp(-(((phase - at) / width) ** 2)) for at, width, size in waves), np.zeros_like(phase)
    )


class Beds(threading.Thread):
    """Eight beds that send a chunk and a number a second; single beds fall silent on demand."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self._halt = threading.Event()
        self.silent: set[str] = set()
        self.analysed = True

    def run(self) -> None:
        began = time.time()
        numbers = producer(self._settings)
        with Publisher(self._settings, device="test") as publisher:
            second = 0
            while not self._halt.is_set():
                start_ns = round((began + second) * 1e9)
                for index, bed in enumerate(BEDS):
                    if bed not in self.silent:
                        self._send(publisher, bed, second, start_ns, 56.0 + 6 * index)
                items = [self._vital(bed, second, start_ns, 56.0 + 6 * i) for i, bed in enumerate(BEDS)]
                if self.analysed:
                    numbers.send(self._settings.topics.vitals, value=msgspec.json.encode(VitalBatch(items)))
                second += 1
                self._halt.wait(max(0.0, began + second - time.time()))
        numbers.close()

    def _send(self, publisher: Publisher, bed: str, second: int, start_ns: int, rate: float) -> None:
        at = second + np.arange(FS) / FS
        lead = heart(at, rate)
        if bed == "bed-03":
            lead = 0.6 * np.sin(2 * np.pi * 4.6 * at) * np.sin(2 * np.pi * 0.3 * at + 1) + 0.2 * np.sin(
                40 * at
            )
        noise = np.random.default_rng(second).normal(0, 0.01, FS)
        publisher.publish(
            bed=bed,
            kind="ecg",
            channels=("II", "V1"),
            unit="mV",
            fs_hz=float(FS),
            start_ns=start_ns,
            samples=(np.stack([lead + noise, -0.6 * lead], axis=1) * 1000).astype(np.int16),
            gain=1000.0,
            baseline=0,
        )

    def _vital(self, bed: str, second: int, start_ns: int, rate: float) -> Vital:
        usable = bed != "bed-03"
        time_ns = start_ns + 1_000_000_000
        return Vital(
            f"{bed}-{second}", bed, "ecg", time_ns, rate if usable else None, 0.0, 0.95, usable, second, 0
        )

    def stop(self) -> None:
        self._halt.set()
        self.join(30)


def an_alarm(bed: str, kind: str, priority: Priority, message: str) -> Alarm:
    now_ns = time.time_ns()
    return Alarm(
        id=f"{bed}-{kind}",
        bed=bed,
        signal="ecg",
        kind=kind,
        priority=priority,
        state=AlarmState.ACTIVE,
        message=message,
        onset_ns=now_ns - 4_000_000_000,
        raised_ns=now_ns - 500_000_000,
        emitted_ns=now_ns,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(3.0, 0.0, 0.2),
        raw_offset=1,
        revision=0,
    )


def publish_alarms(settings: Settings, *alarms: Alarm) -> None:
    client = producer(settings)
    for alarm in alarms:
        client.send(settings.topics.alarms, key=alarm.bed.encode(), value=msgspec.json.encode(alarm))
    client.flush()
    client.close()


@pytest.fixture
def beds(kafka: Settings) -> Iterator[Beds]:
    thread = Beds(kafka)
    thread.start()
    yield thread
    thread.stop()


@pytest.fixture
def server(kafka: Settings, tmp_path: Path) -> Iterator[tuple[Child, str]]:
    port = free_port()
    environment = {
        "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": kafka.kafka.bootstrap_servers,
        "WARDWAVE_KAFKA__PARTITIONS": str(kafka.kafka.partitions),
        **{f"WARDWAVE_TOPICS__{name.upper()}": topic for name, topic in kafka.topics.model_dump().items()},
    }
    child = Child("dashboard", ["dashboard", "--port", str(port)], environment, tmp_path)
    yield child, f"http://127.0.0.1:{port}"
    child.stop()


@pytest.fixture
def page(server: tuple[Child, str]) -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api")
    child, url = server
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        until(f"the server answers: {child.last_lines()}", lambda: _opens(page, url), 60)
        yield page
        browser.close()


def _opens(page, url: str) -> bool:
    from playwright.sync_api import Error

    try:
        page.goto(url)
    except Error:
        return False
    return True


def pixels(page, bed: str) -> str:
    return page.evaluate(
        "bed => { const find = root => { for (const node of root.querySelectorAll('*')) {"
        " if (node.dataset?.bed === bed) return node;"
        " const inner = node.shadowRoot && find(node.shadowRoot); if (inner) return inner; } return null; };"
        " return find(document).querySelector('canvas').toDataURL(); }",
        bed,
    )


def test_a_ward_that_lives_and_says_when_it_does_not(
    kafka: Settings, beds: Beds, server: tuple[Child, str], page, tmp_path: Path
) -> None:
    child, url = server
    foreign: list[str] = []
    page.on(
        "request",
        lambda request: foreign.append(request.url) if request.url.startswith("http") else None,
    )
    page.reload()
    tile = page.locator
    until("eight tiles", lambda: tile(".tile").count() == len(BEDS), 60)
    bed1 = page.locator('.tile[data-bed="bed-01"]')
    bed3 = page.locator('.tile[data-bed="bed-03"]')
    bed5 = page.locator('.tile[data-bed="bed-05"]')

    until("the heart rate of bed 1", lambda: bed1.locator(".rate").inner_text() == "56")
    assert bed3.locator(".rate").inner_text() == "--"
    until("lead and gain", lambda: "mm/mV" in bed1.locator(".label").first.text_content(), 10)
    assert "no medical device" in page.locator("footer").inner_text()

    before = pixels(page, "bed-01")
    until("the trace moves", lambda: pixels(page, "bed-01") != before)

    publish_alarms(
        kafka,
        an_alarm("bed-03", "vf", Priority.HIGH, "*** VENT FIB/FLUTTER"),
        an_alarm("bed-06", "rate", Priority.MEDIUM, "** HR 134 > 120"),
        an_alarm("bed-07", "<b>lead</b>", Priority.TECHNICAL, "!!! ECG LEAD <b>OFF</b>"),
    )
    until("the alarm", lambda: "VENT FIB" in bed3.locator(".alarm").inner_text(), 10)
    assert "high" in bed3.get_attribute("class").split()
    bed6, bed7 = page.locator('.tile[data-bed="bed-06"]'), page.locator('.tile[data-bed="bed-07"] .alarm')
    until("the medium one", lambda: _has_class(bed6, "medium"))
    until("a label is text", lambda: bed7.inner_text() == "!!! ECG LEAD <b>OFF</b>")
    until("the gravest above", lambda: "VENT FIB" in page.locator(".urgent").inner_text())
    style = "node => { const s = getComputedStyle(node); return [s.animationName, s.animationDuration]; }"
    assert bed3.evaluate(style) == ["frame-high", "0.5s"]

    beds.silent.add("bed-05")
    until("no data", lambda: "NO DATA" in bed5.locator(".cover").inner_text())
    assert _has_class(bed5, "stale")
    assert bed5.locator(".rate").inner_text() == "--"
    until("the others have theirs", lambda: bed1.locator(".cover").inner_text() == "")
    page.screenshot(path=str(_screenshot_folder(tmp_path) / "ward.png"))

    assert float(page.locator(".ward").get_attribute("data-bytes-per-second")) < 200_000

    beds.analysed = False
    until("nobody analyses", lambda: "NO WORKER" in page.locator(".link").inner_text())
    until("the tile says so", lambda: "!!! NOT ANALYSED" in bed1.locator(".strip").inner_text())
    page.screenshot(path=str(_screenshot_folder(tmp_path) / "unanalysed.png"))
    beds.analysed = True
    until("analysis is back", lambda: page.locator(".link").inner_text() == "live")

    page.get_by_role("link", name="Alarms").click()
    main = page.locator('[data-testid="stMain"]')
    until("the alarms page", lambda: "VENT FIB" in main.inner_text(), 30)
    until("its head line", lambda: "bed-03 *** VENT FIB" in page.locator(".urgent").inner_text())
    assert " · 1 high · 1 medium · 0 low · " in page.locator(".count").inner_text()
    assert page.locator(".time").inner_text().split()[1:] == [page.evaluate(ZONE)]
    bar = page.locator(".bar")
    bursts = int(bar.get_attribute("data-high"))
    until("alarms sound on pages without traces", lambda: int(bar.get_attribute("data-high")) > bursts, 20)
    page.screenshot(path=str(_screenshot_folder(tmp_path) / "alarms.png"))

    page.get_by_role("link", name="Bed").click()
    until("the gravest bed is preset", lambda: page.locator('.tile[data-bed="bed-03"]').count() == 1, 20)
    page.get_by_role("link", name="Ward").click()
    until("eight tiles again", lambda: tile(".tile").count() == len(BEDS), 20)
    assert [address for address in foreign if not address.startswith(url)] == []

    bed1.click()
    page.wait_for_url("**/bed?bed=bed-01")
    until("one tile", lambda: page.locator(".tile").count() == 1)
    page.wait_for_selector('[data-testid="stDataFrame"]')
    until("the head", lambda: "bed-03 *** VENT FIB" in page.locator(".urgent").inner_text())
    assert "8 beds" in page.locator(".count").inner_text()
    before = pixels(page, "bed-01")
    until("the trace of the bed page moves", lambda: pixels(page, "bed-01") != before)
    page.screenshot(path=str(_screenshot_folder(tmp_path) / "bed.png"))

    system = page.context.browser.new_page()
    system.goto(f"{url}/system")
    verdict = system.locator(".trust")
    until("the System page's verdict", lambda: verdict.count() == 1, 30)
    assert verdict.evaluate(BEFORE) == "none"

    child.stop()
    until("connection lost", lambda: "CONNECTION LOST" in page.locator(".tile .cover").inner_text())
    until("of before, the verdict, too", lambda: verdict.evaluate(BEFORE) == '"before loss: "', 30)
    system.screenshot(path=str(_screenshot_folder(tmp_path) / "system-lost.png"))
    assert page.locator(".tile .rate").inner_text() == "--"
    frozen = pixels(page, "bed-01")
    assert "lost" in page.locator(".tile").get_attribute("class").split()
    assert pixels(page, "bed-01") == frozen


BEFORE = "node => getComputedStyle(node.querySelector('b'), '::before').content"
ZONE = "new Date().toLocaleTimeString('en-GB', { timeZoneName: 'short' }).split(' ')[1]"
QUIET_START = """const Sound = window.AudioContext;
window.AudioContext = class extends Sound { constructor() { super(); this.suspend(); } };"""
"""Headless Chromium lets sound start by itself; browsers on a desk do not."""
FITS = """() => {
  const tiles = [];
  const look = (root) => { for (const node of root.querySelectorAll('*')) {
    if (node.classList.contains('tile')) tiles.push(node.getBoundingClientRect());
    if (node.shadowRoot) look(node.shadowRoot);
  } };
  look(document);
  const main = document.querySelector('[data-testid="stMain"]');
  const inside = (box) => box.top >= 0 && box.left >= 0 && box.right <= innerWidth
    && box.bottom <= innerHeight;
  return tiles.every(inside) && main.scrollHeight <= main.clientHeight
    && document.scrollingElement.scrollHeight <= innerHeight;
}"""
COLUMNS = """() => {
  const lefts = new Set();
  const look = (root) => { for (const node of root.querySelectorAll('*')) {
    if (node.classList.contains('tile')) lefts.add(Math.round(node.getBoundingClientRect().left));
    if (node.shadowRoot) look(node.shadowRoot);
  } };
  look(document);
  return lefts.size;
}"""
CUT = """() => {
  const cut = [];
  const look = (root) => { for (const node of root.querySelectorAll('*')) {
    if (node.matches('.alarm .message, .alarm .note')
      && (node.scrollHeight > node.clientHeight + 2 || node.scrollWidth > node.clientWidth + 1))
      cut.push(node.textContent);
    if (node.shadowRoot) look(node.shadowRoot);
  } };
  look(document);
  return cut;
}"""
"""Words of alarms that their tile has no room for."""
WOKEN = """() => {
  const now = Date.now;
  Date.now = () => now() + 60_000;
  document.dispatchEvent(new Event('visibilitychange'));
  const find = (root, name) => { for (const node of root.querySelectorAll('*')) {
    if (node.matches(name)) return node;
    const inner = node.shadowRoot && find(node.shadowRoot, name); if (inner) return inner; } return null; };
  const said = [find(document, '.link').textContent, find(document, '.tile .cover').textContent];
  Date.now = now;
  return said;
}"""


PEN = """async (bed) => {
  const find = (root) => { for (const node of root.querySelectorAll('*')) {
    if (node.dataset?.bed === bed) return node;
    const inner = node.shadowRoot && find(node.shadowRoot); if (inner) return inner; } return null; };
  const canvas = find(document).querySelector('canvas');
  const context = canvas.getContext('2d');
  const { width, height } = canvas;
  const pen = () => {
    const { data } = context.getImageData(0, 0, width, height);
    const drawn = new Uint8Array(width);
    for (let at = 3; at < data.length; at += 4) if (data[at]) drawn[(at >> 2) % width] = 1;
    let best = [0, 0];
    for (let from = 1; from < width; from++) {
      if (drawn[from] || !drawn[from - 1]) continue;
      let to = from;
      while (to < width && !drawn[to]) to++;
      if (to - from > best[1]) best = [from, to - from];
    }
    return best[0] / devicePixelRatio;
  };
  const seen = [];
  const begun = performance.now();
  while (performance.now() - begun < 3000) {
    await new Promise(requestAnimationFrame);
    seen.push([performance.now() / 1000, pen()]);
  }
  return seen;
}"""
"""Where the erase bar of a bed stood (CSS pixels from the left), and when (s): its left end is the pen."""
PIXELS_PER_MM = 96 / 25.4


def pace_mm_per_s(page, bed: str) -> float:
    """How fast the pen of a bed goes: the median over half seconds, so that a frame that is late is none."""
    seen = page.evaluate(PEN, bed)
    paces = [
        (x2 - x1) / (at2 - at1) / PIXELS_PER_MM
        for index, (at1, x1) in enumerate(seen)
        for at2, x2 in next(([one] for one in seen[index:] if one[0] - at1 >= 0.5), [])
        if x2 >= x1
    ]
    return float(np.median(paces)) if paces else 0.0


HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event('visibilitychange'));
}"""


@pytest.mark.slow
def test_a_ward_that_is_heard_arranged_and_hung_on_a_wall(
    kafka: Settings,
    beds: Beds,
    server: tuple[Child, str],
    page,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    _, url = server
    page.add_init_script(QUIET_START)
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(url)
    bar, ward = page.locator(".bar"), page.locator(".ward")
    tiles = page.locator(".tile")
    until("eight tiles", lambda: tiles.count() == len(BEDS), 60)
    until("the tiles fit", lambda: page.evaluate(FITS), 10)
    assert "SOUND OFF" in bar.locator(".soundoff").inner_text()
    assert bar.get_attribute("data-context") == "suspended"

    page.set_viewport_size({"width": 420, "height": 800})
    until("one column", lambda: page.evaluate(COLUMNS) == 1)
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= 420
    # Sound, pages: neither is cut or covers the other, and the pages can be opened.
    pages = page.get_by_test_id("stExpandSidebarButton")
    until("side by side", lambda: _stand_in_a_row(pages, *bar.locator(":scope > :visible").all()), 10)
    pages.click(trial=True)
    page.set_viewport_size({"width": 1366, "height": 768})
    until("several again", lambda: page.evaluate(COLUMNS) > 1)

    # Nothing sounds before a click; from then on what is active does, until it is acknowledged.
    fibrillation = an_alarm("bed-03", "vf", Priority.HIGH, "*** VENT FIB/FLUTTER")
    publish_alarms(kafka, fibrillation)
    until("the alarm", lambda: "VENT FIB" in page.locator(".urgent").inner_text(), 10)
    assert bar.get_attribute("data-high") == "0"
    page.locator(".banner .count").click()
    until("a burst", lambda: int(bar.get_attribute("data-high")) >= 1, 10)
    assert bar.get_attribute("data-context") == "running"
    assert bar.locator(".soundoff").inner_text() == ""
    bar.get_by_role("button", name="Mute").click()
    until("muted", lambda: "SOUND OFF" in bar.locator(".soundoff").inner_text(), 5)
    bar.get_by_role("button", name="Sound on").click()
    until("heard again", lambda: int(bar.get_attribute("data-high")) >= 2, 10)
    seen = msgspec.structs.replace(
        fibrillation, state=AlarmState.ACKNOWLEDGED, acknowledged_by="nina", revision=1
    )
    publish_alarms(kafka, seen)
    until("silence", lambda: bar.get_attribute("data-level") == "", 10)
    assert page.locator('.tile[data-bed="bed-03"] .note').inner_text() == "seen by nina"
    assert page.evaluate(CUT) == []

    page.get_by_label("Order", exact=True).select_option("by priority")
    until("the gravest first", lambda: tiles.first.get_attribute("data-bed") == "bed-03", 5)
    record_property("frames_per_second", page.locator(".ward").get_attribute("data-fps"))
    # The display's own clock glides by up to 5 %.
    until("25 mm a second", lambda: abs(pace_mm_per_s(page, "bed-01") - 25) < 2)
    page.get_by_label("Sweep", exact=True).select_option("50 mm/s")
    assert "50 mm/s" in page.locator("footer").inner_text()
    until("50 mm a second", lambda: abs(pace_mm_per_s(page, "bed-01") - 50) < 4)
    page.get_by_label("Gain", exact=True).select_option("5 mm/mV")
    until("the gain", lambda: "5 mm/mV" in page.locator('[data-bed="bed-01"] .label').first.inner_text(), 10)

    assert page.evaluate(WOKEN)[0].startswith("CONNECTION LOST")
    until("live again", lambda: page.locator(".link").inner_text() == "live", 10)

    name = page.title()
    page.evaluate(HIDE, True)
    assert page.title() == "NOT WATCHED: Wardwave"
    page.evaluate(HIDE, False)
    assert page.title() == name

    bar.get_by_role("button", name="Light").click()
    until("a light ward", lambda: _has_class(ward, "light"), 30)
    until("eight light tiles in the order chosen", lambda: tiles.count() == len(BEDS), 30)
    until("what was chosen stays", lambda: tiles.first.get_attribute("data-bed") == "bed-03", 5)
    assert "50 mm/s" in page.locator("footer").inner_text()
    page.screenshot(path=str(_screenshot_folder(tmp_path) / "ward-light.png"))

    tiles.first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**/bed*", timeout=15_000)
    until("the second tile's bed", lambda: page.locator('.tile[data-bed="bed-01"]').count() == 1, 20)

    page.goto(f"{url}/wall?theme=dark&sort=label")
    until("eight tiles on the wall", lambda: tiles.count() == len(BEDS) and not _has_class(ward, "light"), 60)
    until("the wall fits", lambda: page.evaluate(FITS), 10)
    assert "SOUND OFF" in page.locator(".ward > .soundoff").inner_text()
    assert not page.locator('[data-testid="stHeader"]').is_visible()
    assert page.locator(".bar button:visible, .select:visible, .who:visible").count() == 0
    page.keyboard.press("a")
    until("sound by a key", lambda: page.locator(".ward > .soundoff").inner_text() == "", 10)
    assert "no medical device" in page.locator("footer").inner_text()
    page.keyboard.press("Escape")
    until("the ward again", lambda: page.locator(".select:visible").count() >= 3, 30)


LATE = """(() => {
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    window.asked = () => send.call(this, data);
    return send.call(this, data);
  };
})()"""
"""``asked()`` asks the server once more for what the page asked for last."""


@pytest.mark.parametrize("turns", [2, pytest.param(16, marks=pytest.mark.slow)])
def test_pages_change_while_feeds_run_and_none_stays_white(
    kafka: Settings, beds: Beds, server: tuple[Child, str], page, turns: int
) -> None:
    _, url = server
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.add_init_script(LATE)
    page.set_viewport_size({"width": 1366, "height": 768})
    page.goto(url)
    tiles, main = page.locator(".tile"), page.locator('[data-testid="stMain"]')
    until("eight tiles", lambda: tiles.count() == len(BEDS), 60)
    page.evaluate("window.feeds = 0; window.wardwaveFeed.sinks.add(() => { window.feeds++; })")
    until("the feed's timer asks", lambda: page.evaluate("window.feeds") > 3)
    page.evaluate("window.late = window.asked")

    for turn in range(turns):
        bed = BEDS[turn % len(BEDS)]
        page.locator(f'.tile[data-bed="{bed}"]').click()
        page.wait_for_url(f"**/bed?bed={bed}")
        one = page.locator(f'.tile[data-bed="{bed}"]')
        until(f"one bed, turn {turn}", lambda one=one: tiles.count() == one.count() == 1)
        if turn == 0:
            # What the ward's timer asked for comes late: nobody waits for it any more.
            page.evaluate("window.late(); window.feeds = 0")
            until("the bed is fed", lambda: page.evaluate("window.feeds") > 4)
            assert one.count() == 1
        page.get_by_role("link", name="Alarms").click()
        page.wait_for_url("**/alarms")
        until(
            f"the alarms, turn {turn}",
            lambda: tiles.count() == 0 and "all alarms at once" in main.inner_text(),
        )
        page.get_by_role("link", name="Ward").click()
        until(f"the ward, turn {turn}", lambda: tiles.count() == len(BEDS))
    assert wrong == []

    # Still the first document, and with it the sound that a click has started.
    assert page.evaluate("typeof window.late") == "function"
    page.locator('.tile[data-bed="bed-04"]').click()
    page.wait_for_url("**/bed?bed=bed-04")
    page.reload()
    bed4 = page.locator('.tile[data-bed="bed-04"]')
    until("the same bed", lambda: bed4.count() == 1)

    # Streamlit's page dies, as by an error in its scripts: what stands outside says so and loads it again.
    page.locator(".count").click()
    page.route("**/_stcore/health", lambda route: route.abort())
    page.evaluate("document.getElementById('root').replaceChildren()")
    lost = page.get_by_test_id("page-lost")
    until("it is said", lambda: lost.count() == 1 and "CONNECTION LOST" in lost.inner_text())
    until("and heard", lambda: page.evaluate("window.wardwaveSound.bursts.high") > 0)
    assert bed4.count() == 0
    page.unroute("**/_stcore/health")
    until("the page is back", lambda: lost.count() == 0 and bed4.count() == 1, 60)


def _stand_in_a_row(*nodes) -> bool:
    """Whether they stand left to right in Streamlit's bar (60 px), none cut, none over another."""
    boxes = [node.bounding_box() for node in nodes]
    right = 0.0
    for box in boxes:
        if box["x"] < right or box["y"] < 0 or box["y"] + box["height"] > 60:
            return False
        right = box["x"] + box["width"]
    return right <= 420


def _has_class(node, name: str) -> bool:
    return node.count() == 1 and name in (node.get_attribute("class") or "").split()


def _screenshot_folder(tmp_path: Path) -> Path:
    """Where pictures are kept: WARDWAVE_SCREENSHOTS, else with the test's other files."""
    folder = Path(os.environ.get("WARDWAVE_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
