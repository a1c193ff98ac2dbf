"""What the worker takes from the raw topic, and what it refuses."""

import base64
from dataclasses import dataclass, field

import numpy as np
import pytest

from inference.intake import Partition, Taken
from inference.no_data import NoData
from ingest import wire
from ingest.kafka import partition_for
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S

T0 = 1_700_000_000 * NS_PER_S
N_PARTITIONS = 8


@dataclass
class Record:
    value: bytes
    offset: int = 0
    key: bytes | None = b"bed-01"
    partition: int = partition_for("bed-01", N_PARTITIONS)
    topic: str = "biosignals.raw"
    timestamp: int = T0 // 1_000_000
    headers: list[tuple[str, bytes | None]] = field(default_factory=lambda: wire.headers(wire.AVRO))


def encoded(seq: int = 0, n_samples: int = 250, n_channels: int = 2, fs_hz: float = 250.0) -> bytes:
    return wire.encode(
        bed="bed-01",
        device="m",
        kind="ecg",
        channels=tuple(f"L{n}" for n in range(n_channels)),
        unit="mV",
        fs_hz=fs_hz,
        start_ns=T0 + seq * NS_PER_S,
        seq=seq,
        samples=np.zeros((n_samples, n_channels), np.int16),
        gain=1000.0,
        baseline=0,
    )


def take(*records: Record, settings: IngestSettings | None = None) -> tuple[Partition, NoData, Taken]:
    no_data = NoData()
    number = partition_for("bed-01", N_PARTITIONS)
    partition = Partition(number, N_PARTITIONS, settings or IngestSettings(), no_data)
    taken = Taken()
    for record in records:
        partition.take(record, taken)
    return partition, no_data, taken


def test_good_chunks_become_pieces() -> None:
    partition, _, taken = take(Record(encoded(0), 0), Record(encoded(1), 1))
    assert len(taken.pieces) == 2
    assert taken.dead_letters == []
    assert partition.safe_offset == 2


@pytest.mark.parametrize(
    ("record", "reason", "word"),
    [
        (Record(encoded(), headers=[("content-type", None)]), "unknown_content_type", "content-type"),
        (Record(b""), "malformed", ""),
        (Record(None), "malformed", ""),
        (Record(encoded(), key=None), "key_mismatch", "key"),
        (Record(encoded(), key=b"\xff\xfe"), "key_mismatch", "key"),
        (Record(encoded(n_channels=17)), "invalid_field", "17 ECG leads"),
        (Record(encoded(n_samples=250 * 11)), "invalid_field", "max_chunk_s"),
        (Record(encoded(fs_hz=62.5)), "invalid_field", "fs_hz=62.5"),
        (Record(encoded(), timestamp=0), "time_travel", "start_ns"),
    ],
)
def test_bad_records_are_refused_by_name_and_stop_nothing(record: Record, reason: str, word: str) -> None:
    _, _, taken = take(record, Record(encoded(1), 1))
    (letter,) = taken.dead_letters
    assert letter.reason == reason
    assert word in letter.detail
    assert len(taken.pieces) == 1


def test_the_size_limit_is_the_setting() -> None:
    _, _, taken = take(Record(encoded(n_samples=750)), settings=IngestSettings(max_record_bytes=2000))
    (letter,) = taken.dead_letters
    assert letter.reason == "oversized"
    assert "the first 2000 of" in letter.detail
    assert len(base64.b64decode(letter.value_base64)) == 2000


def test_a_bed_in_a_foreign_partition_is_refused() -> None:
    partition = Partition(
        (partition_for("bed-01", N_PARTITIONS) + 1) % N_PARTITIONS, N_PARTITIONS, IngestSettings(), NoData()
    )
    taken = Taken()
    partition.take(Record(encoded()), taken)
    (letter,) = taken.dead_letters
    assert letter.reason == "key_mismatch"
    assert "murmur2" in letter.detail


def test_a_gateway_that_repeats_its_last_chunk_counts_as_silent() -> None:
    partition, no_data, taken = take(Record(encoded(0), 0))
    heard_s = float(no_data._heard_s[0])
    for offset in range(1, 10):
        partition.take(Record(encoded(0), offset), taken)
    assert float(no_data._heard_s[0]) == heard_s
    assert len(taken.pieces) == 1


def test_text_from_the_wire_cannot_forge_log_lines() -> None:
    forged = b'{"version": 1, "nl\\nFORGED 2026 INFO all well": 1}'
    _, _, taken = take(Record(forged, headers=wire.headers(wire.JSON)))
    (letter,) = taken.dead_letters
    assert "\n" not in letter.detail
    assert len(letter.detail) <= 400


def test_what_was_done_about_time_is_counted_once() -> None:
    partition, _, _ = take(Record(encoded(0), 0), Record(encoded(0), 1), Record(encoded(1), 2))
    assert partition.take_time_counts()["duplicate"] == 1
    assert partition.take_time_counts()["duplicate"] == 0


def test_a_successor_ends_what_its_predecessor_may_have_raised() -> None:
    _, no_data, _ = take(Record(encoded(0), 0))
    state = no_data.state(("bed-01", "ecg"))
    successor = NoData()
    successor.restore(("bed-01", "ecg"), state, offset=0, now_s=50.0)
    number = partition_for("bed-01", N_PARTITIONS)
    partition = Partition(number, N_PARTITIONS, IngestSettings(), successor)
    taken = Taken()
    partition.take(Record(encoded(30), 1), taken)
    (silence,) = taken.silences
    assert silence.onset_ns == state.last_sample_ns
    assert silence.ended_ns == T0 + 30 * NS_PER_S
