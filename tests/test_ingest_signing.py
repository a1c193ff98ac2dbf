"""Records that devices sign: who is believed, what is refused, what an old one can do when sent again."""

from __future__ import annotations

import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inference import device_alarms
from inference.intake import Partition, Taken
from inference.judge_past import BedPast
from inference.raw_history import received
from inference.stream_watch import StreamWatch
from ingest import signing, wire
from ingest.admission import Raw, admit
from ingest.device_keys import LOOK_S, DeviceKeys, key_id
from ingest.errors import BadChunk, SettingsError
from ingest.publisher import Publisher
from ingest.settings import IngestSettings, Settings, load_settings
from ingest.types import NS_PER_S, SignalKind

KEYS = {"monitor-7": "7" * 64, "monitor-8": "8" * 64}
NOW_MS = 1_790_000_000_000
BED = b"bed-01"


def write(path: Path, **keys: object) -> Path:
    lines = [f'"{device}" = {str(value)!r}' if isinstance(value, str) else f'"{device}" = {value!r}'
             for device, value in keys.items()]  # fmt: skip
    path.write_text("\n".join(lines))
    path.chmod(0o600)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> IngestSettings:
    return IngestSettings(device_keys=write(tmp_path / "keys.toml", **KEYS))


def chunk(device: str = "monitor-7", seq: int = 0, age_s: float = 1.0, fs_hz: float = 250.0) -> bytes:
    start_ns = NOW_MS * 1_000_000 - round(age_s * NS_PER_S)
    return wire.encode(
        bed="bed-01", device=device, kind="ecg", channels=["II"], unit="mV", fs_hz=fs_hz, start_ns=start_ns,
        seq=seq, samples=np.zeros((round(fs_hz), 1), np.int16), gain=200.0,
    )  # fmt: skip


def record(value: bytes, signature: bytes | None, signer: str = "monitor-7", at_ms: int = NOW_MS) -> Raw:
    headers = [("content-type", wire.AVRO.encode()), (signing.SIGNED_BY, signer.encode())]
    if signature is not None:
        headers.append((signing.SIGNATURE, signature))
    return Raw(at_ms, BED, value, tuple(headers))


def signed(value: bytes, signer: str = "monitor-7", at_ms: int = NOW_MS) -> Raw:
    mac = signing.mac(KEYS[signer].encode(), signing.CHUNK, BED, value)
    return record(value, mac, signer, at_ms)


def test_a_signed_record_is_taken_and_an_unsigned_one_only_where_no_keys_are_set(
    settings: IngestSettings,
) -> None:
    assert admit(signed(chunk()), settings).bed == "bed-01"
    plain = Raw(NOW_MS, BED, chunk(), (("content-type", b"application/avro"),))
    assert admit(plain, IngestSettings()).bed == "bed-01"
    with pytest.raises(BadChunk, match="bed='bed-01', signed-by='': headers signature and signed-by are not"):
        admit(plain, settings)


def forged() -> Iterator[tuple[str, Raw]]:
    value = chunk()
    good = signing.mac(KEYS["monitor-7"].encode(), signing.CHUNK, BED, value)
    yield "none", record(value, None)
    yield "empty", record(value, b"")
    yield "another device's key", record(value, good, "monitor-8")
    yield "unknown device", record(value, good, "monitor-9")
    yield "of a device alarm", record(value, signing.mac(b"7" * 64, signing.DEVICE_ALARM, BED, value))
    yield "of another record", record(chunk(seq=1), good)
    yield "of another bed", Raw(NOW_MS, b"bed-02", value, record(value, good).headers)
    yield "in the name of another", signed(chunk("monitor-8"), "monitor-7")
    yield "a long name", record(value, good, "m" * 5_000)
    yield "not UTF-8", Raw(NOW_MS, BED, value, ((signing.SIGNED_BY, b"\xff"), (signing.SIGNATURE, good)))


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in forged()])
def test_a_forged_record_is_refused_by_whoever_reads_raw_records(raw: Raw, settings: IngestSettings) -> None:
    """Worker, recorder (strips), judge and dashboard."""
    with pytest.raises(BadChunk) as refused:
        admit(raw, settings)
    assert refused.value.reason == signing.BAD_SIGNATURE
    assert all(key not in str(refused.value) for key in KEYS.values())
    past = BedPast("bed-01", NOW_MS * 1_000_000, settings)
    past.take(of_kafka(raw))
    assert not past._lines
    with pytest.raises(BadChunk, match=signing.BAD_SIGNATURE):
        received(of_kafka(raw)).chunk(raw.key.decode(), settings)


