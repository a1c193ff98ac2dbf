"""Whether the system can be trusted now: one word, one line, and the reasons, worst first."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dashboard.system_state import SILENT_S, Member, SystemSnapshot
from inference.alarm_spec import ANY
from inference.catalog import load_catalogue
from inference.stats import AWAY, KEYS_UNREAD, LACKING, PREDICTION_OUT
from inference.status import INFER, JUDGE, RECORD
from inference.types import ClockAhead

STALE_S: Final = SILENT_S
LAG_S: Final = 5.0
LATE_MS: Final = 2_000.0
LATELY_S: Final = 60.0
SHOWN: Final = 12

ROLES: Final = {INFER: "worker", RECORD: "recorder", JUDGE: "judge"}

FAULTS: Final = {
    AWAY: "stores nothing: its database does not answer or is full; what Kafka still keeps is stored later",
    LACKING: "is without networks that it was to have ({n}): the rest is watched; its log says which and why",
    KEYS_UNREAD: "cannot use the file of device keys: those read before are believed on, revoked ones too",
}
"""What a process says by a counter that is 0 again once it is over, in words."""


class Level(StrEnum):
    """The word of the verdict."""

    OK = "OK"
    DEGRADED = "DEGRADED"
    NO_WORKER = "NO WORKER"
    NO_BROKER = "NO BROKER"


@dataclass(frozen=True, slots=True)
class Trust:
    """The verdict; ``line`` is what the head says after the word."""

    level: Level
    line: str
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Broker:
    """Whether the broker answers this dashboard; ``silent_s`` since when it does not, and why."""

    connected: bool
    silent_s: float = 0.0
    problem: str | None = None


def role_word(role: str) -> str:
    """What staff call a role."""
    return ROLES.get(role, role)


def name_of(member: Member) -> str:
    """A process in few words; what it says of itself came over the wire."""
    status = member.status
    return f"{role_word(status.role)} {status.host[:40]}:{status.pid}"


def speaks(member: Member) -> bool:
    """Whether it runs and said so lately."""
    return not member.stopped and member.age_s <= STALE_S


def live(snapshot: SystemSnapshot, role: str) -> list[Member]:
    """Processes of a role that speak."""
    return [one for one in snapshot.members if one.status.role == role and speaks(one)]


def many(n: int, what: str) -> str:
    """``1 bed``, ``2 beds``."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def numbers(found: Iterable[int]) -> str:
    """Partitions in words: ``0–3, 7``."""
    runs: list[list[int]] = []
    for number in sorted(set(found)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    words = [str(a) if a == b else f"{a}–{b}" for a, b in runs]
    return ", ".join(words[:SHOWN]) + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")


def holders(members: Sequence[Member]) -> dict[int, list[Member]]:
    """Who holds each partition."""
    found: dict[int, list[Member]] = defaultdict(list)
    for member in members:
        for number in member.status.partitions:
            found[number].append(member)
    return found


def clock_limit_s() -> float:
    """How far a device's clock may be off before the bed says so, where nothing else is set."""
    (spec,) = (one for one in load_catalogue().of_signal(ANY) if one.kind == "clock_drift")
    return spec.limit.value if spec.limit is not None else float("inf")


def clocks(snapshot: SystemSnapshot) -> list[ClockAhead]:
    """Device clocks that workers know, the furthest off first."""
    found = [clock for worker in live(snapshot, INFER) for clock in worker.status.clocks]
    return sorted(found, key=lambda clock: -abs(clock.ahead_s))


def judge(snapshot: SystemSnapshot, broker: Broker, now_ms: float | None = None) -> Trust:
    """Say whether the system can be trusted.

    Parameters
    ----------
    snapshot : SystemSnapshot
        What the processes said.
    broker : Broker
        Whether it answers.
    now_ms : float or None
        Wall clock, ms since the epoch; now by default.
    """
    if not broker.connected:
        why = f" ({broker.problem})" if broker.problem else ""
        return Trust(Level.NO_BROKER, f"the broker has not answered for {broker.silent_s:.0f} s{why}")
    workers = live(snapshot, INFER)
    if not workers and snapshot.catching_up:
        line = "this dashboard heard nothing until just now: who speaks is not known yet"
        return Trust(Level.DEGRADED, line, (line,))
    if not workers:
        return Trust(Level.NO_WORKER, _no_worker(snapshot))
    now_ms = time.time() * 1e3 if now_ms is None else now_ms
    reasons = [reason for check in _CHECKS for reason in check(snapshot, workers)]
    reasons += _refused(snapshot, now_ms)
    if reasons:
        more = f" (and {len(reasons) - 1} more below)" if len(reasons) > 1 else ""
        return Trust(Level.DEGRADED, reasons[0] + more, tuple(reasons))
    return Trust(Level.OK, _fine(workers))


def _no_worker(snapshot: SystemSnapshot) -> str:
    if snapshot.worker_age_s is None:
        return f"none has said anything in the {snapshot.listening_s:.0f} s that this page has listened"
    return f"no worker has said anything for {snapshot.worker_age_s:.0f} s: no bed is watched"


def _fine(workers: Sequence[Member]) -> str:
    total = max(one.status.n_partitions for one in workers)
    beds = sum(one.status.beds for one in workers)
    outs = [one.status.latencies[PREDICTION_OUT] for one in workers if PREDICTION_OUT in one.status.latencies]
    late = f", predictions leave within {max(out.p99_ms for out in outs):.0f} ms (p99)" if outs else ""
    hold = "1 worker holds" if len(workers) == 1 else f"{len(workers)} workers hold"
    return f"{hold} all {total} partitions, {many(beds, 'bed')}{late}"


def _partitions(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    held = holders(workers)
    total = max(one.status.n_partitions for one in workers)
    missing = [number for number in range(total) if number not in held]
    if missing:
        yield f"{len(missing)} of {many(total, 'partition')} read by no worker: {numbers(missing)}"
    twice = [number for number, found in held.items() if len(found) > 1]
    if twice:
        yield f"{many(len(twice), 'partition')} held by two workers at once: {numbers(twice)}"


def _lag(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    for member in snapshot.members:
        late = [lag for lag in member.status.lag if lag.records and (lag.seconds or 0.0) > LAG_S]
        if speaks(member) and late:
            worst = max(late, key=lambda lag: lag.seconds or 0.0)
            yield (
                f"{name_of(member)} is behind on {many(len(late), 'partition')}, most on {worst.partition}: "
                f"{worst.records} records, {worst.seconds:.0f} s"
            )


def _latency(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    for worker in workers:
        out = worker.status.latencies.get(PREDICTION_OUT)
        if out is not None and out.p99_ms > LATE_MS:
            took = f"{out.p99_ms / 1e3:.1f} s (p99)"
            yield f"predictions of {name_of(worker)} take {took} from the broker's receipt"


def _commits(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    for member in snapshot.members:
        if speaks(member) and member.status.rates.get("commits_refused", 0.0) > 0:
            yield f"the broker refuses commits of {name_of(member)}"


def _gone(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    for role, silent_s in gone(snapshot).items():
        yield says_nothing(role, silent_s)


def gone(snapshot: SystemSnapshot) -> dict[str, float]:
    """Roles whose every process fell silent without a goodbye, and since when; of workers partitions tell."""
    found = {}
    for role in sorted({one.status.role for one in snapshot.members} - {INFER}):
        silent = [one.age_s for one in snapshot.members if one.status.role == role and not one.stopped]
        if silent and min(silent) > STALE_S:
            found[role] = min(silent)
    return found


def says_nothing(role: str, silent_s: float) -> str:
    """A role that fell silent, in words."""
    return f"the {role_word(role)[:40]} has said nothing for {silent_s:.0f} s"


def _faults(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    for name, words in FAULTS.items():
        for member in snapshot.members:
            n = member.status.counts.get(name, 0)
            if n and speaks(member):
                yield f"{name_of(member)} {words.format(n=n)}"


def _fallen_back(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    """Who lost its GPU: all goes on, but more slowly, and it does not come back by itself."""
    for worker in (*workers, *live(snapshot, JUDGE)):
        lost = worker.status.fallen_back
        if lost:
            first, why = min(lost.items())
            more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
            yield (
                f"{name_of(worker)} lost its GPU: {first[:60]}{more} on the CPU, more slowly; restart it to "
                f"use the GPU again ({why[:200]})"
            )


def _clocks(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    limit_s = clock_limit_s()
    off = [clock for clock in clocks(snapshot) if abs(clock.ahead_s) > limit_s]
    if off:
        worst = off[0]
        word = "ahead" if worst.ahead_s > 0 else "behind"
        yield (
            f"{many(len(off), 'device clock')} off by more than {limit_s:g} s, most "
            f"{worst.bed[:40]} {worst.signal[:20]}: {abs(worst.ahead_s):.1f} s {word}"
        )


def _versions(snapshot: SystemSnapshot, workers: Sequence[Member]) -> Iterable[str]:
    speaking = [one.status for one in snapshot.members if speaks(one)]
    found = {f"{one.version} ({one.code_commit})"[:60] for one in speaking}
    if len(found) > 1:
        yield f"processes run different versions: {', '.join(sorted(found))}"
    for name in sorted({model.name for one in speaking for model in one.models}):
        sums = {model.sha256 for one in speaking for model in one.models if model.name == name}
        if len(sums) > 1:
            yield f"processes run different weights of {name[:60]}"


def _refused(snapshot: SystemSnapshot, now_ms: float) -> Iterable[str]:
    lately = [one for one in snapshot.letters if now_ms - one.received_ms <= LATELY_S * 1e3]
    if lately:
        reasons = ", ".join(sorted({one.reason[:40] for one in lately})[:4])
        refused = f"{many(len(lately), 'record')} refused in the last minute ({reasons})"
        yield f"{refused}: what devices sent there is not watched"


_CHECKS: Final[tuple[Callable[[SystemSnapshot, Sequence[Member]], Iterable[str]], ...]] = (
    _partitions,
    _lag,
    _latency,
    _commits,
    _gone,
    _faults,
    _fallen_back,
    _clocks,
    _versions,
)
