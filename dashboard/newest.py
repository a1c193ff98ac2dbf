"""What is news to a page (:mod:`inference.newest` says which of several tellings counts)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Generic, TypeVar

from inference.newest import Place

MOST_NAMES: Final = 20_000
"""Numbers and predictions of a thousand beds: names come over the wire."""

Name = TypeVar("Name")
Held = TypeVar("Held")


class Newest:
    """What came last of one bed and signal, by place in the raw topic and by the device's clock.

    News comes from a later place than all before (the device's clock may have been set back), or is later by
    the clock than all before (the raw topic may have been made anew), or is a later second of the place that
    came last. All else was there before, or comes too late to be shown. An item that was offered once is
    never news again, whatever came in between.
    """

    __slots__ = ("_highest", "_last", "_latest_ns")

    def __init__(self) -> None:
        self._highest: Place = (-1, -1)
        self._latest_ns = -1
        self._last = (self._highest, self._latest_ns)

    def takes(self, at: Place, time_ns: int) -> bool:
        """Whether an item of this place and device time is news; it is then the last."""
        next_second = at == self._last[0] and time_ns > self._last[1]
        if not (at > self._highest or time_ns > self._latest_ns or next_second):
            return False
        self._highest = max(self._highest, at)
        self._latest_ns = max(self._latest_ns, time_ns)
        self._last = (at, time_ns)
        return True


class Recent(Generic[Name, Held]):
    """What is held of each name, of so many of those used last."""

    __slots__ = ("_held", "_most")

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._held: OrderedDict[Name, Held] = OrderedDict()

    def get(self, name: Name) -> Held | None:
        """Return what is held of a name."""
        return self._held.get(name)

    def put(self, name: Name, held: Held) -> None:
        """Hold this of a name; the one used longest ago makes room."""
        self._held[name] = held
        self._held.move_to_end(name)
        if len(self._held) > self._most:
            self._held.popitem(last=False)
