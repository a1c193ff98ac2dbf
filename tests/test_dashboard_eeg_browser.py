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

    # A click into the seizure of three minutes ago, in the trends, shows it above.
    lanes = pane.locator(".lanes")
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
