"""Who did what at the dashboard: JSON lines, to a file that rotates and to the log.

One line holds ``time`` (UTC, ISO 8601), ``event``, ``user``, ``address`` where it is known, and what the
event needs (bed, alarm, file name …). Never a password, a token or a sample.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import logging.handlers
import os
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import streamlit as st

from dashboard.settings import load_dashboard_settings

log = logging.getLogger(__name__)

Event = Literal[
    "sign_in",
    "sign_in_failed",
    "sign_out",
    "timed_out",
    "refused",
    "page",
    "command",
    "export",
    "upload",
    "label",
]
"""``refused``: a signed-in user asked for what their role does not allow."""

Detail = str | int | float | bool | None
LONGEST: Final = 300
"""Characters kept of a text: a file name or label from outside may be of any length."""
SECRETS: Final = ("password", "token", "secret", "cookie")
SHOWN: Final = 500
"""Lines on the page."""


def note(event: Event, user: str, **details: Detail) -> None:
    """Write one line.

    Parameters
    ----------
    event
        What happened.
    user
        Name of who did it (``access.current_user().name``), or the name that was tried.
    details
        What it was done to, as ``bed="bed-03"``. ``address`` is found by itself in a page.

    Raises
    ------
    ValueError
        A detail's name says that it is a secret.
    """
    hidden = [name for name in details if any(word in name.lower() for word in SECRETS)]
    if hidden:
        raise ValueError(f"the access log holds no secrets: leave out {', '.join(hidden)}")
    address = details.pop("address", None) or _address()
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": event,
        "user": _short(user),
        **({"address": address} if address else {}),
        **{name: _short(value) for name, value in details.items()},
    }
    # ensure_ascii: a name from outside cannot break the line or colour a terminal.
    text = json.dumps(line, ensure_ascii=True)
    log.info("access %s", text)
    if (file := _file()) is not None:
        file.emit(logging.makeLogRecord({"msg": text}))


def read(path: Path, count: int = SHOWN) -> list[dict[str, Detail]]:
    """Return the newest lines of a log, newest first; a broken line is left out."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        last = deque(lines, maxlen=count)
    found: list[dict[str, Detail]] = []
    for line in reversed(last):
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(entry, dict):
            found.append(entry)
    return found


def show_log() -> None:
    """Show the newest lines, for admins (System page)."""
    path = load_dashboard_settings().access_log
    if path is None:
        st.caption("The access log goes to the server's log; WARDWAVE_DASHBOARD__ACCESS_LOG names a file.")
        return
    entries = read(path)
    if not entries:
        st.caption("Nobody has done anything yet.")
        return
    rows = [
        {
            **{name: entry.pop(name, None) for name in ("time", "event", "user", "address")},
            "details": ", ".join(f"{name}: {value}" for name, value in entry.items()),
        }
        for entry in entries
    ]
    st.dataframe(rows, hide_index=True, width="stretch")


def _short(value: Detail) -> Detail:
    return value[:LONGEST] if isinstance(value, str) else value


def _address() -> str | None:
    """Return the address of this page's browser; it is unknown on the same machine."""
    return st.context.ip_address


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Only the server's user may read it."""

    def _open(self) -> io.TextIOWrapper:
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8")


@functools.cache
def _file() -> _PrivateFile | None:
    settings = load_dashboard_settings()
    if settings.access_log is None:
        return None
    return _PrivateFile(
        settings.access_log, maxBytes=settings.access_log_mb * 1_000_000, backupCount=9, encoding="utf-8"
    )
