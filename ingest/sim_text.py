"""Times in scripts of faults and events: ``30s``, ``500ms``, ``2m``, ``1.5``."""

from __future__ import annotations

import math
import re
from typing import Final

from ingest.errors import SettingsError

_UNITS: Final = {"": 1.0, "s": 1.0, "ms": 1e-3, "m": 60.0, "min": 60.0, "h": 3600.0}
_TIME = re.compile(r"([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)\s*(ms|s|min|m|h|)")


def parse_seconds(text: str, what: str, whole: str, *, signed: bool = False) -> float:
    """Read a time in seconds.

    Parameters
    ----------
    text : str
        ``30``, ``30s``, ``500ms``, ``2m`` or ``1h``.
    what, whole : str
        Name of the field and the script it stands in, for the error.
    signed : bool
        Whether a negative time has a meaning.

    Raises
    ------
    SettingsError
        Not a time.
    """
    match = _TIME.fullmatch(text.strip().lower())
    if match is None or (match[1].startswith("-") and not signed):
        raise SettingsError(f"{whole!r}: {what} {text!r} is no time; write 30s, 1.5s, 500ms or 2m")
    return float(match[1]) * _UNITS[match[2]]


def parse_number(text: str, what: str, whole: str, unit: str) -> float:
    """Read a finite number that may end in its unit.

    Raises
    ------
    SettingsError
        Not a finite number.
    """
    bare = text.strip()
    bare = bare[: -len(unit)].strip() if bare.lower().endswith(unit.lower()) else bare
    try:
        value = float(bare)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SettingsError(f"{whole!r}: {what} {text!r} is no number of {unit}")
    return value
