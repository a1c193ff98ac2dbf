"""Where an analysis keeps the files that its readers need, and whether they have room there."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from inference.analysis_limits import MB
from inference.errors import BadUpload

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a private folder is made in it
FOLDER: Final = "wardwave-analysis-"
_WAY_OUT: Final = "hand in a shorter part, or have the administrator give the container more (shm_size)"


def memory_folder() -> str | None:
    """A folder in memory where there is one, else the machine's folder for temporary files."""
    return str(MEMORY) if os.access(MEMORY, os.W_OK) else None


def too_small(most_bytes: int) -> str | None:
    """What is to be said where the folder in memory cannot hold the largest recording; None where it can."""
    folder = memory_folder()
    if folder is None:
        return None
    total = shutil.disk_usage(folder).total
    if total >= most_bytes:
        return None
    return (
        f"{folder} has {total / MB:.0f} MB, a recording may have {most_bytes / MB:.0f} MB unpacked: larger "
        "ones are refused; give the container more (shm_size)"
    )


def save(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files by plain name.

    Raises
    ------
    BadUpload
        There is no room for them.
    """
    needed, free = sum(map(len, files.values())), shutil.disk_usage(folder).free
    if needed > free:
        raise BadUpload(
            f"{needed / MB:,.1f} MB are to be read, {folder.parent} has {free / MB:,.1f} MB left: {_WAY_OUT}"
        )
    try:
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # Others took the room meanwhile.
        raise BadUpload(f"{folder.parent} is full: {_WAY_OUT}") from error


def sweep() -> None:
    """Remove folders of processes that were killed before they could."""
    for folder in Path(memory_folder() or tempfile.gettempdir()).glob(f"{FOLDER}*"):
        owner = folder.name.removeprefix(FOLDER).split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)
