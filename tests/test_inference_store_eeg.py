"""Trends of an EEG in the store, on SQLite and on PostgreSQL: seconds, minutes, replays, table, retention."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, select

import wardwave
from inference.recorder_settings import RecorderSettings
from inference.store import Store
from inference.store_engine import MIGRATIONS, connect, upgrade
from inference.store_retention import Retention
from inference.store_schema import EEG_NUMBERS, eeg_1min, eeg_1s
from inference.store_trends import EegPoint
from inference.store_write import MINUTE_NS, Batch, StoreWriter
from inference.types import EegSide, EegTrends, Vital
from ingest.types import NS_PER_S

T0 = 1_790_000_000 * NS_PER_S // MINUTE_NS * MINUTE_NS
DAY_NS = 86_400 * NS_PER_S


def eeg(second: int, high_uv: float | None = 20.0, **changes: object) -> Vital:
    numbers = [float(place) for place in range(len(EegSide.__struct_fields__))]
    left = EegSide(*numbers)
    right = EegSide(*(100.0 + number for number in numbers))
    trends = EegTrends(
        msgspec.structs.replace(left, aeeg_high_uv=high_uv), right, left, -0.25, 0.1, 18, 9, {"T7": ["off"]}
    )
    time_ns = T0 + second * NS_PER_S
    vital = Vital(f"v{second}", "bed-01", "eeg", time_ns, None, None, 0.5, True, second, 0, eeg=trends)
    return msgspec.structs.replace(vital, **changes)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = connect(database_url, writes=True)
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def plain_url(tmp_path: Path) -> str:
    """Of a SQLite store, where nothing hangs on the database."""
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    engine.dispose()
    return url


def write(engine: Engine, *vitals: Vital) -> None:
    batch = Batch(vitals=list(vitals))
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())


def test_a_point_has_what_the_tables_hold() -> None:
    assert {field.name for field in fields(EegPoint)} == {"time_ns", "n", *EEG_NUMBERS}


def test_seconds_come_back_as_they_were_and_minutes_as_their_means(engine: Engine, database_url: str) -> None:
    # Half a minute, a gap of one, ten seconds: high is missing in some.
    seconds = [*range(30), *range(120, 130)]
    write(engine, *(eeg(second, None if second % 10 == 0 else float(second)) for second in seconds))
    with Store(database_url) as store:
        points = store.eeg_trend("bed-01")
        minutes = store.eeg_trend("bed-01", step_s=60)
        later = store.eeg_trend("bed-01", since_ns=T0 + 60 * NS_PER_S, step_s=60)
        vitals = store.trend("bed-01", "eeg")
        other = store.eeg_trend("bed-02")
    assert [(point.time_ns - T0) // NS_PER_S for point in points] == seconds
    assert (points[1].aeeg_high_uv_left, points[0].aeeg_high_uv_left) == (1.0, None)
    one = points[7]
    assert (one.aeeg_low_uv_left, one.edge_hz_left, one.edge_hz_right) == (0.0, 2.0, 102.0)
    assert (one.alpha_delta_right, one.suppression_left, one.suppression_whole) == (107.0, 8.0, 8.0)
    assert (one.asymmetry, one.symmetry_index, one.trusted) == (-0.25, 0.1, 0.5)
    assert [((point.time_ns - T0) // MINUTE_NS, point.n) for point in minutes] == [(0, 30), (2, 10)]
    expected = np.mean([second for second in range(30) if second % 10])
    assert minutes[0].aeeg_high_uv_left == pytest.approx(expected)
    assert (minutes[0].beta_uv2_right, minutes[0].trusted) == (106.0, 0.5)
    assert later == minutes[1:]
    assert len(vitals) == 40
    assert other == []


def test_a_replay_and_duplicates_change_nothing_and_a_later_word_counts(engine: Engine) -> None:
    everything = [eeg(second, float(second)) for second in range(90)]
    again = [eeg(5, 500.0, raw_offset=200), eeg(5, 7.0, raw_offset=3)]

    def contents() -> list[sqlalchemy.Row[tuple[object, ...]]]:
        with engine.connect() as connection:
            return [
                row
                for table in (eeg_1s, eeg_1min)
                for row in connection.execute(select(table).order_by(*table.primary_key))
            ]

    write(engine, *everything, *again)
    once = contents()
    for part in (everything[40:], again[::-1], everything[::-1], everything + everything):
        write(engine, *part)
    assert contents() == once
    with engine.connect() as connection:
        row = connection.execute(select(eeg_1s).where(eeg_1s.c.time_ns == T0 + 5 * NS_PER_S)).one()
    assert row.aeeg_high_uv_left == 500.0


def test_a_minute_whose_seconds_are_gone_stays_as_it_was(plain_url: str) -> None:
    engine = connect(plain_url, writes=True)
    write(engine, *(eeg(second) for second in range(60)))
    with engine.begin() as connection:
        connection.execute(eeg_1s.delete())
    write(engine, eeg(30, 900.0))
    with Store(plain_url) as store:
        (minute,) = store.eeg_trend("bed-01", step_s=60)
    engine.dispose()
    assert (minute.n, minute.aeeg_high_uv_left) == (60, 20.0)


def test_only_an_eeg_has_a_trend_of_one(plain_url: str) -> None:
    engine = connect(plain_url, writes=True)
    write(engine, eeg(0, signal="ecg"), eeg(1, eeg=None), eeg(2))
    with Store(plain_url) as store:
        assert [point.time_ns for point in store.eeg_trend("bed-01")] == [T0 + 2 * NS_PER_S]
    engine.dispose()


def test_old_trends_go_with_the_others(engine: Engine, database_url: str) -> None:
    days = [1, 10, 100]
    write(engine, *(eeg(0, time_ns=T0 - n * DAY_NS) for n in days))
    round_ = Retention(engine, RecorderSettings(), T0)
    while round_.step() is not None:
        pass
    with Store(database_url) as store:
        assert len(store.eeg_trend("bed-01")) == 1
        assert len(store.eeg_trend("bed-01", step_s=60)) == 2


def test_a_store_without_eeg_trends_is_brought_up_to_date_and_keeps_its_numbers(
    engine: Engine, database_url: str
) -> None:
    write(engine, eeg(0))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        assert not sqlalchemy.inspect(connection).has_table("eeg_1s")
    upgrade(engine)
    write(engine, eeg(1))
    with Store(database_url) as store:
        assert len(store.trend("bed-01", "eeg")) == 2
        assert [point.time_ns for point in store.eeg_trend("bed-01")] == [T0 + NS_PER_S]


def test_the_command_writes_an_eeg_as_a_table(plain_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    engine = connect(plain_url, writes=True)
    write(engine, *(eeg(second, None if second == 3 else 30.0) for second in range(70)))
    engine.dispose()
    asked = ["trends", "--url", plain_url, "--bed", "bed-01", "--signal", "eeg"]
    assert wardwave.main(asked) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["n"] for row in rows] == ["60", "10"]
    assert (rows[0]["aeeg_high_uv_left"], rows[0]["edge_hz_right"]) == ("30.0", "102.0")
    assert wardwave.main([*asked, "--step", "1"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(rows) == 70
    assert [row["aeeg_high_uv_left"] for row in rows[2:5]] == ["30.0", "", "30.0"]
    assert wardwave.main([*asked[:-1], "eeg", "--since", "2035-01-01"]) == 2
    assert "no numbers in this span" in capsys.readouterr().err
