"""Disks that are full: what cannot be written is said, and monitoring goes on."""

import logging
from pathlib import Path

import pytest
import sqlalchemy
from sqlalchemy import event

from inference.recorder import DATABASE_AWAY
from inference.stats import Stats
from inference.store_engine import connect, upgrade

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")


def test_a_database_on_a_full_disk_counts_as_away_and_is_whole_once_there_is_room(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'r.sqlite'}", writes=True)
    upgrade(engine)
    most = [1]

    @event.listens_for(engine, "connect")
    def limit(connection: object, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {most[0]}")  # type: ignore[attr-defined]

    fill = sqlalchemy.text("CREATE TABLE big AS SELECT randomblob(200000) AS x")
    engine.dispose()
    with pytest.raises(DATABASE_AWAY, match="full"), engine.begin() as connection:
        connection.execute(fill)
    # What the recorder does after such a loss: let go of the connections, try again.
    engine.dispose()
    most[0] = 1_000_000
    with engine.begin() as connection:
        connection.execute(fill)
        assert connection.execute(sqlalchemy.text("PRAGMA integrity_check")).scalar() == "ok"
    engine.dispose()


def test_statistics_on_a_full_disk_leave_the_last_ones_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stats = tmp_path / "stats.json", Stats()
    stats.counts["chunks_in"] = 7
    stats.write(path)
    before = path.read_bytes()

    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "write_text", full)
    stats.counts["chunks_in"] = 8
    with pytest.raises(OSError, match="No space left"):
        stats.write(path)
    assert path.read_bytes() == before


@needs_full
def test_a_log_on_a_full_disk_stops_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("tests.full")
    logger.propagate = False
    stream = FULL.open("w", encoding="utf-8")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    logger.warning("what nobody will read")
    logger.removeHandler(handler)
    assert "No space left on device" in capsys.readouterr().err
    with pytest.raises(OSError, match="No space left"):
        stream.close()
