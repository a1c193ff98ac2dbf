"""The processes of a chaos run: started as in a hospital, struck with signals, replaced when they end."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from inference.errors import ChaosError
from ingest.processes import die_with
from ingest.settings import Settings

logger = logging.getLogger(__name__)

WORKER: Final = "worker"
RECORDER: Final = "recorder"
DEVICE: Final = "device"
END_S: Final = 60.0
"""A process that was told to end ends within this."""

_ROOT: Final = Path(__file__).resolve().parent.parent


def environment(settings: Settings) -> dict[str, str]:
    """Environment of a process with these topics, group and broker; the rest is this process's own."""
    topics = settings.topics.model_dump().items()
    key = settings.commands.key
    return {
        **os.environ,
        **({} if key is None else {"WARDWAVE_COMMANDS__KEY": key.get_secret_value()}),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **{f"WARDWAVE_TOPICS__{name.upper()}": value for name, value in topics},
        "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "WARDWAVE_KAFKA__GROUP_ID": settings.kafka.group_id,
        "WARDWAVE_KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "WARDWAVE_KAFKA__MAX_POLL_INTERVAL_MS": str(settings.kafka.max_poll_interval_ms),
    }


@dataclass(eq=False, slots=True)
class Member:
    """One process: what it does, and where it says what happens to it."""

    role: str
    process: subprocess.Popen[bytes]
    log: Path
    started_s: float
    wanted: bool = True
    """Whether it shall run: one that ends all the same is replaced."""

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def kill(self) -> None:
        """``kill -9``."""
        self.wanted = False
        self.process.kill()
        self.process.wait()

    def pause(self, on: bool) -> None:
        """Stop it in the middle of whatever it does, or let it go on."""
        if self.runs:
            self.process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def tell_to_end(self) -> None:
        """Tell it to end, and do not wait; a second time it would be killed while Python ends."""
        if not self.wanted:
            return
        self.wanted = False
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()

    def end(self) -> int:
        """Tell it to end; return its exit status.

        Raises
        ------
        ChaosError
            It does not end.
        """
        self.tell_to_end()
        try:
            return self.process.wait(END_S)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise ChaosError(f"{self.role} {self.pid} did not end within {END_S:g} s: {self.log}") from error


class Crew:
    """All processes of one run.

    Parameters
    ----------
    settings : Settings
        Their broker, topics and group.
    commands : mapping
        Arguments of ``python -m`` by role.
    folder : Path
        For their logs.
    """

    def __init__(self, settings: Settings, commands: Mapping[str, Sequence[str]], folder: Path) -> None:
        self._environment = environment(settings)
        self._commands = commands
        self._folder = folder
        self._members: list[Member] = []
        self._n_started: Counter[str] = Counter()
        self.ended_alone: list[str] = []
        """Processes that ended without having been told to: what they said last."""

    def start(self, role: str) -> Member:
        """Start a process."""
        self._n_started[role] += 1
        log = self._folder / f"{role}-{self._n_started[role]}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - a fixed command
                [sys.executable, "-m", *self._commands[role]],
                env=self._environment,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the runner, which ends them.
                start_new_session=True,
                preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509
            )
        member = Member(role, process, log, time.monotonic())
        self._members.append(member)
        return member

    def of(self, role: str) -> list[Member]:
        """Processes of a role that run, the oldest first."""
        return [one for one in self._members if one.role == role and one.wanted and one.runs]

    def replace_ended(self) -> None:
        """Start anew what has ended without having been told to, as a service manager does."""
        for one in list(self._members):
            if one.wanted and not one.runs:
                one.wanted = False
                status = one.process.returncode
                if one.role == DEVICE and status == 0:
                    continue
                last = one.log.read_text(errors="replace").splitlines()[-1:]
                self.ended_alone.append(f"{one.log.stem} (status {status}): {' '.join(last)[:300]}")
                logger.warning("ended by itself: %s", self.ended_alone[-1])
                self.start(one.role)

    @property
    def device_done(self) -> bool:
        """Whether the devices have sent everything."""
        devices = [one for one in self._members if one.role == DEVICE]
        return bool(devices) and not devices[-1].runs and devices[-1].process.returncode == 0

    def stop(self) -> None:
        """Kill whatever still runs."""
        for one in self._members:
            if one.runs:
                one.kill()
