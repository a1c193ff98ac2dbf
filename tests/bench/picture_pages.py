"""Takes the pictures of docs/screens: every page, dark and light, 1920x1080 and 1366x768, of simulated beds.

    python tests/bench/picture_pages.py --out docs/screens

Everything is real: embedded broker, simulated beds, worker, recorder, dashboard, headless Chromium. No test:
the pictures are to be looked at.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from dashboard.children import Child
from ingest import kafka
from ingest.broker import EmbeddedBroker
from ingest.settings import load_settings
from ingest.simulate import Ward

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
SIZES = ((1920, 1080), (1366, 768))
THEMES = ("dark", "light")
SCRIPT = (
    "bed-03:vf@60s:900s",
    "bed-06:asystole@30s:12s",
    "bed-02:vt@40s:10s",
)
EEG_SCRIPT = ("bed-01:seizure@60s:480s",)
PAGES = {
    "ward": "", "wall": "wall", "bed": "bed?bed=bed-03", "eeg": "bed?bed=bed-01", "alarms": "alarms",
    "analyse": "analyse", "models": "models", "system": "system",
}  # fmt: skip
MOVING = {"ward": 12_000, "wall": 12_000, "bed": 12_000}


def a_table(path: Path) -> Path:
    """Write a minute of simulated ECG with a fibrillation as CSV."""
    ward = Ward(1, 5, ["bed-01:vf@25s:20s"])
    chunks = list(ward.chunks(0, 60.0, 1.0))
    values = np.concatenate([chunk.samples for chunk in chunks])
    lines = ["time_s,II [mV],V1 [mV]"]
    lines += [f"{index / 250:.3f},{row[0]:.4f},{row[1]:.4f}" for index, row in enumerate(values)]
    path.write_text("\n".join(lines) + "\n")
    return path


def settled(page: Page) -> None:
    """Wait until Streamlit has run the page."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=60_000)


def shoot(page: Page, out: Path, name: str, theme: str) -> None:
    """Keep what is shown, in 256 colours."""
    size = page.viewport_size or {"width": 0}
    path = out / f"{name}-{theme}-{size['width']}.png"
    page.screenshot(path=str(path))
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


def picture(browser: Browser, url: str, out: Path, table: Path, only: str) -> None:
    """Take all pictures."""
    for width, height in SIZES:
        for theme in THEMES:
            context = browser.new_context(viewport={"width": width, "height": height})
            page = context.new_page()
            page.set_default_timeout(60_000)
            for name, path in PAGES.items():
                if not re.fullmatch(only, name):
                    continue
                page.goto(f"{url}/{path}{'&' if '?' in path else '?'}theme={theme}")
                settled(page)
                page.wait_for_timeout(MOVING.get(name, 4_000))
                if name == "eeg":
                    part = page.get_by_role("radio", name="EEG", exact=True)
                    part.click()
                    settled(page)
                    # A sheet of 10 s fills.
                    page.wait_for_timeout(15_000)
                    part.evaluate("part => part.scrollIntoView(true)")
                    page.wait_for_timeout(1_000)
                if name == "analyse":
                    page.locator('input[type="file"]').first.set_input_files(str(table))
                    page.get_by_role("button", name="Analyse").last.click()
                    page.get_by_text("Findings").first.wait_for(timeout=90_000)
                    settled(page)
                    page.wait_for_timeout(2_000)
                shoot(page, out, name, theme)
                if name == "bed" and re.fullmatch(only, "bed"):
                    page.get_by_text("Freeze / review").first.click()
                    settled(page)
                    page.wait_for_timeout(4_000)
                    shoot(page, out, "frozen", theme)
            context.close()


def main() -> None:
    """Parse the command line, start the ward, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/screens"))
    parser.add_argument("--beds", type=int, default=16)
    parser.add_argument("--port", type=int, default=8597)
    parser.add_argument("--only", default=".*", help="regular expression of the pages' names")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(EmbeddedBroker())
        environment = {
            "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "WARDWAVE_KAFKA__PARTITIONS": "8",
            "WARDWAVE_RECORDER__URL": f"sqlite:///{folder / 'store.sqlite'}",
            "WARDWAVE_COMMANDS__KEY": secrets.token_hex(32),
        }
        os.environ.update(environment)
        kafka.ensure_topics(load_settings())
        for arguments in (
            ["infer"],
            ["record"],
            ["dashboard", "--port", str(options.port)],
            ["simulate", "--beds", str(options.beds), "--script", *SCRIPT],
            ["simulate", "--beds", "1", "--kinds", "eeg", "--script", *EEG_SCRIPT],
        ):
            stack.callback(Child("-".join(arguments[:4]), arguments, environment, folder).stop)
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        stack.callback(browser.close)
        page = browser.new_page()
        page.wait_for_timeout(75_000)
        page.close()
        picture(
            browser,
            f"http://127.0.0.1:{options.port}",
            options.out,
            a_table(folder / "ecg.csv"),
            options.only,
        )


if __name__ == "__main__":
    main()
