"""Who sits before the screen and what they may do."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard import access_log
from dashboard.sessions import COOKIE, Standing, sessions
from dashboard.users import Role, User

__all__ = ["Role", "User", "current_user", "enter", "guard", "user_line"]

_FOLDER: Final = Path(__file__).parent / "component"
_session = st.components.v2.component(
    "wardwave_session",
    html=(_FOLDER / "session.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "session.css").read_text(encoding="utf-8"),
    js=(_FOLDER / "session.js").read_text(encoding="utf-8"),
)


def current_user() -> User:
    """Who has signed in to this session; whoever uses this machine where no sign-in is configured.

    Looked up anew at each call: whose session has ended, whose role was changed or who was disabled has
    other rights from now on. Nobody (a viewer without a name) where the session has ended.
    """
    if sessions() is None:
        return User(getpass.getuser(), Role.ADMIN, "none")
    standing = _standing()
    return User("", Role.VIEWER, "none") if standing is None else standing.user


def guard() -> User:
    """Let only those in who have signed in; to be called before anything else is shown."""
    if sessions() is not None and _standing() is None:
        _session(key="wardwave-session", data={"ended": True, "visible": False, "signedIn": False})
        st.error("Your session has ended.")
        st.html('<a href="/sign-in" target="_self">Sign in</a>')
        st.stop()
    return current_user()


def enter(page: str) -> None:
    """Note which page a user opens."""
    if st.session_state.get("access-page") != page:
        st.session_state["access-page"] = page
        access_log.note("page", current_user().name, page=page)


def user_line(*, visible: bool = True) -> None:
    """Show who has signed in, with a button to sign out, at the right of the bar with the pages' names.

    To be called once in every page, also where it is not to be seen (wall mode): the browser tells through
    it of touches, and leaves the page when the session has ended.
    """
    user = current_user()
    _session(
        key="wardwave-session",
        data={"name": user.name, "role": str(user.role), "signedIn": user.via != "none", "visible": visible},
    )


def _standing() -> Standing | None:
    found = sessions()
    cookie = st.context.cookies.get(COOKIE, "")
    return found.look_up(cookie) if found is not None and cookie else None
