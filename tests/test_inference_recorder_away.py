"""A recorder whose database is away or full says so as long as that lasts, and no longer."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy

from inference import recorder as recorder_module
from inference.recorder import Recorder
from inference.recorder_settings import RecorderSettings
from inference.stats import AWAY
from inference.store_write import Batch
from ingest.settings import Settings

LONG_S = 60.0


class Silent:
    """A status that nobody hears."""

    def __init__(self, *_: object) -> None:
        pass

    def tell(self, *_: object) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("steps", "settle_s", "calm_s", "told"),
    [
        (["quiet", "full", "quiet", "full", "stored", "quiet"], 0.0, LONG_S, [0, 0, 1, 1, 1, 0]),
        (["full", "stored", "full", "quiet"], LONG_S, LONG_S, [0, 1, 1, 1]),
        (["full", "quiet", "quiet"], LONG_S, 0.0, [0, 1, 0]),
    ],
    ids=["stores again", "stores a little", "has nothing to store"],
)
def test_a_database_that_stores_nothing_is_told_until_it_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[str],
    settle_s: float,
    calm_s: float,
    told: list[int],
) -> None:
    """A full disk answers all the same: that is not enough."""
    left: list[str] = list(steps)
    seen: list[int] = []

    class Scripted(Silent):
        def step(self) -> int:
            seen.append(recorder._stats.counts[AWAY])
            match left.pop(0):
                case "full":
                    raise sqlalchemy.exc.OperationalError("INSERT", {}, Exception("disk is full"))
                case "stored":
                    recorder._writer.write(Batch())
            return 0

        def commit(self) -> None:
            pass

    own = {"RETRY_S": 0.0, "PACE_S": 0.0, "SETTLE_S": settle_s, "CALM_S": calm_s}
    for name, value in own.items():
        monkeypatch.setattr(recorder_module, name, value)
    monkeypatch.setattr(recorder_module, "Session", Scripted)
    monkeypatch.setattr(recorder_module, "StatusReporter", Silent)
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    recorder = Recorder(Settings(), RecorderSettings.model_validate({"url": url}))
    recorder.run(lambda: not left)
    assert seen == told
    assert recorder._stats.counts["database_losses"] == steps.count("full")
