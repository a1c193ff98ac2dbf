"""The EEG page in a real browser: what its scripts work out, and what a reader sees and does."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import signal as scipy_signal

from dashboard.eeg_layout import montages_of
from dashboard.theme import THEME
from ingest.electrodes import SITES_10_20 as CHANNELS
from ingest.montage import plan_of
from ingest.sim_eeg import EegStream
from tests.browsing import CHROMIUM, FLAGS, free_port, until

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "dashboard" / "component"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        chromium.close()


DERIVE = """([rows, samples, cuts, [begin, ...ends]]) => {
  const fs = 256, count = samples[0].length;
  const header = (newest, past = null) => ({
    epoch: 1, fs, channels: samples.map((_, at) => `c${at}`), heldFrom: 0, off: [], newest, past,
    headS: 1000 + (newest.first + newest.count) / fs,
  });
  const ones = samples.map(() => 0.1), zeros = samples.map(() => 5);
  const block = (first, end) => ({ first, count: end - first, scale: ones, offset: zeros });
  const code = (value) => (value === null ? -32768 : Math.round((value - 5) / 0.1));
  const digital = (first, end) => Int16Array.from(samples.flatMap((row) => row.slice(first, end).map(code)));
  const signal = new EegSignal(header(block(begin, begin)));
  const live = new Derived(signal, rows, cuts, begin, count / fs);
  let from = begin;
  for (const end of [...ends, count]) {
    // Each feed repeats a little of the one before it.
    const first = Math.max(begin, from - 7);
    signal.push(header(block(first, end)), digital(first, end), null);
    live.run(signal.head);
    from = end;
  }
  const asked = signal.wanted(0, null, 0);
  const last = block(count - 10, count);
  signal.push(header(last, block(0, begin + 3)), digital(count - 10, count), digital(0, begin + 3));
  const whole = new Derived(signal, rows, cuts, 0, count / fs);
  whole.run(signal.head);
  const read = (one, start) => rows.map((_, row) => Array.from({ length: count - start }, (_, at) => {
    const value = one.value(row, start + at);
    return Number.isNaN(value) ? null : value;
  }));
  const { holes } = signal;
  return { asked, holes, stale: live.stale, whole: read(whole, 0), live: read(live, count - 500) };
}"""


def test_rows_are_the_montage_through_the_filters_that_are_said(browser: object) -> None:
    samples = EegStream(3, "bed").next_samples(3_072).astype(np.float64)
    samples[:, 4] += 150.0
    samples[1_500:1_520, 0] = np.nan
    rows = json.loads(
        json.dumps([{"name": row.name, "weights": row.weights} for row in montages_of(CHANNELS)[0].rows])
    )
    page = browser.new_page()  # type: ignore[attr-defined]
    text = "\n".join((SCRIPTS / name).read_text() for name in ("trace.js", "eeg_signal.js", "eeg_filter.js"))
    page.add_script_tag(content=text)
    sent = [[None if np.isnan(value) else float(value) for value in column] for column in samples.T]
    found = page.evaluate(DERIVE, [rows, sent, {"low": 1, "high": 30, "mains": 50}, [900, 1_000, 2_000]])
    page.close()

    assert found["asked"] == {"do": "past", "epoch": 1, "until": 900}
    assert found["holes"] == []
    assert found["stale"]  # what was derived before the past came is derived anew
    plan = plan_of(CHANNELS)
    derived = plan(samples)[:, 5].astype(np.float64)
    sections = np.concatenate(
        [
            scipy_signal.butter(1, 1.0, "highpass", fs=256, output="sos"),
            scipy_signal.butter(2, 30.0, fs=256, output="sos"),
            scipy_signal.tf2sos(*scipy_signal.iirnotch(50, 12.0, fs=256)),
        ]
    )
    expected, _ = scipy_signal.sosfilt(sections, derived, zi=scipy_signal.sosfilt_zi(sections) * derived[0])
    np.testing.assert_allclose(found["whole"][5], expected, atol=0.5)
    # Missing in Fp1: its rows are, others are not; what came live is what is worked out of the whole.
    missing = [value is None for value in found["whole"][0]]
    assert [missing.index(True), sum(missing)] == [1_500, 20]
    np.testing.assert_allclose(found["live"][5], expected[-500:], atol=0.5)


TREND_SCRIPTS = (
    "sound_pane_spectrum.js",
    "eeg_signal.js",
    "eeg_past.js",
    "eeg_trends.js",
    "eeg_ground.js",
    "eeg_sheet.js",
    "eeg_lanes.js",
)
TABLE = """([minutes, seconds, from, fine]) => {
  const trends = new EegTrends();
  const names = ["n", "low"];
  const flat = Float32Array.from(minutes.flatMap(([, n, low]) => [n, low]));
  const told = { afterS: null, count: minutes.length, names, problem: "" };
  trends.past.push(told, minutes.map(([time]) => time), flat);
  const own = { epoch: 1, first: 0, count: seconds.length, names: ["low"], signs: [] };
  const lows = Float32Array.from(seconds.map(([, low]) => low));
  trends.series.push(own, seconds.map(([time]) => time), lows, true);
  return [...new TrendTable(trends, from, fine).of("low")];
}"""


def test_what_is_held_and_what_is_stored_make_one_trend_without_doubles_and_with_its_gaps(
    browser: object,
) -> None:
    page = browser.new_page()  # type: ignore[attr-defined]
    page.add_script_tag(content="\n".join((SCRIPTS / name).read_text() for name in TREND_SCRIPTS))
    minutes = [[0, 60, 1], [60, 60, 2], [180, 60, 3], [240, 10, 4]]
    # Of the minute at 180 a part was heard, of that at 240 all.
    seconds = [[time, 30] for time in range(220, 240)] + [[time, 50] for time in range(240, 300)]
    coarse = page.evaluate(TABLE, [minutes, seconds, 0, False])
    fine = page.evaluate(TABLE, [minutes, seconds, 0, True])
    later = page.evaluate(TABLE, [minutes, seconds, 200, True])
    alarms = [[0, 100, "a", "technical", "! OFF"], [50, None, "b", "high", "*** SEIZURE"]]
    pieces = page.evaluate("(alarms) => alarmPieces(alarms, 20, 80)", alarms)
    page.close()
    assert coarse == [[0, 1, 60], [60, 2, 60], [180, 3, 60], [240, 50, 60]]
    assert fine[:4] == [[0, 1, 60], [60, 2, 60], [180, 3, 60], [239, 50, 1]]
    assert len(fine) == 63
    assert later[0] == [180, 3, 60]
    assert pieces["pieces"] == [
        [0, 50, "technical", "! OFF"],
        [50, 80, "high", "*** SEIZURE · ! OFF"],
    ]
    assert pieces["edges"] == [[0, "technical"], [50, "high"]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    options = THEME | {
        "server.port": str(port),
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "tests/fixtures/eeg_app.py"), *arguments]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT)
        try:
            until("the server answers", lambda: _answers(port), 60)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


AEEG_LEFT, MEDIUM = "8cc2ff", "d89a00"
COLUMNS = """(node, [colour, count]) => {
  // In which of `count` equal parts of the time axis there is any of a colour.
  const { width, height } = node, ratio = width / node.clientWidth;
  const wanted = [0, 2, 4].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const { data } = node.getContext("2d").getImageData(0, 0, width, height);
  const [left, right] = [86 * ratio, width - 78 * ratio];
  const found = new Set();
  for (let x = Math.ceil(left); x < right; x++) {
    for (let y = 0; y < height; y++) {
      const at = 4 * (y * width + x);
      if (!wanted.every((value, channel) => data[at + channel] === value)) continue;
      const part = (at) => Math.floor(((at - left) / (right - left)) * count);
      for (let one = part(x); one <= part(x + 0.999); one++) found.add(one);
      break;
    }
  }
  return [...found];
}"""


def columns(canvas: object, colour: str, count: int) -> set[int]:
    return set(canvas.evaluate(COLUMNS, [colour, count]))  # type: ignore[attr-defined]


PICTURE = "node => node.toDataURL()"
INK = """node => {
  // Pixels that the traces take.
  const { data } = node.getContext("2d").getImageData(0, 0, node.width, node.height);
  let count = 0;
  for (let at = 3; at < data.length; at += 4) if (data[at] > 100) count++;
  return count;
}"""


def test_a_reader_sees_the_eeg_come_freezes_looks_back_measures_and_sees_it_stop(
    browser: object, address: str, tmp_path: Path
) -> None:
    view = browser.new_page(viewport={"width": 1366, "height": 768}, color_scheme="dark")  # type: ignore[attr-defined]
    wrong: list[str] = []
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.goto(address)
    pane = view.locator(".eeg")
    pane.wait_for(timeout=60_000)
    fact = lambda name: pane.get_attribute(f"data-{name}") or ""  # noqa: E731
    badge, said, reading = pane.locator(".badge"), pane.locator(".said"), pane.locator(".reading")
    traces = pane.locator(".traces")

    until(
        "five minutes are held, and all of them there",
        lambda: wrong or (float(fact("held") or 0) > 299 and fact("holes") == "0"),
        60,
    )
    assert wrong == []
    until("it is live", lambda: badge.inner_text().startswith("LIVE"))
    assert fact("rows") == "18"
    assert "<b>amplifier</b>" in pane.locator(".meta").inner_text()
    assert int(fact("columns")) > 100
    assert "eeg-test" in pane.locator(".found").inner_text()
    before = traces.evaluate(PICTURE)
    until("the sweep goes on", lambda: traces.evaluate(PICTURE) != before)

    sheet = pane.locator(".sheet")
    sheet.focus()
    assert "7 µV/mm" in said.inner_text()
    sheet.press("ArrowDown")
    until("down is smaller", lambda: "10 µV/mm" in said.inner_text())
    sheet.press("ArrowUp")
    until("up is larger", lambda: "7 µV/mm" in said.inner_text())

    # The dashboard itself has held seven minutes: the day is the store's.
    lanes = pane.locator(".lanes")
    pane.locator('[data-name="hours"]').select_option("24")
    until("the stored day is there", lambda: len(columns(lanes, AEEG_LEFT, 1_440)) > 1_300)
    assert "from the recorder's store" in pane.locator(".history").inner_text()
    shown = columns(lanes, AEEG_LEFT, 1_440)
    gap = range(1_440 - 690 + 3, 1_440 - 600 - 3)
    assert not shown & set(gap)
    assert {gap.start - 6, gap.stop + 6} <= shown
    suppressed = columns(lanes, MEDIUM, 1_440)
    assert set(range(1_440 - 995, 1_440 - 915)) <= suppressed
    assert suppressed <= set(range(1_440 - 1_003, 1_440 - 905)) | set(range(1_430, 1_441))
    pane.locator('[data-name="hours"]').select_option("1")
    until("the hour is drawn", lambda: len(columns(lanes, MEDIUM, 60)) < 6)

    # A click into the seizure of three minutes ago, in the trends, shows it above.
    box = lanes.bounding_box()
    ago_s = float(fact("held")) - 300 + 420 - 225
    lanes.click(position={"x": 86 + (box["width"] - 86 - 78) * (1 - ago_s / 3_600), "y": 60})
    until("the page is frozen", lambda: badge.inner_text().startswith("FROZEN"))
    until("its rows are drawn", lambda: traces.evaluate(INK) > 5_000)
    frozen = traces.evaluate(PICTURE)
    received = int(fact("bytes"))
    view.get_by_role("button", name="Other control").click()
    until("samples come on", lambda: int(fact("bytes")) > received + 40_000)
    assert traces.evaluate(PICTURE) == frozen

    pane.locator('[data-name="montage"]').select_option("average")
    until("the frozen page has the other montage", lambda: traces.evaluate(PICTURE) != frozen)
    assert (fact("montage"), badge.inner_text()[:6]) == ("average", "FROZEN")
    pane.locator('[data-name="montage"]').select_option("longitudinal")
    until("it is as it was", lambda: traces.evaluate(PICTURE) == frozen)

    sheet.evaluate("node => node.scrollIntoView({ block: 'center' })")
    place = sheet.bounding_box()
    view.mouse.move(place["x"] + 300, place["y"] + 33)
    view.mouse.down()
    view.mouse.move(place["x"] + 300 + (place["width"] - 86) / 10, place["y"] + 33, steps=3)
    view.mouse.up()
    until("a second is measured", lambda: re.match(r"\d+ ms · (1\.0|0\.9)", reading.inner_text()))
    assert "peak to peak in Fp1-F7" in reading.inner_text()

    ground = pane.locator(".ground")
    assert not columns(ground, MEDIUM, 10)
    for _ in range(4):
        sheet.press("PageDown")
    until("the alarm stands over the rows", lambda: len(columns(ground, MEDIUM, 10)) >= 9)

    pane.locator('[data-do="explain"]').click()
    why = pane.locator(".why")
    until("it is said why not", lambda: "not among those of this dashboard" in why.inner_text())
    pane.locator('[data-do="explain"]').click()
    until("it is no longer shown", lambda: why.inner_text() == "")

    pane.locator('[data-do="freeze"]').click()
    until("it is live again", lambda: badge.inner_text().startswith("LIVE"))
    view.screenshot(path=str(Path(os.environ.get("WARDWAVE_SCREENSHOTS", tmp_path)) / "eeg_pane.png"))
    view.get_by_role("button", name="Unplug").click()
    until("it says that nothing comes", lambda: badge.inner_text().startswith("NO DATA"))
    view.screenshot(path=str(Path(os.environ.get("WARDWAVE_SCREENSHOTS", tmp_path)) / "eeg_no_data.png"))
    assert pane.locator(".sheet.old").count() == 1
    assert pane.locator(".gone").inner_text().startswith("NO DATA")
    assert wrong == []
    view.close()


@pytest.mark.slow
def test_the_day_of_a_bed_that_sends_nothing_now_is_shown_as_past(
    browser: object, address: str, tmp_path: Path
) -> None:
    view = browser.new_page(viewport={"width": 1366, "height": 768}, color_scheme="dark")  # type: ignore[attr-defined]
    wrong: list[str] = []
    view.on("pageerror", lambda error: wrong.append(str(error)))
    view.goto(f"{address}/?silent=1")
    pane = view.locator(".eeg")
    pane.wait_for(timeout=60_000)
    badge, lanes = pane.locator(".badge"), pane.locator(".lanes")
    until("it is said", lambda: badge.inner_text().startswith("NO EEG NOW, the newest numbers are of"))
    assert not pane.locator(".sheet").is_visible()
    pane.locator('[data-name="hours"]').select_option("24")
    until("the stored day is there", lambda: len(columns(lanes, AEEG_LEFT, 1_440)) > 1_300)
    view.screenshot(path=str(Path(os.environ.get("WARDWAVE_SCREENSHOTS", tmp_path)) / "eeg_past.png"))
    assert wrong == []
    view.close()
