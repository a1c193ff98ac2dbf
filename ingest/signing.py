"""Signatures of records: HMAC-SHA-256 by a key that sender and receiver share.

A signature stands in the header ``signature``, in hexadecimal, and is made of a purpose (so that a record of
one topic is none in another), the record's key, a line feed and the record's value. Records of devices name
in the header ``signed-by`` the device whose key it is. They are checked before anything of them is decoded.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Final, Protocol

from ingest.device_keys import key_id, keys_of
from ingest.errors import BadChunk, SettingsError
from ingest.settings import IngestSettings
from ingest.wire_fields import short

SIGNATURE: Final = "signature"
SIGNED_BY: Final = "signed-by"
COMMAND: Final = b"wardwave.command.1\n"
CHUNK: Final = b"wardwave.chunk.1\n"
DEVICE_ALARM: Final = b"wardwave.device_alarm.1\n"
BAD_SIGNATURE: Final = "bad_signature"
_LONGEST: Final = 300

Headers = Iterable[tuple[str, bytes | None]]


class Signed(Protocol):
    """What is used of a Kafka record."""

    @property
    def key(self) -> bytes | None:
        """The bed."""

    @property
    def value(self) -> bytes | None:
        """What was signed."""

    @property
    def headers(self) -> Headers:
        """Signature and signer among them."""


class BrokerRecord(Signed, Protocol):
    """What is used of a Kafka record that the broker stamped."""

    @property
    def timestamp(self) -> int:
        """Broker's time, ms."""


def mac(secret: bytes, purpose: bytes, key: bytes, value: bytes) -> bytes:
    """Signature of a record."""
    return hmac.digest(secret, purpose + key + b"\n" + value, "sha256").hex().encode()


def header(headers: Headers, name: str) -> bytes | None:
    """First header of a name; ``None`` where there is none."""
    return next((value for found, value in headers if found == name), None)


def headers(
    purpose: bytes, device: str, key: bytes, value: bytes, settings: IngestSettings
) -> list[tuple[str, bytes]]:
    """Headers that a device signs a record with; none where no keys are set.

    Raises
    ------
    SettingsError
        The file has no key of this device.
    """
    if settings.device_keys is None:
        return []
    secrets = keys_of(settings.device_keys).of(device)
    if not secrets:
        raise SettingsError(
            f"device={device!r} has no key in WARDWAVE_INGEST__DEVICE_KEYS ({settings.device_keys}); add one"
        )
    return [(SIGNATURE, mac(secrets[0], purpose, key, value)), (SIGNED_BY, device.encode())]


def signer(purpose: bytes, record: Signed, settings: IngestSettings) -> str | None:
    """Device that signed a record; ``None`` where signatures are not asked for.

    Raises
    ------
    BadChunk
        ``bad_signature``: it is missing, or not made with a key of that device.
    """
    if settings.device_keys is None:
        return None
    given, name = header(record.headers, SIGNATURE), header(record.headers, SIGNED_BY)
    if not given or not name or len(name) > _LONGEST:
        raise BadChunk(
            BAD_SIGNATURE,
            f"{_of(record.key, name)}: headers {SIGNATURE} and {SIGNED_BY} are not both there; this ward "
            "takes signed records only: give the device its key (docs/security.md)",
        )
    device = name.decode(errors="replace")
    key, value = record.key or b"", record.value or b""
    secrets = keys_of(settings.device_keys).of(device)
    if not any([hmac.compare_digest(mac(secret, purpose, key, value), given) for secret in secrets]):
        ids = ", ".join(key_id(secret) for secret in secrets)
        why = (
            f"made with another key than those here, key id {ids}" if ids else "no key of that device is here"
        )
        raise BadChunk(
            BAD_SIGNATURE,
            f"{_of(record.key, name)}: {why}; WARDWAVE_INGEST__DEVICE_KEYS of both must have the same",
        )
    return device


def _of(key: bytes | None, name: bytes | None) -> str:
    """The bed and device that an unchecked record claims to be of."""
    claimed = {"bed": key, SIGNED_BY: name}
    return ", ".join(
        f"{what}={short((who or b'').decode(errors='replace'))}" for what, who in claimed.items()
    )


def check_signer(by: str | None, device: str, bed: str) -> None:
    """Refuse a record that one device signed in the name of another.

    Parameters
    ----------
    by : str or None
        As :func:`signer` gave it.
    device, bed : str
        As the record says.

    Raises
    ------
    BadChunk
        ``bad_signature``.
    """
    if by is not None and by != device:
        raise BadChunk(
            BAD_SIGNATURE,
            f"bed={short(bed)}, {SIGNED_BY}={short(by)} but device={short(device)}; sign with its key",
        )
