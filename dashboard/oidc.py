"""Who a provider says has signed in: Streamlit's own OIDC flow (``[auth]`` of secrets.toml), our roles.

Streamlit's routes do the flow (state, nonce, token exchange, checks of the identity token) and leave the
claims in a signed cookie. It is taken once, while it is fresh, and turned into a session of ours, so that
time-out, sign-out and barring are the same for all users.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from streamlit import auth_util, user_info
from streamlit.errors import StreamlitAuthError
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

from dashboard.errors import DashboardError
from dashboard.settings import DashboardSettings
from dashboard.users import Role, User
from inference.commands import MOST_LABEL

COOKIE: Final = "_streamlit_user"
START: Final = "/auth/login"
END: Final = "/auth/logout"
CALLBACK: Final = "/oauth2callback"
FRESH_S: Final = 60.0
"""An older cookie opens no session: who was timed out must go by the provider again."""
PROVIDER: Final = "default"
_GRAVEST: Final = (Role.ADMIN, Role.CLINICIAN, Role.VIEWER)


def check_configured(settings: DashboardSettings) -> None:
    """Refuse to start half configured.

    Raises
    ------
    DashboardError
        Names what is missing.
    """
    try:
        auth_util.validate_auth_credentials(PROVIDER)
    except StreamlitAuthError as error:
        words = " ".join(str(error).split())
        raise DashboardError(f"WARDWAVE_DASHBOARD__OIDC: {words} (docs/dashboard-access.md)") from error
    if not settings.oidc_roles:
        raise DashboardError(
            "WARDWAVE_DASHBOARD__OIDC_ROLES is not set, so nobody could sign in: give a role to a value of "
            f'the claim {settings.oidc_role_claim!r}, as \'{{"icu-nurses": "clinician"}}\''
        )


def login_url() -> str:
    """Return where the flow begins, as ``st.login`` does; it holds for two minutes."""
    return user_info.generate_login_redirect_url(PROVIDER)


def fresh_claims(cookies: Mapping[str, str]) -> dict[str, object] | None:
    """Return the claims of who has come from the provider a moment ago."""
    secret = get_cookie_secret()

    def one(name: str) -> bytes | None:
        return decode_signed_value(secret, name, cookies.get(name, ""), max_age_days=FRESH_S / 86_400)

    if not secret or (content := auth_util.get_cookie_with_chunks(one, COOKIE)) is None:
        return None
    try:
        claims = json.loads(content)
    except ValueError:
        return None
    return claims if isinstance(claims, dict) and claims.get("is_logged_in") is True else None


def user_of(claims: Mapping[str, object], settings: DashboardSettings) -> User | None:
    """Return the user with the gravest role that the claims give, or ``None`` for no name or no role."""
    claimed = claims.get(settings.oidc_name_claim)
    if not isinstance(claimed, str):
        return None
    # One spelling, so that who is barred is barred in all.
    name = claimed.strip().casefold()
    if not 0 < len(name) <= MOST_LABEL or not name.isprintable():
        return None
    # An address that nobody has confirmed may be anybody's.
    if settings.oidc_name_claim == "email" and claims.get("email_verified") is False:
        return None
    held = claims.get(settings.oidc_role_claim)
    values = [held] if isinstance(held, str) else held if isinstance(held, list) else []
    roles = {settings.oidc_roles.get(value) for value in values if isinstance(value, str)}
    role = next((one for one in _GRAVEST if one in roles), None)
    return None if role is None else User(name, role, "oidc")
