"""Errors of the ingest side.

::

    IngestError
    ├── BadChunk            what a device sent cannot be used: dead-lettered, nothing else is lost
    ├── BadRecording        a file cannot be replayed: names the file, the field and the way out
    ├── BrokerError         the embedded broker cannot start or has died
    ├── PublishError        a chunk could not be delivered (retriable)
    └── SettingsError       a setting is wrong: names the setting, the value and the way out

``retriable`` says on the class whether the same call may succeed later.
"""

from __future__ import annotations

MAX_DETAIL = 400


class IngestError(Exception):
    """Root of all errors of :mod:`ingest`."""

    retriable = False


class BadChunk(IngestError):
    """A chunk that cannot be used.

    Parameters
    ----------
    reason : str
        One of :data:`ingest.types.DEAD_LETTER_REASONS`.
    detail : str
        Names the field, the value and the way out.
    """

    def __init__(self, reason: str, detail: str) -> None:
        # Names and values come from the wire: no control characters for logs, no page-long fields.
        detail = "".join(char if char.isprintable() else "?" for char in detail[:MAX_DETAIL])
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def plain(message: str) -> str:
    """What pydantic says of a field, without its own "Value error, " before words that are ours."""
    return message.removeprefix("Value error, ")


class BadRecording(IngestError):
    """A recording that cannot be read or replayed."""


class BrokerError(IngestError):
    """The embedded broker cannot start or has died."""


class PublishError(IngestError):
    """A chunk could not be delivered in time."""

    retriable = True


class SettingsError(IngestError):
    """A setting is wrong."""
