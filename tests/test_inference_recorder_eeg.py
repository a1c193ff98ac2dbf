"""What the worker says of a bed's EEG, through the recorder's intake, in the store's trends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest

from inference.raw_history import RawHistory
from inference.recorder_intake import RecordIntake
from inference.store import Store
from inference.store_engine import connect, upgrade
from inference.store_write import MINUTE_NS, Batch, StoreWriter
from inference.strip_cutter import StripCutter
from inference.types import VitalBatch
from ingest.settings import IngestSettings, Topics
from ingest.sim_events import Event
from ingest.types import NS_PER_S
from tests.eeg_playing import T0, monitor, pieces, simulated

SECONDS = 225
SUPPRESSED_S = (100, 225)


@dataclass(frozen=True)
class Record:
    """One record as the broker gives it."""

    topic: str
    value: bytes | None
    key: bytes | None = b"bed"
    partition: int = 0
    offset: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def test_a_burst_suppression_is_seen_in_the_stored_minutes(tmp_path: Path) -> None:
    begin_s, end_s = SUPPRESSED_S
    samples = simulated(SECONDS, Event("bed", "burst-suppression", begin_s, end_s - begin_s))
    vitals = monitor().push(pieces(samples)).vitals
    said = {vital.time_ns: vital.eeg for vital in vitals}
    counts: Counter[str] = Counter()
    cutter = StripCutter(IngestSettings(), cast(RawHistory, None))
    intake = RecordIntake(Topics(), cutter, counts)
    engine = connect(f"sqlite:///{tmp_path / 'store.sqlite'}", writes=True)
    upgrade(engine)
    writer = StoreWriter(engine)
    # As after a kill -9: what was written already comes again with what is new.
    for until in (150, len(vitals), len(vitals)):
        batch = Batch()
        for vital in vitals[:until]:
            intake.take(Record(Topics().vitals, msgspec.json.encode(VitalBatch([vital]))), batch)
        writer.write(batch)
        writer.aggregate(batch.minutes())
    with Store(str(engine.url)) as store:
        seconds = store.eeg_trend("bed")
        minutes = store.eeg_trend("bed", step_s=60)
    engine.dispose()
    assert counts["bad_records"] == 0
    assert {point.time_ns for point in seconds} == set(said)
    for point in seconds[50::70]:
        trends = said[point.time_ns]
        assert trends is not None
        assert point.aeeg_low_uv_left == trends.left.aeeg_low_uv
        assert point.edge_hz_right == trends.right.edge_hz
        assert point.suppression_whole == trends.whole.suppression
        assert point.symmetry_index == trends.symmetry_index
    assert sum(minute.n for minute in minutes) == len(vitals)
    at = {round((one.time_ns - T0) / NS_PER_S): one for one in minutes}
    waking, deep = at[40], at[160]
    assert waking.suppression_whole is not None
    assert deep.suppression_whole is not None
    assert waking.suppression_whole < 0.05
    assert deep.suppression_whole > 0.3
    assert waking.aeeg_low_uv_left is not None
    assert deep.aeeg_low_uv_left is not None
    assert deep.aeeg_low_uv_left < 0.7 * waking.aeeg_low_uv_left
    assert np.diff([one.time_ns for one in minutes]) == pytest.approx(MINUTE_NS)
