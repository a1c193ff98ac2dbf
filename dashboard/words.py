"""Words for the screen: labels from the wire as text, times that run down."""

from __future__ import annotations

from typing import Final

NOTICE: Final = "Research software, no medical device: never rely on it for the care of a patient."


def plain(label: str) -> str:
    """Escape a label for Markdown: it came over the wire or from a keyboard."""
    return "".join(f"\\{char}" if char in r"\`*_{}[]()<>#+-.!|$~:^&" else char for char in label)


def countdown(seconds: float) -> str:
    """Format a time that is left ("1:05"); what is over is "0:00"."""
    whole = max(0, round(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def count(number: int, one: str) -> str:
    """Count things ("1 alarm", "3 alarms")."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def ward_words(ward: str) -> str:
    """Name a ward: "ward 3B", and no "ward ward"."""
    return ward if ward.casefold().startswith("ward") else f"ward {ward}"


def clock(seconds: float | None) -> str:
    """Seconds from the begin as h:mm:ss.s; a dash for none."""
    if seconds is None:
        return "–"
    tenths = round(seconds * 10)
    return f"{tenths // 36_000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
