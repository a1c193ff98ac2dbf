"""What came of a soak: how much memory, how many handles and threads each process gained per hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from inference.chaos_crew import RECORDER, WORKER
from inference.chaos_faults import Fault

WARM_S: Final = 600.0
"""What a process does in its first minutes, it does not do again: allocating rings, caches, pools."""

LEAST_S: Final = 300.0
"""Of a shorter time no slope is told."""

JUDGED_HOURS: Final = 0.5
"""Of a shorter time slopes are told and not judged: one step of the heap would be read as a slope."""

HOUR_S: Final = 3_600
"""A soak that is to last so long must have slopes that can be judged."""

MOST_MB_PER_HOUR: Final = 60.0
"""A worker of 700 MB in a container of 4 GB then lasts two days, in which somebody sees it on the System
page. What an allocator keeps for good of a step at a takeover stays below it."""

MOST_HANDLES_PER_HOUR: Final = 20.0
"""Of 1,024 that a process may open by default, two days' worth; lines come and go at each fault."""

MOST_THREADS_PER_HOUR: Final = 2.0
"""Threads are made at the start; one that stays behind at each fault would be a hundred an hour."""

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
        """Whether nothing is missing and nothing grows."""
        wrong = (self.lost, self.doubled, self.lost_stored, self.failures, self.ended_alone, self.grown())
        return not any(wrong)

    def grown(self) -> list[str]:
        """Which of the processes that are never ended gains more than it may, or cannot be judged."""
        slopes = self.judged()
        wrong = [
            f"{name}: {gained:+.1f} {what} an hour, at most {most:g}"
            for name, one in slopes.items()
            for gained, what, most in (
                (one.rss_mb_per_hour, "MB", MOST_MB_PER_HOUR),
                (one.handles_per_hour, "handles", MOST_HANDLES_PER_HOUR),
                (one.threads_per_hour, "threads", MOST_THREADS_PER_HOUR),
            )
            if gained > most
        ]
        if self.seconds >= HOUR_S:
            roles = {name.partition("-")[0] for name in slopes}
            wrong += [
                f"{role}: not sampled for long enough" for role in (WORKER, RECORDER) if role not in roles
            ]
        return wrong

    def judged(self) -> dict[str, Slope]:
        """Slopes of the spared worker and the recorder, where they are of a time that is long enough."""
        return {
            name: slope
            for name, slope in self.slopes().items()
            if (name == self.spared or name.startswith(f"{RECORDER}-")) and slope.hours >= JUDGED_HOURS
        }

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
            "grown": self.grown(),
            "growth_judged": sorted(self.judged()),
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
        if not self.judged():
            yield f"  growth not judged: that takes {JUDGED_HOURS:g} h after the first {WARM_S / 60:.0f} min"
        for text in self.grown():
            yield f"  grown: {text}"
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
