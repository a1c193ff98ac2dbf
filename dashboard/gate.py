"""What stands before Streamlit: security headers, and a gate that nothing passes unknown.

The gate is an ASGI middleware, so that it also covers what Streamlit serves beside its script: the
websocket, uploads, and the files that pages offer for download.
"""

from __future__ import annotations

import time
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard import oidc, sign_in
from dashboard.early import EarlyScript
from dashboard.sessions import COOKIE, Sessions, sessions
from dashboard.stale_runs import StaleRuns

OPEN: Final = sign_in.PATHS | {"/_stcore/health", oidc.START, oidc.END, oidc.CALLBACK}
"""Paths for those who have not signed in."""
CHECK_S: Final = 1.0
"""An open websocket is checked this often."""
ENDED_CODE: Final = 4401

HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    # Streamlit's pages need inline styles and scripts, eval (Vega) and blobs (components); nothing comes from
    # or goes to another server.
    "content-security-policy": "default-src 'self' data: blob:; "
    "script-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self' data: blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'",
}


def middleware() -> list[Middleware]:
    """Return what every request goes through, outermost first."""
    return [Middleware(SecurityHeaders), Middleware(Gate), Middleware(EarlyScript), Middleware(StaleRuns)]


class SecurityHeaders:
    """Adds what keeps other sites from framing, sniffing or extending the pages."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; answers leave with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


class Gate:
    """Passes on what belongs to a session; shows the sign-in page to the rest."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, ask, or refuse."""
        found = sessions()
        if found is None or scope["type"] not in ("http", "websocket") or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        cookie = HTTPConnection(scope).cookies.get(COOKIE, "")
        if found.look_up(cookie) is not None:
            if scope["type"] == "websocket":
                receive, send = _until_ended(found, cookie, receive, send)
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": ENDED_CODE, "reason": "sign in first"})
        else:
            await sign_in.refused(Request(scope, receive), found)(scope, receive, send)


def _until_ended(found: Sessions, cookie: str, receive: Receive, send: Send) -> tuple[Receive, Send]:
    """Close the websocket once its session has ended, whatever the page goes on sending."""
    checked_s = time.monotonic()
    closed = False

    async def checked(message: Message) -> None:
        nonlocal checked_s, closed
        if message["type"] == "websocket.send" and not closed and time.monotonic() - checked_s >= CHECK_S:
            checked_s = time.monotonic()
            if found.look_up(cookie) is None:
                closed = True
                await send({"type": "websocket.close", "code": ENDED_CODE, "reason": "session ended"})
        if closed:
            # Starlette takes an OSError for a browser that has gone.
            raise OSError("the session has ended")
        await send(message)

    async def heard() -> Message:
        message = await receive()
        # What the browser sent before it knew: nobody is there for it any more.
        return {"type": "websocket.disconnect", "code": ENDED_CODE} if closed else message

    return heard, checked
