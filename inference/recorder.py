"""The recorder: from Kafka's topics into the store, at least once and the same twice.

Whatever goes wrong with the database, everything in memory is dropped and read again from the last commit: a
fault and ``kill -9`` take the same way.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from kafka.errors import KafkaError
from sqlalchemy import exc

from inference.recorder_session import GROUP_SUFFIX, MAX_RECORDS, Session
from inference.recorder_settings import RecorderSettings
from inference.stats import AWAY, Stats
from inference.status import RECORD, Standing, StatusReporter
from inference.store_engine import connect, reason, shown, upgrade
from inference.store_retention import Retention
from inference.store_write import StoreWriter
from ingest.errors import BrokerError
from ingest.settings import Settings

logger = logging.getLogger(__name__)

PACE_S: Final = 0.25
"""Least time between two transactions: each costs the disk a flush."""
COMMIT_S: Final = 10.0
RETRY_S: Final = 2.0
RETENTION_S: Final = 3_600.0
CALM_S: Final = 30.0
"""A database that was away and had nothing to store for so long since counts as back."""
SETTLE_S: Final = 5.0
"""One that stored something counts as back after so long: in a disk that is nearly full a little has room."""

DATABASE_AWAY: Final = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)
"""Down, unreachable, locked, full, or for now read-only (the standby of a cluster)."""


class Recorder:
    """Records until it is stopped.

    Parameters
    ----------
    settings : Settings
        Broker, topics, limits.
    options : RecorderSettings
        The store and how long what is kept.
    stats : Path or None
        JSON file with counters, rewritten every second.

    Raises
    ------
    StoreError
        The database cannot be reached, or is newer than this version.
    """

    def __init__(self, settings: Settings, options: RecorderSettings, stats: Path | None = None) -> None:
        self._settings = settings
        self._options = options
        self._stats_path = stats
        self._stats = Stats()
        self._engine = connect(options.url.get_secret_value(), writes=True)
        upgrade(self._engine)
        self._writer = StoreWriter(self._engine)
        self._retention: Retention | None = None
        self._retention_due_s = 0.0
        self._stats_due_s = 0.0
        self._stored_before = 0
        self._lost_s = 0.0
        self._session: Session | None = None
        self._status: StatusReporter | None = None
        logger.info("recording into %s", shown(self._engine.url))

    def run(self, stopped: Callable[[], bool]) -> None:
        """Record until told to stop. Broker and database may come and go."""
        while not stopped():
            try:
                self._writer.ping()
                self._record(stopped)
            except DATABASE_AWAY as error:
                self._counts["database_losses"] += 1
                self._note_away()
                self._engine.dispose()
                logger.error("the database does not answer, nothing is lost: %s", reason(error))
                self._pause(stopped)
            except (KafkaError, BrokerError) as error:
                self._counts["broker_losses"] += 1
                logger.error("the broker does not answer, nothing is lost: %s", error)
                self._pause(stopped)
        self._engine.dispose()
        self._write_stats()
        if self._status is not None:
            self._status.close()

    @property
    def _counts(self) -> Counter[str]:
        return self._stats.counts

    def _pause(self, stopped: Callable[[], bool]) -> None:
        until_s = time.monotonic() + RETRY_S
        while not stopped() and time.monotonic() < until_s:
            self._write_stats()
            time.sleep(0.1)

    def _record(self, stopped: Callable[[], bool]) -> None:
        session = self._session = Session(self._settings, self._writer, self._stats)
        # Not before a broker has answered.
        self._status = self._status or StatusReporter(
            self._settings, RECORD, self._settings.kafka.group_id + GROUP_SUFFIX
        )
        try:
            commit_due_s = time.monotonic() + COMMIT_S
            while not stopped():
                began_s = time.monotonic()
                n_records = session.step()
                self._delete_old(began_s)
                self._note_answer(began_s)
                if began_s >= commit_due_s:
                    session.commit()
                    commit_due_s = began_s + COMMIT_S
                self._write_stats()
                if n_records < MAX_RECORDS:
                    time.sleep(max(0.0, PACE_S - (time.monotonic() - began_s)))
            session.commit()
        finally:
            self._session = None
            session.close()

    def _note_away(self) -> None:
        self._counts[AWAY] = 1
        self._stored_before = self._writer.n_batches
        self._lost_s = time.monotonic()

    def _note_answer(self, now_s: float) -> None:
        """Say that the database is back: an answer is not enough, for a full disk gives one."""
        stored = self._writer.n_batches > self._stored_before
        if self._counts[AWAY] and now_s >= self._lost_s + (SETTLE_S if stored else CALM_S):
            self._counts[AWAY] = 0
            logger.info("the database takes what is to be stored again")

    def _delete_old(self, now_s: float) -> None:
        """Delete one slice of what is too old, if it is time."""
        if self._retention is None and now_s >= self._retention_due_s:
            self._retention = Retention(self._engine, self._options, time.time_ns())
        if self._retention is not None:
            deleted = self._retention.step()
            if deleted is None:
                self._retention = None
                self._retention_due_s = now_s + RETENTION_S
            else:
                self._counts["deleted_rows"] += deleted

    def _standing(self) -> Standing:
        return Standing() if self._session is None else self._session.standing()

    def _write_stats(self) -> None:
        if self._status is not None:
            self._status.tell(self._stats, self._standing)
        now_s = time.monotonic()
        if self._stats_path is None or now_s < self._stats_due_s:
            return
        self._stats_due_s = now_s + 1.0
        try:
            self._stats.write(self._stats_path)
        except OSError as error:
            logger.warning("statistics not written: %s", error)
