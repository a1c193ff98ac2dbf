"""The sound pane: what it is sent, and what a browser shows and plays of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dashboard.heard_sounds import Heard, Piece, Span
from dashboard.history import Int16Array
from dashboard.snapshots import BedSnapshot, StreamSnapshot, WardSnapshot
from dashboard.sound_feed import HISTORY_S, SoundFeed, SoundSession, build_sound_feed
from dashboard.ward import Ward
from ingest.types import MISSING_INT16, NS_PER_S, Chunk, SignalKind
from tests.browsing import CHROMIUM

ROOT = Path(__file__).resolve().parent.parent
T0_NS = 1_800_000_000 * NS_PER_S
LUNG, HEART = SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND


class Stethoscope:
    """Holds the newest minute of sounds; device times jitter as devices' do."""

    def __init__(self, fs_hz: float = 4_000.0, *kinds: SignalKind) -> None:
        self.fs_hz = fs_hz
        self.kinds = kinds or (LUNG,)
        self.samples: Int16Array = np.empty(0, np.int16)
        self.jitter_s = 0.0
        self.asked: list[float] = []
        self.pieces: list[Piece] = []

    def record(self, seconds: float, sound: Int16Array | None = None) -> None:
        count = round(seconds * self.fs_hz)
        if sound is None:
            seed = np.random.default_rng(len(self.samples))
            sound = seed.integers(-3_000, 3_000, count, dtype=np.int16)
        self.samples = np.concatenate([self.samples, sound])

    def snapshot(self) -> WardSnapshot:
        streams = tuple(
            StreamSnapshot("bed-01", kind, "s", ("m",), "au", self.fs_hz, 250.0, 1, 0, 1, 0, 0.5, None)
            for kind in self.kinds
        )
        return WardSnapshot(True, 0.0, None, (BedSnapshot("bed-01", 0.5, streams, (), (), ()),), (), 0)

    def audio(self, bed: str, kind: SignalKind, newest_s: float) -> tuple[float, Int16Array, int] | None:
        self.asked.append(newest_s)
        end_s = len(self.samples) / self.fs_hz + self.jitter_s
        held = self.samples[-round(min(newest_s, HISTORY_S) * self.fs_hz) :]
        return self.fs_hz, held, T0_NS + round(end_s * NS_PER_S)

    def heard(self, bed: str, kind: SignalKind, epoch: int, count: int) -> Heard:
        return Heard(1, len(self.pieces), "lung-sounds-1" if self.pieces else "", self.pieces[count:])


def read(feed: bytes) -> tuple[SoundFeed, list[Int16Array]]:
    (length,) = struct.unpack_from("<I", feed)
    header = msgspec.json.decode(feed[4 : 4 + length], type=SoundFeed)
    samples = np.frombuffer(feed, "<i2", offset=4 + length)
    ends = np.cumsum([stream.count for stream in header.streams])
    return header, np.split(samples, ends)[: len(header.streams)]


class Browser:
    """Puts together what the feeds bring, as sound_pane_sound.js does."""

    def __init__(self) -> None:
        self.epoch = 0
        self.samples: dict[int, int] = {}

    def take(self, feed: bytes) -> None:
        header, bodies = read(feed)
        for stream, body in zip(header.streams, bodies, strict=True):
            if stream.epoch != self.epoch:
                self.epoch, self.samples = stream.epoch, {}
            for index, value in enumerate(body, stream.first):
                assert self.samples.setdefault(index, value) == value

    @property
    def sound(self) -> list[int]:
        assert list(self.samples) == list(range(min(self.samples), max(self.samples) + 1))
        return list(self.samples.values())


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.floats(0.0, 6.0), st.floats(-0.025, 0.025), st.booleans()), min_size=1, max_size=8
    )
)
def test_samples_arrive_once_and_in_order_though_clocks_jitter_and_feeds_are_skipped(
    steps: list[tuple[float, float, bool]],
) -> None:
    device = Stethoscope(1_000.0)
    device.record(5.0)
    session, browser = SoundSession("v", "bed-01"), Browser()
    browser.take(build_sound_feed(device, session))
    skipped = False
    for seconds, jitter_s, skip in [*steps, (0.5, 0.0, False)]:
        device.record(seconds)
        device.jitter_s = jitter_s
        feed = build_sound_feed(device, session)
        # The browser draws the last of two feeds that arrive together, never the last of three.
        skipped = skip and not skipped
        if not skipped:
            browser.take(feed)
    newest = browser.sound
    assert newest == list(device.samples[-len(newest) :])
    assert len(newest) >= 5_000


