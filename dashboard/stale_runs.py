"""Keeps timers of a page that was left from running: Streamlit would show an empty page.

A fragment with ``run_every`` is asked for by a timer in the browser, and each request names the page it is
for. One that reaches the server after the browser has asked for another page is run by Streamlit 1.67 all the
same: it tells the browser that the old page begins, which drops what the new one has drawn, and the next
timer of the new page then draws into a tree that is not there ("Bad delta path index"). So such requests are
dropped here, where all of them pass in order.

It holds because pages change from the browser only: ``st.switch_page`` would change them on the server, where
a request of the old page may wait already.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from google.protobuf.message import DecodeError
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.BackMsg_pb2 import BackMsg

STREAM: Final = "/_stcore/stream"


class StaleRuns:
    """Passes on what browsers ask Streamlit for, but for runs of fragments of a page that was left."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        if scope["type"] == "websocket" and scope["path"].endswith(STREAM):
            receive = _without_stale(receive)
        await self._app(scope, receive, send)


def _without_stale(receive: Receive) -> Callable[[], Awaitable[Message]]:
    asked = ""

    async def fresh() -> Message:
        nonlocal asked
        while True:
            message = await receive()
            request = _rerun(message)
            if request is None:
                return message
            fragment, page = request
            if not fragment:
                # The first request of a browser names no page: it knows none yet.
                asked = page
            if not asked or page == asked:
                return message

    return fresh


def _rerun(message: Message) -> tuple[str, str] | None:
    """Return fragment (``""``: all of the page) and page that a message asks for, if it asks for a run."""
    body = message.get("bytes")
    if message["type"] != "websocket.receive" or not body:
        return None
    asked = BackMsg()
    try:
        asked.ParseFromString(body)
    except DecodeError:
        return None  # Streamlit's to refuse.
    if asked.WhichOneof("type") != "rerun_script":
        return None
    return asked.rerun_script.fragment_id, asked.rerun_script.page_script_hash
