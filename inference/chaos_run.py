"""A chaos run from end to end: a ward under faults, the same ward unbroken, and what differs."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from inference.chaos_broker import BrokerOptions, Way, broker_of
from inference.chaos_compare import compare, compare_stored
from inference.chaos_crew import DEVICE, RECORDER, WORKER, Crew
from inference.chaos_desk import compare_commands, compare_trail, read_answered
from inference.chaos_faults import STARTING_S, Fault, FaultOptions, Faults
from inference.chaos_observer import Observer
from inference.chaos_raw import false_missing, given_again, gone, late_strips, read_raw
from inference.chaos_report import Report
from inference.chaos_said import NO_DATA, read_said, read_stored
from inference.chaos_staff import Staff
from inference.chaos_ward import DEVICE as LABEL
from inference.chaos_ward import Plan, WardOptions, make_plan
from inference.commands import Command
from inference.errors import ChaosError
from inference.status import INFER, RECORD
from ingest import kafka, version
from ingest.publisher import Publisher
from ingest.settings import CommandSettings, KafkaSettings, Settings, Topics
from ingest.types import NS_PER_S

logger = logging.getLogger(__name__)

READY_S: Final = 300.0
SETTLED_S: Final = 900.0
QUIET_S: Final = 2.0
LEAD_S: Final = 4.0
"""From the plan's making to its first sample: the devices' process starts meanwhile."""

MAKING: Final = 0.03
"""Seconds that making a second of the plan may take."""

CALM_S: Final = 25.0
"""No fault begins so shortly before the end of the records: a takeover may take 10 s, and on a laden machine
twice that. Those that are cut short by the end are the long ones."""

SHORT_CALM_S: Final = 5.0
"""The same of wards that are shorter than :data:`SHORT_S`, whose takeovers are no figures."""

SHORT_S: Final = 60

CALM_POLL_MS: Final = 600_000


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """A chaos run.

    Parameters
    ----------
    ward : WardOptions
        What is replayed.
    seed : int
        Of the faults.
    workers : int
        How many run at first.
    snapshot_s : float
        How often a worker leaves its state.
    strips : bool
        Whether to wait, at the end, for the recorder's last strips (half a minute each run).
    broker : BrokerOptions
        Which broker.
    partitions : int
        Of all topics, which are this run's own.
    """

    ward: WardOptions
    seed: int = 1
    workers: int = 3
    snapshot_s: float = 30.0
    strips: bool = True
    broker: BrokerOptions = BrokerOptions()
    partitions: int = 8


class Run:
    """One ward with its processes, watched.

    Parameters
    ----------
    name : str
        Of its topics, files and logs.
    settings : Settings
        Its broker and topics.
    options : ChaosOptions
        The chaos run.
    folder : Path
        For its files.
    device : str
        Module that plays the plan.
    observer : Observer or None
        Who watches; by default one that knows everything that was said.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        options: ChaosOptions,
        folder: Path,
        device: str = "inference.chaos_device",
        observer: Observer | None = None,
    ) -> None:
        self.settings = settings
        self._options = options
        self.database = folder / f"{name}.sqlite"
        self.plan_file = folder / "plan"
        self.journal_file = folder / f"{name}.journal"
        logs = folder / f"{name}-logs"
        logs.mkdir(exist_ok=True)
        worker = ["infer", "--threads", "1", "--overload", "queue"]
        worker += ["--snapshot-s", f"{options.snapshot_s:g}"]
        quiet = ["wardwave", "--log-level", "INFO"]
        commands = {
            WORKER: [*quiet, *worker],
            RECORDER: [*quiet, "record", "--url", f"sqlite:///{self.database}"],
            DEVICE: [device, str(self.plan_file), str(self.journal_file)],
        }
        self.crew = Crew(settings, commands, logs)
        self.observer = observer or Observer(settings)

    @contextmanager
    def running(self, n_workers: int) -> Iterator[None]:
        """Start workers and recorder, wait until they hold everything; kill what is left in the end."""
        try:
            with self.observer:
                for _ in range(n_workers):
                    self.crew.start(WORKER)
                self.crew.start(RECORDER)
                self.wait(
                    "workers and recorder hold all partitions", READY_S, lambda: self._is_ready(n_workers)
                )
                yield
        finally:
            self.crew.stop()

    def _is_ready(self, n_workers: int) -> bool:
        n_busy = sum(bool(numbers) for numbers in self.observer.holdings().values())
        return n_busy == n_workers and None not in (self.observer.behind(INFER), self.observer.behind(RECORD))

    def wait(self, what: str, most_s: float, condition: Callable[[], bool]) -> None:
        """Wait; what ends by itself is replaced meanwhile.

        Raises
        ------
        ChaosError
            In vain.
        """
        deadline = time.monotonic() + most_s
        while not condition():
            if time.monotonic() > deadline:
                raise ChaosError(f"waited {most_s:g} s until {what}, in vain; the logs tell more (--keep)")
            self.crew.replace_ended()
            self.observer.check()
            time.sleep(0.1)

    def read_through(self, plan: Plan) -> None:
        """Wait until every record has had its effect."""
        last = last_silences(plan)

        def said_all() -> bool:
            quiet = self.observer.quiet_s() > QUIET_S and self.observer.behind(INFER) == 0
            return quiet and last <= self.observer.silent()

        self.wait("all was said that there is to say", SETTLED_S, said_all)

    def settle(self, plan: Plan) -> None:
        """Wait until every record has had its effect, then end all processes in good order."""
        self.read_through(plan)
        workers = self.crew.of(WORKER)
        for worker in workers:
            worker.tell_to_end()
        for worker in workers:
            # One that was still starting has no handler yet.
            starting = time.monotonic() - worker.started_s < STARTING_S
            if worker.end() not in ((0, -signal.SIGTERM) if starting else (0,)):
                self.crew.ended_alone.append(
                    f"{worker.log.stem}: status {worker.process.returncode} at its end"
                )

        def stored_all() -> bool:
            cut = self.observer.strips_wanted() == 0 or not self._options.strips
            return self.observer.behind(RECORD) == 0 and cut

        self.wait("all is stored", SETTLED_S, stored_all)
        for recorder in self.crew.of(RECORDER):
            recorder.end()


