"""Local users: a private JSON file of names, roles and argon2id hashes."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import secrets
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

import argon2
import msgspec
from argon2.exceptions import InvalidHashError, VerificationError

from dashboard.errors import UsersError

log = logging.getLogger(__name__)

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
PASSWORD_LENGTH: Final = (10, 128)


class Role(StrEnum):
    """Viewers look; clinicians acknowledge, pause, admit and set limits; admins also see who did what."""

    VIEWER = "viewer"
    CLINICIAN = "clinician"
    ADMIN = "admin"


Via = Literal["none", "local", "oidc"]


@dataclass(frozen=True, slots=True)
class User:
    """One person; ``name`` is what commands and labels are signed with."""

    name: str
    role: Role
    via: Via

    @property
    def may_command(self) -> bool:
        """Whether they may change what alarms do."""
        return self.role in (Role.CLINICIAN, Role.ADMIN)

    @property
    def is_admin(self) -> bool:
        """Whether they may see who did what."""
        return self.role is Role.ADMIN


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One user in the file.

    Parameters
    ----------
    hash
        argon2id with its parameters; empty for a name that is only barred from signing in by OIDC.
    stamp
        Changes with the password: sessions that carry another one have ended.
    """

    name: str
    role: Role
    hash: str
    stamp: str
    disabled: bool = False


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    key: str
    """Signs the cookies of sessions, so that they outlive a restart of the server."""
    users: tuple[Record, ...] = ()


