"""Recorded lung and heart sounds as beds of the demo, looped: most recordings are shorter than a minute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dashboard.errors import DashboardError
from ingest.types import SignalKind


def sound_replays(lung: Sequence[Path], heart: Sequence[Path]) -> dict[str, list[str]]:
    """Arguments of ``wardwave`` that play recordings, by the name of the child process.

    A bed is called after its file; a lung and a heart recording of one name go to one bed.

    Raises
    ------
    DashboardError
        A file is missing, or two of one kind have the same name.
    """
    found: dict[str, list[str]] = {}
    for kind, option, paths in (
        (SignalKind.LUNG_SOUND, "--lung-sounds", lung),
        (SignalKind.HEART_SOUND, "--heart-sounds", heart),
    ):
        beds = [path.stem for path in paths]
        for path in paths:
            if not path.is_file():
                raise DashboardError(f"{option} {path}: there is no such file")
            if beds.count(path.stem) > 1:
                raise DashboardError(
                    f"{option} {path}: another recording is called {path.stem}, too, and a bed is called "
                    "after its file: rename one"
                )
        if paths:
            files = [str(path) for path in paths]
            found[str(kind)] = ["replay", *files, "--bed", *beds, "--kind", kind, "--loop"]
    return found
