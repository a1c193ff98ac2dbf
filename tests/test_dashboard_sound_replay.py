"""Real recordings through broker, worker, recorder and dashboard: what a nurse sees and hears of them.

The recordings are of patients that the shipped networks never trained on. They are replayed in a loop: of a
recording of half a minute an alarm's rule would otherwise see little more than itself.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dashboard.children import Child
from inference.store import Store
from ingest.settings import Settings
from models import cards
from tests.browsing import CHROMIUM, FLAGS, free_port, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.data,
    pytest.mark.browser,
    pytest.mark.kafka,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium"),
]

LUNG, HEART = "icbhi2017_sc/audio/218_1p1_Pl_sc_Litt3200.flac", "circor2022/68194_PV.flac"
CRACKLING = "icbhi2017_sc/audio/218_1b1_Pl_sc_Meditron.flac"
LUNG_BED, HEART_BED, CRACKLING_BED = "lung-218", "heart-68194", "lung-218-before"
CRACKLE, WHEEZE, MURMUR, S1, S2 = "e69f00", "56b4e9", "cc79a7", "2fd3a0", "f0e442"
"""Colours of the marks (sound_pane_marks.js)."""

COLOURS = """node => {
  // Pixels of each colour in the two lanes of marks.
  const ratio = window.devicePixelRatio, context = node.getContext("2d");
  const lanes = context.getImageData(66 * ratio, 72 * ratio, node.width - 66 * ratio, 36 * ratio).data;
  const found = {};
  for (let at = 0; at < lanes.length; at += 4) {
    const name = [...lanes.subarray(at, at + 3)].map((value) => value.toString(16).padStart(2, "0")).join("");
    found[name] = (found[name] ?? 0) + 1;
  }
  return found;
}"""

LISTEN = """
  // What the browser plays: the samples from the place at which a source is started.
  window.played = [];
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when, offset, ...more) {
    const fs = this.buffer.sampleRate, first = Math.round(offset * fs);
    window.played.push([fs, [...this.buffer.getChannelData(0).subarray(first, first + 2 * fs)]]);
    return start.call(this, when, offset, ...more);
  };
