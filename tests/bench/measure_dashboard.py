"""How the ward page holds up: frames, delay, dropped samples, memory, alarm to red; with more viewers.

    python tests/bench/measure_dashboard.py --beds 16 --minutes 5 --viewers 1 --json dashboard.json

Everything is real: embedded broker, simulated beds, worker, dashboard, headless Chromium. No test: it asserts
nothing and prints what it measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from kafka import TopicPartition
from playwright.sync_api import Page, sync_playwright
from viewers import Viewer

from dashboard.children import Child
from ingest import kafka
from ingest.broker import EmbeddedBroker
from ingest.settings import Settings, load_settings

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--enable-precise-memory-info",
    "--js-flags=--expose-gc",
]
FIRST_VF_S = 40
EVERY_S = 12
VF_S = 8
NOTE_RED = """() => {
  const ward = document.__wardNode;
  window.__red = [];
  const look = (tile) => {
    const red = tile.classList.contains('high');
    if (red && !tile.__red) window.__red.push([tile.dataset.bed, Date.now()]);
    tile.__red = red;
  };
  const watch = new MutationObserver((changes) => { for (const change of changes) look(change.target); });
  for (const tile of ward.querySelectorAll('.tile')) {
    watch.observe(tile, { attributes: true, attributeFilter: ['class'] });
  }
  window.__frames = [];
  let last = performance.now();
  const frame = (now) => { window.__frames.push(now - last); last = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""
STATE = """() => {
  const ward = document.__wardNode.getRootNode().wardwave;
  const delays = [];
  let missing = 0;
  for (const tile of ward.tiles.values()) {
    for (const row of tile.rows) {
      if (row.drawn === null) continue;
      delays.push(Date.now() / 1000 - row.trace.timeOf(row.drawn));
    }
    for (const trace of tile.traces.values()) {
      trace.channels.forEach((_, channel) => {
        for (let index = trace.first; index < trace.head; index++) {
          if (Number.isNaN(trace.value(channel, index))) missing++;
        }
      });
    }
  }
  if (window.gc) window.gc();
  const node = document.__wardNode;
  const heap = performance.memory.usedJSHeapSize;
  return { delays, missing, heap, bytes: Number(node.dataset.bytesPerSecond) };
}"""


ALL_SEATED = """(count) => {
  const find = (root) => {
    for (const node of root.querySelectorAll('*')) {
      if (node.dataset?.testid === 'ward') return node;
      const within = node.shadowRoot && find(node.shadowRoot);
      if (within) return within;
    }
    return null;
  };
  document.__wardNode = find(document);
  return document.__wardNode?.querySelectorAll('.tile').length === count;
}"""


class AlarmTimes(threading.Thread):
    """Broker's time of each high-priority alarm record that begins an episode."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self.times_ms: dict[str, list[float]] = {}
        self._settings = settings
        self.halt = threading.Event()

    def run(self) -> None:
        """Read until told to stop."""
        reader = kafka.consumer(self._settings, group_id=None, fetch_max_wait_ms=50)
        topic = self._settings.topics.alarms
        reader.assign([TopicPartition(topic, number) for number in range(self._settings.kafka.partitions)])
        reader.seek_to_beginning()
        seen: set[str] = set()
        while not self.halt.is_set():
            for records in reader.poll(timeout_ms=100).values():
                for record in records:
                    alarm = json.loads(record.value)
                    if alarm["priority"] == "high" and alarm["id"] not in seen:
                        seen.add(alarm["id"])
                        self.times_ms.setdefault(alarm["bed"], []).append(record.timestamp)
        reader.close()


def quantile(values: list[float], share: float) -> float:
    """Nearest-rank quantile."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))]


def open_ward(page: Page, url: str, beds: int) -> None:
    """Open the ward and wait until every bed is drawn."""
    page.goto(url)
    ward = page.get_by_test_id("ward")
    ward.wait_for()
    page.wait_for_function(
        ALL_SEATED,
        arg=beds,
        timeout=60_000,
    )
    page.evaluate(NOTE_RED)


def script(beds: int, duration_s: float) -> list[str]:
    """One short fibrillation every few seconds, bed after bed."""
    count = int((duration_s - FIRST_VF_S - VF_S) / EVERY_S)
    events = [(n % beds, FIRST_VF_S + n * EVERY_S) for n in range(max(1, count))]
    return [f"bed-{bed + 1:02d}:vf@{at}s:{VF_S}s" for bed, at in events]


def red_delays(times_ms: dict[str, list[float]], red: list[tuple[str, float]]) -> list[float]:
    """Seconds from each alarm's record to the red tile that followed it."""
    found = []
    for bed, shown_ms in red:
        before = [at for at in times_ms.get(bed, []) if at <= shown_ms + 5]
        if before:
            found.append((shown_ms - before[-1]) / 1e3)
    return found


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Run the ward and return the figures."""
    duration_s = options.minutes * 60
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker())
        environment = {
            "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "WARDWAVE_KAFKA__PARTITIONS": "8",
            "WARDWAVE_RECORDER__URL": f"sqlite:///{folder / 'store.sqlite'}",
        }
        os.environ.update(environment)
        settings = load_settings()
        kafka.ensure_topics(settings)
        children = []

        def start(name: str, *arguments: str) -> Child:
            child = Child(name, list(arguments), environment, folder)
            children.append(child)
            stack.callback(child.stop)
            return child

        start("worker", "infer")
        server = start("dashboard", "dashboard", "--port", str(options.port))
        start(
            "simulate", "simulate", "--beds", str(options.beds), "--script", *script(options.beds, duration_s)
        )
        alarms = AlarmTimes(settings)
        alarms.start()
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        stack.callback(browser.close)
        pages = []
        time.sleep(15)
        page = browser.new_context(viewport={"width": 1920, "height": 1080}).new_page()
        open_ward(page, f"http://127.0.0.1:{options.port}/", options.beds)
        pages.append(page)
        # Ten screens are drawn by ten machines: here one is, the others only ask and take what is sent.
        others = [Viewer(options.port) for _ in range(options.viewers - 1)]
        for viewer in others:
            viewer.start()
        process = psutil.Process(server.pid)
        process.cpu_percent()
        samples = []
        began = time.monotonic()
        while time.monotonic() - began < duration_s:
            pages[0].wait_for_timeout(10_000)
            for child in children:
                child.check()
            state = pages[0].evaluate(STATE)
            state["rss"] = process.memory_info().rss
            state["at_s"] = round(time.monotonic() - began)
            samples.append(state)
        cpu = process.cpu_percent()
        frames = pages[0].evaluate("() => window.__frames")[60:]
        reds = [page.evaluate("() => window.__red") for page in pages]
        gaps = [gap for viewer in others for gap in viewer.gaps_s[20:]]
        rates = [viewer.bytes_per_s for viewer in others]
        for thread in (alarms, *others):
            thread.halt.set()
            thread.join()
        delays = [delay for sample in samples[1:] for delay in sample["delays"]]
        red = [delay for one in reds for delay in red_delays(alarms.times_ms, one)]
        return {
            "beds": options.beds,
            "viewers": options.viewers,
            "minutes": options.minutes,
            "frames_per_s": round(1e3 / statistics.mean(frames), 1),
            "frame_ms_p99": round(quantile(frames, 0.99), 1),
            "trace_delay_s_p50": round(statistics.median(delays), 2),
            "trace_delay_s_max": round(max(delays), 2),
            "missing_samples": max(sample["missing"] for sample in samples),
            "kB_per_s": round(samples[-1]["bytes"] / 1e3, 1),
            "other_viewers_feed_gap_s": [round(quantile(gaps, part), 2) for part in (0.5, 0.99, 1.0)]
            if gaps
            else None,
            "other_viewers_kB_per_s": [round(rate / 1e3, 1) for rate in rates],
            "heap_MB": [round(sample["heap"] / 1e6, 1) for sample in samples[:: max(1, len(samples) // 6)]],
            "server_MB": [round(sample["rss"] / 1e6, 1) for sample in samples[:: max(1, len(samples) // 6)]],
            "server_cpu_percent": cpu,
            "alarms_on_topic": sum(len(times) for times in alarms.times_ms.values()),
            "alarms_red": [len(one) for one in reds],
            "alarm_to_red_s_p50": round(statistics.median(red), 2) if red else None,
            "alarm_to_red_s_p95": round(quantile(red, 0.95), 2) if red else None,
            "alarm_to_red_s_max": round(max(red), 2) if red else None,
        }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--beds", type=int, default=16)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--viewers", type=int, default=1)
    parser.add_argument("--port", type=int, default=8599)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options)
    text = json.dumps(found, indent=1)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
