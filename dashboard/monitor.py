"""What lives in the browser: the canvas of the ward and of a bed, the bar with the sound, their feed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.words import NOTICE

_FOLDER: Final = Path(__file__).parent / "component"
_CANVAS: Final = (
    "preferences.js",
    "protocol.js",
    "elements.js",
    "banner.js",
    "trace.js",
    "sweep.js",
    "tile.js",
    "controls.js",
    "ward.js",
)
_BAR: Final = ("preferences.js", "protocol.js", "elements.js", "banner.js", "sound.js", "bar.js")
MM_PER_INCH: Final = 25.4
BED_KEY: Final = "monitor"


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


_canvas = st.components.v2.component(
    "wardwave_monitor",
    html=_text("ward.html"),
    css=_text("banner.css") + _text("ward.css"),
    js="\n".join(_text(name) for name in _CANVAS),
)
_bar = st.components.v2.component(
    "wardwave_bar",
    html=_text("bar.html"),
    css=_text("banner.css") + _text("bar.css"),
    js="\n".join(_text(name) for name in _BAR),
)
_pipe = st.components.v2.component("wardwave_pipe", js=_text("pipe.js"))


def mount_canvas(
    view: str,
    *,
    grid: bool,
    dpi: float = 96.0,
    mm_per_second: float = 25.0,
    gain_mm_per_mv: float = 10.0,
    wall: bool = False,
    ward: str | None = None,
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
    mm_per_second, gain_mm_per_mv : float
        Sweep and gain; on the ward what the viewer chose there goes before.
    wall : bool
        Larger, without controls.
    ward : str or None
        The ward whose beds are shown, ``None`` for all.

    Returns
    -------
    str or None
        The ward that was just chosen there, ``""`` for all. A bed that is chosen is a page of its own, which
        the browser opens itself.
    """
    result = _canvas(
        key=f"{BED_KEY}-{'bed' if grid else 'wall' if wall else 'ward'}",
        data={
            "view": view,
            "grid": grid,
            "pixelsPerMm": dpi / MM_PER_INCH,
            "mmPerSecond": mm_per_second,
            "gain": gain_mm_per_mv,
            "wall": wall,
            "ward": ward,
            "notice": NOTICE,
        },
        on_ward_change=_nothing,
    )
    chosen = getattr(result, "ward", None)
    return chosen if isinstance(chosen, str) else None


def mount_sound(*, wall: bool = False, ward: bool = False, canvas: bool = True) -> None:
    """Mount the bar: alarm sound, SOUND OFF, CONNECTION LOST, and the switches of sound and theme.

    Once a page, in wall mode unseen: the canvas then says what the bar would. On the ward the canvas tells
    of a lost connection. Without a canvas the bar has its head line too: counts, the gravest alarm, the time.
    It is fed by any :func:`send_feed` of the page.
    """
    _bar(key="wardwave-bar", data={"wall": wall, "ward": ward, "canvas": canvas})


def send_feed(feed: bytes) -> None:
    """Send one feed to canvas and bar; to be called from a fragment."""
    _pipe(key="wardwave-pipe", data=feed)


def _nothing() -> None:
    """Streamlit makes a value readable only where it has a callback."""
