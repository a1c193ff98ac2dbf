"""Puts scripts into the head of Streamlit's page, before Streamlit's own: theme (early.js), watchdog.js."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FOLDER: Final = Path(__file__).parent / "component"
_SCRIPT: Final = "".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("early.js", "watchdog.js"))
_HEAD: Final = b"<head>"
# The page is changed here: it must come as text, whole, and not from a cache that holds an older script.
_LEFT_OUT: Final = {b"accept-encoding", b"range", b"if-none-match", b"if-modified-since"}
_ADDED: Final = _HEAD + f"<script>\n{_SCRIPT}</script>".encode()


class EarlyScript:
    """Adds the script to every HTML page that Streamlit serves; passes on the rest as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; a page leaves with the script."""
        if scope["type"] != "http" or "text/html" not in Headers(scope=scope).get("accept", ""):
            await self._app(scope, receive, send)
            return
        kept = [(name, value) for name, value in scope["headers"] if name not in _LEFT_OUT]
        await self._app({**scope, "headers": kept}, receive, _adding(send))


def _adding(send: Send) -> Send:
    start: Message | None = None

    async def added(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start" and _is_page(message):
            start = message
            return
        if start is not None and message["type"] == "http.response.body":
            before = message.get("body", b"")
            message = {**message, "body": before.replace(_HEAD, _ADDED, 1)}
            headers = MutableHeaders(scope=start)
            if "content-length" in headers:
                grown = len(message["body"]) - len(before)
                headers["content-length"] = str(int(headers["content-length"]) + grown)
            await send(start)
            start = None
        await send(message)

    return added


def _is_page(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == 200 and headers.get("content-type", "").startswith("text/html")
