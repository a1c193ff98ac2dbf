"""How each bed is set: who is admitted, which profile, what staff changed, paused or in standby."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from inference.alarm_book import Pause
from inference.alarm_spec import ADULT, ANY, AlarmSetting, Layer, Values, check_order
from inference.catalog import Catalogue
from inference.commands import Value
from inference.site import Site
from inference.types import Bed

Stored = dict[str, dict[str, Value]]
"""A layer as it is kept in snapshots: set fields by alarm."""

MOST_RESOLVED: Final = 1_000
"""Ways of being set that are kept worked out; more than a worker's beds have at a time."""


class BedState(msgspec.Struct):
    """One bed, for snapshots.

    ``patient`` counts admissions and discharges: a signal's state of another count is a former patient's.
    Raw records of the bed below ``since_offset`` are a former patient's, too. ``revision`` counts changes,
    ``leaving`` is that of its partition with which this was left.
    """

    bed: str
    ward: str
    profile: str
    stay: str | None = None
    admitted_ns: int | None = None
    discharged_ns: int | None = None
    standby_by: str | None = None
    settings: Stored = {}
    pause: Pause | None = None
    patient: int = 0
    since_offset: int = 0
    revision: int = 0
    leaving: int = 0


class DeskState(msgspec.Struct):
    """What a partition's commands have done so far, for snapshots.

    Commands below ``next_offset`` are done; ``wards`` are the settings of wards; ``seen`` the ids of late
    commands with the broker's time (ms), so that a record sent twice is applied once. ``left`` says what was
    left with this one: signals ("bed/signal") up to a raw offset, beds ("bed/") of a revision;
    ``None`` where an older version left it. ``left_up_to`` is the raw offset up to which all was done.
    ``leaving`` counts how often state of the partition was left, from worker to worker: of two states that
    reach equally far the one with the higher count is the newer. 0 where an older version left it.
    """

    next_offset: int = 0
    wards: dict[str, Stored] = {}
    seen: dict[str, int] = {}
    left: dict[str, int] | None = None
    left_up_to: int = 0
    leaving: int = 0


class Beds:
    """All beds that a worker has.

    Parameters
    ----------
    catalogue : Catalogue
        The alarms.
    site : Site
        The site's file.
    """

    def __init__(self, catalogue: Catalogue, site: Site) -> None:
        self.catalogue = catalogue
        self._site = site
        self._states: dict[str, BedState] = {}
        self._wards: dict[str, Stored] = {}
        self._resolved: dict[str, dict[str, AlarmSetting]] = {}

    def __contains__(self, bed: str) -> bool:
        return bed in self._states

    def known(self) -> list[str]:
        """Beds that were heard of."""
        return list(self._states)

    def state(self, bed: str) -> BedState:
        """State of a bed; one that was never heard of is set as its ward is."""
        found = self._states.get(bed)
        if found is None:
            found = self._states[bed] = self.fresh(bed)
        return found

    def fresh(self, bed: str, ward: str | None = None) -> BedState:
        """A bed that nobody has set, in the ward of the site's file or in another."""
        ward = ward or self._site.ward_of(bed)
        of_ward = self._site.wards.get(ward)
        return BedState(bed, ward, (of_ward and of_ward.profile) or ADULT)

    def put(self, state: BedState) -> None:
        """Take up a bed's state."""
        self._states[state.bed] = state

    def put_wards(self, wards: Mapping[str, Stored]) -> None:
        """Take up what staff set for wards."""
        self._wards.update({ward: dict(layer) for ward, layer in wards.items()})
        self._resolved.clear()

    def ward_settings(self, ward: str) -> Stored:
        """What staff set for a ward."""
        return self._wards.get(ward, {})

    def of_ward(self, ward: str, among: Iterable[str]) -> list[str]:
        """Beds of a ward."""
        return [bed for bed in among if bed in self._states and self._states[bed].ward == ward]

    def forget(self, bed: str) -> None:
        """Drop a bed: another worker has it now."""
        self._states.pop(bed, None)

    def settings(self, bed: str) -> Mapping[str, AlarmSetting]:
        """How the alarms of a bed are set, by "signal/kind"; beds that are set alike share one answer."""
        state = self.state(bed)
        key = msgspec.json.encode((state.profile, state.ward, state.settings)).decode()
        found = self._resolved.get(key)
        if found is None:
            if len(self._resolved) >= MOST_RESOLVED:
                self._resolved.clear()
            found = self._resolved[key] = self.catalogue.settings(self._layers(state))
        return found

    def check_order(self, state: BedState, touched: str, of_ward: Stored | None = None) -> None:
        """Refuse limits of a bed that cross, where one of them was touched.

        Parameters
        ----------
        state : BedState
            As it shall be.
        touched : str
            The alarm that was set.
        of_ward : Stored or None
            What its ward shall be set to; None: what it is.

        Raises
        ------
        BadSetting
            The lower limit is not under the upper one.
        """
        check_order(self.catalogue.settings(self._layers(state, of_ward)), touched)

    def _layers(self, state: BedState, of_ward: Stored | None = None) -> list[tuple[str, Layer]]:
        at_site = self._site.wards.get(state.ward)
        told = self.ward_settings(state.ward) if of_ward is None else of_ward
        return [
            ("profile", self.catalogue.profile(state.profile)),
            ("site", self._site.alarms),
            ("site", at_site.alarms if at_site else {}),
            ("ward", layer_of(told)),
            ("bed", layer_of(state.settings)),
        ]

    def record(self, bed: str, now_ns: int) -> Bed:
        """The bed's record: alarms with a limit, and all that is set otherwise than the catalogue says."""
        state = self.state(bed)
        pause = state.pause if state.pause is not None and state.pause.until_ns > now_ns else None
        shown = [
            setting.wire(key.partition("/")[0])
            for key, setting in self.settings(bed).items()
            if setting.source != "default" or (setting.limit is not None and setting.spec.signal != ANY)
        ]
        return Bed(
            bed=bed,
            ward=state.ward,
            stay=state.stay,
            admitted=state.admitted_ns is not None,
            admitted_ns=state.admitted_ns,
            profile=state.profile,
            standby=state.standby_by is not None,
            standby_by=state.standby_by,
            audio_paused_until_ns=pause.until_ns if pause else None,
            audio_paused_by=pause.by if pause else None,
            audio_paused_up_to=pause.up_to if pause else None,
            settings=shown,
            revision=state.revision,
            emitted_ns=now_ns,
            discharged_ns=state.discharged_ns,
        )


def layer_of(stored: Stored) -> Layer:
    """A layer from what is stored of it."""
    return {key: Values.model_validate(values) for key, values in stored.items()}
