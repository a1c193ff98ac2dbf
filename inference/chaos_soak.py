"""A soak: many beds for an hour under faults; what of the processes grows, what of the signals is missing.

There is no unbroken run beside it. What is lost is told from the numbers that must be there for each second
of each signal, what is doubled from seconds that were said under two device times.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from inference.chaos_broker import BrokerOptions, broker_of
from inference.chaos_crew import DEVICE, RECORDER
from inference.chaos_device import Journal
from inference.chaos_faults import FaultOptions, Faults
from inference.chaos_gauge import Sampler
from inference.chaos_observer import Observer
from inference.chaos_run import READY_S, ChaosOptions, Run, settings_of
from inference.chaos_soak_report import SoakReport
from inference.chaos_tapes import TapeSpec
from inference.chaos_ward import WardOptions
from inference.errors import ChaosError
from inference.status import INFER, RECORD
from inference.store import Store
from inference.types import Prediction, Vital
from ingest import kafka, version
from ingest.settings import Settings
from ingest.types import NS_PER_S

logger = logging.getLogger(__name__)

PARTITIONS: Final = 64
BROKER_BYTES: Final = 8_000_000_000
LEAD_S: Final = 30.0
AGAIN_S: Final = 3_600.0
"""Of a machine that has much else to do nothing is asked but that it comes back at all."""

SETTLED_S: Final = 1_200.0
QUIET_S: Final = 5.0
CALM_S: Final = 20.0
"""No fault begins so shortly before the end."""

START_S: Final = 45
"""Numbers of a stream begin within this of its first sample."""

TAIL_S: Final = 5
"""The last seconds of a stream need not have a number: its windows may end later."""

KEPT: Final = 2_000
"""Moments at which a bed was spoken of that are remembered."""


@dataclass(frozen=True, slots=True)
class SoakOptions:
    """A soak.

    Parameters
    ----------
    seconds, beds, workers : int
        How long, how many.
    seed : int
        Of signals and faults.
    rest_s : tuple of float
        Least and greatest time between two faults.
    every_s : float
        Between two samples of what the processes hold.
    snapshot_s : float
        How often a worker leaves its state.
    """

    seconds: int
    beds: int
    workers: int = 2
    seed: int = 1
    rest_s: tuple[float, float] = (15.0, 45.0)
    every_s: float = 10.0
    snapshot_s: float = 60.0


class Seconds:
    """Of which seconds of each stream numbers were said. Streams begin at whole seconds of device time."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
        self.doubled: list[str] = []

    def note(self, vital: Vital) -> bool:
        """Take in numbers; say whether their second is new."""
        second = round(vital.time_ns / NS_PER_S)
        times = self._times[vital.bed, vital.signal]
        if second not in times:
            times[second] = vital.time_ns
            return True
        if times[second] != vital.time_ns:
            self.doubled.append(vital.id)
        return False

    def lost(self, spec: TapeSpec) -> list[str]:
        """Seconds of the streams of which nothing was said."""
        begin, missing = spec.start_ns // NS_PER_S, []
        for bed, kind, _ in spec.streams():
            times = self._times.get((bed, kind.value), {})
            first = min(min(times, default=begin + START_S), begin + START_S)
            wanted = range(first, begin + spec.seconds - TAIL_S)
            missing += [f"{bed}/{kind} second {second - begin}" for second in wanted if second not in times]
        return missing

    def counts(self) -> dict[str, int]:
        """Seconds that were said, by stream ("bed/signal")."""
        return {f"{bed}/{signal}": len(times) for (bed, signal), times in self._times.items()}


