"""Sign-in, time-out, roles: who gets in, what they may do, and what is written down."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import argon2
import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect
from streamlit.testing.v1 import AppTest

import wardwave
from dashboard import access, access_log, ended, gate, page_sign_in, serve, sign_in
from dashboard import sessions as session_module
from dashboard.children import Child
from dashboard.errors import DashboardError, Unguarded, UsersError
from dashboard.sessions import COOKIE, Sessions
from dashboard.settings import DashboardSettings
from dashboard.users import Role, User, UsersFile
from tests.browsing import CHROMIUM

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
HOME = {"accept": "text/html"}


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


class Ward:
    """A dashboard with three users and a stand-in for Streamlit."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.users = UsersFile(folder / "users.json", CHEAP)
        for name, role in (("anna", Role.ADMIN), ("bert", Role.CLINICIAN), ("wall-3", Role.VIEWER)):
            self.users.add(name, role, PASSWORD)
        self.log = folder / "access.jsonl"
        self.settings = DashboardSettings(users=self.users.path, access_log=self.log)
        self.sessions = Sessions(self.settings, self.users, clock=self.clock)

        async def streamlit(request: Request) -> PlainTextResponse:
            return PlainTextResponse(f"the ward at {request.url.path}")

        async def feed(websocket: WebSocket) -> None:
            await websocket.accept()
            try:
                while True:
                    await websocket.send_bytes(b"beats")
                    await anyio.sleep(0)
            except WebSocketDisconnect:
                self.feed_ended = True
                self.heard_last = (await websocket.receive())["type"]

        self.feed_ended = False
        self.heard_last = ""
        self.app = Starlette(
            routes=[
                *sign_in.routes(),
                WebSocketRoute("/_stcore/stream", feed),
                Route("/{path:path}", streamlit, methods=["GET", "PUT"]),
            ],
            middleware=gate.middleware(),
        )

    def ask(
        self,
        method: str,
        path: str,
        *,
        cookie: str | None = None,
        headers: dict[str, str] | None = None,
        data: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, client=("10.0.0.9", 4711))
            async with httpx.AsyncClient(transport=transport, base_url="http://ward") as client:
                jar = {"cookie": f"{COOKIE}={cookie}"} if cookie else {}
                return await client.request(
                    method, path, headers={**(headers or {}), **jar}, data=data, params=params
                )

        return anyio.run(go)

    def try_to_sign_in(
        self, name: str, password: str = PASSWORD, after: str = "/", **headers: str
    ) -> httpx.Response:
        form = {"name": name, "password": password, "next": after}
        return self.ask("POST", "/sign-in", data=form, headers=headers)

    def cookie(self, name: str) -> str:
        record = self.users.find(name)
        assert record is not None
        return self.sessions.start(User(name, record.role, "local"))

    def restarted(self) -> Sessions:
        """The sessions as another process of the server finds them."""
        return Sessions(self.settings, UsersFile(self.users.path, CHEAP), clock=self.clock)

    def events(self) -> list[tuple[object, object]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(entry["event"], entry["user"]) for entry in map(json.loads, lines)]


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    made = Ward(tmp_path)
    monkeypatch.setenv("WARDWAVE_DASHBOARD__USERS", str(made.users.path))
    monkeypatch.setenv("WARDWAVE_DASHBOARD__ACCESS_LOG", str(made.log))
    for module in (access, gate, sign_in, page_sign_in):
        monkeypatch.setattr(module, "sessions", lambda: made.sessions)
    sign_in._backoff.cache_clear()
    access_log._file.cache_clear()
    yield made
    if (file := access_log._file()) is not None:
        file.close()
    access_log._file.cache_clear()


def test_who_has_not_signed_in_sees_the_sign_in_page_and_nothing_else(ward: Ward) -> None:
    answer = ward.ask("GET", "/bed?bed=bed-03", headers=HOME)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Fbed%3Fbed%3Dbed-03")
    for path in ("/media/strip.pdf", "/_stcore/host-config", "/static/index.js", "/_stcore/upload_file/1/2"):
        assert ward.ask("GET", path).status_code == 401, path
    assert ward.ask("PUT", "/_stcore/upload_file/1/2").status_code == 401
    assert ward.ask("GET", "/_stcore/health").status_code == 200, "the container's health check"
    page = ward.ask("GET", answer.headers["location"])
    assert page.status_code == 200
    assert 'name="next" value="/bed?bed=bed-03"' in page.text
    assert page.headers["cache-control"] == "no-store"
    assert "<script" not in page.text


