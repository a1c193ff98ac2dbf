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
from typing import Final, Literal

import msgspec
from itsdangerous import BadData, URLSafeSerializer

from dashboard import access_log
from dashboard.errors import UsersError
from dashboard.settings import DashboardSettings, load_dashboard_settings
from dashboard.users import Role, User, UsersFile, Via

log = logging.getLogger(__name__)

COOKIE: Final = "wardwave_session"
Why = Literal["timed-out", "ended"]
MOST_ENDED: Final = 10_000
"""Ended sessions remembered, so that a copy of their cookie opens nothing."""


class _Ticket(msgspec.Struct, frozen=True, array_like=True):
    """What the cookie holds; the role of a local user stands in the users file alone."""

    id: str
    name: str
    via: Via
    stamp: str
    role: Role | None
    began_s: float


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
        self._touched: dict[str, float] = {}
        self._ended: dict[str, Why] = {}

    def start(self, user: User) -> str:
        """Begin a session and return what the cookie holds.

        Raises
        ------
        UsersError
            The user may not sign in (any more).
        """
        ticket = _Ticket(
            secrets.token_hex(16),
            user.name,
            user.via,
            self._stamp(user.name) if user.via == "local" else "",
            user.role if user.via == "oidc" else None,
            self._clock(),
        )
        if self._user(ticket) is None:
            raise UsersError(f"user {user.name!r}: may not sign in")
        with self._lock:
            self._touched[ticket.id] = ticket.began_s
            oldest = ticket.began_s - self.settings.session_hours * 3600
            self._touched = {one: at for one, at in self._touched.items() if at >= oldest}
        return self._signer().dumps(msgspec.json.encode(ticket).decode())

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
            self._end(ticket, "ended")
            return None
        left = self._left_s(ticket, user)
        if left is not None and left <= 0:
            if self._end(ticket, "timed-out"):
                access_log.note("timed_out", user.name)
            return None
        return Standing(user, left)

    def touch(self, cookie: str) -> Standing | None:
        """Note that somebody has touched the screen, and return the session as it stands then."""
        if (standing := self.look_up(cookie)) is None or (ticket := self._ticket(cookie)) is None:
            return None
        with self._lock:
            self._touched[ticket.id] = self._clock()
        return Standing(standing.user, self._left_s(ticket, standing.user))

    def end(self, cookie: str) -> User | None:
        """End a session for good; return whose it was."""
        standing, ticket = self.look_up(cookie), self._ticket(cookie)
        if standing is None or ticket is None:
            return None
        self._end(ticket, "ended")
        return standing.user

    def why_ended(self, cookie: str) -> Why:
        """Return why a session does not hold."""
        ticket = self._read(cookie)
        with self._lock:
            return self._ended.get(ticket.id, "ended") if ticket is not None else "ended"

    def _end(self, ticket: _Ticket, why: Why) -> bool:
        with self._lock:
            new = ticket.id not in self._ended
            self._ended.setdefault(ticket.id, why)
            self._touched.pop(ticket.id, None)
            while len(self._ended) > MOST_ENDED:
                del self._ended[next(iter(self._ended))]
            return new

    def _read(self, cookie: str) -> _Ticket | None:
        try:
            return msgspec.json.decode(self._signer().loads(cookie), type=_Ticket)
        except (BadData, msgspec.DecodeError, TypeError, UsersError):
            return None

    def _ticket(self, cookie: str) -> _Ticket | None:
        ticket = self._read(cookie)
        with self._lock:
            return None if ticket is None or ticket.id in self._ended else ticket

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
            # After a restart of the server, time runs from its first question on.
            touched = self._touched.setdefault(ticket.id, now)
        minutes = self.settings.idle_minutes if user.may_command else self.settings.viewer_idle_minutes
        ends = [touched + minutes * 60] if minutes else []
        # A provider is asked at sign-in only, so its viewers too must come back to it.
        if user.may_command or user.via == "oidc":
            ends.append(ticket.began_s + self.settings.session_hours * 3600)
        return min(ends) - now if ends else None

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