class SoakObserver(Observer):
    """Watches a ward for as long as it takes: of what was said it keeps the seconds alone."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.seconds = Seconds()

    def _is_new(self, item: Prediction | Vital) -> bool:
        times = self._heard[item.bed]
        if len(times) > KEPT:
            del times[: KEPT // 2]
        return isinstance(item, Vital) and self.seconds.note(item)


def run_soak(options: SoakOptions, folder: Path, out: Path | None = None) -> SoakReport:
    """Soak a ward.

    Parameters
    ----------
    folder : Path
        For logs and the database; must exist.
    out : Path or None
        JSON file of the report, rewritten each minute.

    Raises
    ------
    ChaosError
        The ward did not start.
    BrokerError
        There is no broker.
    """
    ward = WardOptions(options.seconds, options.seed)
    chaos = ChaosOptions(
        ward, options.seed, options.workers, options.snapshot_s, False,
        BrokerOptions(max_memory_bytes=BROKER_BYTES), PARTITIONS,
    )  # fmt: skip
    with broker_of(chaos.broker, options.seed) as way:
        settings = settings_of(chaos, way.address, f"soak-{uuid.uuid4().hex[:6]}")
        kafka.ensure_topics(settings)
        observer = SoakObserver(settings)
        run = Run("soak", settings, chaos, folder, "inference.chaos_tapes", observer)
        code = version.code_commit("inference", "ingest", "models")
        report = SoakReport(options.beds, options.workers, options.seconds, code)
        with run.running(options.workers):
            begin_s = time.time_ns() // NS_PER_S + round(LEAD_S)
            spec = TapeSpec(begin_s * NS_PER_S, options.seconds, options.beds, options.seed)
            run.plan_file.write_bytes(msgspec.json.encode(spec))
            run.crew.start(DEVICE)
            faults = Faults(
                run.crew, observer, way.proxy, spec.beds, PARTITIONS,
                FaultOptions(
                    options.seed, options.workers, settings.kafka.session_timeout_ms / 1e3,
                    rest_s=options.rest_s, again_s=AGAIN_S, spare=True,
                ),
            )  # fmt: skip
            report.every_fault = faults.done
            with Sampler(run.crew, report, options.every_s, out):
                played_s = _strike_through(run, faults, spec, report)
            _end(run, report)
        report.ended_alone = run.crew.ended_alone
        report.load_at_end = os.getloadavg()[0]
        report.said_seconds = sum(observer.seconds.counts().values())
        report.lost = observer.seconds.lost(msgspec.structs.replace(spec, seconds=played_s))
        report.doubled = observer.seconds.doubled
        report.lost_stored = _lost_stored(run.database, observer.seconds)
    if out is not None:
        report.write(out)
    return report


def _strike_through(run: Run, faults: Faults, spec: TapeSpec, report: SoakReport) -> int:
    """Strike until the tapes end, it fails, or someone interrupts; return the seconds to be judged."""
    try:
        _strike(run, faults, spec)
    except ChaosError as error:
        logger.error("%s", error)
        report.failures.append(str(error))
    except KeyboardInterrupt:
        played_s = _let_go_on(run, faults)
        report.failures.append(f"interrupted after {played_s} s of {spec.seconds} s; judged up to there")
        return played_s
    return spec.seconds


def _let_go_on(run: Run, faults: Faults) -> int:
    """End devices and faults, let what was sent be read and said; return how many seconds that was."""
    for device in run.crew.of(DEVICE):
        device.kill()
    faults.heal()
    try:
        run.wait("all was read and said", SETTLED_S, lambda: _is_through(run))
    except (ChaosError, KeyboardInterrupt) as error:
        logger.error("what was sent last was not waited for: %s", error)
    return Journal(run.journal_file).read()


def _is_through(run: Run) -> bool:
    return (
        run.observer.quiet_s() > QUIET_S
        and run.observer.behind(INFER) == 0
        and run.observer.behind(RECORD) == 0
    )


def _strike(run: Run, faults: Faults, spec: TapeSpec) -> None:
    run.wait(
        "every bed is spoken of",
        READY_S,
        lambda: all(run.observer.first_after(bed, 0.0) is not None for bed in spec.beds),
    )
    left_s = spec.start_ns / NS_PER_S + spec.seconds - time.time() - CALM_S
    faults.run(time.monotonic() + left_s)
    run.wait("the devices have sent everything", AGAIN_S, lambda: run.crew.device_done)
    run.wait("all was read and said", SETTLED_S, lambda: _is_through(run))


def _end(run: Run, report: SoakReport) -> None:
    """End workers and recorder in good order, so that what they hold is written."""
    for role in ("worker", RECORDER):
        for one in run.crew.of(role):
            try:
                one.end()
            except ChaosError as error:
                report.failures.append(str(error))


def _lost_stored(database: Path, seconds: Seconds) -> list[str]:
    """Streams of which the recorder stored fewer seconds than were said."""
    with Store(f"sqlite:///{database}") as store:
        stored = {stream: len(store.trend(*stream.split("/"))) for stream in seconds.counts()}
    return [
        f"{stream}: {stored[stream]} s of {n} s"
        for stream, n in seconds.counts().items()
        if stored[stream] < n
    ]
