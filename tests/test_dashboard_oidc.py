"""Sign-in by OIDC against a small provider of our own: Streamlit's routes, our roles and sessions."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import anyio
import argon2
import httpx2 as httpx
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from streamlit import config
from streamlit.runtime.secrets import secrets_singleton
from streamlit.web.server.starlette.starlette_auth_routes import create_auth_routes

from dashboard import access_log, gate, oidc, page_sign_in, serve, sign_in
from dashboard.errors import DashboardError
from dashboard.sessions import COOKIE, Sessions
from dashboard.settings import DashboardSettings
from dashboard.users import Role, UsersFile

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ROLES = {"icu-nurses": Role.CLINICIAN, "it": Role.ADMIN, "guests": Role.VIEWER}
COOKIE_KEY = "0123456789abcdef0123456789abcdef"


class Provider(ThreadingHTTPServer):
    """Discovery, keys, authorize, token: signs in whoever ``claims`` says."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.claims: dict[str, object] = {}
        self.nonce = ""

    def authorize(self, query: dict[str, list[str]]) -> str:
        self.nonce = query["nonce"][0]
        answer = urlencode({"code": "code-1", "state": query["state"][0]})
        return f"{query['redirect_uri'][0]}?{answer}"

    def tokens(self) -> dict[str, object]:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "wardwave",
            "sub": "1",
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonce,
        } | self.claims
        signed = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return {"id_token": signed, "access_token": "opaque", "token_type": "Bearer", "expires_in": 300}


