"""The faults of a chaos run, dealt like cards: a killed worker, then every kind in an order by the seed."""

from __future__ import annotations

import logging
import random
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from inference.chaos_crew import DEVICE, RECORDER, WORKER, Crew, Member
from inference.chaos_observer import Observer
from inference.chaos_proxy import Proxy
from inference.errors import ChaosError
from ingest import kafka

logger = logging.getLogger(__name__)

AGAIN_S: Final = 240.0
"""After a fault something new must be said of every bed within this, else the run has failed.

It is no measure of how fast that is: a machine that has much else to do starts a worker in a minute.
"""

IN_FLIGHT_S: Final = 1.0
"""What comes so soon after a fault was said before it."""

STARTING_S: Final = 60.0
"""So long after its start a process that is told to end may have no handler for it yet."""

LEAST_WORKERS: Final = 2
MOST_PUT_OFF: Final = 12
MOST_SHOWN: Final = 8
APART_S: Final = 30.0
MOST_WORKERS: Final = 4
SHARE: Final = 0.5
"""Of the connections, where some are struck."""

SIDE_SHARE: Final = 0.75
"""How often the recorder or the devices are struck besides."""

SHORT_S: Final = (1.0, 3.0)
LONG_S: Final = (2.0, 8.0)
DELAY_S: Final = (0.1, 0.5)
BEYOND_S: Final = (2.0, 4.0)
"""How much longer than the session a pause is."""

KILL: Final = "worker.kill"
MEASURED: Final = frozenset({KILL, "worker.pause", "worker.restart", "worker.remove"})
"""Faults after which another worker takes the beds over."""

WORKERS: Final = {"kill": 4, "pause": 3, "freeze": 2, "restart": 3, "add": 1, "remove": 1, "kill_all": 1}
LINK: Final = {"drop": 2, "drop_some": 2, "refuse": 1, "delay": 2, "stall": 2, "half_close": 2, "swallow": 2}
BROKER: Final = 3
"""Of the cards, where it keeps its data."""

STORM: Final = ("drop", "drop_some", "half_close", "swallow", "delay", "stall")
"""Faults of a storm, one close upon the other."""

STORMS: Final = 4
"""Of the cards."""

STORM_LENGTH: Final = (4, 8)
GUST_S: Final = (0.2, 1.5)
SIDE: Final = ("kill", "pause", "restart")


class Fault(msgspec.Struct):
    """One fault: what, to whom, when (s after the first), until when, and how long its beds were silent."""

    kind: str
    target: str
    at_s: float
    lasted_s: float = 0.0
    takeover_s: float | None = None


@dataclass(frozen=True, slots=True)
class FaultOptions:
    """Which faults.

    Parameters
    ----------
    seed : int
        Of their order, lengths and victims.
    workers : int
        How many run at first.
    session_s : float
        After which silence the broker takes a member for dead.
    restart_broker : callable or None
        Kills the broker and starts it again, where it keeps its data.
    rest_s : tuple of float
        Least and greatest time between two faults.
    again_s : float
        After a fault something new must be said of every bed within this.
    spare : bool
        The first worker and the recorder are never ended, only paused and cut off, so that one process of
        each kind lives through it all; the number of workers stays.
    """

    seed: int
    workers: int
    session_s: float
    restart_broker: Callable[[], None] | None = None
    rest_s: tuple[float, float] = GUST_S
    again_s: float = AGAIN_S
    spare: bool = False