def test_signing_in_leads_to_where_one_wanted_to_go(ward: Ward) -> None:
    answer = ward.try_to_sign_in(" Bert ", after="/bed?bed=bed-03")
    assert (answer.status_code, answer.headers["location"]) == (303, "/bed?bed=bed-03")
    written = answer.headers["set-cookie"]
    assert "HttpOnly" in written
    assert "SameSite=lax" in written
    assert "bert" not in written
    cookie = answer.cookies[COOKIE]
    assert ward.ask("GET", "/bed", cookie=cookie, headers=HOME).text == "the ward at /bed"
    assert ward.ask("GET", "/sign-in?next=/alarms", cookie=cookie).headers["location"] == "/alarms"
    assert ward.events() == [("sign_in", "bert")]


def test_over_https_the_cookie_never_crosses_in_clear(ward: Ward) -> None:
    async def go() -> httpx.Response:
        transport = httpx.ASGITransport(app=ward.app)
        async with httpx.AsyncClient(transport=transport, base_url="https://ward") as client:
            return await client.post("/sign-in", data={"name": "anna", "password": PASSWORD})

    assert "Secure" in anyio.run(go).headers["set-cookie"]


@pytest.mark.parametrize(
    "path",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "bed",
        "//[x",
        "//[::1",
    ],
)
def test_no_link_leads_to_another_site_after_sign_in(ward: Ward, path: str) -> None:
    assert ward.try_to_sign_in("anna", after=path).headers["location"] == "/"
    assert ward.ask("GET", "/sign-in", params={"next": path}).status_code == 200


@pytest.mark.parametrize("name", ["anna", "nobody", "carl"])
def test_a_failed_try_says_the_same_for_all(ward: Ward, name: str) -> None:
    ward.users.add("carl", Role.VIEWER, PASSWORD)
    ward.users.set_disabled("carl", True)
    answer = ward.try_to_sign_in(name, "wrong password")
    assert answer.status_code == 401
    assert page_sign_in.WRONG in answer.text
    assert COOKIE not in answer.cookies
    assert ward.events() == [("sign_in_failed", name)]


def test_after_five_failed_tries_even_the_right_password_must_wait(ward: Ward) -> None:
    for _ in range(5):
        assert ward.try_to_sign_in("anna", "wrong password").status_code == 401
    answer = ward.try_to_sign_in("anna")
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 15
    assert "Wait" in answer.text
    assert ward.try_to_sign_in("bert").status_code == 303, "others may still sign in"


def test_text_from_outside_is_never_markup(ward: Ward) -> None:
    page = ward.ask("GET", "/sign-in?next=/%22%3E%3Cscript%3E&why=%3Cscript%3E").text
    assert "<script" not in page
    assert 'value="/&quot;&gt;&lt;script&gt;"' in page


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/session"])
def test_another_site_can_neither_sign_in_nor_out(ward: Ward, path: str) -> None:
    cookie = ward.cookie("anna")
    origins = ("https://evil.example", "http://[", "null")
    for headers in (*({"origin": origin} for origin in origins), {"sec-fetch-site": "cross-site"}):
        answer = ward.ask(
            "POST", path, cookie=cookie, headers=headers, data={"name": "anna", "password": PASSWORD}
        )
        assert answer.status_code == 403
    assert ward.sessions.look_up(cookie) is not None


def test_a_form_that_the_page_never_sends_is_refused(ward: Ward) -> None:
    assert ward.try_to_sign_in("anna", "x" * 5_000).status_code == 400
    assert ward.ask("POST", "/sign-in", data={str(number): "x" for number in range(50)}).status_code == 400


def test_every_answer_forbids_framing_sniffing_and_other_servers(ward: Ward) -> None:
    for path in ("/sign-in", "/", "/_stcore/health"):
        headers = ward.ask("GET", path, headers=HOME).headers
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert not re.search(r"https?:|\*", policy), "nothing comes from another server"


