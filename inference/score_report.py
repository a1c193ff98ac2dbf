"""The scores as Markdown, for the terminal, and words that the HTML page shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from inference.episodes import Heard
from inference.score import RecordScore
from inference.score_document import DeviceSummary, Document, Summary
from inference.score_stats import KindScore, Rate, Share
from inference.types import Priority

RECORD_HEAD = (
    "record", "side", "labels", "hours", "episodes", "answered", "delay median (s)", "delay worst (s)",
    "false high", "high, not scored", "raised: high, medium, low, technical",
)  # fmt: skip
ALARM_HEAD = ("record", "alarm", "raised (s)", "lasted (s)", "message")
DEVICE_HEAD = ("alarm", "TP", "FP", "TN", "FN", "score")
LOUD_FIRST = (Priority.HIGH, Priority.MEDIUM, Priority.LOW, Priority.TECHNICAL)


def to_text(document: Document) -> list[str]:
    """Lines: records, summaries, devices' alarms, false alarms, missed episodes."""
    lines = markdown(RECORD_HEAD, [record_row(score) for score in document.records if worth_a_row(score)])
    for summary in document.summaries:
        lines += ["", *summary_lines(summary)]
    for device in document.devices:
        lines += ["", f"**CinC 2015: {device.title}**{say_fit(device)}", "", *_device_table(device)]
    for title, rows in (
        ("False high-priority alarms", alarm_rows(document.records)),
        ("Missed or late (over 10 s) episodes", missed_rows(document.records)),
    ):
        head = ALARM_HEAD if title.startswith("False") else MISSED_HEAD
        lines += ["", f"**{title}**: {len(rows)}", *(["", *markdown(head, rows)] if rows else [])]
    return lines


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """A table."""
    names = list(head)
    lines = [f"| {' | '.join(names)} |", f"| {' | '.join('---' for _ in names)} |"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def say_share(item: Share) -> str:
    """``9 of 10 (90 %, 56 to 100)``."""
    if item.whole == 0:
        return "none"
    percent = 100 * item.count / item.whole
    return f"{item.count} of {item.whole} ({percent:.0f} %, {100 * item.low:.0f} to {100 * item.high:.0f})"


def say_rate(item: Rate) -> str:
    """``3 (0.6 to 8.8) in 0.50 bed-days: 6.0 a bed-day (1.2 to 17.5)``."""
    if item.per_day is None:
        return f"{item.count}, no labelled time"
    low, high = item.low / item.days, item.high / item.days
    return (
        f"{item.count} ({item.low:.1f} to {item.high:.1f}) in {item.days:.2f} bed-days: "
        f"{item.per_day:.1f} a bed-day ({low:.1f} to {high:.1f})"
    )


def count_kinds(alarms: Iterable[Heard]) -> str:
    """``2 asystole, 1 vt``."""
    found = Counter(alarm.kind for alarm in alarms)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))


def worth_a_row(score: RecordScore) -> bool:
    """Whether more is to be told of a record than that it is there; those of one alarm are many."""
    return score.reference.device is None or bool(score.false)


def record_row(score: RecordScore) -> tuple[str, ...]:
    """Cells under :data:`RECORD_HEAD`."""
    delays = [answer.delay_s for answer in score.answers if answer.delay_s is not None]
    return (
        score.record,
        score.side,
        str(score.reference.labels),
        f"{score.length_s / 3600:.2f}",
        str(len(score.answers)),
        str(len(delays)),
        f"{np.median(delays):.1f}" if delays else "",
        f"{max(delays):.1f}" if delays else "",
        count_kinds(score.false),
        count_kinds(score.unlabelled),
        ", ".join(str(score.burden.get(priority, 0)) for priority in LOUD_FIRST),
    )


def summary_lines(summary: Summary) -> list[str]:
    """What one group of records showed."""
    lines = [f"**{summary.title}**: {summary.records} records, {summary.bed_days:.2f} bed-days"]
    lines += [f"- {say_kind(kind)}" for kind in summary.kinds]
    lines.append(f"- false high-priority alarms: {say_rate(summary.false_high)}")
    return [*lines, f"- raised a bed-day, true or not: {say_raised(summary)}"]


def say_raised(summary: Summary) -> str:
    """``high 12, medium 30, low 8, technical 4``."""
    rates = [(priority, summary.raised[priority].per_day) for priority in LOUD_FIRST]
    return ", ".join(f"{priority} {'–' if each is None else f'{each:.0f}'}" for priority, each in rates)


def say_kind(item: KindScore) -> str:
    """One line of one kind of episode."""
    words = f"{item.kind}: answered {say_share(item.answered)}, within 10 s {say_share(item.prompt)}"
    if item.median_s is not None and item.p95_s is not None and item.worst_s is not None:
        words += f"; delay median {item.median_s:.1f} s, p95 {item.p95_s:.1f} s, worst {item.worst_s:.1f} s"
    if item.prompt_met.count != item.prompt.count:
        words += f"; within 10 s of the definition {item.prompt_met.count}"
    if item.before:
        words += f"; {item.before} by an alarm that had sounded for over 10 s before"
    others = {kind: count for kind, count in item.by.items() if kind != item.kind}
    return words + "".join(f"; {count} by {kind}" for kind, count in sorted(others.items()))


def alarm_rows(scores: Iterable[RecordScore]) -> list[tuple[str, ...]]:
    """False alarms, under :data:`ALARM_HEAD`."""
    return [
        (
            score.record,
            alarm.kind,
            f"{alarm.raised_s:.0f}",
            "" if alarm.ended_s is None else f"{alarm.ended_s - alarm.raised_s:.0f}",
            alarm.message,
        )
        for score in scores
        for alarm in score.false
    ]


MISSED_HEAD = ("record", "episode", "onset (s)", "lasted (s)", "answer")


def missed_rows(scores: Iterable[RecordScore]) -> list[tuple[str, ...]]:
    """Episodes without an alarm within 10 s, under :data:`MISSED_HEAD`."""
    return [
        (
            score.record,
            answer.episode.kind,
            f"{answer.episode.onset_s:.1f}",
            f"{answer.episode.end_s - answer.episode.onset_s:.1f}",
            "none" if answer.delay_s is None else f"{answer.alarm} after {answer.delay_s:.1f} s",
        )
        for score in scores
        for answer in score.answers
        if answer.delay_s is None or (score.reference.device is None and answer.delay_s > 10.0)
    ]


def say_fit(device: DeviceSummary) -> str:
    """Caveats of a table of devices' alarms."""
    words = ""
    if device.in_fit:
        words += (
            f" ({device.in_fit} of {device.counts[-1].total} records are in its fit: no measure of it; "
            "the cross-validated score is in docs/results/verdict.md)"
        )
    return words + (f" ({device.unjudged} without a verdict count as standing)" if device.unjudged else "")


def device_rows(device: DeviceSummary) -> list[tuple[str, ...]]:
    """Cells under :data:`DEVICE_HEAD`."""
    return [
        (
            row.kind,
            *(str(count) for count in (row.tp, row.fp, row.tn, row.fn)),
            "" if row.score is None else f"{row.score:.1f}",
        )
        for row in device.counts
    ]


def _device_table(device: DeviceSummary) -> list[str]:
    return markdown(DEVICE_HEAD, device_rows(device))