def test_a_refusal_names_bed_device_and_key_and_shows_no_key(tmp_path: Path) -> None:
    keys = write(tmp_path / "keys.toml", **{"monitor-7": ["7" * 64, "6" * 64]})
    with pytest.raises(BadChunk) as refused:
        admit(signed(chunk(), "monitor-8"), IngestSettings(device_keys=keys))
    assert "bed='bed-01', signed-by='monitor-8': no key of that device is here" in refused.value.detail
    other = record(chunk(), signing.mac(b"9" * 64, signing.CHUNK, BED, chunk()))
    with pytest.raises(BadChunk) as refused:
        admit(other, IngestSettings(device_keys=keys))
    said = refused.value.detail
    ids = [key_id(number * 64) for number in (b"7", b"6")]
    assert said.startswith("bed='bed-01', signed-by='monitor-7': made with another key than those here")
    assert f"key id {', '.join(ids)}; " in said
    assert "WARDWAVE_INGEST__DEVICE_KEYS" in said
    assert not any(number * 8 in said for number in "769")


def test_a_key_s_id_is_what_the_document_says_to_compute() -> None:
    command = ["openssl", "dgst", "-sha256", "-hmac", "7" * 64]
    said = subprocess.run(
        command, input=b"wardwave.key-id", capture_output=True, check=True, timeout=20
    ).stdout
    assert said.split()[-1].decode()[:8] == key_id(b"7" * 64)


class _Kafka:
    """A record as the client gives it."""

    topic, partition = "biosignals.raw", 0

    def __init__(self, raw: Raw, offset: int) -> None:
        self.offset, self.timestamp = offset, raw.timestamp
        self.key, self.value, self.headers = raw.key, raw.value, list(raw.headers)


def of_kafka(raw: Raw, offset: int = 0) -> _Kafka:
    return _Kafka(raw, offset)


def test_nothing_of_a_forged_record_is_decoded(
    settings: IngestSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "decode", lambda *_: pytest.fail("decoded before its signature was checked"))
    with pytest.raises(BadChunk, match=signing.BAD_SIGNATURE):
        admit(record(b"{" * 10, b"0" * 64), settings)


class Reader:
    """The worker's intake of one partition."""

    def __init__(self, settings: IngestSettings) -> None:
        self.partition = Partition(0, 1, settings, StreamWatch([SignalKind.ECG]))
        self.offset = 0

    def take(self, raw: Raw) -> Taken:
        taken = Taken()
        self.partition.take(of_kafka(raw, self.offset), taken)
        self.offset += 1
        return taken


def test_a_worker_sets_a_forged_record_aside_with_its_bytes_and_goes_on(settings: IngestSettings) -> None:
    reader = Reader(settings)
    (letter,) = reader.take(record(chunk(), b"0" * 64)).dead_letters
    assert letter.reason == signing.BAD_SIGNATURE
    assert letter.value_base64
    # A bed that nobody trustworthy spoke of is not made, nor given an alarm: forgers shall not ring.
    assert not reader.partition.streams
    assert len(reader.take(signed(chunk(seq=1))).pieces) == 1


