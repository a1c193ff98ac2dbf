"""Loads in the background what explanations need.

Who first asks for one must not wait for torch: while a page waits, it shows and sounds no new alarm.
"""

from __future__ import annotations

import gc
import logging
import threading
from typing import Final

log = logging.getLogger(__name__)

AFTER_S: Final = 10.0
"""The ward comes first."""


def warm_up(after_s: float = AFTER_S) -> threading.Timer:
    """Load torch and the worker's networks in a thread that ends with the process."""
    timer = threading.Timer(after_s, _load)
    timer.daemon = True
    timer.start()
    return timer


def _load() -> None:
    from models.errors import ModelError

    try:
        from inference.strip_beats import BeatFinder

        BeatFinder()
    except (ImportError, OSError, ModelError) as error:
        log.warning("explanations will load later, or not at all: %s", error)
        return
    # What is loaded stays: no later collection of garbage looks through it, which would stop all pages.
    gc.collect()
    gc.freeze()
