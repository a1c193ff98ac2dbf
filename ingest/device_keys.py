"""Keys of devices: a TOML file with a line a device, read anew when it changes.

``"monitor-7" = "the key"``, or a list of keys while a new one is brought in: the first signs, all are
believed. Workers have the keys of all devices, a device has a file with its own.
"""

from __future__ import annotations

import hmac
import logging
import re
import threading
import time
import tomllib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from ingest.errors import SettingsError

logger = logging.getLogger(__name__)

MIN_KEY_CHARACTERS: Final = 32
KEY_ID: Final = b"wardwave.key-id"
LOOK_S: Final = 2.0
"""How often it is looked whether the file has changed."""
_LINE: Final = 'a line a device: "monitor-7" = "its key"'

_Keys = Mapping[str, tuple[bytes, ...]]


class DeviceKeys:
    """Keys by device.

    Parameters
    ----------
    path : Path
        The file.
    clock : callable
        Monotonic seconds.

    Raises
    ------
    SettingsError
        The file cannot be used; names it and the device, never a key.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = _seen(path)
        self._keys = _read(path)
        self._look_at_s = clock() + LOOK_S
        self._problem: str | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def of(self, device: str) -> tuple[bytes, ...]:
        """Keys of a device, the newest first; none for one that is not in the file."""
        self._look_if_due()
        return self._keys.get(device, ())

    @property
    def problem(self) -> str | None:
        """Why the file cannot be used as it is now, so that what it said before goes on; else None."""
        self._look_if_due()
        return self._problem

    def _look_if_due(self) -> None:
        now_s = self._clock()
        if now_s >= self._look_at_s:
            with self._lock:
                self._look_at_s = now_s + LOOK_S
                self._look()

    def _look(self) -> None:
        """Read the file anew if it has changed; one that cannot be used changes nothing."""
        problem = None
        try:
            seen = _seen(self._path)
            if seen != self._seen:
                self._keys, self._seen = _read(self._path), seen
                logger.info("keys of %d devices read from %s", len(self._keys), self._path)
        except SettingsError as error:
            problem = str(error)
            if problem != self._problem:
                logger.error("the keys that were read before go on, revoked ones too: %s", error)
        self._problem = problem


def key_id(secret: bytes) -> str:
    """Name of a key by which two files can be compared: 8 hexadecimal digits, of which no key can be told.

    Who guesses at a poor key learns no more from it than from any record that was signed with it.
    """
    return hmac.digest(secret, KEY_ID, "sha256").hex()[:8]


@lru_cache(maxsize=8)
def keys_of(path: Path) -> DeviceKeys:
    """Keys of a file, shared by all who read records in this process.

    Raises
    ------
    SettingsError
        As :class:`DeviceKeys`.
    """
    return DeviceKeys(path)


def _seen(path: Path) -> tuple[int, int, int]:
    try:
        now = path.stat()
    except OSError as error:
        raise SettingsError(f"device keys {path}: {error.strerror}; docs/security.md says how") from error
    if now.st_mode & 0o007:
        raise SettingsError(f"device keys {path}: everybody may read it; chmod 600 {path}")
    return now.st_ino, now.st_mtime_ns, now.st_size


def _read(path: Path) -> _Keys:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"device keys {path}: {error.strerror}") from error
    except ValueError as error:
        # Of TOML or UTF-8. Where it breaks, and not what stands there.
        where = re.search(r"at line \d+, column \d+|at end of document", str(error))
        raise SettingsError(
            f"device keys {path}: no TOML ({where[0] if where else type(error).__name__}); {_LINE}"
        ) from None
    if not found:
        # Also what a replacement leaves for a moment that is not made in one step.
        raise SettingsError(f"device keys {path}: holds no key; {_LINE}, made with: openssl rand -hex 32")
    return {device: _checked(path, device, value) for device, value in found.items()}


def _checked(path: Path, device: str, value: object) -> tuple[bytes, ...]:
    given = value if isinstance(value, list) else [value]
    keys = tuple(key for key in given if isinstance(key, str) and len(key) >= MIN_KEY_CHARACTERS)
    if not keys or len(keys) < len(given):
        raise SettingsError(
            f"device keys {path}: {device[:64]!r}: give a text of {MIN_KEY_CHARACTERS} characters or more, "
            "or a list of such: openssl rand -hex 32"
        )
    return tuple(key.encode() for key in keys)