def last_silences(plan: Plan) -> set[str]:
    """Ids of the alarms of missing data that must follow the end of each stream."""
    return {f"{stream.replace('/', ':')}:{NO_DATA}:{end_ns}" for stream, end_ns in plan.ends_ns.items()}


def run_chaos(options: ChaosOptions, folder: Path) -> Report:
    """Run a ward under faults, then unbroken, and compare.

    Parameters
    ----------
    folder : Path
        For logs, plan and databases; must exist.

    Raises
    ------
    ChaosError
        A run could not be carried to its end.
    BrokerError
        There is no broker.
    """
    mark = uuid.uuid4().hex[:6]
    with broker_of(options.broker, options.seed) as way:
        runs = {
            "chaos": Run("chaos", settings_of(options, way.address, f"chaos-{mark}"), options, folder),
            # As fast as it goes, a backlog may take long: nobody shall be taken for dead over it.
            "calm": Run(
                "calm",
                settings_of(options, way.address, f"calm-{mark}", max_poll_interval_ms=CALM_POLL_MS),
                options,
                folder,
            ),
        }
        for run in runs.values():
            kafka.ensure_topics(run.settings)
        struck, calm = runs["chaos"], runs["calm"]
        plan, faults, silences, commands = _under_faults(struck, options, way)
        load = os.getloadavg()[0]
        logger.info("%d faults; now the same ward unbroken", len(faults))
        _unbroken(calm, plan, commands, options)
        said, whole = read_said(struck.settings), read_said(calm.settings)
        streams = sorted(plan.ends_ns)
        verdict = compare(said, whole, last_silences(plan), streams)
        stored = [read_stored(run.database, streams) for run in (struck, calm)]
        raw = read_raw(struck.settings)
        late = late_strips(said, raw, options.partitions)
        compare_stored(verdict, stored[0], stored[1], said, strips=options.strips, late=late)
        answered = [read_answered(run.settings) for run in (struck, calm)]
        compare_commands(verdict, commands, answered[0], answered[1], said, options.partitions)
        compare_trail(verdict, answered[0], stored[0])
        verdict.false_missing = false_missing(said, raw, last_silences(plan))
        verdict.gone = gone(plan, raw.values())
        verdict.given_again = given_again(said, raw, options.partitions)
    return Report(
        seed=options.seed,
        code_commit=version.code_commit("inference", "ingest", "models"),
        broker=options.broker.name,
        seconds=options.ward.seconds,
        load=load,
        workers=options.workers,
        beds=plan.beds,
        records=plan.n_records,
        records_sent_again=len(raw) + len(verdict.gone) - plan.n_records,
        dead_letters=said.dead_letters,
        silence_longest_s=silences,
        ended_alone=struck.crew.ended_alone,
        every_fault=faults,
        verdict=verdict,
    )


