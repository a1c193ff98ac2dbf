"""Charts of a bed's trends, as pure functions of what was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import altair as alt
import numpy as np
import pandas as pd

from dashboard.summary import alarm_text
from dashboard.trend_points import Line, Numbers, Series, of_minutes, thinned
from inference.types import Alarm, Priority, Setting
from ingest.types import SignalKind

# Each stands 3:1 against the background of both themes; the shape says it again to the colour-blind.
_PRIORITY_COLOURS: Final = {
    Priority.HIGH: "#f03434",
    Priority.MEDIUM: "#c58a00",
    Priority.LOW: "#1c95b5",
    Priority.TECHNICAL: "#8a7fa8",
}
_PRIORITY_SHAPES: Final = {
    Priority.HIGH: "triangle-up",
    Priority.MEDIUM: "diamond",
    Priority.LOW: "circle",
    Priority.TECHNICAL: "square",
}


HEARD_IN: Final = {
    SignalKind.LUNG_SOUND.value: {
        "wheeze": ("Wheezes (%)", "#2a86c8"),
        "crackle": ("Crackles (%)", "#c07a00"),
    },
    SignalKind.HEART_SOUND.value: {"murmur": ("Murmur (%)", "#b5568f")},
}
"""Of the pieces of a sound that a network judged in a minute: the share in which it heard that."""

LEAST_BREATHS_AXIS: Final = 30.0
_SHARES: Final = alt.Scale(domain=[0, 100])

Layers = alt.LayerChart | alt.FacetChart


@dataclass(frozen=True, slots=True)
class Trend:
    """What is charted; ``problem`` says what is lacking and how to get it."""

    begin_ns: int
    end_ns: int
    step_s: int
    numbers: Numbers
    alarms: tuple[Alarm, ...]
    limits: tuple[Setting, ...]
    problem: str | None
    signal: str = SignalKind.ECG.value


def charts(trend: Trend) -> list[Layers]:
    """Return the charts: rate with limits and alarms, what is counted or heard beside it, quality."""
    numbers, heard = trend.numbers, HEARD_IN.get(trend.signal)
    if trend.signal == SignalKind.LUNG_SOUND:
        # From zero: of a number that hardly moves the axis would show its rounding.
        most = max(LEAST_BREATHS_AXIS, *numbers.breaths.most[~np.isnan(numbers.breaths.most)].tolist(), 0.0)
        rate = _band(trend, numbers.breaths, "RR (/min)", "#b07a10", alt.Scale(domain=[0, most]))
    else:
        rate = _band(trend, numbers.heart_rate, "HR (/min)", "#1fa055", alt.Scale(zero=False))
    if heard is None:
        beside = [_band(trend, numbers.ventricular, "PVC (/min)", "#cf6412", alt.Scale(domainMin=0))]
    else:
        minutes = replace(trend, step_s=max(trend.step_s, 60))
        beside = [
            _band(minutes, _percent(of_minutes(numbers.heard[name])), title, colour, _SHARES)
            for name, (title, colour) in heard.items()
        ]
    quality = _band(trend, _percent(numbers.quality), "Quality (%)", "#6a7be0", _SHARES)
    marks = _alarm_marks(trend.alarms) if trend.alarms else []
    return [
        _chart(rate + _limit_lines(trend.limits) + marks, 200),
        *(_chart(one, 90) for one in [*beside, quality]),
    ]


def _percent(share: Series) -> Series:
    return Series(share.times_ns, 100 * share.mean, 100 * share.least, 100 * share.most)


def _chart(layers: list[alt.Chart], height: int) -> Layers:
    # Streamlit would fit the axis into the height too, and charts of one height would differ.
    return alt.layer(*layers, height=height, autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))


def _time_axis(trend: Trend) -> alt.X:
    domain = [pd.Timestamp(at, tz="UTC").isoformat() for at in (trend.begin_ns, trend.end_ns)]
    return alt.X(
        "time:T",
        title="UTC",
        scale=alt.Scale(type="utc", domain=domain, nice=False),
        axis=alt.Axis(format="%H:%M", labelOverlap=True),
    )


def _band(trend: Trend, series: Series, title: str, colour: str, scale: alt.Scale) -> list[alt.Chart]:
    line = thinned(series, trend.begin_ns, trend.end_ns, trend.step_s)
    base = alt.Chart(line_table(line)).encode(
        x=_time_axis(trend),
        detail="piece:N",
        tooltip=[
            alt.Tooltip("time:T", timeUnit="utcyearmonthdatehoursminutesseconds", title="UTC"),
            alt.Tooltip("mean:Q", title="mean", format=".1f"),
            alt.Tooltip("least:Q", title="least", format=".1f"),
            alt.Tooltip("most:Q", title="most", format=".1f"),
        ],
    )
    y = alt.Y(
        "least:Q",
        title=title,
        scale=scale,
        # So wide that the times of all charts stand under each other.
        axis=alt.Axis(minExtent=40, maxExtent=40, tickCount=4),
    )
    layers = [
        base.mark_area(opacity=0.35, color=colour).encode(y=y, y2="most:Q"),
        base.mark_line(color=colour, strokeWidth=1.6).encode(y="mean:Q"),
    ]
    if len(line.alone):
        # A point between two gaps has no line.
        points = base.transform_filter("datum.alone").mark_point(color=colour, filled=True, size=14)
        layers.append(points.encode(y="mean:Q"))
    return layers


def line_table(line: Line) -> pd.DataFrame:
    """Return a line as the table of a chart."""
    table = pd.DataFrame(
        {
            "time": pd.to_datetime(line.times_ns, unit="ns", utc=True),
            "mean": line.mean.astype("float32"),
            "least": line.least.astype("float32"),
            "most": line.most.astype("float32"),
            "piece": line.piece.astype("int16"),
            "alone": False,
        }
    )
    table.loc[line.alone, "alone"] = True
    return table


def _limit_lines(limits: Sequence[Setting]) -> list[alt.Chart]:
    rows = [
        {
            "limit": one.limit,
            "text": f"{'high' if one.kind == 'hr_high' else 'low'} limit {one.limit:g}"
            + ("" if one.enabled else " (alarm off)"),
        }
        for one in limits
        if one.limit is not None
    ]
    base = alt.Chart(pd.DataFrame(rows, columns=["limit", "text"])).encode(y="limit:Q")
    return [
        base.mark_rule(strokeDash=[6, 4], strokeWidth=1.5, color="#8a8f94"),
        base.mark_text(align="left", baseline="bottom", dx=4, dy=-2, fontSize=12, color="#8a8f94").encode(
            x=alt.value(0), text="text:N"
        ),
    ]


def _alarm_marks(alarms: Sequence[Alarm]) -> list[alt.Chart]:
    times = pd.to_datetime([alarm.onset_ns for alarm in alarms], unit="ns", utc=True)
    table = pd.DataFrame(
        {
            "time": times,
            "at": times.strftime("%Y-%m-%d %H:%M:%S"),
            "priority": [str(alarm.priority) for alarm in alarms],
            "alarm": [alarm_text(alarm) for alarm in alarms],
        }
    )
    names = [str(priority) for priority in Priority]
    colour = alt.Color(
        "priority:N",
        title="Alarm onsets",
        scale=alt.Scale(domain=names, range=[_PRIORITY_COLOURS[Priority(name)] for name in names]),
        legend=alt.Legend(orient="top", titleOrient="left", symbolOpacity=1),
    )
    shape = alt.Shape(
        "priority:N",
        title="Alarm onsets",
        scale=alt.Scale(domain=names, range=[_PRIORITY_SHAPES[Priority(name)] for name in names]),
    )
    base = alt.Chart(table).encode(
        x="time:T",
        color=colour,
        tooltip=[
            alt.Tooltip("at:N", title="UTC"),
            alt.Tooltip("alarm:N", title="alarm"),
            alt.Tooltip("priority:N", title="priority"),
        ],
    )
    return [
        base.mark_rule(opacity=0.55, strokeWidth=1.2),
        base.mark_point(filled=True, size=90, opacity=1).encode(y=alt.value(8), shape=shape),
    ]
