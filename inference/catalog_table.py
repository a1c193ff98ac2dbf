"""The catalogue as tables for people; the one of docs/alarms.md is made here, and a test holds it to that."""

from __future__ import annotations

from inference.alarm_spec import PREFIXES, AlarmSpec, Bounded
from inference.catalog import Catalogue
from inference.types import Priority

_HEAD = ("alarm", "priority", "raised when", "limit (bounds)", "delays on, off", "behaviour")


def _bounded(bounds: Bounded) -> str:
    space = "" if bounds.unit.startswith("/") else " "
    return f"{bounds.value:g}{space}{bounds.unit} ({bounds.least:g} to {bounds.most:g})"


def _priority(spec: AlarmSpec) -> str:
    return f"{spec.priority} `{PREFIXES.get(spec.priority, '!' * spec.level)}`"


def _behaviour(spec: AlarmSpec) -> str:
    parts = []
    if spec.latching:
        parts.append("latches")
    if spec.escalates_after_s is not None:
        parts.append(f"escalates after {spec.escalates_after_s:g} s")
    if spec.fixed:
        parts.append("always on")
    if spec.needs != "clean" and spec.priority is not Priority.TECHNICAL:
        parts.append("raised in noise, too")
    if spec.yields_to:
        parts.append(f"yields to {', '.join(spec.yields_to)}")
    return "; ".join(parts)


def _limits(spec: AlarmSpec) -> str:
    parts = [_bounded(one) for one in (spec.limit, spec.beats) if one is not None]
    if spec.hysteresis:
        parts.append(f"ends {spec.hysteresis:g} inside")
    if spec.windows is not None and spec.limit is None:
        parts.append(f"{spec.windows.at_least} of {spec.windows.of} windows")
    return ", ".join(parts)


def rows(catalogue: Catalogue) -> list[tuple[str, ...]]:
    """One row an alarm, in the order of the file, under the heads of the table."""
    return [
        (
            f"`{spec.key}`",
            _priority(spec),
            spec.condition,
            _limits(spec),
            f"{spec.on_delay_s:g} s, {spec.off_delay_s:g} s",
            _behaviour(spec),
        )
        for spec in catalogue.alarms
    ]


def markdown(catalogue: Catalogue) -> str:
    """Table of docs/alarms.md, and that of what profiles set anew."""
    lines = [_row(_HEAD), _row(["---"] * len(_HEAD)), *map(_row, rows(catalogue)), ""]
    names = list(catalogue.profiles)
    changed = dict.fromkeys(key for layer in catalogue.profiles.values() for key in layer)
    lines += [_row(["limit", *names]), _row(["---"] * (1 + len(names)))]
    for key in changed:
        cells = [catalogue.profiles[name].get(key) for name in names]
        default = catalogue.spec(key).limit
        shown = [
            f"{values.limit:g}" if values is not None and values.limit is not None else _default(default)
            for values in cells
        ]
        lines.append(_row([f"`{key}`{f' ({default.unit})' if default else ''}", *shown]))
    return "\n".join(lines)


def _default(bounds: Bounded | None) -> str:
    return f"{bounds.value:g}" if bounds is not None else ""


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def plain(catalogue: Catalogue) -> str:
    """Table for a terminal: alarm, priority, limit, delays, behaviour."""
    found = [[cell.replace("`", "") for cell in (*row[:2], *row[3:])] for row in rows(catalogue)]
    widths = [max(len(row[column]) for row in found) for column in range(len(found[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in found]
    return "\n".join(line.rstrip() for line in lines)