"""


@pytest.fixture
def recordings(data_dir: Path) -> tuple[Path, ...]:
    found = tuple(data_dir / name for name in (LUNG, HEART, CRACKLING))
    for path in found:
        if not path.is_file():
            pytest.skip(f"{path} is not there: the recordings of shared/data are needed")
    return found


@pytest.fixture
def replayed(kafka: Settings, recordings: tuple[Path, ...], tmp_path: Path) -> Iterator[str]:
    """Address of a dashboard whose three beds send the recordings; worker and recorder run beside it."""
    port = free_port()
    environment = {
        "OMP_NUM_THREADS": "1",
        "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": kafka.kafka.bootstrap_servers,
        "WARDWAVE_KAFKA__PARTITIONS": str(kafka.kafka.partitions),
        "WARDWAVE_KAFKA__GROUP_ID": kafka.kafka.group_id,
        "WARDWAVE_COMMANDS__KEY": secrets.token_hex(32),
        "WARDWAVE_RECORDER__URL": f"sqlite:///{tmp_path / 'store.sqlite'}",
        **{f"WARDWAVE_TOPICS__{name.upper()}": topic for name, topic in kafka.topics.model_dump().items()},
    }
    commands = {
        "worker": ["infer", "--stats", str(tmp_path / "worker.json")],
        "recorder": ["record"],
        "dashboard": ["dashboard", "--port", str(port)],
    }
    kinds = ("lung_sound", "heart_sound", "lung_sound")
    for kind, bed, path in zip(kinds, (LUNG_BED, HEART_BED, CRACKLING_BED), recordings, strict=True):
        manifest = str(tmp_path / f"{bed}.json")
        files = [str(path), "--bed", bed, "--kind", kind, "--manifest", manifest]
        commands[bed] = ["replay", *files, "--loop", "--duration", "600"]
    with ExitStack() as stack:
        for name, arguments in commands.items():
            stack.callback(Child(name, arguments, environment, tmp_path).stop)
        yield f"http://127.0.0.1:{port}"


def lanes(pane) -> set[str]:
    """Colours that fill at least a mark of the lanes."""
    return {colour for colour, count in pane.locator("canvas").evaluate(COLOURS).items() if count >= 30}


def place_in(recording: np.ndarray, fs_hz: int, piece: np.ndarray) -> tuple[float, float]:
    """Where a piece of a looped recording is from (s), and how well it matches there (1: the very same)."""
    looped = np.concatenate([recording, recording[: len(piece)]])
    piece = piece - piece.mean()
    size = 1 << (len(looped) + len(piece) - 1).bit_length()
    product = np.fft.irfft(np.fft.rfft(looped, size) * np.conj(np.fft.rfft(piece, size)), size)
    at = int(np.argmax(product[: len(recording)]))
    match = np.corrcoef(looped[at : at + len(piece)], piece)[0, 1]
    return at / fs_hz, float(match)


def open_sounds(page, url: str, bed: str, theme: str):
    page.goto(f"{url}/bed?bed={bed}&theme={theme}")
    page.get_by_role("radio", name="Sounds").click(timeout=60_000)
    pane = page.locator(".pane")
    pane.wait_for(timeout=60_000)
    until(f"{bed} is judged", lambda: "judged to" in pane.locator(".heard").inner_text(), 90)
    return pane


def keep(page, folder: Path, name: str) -> None:
    """Keep a picture of the page for who looks at it (WARDWAVE_SCREENSHOTS)."""
    page.mouse.move(5, 5)
    page.wait_for_timeout(1_500)
    page.screenshot(path=str(folder / f"{name}.png"))


def test_a_real_recording_is_marked_alarmed_recorded_played_back_and_explained(
    replayed: str, recordings: tuple[Path, ...], tmp_path: Path
) -> None:
    api = pytest.importorskip("playwright.sync_api")
    folder = Path(os.environ.get("WARDWAVE_SCREENSHOTS", tmp_path))
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1366, "height": 1100})
        page.add_init_script(LISTEN)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        until("the server answers", lambda: _opens(page, replayed), 90)
        until("all beds", lambda: page.locator(".tile").count() == 3, 60)
        tiles = {
            bed: page.locator(f'.tile[data-bed="{bed}"]') for bed in (LUNG_BED, HEART_BED, CRACKLING_BED)
        }
        alarm = tiles[LUNG_BED].locator(".alarm")
        until("the wheeze", lambda: "NEW WHEEZE" in alarm.inner_text(), 120)
        crackling = tiles[CRACKLING_BED].locator(".alarm")
        until("the crackles", lambda: "CRACKLES" in crackling.inner_text(), 60)
        murmur = tiles[HEART_BED]
        until("the murmur", lambda: "HEART MURMUR" in murmur.locator(".alarm").inner_text(), 60)
        until("it is said", lambda: murmur.locator(".numbers .heard").inner_text() == "heard: murmur", 60)
        assert murmur.locator(".numbers .name").inner_text() == "HR sound"
        assert tiles[LUNG_BED].locator(".numbers .name").inner_text() == "RR"
        # The recording's S1: 115 of them in a minute.
        until("beats", lambda: murmur.locator(".numbers .rate").inner_text() in ("114", "115", "116"), 60)
        page.screenshot(path=str(folder / "sound_tiles.png"))

        for theme in ("light", "dark"):
            heart = open_sounds(page, replayed, HEART_BED, theme)
            until("S1 and S2 are marked", lambda heart=heart: {S1, S2} <= lanes(heart), 60)
            until("the murmur", lambda heart=heart: "murmur 100 %" in heart.locator(".heard").inner_text())
            keep(page, folder, f"sound_heart_{theme}")
            lung = open_sounds(page, replayed, LUNG_BED, theme)
            until("wheezes are marked", lambda lung=lung: WHEEZE in lanes(lung), 90)
            until("15 s are judged", lambda lung=lung: float(lung.get_attribute("data-held")) > 15, 60)
            keep(page, folder, f"sounds_{theme}")

        crackles = open_sounds(page, replayed, CRACKLING_BED, "dark")
        until("crackles are marked", lambda: CRACKLE in lanes(crackles), 90)
        keep(page, folder, "sounds_crackles")
        lung = open_sounds(page, replayed, LUNG_BED, "dark")
        until("15 s are judged again", lambda: float(lung.get_attribute("data-held")) > 15, 60)
        lung.locator('[data-do="freeze"]').click()
        until("frozen", lambda: lung.locator(".badge").inner_text().startswith("FROZEN"))
        lung.get_by_label("Seek").fill("4.0")
        said = lung.locator(".place").inner_text()
        lung.locator('[data-do="play"]').click()
        until("it plays", lambda: len(page.evaluate("window.played")) > 0)
        fs_hz, samples = page.evaluate("window.played")[-1]
        _holds_what_it_says(recordings[0], tmp_path, round(fs_hz), np.array(samples), said)
        lung.locator('[data-do="play"]').click()

        lung.locator('[data-do="explain"]').click()
        words = lung.locator(".said")
        until("it is explained", lambda: words.inner_text().startswith("Outlined: what spoke most for"), 60)
        assert "lung-sounds" in words.inner_text()
        keep(page, folder, "sounds_why")
        assert wrong == []
        browser.close()

    with Store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        kept = {(one.alarm.bed, one.alarm.kind) for one in store.alarms()}
    assert {(LUNG_BED, "new_wheeze"), (CRACKLING_BED, "crackles"), (HEART_BED, "murmur")} <= kept


def _holds_what_it_says(recording: Path, folder: Path, fs_hz: int, samples: np.ndarray, said: str) -> None:
    """Check that what was played is the recording at the time of day that stood under it."""
    sound, own_hz = soundfile.read(recording, always_2d=True)
    piece = samples[:: fs_hz // own_hz]
    found_s, match = place_in(sound[:, 0], own_hz, piece)
    assert match > 0.99
    (bed,) = json.loads((folder / f"{LUNG_BED}.json").read_text())["beds"]
    zero = datetime.fromtimestamp(bed["file_zero_ns"] / 1e9, UTC)
    clock = datetime.strptime(said, "%H:%M:%S UTC").time()
    shown = datetime.combine(zero.date(), clock, UTC)
    length_s = len(sound) / own_hz
    # The clock has whole seconds; it may be past midnight.
    since_s = ((shown - zero).total_seconds() % 86_400) % length_s
    assert (found_s - since_s) % length_s < 1.0


@pytest.mark.parametrize(("model", "name"), [("lung-sounds-1", LUNG), ("lung-sounds-1", CRACKLING)])
def test_the_recording_is_one_that_the_network_never_trained_on(model: str, name: str) -> None:
    spec = cards.read_spec(cards.WEIGHTS / f"{model}.json")
    stem = Path(name).stem
    assert any(one.endswith(stem) for one in spec.split["test"])


def _opens(page, url: str) -> bool:
    from playwright.sync_api import Error

    try:
        page.goto(url)
    except Error:
        return False
    return True
