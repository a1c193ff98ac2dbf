"""What the commands say and how they end, as a user sees it."""

from __future__ import annotations

import argparse
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dashboard import serve
from dashboard.alarm_watch import describe
from dashboard.children import ROOT, Child
from dashboard.demo import Demo, DemoOptions
from dashboard.demo_sources import file_replays, simulated_eegs
from dashboard.errors import ChildDied, DashboardError, PortInUse
from dashboard.recorded import find_recordings
from inference.types import Alarm, AlarmState, Delay, Priority
from ingest.settings import load_settings
from ingest.types import SignalKind

NO_HOME = {"PYTHONUNBUFFERED": "1"}


def wardwave(*arguments: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "wardwave", *arguments],
        cwd=ROOT,
        env={**os.environ, **NO_HOME},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def until(what: str, true: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def gone(pids: list[int]) -> bool:
    return not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids
    )


def test_a_port_in_use_is_said_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=rf"port {port} on 127.0.0.1 is in use.*--port {port + 1}"):
            serve.check_port("127.0.0.1", port)
        command = wardwave("dashboard", "--port", str(port))
        out, _ = command.communicate(timeout=60)
        assert command.returncode == 2
        assert f"wardwave dashboard: port {port}" in out
        assert "Traceback" not in out


@pytest.mark.parametrize("port", [0, -1, 70_000])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(DashboardError, match="1 to 65535"):
        serve.check_port("127.0.0.1", port)


