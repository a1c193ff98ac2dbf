"""Rows of ten seconds of a strip, drawn in true millimetres: for the screen and for the PDF alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from dashboard.paper import SPEED_MM_S, Ink, draw_calibration, draw_grid, draw_heat, drawable, write
from dashboard.strip_lanes import Lane, lanes_of, length_s
from inference.explanation import Explained
from inference.strips import Strip, StripBeat
from inference.types import Alarm
from ingest.types import NS_PER_S

ROW_S: Final = 10.0
LEFT_MM: Final = 14.0
RIGHT_MM: Final = 5.0
HEAD_MM: Final = 5.0
"""Above a row, for the beats' letters."""
FOOT_MM: Final = 5.5
"""Below a row, for the times."""
WIDTH_MM: Final = LEFT_MM + ROW_S * SPEED_MM_S + RIGHT_MM
NAME_CHARACTERS: Final = 30
HEAT_HZ: Final = 25.0


@dataclass(frozen=True, slots=True)
class Row:
    """Some lanes over ten seconds (the last row may be shorter)."""

    start_s: float
    end_s: float
    lanes: tuple[Lane, ...]

    @property
    def height_mm(self) -> float:
        """With letters above and times below."""
        return HEAD_MM + sum(lane.height_mm for lane in self.lanes) + FOOT_MM


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn: the strip, its alarm, the beats found in it, and where the network looked."""

    strip: Strip
    alarm: Alarm
    beats: Sequence[StripBeat] = ()
    explained: Explained | None = None


def rows_of(strip: Strip, most_mm: float = float("inf")) -> list[Row]:
    """Rows in order of time; lanes that are higher together than a row may be are split."""
    groups: list[list[Lane]] = [[]]
    for lane in lanes_of(strip):
        room_mm = most_mm - HEAD_MM - FOOT_MM - sum(one.height_mm for one in groups[-1])
        if groups[-1] and lane.height_mm > room_mm:
            groups.append([])
        groups[-1].append(lane)
    whole_s = length_s(strip)
    return [
        Row(start_s, min(start_s + ROW_S, whole_s), tuple(group))
        for start_s in (number * ROW_S for number in range(max(1, ceil(whole_s / ROW_S - 1e-6))))
        for group in groups
        if group
    ]


def draw_row(axes: Axes, drawing: Drawing, row: Row, top_mm: float, ink: Ink, left_mm: float = 0.0) -> None:
    """Draw a row below ``top_mm`` of a sheet whose axes count millimetres."""
    begin_mm = left_mm + LEFT_MM
    end_mm = begin_mm + (row.end_s - row.start_s) * SPEED_MM_S
    upper_mm = top_mm - HEAD_MM
    bottom_mm = upper_mm - sum(lane.height_mm for lane in row.lanes)
    area = (begin_mm, end_mm, bottom_mm, upper_mm)
    draw_grid(axes, area, ink)
    if drawing.explained is not None:
        draw_heat(axes, _heat(drawing.explained, row, drawing.strip), HEAT_HZ, area, ink)
    for lane in row.lanes:
        _draw_lane(axes, lane, row, upper_mm, begin_mm, ink)
        upper_mm -= lane.height_mm
    _draw_beats(axes, drawing, row, begin_mm, area[3], ink)
    _draw_events(axes, drawing, row, area, ink)
    _draw_times(axes, drawing.strip, row, begin_mm, bottom_mm, ink)


def _draw_lane(axes: Axes, lane: Lane, row: Row, upper_mm: float, begin_mm: float, ink: Ink) -> None:
    middle_mm = upper_mm - lane.height_mm / 2
    for gap_begin, gap_end in lane.missing:
        first, last = max(gap_begin, row.start_s), min(gap_end, row.end_s)
        if last > first:
            x_mm, width_mm = begin_mm + (first - row.start_s) * SPEED_MM_S, (last - first) * SPEED_MM_S
            gap = Rectangle((x_mm, upper_mm - lane.height_mm), width_mm, lane.height_mm)
            gap.set(facecolor=ink.bold, edgecolor="none", alpha=0.45, zorder=0.6)
            axes.add_patch(gap)
            if width_mm >= 15:
                write(axes, x_mm + width_mm / 2, middle_mm, "missing", ink.text, ha="center")
    for piece in lane.pieces:
        times_s = piece.times_s
        first, last = np.searchsorted(times_s, (row.start_s, row.end_s + 1e-6))
        if last > first:
            along_mm = begin_mm + (times_s[first:last] - row.start_s) * SPEED_MM_S
            deflection_mm = (piece.values[first:last] - lane.centre) * lane.mm_per_unit
            half_mm = lane.height_mm / 2
            line = _thinned(along_mm, np.clip(deflection_mm, -half_mm, half_mm) + middle_mm)
            axes.plot(*line, color=ink.trace, linewidth=0.9, solid_joinstyle="round")
    if lane.is_ecg:
        draw_calibration(axes, middle_mm, ink, begin_mm - LEFT_MM)
    name = lane.name if lane.is_ecg else f"{lane.name}  ({lane.scale})"
    write(axes, begin_mm + 1.5, upper_mm - 3.2, drawable(name, NAME_CHARACTERS), ink.text, weight="bold")


def _thinned(
    x_mm: npt.NDArray[np.float64], y_mm: npt.NDArray[np.float64], most: int = 6_000
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Least and most of short stretches: sound has more samples than ink has room."""
    if len(x_mm) <= most:
        return x_mm, y_mm
    stretch = ceil(2 * len(x_mm) / most)
    n = len(x_mm) // stretch
    parts = y_mm[: n * stretch].reshape(n, stretch)
    both = np.stack([np.fmin.reduce(parts, axis=1), np.fmax.reduce(parts, axis=1)], axis=1)
    return np.repeat(x_mm[: n * stretch : stretch], 2), both.reshape(-1)


