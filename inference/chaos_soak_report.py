"""What came of a soak: how much memory, how many handles and threads each process gained per hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from inference.chaos_faults import Fault

WARM_S: Final = 600.0
"""What a process does in its first minutes, it does not do again: allocating rings, caches, pools."""

LEAST_S: Final = 300.0
"""Of a shorter time no slope is told."""

SHOWN: Final = 20


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """What a process holds: seconds since the first sample, bytes, handles, threads."""

    at_s: float
    rss_bytes: int
    handles: int
    threads: int


class Slope(msgspec.Struct, frozen=True):
    """What a process gained per hour after its warm-up, by least squares; first, last and most MB."""

    samples: int
    hours: float
    rss_mb_per_hour: float
    handles_per_hour: float
    threads_per_hour: float
    rss_mb_first: float
    rss_mb_last: float
    rss_mb_most: float
    handles_most: int
    threads_most: int


class SoakReport(msgspec.Struct):
    """The figures of a soak, as they go into the JSON file.

    ``samples`` by process ("worker-PID"), ``spared`` is the worker that is never ended. ``lost`` and
    ``doubled`` name seconds of signal, ``lost_stored`` streams of which less was stored than said.
    """

    beds: int
    workers: int
    seconds: int
    code_commit: str
    every_fault: Sequence[Fault] = ()
    samples: dict[str, list[Sample]] = msgspec.field(default_factory=dict)
    spared: str = ""
    said_seconds: int = 0
    lost: Sequence[str] = ()
    doubled: Sequence[str] = ()
    lost_stored: Sequence[str] = ()
    ended_alone: Sequence[str] = ()
    failures: list[str] = msgspec.field(default_factory=list)
    load_at_end: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing is missing; of slopes a reader judges."""
        return not (self.lost or self.doubled or self.lost_stored or self.failures or self.ended_alone)

    def kinds(self) -> dict[str, int]:
        """Number of faults by kind."""
        return dict(sorted(Counter(one.kind for one in self.every_fault).items()))

    def slopes(self) -> dict[str, Slope]:
        """Slopes of the processes that lived long enough for one."""
        found = {name: slope_of(samples) for name, samples in self.samples.items()}
        return {name: slope for name, slope in found.items() if slope is not None}

    def write(self, path: Path) -> None:
        """Write it, whole or not at all."""
        plain = msgspec.to_builtins(self)
        figures = {
            "schema": "soak/1",
            "passed": self.passed,
            "faults": len(self.every_fault),
            "faults_by_kind": self.kinds(),
            "n_lost": len(self.lost),
            "n_doubled": len(self.doubled),
            "slopes": msgspec.to_builtins(self.slopes()),
        }
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(msgspec.json.encode(figures | plain) + b"\n")
        part.replace(path)

    def lines(self) -> Iterator[str]:
        """The report for people."""
        yield (
            f"{'PASSED' if self.passed else 'FAILED'}: {self.beds} beds for {self.seconds / 60:.0f} min, "
            f"{self.workers} workers, code {self.code_commit}, load {self.load_at_end:.1f}"
        )
        kinds = ", ".join(f"{kind} {n}" for kind, n in self.kinds().items())
        yield f"  faults   {len(self.every_fault)} ({kinds})"
        yield (
            f"  seconds  {self.said_seconds} said, {len(self.lost)} lost, {len(self.doubled)} doubled; "
            f"{len(self.lost_stored)} streams not stored whole"
        )
        for name, one in self.slopes().items():
            mark = " (never ended)" if name == self.spared else ""
            gained = f"{one.rss_mb_per_hour:+.1f} MB, {one.handles_per_hour:+.1f} handles"
            yield (
                f"  {name}{mark}: per hour {gained}, {one.threads_per_hour:+.1f} threads; "
                f"{one.rss_mb_first:.0f} to {one.rss_mb_last:.0f} MB in {one.hours:.2f} h; at most "
                f"{one.rss_mb_most:.0f} MB, {one.handles_most} handles, {one.threads_most} threads"
            )
        for name in ("failures", "ended_alone", "lost", "doubled", "lost_stored"):
            for text in getattr(self, name)[:SHOWN]:
                yield f"  {name}: {text}"


def slope_of(samples: Sequence[Sample]) -> Slope | None:
    """What a process gained per hour, ``None`` where it lived too shortly to tell."""
    warm = [one for one in samples if one.at_s >= samples[0].at_s + WARM_S]
    if not warm or warm[-1].at_s - warm[0].at_s < LEAST_S:
        return None
    hours = np.array([one.at_s for one in warm]) / 3600
    memory = np.array([one.rss_bytes for one in warm]) / 1e6
    handles = np.array([one.handles for one in warm])
    threads = np.array([one.threads for one in warm])
    gained = [round(float(np.polyfit(hours, held, 1)[0]), 2) for held in (memory, handles, threads)]
    return Slope(
        samples=len(warm),
        hours=round(float(hours[-1] - hours[0]), 3),
        rss_mb_per_hour=gained[0],
        handles_per_hour=gained[1],
        threads_per_hour=gained[2],
        rss_mb_first=round(float(memory[0]), 1),
        rss_mb_last=round(float(memory[-1]), 1),
        rss_mb_most=round(float(memory.max()), 1),
        handles_most=int(handles.max()),
        threads_most=int(threads.max()),
    )
