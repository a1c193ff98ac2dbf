"""What processes hold while they run: memory, open handles, threads, sampled on a thread of its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final, Self

import psutil

from inference.chaos_crew import DEVICE, RECORDER, WORKER, Crew
from inference.chaos_soak_report import Sample, SoakReport

WRITE_EVERY: Final = 6
"""Samples after which the report is written anew."""


class Sampler:
    """Samples every process of a crew.

    Parameters
    ----------
    crew : Crew
        The processes.
    report : SoakReport
        Takes the samples.
    every_s : float
        Time between two.
    out : Path or None
        Where the report is kept on disk meanwhile.
    """

    def __init__(self, crew: Crew, report: SoakReport, every_s: float, out: Path | None) -> None:
        self._crew, self._report, self._every_s, self._out = crew, report, every_s, out
        self._began_s = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-sampler", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        number = 0
        while True:
            self.sample(time.monotonic() - self._began_s)
            number += 1
            if self._out is not None and number % WRITE_EVERY == 0:
                self._report.write(self._out)
            if self._stopped.wait(self._every_s):
                return

    def sample(self, at_s: float) -> None:
        """Sample what runs."""
        for role in (WORKER, RECORDER, DEVICE):
            for number, one in enumerate(self._crew.of(role)):
                name = f"{one.role}-{one.pid}"
                try:
                    process = psutil.Process(one.pid)
                    with process.oneshot():
                        memory, threads = process.memory_info().rss, process.num_threads()
                    taken = Sample(round(at_s, 1), memory, process.num_fds(), threads)
                except psutil.Error:
                    # It ended this moment.
                    continue
                self._report.samples.setdefault(name, []).append(taken)
                if role == WORKER and number == 0 and not self._report.spared:
                    self._report.spared = name
