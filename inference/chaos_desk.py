"""What became of the commands of a chaos run, beside the same commands to an unbroken ward."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from inference.chaos_compare import Verdict
from inference.chaos_said import Said, Stored, records
from inference.chaos_same import Plain
from inference.chaos_staff import Place, places
from inference.commands import Acknowledge, Command
from inference.types import AlarmState, Audit, Bed, CommandOutcome
from ingest.settings import Settings

TIMES = ("admitted_ns", "discharged_ns", "audio_paused_until_ns")
"""Of a bed, compared by whether they are there."""

LEFT_OUT = ("emitted_ns", "revision", "audio_paused_up_to")
"""How often a bed was said to be set, and what sounded when its pause was told."""


@dataclass(slots=True)
class Answered:
    """Answers to commands by id and partition, in their order, and how each bed is set in the end."""

    audits: dict[Place, list[Audit]] = field(default_factory=lambda: defaultdict(list))
    beds: dict[str, Bed] = field(default_factory=dict)

    def note_bed(self, bed: Bed) -> None:
        """Take in how a bed is set; what was changed last counts.

        Of a pause, as it was when it was told: it may be over when the bed is spoken of once more.
        """
        held = self.beds.get(bed.bed)
        if held is not None and bed.revision == held.revision:
            until_ns, by = held.audio_paused_until_ns, held.audio_paused_by
            bed = msgspec.structs.replace(bed, audio_paused_until_ns=until_ns, audio_paused_by=by)
        if held is None or (bed.revision, bed.emitted_ns) >= (held.revision, held.emitted_ns):
            self.beds[bed.bed] = bed

    @property
    def outcomes(self) -> dict[Place, CommandOutcome]:
        """What became of each command."""
        return {place: audits[0].outcome for place, audits in self.audits.items()}


def read_answered(settings: Settings) -> Answered:
    """Read all answers of a run that has ended.

    Raises
    ------
    ChaosError
        They could not be read in time.
    """
    found = Answered()
    for value in records(settings, settings.topics.audit):
        audit = msgspec.json.decode(value, type=Audit)
        found.audits[audit.id, audit.partition].append(audit)
    for value in records(settings, settings.topics.beds):
        found.note_bed(msgspec.json.decode(value, type=Bed))
    return found


def compare_commands(
    verdict: Verdict,
    sent: Sequence[Command],
    broken: Answered,
    whole: Answered,
    said: Said,
    n_partitions: int,
) -> None:
    """Add what is wrong with the answers to commands, with acknowledged alarms and with beds.

    Every command is answered once by each partition that it was for: an answer that comes again is of the
    same record and says the same (:func:`_says_again`). What does not depend on when it came has the same
    outcome in both runs. Where an acknowledgement was applied the alarm stands as acknowledged for good;
    where it was refused the alarm had ended.
    """
    outcomes, others = broken.outcomes, whole.outcomes
    wanted: set[Place] = set()
    for command in sent:
        due = places(command, outcomes, n_partitions)
        wanted |= due
        verdict.lost += [_name(command, place) for place in sorted(due - outcomes.keys())]
        if isinstance(command.action, Acknowledge):
            _check_acknowledged(verdict, command, command.action, broken, said)
            continue
        verdict.different += [
            f"{_name(command, place)}: {broken.audits[place][0].detail} / {others.get(place)}"
            for place in sorted(due & outcomes.keys())
            if outcomes[place] is not others.get(place)
        ]
    verdict.doubled += [
        f"answer {place} to what nobody commanded" for place in sorted(outcomes.keys() - wanted)
    ]
    verdict.doubled += [
        f"answer {place}: two that are not the same"
        for place, held in broken.audits.items()
        if not all(_says_again(held[0], one) for one in held)
    ]
    for bed in sorted(broken.beds.keys() | whole.beds.keys()):
        difference = _bed_differs(broken.beds.get(bed), whole.beds.get(bed))
        if difference:
            verdict.different.append(f"{bed} is set otherwise: {difference}")
    verdict.not_tried += _not_applied(sent, broken)
    n_answers = sum(map(len, broken.audits.values()))
    verdict.counts |= {
        "commands": len(sent),
        "answers": len(broken.audits),
        "answers_again": n_answers - len(broken.audits),
        "refused": sum(one is CommandOutcome.REFUSED for one in broken.outcomes.values()),
        "alarms_acknowledged": sum(one.acknowledged_by is not None for one in said.alarms.values()),
    }


def _says_again(first: Audit, again: Audit) -> bool:
    """Whether an answer that comes again says what the first one did.

    It may name fewer changes: a successor applies once more what it finds done. After the semicolon stands
    what was so when it was applied; what it did to alarms depends on how far the signals were read by then.
    """
    if (first.outcome, first.applied_ns) != (again.outcome, again.applied_ns):
        return False
    if first.action == "acknowledge":
        return True
    details = {one.detail.partition(";")[0] for one in (first, again)}
    return len(details) == 1 and all(change in first.changes for change in again.changes)


def compare_trail(verdict: Verdict, answered: Answered, kept: Stored) -> None:
    """Add what the recorder's audit trail lacks of the answers, or says otherwise."""
    for place, outcome in answered.outcomes.items():
        stored = kept.answers.get(place)
        if stored is None:
            verdict.lost.append(f"stored answer {place}")
        elif stored is not outcome:
            verdict.different.append(f"stored answer {place}: {stored} / {outcome}")


def _not_applied(sent: Sequence[Command], broken: Answered) -> list[str]:
    """Commands of which not one was applied. An acknowledgement may always come too late."""
    applied = {id_ for (id_, _), outcome in broken.outcomes.items() if outcome is CommandOutcome.APPLIED}
    tried = {one.name for one in sent if not isinstance(one.action, Acknowledge)}
    done = {one.name for one in sent if one.id in applied}
    return [f"no command to {name} was applied" for name in sorted(tried - done)]


def _check_acknowledged(
    verdict: Verdict, command: Command, action: Acknowledge, broken: Answered, said: Said
) -> None:
    audit = next((held[0] for (id_, _), held in broken.audits.items() if id_ == command.id), None)
    for alarm in filter(None, map(said.alarms.get, action.alarms)):
        if audit is None:
            continue
        stands = alarm.state in (AlarmState.ACTIVE, AlarmState.LATCHED)
        forgotten = audit.outcome is CommandOutcome.APPLIED and alarm.acknowledged_by != command.user
        if stands or forgotten:
            verdict.different.append(
                f"{alarm.id}: {alarm.state}, acknowledged by {alarm.acknowledged_by}; the command to "
                f"acknowledge it was {audit.outcome}: {audit.detail}"
            )


def _name(command: Command, place: Place) -> str:
    return f"answer to {command.name} {place[0]} at {command.bed or command.ward} (partition {place[1]})"


def _bed_differs(one: Bed | None, other: Bed | None) -> str:
    """Fields in which two beds are set otherwise; empty where there are none."""
    left, right = _plain(one), _plain(other)
    names = [name for name in sorted(left.keys() | right.keys()) if left.get(name) != right.get(name)]
    return ", ".join(f"{name}: {left.get(name)!r} / {right.get(name)!r}"[:200] for name in names)


def _plain(bed: Bed | None) -> dict[str, Plain]:
    if bed is None:
        return {}
    plain: dict[str, Plain] = msgspec.to_builtins(bed)
    for name in LEFT_OUT:
        plain.pop(name)
    return plain | {name: plain[name] is not None for name in TIMES}
