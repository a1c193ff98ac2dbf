"""Signing in and out over HTTP: the pages that stand before Streamlit."""

from __future__ import annotations

import functools
import logging
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard import access_log, oidc, page_sign_in
from dashboard.backoff import Backoff
from dashboard.ended import LIFE_S
from dashboard.errors import UsersError
from dashboard.sessions import COOKIE, Sessions, sessions
from dashboard.users import User

log = logging.getLogger(__name__)

SIGN_IN: Final = "/sign-in"
TO_PROVIDER: Final = "/sign-in/provider"
SIGN_OUT: Final = "/sign-out"
SESSION: Final = "/session"
PATHS: Final = frozenset({SIGN_IN, TO_PROVIDER, SIGN_OUT, SESSION})
NEXT_COOKIE: Final = "wardwave_next"
MOST_FORM: Final = 4_096


def routes() -> list[BaseRoute]:
    """Return the pages before Streamlit's."""
    return [
        Route(SIGN_IN, _ask, methods=["GET"]),
        Route(SIGN_IN, _sign_in, methods=["POST"]),
        Route(TO_PROVIDER, _to_provider, methods=["GET"]),
        Route(SIGN_OUT, _sign_out, methods=["POST"]),
        Route(SESSION, _session, methods=["GET", "POST"]),
    ]


def refused(request: Request, found: Sessions) -> Response:
    """Send a page's reader to the sign-in page and back; refuse all else."""
    if found.settings.oidc and (claims := oidc.fresh_claims(request.cookies)) is not None:
        return _from_provider(request, found, claims)
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        after = "" if here == "/" else f"?next={quote(here, safe='')}"
        return _private(RedirectResponse(SIGN_IN + after, status_code=303))
    return _private(JSONResponse({"error": "sign in first"}, status_code=401))


async def _ask(request: Request) -> Response:
    found = sessions()
    after = safe_path(request.query_params.get("next", "/"))
    if found is None or found.look_up(request.cookies.get(COOKIE, "")) is not None:
        return _private(RedirectResponse(after, status_code=303))
    message = page_sign_in.WHY.get(request.query_params.get("why", ""), "")
    response = _page(found, after, message)
    response.delete_cookie(COOKIE)
    return response


async def _sign_in(request: Request) -> Response:
    found = sessions()
    if found is None or found.users is None or not _same_origin(request):
        return _private(JSONResponse({"error": "not from here"}, status_code=403))
    form = await _form(request)
    if form is None:
        return _private(Response("not the form of this page", status_code=400))
    after, name = safe_path(form.get("next", "/")), form.get("name", "").strip().casefold()[:64]
    address = _address(request)
    wait_s = _backoff().begin(("user", name), ("address", address))
    if wait_s > 0:
        access_log.note("sign_in_failed", name, address=address, why=f"must wait {wait_s:.0f} s")
        response = _page(found, after, f"Too many failed tries. Wait {wait_s:.0f} s.", 429)
        response.headers["retry-after"] = f"{wait_s:.0f}"
        return response
    users, password = found.users, form.get("password", "")
    try:
        record = await anyio.to_thread.run_sync(users.check, name, password, limiter=_hashing())
        if record is not None:
            _backoff().succeeded(("user", name), ("address", address))
            return _begin(request, found, User(record.name, record.role, "local"), after)
    except UsersError:
        log.exception("nobody can sign in")
        return _page(found, after, "The accounts cannot be read now. Ask who runs this server.", 503)
    access_log.note("sign_in_failed", name, address=address, why="name or password")
    return _page(found, after, page_sign_in.WRONG, 401)


def _from_provider(request: Request, found: Sessions, claims: dict[str, object]) -> Response:
    """Turn what the provider says into a session of ours."""
    after = safe_path(unquote(request.cookies.get(NEXT_COOKIE, "/")))
    user = oidc.user_of(claims, found.settings)
    if user is not None:
        try:
            return _begin(request, found, user, after)
        except UsersError:
            pass
    claimed = claims.get(found.settings.oidc_name_claim)
    address = _address(request)
    why = "no role" if user is None else "barred"
    access_log.note("sign_in_failed", claimed if isinstance(claimed, str) else "?", address=address, why=why)
    response = _page(found, after, page_sign_in.NO_ROLE, 403)
    # Streamlit's cookie would be tried again at every request while it is fresh.
    response.delete_cookie(oidc.COOKIE)
    return response


