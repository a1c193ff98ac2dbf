"""What the worker makes of a bed's lung sounds, in the store's trends."""

import csv
from pathlib import Path

import numpy as np
import pytest

import wardwave
from inference.store import Store
from inference.store_engine import connect, upgrade
from inference.store_write import Batch, StoreWriter
from inference.types import Vital
from ingest.sounds import LungSound
from ingest.types import NS_PER_S, SignalKind
from tests.sound_playing import T0, PlainListener, monitor, pieces, play

FS_HZ = 4_000
WHISTLE_S = (120, 180)
RUBBED_S = (200, 220)
WHISTLE_HZ = 1_300


def test_wheezes_that_begin_are_seen_in_the_trend(tmp_path: Path) -> None:
    sound = LungSound(1, "bed", ()).next_samples(240 * FS_HZ)[:, 0]
    # A second of every three, as breaths wheeze: what lasts would become usual.
    at = np.arange(WHISTLE_S[0] * FS_HZ, WHISTLE_S[1] * FS_HZ)
    at = at[at % (3 * FS_HZ) < FS_HZ]
    sound[at] += 0.05 * np.sin(2 * np.pi * WHISTLE_HZ * at / FS_HZ)
    rubbed = slice(RUBBED_S[0] * FS_HZ, RUBBED_S[1] * FS_HZ)
    sound[rubbed] += 0.6 * np.random.default_rng(1).standard_normal(sound[rubbed].shape)
    outcome = play(monitor(SignalKind.LUNG_SOUND, PlainListener()), pieces(SignalKind.LUNG_SOUND, sound))
    batch = Batch(vitals=outcome.vitals)
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())
    with Store(url) as store:
        seconds = store.trend("bed", "lung_sound")
        minutes = store.trend("bed", "lung_sound", step_s=60)
    engine.dispose()
    judged = [point for point in seconds if point.wheeze is not None]
    assert 0.25 * len(seconds) < len(judged) <= len(seconds) / 3
    during = [
        point.wheeze for point in judged if WHISTLE_S[0] + 5 <= (point.time_ns - T0) / 1e9 <= WHISTLE_S[1]
    ]
    assert set(during) == {1.0}
    assert not [one for one in judged if RUBBED_S[0] + 6 <= (one.time_ns - T0) / 1e9 <= RUBBED_S[1]]
    assert all(point.crackle == 0.0 for point in judged)
    shares = [minute.wheeze for minute in minutes if minute.wheeze is not None]
    assert max(shares) > 0.6
    assert shares[0] == 0.0
    assert any(minute.respiratory_rate_bpm is not None for minute in minutes)


def test_a_trend_is_written_as_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    engine = connect(url, writes=True)
    upgrade(engine)
    vitals = []
    for second in range(12):
        heard = {"crackle": second % 6 == 0} if second % 3 == 0 else None
        at_ns = T0 + second * NS_PER_S
        vitals.append(
            Vital(f"v{second}", "bed-01", "lung_sound", at_ns, None, None, 1.0, True, 0, 0, 12.0, heard)
        )
    batch = Batch(vitals=vitals)
    writer = StoreWriter(engine)
    writer.write(batch)
    writer.aggregate(batch.minutes())
    engine.dispose()
    asked = ["trends", "--url", url, "--bed", "bed-01", "--signal", "lung_sound"]
    out = tmp_path / "trend.csv"
    assert wardwave.main([*asked, "--step", "1", "--since", "2023-11-14T22:13:23", "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["time_utc"][-3:] for row in rows] == [f"{second:02}Z" for second in range(23, 32)]
    assert [row["crackle"] for row in rows[:4]] == ["0.0", "", "", "1.0"]
    assert wardwave.main(asked) == 0
    (minute,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (minute["n"], minute["respiratory_rate_bpm"], minute["crackle"]) == ("12", "12.0", "0.5")
    assert (minute["heart_rate_bpm"], minute["wheeze"]) == ("", "")
    for more, words in (
        (["--bed", "bed-09"], "no numbers in this span"),
        (["--since", "yesterday"], "--since yesterday: no time; write it as"),
        (["--out", str(tmp_path / "no" / "t.csv")], "name a file that can be written"),
    ):
        assert wardwave.main([*asked, *more]) == 2
        assert words in capsys.readouterr().err
