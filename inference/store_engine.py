"""Reaching the database: SQLite file or PostgreSQL by URL, and its schema by Alembic's migrations."""

from __future__ import annotations

import importlib.util
import sqlite3
import time
from math import ceil
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from inference.errors import StoreError

MIGRATIONS: Final = Path(__file__).with_name("migrations")
BUSY_MS: Final = 30_000
"""How long one writer of a SQLite file waits for another."""
_LOCK: Final = 0x77617264
"""Any number that other users of the PostgreSQL server do not take for their advisory lock ("ward")."""
_CONNECT_S: Final = 10
_DEAD_MS: Final = 20_000
"""A PostgreSQL server that acknowledges nothing for so long is taken for gone."""


def shown(url: URL) -> str:
    """URL for logs and errors, without password and options."""
    return url.set(query={}).render_as_string(hide_password=True)


def connect(text_url: str, *, writes: bool, patience_s: float | None = None) -> Engine:
    """Make an engine; nothing is connected yet.

    Parameters
    ----------
    text_url : str
        ``sqlite:///file`` or ``postgresql://user:password@host/database``.
    writes : bool
        Transactions of a writer take SQLite's lock at their begin, so that none fails half-way.
    patience_s : float, optional
        How long to wait for a connection, a lock or an answer, where somebody waits before a screen. By
        default 10 s for a connection and 30 s for a lock.

    Raises
    ------
    StoreError
        The URL is none, or of a database that is not supported.
    """
    try:
        url = make_url(text_url)
    except (ArgumentError, ValueError):
        # The library's words would show the password.
        raise StoreError(
            "the database's URL cannot be read; give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
        ) from None
    backend = url.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return _postgresql(url.set(drivername="postgresql+psycopg"), patience_s)
    if backend == "sqlite":
        return _sqlite(url, writes, patience_s)
    raise StoreError(f"{shown(url)}: {backend} is not supported; use sqlite or postgresql")


def _postgresql(url: URL, patience_s: float | None) -> Engine:
    if importlib.util.find_spec("psycopg") is None:
        raise StoreError(f"{shown(url)}: PostgreSQL needs psycopg: pip install 'wardwave[postgres]'")
    options: dict[str, str | int] = {"keepalives_idle": 10}
    if patience_s is None:
        options |= {"connect_timeout": _CONNECT_S, "tcp_user_timeout": _DEAD_MS}
        return create_engine(url, pool_pre_ping=True, connect_args=options)
    patience_ms = round(patience_s * 1e3)
    # The driver counts whole seconds, and less than 2 as 2.
    options |= {"connect_timeout": ceil(patience_s), "tcp_user_timeout": patience_ms}
    own = url.query.get("options", "")
    options["options"] = f"{own} -c statement_timeout={patience_ms} -c lock_timeout={patience_ms}".strip()
    return create_engine(url, pool_pre_ping=True, pool_timeout=patience_s, connect_args=options)


def _sqlite(url: URL, writes: bool, patience_s: float | None) -> Engine:
    if url.database in (None, "", ":memory:"):
        raise StoreError(f"{shown(url)}: name a file, such as sqlite:///wardwave.sqlite")
    busy_s = BUSY_MS / 1e3 if patience_s is None else patience_s
    engine = create_engine(url, pool_timeout=busy_s, connect_args={"timeout": busy_s})
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
        # Python's driver would otherwise begin transactions by itself, and leave table changes out of them.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        if writes:
            # What is committed to Kafka as done must be on the disk: FULL, though NORMAL is faster.
            _write_ahead(connection, busy_s)
            connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _write_ahead(connection: sqlite3.Connection, busy_s: float) -> None:
    """Turn on the write-ahead log, so that readers and the writer do not stop each other.

    SQLite does not wait here for another process that does the same at this moment.
    """
    deadline = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's; of several that do it at once, one does and the others wait.

    Raises
    ------
    StoreError
        The database is newer than this version, or cannot be reached or changed.
    """
    config = _config()
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            found = _revision(connection)
            if found is not None and found not in known:
                raise StoreError(
                    f"{shown(engine.url)} has schema {found}, which is newer than this version of Wardwave; "
                    "update Wardwave, or name another database"
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as error:
        raise StoreError(f"{shown(engine.url)}: {reason(error)}") from error


def check_revision(engine: Engine) -> None:
    """Refuse a database whose schema is not this version's.

    Raises
    ------
    StoreError
        It is older, newer, not Wardwave's, or cannot be reached.
    """
    scripts = ScriptDirectory.from_config(_config())
    head = scripts.get_current_head()
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").is_file():
        raise StoreError(f"{shown(engine.url)}: no such file; 'wardwave record' makes it")
    try:
        with engine.connect() as connection:
            found = _revision(connection)
    except SQLAlchemyError as error:
        raise StoreError(f"{shown(engine.url)}: {reason(error)}") from error
    if found == head:
        return
    older = found is None or found in {script.revision for script in scripts.walk_revisions()}
    way_out = "run 'wardwave record' once to bring it up to date" if older else "update Wardwave"
    raise StoreError(
        f"{shown(engine.url)} has schema {found or 'none'}, this version of Wardwave reads {head}; {way_out}"
    )


def reason(error: SQLAlchemyError) -> str:
    """What the database's driver said, in one line, without statement and values."""
    cause = getattr(error, "orig", None) or error
    return " ".join(str(cause).split()) or type(cause).__name__
