"""What ``wardwave doctor`` says of settings: which are wrong, and whose limits for alarms are in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from dashboard.doctor import Finding, ok, wrong
from inference.catalog import load_catalogue
from inference.errors import BadSetting
from inference.site import load_site
from ingest.errors import SettingsError
from ingest.settings import IngestSettings, Settings, load_settings

Loaded = TypeVar("Loaded")


def load(read: Callable[[], Loaded]) -> tuple[Loaded | None, list[Finding]]:
    """Read settings; none, and what is wrong, where no process would start with them."""
    try:
        return read(), []
    except SettingsError as error:
        return None, [wrong("settings", f"no process starts with these: {error}")]


def load_for_broker() -> tuple[Settings | None, list[Finding]]:
    """Read what the broker is asked with; where device keys or limits on records are wrong, without those."""
    settings, found = load(load_settings)
    if found:
        settings, _ = load(lambda: load_settings(ingest=IngestSettings()))
    return settings, found


def alarms(settings: Settings) -> Iterator[Finding]:
    """Whose limits a worker would take that is started as this command was."""
    path = settings.alarms_file
    if path is None:
        yield ok(
            "alarms", "no WARDWAVE_ALARMS_FILE here: a worker takes the catalogue's limits, adults' first"
        )
        return
    try:
        site = load_site(Path(path), load_catalogue())
    except (BadSetting, OSError) as error:
        yield wrong(
            "alarms", f"WARDWAVE_ALARMS_FILE={path} cannot be used, no worker starts with it: {error}"
        )
        return
    wards = ", ".join(sorted(site.wards)) or "none"
    yield ok("alarms", f"limits are those of {path} (wards: {wards})")