class _Answers(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/authorize":
            self.send_response(302)
            self.send_header("location", self.server.authorize(parse_qs(parts.query)))
            self.send_header("content-length", "0")
            self.end_headers()
        elif parts.path == "/keys":
            self._json({"keys": [self.server.key.as_dict(private=False)]})
        else:
            url = self.server.url
            self._json(
                {
                    "issuer": url,
                    "authorization_endpoint": f"{url}/authorize",
                    "token_endpoint": f"{url}/token",
                    "jwks_uri": f"{url}/keys",
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        known = base64.b64encode(b"wardwave:provider-knows").decode()
        if self.headers.get("authorization") != f"Basic {known}":
            self.send_error(401)
            return
        self._json(self.server.tokens())

    def _json(self, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def configured(tmp_path: Path, provider: Provider) -> Iterator[Path]:
    """``[auth]`` as an administrator writes it."""
    path = tmp_path / "secrets.toml"
    path.write_text(
        "[auth]\n"
        'redirect_uri = "http://ward/oauth2callback"\n'
        f'cookie_secret = "{COOKIE_KEY}"\n'
        'client_id = "wardwave"\n'
        'client_secret = "provider-knows"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
    )
    before = config.get_option("secrets.files")
    config.set_option("secrets.files", [str(path)])
    secrets_singleton._reset()
    yield path
    config.set_option("secrets.files", before)
    secrets_singleton._reset()


class Ward:
    """A dashboard whose people sign in at the provider; a stand-in for Streamlit's pages."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.users = UsersFile(folder / "users.json", CHEAP)
        settings = DashboardSettings(users=self.users.path, oidc=True, oidc_roles=ROLES)
        self.sessions = Sessions(settings, self.users, COOKIE_KEY)
        self.log = folder / "access.jsonl"
        monkeypatch.setenv("WARDWAVE_DASHBOARD__ACCESS_LOG", str(self.log))
        for module in (gate, sign_in, page_sign_in):
            monkeypatch.setattr(module, "sessions", lambda: self.sessions)

        async def streamlit(request: Request) -> PlainTextResponse:
            return PlainTextResponse(f"the ward at {request.url.path}?{request.url.query}")

        self.app = Starlette(
            routes=[*sign_in.routes(), *create_auth_routes(""), Route("/{path:path}", streamlit)],
            middleware=[*gate.middleware(), Middleware(SessionMiddleware, secret_key=COOKIE_KEY)],
        )

    def come(self, path: str) -> tuple[httpx.Response, httpx.Cookies]:
        """Go by the provider as a browser does; return the last answer and the cookies."""

        async def go() -> tuple[httpx.Response, httpx.Cookies]:
            transport = httpx.ASGITransport(app=self.app, client=("10.0.0.9", 4711))
            async with (
                httpx.AsyncClient(transport=transport, headers={"accept": "text/html"}) as browser,
                httpx.AsyncClient() as outside,
            ):
                url = httpx.URL("http://ward").join(path)
                for _ in range(12):
                    answer = await (browser if url.host == "ward" else outside).get(url)
                    if answer.status_code == 200 and 'class="provider"' in answer.text:
                        link = answer.text.partition('class="provider" href="')[2].partition('"')[0]
                        url = url.join(link)
                    elif answer.is_redirect:
                        url = url.join(answer.headers["location"])
                    else:
                        return answer, browser.cookies
                raise AssertionError("no end of redirections")

        return anyio.run(go)

    def events(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def ward(tmp_path: Path, configured: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    access_log._file.cache_clear()
    yield Ward(tmp_path, monkeypatch)
    if (file := access_log._file()) is not None:
        file.close()
    access_log._file.cache_clear()


def test_who_has_a_role_at_the_provider_comes_back_to_the_bed_they_wanted(
    ward: Ward, provider: Provider
) -> None:
    provider.claims = {"email": "Nina@hospital.example", "groups": ["staff", "icu-nurses"]}
    answer, cookies = ward.come("/bed?bed=bed-03")
    assert (answer.status_code, answer.text) == (200, "the ward at /bed?bed=bed-03")
    standing = ward.sessions.look_up(cookies[COOKIE])
    assert standing is not None
    assert (standing.user.name, standing.user.role) == ("nina@hospital.example", Role.CLINICIAN)
    assert standing.left_s is not None, "time-outs are the same as for local users"
    (event,) = ward.events()
    assert (event["event"], event["user"], event["via"]) == ("sign_in", "nina@hospital.example", "oidc")
    assert "opaque" not in ward.log.read_text()


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "cook@hospital.example", "groups": ["kitchen"]},
        {"email": "cook@hospital.example"},
        {"groups": ["it"]},
        {"email": "cook@hospital.example", "email_verified": False, "groups": ["it"]},
        {"email": "anna", "groups": ["it"]},
        {"email": "eve@hospital.example", "groups": ["it"]},
    ],
    ids=["other group", "no groups", "no name", "unconfirmed", "a local user's name", "barred"],
)
def test_who_has_no_role_or_no_name_here_is_refused(
    ward: Ward, provider: Provider, claims: dict[str, object]
) -> None:
    ward.users.add("anna", Role.VIEWER, "correct horse battery")
    ward.users.bar("eve@hospital.example")
    provider.claims = claims
    answer, cookies = ward.come("/")
    assert answer.status_code == 403
    assert page_sign_in.NO_ROLE in answer.text
    assert COOKIE not in cookies
    assert [event["event"] for event in ward.events()] == ["sign_in_failed"]


def test_who_is_barred_loses_an_open_session_at_once(ward: Ward, provider: Provider) -> None:
    provider.claims = {"email": "nina@hospital.example", "groups": "it"}
    _, cookies = ward.come("/")
    assert ward.sessions.look_up(cookies[COOKIE]) is not None
    ward.users.bar("Nina@hospital.example")
    assert ward.sessions.look_up(cookies[COOKIE]) is None


def test_viewers_of_the_provider_come_back_to_it_after_a_shift(ward: Ward, provider: Provider) -> None:
    provider.claims = {"email": "guest@hospital.example", "groups": ["guests"]}
    _, cookies = ward.come("/")
    standing = ward.sessions.look_up(cookies[COOKIE])
    assert standing is not None
    assert standing.left_s is not None
    assert standing.left_s == pytest.approx(12 * 3600, abs=60)


def test_an_old_identity_opens_no_new_session(
    ward: Ward, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.claims = {"email": "nina@hospital.example", "groups": ["it"]}
    _, cookies = ward.come("/")
    assert oidc.fresh_claims(dict(cookies)) is not None
    now = time.time()
    monkeypatch.setattr("itsdangerous.timed.time.time", lambda: now + oidc.FRESH_S + 2)
    assert oidc.fresh_claims(dict(cookies)) is None, "after a time-out one goes by the provider again"
    assert oidc.fresh_claims({oidc.COOKIE: "forged"}) is None


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["guests"], Role.VIEWER),
        ("icu-nurses", Role.CLINICIAN),
        (["guests", "it", "icu-nurses"], Role.ADMIN),
        ([], None),
        ([7, None, {"it": 1}], None),
        ({"it": True}, None),
    ],
)
def test_the_gravest_role_of_all_groups_counts(groups: object, role: Role | None) -> None:
    settings = DashboardSettings(oidc=True, oidc_roles=ROLES, oidc_role_claim="roles", oidc_name_claim="sub")
    user = oidc.user_of({"sub": "u-1", "roles": groups, "groups": ["it"]}, settings)
    assert (user.role if user is not None else None) == role


def test_a_half_configured_provider_is_told_at_the_start(configured: Path) -> None:
    ready = DashboardSettings(oidc=True, oidc_roles=ROLES)
    serve.check_guarded("0.0.0.0", ready)
    with pytest.raises(DashboardError, match="OIDC_ROLES is not set"):
        serve.check_guarded("0.0.0.0", DashboardSettings(oidc=True))
    configured.write_text('[auth]\nredirect_uri = "http://ward/oauth2callback"\n')
    secrets_singleton._reset()
    with pytest.raises(DashboardError, match="cookie_secret"):
        serve.check_guarded("127.0.0.1", ready)