def _begin(request: Request, found: Sessions, user: User, after: str) -> Response:
    cookie = found.start(user)
    address = _address(request)
    access_log.note("sign_in", user.name, address=address, role=str(user.role), via=user.via)
    response = _private(RedirectResponse(after, status_code=303))
    _set_cookie(request, response, COOKIE, cookie, LIFE_S)
    response.delete_cookie(NEXT_COOKIE)
    return response


async def _to_provider(request: Request) -> Response:
    found = sessions()
    if found is None or not found.settings.oidc:
        return _private(RedirectResponse(SIGN_IN, status_code=303))
    response = _private(RedirectResponse(oidc.login_url(), status_code=303))
    after = safe_path(request.query_params.get("next", "/"))
    _set_cookie(request, response, NEXT_COOKIE, quote(after), 600)
    return response


async def _sign_out(request: Request) -> Response:
    found = sessions()
    if found is None or not _same_origin(request):
        return _private(JSONResponse({"error": "not from here"}, status_code=403))
    user = found.end(request.cookies.get(COOKIE, ""))
    if user is not None:
        access_log.note("sign_out", user.name, address=_address(request))
    by_provider = user is not None and user.via == "oidc"
    response = _private(JSONResponse({"next": oidc.END if by_provider else f"{SIGN_IN}?why=signed-out"}))
    response.delete_cookie(COOKIE)
    return response


async def _session(request: Request) -> Response:
    """Say how long a session holds (GET), after a touch (POST)."""
    found, cookie = sessions(), request.cookies.get(COOKIE, "")
    if found is None or (request.method == "POST" and not _same_origin(request)):
        return _private(JSONResponse({"error": "not from here"}, status_code=403))
    standing = found.touch(cookie) if request.method == "POST" else found.look_up(cookie)
    if standing is None:
        return _private(JSONResponse({"why": found.why_ended(cookie)}, status_code=401))
    response = _private(JSONResponse({"left_s": standing.left_s}))
    if (newer := found.renewed(cookie)) is not None:
        _set_cookie(request, response, COOKIE, newer, LIFE_S)
    return response


def safe_path(text: str) -> str:
    """Return a path of this server, never another's address."""
    try:
        parts = urlsplit(text)
    except ValueError:  # "//[x" opens an IPv6 address that never closes.
        return "/"
    own = (
        text.startswith("/") and not text.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    )
    return text if own and text.isprintable() and len(text) <= 500 else "/"


def _page(found: Sessions, after: str, message: str, status: int = 200) -> Response:
    content = page_sign_in.page(
        local=found.users is not None,
        provider=found.settings.oidc,
        after=after,
        message=message,
        bad=status != 200,
    )
    return _private(HTMLResponse(content, status_code=status))


def _private(response: Response) -> Response:
    response.headers["cache-control"] = "no-store"
    return response


def _set_cookie(request: Request, response: Response, name: str, value: str, life_s: float) -> None:
    https = request.url.scheme == "https"
    response.set_cookie(name, value, max_age=round(life_s), httponly=True, samesite="lax", secure=https)


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _same_origin(request: Request) -> bool:
    """Whether a page of this server asks; browsers name the origin of every POST."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc == request.headers.get("host")
    except ValueError:
        return False


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields; ``None`` for what the sign-in page would never send."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM:
            return None
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=8))
    except ValueError:
        return None


@functools.cache
def _backoff() -> Backoff:
    return Backoff()


@functools.cache
def _hashing() -> CapacityLimiter:
    """One password takes 64 MiB and 0.1 s of four cores: no crowd may take all."""
    return CapacityLimiter(2)