def test_loopback_is_told_from_the_rest() -> None:
    assert [serve.is_loopback(one) for one in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert [serve.is_loopback(one) for one in ("0.0.0.0", "::", "10.0.0.4", "ward.example")] == [False] * 4


def test_recordings_are_spread_over_the_folders(tmp_path: Path) -> None:
    for folder, names in (("mitdb", "100 101 102"), ("vfdb", "418 419")):
        (tmp_path / folder).mkdir()
        for name in names.split():
            (tmp_path / folder / f"{name}.hea").touch()
    chosen = find_recordings((tmp_path / "mitdb", tmp_path / "vfdb"), 4, None)
    assert [item.bed for item in chosen] == ["mitdb-100", "vfdb-418", "mitdb-101", "vfdb-419"]
    assert find_recordings((tmp_path / "mitdb" / "102.hea",), 4, 7.0)[0].start_s == 7.0


def test_missing_recordings_are_said(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match="no such file"):
        find_recordings((tmp_path / "absent",), 4, None)
    with pytest.raises(DashboardError, match="no WFDB records"):
        find_recordings((tmp_path,), 4, None)


def test_recorded_sounds_and_eegs_are_looped_a_bed_each_called_after_its_file(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.wav", "two.flac")]
    for file in files:
        file.touch()
    eeg = tmp_path / "one.edf"
    eeg.touch()
    found = file_replays(
        {SignalKind.LUNG_SOUND: files, SignalKind.HEART_SOUND: files[:1], SignalKind.EEG: [eeg]}
    )
    names = [str(file) for file in files]
    assert found == {
        "lung_sound": ["replay", *names, "--bed", "one", "two", "--kind", "lung_sound", "--loop"],
        "heart_sound": ["replay", names[0], "--bed", "one", "--kind", "heart_sound", "--loop"],
        "eeg": ["replay", str(eeg), "--bed", "one", "--kind", "eeg", "--loop"],
    }
    assert file_replays({SignalKind.LUNG_SOUND: [], SignalKind.EEG: []}) == {}


def test_the_first_beds_have_an_eeg_and_one_of_them_seizes() -> None:
    ward = ["simulate", "--beds", "2", "--kinds", "eeg"]
    assert simulated_eegs(2, None) == {"simulated_eeg": [*ward, "--script", "bed-01:seizure@60s:60s"]}
    assert simulated_eegs(2, ()) == {"simulated_eeg": ward}
    assert simulated_eegs(0, None) == {}
    with pytest.raises(DashboardError, match="--eeg-beds -1: give 0 for none"):
        simulated_eegs(-1, None)


def test_recordings_that_cannot_be_played_are_said(tmp_path: Path) -> None:
    with pytest.raises(DashboardError, match=r"--heart-sounds .*absent.wav: there is no such file"):
        file_replays({SignalKind.HEART_SOUND: [tmp_path / "absent.wav"]})
    for name in ("a/one.wav", "b/one.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    with pytest.raises(DashboardError, match="another recording is called one, too.*rename"):
        file_replays({SignalKind.LUNG_SOUND: [tmp_path / "a/one.wav", tmp_path / "b/one.wav"]})


def test_a_demo_without_beds_is_refused() -> None:
    with pytest.raises(DashboardError, match="--beds 0"):
        Demo(DemoOptions(beds=0, eeg_beds=0), lambda line: None).run()


@pytest.mark.parametrize("display", [None, ":0"])
def test_a_missing_browser_is_said(monkeypatch: pytest.MonkeyPatch, display: str | None) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    if display is not None:
        monkeypatch.setenv("DISPLAY", display)
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    lines: list[str] = []
    Demo(DemoOptions(), lines.append)._open_browser("http://127.0.0.1:1")
    assert lines == [
        "no browser found here: open http://127.0.0.1:1 yourself (--headless keeps this line away)"
    ]


def test_the_demo_s_key_for_commands_is_its_user_s_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("WARDWAVE_COMMANDS__KEY", raising=False)
    demo = Demo(DemoOptions(), lambda line: None)
    said = demo._how_to_command(load_settings(), tmp_path)
    path = tmp_path / "command-key"
    assert said.endswith(
        f'WARDWAVE_COMMANDS__KEY="$(cat {path})" wardwave command acknowledge --bed BED --all --user YOU'
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert demo._environment["WARDWAVE_COMMANDS__KEY"] == path.read_text()
    assert load_settings(commands={"key": path.read_text()}).commands.key is not None


def test_the_demo_uses_the_key_that_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARDWAVE_COMMANDS__KEY", "k" * 32)
    demo = Demo(DemoOptions(), lambda line: None)
    assert "KEY" not in demo._how_to_command(load_settings(), tmp_path)
    assert demo._environment == {}
    assert list(tmp_path.iterdir()) == []


def test_children_do_not_share_the_address_for_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_HEALTH_AT", "127.0.0.1:9108")
    said: list[str] = []
    demo = Demo(DemoOptions(), said.append)
    demo._keep_health_apart(load_settings())
    assert said == ["health    WARDWAVE_HEALTH_AT is left out: the demo's processes cannot share an address"]
    for name, value in demo._environment.items():
        monkeypatch.setenv(name, value)
    assert load_settings().health_at is None, "as a child reads it"


def test_a_dead_child_is_said_with_its_last_lines(tmp_path: Path) -> None:
    child = Child("beds", ["simulate", "--beds", "nonsense"], {}, tmp_path)
    assert child.wait(60)
    with pytest.raises(
        ChildDied, match=r"beds \(wardwave simulate --beds nonsense\) ended with status 2"
    ) as died:
        child.check(may_finish=True)
    assert "invalid int value" in str(died.value)


def test_an_alarm_line_names_its_delays_and_no_control_characters() -> None:
    alarm = Alarm(
        id="a",
        bed="bed\x1b[31m-01",
        signal="ecg",
        kind="vf",
        priority=Priority.HIGH,
        state=AlarmState.ACTIVE,
        message="VENT FIB",
        onset_ns=10**18,
        raised_ns=10**18,
        emitted_ns=10**18 + 4_900_000_000,
        ended_ns=None,
        value=None,
        limit=None,
        unit=None,
        delay=Delay(4.0, 0.5, 0.4),
        raw_offset=1,
        revision=0,
    )
    line = describe(alarm, 10**18 + 5_000_000_000)
    assert "*** VENT FIB: active, here 5.0 s after the onset" in line
    assert "measurement 4.0 s, configured 0.5 s, system 0.40 s, topic to here 100 ms" in line
    assert line.isprintable()


def test_the_commands_explain_themselves() -> None:
    from dashboard.cli import register

    parser = argparse.ArgumentParser()
    register(parser.add_subparsers())
    assert parser.parse_args(["dashboard"]).address == "127.0.0.1"
    assert parser.parse_args(["demo", "--duration", "5"]).duration == 5.0


@pytest.mark.kafka
@pytest.mark.slow
class TestDemo:
    def test_it_runs_to_a_summary_and_loses_nothing(self) -> None:
        command = wardwave("demo", "--headless", "--duration", "45", "--port", str(free_port()))
        out, _ = command.communicate(timeout=240)
        assert command.returncode == 0, out
        assert re.search(r"bed-03 +\*\*\* .*(VENT FIB|VF|V-FIB|FIBRILLATION).*: active", out), out
        assert "growing by" in out
        last = out.strip().splitlines()[-1]
        assert re.search(r"latency_p50_ms=[\d.]+ latency_p99_ms=[\d.]+ alarms=[1-9]\d* lost=0$", last), out

    def test_ctrl_c_ends_it_cleanly(self) -> None:
        command = wardwave("demo", "--headless", "--beds", "2", "--port", str(free_port()))
        lines: list[str] = []
        assert command.stdout is not None
        for line in command.stdout:
            lines.append(line)
            if line.startswith("dashboard"):
                break
        children = [child.pid for child in psutil.Process(command.pid).children(recursive=True)]
        assert len(children) >= 4
        command.send_signal(signal.SIGINT)
        rest, _ = command.communicate(timeout=120)
        assert "Traceback" not in rest
        assert re.search(r"alarms=\d+ lost=0$", rest.strip())
        assert command.returncode == 0
        until("no orphan", lambda: gone(children), 15)

    def test_a_killed_demo_leaves_no_orphan(self) -> None:
        command = wardwave("demo", "--headless", "--beds", "2", "--port", str(free_port()))
        assert command.stdout is not None
        for line in command.stdout:
            if line.startswith("dashboard"):
                break
        children = [child.pid for child in psutil.Process(command.pid).children(recursive=True)]
        assert len(children) >= 4
        command.kill()
        command.communicate(timeout=30)
        until("no orphan", lambda: gone(children), 15)

    def test_a_killed_worker_is_said(self) -> None:
        command = wardwave("demo", "--headless", "--beds", "2", "--port", str(free_port()))
        assert command.stdout is not None
        worker = 0
        for line in command.stdout:
            if line.startswith("worker"):
                worker = int(line.split()[-1])
            if line.startswith("dashboard"):
                break
        os.kill(worker, signal.SIGKILL)
        rest, _ = command.communicate(timeout=60)
        assert command.returncode == 2
        assert "wardwave demo: worker (wardwave infer" in rest
        assert "ended with signal SIGKILL" in rest
        assert "Traceback" not in rest
