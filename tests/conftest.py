"""Shared fixtures: recordings, a broker, fresh topics."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from inference.predictor import Probabilities
from ingest.settings import KafkaSettings, Settings, Topics

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real recordings."""
    folder = Path(os.environ.get("WARDWAVE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mitdb").is_dir():
        pytest.skip(f"recordings are not at {folder} (set WARDWAVE_DATA to where they are)")
    return folder


@pytest.fixture(scope="session")
def broker_address() -> Iterator[str]:
    """Any Kafka named by the environment, else an embedded one."""
    named = os.environ.get("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS")
    if named:
        yield named
        return
    from ingest.broker import EmbeddedBroker

    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


@pytest.fixture
def kafka(broker_address: str) -> Settings:
    """Settings with topics and a group of this test's own, the topics made."""
    from ingest.kafka import ensure_topics

    mark = uuid.uuid4().hex[:8]
    names = {name: f"t{mark}.{name}" for name in Topics.model_fields}
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=broker_address, group_id=f"g{mark}", partitions=4),
        topics=Topics(**names),
    )
    ensure_topics(settings)
    return settings


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """Folder of the socket of a PostgreSQL server of these tests alone, user wardwave."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("no PostgreSQL here (apt-get install postgresql)")
    # It refuses to run as root.
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="wardwave-pg-"))
    if who:
        shutil.chown(folder, "postgres", "postgres")
    make = [programs[-1] / "initdb", "-D", folder / "data", "-U", "wardwave", "-A", "trust", "--no-sync"]
    subprocess.run([*make, "-E", "UTF8", "--locale=C"], check=True, capture_output=True, cwd=folder, **who)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
    command = [programs[-1] / "postgres", "-D", folder / "data", *options]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, **who)
    try:
        ready = [programs[-1] / "pg_isready", "-q", "-h", folder]
        deadline = time.monotonic() + 30
        while subprocess.run(ready, check=False).returncode:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield str(folder)
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_address: str) -> Iterator[str]:
    """URL of a fresh PostgreSQL database."""
    import sqlalchemy

    name = f"t{uuid.uuid4().hex[:8]}"
    server = sqlalchemy.URL.create(
        "postgresql+psycopg", "wardwave", database="postgres", query={"host": postgres_address}
    )
    engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
        yield server.set(database=name).render_as_string(hide_password=False)
        connection.execute(sqlalchemy.text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a fresh database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))


@dataclass(frozen=True)
class PlainCard:
    """The part of a model's card that the monitor reads."""

    name: str = "plain"
    sha256: str = "plain"
    fs_hz: float = 125.0
    band_hz: tuple[float, float] = (0.5, 40.0)
    window_s: float = 8.0
    hop_s: float = 1.0
    step_s: float = 0.064
    right_context_s: float = 1.0
    beat_gains: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    window_classes: tuple[str, ...] = ("vf", "vt", "asystole", "af", "noise", "other")
    thresholds: dict[str, float] = field(
        default_factory=lambda: {"beat": 0.5, "vf": 0.5, "vt": 0.5, "af": 0.5, "noise": 0.5}
    )


class PlainPredictor:
    """A threshold instead of a network, so that tests of the path do not hang on weights.

    A step over 0.4 mV that is the largest around is a normal beat; a line that is over 0.15 mV most of the
    time is fibrillation.
    """

    spec = PlainCard()

    def __call__(self, windows: np.ndarray) -> Probabilities:
        height = np.abs(windows).reshape(len(windows), -1, 8).max(axis=2)
        padded = np.pad(height, ((0, 0), (3, 3)))
        around = np.lib.stride_tricks.sliding_window_view(padded, 7, axis=1).max(axis=2)
        beat = (height > 0.4) & (height >= around)
        steps = np.zeros((*height.shape, 5), dtype=np.float32)
        steps[..., 0] = np.where(beat, 0.05, 1.0)
        steps[..., 1] = np.where(beat, 0.95, 0.0)
        shaken = (np.abs(windows[:, -500:]) > 0.15).mean(axis=1) > 0.5
        rhythms = np.zeros((len(windows), 6), dtype=np.float32)
        rhythms[:, 0] = np.where(shaken, 0.9, 0.05)
        rhythms[:, 5] = 1 - rhythms[:, 0]
        return Probabilities(steps, rhythms)


@pytest.fixture
def plain_predictor() -> PlainPredictor:
    """Stand-in for the network."""
    return PlainPredictor()


@pytest.fixture(scope="session")
def plain_predictor_class() -> type[PlainPredictor]:
    """The stand-in's class, for tests that need several."""
    return PlainPredictor


@pytest.fixture(scope="session", autouse=True)
def patient_browser() -> None:
    """Let expectations of a page wait as long as other waits do: two processes share two cores."""
    try:
        from playwright.sync_api import expect
    except ImportError:
        return
    expect.set_options(timeout=30_000)
