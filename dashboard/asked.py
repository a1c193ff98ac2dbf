"""What a component's browser side asks of the server."""

from __future__ import annotations

from typing import TypeVar

import msgspec

_Ask = TypeVar("_Ask", bound=msgspec.Struct)


def read_ask(result: object, kind: type[_Ask]) -> _Ask | None:
    """What the browser asked for; what it cannot have meant is not answered."""
    value = getattr(result, "ask", None)
    if value is None:
        return None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def nothing() -> None:
    """Streamlit makes a value readable only where it has a callback."""
