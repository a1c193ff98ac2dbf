"""Who sits before the screen and what they may do."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Role(StrEnum):
    """Viewers look; clinicians acknowledge, pause, admit and set limits; admins also see who did what."""

    VIEWER = "viewer"
    CLINICIAN = "clinician"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class User:
    """One person; ``name`` is what commands and labels are signed with."""

    name: str
    role: Role
    via: Literal["none", "local", "oidc"]

    @property
    def may_command(self) -> bool:
        """Whether they may change what alarms do."""
        return self.role in (Role.CLINICIAN, Role.ADMIN)


def current_user() -> User:
    """Who has signed in to this session; whoever uses this machine where no sign-in is configured."""
    return User(getpass.getuser(), Role.ADMIN, "none")
