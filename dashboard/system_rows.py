"""The System page's rows: what the processes say, in words, as cells of tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from dashboard import trust
from dashboard.system_state import Letter, Member, SystemSnapshot
from dashboard.trust import name_of, numbers, role_word, speaks
from inference.stats import (
    ACK,
    ALARM_OUT,
    LACKING,
    POLLED,
    PREDICTED,
    PREDICTION_OUT,
    SENT,
    STORED,
    VERDICT_OUT,
)
from inference.status import INFER, JUDGE, RECORD, RUNNING

Cell = str | int | float | None
Row = dict[str, Cell]

NOBODY: Final = "NOBODY"
MISSING: Final = "MISSING"
SILENT: Final = "silent for"
STOPPED: Final = "stopped"
BEHIND: Final = "Behind (s)"
AGE: Final = "Age (s)"
AHEAD: Final = "Ahead of the broker (s)"
PER_SECOND: Final = "A second"
STAGES: Final = {
    POLLED: "broker's receipt → read by the worker",
    PREDICTED: "read → networks are done",
    SENT: "networks are done → handed to the client",
    PREDICTION_OUT: "broker's receipt → prediction out",
    ALARM_OUT: "broker's receipt → alarm out",
    STORED: "broker's receipt → in the database",
    VERDICT_OUT: "broker's receipt → verdict out",
    ACK: "sent → acknowledged by the broker",
}
COUNTS: Final = {
    "chunks_in": "chunks read",
    "windows": "windows judged, a prediction each",
    "predictions_thinned": "predictions left out of the display while behind",
    LACKING: "networks that cannot be loaded",
    "partitions_paused": "times a partition waited for beds at risk",
    "alarms": "alarm records sent",
    "dead_letters": "records refused",
    "unreadable": "damaged records stepped over",
    "commits_refused": "commits refused",
    "command_errors": "commands that met a fault",
    "raw": "raw chunks read",
    "vitals": "vitals stored",
    "alarm_steps": "alarm records stored",
    "strips": "strips stored",
    "device_alarms": "device alarms read",
    "verdicts": "verdicts given",
    "unjudged": "device alarms not judged",
    "database_losses": "times the database was away",
    "broker_losses": "times the broker was away",
    "bad_records": "records left out",
    "gap": "gaps in signals",
    "duplicate": "chunks that came twice",
    "late": "chunks that came too late",
    "reorder": "chunks out of order",
    "overlap": "overlapping chunks",
    "clock_jump": "jumps of device clocks",
    "restart": "devices that began anew",
}


def figures(snapshot: SystemSnapshot) -> list[tuple[str, str]]:
    """Names and values of the tiles below the verdict."""
    workers = trust.live(snapshot, INFER)
    held = trust.holders(workers)
    total = max((one.status.n_partitions for one in workers), default=0)
    lags = [lag.seconds for one in workers for lag in one.status.lag if lag.seconds is not None]
    off = trust.clocks(snapshot)
    return [
        ("workers", str(len(workers))),
        ("partitions held", f"{len(held)} of {total}" if total else "–"),
        ("beds", str(sum(one.status.beds for one in workers))),
        ("chunks a second", _sum(one.status.rates.get("chunks_in") for one in workers)),
        ("furthest behind", f"{max(lags):.1f} s" if lags else "–"),
        ("prediction, p99", _worst(workers, PREDICTION_OUT)),
        ("alarm, p99", _worst(workers, ALARM_OUT)),
        ("records refused", str(sum(snapshot.refused.values()))),
        ("clock furthest off", _signed(off[0].ahead_s) if off else "–"),
        ("recorder", _presence(snapshot, RECORD)),
        ("judge", _presence(snapshot, JUDGE)),
    ]


def _signed(seconds: float) -> str:
    return f"{round(seconds, 2) + 0.0:+.2f} s"


def _sum(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{sum(known):.0f}" if known else "–"


def _worst(workers: Sequence[Member], stage: str) -> str:
    known = [one.status.latencies[stage].p99_ms for one in workers if stage in one.status.latencies]
    return f"{max(known):.0f} ms" if known else "–"


def _presence(snapshot: SystemSnapshot, role: str) -> str:
    own = [one for one in snapshot.members if one.status.role == role]
    if any(speaks(one) for one in own):
        return "runs"
    silent = [one.age_s for one in own if not one.stopped]
    return f"{SILENT} {min(silent):.0f} s" if silent else "none"


def state_word(member: Member) -> str:
    """How a process is, with its age."""
    if member.stopped:
        return f"{STOPPED} {member.age_s:.0f} s ago"
    if not speaks(member):
        return f"{SILENT} {member.age_s:.0f} s"
    return member.status.state[:20] if member.status.state != RUNNING else "runs"


def process_rows(snapshot: SystemSnapshot) -> list[Row]:
    """A row a process."""
    rows: list[Row] = []
    for member in snapshot.members:
        one = member.status
        rows.append(
            {
                "Process": role_word(one.role),
                "Host:PID": f"{one.host}:{one.pid}",
                "State": state_word(member),
                AGE: round(member.age_s, 1),
                "Up": _duration((one.emitted_ns - one.started_ns) / 1e9),
                "Partitions": numbers(one.partitions) or "none",
                "Beds": one.beds,
                "CPU (cores)": one.cpu_share,
                "Memory (MB)": round(one.rss_bytes / 1e6),
                "Threads": one.threads,
                "Networks": ", ".join(model.name for model in one.models) or "–",
                "On": one.device if one.models else "–",
            }
        )
    return rows


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def partition_rows(snapshot: SystemSnapshot) -> list[Row]:
    """A row a partition: who reads it and how far behind; what is wrong comes first."""
    speaking = {role: trust.live(snapshot, role) for role in (INFER, RECORD, JUDGE)}
    total = max((one.status.n_partitions for one in speaking[INFER]), default=0)
    held = {role: trust.holders(members) for role, members in speaking.items()}
    lags = {
        lag.partition: (lag, member.age_s)
        for member in speaking[INFER]
        for lag in member.status.lag
        if lag.partition in member.status.partitions
    }
    rows: list[Row] = []
    for number in range(total):
        lag, age_s = lags.get(number, (None, None))
        rows.append(
            {
                "Partition": number,
                "Worker": _names(held[INFER].get(number, ())) or NOBODY,
                "Behind (records)": None if lag is None else lag.records,
                BEHIND: None if lag is None else lag.seconds,
                AGE: None if age_s is None else round(age_s, 1),
                "Recorder": _names(held[RECORD].get(number, ())) or "–",
                "Judge": _names(held[JUDGE].get(number, ())) or "–",
            }
        )

    def gravity(row: Row) -> tuple[bool, float, int]:
        alone = row["Worker"] == NOBODY or ", " in str(row["Worker"])
        return not alone, -float(row[BEHIND] or 0.0), int(row["Partition"] or 0)

    return sorted(rows, key=gravity)


def _names(members: Sequence[Member]) -> str:
    return ", ".join(f"{one.status.host}:{one.status.pid}" for one in members)


def latency_rows(snapshot: SystemSnapshot) -> list[Row]:
    """A row a process and stage."""
    rows: list[Row] = []
    for member in _running(snapshot):
        known = member.status.latencies
        for stage in [*(name for name in STAGES if name in known), *sorted(known.keys() - STAGES.keys())]:
            figure = known[stage]
            rows.append(
                {
                    "Process": name_of(member),
                    "Stage": STAGES.get(stage, stage),
                    "p50 (ms)": figure.p50_ms,
                    "p99 (ms)": figure.p99_ms,
                    "Values": figure.n,
                    AGE: round(member.age_s, 1),
                }
            )
    return rows


def throughput_rows(snapshot: SystemSnapshot) -> list[Row]:
    """A row a process and counter; those that stand at 0 are left out."""
    rows: list[Row] = []
    for member in _running(snapshot):
        counts = member.status.counts
        for name in [*(name for name in COUNTS if name in counts), *sorted(counts.keys() - COUNTS.keys())]:
            if counts[name] and name != "partitions":
                rows.append(
                    {
                        "Process": name_of(member),
                        "What": COUNTS.get(name, name),
                        PER_SECOND: member.status.rates.get(name),
                        "Since the start": counts[name],
                        AGE: round(member.age_s, 1),
                    }
                )
    return rows


def _running(snapshot: SystemSnapshot) -> list[Member]:
    return [one for one in snapshot.members if not one.stopped]


def clock_rows(snapshot: SystemSnapshot) -> list[Row]:
    """A row a signal, the clock that is furthest off first."""
    rows: list[Row] = []
    for worker in trust.live(snapshot, INFER):
        for clock in worker.status.clocks:
            rows.append(
                {
                    "Bed": clock.bed,
                    "Signal": clock.signal,
                    # Not "-0.0".
                    AHEAD: round(clock.ahead_s, 2) + 0.0,
                    AGE: round(worker.age_s, 1),
                }
            )
    return sorted(rows, key=lambda row: -abs(float(row[AHEAD] or 0.0)))


def version_rows(snapshot: SystemSnapshot, own: Mapping[str, str]) -> list[Row]:
    """A row a process; ``own`` is the dashboard's."""
    found: list[dict[str, str]] = [{"Process": "this dashboard", **own}]
    for member in _running(snapshot):
        one = member.status
        found.append(
            {"Process": name_of(member), "Wardwave": one.version, "Commit": one.code_commit, **one.libraries}
        )
    names = list(dict.fromkeys(name for row in found for name in row))
    return [{name: row.get(name, "–") for name in names} for row in found]


