"""The demo: broker, beds, worker, recorder and dashboard in one go, as child processes on the real path."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from dashboard.alarm_watch import AlarmWatch
from dashboard.children import Child
from dashboard.demo_memory import MemoryGrowth
from dashboard.demo_sources import NAMES, file_replays, simulated_eegs
from dashboard.errors import DashboardError
from dashboard.recorded import RecordedBed, episode_table, find_recordings
from dashboard.serve import check_port
from ingest import kafka
from ingest.broker import EmbeddedBroker
from ingest.settings import Settings, load_settings
from ingest.types import SignalKind

READY_S: Final = 90.0
DRAIN_S: Final = 20.0
MEMORY_EVERY_S: Final = 60.0
DEMO_PARTITIONS: Final = 8
_ADDRESS: Final = "127.0.0.1"
_SOURCES: Final = ("simulate", "replay", *NAMES)
_KEY: Final = "WARDWAVE_COMMANDS__KEY"
_HEALTH_AT: Final = "WARDWAVE_HEALTH_AT"
_STORE: Final = "WARDWAVE_RECORDER__URL"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo runs.

    ``script`` and ``eeg_script`` are those of ``wardwave simulate``; ``None`` lets one heart fibrillate after
    20 s, and one EEG seize after a minute. ``eeg_beds`` of the simulated beds have an EEG, too.
    """

    beds: int = 8
    script: tuple[str, ...] | None = None
    recordings: tuple[Path, ...] = ()
    max_recordings: int = 6
    recordings_start_s: float | None = None
    lung_sounds: tuple[Path, ...] = ()
    heart_sounds: tuple[Path, ...] = ()
    eegs: tuple[Path, ...] = ()
    eeg_beds: int = 1
    eeg_script: tuple[str, ...] | None = None
    port: int = 8501
    duration_s: float | None = None
    headless: bool = False
    own_broker: bool = True
    device: str | None = None


