"""What the worker takes from the raw topic, and what it refuses."""

import base64
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import numpy as np
import pytest

from inference.intake import Partition, Taken, dead_letter
from inference.stream_watch import StreamChange, StreamWatch
from ingest import wire
from ingest.errors import BadChunk
from ingest.kafka import partition_for
from ingest.settings import IngestSettings, Settings
from ingest.types import NS_PER_S, SignalKind

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


def take(*records: Record, settings: IngestSettings | None = None) -> tuple[Partition, StreamWatch, Taken]:
    watch = StreamWatch((SignalKind.ECG,))
    number = partition_for("bed-01", N_PARTITIONS)
    partition = Partition(number, N_PARTITIONS, settings or IngestSettings(), watch)
    taken = Taken()
    for record in records:
        partition.take(record, taken)
    return partition, watch, taken


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
        (partition_for("bed-01", N_PARTITIONS) + 1) % N_PARTITIONS,
        N_PARTITIONS,
        IngestSettings(),
        StreamWatch(()),
    )
    taken = Taken()
    partition.take(Record(encoded()), taken)
    (letter,) = taken.dead_letters
    assert letter.reason == "key_mismatch"
    assert "murmur2" in letter.detail


def test_a_gateway_that_repeats_its_last_chunk_counts_as_silent() -> None:
    partition, watch, taken = take(Record(encoded(0), 0))
    # A tick after so long a time would blame a device that repeats, were its chunks heard.
    now_s = time.monotonic()
    watch.tick(now_s, T0)
    for offset in range(1, 10):
        partition.take(Record(encoded(0), offset), taken)
    ticks = [watch.tick(now_s + 0.5 * n, T0 + 4 * NS_PER_S) for n in range(1, 9)]
    assert kinds(change for said in ticks for change in said) == [("no_data", False)]
    assert len(taken.pieces) == 1


def kinds(changes: Iterable[StreamChange]) -> list[tuple[str, bool]]:
    """Alarms that began (False) or are over (True)."""
    return [(one.change.setting.spec.kind, one.change.ended_ns is not None) for one in changes]


def test_a_rate_that_is_too_low_is_refused_and_staff_are_told() -> None:
    low = [Record(encoded(seq, 62, fs_hz=62.5), seq) for seq in range(4)]
    partition, watch, taken = take(*low)
    assert [letter.reason for letter in taken.dead_letters] == ["invalid_field"] * 4
    begun = watch.tick(time.monotonic(), T0)
    assert kinds(begun) == [("unknown_rate", False)]
    assert begun[0].change.value == 62.5
    assert partition.safe_offset == 4
    assert ("bed-01", "ecg") in partition.streams
    again = Taken()
    partition.take(low[0], again)
    assert again.dead_letters == []


def test_a_pulse_becomes_pieces_for_the_alarms_of_the_ecg() -> None:
    pulse = wire.encode(
        bed="bed-01", device="m", kind="pleth", channels=("PLETH",), unit="au", fs_hz=62.5,
        start_ns=T0, seq=0, samples=np.zeros((62, 1), np.int16), gain=1000.0, baseline=0,
    )  # fmt: skip
    _, _, taken = take(Record(pulse, 0))
    assert [(bed, piece.chunk.kind) for bed, piece in taken.pieces] == [("bed-01", SignalKind.PLETH)]


def test_an_eeg_is_taken_and_its_missing_model_told() -> None:
    brain = wire.encode(
        bed="bed-01", device="m", kind="eeg", channels=("C3",), unit="uV", fs_hz=256.0,
        start_ns=T0, seq=0, samples=np.zeros((256, 1), np.int16), gain=10.0, baseline=0,
    )  # fmt: skip
    _, watch, taken = take(Record(brain, 0))
    assert [piece.chunk.kind for _, piece in taken.pieces] == [SignalKind.EEG]
    assert taken.dead_letters == []
    assert kinds(watch.tick(time.monotonic(), T0)) == [("model_unavailable", False)]


def test_a_sound_is_taken_and_its_missing_model_told() -> None:
    sound = wire.encode(
        bed="bed-01", device="m", kind="lung_sound", channels=("chest",), unit="au", fs_hz=4000.0,
        start_ns=T0, seq=0, samples=np.zeros((4000, 1), np.int16), gain=32767.0, baseline=0,
    )  # fmt: skip
    _, watch, taken = take(Record(sound, 0))
    assert [piece.chunk.kind for _, piece in taken.pieces] == [SignalKind.LUNG_SOUND]
    assert kinds(watch.tick(time.monotonic(), T0)) == [("model_unavailable", False)]


@pytest.mark.parametrize(("gain", "refused"), [(1.0, True), (32_767.0, False)])
def test_a_sound_without_its_gain_is_refused_with_the_way_out(gain: float, refused: bool) -> None:
    samples = np.array([[30_000], [-32_768]], np.int16)
    samples = np.tile(samples, (2000, 1))
    sound = wire.encode(
        bed="bed-01", device="m", kind="heart_sound", channels=("chest",), unit="au", fs_hz=4000.0,
        start_ns=T0, seq=0, samples=samples, gain=gain, baseline=0,
    )  # fmt: skip
    _, _, taken = take(Record(sound, 0))
    said = [letter.detail for letter in taken.dead_letters]
    assert len(said) == refused
    assert all("30000 times full scale" in one and "gain=32768" in one for one in said)


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
    _, watch, _ = take(Record(encoded(0), 0))
    state = watch.state(("bed-01", "ecg"))
    successor = StreamWatch((SignalKind.ECG,))
    successor.restore(("bed-01", "ecg"), state, offset=0, now_s=50.0)
    number = partition_for("bed-01", N_PARTITIONS)
    partition = Partition(number, N_PARTITIONS, IngestSettings(), successor)
    taken = Taken()
    partition.take(Record(encoded(30), 1), taken)
    (silence,) = taken.technical
    assert silence.change.onset_ns == state.no_data.last_sample_ns
    assert silence.change.ended_ns == T0 + 30 * NS_PER_S


HOARDS: list[dict[str, object]] = [
    {"headers": [("x", b"\xff" * 900_000)]},
    {"headers": [("x" * 900_000, b"\x01")]},
    {"headers": [(f"x{n}", b"\x01" * 190) for n in range(4_000)]},
    {"key": b"k" * 900_000},
    {"value": b"\x00" * 3_000_000, "headers": [("x", b"\x01" * 900_000)], "key": b"\x01" * 900_000},
]


@pytest.mark.parametrize("hoard", HOARDS)
def test_a_dead_letter_fits_its_topic_whatever_was_sent(hoard: dict[str, object]) -> None:
    settings = Settings()
    most = settings.ingest.max_record_bytes
    record = Record(**{"value": b"{", **hoard})  # type: ignore[arg-type]
    letter = dead_letter(record, BadChunk("malformed", "x" * 1_000), most)
    assert len(msgspec.json.encode(letter)) < 1.4 * most
    assert len(letter.headers) <= 32
    assert "are kept)" in letter.detail
    assert len(letter.detail) <= 400
    assert letter.key_base64 is not None
    assert base64.b64decode(letter.value_base64) == record.value[:most]


def test_an_ordinary_dead_letter_holds_all() -> None:
    record = Record(b"{", headers=[("content-type", b"application/json"), ("none", None)])
    letter = dead_letter(record, BadChunk("malformed", "no JSON"), 1_000_000)
    assert letter.headers == {"content-type": "application/json", "none": ""}
    assert letter.detail == "no JSON"
    assert letter.key_base64 == base64.b64encode(b"bed-01").decode()