def test_a_record_that_is_sent_again_changes_nothing(settings: IngestSettings) -> None:
    """The signature is right: what stops it is that its place in sequence and time is taken."""
    reader = Reader(settings)
    old = signed(chunk(seq=0, age_s=10.0))
    assert reader.take(old).pieces
    for seq in range(1, 9):
        assert reader.take(signed(chunk(seq=seq, age_s=10.0 - seq))).pieces
    again = reader.take(Raw(NOW_MS + 5_000, old.key, old.value, old.headers))
    assert not again.pieces
    assert not again.dead_letters
    assert reader.partition.take_time_counts()["duplicate"] == 1


def test_a_record_of_before_a_restart_cannot_be_passed_off_as_the_next(settings: IngestSettings) -> None:
    """Its sequence number may fit again: then its age tells. Without signatures it restarts the stream."""
    old = signed(chunk(seq=2, age_s=1.0), at_ms=NOW_MS)
    later_ms = NOW_MS + 3_600_000

    def now(seq: int) -> Raw:
        start_ns = later_ms * 1_000_000 + seq * NS_PER_S
        value = wire.encode(
            bed="bed-01", device="monitor-7", kind="ecg", channels=["II"], unit="mV", fs_hz=250.0,
            start_ns=start_ns, seq=seq, samples=np.zeros((250, 1), np.int16), gain=200.0,
        )  # fmt: skip
        return signed(value, at_ms=later_ms + 1_000 * seq + 1_000)

    again = Raw(later_ms + 3_000, old.key, old.value, old.headers)
    for limits, restarts in ((IngestSettings(), True), (settings, False)):
        reader = Reader(limits)
        for seq in (0, 1):
            assert reader.take(now(seq)).pieces
        taken = reader.take(again)
        assert bool(taken.pieces) is restarts
        if not restarts:
            assert taken.dead_letters[0].reason == "time_travel"
            assert "replay_window_s=300" in taken.dead_letters[0].detail
            assert len(reader.take(now(2)).pieces) == 1


def test_a_gateway_that_sends_what_it_kept_gets_the_window_that_is_set(settings: IngestSettings) -> None:
    wide = settings.model_copy(update={"replay_window_s": 7_200.0})
    late = signed(chunk(age_s=3_600.0))
    assert admit(late, wide).seq == 0
    with pytest.raises(BadChunk, match="replay_window_s=300"):
        admit(late, settings)


def test_an_alarm_of_a_device_is_believed_only_with_its_signature(settings: IngestSettings) -> None:
    value = b'{"version":1,"id":"a1","bed":"bed-01","device":"monitor-7","kind":"asystole","time_ns":%d}' % (
        NOW_MS * 1_000_000
    )
    mac = signing.mac(b"7" * 64, signing.DEVICE_ALARM, BED, value)
    for signature, signer, taken in ((mac, "monitor-7", True), (None, "monitor-7", False)):
        raw = of_kafka(record(value, signature, signer))
        raw.headers[0] = ("content-type", wire.JSON.encode())
        if taken:
            assert device_alarms.read(raw, 1, settings).id == "a1"
        else:
            with pytest.raises(BadChunk, match=signing.BAD_SIGNATURE):
                device_alarms.read(raw, 1, settings)


def test_a_new_key_is_brought_in_without_a_restart(tmp_path: Path) -> None:
    now_s = 0.0
    path = write(tmp_path / "keys.toml", a="1" * 32)
    keys = DeviceKeys(path, lambda: now_s)
    assert keys.of("a") == (b"1" * 32,)
    write(path, a=["2" * 32, "1" * 32], b="3" * 32)
    assert keys.of("b") == ()
    now_s += LOOK_S
    assert keys.of("a") == (b"2" * 32, b"1" * 32)
    assert keys.of("b") == (b"3" * 32,)


