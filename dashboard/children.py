"""Child processes of the demo: they die with it, and their last words are kept."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from dashboard.errors import ChildDied
from ingest.processes import die_with

ROOT: Final = Path(__file__).resolve().parent.parent
_LAST_LINES: Final = 12


class Child:
    """One ``wardwave`` command as a child process.

    It must be made by a thread that lives as long as the child should: the kernel's parent-death signal
    follows the thread that forked.

    Parameters
    ----------
    name : str
        For messages.
    arguments : sequence of str
        After ``wardwave``.
    environment : mapping
        Added to this process's.
    folder : Path
        Where its log is written.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        self._arguments = list(arguments)
        parent = os.getpid()

        def before_exec() -> None:
            # A shell's background job ignores SIGINT, and children would inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            die_with(parent)

        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own command
                [sys.executable, "-m", "wardwave", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                # Ctrl-C is for the parent, which stops its children in order.
                start_new_session=True,
                preexec_fn=before_exec,  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit status, ``None`` while it runs."""
        return self._process.poll()

    def last_lines(self) -> str:
        """Return the end of its log."""
        with contextlib.suppress(OSError):
            lines = self.log_path.read_text(errors="replace").splitlines()
            return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:])
        return ""

    def check(self, may_finish: bool = False) -> None:
        """Say so if it has ended.

        Raises
        ------
        ChildDied
            It has ended, other than well where it ``may_finish``.
        """
        status = self.status
        if status is None or (may_finish and status == 0):
            return
        how = f"status {status}" if status >= 0 else f"signal {signal.Signals(-status).name}"
        command = " ".join(["wardwave", *self._arguments])
        raise ChildDied(f"{self.name} ({command}) ended with {how}; its last lines:\n{self.last_lines()}")

    def interrupt(self) -> None:
        """Ask it to end in order (SIGINT)."""
        if self.status is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; return whether it has."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, timeout_s: float = 8.0) -> None:
        """End it: in order, else by force."""
        self.interrupt()
        if not self.wait(timeout_s):
            self._process.kill()
            self._process.wait(5.0)
