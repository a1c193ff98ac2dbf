"""A site's own file: its wards, and how their alarms are set."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import ValidationError

from inference.alarm_spec import Frozen, Values
from inference.catalog import Catalogue, first_error, read_toml
from inference.errors import BadSetting


class Ward(Frozen):
    """A ward of the site's file: its beds as patterns ("icu-*") and what it sets."""

    beds: tuple[str, ...] = ()
    profile: str | None = None
    alarms: dict[str, Values] = {}


class Site(Frozen):
    """The site's file: settings of all wards, and wards."""

    alarms: dict[str, Values] = {}
    wards: dict[str, Ward] = {}

    def ward_of(self, bed: str) -> str:
        """Name of the first ward whose patterns fit; "ward" where none does."""
        for name, ward in self.wards.items():
            if any(fnmatchcase(bed, pattern) for pattern in ward.beds):
                return name
        return "ward"


def load_site(path: Path | None, catalogue: Catalogue) -> Site:
    """Read the site's file; without one nothing is set.

    Raises
    ------
    BadSetting
        Names the file, the field and what is wrong.
    """
    if path is None:
        return Site()
    try:
        site = Site.model_validate(read_toml(path))
    except ValidationError as error:
        raise BadSetting(f"{path}: {first_error(error)}") from error
    layers = {
        "alarms": site.alarms,
        **{f"wards.{name}.alarms": ward.alarms for name, ward in site.wards.items()},
    }
    for where, layer in layers.items():
        for key, values in layer.items():
            catalogue.check(key, values, f"{path}: {where}")
    for name, ward in site.wards.items():
        if ward.profile is not None and ward.profile not in catalogue.profiles:
            raise BadSetting(
                f"{path}: wards.{name}: profile={ward.profile!r}: there are {', '.join(catalogue.profiles)}"
            )
    return site
