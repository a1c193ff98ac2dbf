"""What came of a chaos run: figures for people and for programs."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from inference.chaos_compare import FAULTS, SHOWN, Verdict
from inference.chaos_faults import Fault

TARGET_S: Final = 10.0
"""Within this another worker is to have taken over the beds of one that is gone."""


def summary(reports: Sequence[Report]) -> str:
    """One line over several runs."""
    lost, doubled, different = (
        sum(len(getattr(one.verdict, name)) for one in reports) for name in ("lost", "doubled", "different")
    )
    takeovers_s = [took for one in reports for took in one.takeovers_s]
    longest = _longest(max(takeovers_s)) if takeovers_s else "no takeover measured"
    return (
        f"{sum(len(one.every_fault) for one in reports)} faults in {len(reports)} runs: lost {lost}, "
        f"doubled {doubled}, different {different}, {longest}"
    )


def _longest(takeover_s: float) -> str:
    word = "met" if takeover_s <= TARGET_S else "missed"
    return f"takeover <= {takeover_s:.1f} s (target {TARGET_S:g} s: {word})"


class Report(msgspec.Struct):
    """The figures of one run, as they go into the JSON file.

    ``records`` is what the devices had to send, ``records_sent_again`` what the raw topic holds besides.
    ``ended_alone`` are processes that ended without having been told to; they were started anew.
    """

    seed: int
    code_commit: str
    broker: str
    seconds: int
    load: float
    workers: int
    beds: Sequence[str]
    records: int
    records_sent_again: int
    dead_letters: int
    silence_longest_s: Mapping[str, float]
    ended_alone: Sequence[str]
    every_fault: Sequence[Fault]
    verdict: Verdict

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled, or said otherwise, and no process ended by itself."""
        return self.verdict.passed and self.dead_letters == 0 and not self.ended_alone

    @property
    def takeovers_s(self) -> list[float]:
        """How long beds of a struck worker were silent, each time."""
        return sorted(one.takeover_s for one in self.every_fault if one.takeover_s is not None)

    def faults(self) -> dict[str, int]:
        """Number of faults by kind."""
        return dict(sorted(Counter(one.kind for one in self.every_fault).items()))

    def to_json(self) -> bytes:
        """All of it, with what follows from it."""
        plain = msgspec.to_builtins(self)
        takeovers = self.takeovers_s
        figures = {
            "schema": "chaos/1",
            "passed": self.passed,
            "faults": len(self.every_fault),
            "faults_by_kind": self.faults(),
            "lost": len(self.verdict.lost),
            "doubled": len(self.verdict.doubled),
            "takeovers": len(takeovers),
            "takeover_median_s": statistics.median(takeovers) if takeovers else None,
            "takeover_longest_s": takeovers[-1] if takeovers else None,
        }
        return msgspec.json.format(msgspec.json.encode(figures | plain), indent=1)

    def lines(self) -> Iterator[str]:
        """The report for people."""
        verdict, takeovers = self.verdict, self.takeovers_s
        word = "PASSED" if self.passed else "FAILED"
        yield f"{word}: seed {self.seed}, code {self.code_commit}, {self.broker}"
        yield (
            f"  ward       {len(self.beds)} beds for {self.seconds} s, {self.workers} workers at first, "
            f"load {self.load:.1f}"
        )
        kinds = ", ".join(f"{kind} {n}" for kind, n in self.faults().items())
        yield f"  faults     {len(self.every_fault)} ({kinds})"
        yield (
            f"  records    {self.records} sent, {self.records_sent_again} of them again, "
            f"{self.dead_letters} refused"
        )
        yield "  compared   " + ", ".join(f"{name} {n}" for name, n in verdict.counts.items())
        yield (
            f"  lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, "
            f"different {len(verdict.different)}, "
            f"out of order {len(verdict.disorder)}, left standing {len(verdict.standing)}, "
            f"falsely missing {len(verdict.false_missing)}, not tried {len(verdict.not_tried)}"
        )
        if verdict.gone or verdict.given_again:
            yield (
                f"  the broker lost {len(verdict.gone)} acknowledged records and gave the offsets of "
                f"{len(verdict.given_again)} outputs to other records"
            )
        if takeovers:
            yield (
                f"  takeover   {len(takeovers)} measured: median {statistics.median(takeovers):.1f} s, "
                f"longest {takeovers[-1]:.1f} s"
            )
        silences = ", ".join(f"{bed} {silence:.1f} s" for bed, silence in self.silence_longest_s.items())
        yield f"  longest silence (all faults)  {silences}"
        for name in (*FAULTS, "gone", "given_again"):
            for one in getattr(verdict, name)[:SHOWN]:
                yield f"  {name}: {one}"
        for ended in self.ended_alone:
            yield f"  ended by itself: {ended}"
