"""What a page says where it has failed: one plain line instead of Streamlit's box for programmers."""

from __future__ import annotations

import time
from typing import Final

import streamlit as st

LINE: Final = (
    "This part of the page has failed ({time} UTC). Load the page again. If it fails again, tell whoever "
    "runs this server: its log says why."
)


def say(error: Exception) -> bool:
    """Show the line; Streamlit has logged the error already and shows nothing of it."""
    st.error(LINE.format(time=time.strftime("%H:%M:%S", time.gmtime())), icon="⚠️")
    return True