def _under_faults(
    run: Run, options: ChaosOptions, way: Way
) -> tuple[Plan, list[Fault], dict[str, float], list[Command]]:
    """Play the plan while everything is struck and staff command.

    Returns
    -------
    plan, faults, silences, commands
        What was sent, what was done to it, each bed's longest silence (s), what staff commanded.
    """
    kafka_settings, seconds = run.settings.kafka, options.ward.seconds
    with run.running(options.workers):
        start_ns = time.time_ns() + round((LEAD_S + MAKING * seconds) * NS_PER_S)
        plan = make_plan(options.ward, start_ns)
        plan.write(run.plan_file)
        run.crew.start(DEVICE)
        run.wait(
            "every bed is spoken of",
            READY_S,
            lambda: all(run.observer.first_after(bed, 0.0) is not None for bed in plan.beds),
        )
        began_s = time.monotonic()
        left_s = (
            (start_ns - time.time_ns()) / NS_PER_S
            + seconds
            - (CALM_S if seconds >= SHORT_S else SHORT_CALM_S)
        )
        faults = Faults(
            run.crew,
            run.observer,
            way.proxy,
            plan.beds,
            kafka_settings.partitions,
            FaultOptions(
                options.seed,
                options.workers,
                kafka_settings.session_timeout_ms / 1e3,
                way.restart,
            ),
        )
        with Staff(run.settings, run.observer, plan.beds, options.seed) as staff:
            faults.run(began_s + left_s)
            run.wait("the devices have sent everything", SETTLED_S, lambda: run.crew.device_done)
            staff.finish()
        silences = run.observer.longest_silences_s(began_s, time.monotonic())
        run.settle(plan)
    shown = {bed: round(silence, 1) for bed, silence in sorted(silences.items())}
    return plan, faults.done, shown, staff.sent


def _unbroken(run: Run, plan: Plan, commands: Sequence[Command], options: ChaosOptions) -> None:
    """Give the same bytes, then the same commands, to workers that nothing happens to."""
    with run.running(options.workers):
        with Publisher(run.settings, device=LABEL) as publisher:
            for second in plan.seconds:
                for one in second:
                    publisher.send_raw(one.bed.encode(), one.value)
        run.read_through(plan)
        with Staff(run.settings, run.observer, plan.beds, options.seed, idle=True) as staff:
            staff.give(commands)
        run.settle(plan)


def settings_of(options: ChaosOptions, address: KafkaSettings, mark: str, **others: int) -> Settings:
    """Give a run its own topics and group."""
    names = {name: f"{mark}.{name}" for name in Topics.model_fields}
    own = {"group_id": mark, "partitions": options.partitions, **others}
    key = CommandSettings(key=SecretStr(secrets.token_hex(32)))
    return Settings(kafka=address.model_copy(update=own), topics=Topics(**names), commands=key)
