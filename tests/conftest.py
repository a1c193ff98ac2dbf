"""Shared fixtures: recordings, a broker, fresh topics."""

from __future__ import annotations

import os
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
    thresholds: dict[str, float] = field(default_factory=lambda: {"beat": 0.5, "vf": 0.5, "vt": 0.5, "af": 0.5})


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
