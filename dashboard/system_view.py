"""The System page's parts: the verdict, and tables in which what is wrong or stale stands out."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Final

import pandas as pd
import streamlit as st

from dashboard import trust
from dashboard.system_rows import AGE, AHEAD, BEHIND, MISSING, NOBODY, PER_SECOND, SILENT, STOPPED, Row
from dashboard.trust import Broker, Level, Trust

STYLE: Final = """<style>
.trust { padding: 10px 16px; border-radius: 6px; font-size: 20px; line-height: 1.35; }
.trust b { font-size: 26px; margin-right: 12px; }
.trust.ok { background: #0b5d2f; color: #fff; }
.trust.degraded { background: #ffd42a; color: #1a1500; }
.trust.none { background: #b00020; color: #fff; }
.trust ul { margin: 6px 0 0; padding-left: 22px; font-size: 16px; }
.figures { display: flex; flex-wrap: wrap; gap: 8px; }
.figures div { flex: 1 1 96px; padding: 6px 10px; border-radius: 6px; border: 1px solid #7f8c96; }
.figures b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; }
.figures span { font-size: 13px; }
body[data-wardwave-lost] .trust { background: none; color: inherit; outline: 3px dashed #7f8c96; }
body[data-wardwave-lost] .trust b::before { content: "before loss: "; }
body[data-wardwave-lost] :is(.figures, [data-testid="stDataFrame"]) { filter: grayscale(1) opacity(.4); }
</style>"""

FAULTY: Final = "background-color: #ffd42a; color: #1a1500"
STALE: Final = "color: #7f8c96; font-style: italic"
ROW_PX: Final = 35


def head(found: Trust, figures: Sequence[tuple[str, str]]) -> None:
    """Show the verdict, its reasons, and the few figures that tell most."""
    kind = {Level.OK: "ok", Level.DEGRADED: "degraded"}.get(found.level, "none")
    more = "".join(f"<li>{html.escape(reason)}</li>" for reason in found.reasons[1:])
    tiles = "".join(f"<div><b>{html.escape(v)}</b><span>{html.escape(n)}</span></div>" for n, v in figures)
    st.html(
        f'<div class="trust {kind}" role="status"><b>{found.level}</b>{html.escape(found.line)}'
        f'{f"<ul>{more}</ul>" if more else ""}</div><div class="figures" style="margin-top:8px">{tiles}</div>'
    )


def table(title: str, rows: Sequence[Row], empty: str, note: str | None = None, height: int = 0) -> None:
    """A table with its title, or one line where there is nothing; taller ones than ``height`` px scroll."""
    st.markdown(f"**{title}**")
    if not rows:
        # Not a caption: a command quoted in one is too faint to read.
        st.markdown(empty)
        return
    frame = pd.DataFrame(list(rows))
    # Fixed decimals: columns that do not jump at each renewal.
    formats: dict[str, str | Callable[[object], str] | None] = {
        name: "{:.1f}" for name in frame.columns if name in (AGE, PER_SECOND) or name.endswith("(ms)")
    }
    styled = frame.style.apply(_row_style, axis=1).format(formats, na_rep="–", precision=2)
    tall = height > 0 and len(rows) * ROW_PX > height
    st.dataframe(styled, hide_index=True, width="stretch", height=height if tall else "auto", alt=title)
    if note:
        st.caption(note)


def _row_style(row: pd.Series[str]) -> list[str]:
    """CSS of a row's cells."""
    words = [str(value) for value in row]
    faulty = any(word in (NOBODY, MISSING) or word.startswith(SILENT) for word in words)
    faulty |= _above(row, BEHIND, trust.LAG_S) or _above(row, AHEAD, trust.clock_limit_s())
    stale = any(word.startswith(STOPPED) for word in words) or _above(row, AGE, trust.STALE_S)
    return [FAULTY if faulty else STALE if stale else ""] * len(row)


def _above(row: pd.Series[str], name: str, limit: float) -> bool:
    value = row.get(name)
    return isinstance(value, int | float) and abs(value) > limit


def broker_line(broker: Broker, address: str) -> str:
    """Whether the broker answers."""
    if broker.connected:
        return f"The broker at {address} answers."
    why = broker.problem or "no answer"
    return f"The broker at {address} has not answered for {broker.silent_s:.0f} s: {why}."