class Faults:
    """Strikes a ward's processes and their way to the broker.

    Parameters
    ----------
    crew : Crew
        The processes.
    observer : Observer
        Tells when a bed is spoken of again.
    proxy : Proxy or None
        The way to the broker; without it, that is left alone.
    beds : sequence of str
        All beds.
    n_partitions : int
        Of the raw topic.
    options : FaultOptions
        Which faults.
    """

    def __init__(
        self,
        crew: Crew,
        observer: Observer,
        proxy: Proxy | None,
        beds: Sequence[str],
        n_partitions: int,
        options: FaultOptions,
    ) -> None:
        self._crew, self._observer, self._proxy = crew, observer, proxy
        self._home = {bed: kafka.partition_for(bed, n_partitions) for bed in beds}
        self._options = options
        self._random = random.Random(options.seed)
        self._workers_wanted = options.workers
        self._began_s = time.monotonic()
        self._deck = self._deal()
        self._put_off: deque[str] = deque()
        self.done: list[Fault] = []

    def _deal(self) -> Iterator[str]:
        cards = [
            f"{WORKER}.{name}"
            for name, n in WORKERS.items()
            for _ in range(n)
            if not (self._options.spare and name in ("kill_all", "add", "remove"))
        ]
        if self._proxy is not None:
            cards += [f"link.{name}" for name, n in LINK.items() for _ in range(n)]
            cards += ["storm."] * STORMS
        if self._options.restart_broker is not None:
            cards += ["broker.restart"] * BROKER
        # However short a run is, it has the fault that most is promised of.
        first = self._random.sample(cards, len(cards))
        first.remove(KILL)
        yield KILL
        yield from first
        while True:
            yield from self._random.sample(cards, len(cards))

    def run(self, until_s: float) -> None:
        """Strike again and again until a moment (monotonic s).

        The ward must come back at least every :data:`APART_S`, and before a takeover is measured.
        """
        came_back_s = time.monotonic()
        while time.monotonic() < until_s and not self._crew.device_done:
            card = self._draw()
            if card in MEASURED or time.monotonic() > came_back_s + APART_S:
                self._come_back(time.monotonic())
                came_back_s = time.monotonic()
            role, _, name = card.partition(".")
            # Devices that stand still would be taken for workers that do.
            with self._side(RECORDER), self._side(None if card in MEASURED else DEVICE):
                self._strike(role, name)
            self._rest(self._length(self._options.rest_s))

    def heal(self) -> None:
        """End what is still done to the ward, where a strike was interrupted."""
        if self._proxy is not None:
            self._proxy.refuse(False)
            self._proxy.stall(False)
            self._proxy.delay(0.0)
        for role in (WORKER, RECORDER, DEVICE):
            for one in self._crew.of(role):
                one.pause(False)
        self._staff()
        if not self._crew.of(RECORDER):
            self._crew.start(RECORDER)

    def _draw(self) -> str:
        """Next card; those that need a second worker wait until there is one."""
        while True:
            staffed = self._is_staffed()
            if staffed and self._put_off:
                return self._put_off.popleft()
            card = next(self._deck)
            if staffed or card not in MEASURED:
                return card
            self._put_off.append(card)
            if len(self._put_off) > MOST_PUT_OFF:
                self._until("two workers share the beds", self._is_staffed)

    def _is_staffed(self) -> bool:
        holdings = self._observer.holdings()
        pids = {one.pid for one in self._crew.of(WORKER)}
        return len(pids & holdings.keys()) >= LEAST_WORKERS and self._observer.behind("infer") is not None

    def _come_back(self, since_s: float) -> None:
        for bed in self._home:
            self._wait_for(bed, since_s)

    def _wait_for(self, bed: str, since_s: float) -> float | None:
        """Wait until something new is said of a bed; say when that was."""

        def heard() -> bool:
            return self._crew.device_done or self._observer.first_after(bed, since_s) is not None

        self._until(f"{bed} is spoken of again", heard)
        return self._observer.first_after(bed, since_s)

    def _until(self, what: str, condition: Callable[[], bool]) -> None:
        again_s = self._options.again_s
        deadline = time.monotonic() + again_s
        while not condition():
            if time.monotonic() > deadline:
                last = self.done[-1] if self.done else None
                raise ChaosError(f"waited {again_s:g} s until {what}, in vain; the last fault was {last}")
            self._rest(0.05)

    def _rest(self, seconds: float) -> None:
        """Let time pass; what ends by itself is replaced meanwhile."""
        until_s = time.monotonic() + seconds
        while True:
            self._crew.replace_ended()
            self._observer.check()
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            time.sleep(min(0.1, left_s))

    def _length(self, bounds: tuple[float, float]) -> float:
        return self._random.uniform(*bounds)

    @contextmanager
    def _fault(self, kind: str, target: str) -> Iterator[Fault]:
        began_s = time.monotonic()
        fault = Fault(kind, target, round(began_s - self._began_s, 3))
        self.done.append(fault)
        logger.info("%3d  %-18s %s", len(self.done), kind, target)
        yield fault
        fault.lasted_s = round(time.monotonic() - began_s, 3)

    @contextmanager
    def _side(self, role: str | None) -> Iterator[None]:
        """Strike recorder or devices, perhaps, while the main fault goes on."""
        running = self._crew.of(role) if role is not None else []
        if not running or self._random.random() > SIDE_SHARE:
            yield
            return
        name = "pause" if self._options.spare and role == RECORDER else self._random.choice(SIDE)
        victim = running[0]
        with self._fault(f"{role}.{name}", str(victim.pid)):
            if name == "kill":
                victim.kill()
            elif name == "restart":
                self._status_of(victim.end(), victim)
            else:
                victim.pause(True)
            yield
            if name == "pause":
                self._rest(self._length(SHORT_S))
                victim.pause(False)
            elif role != DEVICE or not self._crew.device_done:
                self._crew.start(victim.role)

    def _status_of(self, status: int, member: Member) -> None:
        starting = time.monotonic() - member.started_s < STARTING_S
        if status != 0 and not (status == -signal.SIGTERM and (starting or member.role == DEVICE)):
            self._crew.ended_alone.append(f"{member.log.stem} ended with status {status} when it was told to")

    def _strike(self, role: str, name: str) -> None:
        if role == WORKER:
            self._strike_worker(name)
        elif role == "link":
            self._strike_link(name, LONG_S)
        elif role == "storm":
            for gust in self._random.choices(STORM, k=self._random.randint(*STORM_LENGTH)):
                self._strike_link(gust, GUST_S)
                self._rest(self._length(GUST_S))
        elif self._options.restart_broker is not None:
            with self._fault("broker.restart", "the broker"):
                self._options.restart_broker()

    def _victim(self, name: str) -> Member:
        """A worker that has beds, where one has."""
        holdings, homes = self._observer.holdings(), set(self._home.values())
        running = self._crew.of(WORKER)
        if self._options.spare and name not in ("pause", "freeze"):
            running = running[1:] or running
        busy = [one for one in running if holdings.get(one.pid, set()) & homes]
        return self._random.choice(busy or running)

    def _strike_worker(self, name: str) -> None:
        running = self._crew.of(WORKER)
        if name == "kill_all":
            with self._fault("worker.kill_all", f"{len(running)} workers"):
                for one in running:
                    one.kill()
                for _ in range(self._workers_wanted):
                    self._crew.start(WORKER)
            return
        if name == "add" or (name == "remove" and len(running) <= LEAST_WORKERS):
            with self._fault("worker.add", "one more"):
                self._workers_wanted = min(MOST_WORKERS, len(running) + 1)
                self._staff()
            return
        victim = self._victim(name)
        beds = self._beds_of(victim)
        shown = ", ".join(beds) if len(beds) <= MOST_SHOWN else f"{len(beds)} beds"
        with self._fault(f"worker.{name}", f"{victim.pid} ({shown or 'no bed'})") as fault:
            began_s = time.monotonic()
            if name in ("pause", "freeze"):
                beyond = self._options.session_s + self._length(BEYOND_S)
                victim.pause(True)
                self._rest(beyond if name == "pause" else self._length(SHORT_S))
                victim.pause(False)
            elif name == "kill":
                victim.kill()
            else:
                # It says goodbye: what it held is free at once.
                self._status_of(victim.end(), victim)
            if name == "remove":
                self._workers_wanted = max(LEAST_WORKERS, self._workers_wanted - 1)
            self._staff()
            if name != "freeze":
                fault.takeover_s = self._takeover_s(beds, began_s)

    def _staff(self) -> None:
        for _ in range(self._workers_wanted - len(self._crew.of(WORKER))):
            self._crew.start(WORKER)

    def _beds_of(self, member: Member) -> list[str]:
        held = self._observer.holdings().get(member.pid, set())
        return [bed for bed, number in self._home.items() if number in held]

    def _takeover_s(self, beds: Sequence[str], began_s: float) -> float | None:
        """Longest time from a fault until something new was read of a bed.

        ``None`` where the devices were done before every bed had come back: those that did come back were
        the fast ones.
        """
        waited = [self._wait_for(bed, began_s + IN_FLIGHT_S) for bed in beds]
        times_s = [at_s - began_s for at_s in waited if at_s is not None]
        return round(max(times_s), 3) if times_s and len(times_s) == len(waited) else None

    def _strike_link(self, name: str, lasting_s: tuple[float, float]) -> None:
        proxy = self._proxy
        if proxy is None:
            return
        with self._fault(f"link.{name}", f"of {proxy.count()} connections"):
            if name == "drop":
                proxy.drop()
            elif name == "drop_some":
                proxy.drop(SHARE)
            elif name == "half_close":
                proxy.half_close(SHARE)
            elif name == "swallow":
                proxy.swallow(SHARE)
                self._rest(self._length(lasting_s))
                proxy.drop()
            elif name == "delay":
                proxy.delay(self._length(DELAY_S))
                self._rest(self._length(lasting_s))
                proxy.delay(0.0)
            else:
                act = proxy.refuse if name == "refuse" else proxy.stall
                act(True)
                self._rest(self._length(lasting_s))
                act(False)