def letter_rows(letters: Sequence[Letter], wanted: str) -> list[Row]:
    """The newest refused records that hold all words of ``wanted`` somewhere."""
    words = wanted.lower().split()
    now_ms = time.time() * 1e3
    rows: list[Row] = []
    for one in letters:
        where = f"{one.topic}/{one.partition}@{one.offset}"
        whole = f"{one.reason} {one.detail} {where} {one.key}".lower()
        if all(word in whole for word in words):
            rows.append(
                {
                    "Refused (UTC)": _clock_time(one.received_ms),
                    "Age": _duration((now_ms - one.received_ms) / 1e3),
                    "Bed key": one.key,
                    "Reason": one.reason,
                    "Detail": one.detail,
                    "Record": where,
                }
            )
    return rows


def _clock_time(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1e3, tz=UTC).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"


def topic_rows(names: Mapping[str, str], found: Mapping[str, int], *, connected: bool) -> list[Row]:
    """A row a topic that this dashboard reads; ``names`` is what they hold.

    A topic is missing only where a broker that answers does not have it.
    """
    return [
        {
            "Topic": name,
            "Holds": holds,
            "Partitions": str(found.get(name, "–")),
            "State": "read" if name in found else MISSING if connected else "not known",
        }
        for name, holds in names.items()
    ]