def _draw_beats(axes: Axes, drawing: Drawing, row: Row, begin_mm: float, upper_mm: float, ink: Ink) -> None:
    for beat in drawing.beats:
        at_s = (beat.time_ns - drawing.strip.start_ns) / NS_PER_S
        if row.start_s <= at_s < row.end_s and any(lane.is_ecg for lane in row.lanes):
            colour, weight = (ink.text, "normal") if beat.label == "N" else (ink.ectopic, "bold")
            x_mm = begin_mm + (at_s - row.start_s) * SPEED_MM_S
            write(axes, x_mm, upper_mm + 0.9, beat.label, colour, ha="center", weight=weight)


def _draw_events(
    axes: Axes, drawing: Drawing, row: Row, area: tuple[float, float, float, float], ink: Ink
) -> None:
    begin_mm, _, bottom_mm, upper_mm = area
    alarm = drawing.alarm
    events = [("onset", alarm.onset_ns), ("raised", alarm.raised_ns)]
    if alarm.ended_ns is not None:
        events.append(("ended", alarm.ended_ns))
    for word, time_ns in events:
        at_s = (time_ns - drawing.strip.start_ns) / NS_PER_S
        if not row.start_s <= at_s <= row.end_s:
            continue
        x_mm = begin_mm + (at_s - row.start_s) * SPEED_MM_S
        axes.plot([x_mm, x_mm], [bottom_mm, upper_mm], color=ink.event, linewidth=1.2, linestyle=(0, (4, 2)))
        right = at_s - row.start_s < ROW_S * 0.9
        place_mm, ha = (x_mm + 1, "left") if right else (x_mm - 1, "right")
        write(axes, place_mm, bottom_mm + 1.2, word, ink.event, ha=ha, weight="bold")


def _draw_times(axes: Axes, strip: Strip, row: Row, begin_mm: float, bottom_mm: float, ink: Ink) -> None:
    for second in range(ceil(row.start_s), int(row.end_s + 1e-6) + 1):
        moment = datetime.fromtimestamp(strip.start_ns / NS_PER_S + second, UTC)
        x_mm = begin_mm + (second - row.start_s) * SPEED_MM_S
        axes.plot([x_mm, x_mm], [bottom_mm, bottom_mm - 1], color=ink.text, linewidth=0.8)
        if second < row.start_s + ROW_S:
            words = f"{moment:%H:%M:%S}.{moment.microsecond // 100_000}"
            write(axes, x_mm + 0.8, bottom_mm - 3.6, words, ink.text, size=6.5)


def _heat(explained: Explained, row: Row, strip: Strip) -> npt.NDArray[np.float64]:
    """Where the network looked, over the row's time."""
    offset_s = (explained.start_ns - strip.start_ns) / NS_PER_S
    grid_s = np.arange(round((row.end_s - row.start_s) * HEAT_HZ)) / HEAT_HZ + row.start_s
    return np.interp(grid_s, explained.times_s + offset_s, explained.cam, left=0.0, right=0.0)