class Demo:
    """Runs everything and says what happens.

    Parameters
    ----------
    options : DemoOptions
        What to run.
    say : callable
        Takes each line for the user.
    """

    def __init__(self, options: DemoOptions, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._children: dict[str, Child] = {}
        self._environment: dict[str, str] = {}
        self._broker: EmbeddedBroker | None = None
        self._stopping = False
        self._others: dict[str, list[str]] = {}

    def run(self) -> int:
        """Run until the duration is over or Ctrl-C; return the exit status.

        Raises
        ------
        DashboardError
            A port is in use, a recording is missing, a child has died.
        BrokerError
            The broker did not start, or reached its bound of memory.
        """
        options = self._options
        files = {
            SignalKind.LUNG_SOUND: options.lung_sounds,
            SignalKind.HEART_SOUND: options.heart_sounds,
            SignalKind.EEG: options.eegs,
        }
        self._others = file_replays(files) | simulated_eegs(options.eeg_beds, options.eeg_script)
        if options.beds < 0 or (options.beds == 0 and not options.recordings and not self._others):
            raise DashboardError(
                f"--beds {options.beds}: the demo needs a simulated or recorded bed (--eeg-beds, --wfdb, "
                "--lung-sounds, --heart-sounds, --eeg)"
            )
        recordings = find_recordings(options.recordings, options.max_recordings, options.recordings_start_s)
        check_port(_ADDRESS, options.port)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wardwave-demo-")))
            stack.enter_context(self._signals())
            if options.own_broker:
                self._broker = stack.enter_context(EmbeddedBroker())
                self._environment["WARDWAVE_KAFKA__BOOTSTRAP_SERVERS"] = self._broker.bootstrap_servers
                # This broker keeps all in memory.
                self._environment.setdefault("WARDWAVE_KAFKA__OUTPUT_COMPRESSION", "gzip")
                self._environment["WARDWAVE_KAFKA__PARTITIONS"] = os.environ.get(
                    "WARDWAVE_KAFKA__PARTITIONS", str(DEMO_PARTITIONS)
                )
            stack.callback(self._stop_children)
            return self._run(folder, recordings, stack)

    def _run(self, folder: Path, recordings: list[RecordedBed], stack: ExitStack) -> int:
        options = self._options
        settings = load_settings()
        if self._broker is not None:
            changed = {
                "bootstrap_servers": self._broker.bootstrap_servers,
                "partitions": int(self._environment["WARDWAVE_KAFKA__PARTITIONS"]),
            }
            settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update=changed)})
        self._say(f"broker    {settings.kafka.bootstrap_servers}")
        self._say(self._how_to_command(settings, folder))
        self._keep_health_apart(settings)
        kafka.ensure_topics(settings)
        watch = stack.enter_context(AlarmWatch(settings))
        device = ["--device", options.device] if options.device else []
        self._start("worker", ["infer", "--stats", str(folder / "worker.json"), *device], folder)
        if not os.environ.get(_STORE):
            # Simulated patients are forgotten with the demo.
            self._environment[_STORE] = f"sqlite:///{folder / 'store.sqlite'}"
        self._start("recorder", ["record"], folder)
        self._start("dashboard", ["dashboard", "--port", str(options.port), "--address", _ADDRESS], folder)
        url = f"http://{_ADDRESS}:{options.port}"
        if not self._wait_ready(folder / "worker.json", url):
            return 130
        self._start_beds(folder, recordings)
        self._say(f"worker    process {self._children['worker'].pid}")
        self._say(f"dashboard {url}")
        self._say("Research software, no medical device. Ctrl-C stops it.")
        if not options.headless:
            self._open_browser(url)
        interrupted = self._watch(watch)
        ended_ns = time.time_ns()
        lost = self._finish(folder, watch, recordings, ended_ns)
        return 130 if interrupted and options.duration_s is not None else 0 if lost == 0 else 1

    def _how_to_command(self, settings: Settings, folder: Path) -> str:
        """Give worker and dashboard a key for commands where none is set; say how to command from a shell."""
        variables = [
            f"{name}={self._environment[name]}"
            for name in ("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", "WARDWAVE_KAFKA__PARTITIONS")
            if name in self._environment
        ]
        if settings.commands.key is None:
            path = folder / "command-key"
            self._environment[_KEY] = secrets.token_hex(32)
            path.touch(mode=0o600)
            path.write_text(self._environment[_KEY])
            variables.append(f'{_KEY}="$(cat {path})"')
        words = "wardwave command acknowledge --bed BED --all --user YOU"
        return f"commands  {' '.join([*variables, words])}"

    def _keep_health_apart(self, settings: Settings) -> None:
        """Leave out the address for metrics, which is one process's: the second there would end at once."""
        if settings.health_at is not None:
            self._environment[_HEALTH_AT] = ""
            self._say(f"health    {_HEALTH_AT} is left out: the demo's processes cannot share an address")

    def _start(self, name: str, arguments: list[str], folder: Path) -> None:
        self._children[name] = Child(name, arguments, self._environment, folder)

    def _start_beds(self, folder: Path, recordings: list[RecordedBed]) -> None:
        options = self._options
        if options.beds:
            script = options.script
            if script is None:
                script = (f"bed-{min(3, options.beds):02d}:vf@20s:20s",)
            arguments = ["simulate", "--beds", str(options.beds), "--stats", str(folder / "simulate.json")]
            self._start("simulate", [*arguments, *(["--script", *script] if script else [])], folder)
        if recordings:
            for item in recordings:
                self._say(f"record    {item.bed} from {item.start_s:g} s on")
            parts = [f"{item.path}@{item.start_s:g}" for item in recordings]
            files = ["--stats", str(folder / "replay.json"), "--manifest", str(folder / "manifest.json")]
            beds = [item.bed for item in recordings]
            self._start("replay", ["replay", *parts, "--bed", *beds, *files], folder)
        for name, arguments in self._others.items():
            self._start(name, [*arguments, "--stats", str(folder / f"{name}.json")], folder)
        others = {
            "of recorded sounds": len(options.lung_sounds) + len(options.heart_sounds),
            "of recorded EEGs": len(options.eegs),
            "with a simulated EEG": options.eeg_beds,
        }
        more = "".join(f", {count} {what}" for what, count in others.items() if count)
        self._say(f"beds      {options.beds} simulated, {len(recordings)} recorded{more}")

    def _wait_ready(self, stats: Path, url: str) -> bool:
        """Wait until the worker reads and the dashboard answers; ``False`` when interrupted meanwhile."""
        deadline = time.monotonic() + READY_S
        while not (_read(stats).get("partitions", 0) > 0 and _answers(url)):
            self._check()
            if self._stopping:
                return False
            if time.monotonic() > deadline:
                late = "dashboard" if _read(stats).get("partitions", 0) > 0 else "worker"
                lines = self._children[late].last_lines()
                raise DashboardError(f"the {late} is not ready after {READY_S:g} s; its last lines:\n{lines}")
            time.sleep(0.1)
        return True

    def _check(self) -> None:
        if self._broker is not None:
            self._broker.check()
        for name, child in self._children.items():
            child.check(may_finish=name in _SOURCES)

    def _open_browser(self, url: str) -> None:
        screen = sys.platform != "linux" or any(
            os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
        )
        try:
            # Without a screen it would start a text browser in this terminal and wait for it.
            opened = screen and webbrowser.open(url)
        except webbrowser.Error:
            opened = False
        if not opened:
            self._say(f"no browser found here: open {url} yourself (--headless keeps this line away)")

    def _watch(self, watch: AlarmWatch) -> bool:
        """Pass on alarms until the time is over; return whether it was ended by a signal."""
        began = said = time.monotonic()
        memory = MemoryGrowth(self._broker)
        while not self._stopping:
            self._check()
            for line in watch.poll(0.25):
                self._say(line)
            now = time.monotonic()
            memory.measure(now)
            if self._options.duration_s is not None and now - began >= self._options.duration_s:
                break
            if now - said >= MEMORY_EVERY_S:
                said = now
                self._say(str(memory))
        if self._broker is not None:
            self._say(str(memory))
        return self._stopping

    def _finish(self, folder: Path, watch: AlarmWatch, recordings: list[RecordedBed], ended_ns: int) -> int:
        """Stop the beds, let the worker catch up, print the summary; return the chunks lost."""
        for name in _SOURCES:
            if name in self._children:
                self._children[name].stop(15.0)
        sent = [_read(folder / f"{name}.json") for name in _SOURCES if name in self._children]
        acknowledged = int(sum(one.get("acknowledged", 0) for one in sent))
        deadline = time.monotonic() + DRAIN_S
        while (worker := _read(folder / "worker.json")).get("chunks_in", 0) < acknowledged:
            if time.monotonic() > deadline or self._children["worker"].status is not None:
                break
            for line in watch.poll(0.25):
                self._say(line)
        for line in episode_table(recordings, folder / "manifest.json", watch.alarms, ended_ns):
            self._say(line)
        processed = int(worker.get("chunks_in", 0))
        lost = max(0, acknowledged - processed)
        self._say(
            f"sent {int(sum(one.get('sent', 0) for one in sent))} chunks, acknowledged {acknowledged}, "
            f"dead letters {int(worker.get('dead_letters', 0))}"
        )
        broker_mb = f"{self._broker.memory_bytes() / 1e6:.0f} MB" if self._broker is not None else "not ours"
        self._say(f"memory: worker {worker.get('rss_bytes', 0) / 1e6:.0f} MB, broker {broker_mb}")
        self._say(
            f"chunks_in={processed} windows={int(worker.get('windows', 0))} "
            f"latency_p50_ms={worker.get('latency_p50_ms', 0):g} "
            f"latency_p99_ms={worker.get('latency_p99_ms', 0):g} alarms={watch.n_alarms} lost={lost}"
        )
        return lost

    def _stop_children(self) -> None:
        for name in (*_SOURCES, "worker", "recorder", "dashboard"):
            if name in self._children:
                self._children[name].stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn SIGINT and SIGTERM into a wish that the loops look at, so that all ends in order."""

        def wish(number: int, _: object) -> None:
            if self._stopping:
                raise KeyboardInterrupt
            self._stopping = True

        held = {number: signal.signal(number, wish) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in held.items():
                signal.signal(number, handler)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/_stcore/health", timeout=1.0) as response:  # noqa: S310 - loopback
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _read(path: Path) -> dict[str, float]:
    """Read a child's counters; none yet is no error."""
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): float(value) for key, value in held.items() if isinstance(value, int | float)}
