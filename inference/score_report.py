"""The scores as Markdown, for the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from inference.episodes import Heard
from inference.score import SIDES, RecordScore
from inference.score_stats import KindScore, Rate, Share, false_rate, kinds
from inference.types import Priority


def report(scores: Sequence[RecordScore]) -> list[str]:
    """Lines: a table of records, then each side of the split, then what the issue asks of mitdb."""
    lines = [
        "| record | side | hours | episodes | answered | delay median (s) | delay worst (s) | false high "
        "| high, not scored | medium, low, technical |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [_record_line(score) for score in scores if _worth_a_line(score)]
    for side in sides(scores):
        lines += ["", *_side_lines(side, [score for score in scores if score.side == side])]
    lines += ["", *_side_lines("all sides together", scores)]
    free = [score for score in scores if score.event_free]
    if free:
        lines += ["", f"**records with annotated beats and no episode**: {len(free)}"]
        lines += [f"- false high-priority alarms: {say_rate(false_rate(free))}"]
    return [*lines, "", *_false_lines(scores)]


def sides(scores: Iterable[RecordScore]) -> list[str]:
    """Sides that occur, trained ones first."""
    there = {score.side for score in scores}
    return [side for side in SIDES if side in there] + sorted(there - set(SIDES))


def say_share(item: Share) -> str:
    """``9 of 10 (90 %, 56 to 100)``."""
    if item.whole == 0:
        return "none"
    percent = 100 * item.count / item.whole
    return f"{item.count} of {item.whole} ({percent:.0f} %, {100 * item.low:.0f} to {100 * item.high:.0f})"


def say_rate(item: Rate) -> str:
    """``3 in 0.50 bed-days: 6.0 a bed-day (1.2 to 17.5)``."""
    if item.per_day is None:
        return f"{item.count}, no labelled time"
    low, high = item.low / item.days, item.high / item.days
    return (
        f"{item.count} (count's 95 % interval {item.low:.1f} to {item.high:.1f}) in {item.days:.2f} "
        f"bed-days: {item.per_day:.1f} a bed-day ({low:.1f} to {high:.1f})"
    )


def count_kinds(alarms: Iterable[Heard]) -> str:
    """``2 asystole, 1 vt``."""
    found = Counter(alarm.kind for alarm in alarms)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))


def _worth_a_line(score: RecordScore) -> bool:
    """Whether more is to be told of a record than that it is there; those of one alarm are many."""
    return score.reference.device is None or bool(score.false)


def _record_line(score: RecordScore) -> str:
    delays = [answer.delay_s for answer in score.answers if answer.delay_s is not None]
    median = f"{np.median(delays):.1f}" if delays else ""
    worst = f"{max(delays):.1f}" if delays else ""
    less = ", ".join(
        str(score.burden[priority]) for priority in (Priority.MEDIUM, Priority.LOW, Priority.TECHNICAL)
    )
    return (
        f"| {score.record} | {score.side} | {score.length_s / 3600:.2f} | {len(score.answers)} | "
        f"{len(delays)} | {median} | {worst} | {count_kinds(score.false)} | "
        f"{count_kinds(score.unlabelled)} | {less} |"
    )


def _side_lines(side: str, scores: Sequence[RecordScore]) -> list[str]:
    days = sum(score.length_s for score in scores) / 86_400
    lines = [f"**{side}**: {len(scores)} records, {days:.2f} bed-days"]
    lines += [f"- {say_kind(kind)}" for kind in kinds(scores)]
    return [*lines, f"- false high-priority alarms: {say_rate(false_rate(scores))}"]


def say_kind(item: KindScore) -> str:
    """One line of one kind of episode."""
    words = f"{item.kind}: answered {say_share(item.answered)}, within 10 s {say_share(item.prompt)}"
    if item.median_s is not None and item.p95_s is not None and item.worst_s is not None:
        words += f"; delay median {item.median_s:.1f} s, p95 {item.p95_s:.1f} s, worst {item.worst_s:.1f} s"
    if item.prompt_met.count != item.prompt.count:
        words += f"; within 10 s of the definition {item.prompt_met.count}"
    others = {kind: count for kind, count in item.by.items() if kind != item.kind}
    return words + "".join(f"; {count} by {kind}" for kind, count in sorted(others.items()))


def _false_lines(scores: Iterable[RecordScore]) -> list[str]:
    lines = ["| record | alarm | raised (s) | lasted (s) | message |", "| --- | --- | --- | --- | --- |"]
    for score in scores:
        for alarm in score.false:
            lasted = alarm.ended_s - alarm.raised_s
            shown = "" if np.isinf(lasted) else f"{lasted:.0f}"
            lines.append(
                f"| {score.record} | {alarm.kind} | {alarm.raised_s:.0f} | {shown} | {alarm.message} |"
            )
    return lines if len(lines) > 2 else []
