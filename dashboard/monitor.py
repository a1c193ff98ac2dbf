"""The canvas component of the ward and of a bed, and the pipe that feeds it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st

_FOLDER: Final = Path(__file__).parent / "component"
_SCRIPTS: Final = ("protocol.js", "trace.js", "sweep.js", "tile.js", "ward.js")
MM_PER_INCH: Final = 25.4
BED_KEY: Final = "monitor"


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_canvas = st.components.v2.component(
    "wardwave_monitor",
    html=_text("ward.html"),
    css=_text("ward.css"),
    js="\n".join(_text(name) for name in _SCRIPTS),
)
_pipe = st.components.v2.component("wardwave_pipe", js=_text("pipe.js"))


def mount_canvas(
    view: str,
    *,
    grid: bool,
    dpi: float = 96.0,
    mm_per_second: float = 25.0,
    gain_mm_per_mv: float = 10.0,
) -> str | None:
    """Mount the canvas of one page view, outside any fragment.

    Parameters
    ----------
    view : str
        Token that the feeds for it carry.
    grid : bool
        Calibrated grid (1 mm, 5 mm) behind the traces.
    dpi : float
        Pixels per inch of the display, as CSS counts them.

    Returns
    -------
    str or None
        The bed that was just chosen by click or Enter.
    """
    result = _canvas(
        key=f"{BED_KEY}-{'bed' if grid else 'ward'}",
        data={
            "view": view,
            "grid": grid,
            "pixelsPerMm": dpi / MM_PER_INCH,
            "mmPerSecond": mm_per_second,
            "gain": gain_mm_per_mv,
        },
        on_open_change=_nothing,
    )
    chosen = getattr(result, "open", None)
    return chosen if isinstance(chosen, str) else None


def send_feed(feed: bytes) -> None:
    """Send one feed; to be called from a fragment."""
    _pipe(key="wardwave-pipe", data=feed)


def _nothing() -> None:
    """Streamlit makes a value readable only where it has a callback."""
