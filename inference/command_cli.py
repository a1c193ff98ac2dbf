"""``wardwave command``: what staff do at the dashboard, from a shell."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inference.command_sender import CommandSender
    from inference.commands import Action, Command, Value
    from inference.types import Audit
    from ingest.settings import Settings

APPLIED: Final = 0
REFUSED: Final = 1
NO_ANSWER: Final = 2
DEFAULT: Final = "default"
"""Unsets a field."""
UNSEEN_S: Final = 2.0
"""Nobody who says "all" has looked at an alarm that is newer."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand with one of its own for each action."""
    parser = subparsers.add_parser(
        "command",
        help="acknowledge and pause alarms, admit, transfer, set limits",
        description="Tells the workers what a named user wants, signed with WARDWAVE_COMMANDS__KEY, and "
        "waits for the answer. Exit status: 0 applied, 1 refused, 2 wrong usage or no answer.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_for_alarms(actions)
    _add_for_patients(actions)


def _add(
    actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, words: str, ward: bool = False
) -> argparse.ArgumentParser:
    """Add an action on a bed, or on a bed or a ward."""
    parser = actions.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    place = parser.add_mutually_exclusive_group(required=True) if ward else parser
    place.add_argument("--bed", required=not ward)
    if ward:
        place.add_argument("--ward")
    parser.add_argument("--user", required=True, help="who commands; it is written to the audit trail")
    parser.add_argument("--timeout", type=float, default=5.0, metavar="S", help="wait for the answer (5 s)")
    parser.set_defaults(run=run_command, place_of_ward=ward)
    return parser


def _add_for_alarms(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    acknowledge = _add(actions, "acknowledge", "say that alarms have been seen")
    which = acknowledge.add_mutually_exclusive_group(required=True)
    which.add_argument("--alarm", nargs="+", metavar="ID", help="exactly these (see wardwave alarms list)")
    which.add_argument("--all", action="store_true", help="all that stand for 2 s or more; prints them")
    pause = _add(actions, "pause", "pause the sound; graver new alarms sound all the same", ward=True)
    pause.add_argument("--seconds", type=float, default=120.0, help="10 to 600 (default 120)")
    _add(actions, "resume", "end a pause of the sound", ward=True)
    change = _add(actions, "set", "set an alarm of a bed or ward", ward=True)
    change.add_argument("alarm", metavar="ALARM", help="as ecg/hr_high; eeg/* for all of a signal")
    change.add_argument(
        "values",
        nargs="+",
        metavar="FIELD=VALUE",
        help="limit=130, enabled=false, priority=medium, on_delay_s=5; limit=default unsets",
    )


def _add_for_patients(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    admit = _add(actions, "admit", "admit a new patient, who inherits nothing")
    admit.add_argument("--profile", help="adult, paediatric or neonatal (default: the ward's)")
    # Of the patient's bed, unlike the --ward of other actions, which names all its beds.
    admit.add_argument("--ward", help="ward of the bed, where it is another than the site's file says")
    admit.add_argument("--stay", help="pseudonym of the stay, never a name")
    _add(actions, "discharge", "discharge the patient; all that is known of them is forgotten")
    transfer = _add(actions, "transfer", "move the patient with profile and limits to another bed")
    transfer.add_argument("--to", required=True, metavar="BED", dest="to_bed")
    standby = _add(actions, "standby", 'silence "no data"; physiological alarms stay awake')
    standby.add_argument("--off", action="store_true", help="end it")
    profile = _add(actions, "profile", "take the defaults of another profile")
    profile.add_argument("profile", metavar="PROFILE", help="adult, paediatric or neonatal")


def run_command(args: argparse.Namespace) -> int:
    """Send one command and print its answers in words."""
    from inference import commands
    from inference.command_sender import CommandSender
    from ingest.settings import load_settings

    settings = load_settings()
    ids: list[str] = args.alarm if args.action == "acknowledge" and not args.all else []
    if args.action == "acknowledge" and args.all:
        ids, n_new = _seen(settings, args.bed)
        if not ids:
            return REFUSED if n_new else APPLIED
    ward = args.ward if args.place_of_ward else None
    command = commands.new_command(args.user, _action(args, ids), args.bed, ward)
    # Said before the broker is asked: without a key nothing can be sent.
    commands.sign(command.key, b"", settings.commands)
    with CommandSender(settings) as sender:
        return _tell(sender, command, args.timeout)


def _seen(settings: Settings, bed: str) -> tuple[list[str], int]:
    """Print what stands unacknowledged; return its ids, and how many are too new to have been seen."""
    from inference import standing
    from inference.alarms_cli import line
    from inference.types import AlarmState
    from ingest.types import NS_PER_S

    waiting = [
        one for one in standing.read(settings, bed) if one.state in (AlarmState.ACTIVE, AlarmState.LATCHED)
    ]
    if not waiting:
        print(f"no alarm of {bed} waits to be acknowledged")
        return [], 0
    # When its worker said it first, whatever the device's clock says.
    now_ns = time.time_ns()
    new = [one for one in waiting if now_ns - one.raised_ns < (one.delay.system_s + UNSEEN_S) * NS_PER_S]
    seen = [one for one in waiting if one not in new]
    for one in seen:
        print(f"acknowledging {line(one)}")
    for one in new:
        print(f"too new to have been seen, not acknowledged: {line(one)}")
    return [one.id for one in seen], len(new)


def _action(args: argparse.Namespace, ids: list[str]) -> Action:
    from inference import commands

    name: str = args.action
    if name == "acknowledge":
        return commands.Acknowledge(ids)
    if name == "pause":
        return commands.PauseAudio(args.seconds)
    if name == "set":
        return commands.SetAlarm(args.alarm, read_values(args.values))
    if name == "admit":
        return commands.Admit(args.profile, args.ward, args.stay)
    if name == "transfer":
        return commands.Transfer(args.to_bed)
    if name == "standby":
        return commands.Standby(not args.off)
    if name == "profile":
        return commands.SetProfile(args.profile)
    return commands.ResumeAudio() if name == "resume" else commands.Discharge()


def read_values(words: Sequence[str]) -> dict[str, Value]:
    """Read ``limit=130 enabled=false priority=low limit=default``.

    Raises
    ------
    BadCommand
        A word is no field with a value, or a field stands twice.
    """
    from inference.errors import BadCommand

    values: dict[str, Value] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and text):
            raise BadCommand(f"{word!r}: write FIELD=VALUE, as limit=130 or limit={DEFAULT}")
        if name in values:
            raise BadCommand(f"{word!r}: {name} stands twice")
        values[name] = _value(text)
    return values


def _value(text: str) -> Value:
    from inference.errors import BadCommand

    words: dict[str, Value] = {"true": True, "false": False, DEFAULT: None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        raise BadCommand(f"{text!r}: a finite number; {DEFAULT} unsets a field")
    return number


def _tell(sender: CommandSender, command: Command, timeout_s: float) -> int:
    """Send, print, and return the exit status."""
    from inference.commands import Transfer
    from inference.types import CommandOutcome

    answers = sender.ask(command, timeout_s)
    n_expected = len(sender.partitions_of(command))
    refused = [one for one in answers if one.outcome is CommandOutcome.REFUSED]
    for answer in [one for one in answers if one.ward is None] or refused:
        _print_bed(answer)
    if command.ward is not None and not refused:
        _print_ward(command.ward, answers)
    if refused:
        return REFUSED
    if isinstance(command.action, Transfer) and answers:
        n_expected = 3
    if len(answers) < n_expected:
        print(_missing(command, len(answers), n_expected, timeout_s))
        return NO_ANSWER
    return APPLIED


def _print_bed(answer: Audit) -> None:
    name = answer.action.replace("_", " ")
    place = answer.bed or f"ward {answer.ward}, partition {answer.partition}"
    print(f"{name} {answer.outcome} at {place}{': ' if answer.detail else ''}{answer.detail}")
    for change in answer.changes:
        print(f"  {change.name}: {_shown(change.before)} -> {_shown(change.after)}")


def _print_ward(ward: str, answers: Sequence[Audit]) -> None:
    n_beds = sum(int(one.detail.split()[0]) for one in answers)
    if answers:
        print(f"{answers[0].action.replace('_', ' ')} applied at ward {ward}: {n_beds} beds now")
    changes = {change.name: change for one in answers for change in one.changes}
    for change in changes.values():
        print(f"  {change.name}: {_shown(change.before)} -> {_shown(change.after)}")


def _shown(value: str | None) -> str:
    return DEFAULT if value is None else value


def _missing(command: Command, n_answers: int, n_expected: int, timeout_s: float) -> str:
    late = f"within {timeout_s:g} s"
    if command.ward is not None:
        return (
            f"{n_expected - n_answers} of {n_expected} partitions did not answer {late}: no worker has them, "
            "or it has another key"
        )
    if n_answers:
        return (
            f"the transfer was not finished {late}: no worker has the other bed's partition; it goes on when "
            "one has (the patient is at the first bed until then)"
        )
    return f"no answer {late}: no worker has this bed's partition, or it has another key"
