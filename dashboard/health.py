"""What the dashboard answers to those who watch it: what its pages show, as figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from dashboard.feed import Feed
from ingest.health import Family, Sample, answering, of_process, single


def watched(feed: Feed, at: str | None) -> AbstractContextManager[None]:
    """Answer for the dashboard until the block ends.

    Raises
    ------
    SettingsError
        Nothing can listen there.
    """
    return answering(at, lambda: figures(feed), lambda: feed.alive and feed.ward.snapshot().connected)


def figures(feed: Feed) -> Iterator[Family]:
    """Figures of the dashboard: ages are those that its pages show."""
    ward = feed.ward.snapshot()
    yield from of_process("dashboard")
    yield single("wardwave_beds", "beds that are shown", len(ward.beds))
    streams = [(bed.bed, stream.kind.value, stream.age_s) for bed in ward.beds for stream in bed.streams]
    ages = [Sample(round(age_s, 1), {"bed": bed, "signal": signal}) for bed, signal, age_s in streams]
    yield Family("wardwave_shown_age_seconds", "age of the newest sample of a signal as it is shown", ages)
    silent_s = feed.system.without_worker_s()
    text = "for how long the dashboard has heard no worker; 0 where one speaks"
    yield single("wardwave_without_worker_seconds", text, round(silent_s or 0.0, 1))
    counts = [Sample(feed.reader.n_unreadable, {"name": "unreadable"})]
    yield Family("wardwave_count", "counters since the start", counts)
