"""The devices of a chaos run, as one process: ``python -m inference.chaos_device PLAN JOURNAL``.

They keep what is not acknowledged, as a device with a memory or a gateway does: how many seconds of the plan
were acknowledged stands in a journal on disk. After ``kill -9`` the second that was under way is sent again.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from inference.chaos_ward import DEVICE, Sent, read_plan
from ingest.errors import BrokerError, PublishError
from ingest.publisher import Publisher
from ingest.settings import Settings, load_settings
from ingest.types import NS_PER_S

logger = logging.getLogger(__name__)

DELIVERY_S: Final = 8.0
"""What is not acknowledged by then is sent again by a new client."""


class Journal:
    """How many seconds of a plan were acknowledged, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        """Seconds that need not be sent again."""
        return int(self._path.read_text()) if self._path.exists() else 0

    def write(self, seconds: int) -> None:
        """Note it, whole or not at all."""
        part = self._path.with_name(f"{self._path.name}.part")
        part.write_text(str(seconds))
        part.replace(self._path)


def play(
    start_ns: int,
    seconds: Sequence[Sequence[Sent]],
    journal: Journal,
    settings: Settings,
    wait_until: Callable[[int], None],
) -> None:
    """Send what the journal does not have, each second when it is over, until all is acknowledged.

    Parameters
    ----------
    start_ns : int
        When the first second begins.
    seconds : sequence
        What is complete after each second.
    wait_until : callable
        Returns at that time (ns since the epoch), at once where it has passed.
    """
    while journal.read() < len(seconds):
        try:
            with Publisher(settings, device=DEVICE, timeout_s=DELIVERY_S) as publisher:
                for number in range(journal.read(), len(seconds)):
                    wait_until(start_ns + (number + 1) * NS_PER_S)
                    for one in seconds[number]:
                        publisher.send_raw(one.bed.encode(), one.value)
                    publisher.flush()
                    journal.write(number + 1)
        except (PublishError, BrokerError) as error:
            logger.warning("sent again from second %d: %s", journal.read(), error)


def wait(time_ns: int) -> None:
    """Wait by the machine's clock."""
    time.sleep(max(0, time_ns - time.time_ns()) / NS_PER_S)


def main(plan: str, journal: str) -> None:
    """Play a plan in real time."""
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asked = read_plan(Path(plan))
    play(asked.start_ns, asked.seconds, Journal(Path(journal)), load_settings(), wait)


if __name__ == "__main__":
    main(*sys.argv[1:])