def test_a_tone_that_repeats_itself_is_not_taken_twice() -> None:
    device = Stethoscope(4_000.0)
    tone = (8_000 * np.sin(2 * np.pi * 440 / 4_000 * np.arange(20_000))).astype(np.int16)
    device.record(2.0, tone[:8_000])
    session, browser = SoundSession("v", "bed-01"), Browser()
    browser.take(build_sound_feed(device, session))
    device.record(3.0, tone[8_000:])
    browser.take(build_sound_feed(device, session))
    assert browser.sound == list(tone)


def test_another_sound_after_a_silence_begins_anew() -> None:
    device = Stethoscope(1_000.0)
    device.record(5.0)
    session, browser = SoundSession("v", "bed-01"), Browser()
    browser.take(build_sound_feed(device, session))
    before = browser.epoch
    device.samples = device.samples[:0]
    device.record(3.0, np.arange(3_000, dtype=np.int16))
    device.jitter_s = 600.0
    browser.take(build_sound_feed(device, session))
    assert browser.epoch != before
    assert browser.sound == list(range(3_000))


def test_only_new_seconds_are_asked_for_and_a_page_that_runs_again_gets_all() -> None:
    device = Stethoscope()
    device.record(70.0)
    session = SoundSession("v", "bed-01")
    first = read(build_sound_feed(device, session))[0].streams[0]
    assert first.count == HISTORY_S * 4_000
    for _ in range(3):
        device.record(0.5)
        last = read(build_sound_feed(device, session))[0].streams[0]
    # The second feed repeats the first one, which the browser may have skipped.
    assert device.asked == [60.0, 4.0, 60.0, 4.0, 4.0]
    assert last.count == 4_000
    session.resend()
    again = read(build_sound_feed(device, session))[0].streams[0]
    assert (again.count, again.epoch) == (first.count, first.epoch)
    assert again.first + again.count == last.first + last.count


@pytest.mark.parametrize("fs_hz", [2_000.0, 4_000.0, 8_000.0, 11_025.0, 22_050.0, 44_100.0, 48_000.0])
def test_a_stream_takes_less_than_60_kb_a_second(fs_hz: float) -> None:
    device = Stethoscope(fs_hz)
    device.record(10.0)
    session = SoundSession("v", "bed-01")
    sizes = []
    for _ in range(6):
        device.record(0.5)
        sizes.append(len(build_sound_feed(device, session)))
    assert 2 * max(sizes[2:]) < 60_000


def test_a_fast_sound_is_thinned_without_mirror_tones_and_holds_its_time() -> None:
    device = Stethoscope(48_000.0)
    at = np.arange(48_000 * 4)
    tone = 8_000 * np.sin(2 * np.pi * 440 / 48_000 * at) + 8_000 * np.sin(2 * np.pi * 11_500 / 48_000 * at)
    sound = tone.astype(np.int16)
    sound[100_000:110_000] = MISSING_INT16
    session = SoundSession("v", "bed-01")
    samples: dict[int, int] = {}
    for second in range(4):
        device.record(1.0, sound[48_000 * second : 48_000 * (second + 1)])
        header, (body,) = read(build_sound_feed(device, session))
        stream = header.streams[0]
        samples |= dict(enumerate(body.tolist(), stream.first))
        assert stream.end_s == pytest.approx(
            T0_NS / NS_PER_S + (stream.first + stream.count) / 12_000, abs=2e-6
        )
    assert stream.fs == 12_000.0
    thinned = np.array(list(samples.values()))
    power = np.abs(np.fft.rfft(thinned[:12_000] * np.hanning(12_000)))
    assert power.argmax() == 440
    assert power[480:].max() < power.max() / 500  # 11,500 Hz would fold back to 500 Hz
    first = min(samples)
    gap = np.flatnonzero(thinned == MISSING_INT16) + first
    assert (gap[0], gap[-1], len(gap)) == (25_000, 27_499, 2_500)


def test_the_sound_of_a_real_ward_reaches_the_browser_whole() -> None:
    ward, session, browser = Ward(), SoundSession("v", "bed-01"), Browser()
    sound = np.random.default_rng(1).uniform(-0.5, 0.5, (20_000, 2)).astype(np.float32)
    for seq, start in enumerate(range(0, 20_000, 1_000)):
        jitter_ns = (seq % 3) * 5_000_000
        start_ns = T0_NS + start * NS_PER_S // 4_000 + jitter_ns
        samples = sound[start : start + 1_000]
        ward.add_chunk(Chunk("bed-01", "s", LUNG, ("left <b>", "right"), 4_000.0, start_ns, seq, samples))
        feed = build_sound_feed(ward, session)
        browser.take(feed)
    assert np.allclose(np.array(browser.sound) / 32_767, sound[:, 0], atol=1e-4)
    assert read(feed)[0].streams[0].title == "Lung sound: left <b> (first of 2 channels)"


