"""The page that asks who you are: plain HTML without scripts, before Streamlit; and the list of users."""

from __future__ import annotations

import html
from typing import Final
from urllib.parse import quote

import streamlit as st

from dashboard.errors import UsersError
from dashboard.sessions import sessions
from dashboard.words import NOTICE

WHY: Final = {
    "timed-out": "You were signed out because nobody touched the screen for a while.",
    "signed-out": "You have signed out.",
    "ended": "Your session has ended. Sign in again; if that fails, ask who manages the accounts.",
}
"""Only these words are shown: a link from outside cannot put text on the page."""
WRONG: Final = "Name and password do not match, or the account is disabled."
NO_ROLE: Final = "Your account has no role here. Ask who manages the accounts."

_STYLE: Final = """
:root { color-scheme: dark light; --back: #05080b; --box: #101a21; --text: #dfe7ee; --soft: #a9b8c4;
  --line: #6d8595; --main: #35d6ff; --on-main: #00141b; --bad: #ffb3b3; }
@media (prefers-color-scheme: light) { :root { --back: #f3f6f8; --box: #fff; --text: #10181e; --soft: #46555f;
  --line: #7d8e99; --main: #006580; --on-main: #fff; --bad: #a40000; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px;
  background: var(--back); color: var(--text);
  font: 18px/1.5 "Source Sans", "Segoe UI", Roboto, Arial, sans-serif; }
main { width: 100%; max-width: 430px; padding: 34px 38px; border: 1px solid var(--line); border-radius: 12px;
  background: var(--box); }
h1 { margin: 0 0 4px; font-size: 32px; line-height: 1.2; }
p { margin: 0 0 20px; color: var(--soft); }
.message { padding: 10px 14px; border: 1px solid currentColor; border-radius: 8px; color: var(--text); }
.message.bad { color: var(--bad); font-weight: 600; }
label { display: block; margin-bottom: 16px; font-weight: 600; }
input { display: block; width: 100%; margin-top: 4px; padding: 11px 12px; border: 1px solid var(--line);
  border-radius: 8px; background: var(--back); color: var(--text); font: inherit; }
button, .provider { display: block; width: 100%; padding: 12px; border: 1px solid var(--main);
  border-radius: 8px; background: var(--main); color: var(--on-main); font: inherit; font-weight: 700;
  text-align: center; text-decoration: none; cursor: pointer; }
form + .provider { margin-top: 14px; background: none; color: var(--main); }
input:focus-visible, button:focus-visible, .provider:focus-visible { outline: 3px solid var(--main);
  outline-offset: 2px; }
footer { margin-top: 24px; font-size: 15px; color: var(--soft); }
"""

_FORM: Final = """<form method="post" action="/sign-in">
<input type="hidden" name="next" value="{next}">
<label>Name <input name="name" autocomplete="username" autocapitalize="none" spellcheck="false"
 maxlength="64" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" maxlength="128"
 required></label>
<button type="submit">Sign in</button>
</form>"""


def page(*, local: bool, provider: bool, after: str, message: str = "", bad: bool = False) -> str:
    """Return the page.

    Parameters
    ----------
    local, provider
        Which ways in there are: name and password, OIDC.
    after
        Path to go to then.
    message
        Why somebody is asked, or what was wrong (``bad``).
    """
    escaped = html.escape(after, quote=True)
    said = (
        f'<p class="message{" bad" if bad else ""}" role="alert">{html.escape(message)}</p>'
        if message
        else ""
    )
    form = _FORM.format(next=escaped) if local else ""
    link = (
        f'<a class="provider" href="/sign-in/provider?next={html.escape(quote(after, safe=""), quote=True)}">'
        "Sign in with your work account</a>"
        if provider
        else ""
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Sign in · Wardwave</title><style>{_STYLE}</style></head>
<body><main><h1>Wardwave</h1><p>Sign in to see the ward.</p>{said}{form}{link}
<footer>{html.escape(NOTICE)}</footer></main></body></html>"""


def show_users() -> None:
    """Show the local users, for admins (System page)."""
    found = sessions()
    if found is None or found.users is None:
        st.caption("No local users; docs/dashboard-access.md says how people sign in.")
        return
    try:
        records = found.users.users()
    except UsersError as error:
        st.error(str(error))
        return
    rows = [
        {
            "Name": record.name,
            "Role": str(record.role) if record.hash else "barred from OIDC",
            "State": "disabled" if record.disabled else "active",
        }
        for record in records
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
    st.markdown(f"{found.users.path}: changed with `wardwave users`, at once for all sessions.")
