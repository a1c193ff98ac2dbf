"""Applies commands to beds, once each and in order; each answer is a line of the audit trail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import singledispatchmethod
from typing import Final

import msgspec

from inference.alarm_book import AlarmBook, Pause
from inference.alarm_spec import Values
from inference.beds import Beds, BedState, DeskState, Stored
from inference.commands import (
    Acknowledge,
    Admit,
    Command,
    Discharge,
    PauseAudio,
    ResumeAudio,
    SetAlarm,
    SetProfile,
    Standby,
    Transfer,
)
from inference.desk_work import Answer, Bedside, Work, merge
from inference.errors import BadCommand, BadSetting
from inference.types import Audit, AuditChange, CommandOutcome, Priority
from ingest.types import NS_PER_S

REMEMBER_MS: Final = 3_600_000
"""Ids of commands are remembered for so long; older ones are refused as stale anyway."""


class Desk:
    """The commands of a worker's partitions.

    Parameters
    ----------
    beds : Beds
        Changed by commands.
    book : AlarmBook
        Alarms that are acknowledged, paused and closed.
    bedside : Bedside
        The worker.
    clock : callable
        Wall clock, ns.
    """

    def __init__(
        self, beds: Beds, book: AlarmBook, bedside: Bedside, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._beds = beds
        self._book = book
        self._bedside = bedside
        self._clock = clock
        self.partitions: dict[int, DeskState] = {}

    def is_done(self, partition: int, command: Command) -> bool:
        """Whether a command of this id was applied already."""
        return command.id in self.partitions[partition].seen

    def knows(self, command: Command) -> bool:
        """Whether a command can be applied whatever raw records are still unread.

        Alarms that it names may come with them, and a patient's signals end where the next one's begin.
        """
        action = command.action
        if isinstance(action, Admit | Discharge | Transfer):
            return False
        if not isinstance(action, Acknowledge) or command.bed is None:
            return True
        return set(action.alarms) <= {life.id for life in self._book.of_bed(command.bed)}

    def refuse(self, partition: int, command: Command, at_ns: int, why: str) -> Audit:
        """Answer that a command is refused."""
        return self._audit(partition, command, at_ns, CommandOutcome.REFUSED, why, [])

    def _audit(
        self,
        partition: int,
        command: Command,
        at_ns: int,
        outcome: CommandOutcome,
        detail: str,
        changes: list[AuditChange],
    ) -> Audit:
        return Audit(
            command.id,
            partition,
            command.bed,
            command.ward,
            command.user,
            command.name,
            command.issued_ns,
            at_ns,
            outcome,
            detail,
            changes,
        )

    def apply(self, partition: int, command: Command, at_ns: int, among: Iterable[str]) -> Answer:
        """Apply a command that was found genuine.

        Parameters
        ----------
        partition : int
            Whose command it is.
        command : Command
            What to do.
        at_ns : int
            Broker's time of the record.
        among : iterable of str
            Beds of the partition.
        """
        desk, among = self.partitions[partition], list(among)
        oldest_ms = at_ns // 1_000_000 - REMEMBER_MS
        desk.seen = {id_: ms for id_, ms in desk.seen.items() if ms >= oldest_ms}
        desk.seen[command.id] = at_ns // 1_000_000
        work = Work(command, at_ns, self._clock())
        beds = [command.bed] if command.bed else self._beds.of_ward(command.ward or "", among)
        try:
            if command.ward is not None and isinstance(command.action, SetAlarm):
                self._set_ward(desk, command.ward, command.action, work)
            else:
                for bed in beds:
                    self._do(command.action, self._beds.state(bed), work)
        except (BadCommand, BadSetting) as error:
            return Answer(self.refuse(partition, command, at_ns, str(error)))
        for bed in beds:
            self._beds.state(bed).revision += 1
            self._bedside.configure(bed)
        if command.bed is not None and command.bed not in among:
            work.detail += "; nothing has come from this bed yet: is it the right one?"
        detail = work.detail if command.bed else f"{len(beds)} beds of this partition"
        audit = self._audit(partition, command, at_ns, CommandOutcome.APPLIED, detail, work.changes)
        records = [self._beds.record(bed, work.now_ns) for bed in beds]
        return Answer(audit, work.alarms, records, work.follow)

    @singledispatchmethod
    def _do(self, action: object, state: BedState, work: Work) -> None:
        raise BadCommand(f"action={type(action).__name__}: this worker does not know it; update it")

    @_do.register
    def _acknowledge(self, action: Acknowledge, state: BedState, work: Work) -> None:
        standing = {life.id: life for life in self._book.of_bed(state.bed)}
        asked = list(dict.fromkeys(action.alarms))
        missing = [id_ for id_ in asked if id_ not in standing]
        known = [id_ for id_ in asked if id_ in standing]
        again = [id_ for id_ in known if standing[id_].acknowledged_ns not in (None, work.at_ns)]
        before = {id_: standing[id_].state for id_ in known}
        work.alarms += self._book.acknowledge(state.bed, known, work.command.user, work.at_ns, work.now_ns)
        for id_ in known:
            work.note(id_, before[id_], standing[id_].state)
        # A successor may apply once more what its predecessor did a moment before it died.
        if not set(known) - set(again):
            first = (missing or again)[0]
            why = (
                "no such alarm stands at this bed: it has ended, or belongs to another bed"
                if missing
                else f"acknowledged already by {standing[first].acknowledged_by}"
            )
            raise BadCommand(f"alarms: {first}: {why}")
        parts = [f"{len(known) - len(again)} acknowledged"]
        parts += [f"{len(again)} were already"] if again else []
        parts += [f"{len(missing)} do not stand (any more): {missing[0]}"] if missing else []
        work.detail = ", ".join(parts)

    @_do.register
    def _pause(self, action: PauseAudio, state: BedState, work: Work) -> None:
        until_ns = work.at_ns + round(action.seconds * NS_PER_S)
        state.pause = Pause(until_ns, work.command.user, self._book.gravest(state.bed))
        work.alarms += self._book.pause(state.bed, state.pause, work.now_ns)
        up_to = state.pause.up_to
        # The same rule as alarm_book: a new high alarm sounds in any pause.
        sound = "high alarms" if up_to is Priority.HIGH else f"alarms graver than {up_to}"
        work.detail = f"sound paused for {action.seconds:g} s; new {sound} sound"

    @_do.register
    def _resume(self, action: ResumeAudio, state: BedState, work: Work) -> None:
        state.pause = None
        work.alarms += self._book.pause(state.bed, None, work.now_ns)
        work.detail = "alarms sound again"

    @_do.register
    def _admit(self, action: Admit, state: BedState, work: Work) -> None:
        # A successor may apply once more what its predecessor did a moment before it died.
        if action.transfer_from is not None and state.admitted_ns not in (None, work.at_ns):
            raise BadCommand(
                f"bed={state.bed!r} has a patient: discharge them first; the one of "
                f"{action.transfer_from!r} stays where they are"
            )
        fresh = self._beds.fresh(state.bed, action.ward)
        profile = action.profile or fresh.profile
        self._beds.catalogue.profile(profile)
        settings: Stored = {}
        for key, values in action.settings.items():
            merge(self._beds.catalogue, settings, key, values, work, None)
        admitted = msgspec.structs.replace(fresh, profile=profile, settings=settings)
        # A patient who moves brings what was set for them, whatever the other ward's limits are.
        for key in settings if action.transfer_from is None else ():
            self._beds.check_order(admitted, key)
        work.note("profile", state.profile, profile)
        work.note("ward", state.ward, fresh.ward)
        if state.stay is not None:
            work.note("stay", state.stay, action.stay)
        self._empty(state, work, "another patient was admitted", watch=True)
        state.ward, state.profile, state.stay, state.settings = fresh.ward, profile, action.stay, settings
        state.admitted_ns = work.at_ns
        work.detail = f"admitted as {profile}"
        if action.transfer_from is not None:
            work.detail += f", from {action.transfer_from}"
            gone = Discharge(action.admitted_there_ns)
            work.follow.append(self._next(work, action.transfer_from, gone))

    @_do.register
    def _discharge(self, action: Discharge, state: BedState, work: Work) -> None:
        again = state.discharged_ns == work.at_ns
        if action.admitted_ns not in (None, state.admitted_ns) and not again:
            raise BadCommand(
                f"bed={state.bed!r}: the patient who was transferred is not here any more; who is here stays"
            )
        self._empty(state, work, "the patient was discharged", watch=False)
        work.detail = "discharged; limits, alarms and baselines are forgotten"

    @_do.register
    def _transfer(self, action: Transfer, state: BedState, work: Work) -> None:
        if state.admitted_ns is None:
            raise BadCommand(
                f"bed={state.bed!r}: nobody is admitted here who could be transferred; admit first"
            )
        if action.to_bed == state.bed:
            raise BadCommand(f"to_bed={action.to_bed!r}: the patient is there already")
        admit = Admit(state.profile, None, state.stay, state.settings, state.bed, state.admitted_ns)
        work.follow.append(self._next(work, action.to_bed, admit))
        work.detail = f"asked {action.to_bed} to admit the patient; this bed is discharged when it has"

    @_do.register
    def _standby(self, action: Standby, state: BedState, work: Work) -> None:
        work.note("standby", state.standby_by is not None, action.on)
        state.standby_by = work.command.user if action.on else None
        work.alarms += self._bedside.mute(state.bed, action.on)
        work.detail = (
            'standby: "no data" is silent, physiological alarms stay awake' if action.on else "standby ended"
        )

    @_do.register
    def _profile(self, action: SetProfile, state: BedState, work: Work) -> None:
        self._beds.catalogue.profile(action.profile)
        work.note("profile", state.profile, action.profile)
        state.profile = action.profile
        work.detail = f"defaults of {action.profile}; what was set for this bed stays"

    @_do.register
    def _set(self, action: SetAlarm, state: BedState, work: Work) -> None:
        before = self._beds.settings(state.bed).get(action.alarm)
        settings = {key: dict(values) for key, values in state.settings.items()}
        merge(self._beds.catalogue, settings, action.alarm, action.values, work, before)
        self._beds.check_order(msgspec.structs.replace(state, settings=settings), action.alarm)
        state.settings = settings

    def _set_ward(self, desk: DeskState, ward: str, action: SetAlarm, work: Work) -> None:
        settings = {key: dict(values) for key, values in self._beds.ward_settings(ward).items()}
        # Another partition of this worker may have been told before: each answers with what it knew itself.
        before = desk.wards.get(ward, {}).get(action.alarm, {})
        merge(
            self._beds.catalogue, settings, action.alarm, action.values, work, Values.model_validate(before)
        )
        # Of a bed that nobody has set; at others staff see which alarm stands.
        self._beds.check_order(self._beds.fresh("", ward), action.alarm, settings)
        desk.wards = {**desk.wards, ward: settings}
        self._beds.put_wards({ward: settings})

    def _empty(self, state: BedState, work: Work, reason: str, watch: bool) -> None:
        """Forget the patient: a new one inherits nothing."""
        work.alarms += self._bedside.mute(state.bed, False)
        work.alarms += self._book.close(state.bed, reason, work.now_ns)
        self._book.pause(state.bed, None, work.now_ns)
        fresh = self._beds.fresh(state.bed)
        for name in ("ward", "profile", "stay", "admitted_ns", "standby_by", "settings", "pause"):
            setattr(state, name, getattr(fresh, name))
        state.discharged_ns = None if watch else work.at_ns
        state.patient += 1
        state.since_offset = self._bedside.reset(state.bed, watch)
        if not watch:
            # Who takes the device off an empty bed is told nothing; the next admission watches it again.
            work.alarms += self._bedside.mute(state.bed, True)

    def _next(self, work: Work, bed: str, action: Admit | Discharge) -> Command:
        """A command that follows from one, with an id that is the same whoever makes it."""
        first = work.command
        name = "admit" if isinstance(action, Admit) else "discharge"
        # Issued now: a transfer that waited for a worker is not too old.
        return Command(f"{first.id.partition('/')[0]}/{name}", first.user, work.now_ns, bed, None, action)