def test_marks_travel_with_the_sound_each_twice_and_all_of_them_to_a_page_that_runs_again() -> None:
    device = Stethoscope()
    device.record(2.0)
    session = SoundSession("v", "bed-01")
    sent = []
    for number in range(4):
        device.pieces.append(
            Piece(number, number + 1.0, True, {"wheeze": 0.8}, [Span(number, 0.5, "<b>wheeze</b>", 0.83)])
        )
        sent.append(read(build_sound_feed(device, session))[0].streams[0].marks)
    assert [[piece.start_s for piece in marks.pieces] for marks in sent] == [[0], [0, 1], [1, 2], [2, 3]]
    assert sent[0].model == "lung-sounds-1"
    assert sent[0].pieces[0] == device.pieces[0]
    session.resend()
    again = read(build_sound_feed(device, session))[0].streams[0].marks
    assert len(again.pieces) == 4
    assert b'"pieces":[[0,1.0,true,{"wheeze":0.8},[[0,0.5,"<b>wheeze</b>",0.83]]]' in build_sound_feed(
        device, session
    )


def page(source: object) -> AppTest:
    def script(source):  # type: ignore[no-untyped-def]
        from dashboard import sounds_pane

        sounds_pane.show_sounds(source, "bed-01")

    return AppTest.from_function(script, args=(source,), default_timeout=20).run()


def test_a_bed_without_sound_says_so() -> None:
    silent = Stethoscope(4_000.0, SignalKind.ECG)
    app = page(silent)
    assert [item.value for item in app.caption] == ["This bed sends no lung or heart sound."]
    assert not app.exception
    silent.kinds = (LUNG,)
    silent.record(2.0)
    app.run()
    assert not app.caption
    assert not app.exception


def test_labels_are_set_as_text_only_in_the_scripts() -> None:
    for script in (ROOT / "dashboard" / "component").glob("sound_pane*.js"):
        text = script.read_text()
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|https?:", text), script


def until(what: str, true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "server.port": port,
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "theme.base": os.environ.get("WARDWAVE_THEME", "dark"),
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    log = tmp_path_factory.mktemp("server") / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "streamlit",
                "run",
                str(ROOT / "tests/fixtures/sound_app.py"),
                *arguments,
            ],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
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


def _seek_tone(pane: object) -> bool:
    """Bring the fifth second of ten, which has a tone, into the middle of what is shown."""
    end = float(pane.get_attribute("data-held"))  # type: ignore[attr-defined]
    for at in range(8, 20):
        pane.get_by_label("Seek").fill(f"{end - at:.1f}")  # type: ignore[attr-defined]
        pane.page.wait_for_timeout(80)  # type: ignore[attr-defined]
        tones, blocks, pixels = pane.locator("canvas").evaluate(MARKED)  # type: ignore[attr-defined]
        whole = [b - a > 0.9 * pixels for a, b in (*tones[:1], *blocks[:1])]
        if len(tones) == len(blocks) == 1 and whole == [True, True]:
            return True
    return False


MARKED = """node => {
  // Columns where the waveform is tall, those where the lane of murmurs has its block, and pixels a second.
  const context = node.getContext("2d"), ratio = window.devicePixelRatio, width = node.width;
  const wave = context.getImageData(0, Math.round(22 * ratio), width, 1).data;
  const lane = context.getImageData(0, Math.round((64 + 8 + 18 + 4) * ratio), width, 1).data;
  const runs = (data, is) => {
    const found = [];
    for (let x = Math.round(66 * ratio); x < width; x++) {
      if (!is(data.subarray(4 * x, 4 * x + 4))) continue;
      if (found.length && x - found.at(-1)[1] < 30 * ratio) found.at(-1)[1] = x;
      else found.push([x, x]);
    }
    // Not the cursor.
    return found.filter(([from, to]) => to - from > 10 * ratio);
  };
  return [
    // Not the faint ground of a stretch that was not judged.
    runs(wave, ([r, g, b, a]) => a > 200 && Math.abs(r - g) < 40),
    runs(lane, ([r, g, b]) => r === 0xcc && g === 0x79 && b === 0xa7),
    (node.clientWidth - 62) * ratio / 5,
  ];
}"""

