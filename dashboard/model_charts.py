"""Charts of a model's card: confusion, ROC, precision against sensitivity, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import altair as alt
import pandas as pd

from dashboard.model_cards import plain
from models.curves import ClassCurves, Classification, Curve

CHART_PX: Final = 420
PALETTE: Final = alt.Scale(range=["#4c9be8", "#e69f00", "#1fa870", "#d55e9b", "#a98bf0", "#e5534b"])
"""Seen on dark and on light; classes differ by their dashes, too."""
DASHES: Final = alt.Scale(range=[[1, 0], [6, 3], [3, 2], [8, 2, 2, 2], [12, 3], [2, 3, 6, 3]])
"""More line than gap: finer ones look faint on dark."""
LEGEND_PX: Final = 22
Chart = alt.LayerChart | alt.FacetChart


def confusion_chart(one: Classification) -> Chart:
    """Heat map of counts and row percentages; a row a true class."""
    names = [item.name for item in one.classes]
    rows = []
    for truth, counts in zip(names, one.confusion, strict=True):
        total = sum(counts)
        for said, count in zip(names, counts, strict=True):
            share = count / total if total else 0.0
            text = f"{count:,.0f}" if count >= 1 or count == 0 else f"{count:.1f}"
            rows.append(
                {
                    "truth": truth,
                    "said": said,
                    "share": share,
                    "count": text,
                    "percent": f"{100 * share:.1f} %" if total else "–",
                }
            )
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("said:N", sort=names, title="the model says", axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("truth:N", sort=names, title="it is"),
        tooltip=["truth", "said", "count", "percent"],
    )
    cells = base.mark_rect(stroke="#7f8c96", strokeWidth=0.5).encode(
        color=alt.Color("share:Q", scale=alt.Scale(domain=[0, 1], range=["#ffffff", "#08519c"]), legend=None)
    )
    # Dark cells carry white letters, light ones black: in both themes.
    ink = alt.condition("datum.share > 0.5", alt.value("#ffffff"), alt.value("#101a21"))
    counts = base.mark_text(dy=-7, fontSize=13, fontWeight="bold").encode(text="count:N", color=ink)
    shares = base.mark_text(dy=9, fontSize=12).encode(text="percent:N", color=ink)
    return alt.layer(cells, counts, shares).properties(width=96 * len(names), height=52 * len(names))


def curve_chart(one: Classification, which: str, x: str, y: str) -> Chart:
    """All classes' curves in one chart; the legend tells the area with its interval."""
    lines, dots = [], []
    for item in one.classes:
        curve: Curve | None = item.roc if which == "roc" else item.pr
        if curve is None:
            continue
        label = f"{item.name}  {plain(curve.area)}"
        lines += [
            {"x": a, "y": b, "i": i, "class": label}
            for i, (a, b) in enumerate(zip(curve.x, curve.y, strict=True))
        ]
        if curve.decided is not None:
            dots.append({"x": curve.decided[0], "y": curve.decided[1], "class": label})
    names = list(dict.fromkeys(str(row["class"]) for row in lines))
    legend = alt.Legend(orient="bottom", columns=1, labelLimit=400, symbolType="stroke", symbolSize=400)
    title = "area (95 % interval)"
    colour = alt.Color("class:N", sort=names, title=title, legend=legend, scale=PALETTE)
    dash = alt.StrokeDash("class:N", sort=names, title=title, legend=legend, scale=DASHES)
    unit = alt.Scale(domain=[0, 1])
    axes = {"x": alt.X("x:Q", title=x, scale=unit), "y": alt.Y("y:Q", title=y, scale=unit)}
    frame = pd.DataFrame(lines, columns=["x", "y", "i", "class"])
    curves = alt.Chart(frame).mark_line().encode(**axes, color=colour, strokeDash=dash, order="i:Q")
    decided = pd.DataFrame(dots, columns=["x", "y", "class"])
    points = alt.Chart(decided).mark_point(size=90, filled=True, opacity=1).encode(**axes, color=colour)
    # Streamlit fits the legend and the axes into the height.
    return alt.layer(curves, points).properties(width=CHART_PX, height=CHART_PX + LEGEND_PX * len(names))


def calibration_chart(classes: Sequence[ClassCurves]) -> Chart:
    """How often it was so against how probable the model said it was, class by class."""
    rows = [
        {"said": said, "was": was, "share": share, "class": item.name}
        for item in classes
        for said, was, share in item.reliability
    ]
    unit = alt.Scale(domain=[0, 1])
    points = (
        alt.Chart(pd.DataFrame(rows, columns=["said", "was", "share", "class"]))
        .mark_line(point=False)
        .encode(
            x=alt.X("said:Q", title="probability that the model gives", scale=unit),
            y=alt.Y("was:Q", title="how often it was so", scale=unit),
            color=alt.Color("class:N", title=None, sort=[item.name for item in classes], scale=PALETTE),
        )
    )
    dots = points.mark_point(filled=True).encode(
        size=alt.Size("share:Q", scale=alt.Scale(type="sqrt", range=[20, 400]), legend=None),
        tooltip=["class", "said", "was", alt.Tooltip("share", format=".1%")],
    )
    ideal = pd.DataFrame({"said": [0.0, 1.0], "was": [0.0, 1.0]})
    line = alt.Chart(ideal).mark_line(strokeDash=[4, 4], color="#7f8c96").encode(x="said:Q", y="was:Q")
    return alt.layer(line, points, dots).properties(width=560, height=400)
