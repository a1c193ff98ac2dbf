"""What plays at the demo's beds besides simulated ECGs: recorded sounds and EEGs, looped; simulated EEGs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from dashboard.errors import DashboardError
from ingest.types import SignalKind

OPTIONS: Final = {
    SignalKind.LUNG_SOUND: "--lung-sounds",
    SignalKind.HEART_SOUND: "--heart-sounds",
    SignalKind.EEG: "--eeg",
}
"""Kinds whose recordings may be looped, and what names them."""

EEG_SCRIPT: Final = ("bed-01:seizure@60s:60s",)
SIMULATED_EEG: Final = "simulated_eeg"
NAMES: Final = (*OPTIONS, SIMULATED_EEG)
"""Names of the child processes."""


def file_replays(files: Mapping[SignalKind, Sequence[Path]]) -> dict[str, list[str]]:
    """Arguments of ``wardwave`` that play recordings, by the name of the child process.

    They are looped: most are shorter than a demo. A bed is called after its file; recordings of several kinds
    and one name go to one bed.

    Raises
    ------
    DashboardError
        A file is missing, or two of one kind have the same name.
    """
    found: dict[str, list[str]] = {}
    for kind, paths in files.items():
        option, beds = OPTIONS[kind], [path.stem for path in paths]
        for path in paths:
            if not path.is_file():
                raise DashboardError(f"{option} {path}: there is no such file")
            if beds.count(path.stem) > 1:
                raise DashboardError(
                    f"{option} {path}: another recording is called {path.stem}, too, and a bed is called "
                    "after its file: rename one"
                )
        if paths:
            names = [str(path) for path in paths]
            found[str(kind)] = ["replay", *names, "--bed", *beds, "--kind", kind, "--loop"]
    return found


def simulated_eegs(n_beds: int, script: Sequence[str] | None) -> dict[str, list[str]]:
    """Arguments that give the first beds of the ward an EEG, too; one of them has a seizure after a minute.

    Raises
    ------
    DashboardError
        Fewer than no beds.
    """
    if n_beds < 0:
        raise DashboardError(f"--eeg-beds {n_beds}: give 0 for none, or how many beds have an EEG")
    if n_beds == 0:
        return {}
    events = EEG_SCRIPT if script is None else script
    arguments = ["simulate", "--beds", str(n_beds), "--kinds", SignalKind.EEG.value]
    return {SIMULATED_EEG: [*arguments, *(["--script", *events] if events else [])]}
