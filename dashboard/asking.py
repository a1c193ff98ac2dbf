"""What a press of a button asks of the workers, and what came of it in words. Knows nothing of pages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from kafka.errors import KafkaError

from dashboard.access_log import note
from dashboard.background import in_background
from dashboard.shared import Missing
from dashboard.users import User
from dashboard.words import count, ward_words
from inference import commands
from inference.catalog import load_catalogue
from inference.commands import Acknowledge, Action, Command, SetAlarm, Transfer
from inference.errors import BadCommand, BadSetting, NotDelivered
from inference.types import Audit, AuditChange, CommandOutcome
from ingest.errors import IngestError

ANSWER_S: Final = 4.0
"""So long the worker may take; an answer comes in well under a second where one runs."""
ASK_S: Final = 5.0
"""Whoever asks waits no longer, whatever the broker does."""
MOST_WAITING: Final = 64
"""Presses of a server process that wait at one time."""
HERE: Final = "this machine"
_LOOK: Final = "It may still be done: look before you press again"


class Outcome(StrEnum):
    """What became of a press."""

    APPLIED = "applied"
    REFUSED = "refused"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer for people; ``changes`` names what is otherwise now, with before and after."""

    outcome: Outcome
    text: str
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to be done at a bed or in a ward (one of them)."""

    action: Action
    bed: str | None = None
    ward: str | None = None

    @property
    def name(self) -> str:
        """The action as it is called in the audit trail ("set_alarm")."""
        return str(type(self.action).__struct_config__.tag)

    @property
    def words(self) -> str:
        """What is asked for, and where ("set Heart rate high at bed-03")."""
        name = self.name.replace("_", " ")
        if isinstance(self.action, SetAlarm):
            name = f"set {_title(self.action.alarm)}"
        place = f"at {self.bed}" if self.bed is not None else f"in {ward_words(self.ward or '')}"
        return f"{name} {place}"


def _title(alarm: str) -> str:
    """What people call an alarm, or several ("ecg/*")."""
    try:
        return load_catalogue().spec(alarm).title
    except BadSetting:
        return alarm


class Sender(Protocol):
    """What is used of :class:`inference.command_sender.CommandSender`."""

    def ask(self, command: Command, timeout_s: float = 5.0) -> list[Audit]:
        """Send a command and return its answers."""

    def partitions_of(self, command: Command) -> list[int]:
        """Return where a command goes; each answers."""


def ask(
    sender: Sender | Missing,
    user: User,
    action: Action,
    bed: str | None = None,
    ward: str | None = None,
    address: str | None = None,
) -> Reply:
    """Tell the workers one thing, wait at most 5 s, and return what came of it.

    Whatever goes wrong is a reply. It is noted in the access log.

    Parameters
    ----------
    sender : Sender or Missing
        What sends commands, or why nothing does.
    user : User
        Who asks; the command bears their name.
    action : Action
        What to do.
    bed, ward : str
        Where; one of them.
    address : str, optional
        Of the user's browser. To be given outside of a page's own thread, where it cannot be found.
    """
    order = Order(action, bed, ward)
    reply = _ask(sender, user, order)
    place = {"bed": order.bed} if order.bed is not None else {"ward": order.ward}
    note(
        "command" if user.may_command else "refused",
        user.name,
        action=order.name,
        **place,
        outcome=str(reply.outcome),
        answer="; ".join((reply.text, *reply.changes)),
        address=address,
    )
    return reply


def _ask(sender: Sender | Missing, user: User, order: Order) -> Reply:
    if not user.may_command:
        why = f"{user.name} ({user.role}) may only look; a clinician or an admin may do this"
        return Reply(Outcome.REFUSED, f"{order.words}: {why}")
    if isinstance(sender, Missing):
        return Reply(Outcome.REFUSED, f"{order.words}: {sender.why}")
    try:
        command = commands.new_command(user.name, order.action, order.bed, order.ward)
        # A broker that hangs holds the sender for longer than anyone should wait before a screen.
        sent = in_background(lambda: sender.ask(command, timeout_s=ANSWER_S), "asks")
        answers = sent.result(timeout=ASK_S)
    except TimeoutError:
        return Reply(
            Outcome.UNANSWERED,
            f"{order.words}: the broker did not answer within {ASK_S:g} s. {_LOOK}",
        )
    except (BadCommand, NotDelivered) as error:
        return Reply(Outcome.REFUSED, f"{order.words}: {error}")
    except (IngestError, KafkaError) as error:
        # Perhaps it was sent and only the answers cannot be read.
        return Reply(Outcome.UNANSWERED, f"{order.words}: {error}. {_LOOK}")
    return _reply(order, answers, len(sender.partitions_of(command)))


def _reply(order: Order, answers: Sequence[Audit], n_expected: int) -> Reply:
    named = [one for answer in answers for one in answer.changes]
    # Of alarms it would name ids, which tell people nothing; how many it were stands in the detail.
    changes = () if isinstance(order.action, Acknowledge) else _changes(order, named)
    refused = [answer for answer in answers if answer.outcome is CommandOutcome.REFUSED]
    if refused:
        # The second and third answers of a transfer come from other beds.
        where = "" if refused[0].bed == order.bed else f" (at {refused[0].bed})"
        return Reply(Outcome.REFUSED, f"{order.words}: {refused[0].detail}{where}", changes)
    if isinstance(order.action, Transfer) and answers:
        n_expected = 3
    if len(answers) < n_expected:
        return Reply(
            Outcome.UNANSWERED, f"{order.words}: {_missing(order, len(answers), n_expected)}", changes
        )
    done = _done(order, answers)
    return Reply(Outcome.APPLIED, f"{order.words}: {done}" if done else order.words, changes)


def _missing(order: Order, n_answers: int, n_expected: int) -> str:
    if order.ward is not None:
        missing = n_expected - n_answers
        return (
            f"{missing} of {n_expected} partitions did not answer within {ANSWER_S:g} s: no worker has them, "
            f"or it has another key. {_LOOK}"
        )
    if n_answers:
        return (
            "the transfer is not finished: no worker has the other bed's partition. It goes on when one has; "
            "the patient is here until then"
        )
    return (
        f"no answer within {ANSWER_S:g} s: no worker has this bed's partition, or it has another key. {_LOOK}"
    )


def _done(order: Order, answers: Sequence[Audit]) -> str:
    if order.ward is None:
        return answers[-1].detail if isinstance(order.action, Transfer) else answers[0].detail
    # Each partition says of how many beds it is ("3 beds").
    heads = [answer.detail.partition(" ")[0] for answer in answers]
    n_beds = sum(int(head) for head in heads if head.isdecimal())
    return count(n_beds, "bed")


def _changes(order: Order, named: Iterable[AuditChange]) -> tuple[str, ...]:
    """What is otherwise now, each once; the alarm that was set is not named again in each."""
    alarm = f"{order.action.alarm} " if isinstance(order.action, SetAlarm) else ""
    found = []
    for change in named:
        before, after = ("default" if one is None else one for one in (change.before, change.after))
        found.append(f"{change.name.removeprefix(alarm)}: {before} → {after}")
    return tuple(dict.fromkeys(found))


class Asked:
    """Orders of one press on their way, in a thread of their own; nothing on a page waits for them.

    They are told one after the other. After one without an answer the rest is not sent: nobody waits for a
    dead worker as often as there are orders.

    Parameters
    ----------
    sender : Sender or Missing
        What sends commands, or why nothing does.
    user : User
        Who pressed.
    orders : sequence of Order
        What to do.
    label : str
        What stood on the button.
    address : str
        Of the user's browser, for the access log.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        sender: Sender | Missing,
        user: User,
        orders: Sequence[Order],
        label: str,
        address: str = HERE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.orders = label, tuple(orders)
        self._clock, self._began_s = clock, clock()
        self._replied: list[Reply] = []
        self._over: Future[None] = Future()
        if not _waiting.acquire(blocking=False):
            self._replied.append(
                Reply(Outcome.REFUSED, f"{label}: {MOST_WAITING} others wait for an answer; press again soon")
            )
            self._over.set_result(None)
            return

        def tell() -> None:
            try:
                self._tell(sender, user, orders, address)
            finally:
                _waiting.release()

        self._over = in_background(tell, "asks")

    def _tell(self, sender: Sender | Missing, user: User, orders: Sequence[Order], address: str) -> None:
        for order in orders:
            if self._replied and self._replied[-1].outcome is Outcome.UNANSWERED:
                self._replied.append(Reply(Outcome.REFUSED, f"{order.words}: not sent"))
                continue
            self._replied.append(ask(sender, user, order.action, order.bed, order.ward, address))

    @property
    def replies(self) -> tuple[Reply, ...]:
        """The replies so far. A fault of ours is raised here."""
        if self.done:
            self._over.result()
        return tuple(self._replied)

    @property
    def done(self) -> bool:
        """Whether there will be no more."""
        return self._over.done()

    @property
    def age_s(self) -> float:
        """Seconds since the press."""
        return self._clock() - self._began_s

    def wait(self, timeout_s: float) -> bool:
        """Wait for the last reply, so long at most; return whether it has come."""
        wait([self._over], timeout_s)
        return self.done


_waiting = threading.BoundedSemaphore(MOST_WAITING)
