"""Work that no page may wait for: in threads of its own, which no exit of the server waits for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

Result = TypeVar("Result")


def in_background(work: Callable[[], Result], name: str) -> Future[Result]:
    """Do work in a thread; whatever it raises is in the future."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


class Prepared(Generic[Result]):
    """What takes seconds to make, made once for all sessions while pages go on.

    One thing is made at a time: two would only hinder each other and the traces.

    Parameters
    ----------
    most : int
        Results kept, the ones used last.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: OrderedDict[Hashable, Future[Result]] = OrderedDict()
        self._lock = threading.Lock()
        self._busy = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Result], wait_s: float) -> Result | None:
        """Return what is known under ``key``; ``None`` as long as it is being made.

        Parameters
        ----------
        key : hashable
            What it is made from.
        make : callable
            Makes it; what it raises is raised here, each time.
        wait_s : float
            How long this call may wait for it.
        """

        def one_at_a_time() -> Result:
            with self._busy:
                return make()

        with self._lock:
            future = self._held.get(key)
            if future is None:
                future = self._held[key] = in_background(one_at_a_time, "prepares")
                while len(self._held) > self._most:
                    self._held.popitem(last=False)
            self._held.move_to_end(key)
        wait([future], wait_s)
        return future.result() if future.done() else None
