"""When two outputs say the same."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from inference.types import Alarm, Prediction, Vital

TOLERANCE: Final = 1e-5
"""Of numbers, absolute up to 1 and relative above."""

TIME_NS: Final = 1_000
"""Of device times that networks place between samples."""

PLACES: Final = frozenset({"raw_offset", "revision"})
"""Where an item stands in the raw topic, which holds what was sent twice twice."""

BY_STAFF: Final = frozenset({"acknowledged_by", "acknowledged_ns"})
"""What staff do to an alarm, compared by itself (:mod:`inference.chaos_desk`)."""

BY_CLOCK: Final = frozenset({"emitted_ns", "escalated_ns", "audio_paused_until_ns", "delay"})
"""What an alarm takes from the clock of the worker that says it."""

Plain = dict[str, "Plain"] | list["Plain"] | str | float | int | bool | None


def differs(one: Prediction | Vital | Alarm, other: Prediction | Vital | Alarm) -> str:
    """Say in which fields two items of one id differ; empty where they say the same."""
    left, right = msgspec.to_builtins(one), msgspec.to_builtins(other)
    left_out = PLACES | BY_CLOCK | BY_STAFF
    names = [
        name
        for name in sorted(left.keys() | right.keys())
        if name not in left_out and not same(left.get(name), right.get(name), name)
    ]
    return ", ".join(f"{name}: {left.get(name)!r} / {right.get(name)!r}"[:200] for name in names)


def same(a: Plain, b: Plain, name: str = "") -> bool:
    """Whether two values are the same within the tolerances; ``name`` is that of the field."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key], key) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, name) for x, y in zip(a, b, strict=True))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        if name.endswith("_ns"):
            return abs(a - b) <= TIME_NS
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return a == b