class UsersFile:
    """The users, as they stand in the file now.

    Parameters
    ----------
    path
        Made on the first change, mode 0600.
    hasher
        argon2id; by default the second recommendation of RFC 9106 (64 MiB, three passes).
    """

    def __init__(self, path: Path, hasher: argon2.PasswordHasher | None = None) -> None:
        self.path = path
        self._hasher = hasher or argon2.PasswordHasher()
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._content = _Content(1, "")
        self._nobody: str | None = None

    @property
    def key(self) -> str:
        """What cookies are signed with."""
        return self._read().key

    def users(self) -> tuple[Record, ...]:
        """Return all users by name.

        Raises
        ------
        UsersError
            The file cannot be read, or others may read it.
        """
        return self._read().users

    def find(self, name: str) -> Record | None:
        """Return the user of that name."""
        return next((record for record in self._read().users if record.name == name), None)

    def check(self, name: str, password: str) -> Record | None:
        """Return the user whose password it is; unknown and disabled ones take as long as others."""
        nobody = self._hash_of_nobody()
        record = self.find(name)
        usable = record is not None and not record.disabled
        expected = record.hash if record is not None and usable else nobody
        try:
            self._hasher.verify(expected, _normal(password))
        except (VerificationError, InvalidHashError):
            return None
        if record is None or not usable:
            return None
        if self._hasher.check_needs_rehash(record.hash):
            self._rehash(record, password)
        return record

    def add(self, name: str, role: Role, password: str) -> None:
        """Add a user.

        Raises
        ------
        UsersError
            The name is taken or has other characters, or the password is too short.
        """
        if not NAME.fullmatch(name):
            raise UsersError(
                f"user {name[:80]!r}: 1 to 32 of a-z, 0-9, '.', '_', '-', beginning with a-z or 0-9"
            )
        _check_password(name, password)
        record = Record(name, role, self._hasher.hash(_normal(password)), secrets.token_hex(8))

        def change(users: dict[str, Record]) -> None:
            if name in users:
                raise UsersError(f"user {name}: is there already (wardwave users password {name})")
            users[name] = record

        self._change(change)

    def bar(self, name: str) -> None:
        """Shut out somebody who signs in by OIDC, at once.

        Raises
        ------
        UsersError
            A local user has that name.
        """
        name = name.strip().casefold()

        def change(users: dict[str, Record]) -> None:
            if name in users:
                raise UsersError(f"user {name}: is in the file; OIDC cannot sign that name in anyway")
            users[name] = Record(name, Role.VIEWER, "", secrets.token_hex(8), disabled=True)

        self._change(change)

    def remove(self, name: str) -> None:
        """Remove a user; their sessions end at once."""

        def change(users: dict[str, Record]) -> None:
            del users[_known(users, name).name]

        self._change(change)

    def set_password(self, name: str, password: str) -> None:
        """Set another password; sessions of the old one end at once."""
        _check_password(name, password)
        hashed = self._hasher.hash(_normal(password))
        self._set(name, lambda old: msgspec.structs.replace(old, hash=hashed, stamp=secrets.token_hex(8)))

    def set_role(self, name: str, role: Role) -> None:
        """Set another role, at once for all sessions."""
        self._set(name, lambda old: msgspec.structs.replace(old, role=role))

    def set_disabled(self, name: str, disabled: bool) -> None:
        """Disable a user, whose sessions end at once, or enable one again."""
        self._set(name, lambda old: msgspec.structs.replace(old, disabled=disabled))

    def end_sessions(self) -> None:
        """Put everybody out: cookies are signed with another key from now on."""
        self._change(lambda users: None, key=secrets.token_hex(32))

    def _set(self, name: str, change_one: Callable[[Record], Record]) -> None:
        def change(users: dict[str, Record]) -> None:
            users[name] = change_one(_known(users, name))

        self._change(change)

    def _rehash(self, record: Record, password: str) -> None:
        hashed = self._hasher.hash(_normal(password))

        def change(users: dict[str, Record]) -> None:
            # Only if nobody has set another password meanwhile.
            if users.get(record.name) == record:
                users[record.name] = msgspec.structs.replace(record, hash=hashed)

        try:
            self._change(change)
        except OSError as error:
            log.warning("the password of %s keeps its old parameters: %s", record.name, error)

    def _hash_of_nobody(self) -> str:
        with self._lock:
            if self._nobody is None:
                self._nobody = self._hasher.hash(secrets.token_hex(16))
            return self._nobody

    def _read(self) -> _Content:
        with self._lock:
            try:
                now = self.path.stat()
            except FileNotFoundError:
                self._seen, self._content = None, _Content(1, "")
                return self._content
            seen = (now.st_ino, now.st_mtime_ns, now.st_ctime_ns)
            if seen != self._seen:
                if now.st_mode & 0o077:
                    raise UsersError(f"{self.path}: others may read it; chmod 600 {self.path}")
                try:
                    self._content = msgspec.json.decode(self.path.read_bytes(), type=_Content)
                except (OSError, msgspec.DecodeError) as error:
                    raise UsersError(
                        f"{self.path}: no users file ({error}); restore it or begin anew"
                    ) from error
                self._seen = seen
            return self._content

    def _change(self, change: Callable[[dict[str, Record]], None], key: str = "") -> None:
        """Read, change and write as one step, also beside another process."""
        with _only_one(self.path):
            content = self._read()
            users = {record.name: record for record in content.users}
            change(users)
            written = _Content(
                1, key or content.key or secrets.token_hex(32), tuple(users[name] for name in sorted(users))
            )
            write_whole(self.path, msgspec.json.format(msgspec.json.encode(written), indent=2))


def _known(users: dict[str, Record], name: str) -> Record:
    if name not in users:
        raise UsersError(f"user {name[:80]!r}: is not there (wardwave users list)")
    return users[name]


def _check_password(name: str, password: str) -> None:
    shortest, longest = PASSWORD_LENGTH
    if not shortest <= len(password) <= longest:
        raise UsersError(f"password: has {len(password)} characters; {shortest} to {longest} are needed")
    if name in password.casefold():
        raise UsersError("password: holds the user's name; choose another")


def _normal(password: str) -> str:
    """Return the same for keyboards that compose characters differently."""
    return unicodedata.normalize("NFKC", password)


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError as error:
        raise UsersError(f"{path}: its folder is not there; make {path.parent}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a private file in one step: a reader sees the old or the new one, also after a crash."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content + b"\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