RIDGE = """node => {
  // Brightest row (viridis: yellow) of the newest columns, back to Hz by the axis.
  const ratio = window.devicePixelRatio, context = node.getContext("2d");
  const top = (64 + 8 + 36 + 8) * ratio, height = node.height - top - 20 * ratio;
  const image = context.getImageData(node.width - Math.round(400 * ratio), top, 1, height).data;
  const bright = (y) => image[4 * y] + image[4 * y + 1];
  let best = 0;
  for (let y = 0; y < height; y++) if (bright(y) > bright(best)) best = y;
  let last = best;
  while (bright(last) === bright(best)) last++;
  return 2000 * (1 - (best + last) / 2 / height);
}"""


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium")
@pytest.mark.slow
def test_a_tone_stands_at_its_pitch_freezes_plays_and_goes_back_to_live(address: str, tmp_path: Path) -> None:
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        view = browser.new_page(viewport={"width": 1366, "height": 900})
        wrong: list[str] = []
        view.on("pageerror", lambda error: wrong.append(str(error)))
        view.goto(address)
        lung = view.locator('.pane[data-kind="lung_sound"]')
        lung.wait_for(timeout=40_000)
        badge = lung.locator(".badge")
        press = lambda what: lung.locator(f'[data-do="{what}"]').click()  # noqa: E731

        until("a minute is held", lambda: float(lung.get_attribute("data-held")) > 59)
        bin_hz = float(lung.get_attribute("data-bin-hz"))
        assert float(lung.get_attribute("data-ridge-hz")) == pytest.approx(440, abs=bin_hz)
        until("the ridge is drawn", lambda: abs(lung.locator("canvas").evaluate(RIDGE) - 440) <= bin_hz)
        assert badge.inner_text().startswith("LIVE")

        assert "No network marks this sound" in lung.locator(".heard").inner_text()
        assert lung.locator('[data-do="explain"]').is_disabled()
        assert "Respiratory rate –" in lung.locator(".rate").inner_text()
        marked = view.locator('[data-kind="heart_sound"]')
        assert "heart-test, judged to" in marked.locator(".heard").inner_text()
        assert marked.locator(".rate").inner_text() == "Heart rate (S1, S2) 72 /min"
        marked.get_by_label("Shown").select_option("5")
        marked.locator('[data-do="freeze"]').click()
        until("the marked tone is drawn", lambda: _seek_tone(marked))

        def stands() -> bool:
            # To a frame of the network, 10 ms, and the edge's own pixel.
            tones, blocks, pixels_a_s = marked.locator("canvas").evaluate(MARKED)
            there = blocks[0] == pytest.approx(tones[0], abs=0.010 * pixels_a_s + 2)
            return there and blocks[0][1] - blocks[0][0] == pytest.approx(pixels_a_s, abs=4)

        # While it is drawn anew, a part of what was there before stands beside.
        until("its mark stands where it is", stands)
        marked.locator('[data-do="explain"]').click()
        said = marked.locator(".said")
        until("it is said why not", lambda: "not among those of this dashboard" in said.inner_text())
        marked.locator('[data-do="freeze"]').click()

        press("freeze")
        assert badge.inner_text().startswith("FROZEN")
        picture = "node => node.toDataURL()"
        frozen = lung.locator("canvas").evaluate(picture)
        heart = view.locator('.pane[data-kind="heart_sound"] canvas')
        moving = heart.evaluate(picture)
        until("the other sound goes on", lambda: heart.evaluate(picture) != moving)
        assert lung.locator("canvas").evaluate(picture) == frozen

        press("play")
        assert badge.inner_text() == "PLAY-BACK, NOT LIVE"
        began = float(lung.get_attribute("data-position"))
        until("it plays", lambda: float(lung.get_attribute("data-position")) > began + 0.3)
        view.get_by_role("button", name="Other control").click()
        until("the page ran again", lambda: float(lung.get_attribute("data-position")) > began + 1.0)
        assert badge.inner_text() == "PLAY-BACK, NOT LIVE"

        press("loop")
        assert lung.locator('[data-do="loop"]').get_attribute("aria-pressed") == "true"
        press("play")
        assert badge.inner_text() == "PLAY-BACK PAUSED, NOT LIVE"
        lung.get_by_label("Seek").fill("12.5")
        assert float(lung.get_attribute("data-position")) == pytest.approx(12.5)
        assert lung.locator('[data-do="loop"]').get_attribute("aria-pressed") == "false"

        press("freeze")
        assert badge.inner_text().startswith("LIVE")
        assert float(lung.get_attribute("data-held")) > 59
        view.screenshot(path=str(Path(os.environ.get("WARDWAVE_SCREENSHOTS", tmp_path)) / "sound_pane.png"))
        assert wrong == []
        browser.close()
