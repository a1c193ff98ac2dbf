"""What a publishing process (``replay``, ``simulate``) answers to those who watch it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict

from ingest.health import Family, Sample, answering, of_process
from ingest.publisher import Publisher


def watched(publisher: Publisher, at: str | None, role: str) -> AbstractContextManager[None]:
    """Answer for a publisher until the block ends.

    Parameters
    ----------
    publisher : Publisher
        Its counts are told.
    at : str or None
        HOST:PORT; ``None`` answers nobody.
    role : str
        What the process does.

    Raises
    ------
    SettingsError
        Nothing can listen there.
    """
    before = 0

    def figures() -> Iterator[Family]:
        yield from of_process(role)
        counts = [Sample(n, {"name": name}) for name, n in asdict(publisher.stats).items()]
        yield Family("wardwave_count", "chunks since the start, by what became of them", counts)

    def reached() -> bool:
        """Whether the broker has taken something, or there is nothing to be taken."""
        nonlocal before
        stats = publisher.stats
        grown, before = stats.acknowledged > before, stats.acknowledged
        return grown or stats.waiting == 0

    return answering(at, figures, reached)