def test_nobody_gets_in_when_the_accounts_cannot_be_read(ward: Ward) -> None:
    cookie = ward.cookie("anna")
    ward.users.path.write_text("{")
    assert ward.ask("GET", "/", cookie=cookie, headers=HOME).status_code == 303
    answer = ward.try_to_sign_in("anna")
    assert answer.status_code == 503
    assert "cannot be read" in answer.text


def test_signing_out_ends_the_session_for_good(ward: Ward) -> None:
    cookie = ward.cookie("anna")
    answer = ward.ask("POST", "/sign-out", cookie=cookie)
    assert answer.json() == {"next": "/sign-in?why=signed-out"}
    assert ward.ask("GET", "/", cookie=cookie, headers=HOME).status_code == 303
    assert ward.ask("GET", "/session", cookie=cookie).json() == {"why": "ended"}
    assert page_sign_in.WHY["signed-out"] in ward.ask("GET", "/sign-in?why=signed-out").text
    assert ward.events() == [("sign_out", "anna")]


def test_a_forged_or_foreign_cookie_opens_nothing(ward: Ward, tmp_path: Path) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    foreign = Ward(other_folder).cookie("anna")
    own = ward.cookie("anna")
    # Not its last character, two bits of which mean nothing.
    changed = own[:-5] + ("A" if own[-5] != "A" else "B") + own[-4:]
    for cookie in (foreign, changed, own.rpartition(".")[0], "", "x" * 5_000):
        assert ward.sessions.look_up(cookie) is None


def test_live_updates_are_no_touch_and_the_session_times_out(ward: Ward) -> None:
    cookie = ward.cookie("bert")
    for _ in range(14):
        ward.clock.now += 60
        assert ward.ask("GET", "/session", cookie=cookie).status_code == 200
        assert ward.ask("GET", "/", cookie=cookie, headers=HOME).status_code == 200
    assert ward.ask("GET", "/session", cookie=cookie).json() == {"left_s": 60.0}
    assert ward.ask("POST", "/session", cookie=cookie).json() == {"left_s": 900.0}
    ward.clock.now += 899
    assert ward.sessions.look_up(cookie) is not None
    ward.clock.now += 1
    answer = ward.ask("GET", "/session", cookie=cookie)
    assert (answer.status_code, answer.json()) == (401, {"why": "timed-out"})
    ward.clock.now -= 900
    assert ward.sessions.touch(cookie) is None, "an ended session stays ended"
    assert ward.events() == [("timed_out", "bert")]


def test_a_screen_on_the_wall_stays(ward: Ward) -> None:
    cookie = ward.cookie("wall-3")
    for _ in range(90):
        ward.clock.now += 86_400
        answer = ward.ask("GET", "/session", cookie=cookie)
        assert answer.json() == {"left_s": None}
        assert "Max-Age=2592000" in answer.headers["set-cookie"]
        cookie = answer.cookies[COOKIE]
    assert ward.restarted().look_up(cookie) is not None
    ward.users.set_role("wall-3", Role.CLINICIAN)
    assert ward.sessions.look_up(cookie) is None, "who may command is timed out"


def test_a_screen_that_nobody_has_switched_on_for_a_month_signs_in_again(ward: Ward) -> None:
    cookie = ward.cookie("wall-3")
    ward.clock.now += 30 * 86_400
    assert ward.restarted().look_up(cookie) is None
    assert ward.sessions.look_up(cookie) is None


def test_a_time_out_for_viewers_comes_also_when_it_is_longer_than_a_shift(ward: Ward) -> None:
    settings = ward.settings.model_copy(update={"viewer_idle_minutes": 1_440.0, "session_hours": 1.0})
    found = Sessions(settings, ward.users, clock=ward.clock)
    cookie = found.start(User("wall-3", Role.VIEWER, "local"))
    ward.clock.now += 23 * 3_600
    # Somebody signs in meanwhile: what is remembered is cleared up.
    found.start(User("anna", Role.ADMIN, "local"))
    assert found.look_up(cookie) is not None
    ward.clock.now += 3_600
    assert found.look_up(cookie) is None


def test_who_may_command_signs_in_again_after_a_shift(ward: Ward) -> None:
    cookie = ward.cookie("anna")
    for _ in range(12 * 6 - 1):
        ward.clock.now += 600
        assert ward.sessions.touch(cookie) is not None
    ward.clock.now += 600
    assert ward.sessions.touch(cookie) is None


