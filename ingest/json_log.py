"""Log lines as JSON, one object a line, for what gathers logs (``WARDWAVE_LOG_FORMAT=json``)."""

from __future__ import annotations

import base64
import json
import logging
from datetime import UTC, datetime
from typing import Final

FIELDS: Final = ("bed", "topic", "partition", "offset")
"""What a line says beside its words, where it is about a record or a bed."""

MOST_OF_BED: Final = 64
"""Characters of the bed that a refused record claims to be of."""


def of_record(topic: str, partition: int, offset: int, key_base64: str | None) -> dict[str, str | int]:
    """:data:`FIELDS` of a refused record, for ``extra``: its bed as far as its key can be read."""
    at: dict[str, str | int] = {"topic": topic, "partition": partition, "offset": offset}
    if key_base64:
        at["bed"] = base64.b64decode(key_base64).decode(errors="replace")[:MOST_OF_BED]
    return at


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, :data:`FIELDS`, error."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; whatever came over the wire cannot break out of it."""
        line: dict[str, str | int] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if isinstance(value, str | int):
                line[name] = value
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True)
