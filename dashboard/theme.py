"""Colours of the pages around the canvas: Streamlit's options of both themes, dark by default.

The canvas and the bar have theirs in ``component/*.css``; all follow what Streamlit shows.
``component/early.js`` says which: ``?theme=light``, or what the button chose, kept by the browser.
"""

from __future__ import annotations

from typing import Final

_DARK: Final = {
    "primaryColor": "#35d6ff",
    "backgroundColor": "#05080b",
    "secondaryBackgroundColor": "#101a21",
    "textColor": "#dfe7ee",
}
_LIGHT: Final = {
    "primaryColor": "#00647d",
    "backgroundColor": "#f6f4f1",
    "secondaryBackgroundColor": "#e6e3de",
    "textColor": "#0a1016",
}

THEME: Final[dict[str, str]] = {
    f"theme.{name}.{key}": value
    for name, colours in (("dark", _DARK), ("light", _LIGHT))
    for key, value in colours.items()
}
"""Options of Streamlit."""