def test_sessions_outlive_a_restart_of_the_server_but_not_their_time(ward: Ward) -> None:
    cookie = ward.cookie("bert")
    restarted = ward.restarted()
    assert restarted.look_up(cookie) is not None
    ward.clock.now += 901
    assert restarted.look_up(cookie) is None
    assert ward.restarted().look_up(cookie) is None


def test_a_touch_outlives_a_restart_and_a_time_without_one_does_too(ward: Ward) -> None:
    cookie = ward.cookie("bert")
    assert "set-cookie" not in ward.ask("GET", "/session", cookie=cookie).headers
    ward.clock.now += 600
    newer = ward.ask("POST", "/session", cookie=cookie).cookies[COOKIE]
    assert ward.sessions.look_up(cookie) is not None, "a page that was open before keeps its cookie"
    ward.clock.now += 600
    assert ward.restarted().look_up(newer) is not None
    ward.clock.now += 301
    assert ward.restarted().look_up(newer) is None, "nobody asked while it ran out"


@pytest.mark.parametrize("name", ["anna", "wall-3"])
def test_what_was_signed_out_stays_so_after_a_restart(ward: Ward, name: str) -> None:
    cookie = ward.cookie(name)
    ward.ask("POST", "/sign-out", cookie=cookie)
    restarted = ward.restarted()
    assert restarted.look_up(cookie) is None
    assert restarted.why_ended(cookie) == "ended"
    kept = ward.users.path.with_name("users.json.ended")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert ward.users.key not in kept.read_text()


def test_the_list_of_ended_sessions_forgets_what_opens_nothing_anyway(ward: Ward) -> None:
    for _ in range(3):
        ward.sessions.end(ward.cookie("anna"))
    ward.clock.now += 30 * 86_400
    ward.sessions.end(ward.cookie("anna"))
    kept = json.loads(ward.users.path.with_name("users.json.ended").read_text())
    assert len(kept["sessions"]) == 1


