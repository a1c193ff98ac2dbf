"""Sessions of those who have signed in: a signed cookie, and what the server remembers of it."""

from __future__ import annotations

import functools
import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from dashboard import access_log
from dashboard.ended import LIFE_S, EndedSessions, Why
from dashboard.errors import UsersError
from dashboard.settings import DashboardSettings, load_dashboard_settings
from dashboard.users import Role, User, UsersFile, Via

log = logging.getLogger(__name__)

COOKIE: Final = "wardwave_session"
RENEWED_S: Final = 86_400.0
"""A browser that asks gets a new cookie this long after its last one."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """When a screen was touched, and when its newest cookie was issued."""

    touched_s: float
    issued_s: float


class _Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What the cookie holds; the role of a local user stands in the users file alone.

    The times are those of the cookie's issue: what the server knows of the session may be newer, until a
    restart forgets it.
    """

    id: str
    name: str
    via: Via
    stamp: str
    role: Role | None
    began_s: float
    touched_s: float
    issued_s: float


@dataclass(frozen=True, slots=True)
class Standing:
    """A session that holds.

    Parameters
    ----------
    left_s
        Seconds until it is timed out if nobody touches the screen; ``None``: never.
    """

    user: User
    left_s: float | None


class Sessions:
    """All sessions of this server.

    Parameters
    ----------
    settings
        Time-outs.
    users
        Local users, and names barred from OIDC.
    oidc_key
        Signs cookies where there is no users file.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        settings: DashboardSettings,
        users: UsersFile | None,
        oidc_key: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.users = users
        self._oidc_key = oidc_key
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        beside = users.path.with_name(users.path.name + ".ended") if users is not None else None
        self._ended = EndedSessions(beside, clock)

    def start(self, user: User) -> str:
        """Begin a session and return what the cookie holds.

        Raises
        ------
        UsersError
            The user may not sign in (any more).
        """
        now = self._clock()
        ticket = _Ticket(
            secrets.token_hex(16),
            user.name,
            user.via,
            self._stamp(user.name) if user.via == "local" else "",
            user.role if user.via == "oidc" else None,
            now,
            now,
            now,
        )
        if self._user(ticket) is None:
            raise UsersError(f"user {user.name!r}: may not sign in")
        with self._lock:
            # No setting lets a session go on without a touch, or a new cookie, for that long.
            self._seen = {one: seen for one, seen in self._seen.items() if now - seen.issued_s < LIFE_S}
            self._seen[ticket.id] = _Seen(now, now)
        return self._cookie(ticket)

    def look_up(self, cookie: str) -> Standing | None:
        """Return the session as it stands now, or ``None``: ended, timed out, user removed or disabled."""
        ticket = self._ticket(cookie)
        if ticket is None:
            return None
        try:
            user = self._user(ticket)
        except UsersError:
            # Who cannot be checked has no rights.
            log.exception("nobody can be checked")
            return None
        if user is None:
            self._ended.add(ticket.id, "ended")
            return None
        left = self._left_s(ticket, user)
        if left is not None and left <= 0:
            if self._ended.add(ticket.id, "timed-out"):
                access_log.note("timed_out", user.name)
            return None
        return Standing(user, left)

    def touch(self, cookie: str) -> Standing | None:
        """Note that somebody has touched the screen, and return the session as it stands then."""
        if (standing := self.look_up(cookie)) is None or (ticket := self._ticket(cookie)) is None:
            return None
        now = self._clock()
        with self._lock:
            self._seen[ticket.id] = _Seen(now, self._known(ticket).issued_s)
        return Standing(standing.user, self._left_s(ticket, standing.user))

    def renewed(self, cookie: str) -> str | None:
        """Return a new cookie for a session that holds, or ``None`` where the browser's still does.

        It carries the last touch, so that time goes on where the server is started anew.
        """
        if self.look_up(cookie) is None or (ticket := self._ticket(cookie)) is None:
            return None
        now = self._clock()
        with self._lock:
            touched_s = self._known(ticket).touched_s
            if touched_s <= ticket.touched_s and now - ticket.issued_s < RENEWED_S:
                return None
            self._seen[ticket.id] = _Seen(touched_s, now)
        return self._cookie(msgspec.structs.replace(ticket, touched_s=touched_s, issued_s=now))

    def end(self, cookie: str) -> User | None:
        """End a session for good; return whose it was."""
        standing, ticket = self.look_up(cookie), self._ticket(cookie)
        if standing is None or ticket is None:
            return None
        self._ended.add(ticket.id, "ended")
        return standing.user

    def why_ended(self, cookie: str) -> Why:
        """Return why a session does not hold."""
        ticket = self._read(cookie)
        return self._ended.why(ticket.id) if ticket is not None else "ended"

    def _cookie(self, ticket: _Ticket) -> str:
        return self._signer().dumps(msgspec.json.encode(ticket).decode())

    def _known(self, ticket: _Ticket) -> _Seen:
        """Return what is newest of a session; to be called under the lock."""
        seen = self._seen.get(ticket.id, _Seen(0.0, 0.0))
        return _Seen(max(seen.touched_s, ticket.touched_s), max(seen.issued_s, ticket.issued_s))

    def _read(self, cookie: str) -> _Ticket | None:
        try:
            return msgspec.json.decode(self._signer().loads(cookie), type=_Ticket)
        except (BadData, msgspec.DecodeError, TypeError, UsersError):
            return None

    def _ticket(self, cookie: str) -> _Ticket | None:
        ticket = self._read(cookie)
        if ticket is None or ticket.id in self._ended or ticket.began_s < self._ended.not_before_s:
            return None
        return ticket

    def _user(self, ticket: _Ticket) -> User | None:
        """Return the user with the role of this moment."""
        record = self.users.find(ticket.name) if self.users is not None else None
        if ticket.via == "oidc":
            # A name in the file is a local user's, or barred.
            known = record is None and self.settings.oidc and ticket.role is not None
            return User(ticket.name, ticket.role, "oidc") if known and ticket.role is not None else None
        if record is None or record.disabled or not hmac.compare_digest(record.stamp, ticket.stamp):
            return None
        return User(record.name, record.role, "local")

    def _left_s(self, ticket: _Ticket, user: User) -> float | None:
        now = self._clock()
        with self._lock:
            seen = self._known(ticket)
        minutes = self.settings.idle_minutes if user.may_command else self.settings.viewer_idle_minutes
        ends = [seen.touched_s + minutes * 60] if minutes else []
        # A provider is asked at sign-in only, so its viewers too must come back to it.
        if user.may_command or user.via == "oidc":
            ends.append(ticket.began_s + self.settings.session_hours * 3600)
        if ends:
            return min(ends) - now
        return None if now - seen.issued_s < LIFE_S else 0.0

    def _stamp(self, name: str) -> str:
        record = self.users.find(name) if self.users is not None else None
        return record.stamp if record is not None else ""

    def _signer(self) -> URLSafeSerializer:
        key = (self.users.key if self.users is not None else "") or self._oidc_key
        if not key:
            raise UsersError("no key to sign sessions with: add a user first (wardwave users add)")
        return URLSafeSerializer(
            key,
            salt="wardwave-session",
            signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
        )


@functools.cache
def sessions() -> Sessions | None:
    """Return the sessions of this server process; ``None`` where no sign-in is configured."""
    settings = load_dashboard_settings()
    if settings.users is None and not settings.oidc:
        return None
    key = ""
    if settings.oidc:
        from streamlit.web.server.server_util import get_cookie_secret

        key = get_cookie_secret()
    return Sessions(settings, UsersFile(settings.users) if settings.users is not None else None, key)