@pytest.mark.parametrize(
    "broken", ["", "# all are gone\n", "[", '"a" = "short"', '"a" = 5', '"a" = []', "\xff"]
)
def test_a_file_that_breaks_later_leaves_the_keys_as_they_were(
    tmp_path: Path, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    path = write(tmp_path / "keys.toml", a="1" * 32)
    keys = DeviceKeys(path, lambda: now_s)
    path.write_text(broken, encoding="latin-1")
    now_s += LOOK_S
    assert keys.of("a") == (b"1" * 32,)
    assert "the keys that were read before go on, revoked ones too" in caplog.text
    assert keys.problem is not None
    path.unlink()
    now_s += LOOK_S
    assert "No such file" in (keys.problem or "")
    assert keys.of("a") == (b"1" * 32,)
    write(path, a="2" * 32)
    now_s += LOOK_S
    assert keys.problem is None, "it is over by itself"
    assert keys.of("a") == (b"2" * 32,)


def test_a_file_of_keys_that_everybody_may_read_later_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 0.0
    path = write(tmp_path / "keys.toml", a="1" * 32)
    keys = DeviceKeys(path, lambda: now_s)
    path.chmod(0o644)
    for _ in range(3):
        now_s += LOOK_S
        assert "everybody may read it" in (keys.problem or "")
    assert caplog.text.count("everybody may read it") == 1


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        (None, 0, "No such file"),
        ("", 0o600, "keys.toml: holds no key; a line a device: .* openssl rand -hex 32"),
        ("# to be filled in\n", 0o600, "keys.toml: holds no key"),
        ('"a" = "secret-but-short"', 0o600, "32 characters or more"),
        ("secret = [", 0o600, "no TOML \\(at end of document\\)|no TOML \\(at line 1, column 11\\)"),
        ('"a" = "secret"\n\n"b" "secret"', 0o600, "no TOML \\(at line 3, column 5\\); a line a device"),
        (f'"a" = "{"s" * 32}"', 0o644, "everybody may read it"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start_and_tells_no_key(
    tmp_path: Path, content: str | None, mode: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys.toml"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    monkeypatch.setenv("WARDWAVE_INGEST__DEVICE_KEYS", os.fspath(path))
    with pytest.raises(SettingsError, match=says) as refused:
        load_settings()
    assert "WARDWAVE_INGEST__DEVICE_KEYS" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_empty_variable_sets_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_INGEST__DEVICE_KEYS", "")
    assert load_settings().ingest.device_keys is None


def test_the_example_in_the_document_is_a_file_of_keys() -> None:
    document = (Path(__file__).resolve().parent.parent / "docs" / "security.md").read_text(encoding="utf-8")
    example = document.split("```toml\n")[1].split("```")[0]
    assert all(isinstance(value, str | list) for value in tomllib.loads(example).values())


@pytest.mark.kafka
def test_a_publisher_signs_what_it_sends(kafka: Settings, tmp_path: Path) -> None:
    from ingest import kafka as clients

    path = write(tmp_path / "keys.toml", **KEYS)
    limits = kafka.ingest.model_copy(update={"device_keys": path})
    signing_settings = kafka.model_copy(update={"ingest": limits})
    with Publisher(signing_settings, device="monitor-7") as publisher:
        fields = {
            "bed": "bed-01", "kind": "ecg", "channels": ("II",), "unit": "mV", "fs_hz": 250.0,
            "start_ns": NOW_MS * 1_000_000, "samples": np.zeros((250, 1), np.int16), "gain": 200.0,
        }  # fmt: skip
        publisher.publish(**fields)
        with pytest.raises(SettingsError, match="device='stranger' has no key"):
            publisher.publish(device="stranger", **fields)
    reader = clients.consumer(kafka, kafka.topics.raw, group_id=None)
    try:
        found = []
        while not found:
            found = [one for part in reader.poll(timeout_ms=500).values() for one in part]
    finally:
        reader.close(autocommit=False)
    at = found[0]
    assert admit(Raw(NOW_MS, at.key, at.value, tuple(at.headers)), limits).device == "monitor-7"