@pytest.mark.parametrize("how", ["gone", "broken", "not written"])
def test_without_a_list_of_ended_sessions_all_sign_in_once_more(
    ward: Ward, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ward.users.path.with_name("users.json.ended")
    cookie = ward.cookie("wall-3")
    if how == "gone":
        kept.unlink()
    elif how == "broken":
        kept.write_text("{")
    else:

        def full(path: Path, content: bytes) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(ended, "write_whole", full)
            ward.sessions.end(ward.cookie("anna"))
    assert ward.sessions.look_up(cookie) is not None
    ward.clock.now += 1
    assert ward.restarted().look_up(cookie) is None
    assert ward.restarted().look_up(ward.cookie("wall-3")) is not None


@pytest.mark.parametrize("how", ["remove", "disable", "password", "role", "end all"])
def test_a_change_of_the_account_holds_at_once(ward: Ward, how: str) -> None:
    cookie = ward.cookie("bert")
    if how == "remove":
        ward.users.remove("bert")
    elif how == "disable":
        ward.users.set_disabled("bert", True)
    elif how == "password":
        ward.users.set_password("bert", "another password")
    elif how == "end all":
        assert wardwave.main(["users", "end-sessions"]) == 0
    else:
        ward.users.set_role("bert", Role.VIEWER)
    standing = ward.sessions.look_up(cookie)
    assert (standing is None) == (how != "role")
    assert standing is None or not standing.user.may_command
    if how == "disable":
        ward.users.set_disabled("bert", False)
        assert ward.sessions.look_up(cookie) is None, "a new sign-in is needed"


def test_who_was_removed_cannot_begin_a_session(ward: Ward) -> None:
    with pytest.raises(UsersError, match="may not sign in"):
        ward.sessions.start(User("eve", Role.ADMIN, "local"))


def test_an_open_page_is_cut_off_when_its_user_is_removed(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "CHECK_S", 0.0)
    cookie = ward.cookie("bert")
    sent: list[Message] = []

    async def receive() -> Message:
        # The page's timers go on asking until it knows.
        return {"type": "websocket.receive", "bytes": b""} if sent else {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == 5:
            ward.users.remove("bert")

    scope = {
        "type": "websocket",
        "path": "/_stcore/stream",
        "headers": [(b"cookie", f"{COOKIE}={cookie}".encode())],
        "query_string": b"",
        "subprotocols": [],
    }
    anyio.run(ward.app, scope, receive, send)
    assert [message["type"] for message in sent] == [
        "websocket.accept",
        *["websocket.send"] * 4,
        "websocket.close",
    ]
    assert ward.feed_ended
    assert ward.heard_last == "websocket.disconnect"
    sent.clear()
    anyio.run(ward.app, scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"], "nor may it connect again"


def controls() -> None:
    """A page with a control, as other pages have them."""
    import streamlit as st

    from dashboard import access, access_log, page_sign_in

    user = access.guard()
    access.user_line()
    access.enter("Ward")
    st.write(f"beds for {user.name}")
    if access.current_user().may_command and st.button("Acknowledge") and access.current_user().may_command:
        access_log.note("command", access.current_user().name, bed="bed-03", action="acknowledge")
    if access.current_user().is_admin:
        access_log.show_log()
        page_sign_in.show_users()


def page_of(monkeypatch: pytest.MonkeyPatch, cookie: str | None) -> AppTest:
    class Context:
        cookies = {COOKIE: cookie} if cookie else {}
        ip_address = "10.0.0.9"

    monkeypatch.setattr("streamlit.context", Context)
    return AppTest.from_function(controls, default_timeout=20).run()


@pytest.mark.parametrize(("name", "buttons", "tables"), [("anna", 1, 2), ("bert", 1, 0), ("wall-3", 0, 0)])
def test_each_role_sees_what_it_may_use(
    ward: Ward, monkeypatch: pytest.MonkeyPatch, name: str, buttons: int, tables: int
) -> None:
    page = page_of(monkeypatch, ward.cookie(name))
    assert not page.exception
    assert (len(page.button), len(page.dataframe)) == (buttons, tables)
    assert page.markdown[0].value == f"beds for {name}"


def test_the_page_stops_before_anything_is_shown_to_who_is_not_signed_in(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cookie in (None, "forged"):
        page = page_of(monkeypatch, cookie)
        assert [error.value for error in page.error] == ["Your session has ended."]
        assert not page.markdown
        assert not page.button


def test_a_command_is_refused_to_who_lost_the_role_while_the_page_was_open(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_of(monkeypatch, ward.cookie("bert"))
    page.button[0].click().run()
    assert ward.events() == [("page", "bert"), ("command", "bert")]
    ward.users.set_role("bert", Role.VIEWER)
    page.button[0].click().run()
    assert not page.button
    ward.users.remove("bert")
    page.run()
    assert page.error
    assert ward.events() == [("page", "bert"), ("command", "bert")]


def test_admins_see_who_did_what_and_who_may_sign_in(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    ward.users.set_disabled("bert", True)
    access_log.note("sign_in", "wall-3", address="10.0.0.3", role="viewer")
    page = page_of(monkeypatch, ward.cookie("anna"))
    log, users = (frame.value for frame in page.dataframe)
    assert list(log["event"]) == ["page", "sign_in"]
    assert log["details"][1] == "role: viewer"
    assert list(users["Name"]) == ["anna", "bert", "wall-3"]
    assert list(users["State"]) == ["active", "disabled", "active"]


def test_without_sign_in_the_user_of_this_machine_may_do_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WARDWAVE_DASHBOARD__USERS", raising=False)
    session_module.sessions.cache_clear()
    user = access.current_user()
    assert (user.via, user.is_admin) == ("none", True)
    page = page_of(monkeypatch, None)
    assert not page.exception
    assert len(page.button) == 1


def test_the_log_is_private_and_rotates(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_DASHBOARD__ACCESS_LOG_MB", "1")
    for number in range(4_000):
        access_log.note("command", "anna", bed="bed-03", number=number, text="x" * 300)
    rotated = ward.log.with_name(ward.log.name + ".1")
    assert stat.S_IMODE(ward.log.stat().st_mode) == stat.S_IMODE(rotated.stat().st_mode) == 0o600
    assert ward.log.stat().st_size + rotated.stat().st_size < 2_100_000
    assert access_log.read(ward.log)[0]["number"] == 3_999


def test_a_name_from_outside_breaks_no_line_of_the_log(ward: Ward) -> None:
    access_log.note("upload", "anna", file='x"}\n{"event": "sign_in"}\x1b[31m\u202e' + "y" * 1_000)
    (line,) = ward.log.read_text().splitlines()
    assert line.isascii()
    assert "\x1b" not in line
    assert len(json.loads(line)["file"]) == access_log.LONGEST


def test_a_broken_line_of_the_log_is_left_out(ward: Ward) -> None:
    access_log.note("sign_in", "anna")
    with ward.log.open("a") as file:
        file.write('{"cut off\n[1]\n')
    assert [entry["user"] for entry in access_log.read(ward.log)] == ["anna"]


def test_no_secret_is_ever_logged(ward: Ward, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ward.try_to_sign_in("anna", "mistyped-pass-phrase")
    answer = ward.try_to_sign_in("anna")
    cookie = answer.cookies[COOKIE]
    ward.ask("POST", "/session", cookie=cookie)
    ward.ask("POST", "/sign-out", cookie=cookie)
    written = caplog.text + ward.log.read_text()
    assert '"event": "sign_in"' in written
    for secret in (PASSWORD, "mistyped", cookie, ward.users.key, "$argon2id"):
        assert secret not in written
    for detail in ("password", "token", "Cookie", "client_secret"):
        with pytest.raises(ValueError, match="no secrets"):
            access_log.note("command", "anna", **{detail: "x"})


def test_without_sign_in_only_this_machine_is_served(tmp_path: Path) -> None:
    serve.check_guarded("127.0.0.1", DashboardSettings())
    for address in ("0.0.0.0", "::", "10.0.0.4", "ward.example"):
        with pytest.raises(
            Unguarded, match=f"{re.escape(address)}: other machines.*wardwave users add.*OIDC"
        ):
            serve.check_guarded(address, DashboardSettings())
    users = UsersFile(tmp_path / "users.json", CHEAP)
    settings = DashboardSettings(users=users.path)
    with pytest.raises(UsersError, match="nobody could sign in"):
        serve.check_guarded("0.0.0.0", settings)
    users.add("anna", Role.ADMIN, PASSWORD)
    serve.check_guarded("0.0.0.0", settings)
    users.set_disabled("anna", True)
    with pytest.raises(UsersError, match="wardwave users add"):
        serve.check_guarded("127.0.0.1", settings)
    with pytest.raises(DashboardError, match="set both"):
        serve.check_guarded("127.0.0.1", DashboardSettings(tls_key=tmp_path / "key.pem"))


def test_the_command_refuses_to_serve_others_and_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WARDWAVE_DASHBOARD__USERS", raising=False)
    assert wardwave.main(["dashboard", "--address", "0.0.0.0", "--port", "8650"]) == 2
    assert "nobody signs in" in capsys.readouterr().err


def test_the_server_is_strict_by_default(tmp_path: Path) -> None:
    open_to_itself = serve.options("127.0.0.1", 8501, DashboardSettings(max_upload_mb=50))
    assert open_to_itself["server.enableXsrfProtection"] is True
    assert open_to_itself["server.enableCORS"] is True
    assert open_to_itself["browser.gatherUsageStats"] is False
    assert open_to_itself["server.maxUploadSize"] == 50
    assert open_to_itself["server.allowedHosts"] == ["localhost", "127.0.0.1", "::1"]
    guarded = DashboardSettings(users=tmp_path / "users.json")
    assert serve.options("0.0.0.0", 8501, guarded)["server.allowedHosts"] == []
    named = DashboardSettings(users=tmp_path / "users.json", hosts=("ward.example",))
    assert serve.options("0.0.0.0", 8501, named)["server.allowedHosts"] == ["ward.example"]


@pytest.mark.parametrize("name", list(DashboardSettings.model_fields))
def test_the_document_names_every_setting_with_its_default_and_bounds(name: str) -> None:
    document = Path(__file__).resolve().parent.parent / "docs" / "dashboard-access.md"
    lines = document.read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if line.startswith("|") and f"`{name.upper()}`" in line]
    field = DashboardSettings.model_fields[name]
    bounds = [getattr(one, side, None) for one in field.metadata for side in ("ge", "le")]
    default = [] if isinstance(field.default, bool) else [field.default]
    for number in [*bounds, *default]:
        if isinstance(number, int | float):
            assert f"{number:,g}" in row


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps processes of one user apart, others do not")
def test_the_server_hides_its_keys_from_other_processes_of_its_user() -> None:
    dumpable = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"  # PR_GET_DUMPABLE
    serving = (
        "import streamlit as st\n"
        "from dashboard import serve, warm\n"
        "class App:\n"
        "    def __init__(self, *_, **__): pass\n"
        f"    def run(self, config): {dumpable}\n"
        "st.App, warm.warm_up = App, lambda: None\n"
        "serve.serve('127.0.0.1', 8501)\n"
    )
    for code, expected in ((serving, "0"), (dumpable, "1")):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout.strip() == expected


def test_the_feed_starts_with_the_server_and_sessions_get_that_one() -> None:
    serving = (
        "import threading\n"
        "import streamlit as st\n"
        "from streamlit.testing.v1 import AppTest\n"
        "from dashboard import serve, warm\n"
        "def feeds(): return [one for one in threading.enumerate() if one.name == 'dashboard-feed']\n"
        "class App:\n"
        "    def __init__(self, *_, **__): pass\n"
        "    def run(self, config):\n"
        "        before = feeds()\n"
        "        page = 'from dashboard import shared; shared.feed().ward.snapshot()'\n"
        "        assert not AppTest.from_string(page, default_timeout=30).run().exception\n"
        "        print(len(before), feeds() == before)\n"
        "st.App, warm.warm_up = App, lambda: None\n"
        "serve.serve('127.0.0.1', 8501)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", serving],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={**os.environ, "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9"},
    )
    assert done.stdout.strip() == "1 True"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, UsersFile, Child]]:
    """A real dashboard with two users; it needs no broker to ask who is there."""
    folder = tmp_path_factory.mktemp("served")
    users = UsersFile(folder / "users.json", CHEAP)
    for name, role in (("anna", Role.ADMIN), ("bert", Role.CLINICIAN)):
        users.add(name, role, PASSWORD)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    child = Child(
        "dashboard",
        ["dashboard", "--port", str(port)],
        {
            "WARDWAVE_DASHBOARD__USERS": str(users.path),
            "WARDWAVE_DASHBOARD__ACCESS_LOG": str(folder / "access.jsonl"),
            "WARDWAVE_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9",
        },
        folder,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    wait_for(answers, 60)
    yield url, users, child
    child.stop(10)


def wait_for(condition: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not in time"
        time.sleep(0.05)


LONGEST_MS = 30_000
"""For what comes at once, but for a busy machine."""


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not there: apt-get install chromium")
@pytest.mark.slow
def test_in_a_browser_one_signs_in_stays_over_a_reload_and_is_put_out_when_removed(
    served: tuple[str, UsersFile, Child],
) -> None:
    from playwright.sync_api import expect, sync_playwright

    url, users, child = served
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1366, "height": 768})
        page.goto(f"{url}/bed?bed=bed-03")
        page.get_by_label("Name").fill("bert")
        page.get_by_label("Password").fill("wrong password")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("do not match", timeout=LONGEST_MS)
        page.get_by_label("Name").fill("bert")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("bert · clinician")).to_be_visible(timeout=LONGEST_MS)
        assert page.url == f"{url}/bed?bed=bed-03"
        page.reload()
        expect(page.get_by_text("bert · clinician")).to_be_visible(timeout=LONGEST_MS)
        users.remove("bert")
        page.wait_for_url("**/sign-in?why=ended**", timeout=LONGEST_MS)
        expect(page.get_by_role("alert")).to_contain_text("session has ended", timeout=LONGEST_MS)
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        sign_out = page.get_by_role("button", name="Sign out")
        page.route("**/sign-out", lambda route: route.fulfill(status=502, body="<html>proxy</html>"))
        sign_out.click(timeout=LONGEST_MS)
        expect(page.get_by_text("Not signed out: the server answered 502. Try again.")).to_be_visible(
            timeout=LONGEST_MS
        )
        page.unroute("**/sign-out")
        page.route("**/sign-out", lambda route: route.abort())
        sign_out.click()
        expect(page.get_by_text("Not signed out: the server cannot be reached. Try again.")).to_be_visible(
            timeout=LONGEST_MS
        )
        page.unroute("**/sign-out")
        sign_out.click()
        expect(page.get_by_text("You have signed out.")).to_be_visible(timeout=LONGEST_MS)
        page.goto(url)
        expect(page.get_by_label("Password")).to_be_visible(timeout=LONGEST_MS)
        browser.close()
    assert "Traceback" not in child.log_path.read_text()
