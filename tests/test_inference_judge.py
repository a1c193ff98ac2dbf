"""Alarms of bedside devices: what is said of them, when, and what cannot be judged."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from inference import device_alarms
from inference.errors import NotDelivered, NotJudged
from inference.judge import UNJUDGED, Judge
from inference.judge_past import BedPast
from inference.judge_reader import Progress
from inference.judge_words import MOST, NO_PULSE, SENTENCES, Facts, reasons_in_words
from inference.types import DeadLetter, Verdict
from inference.verdict_beats import SlopeBeats
from inference.verdict_views import judge_record, shipped
from ingest import kafka as clients
from ingest import wire
from ingest.errors import BadChunk
from ingest.kafka import partition_for
from ingest.pacing import publish_through
from ingest.publisher import Publisher
from ingest.replay import Schedule, read_sources, replay
from ingest.settings import IngestSettings, Settings
from ingest.types import NS_PER_S
from models.verdict import Reason
from models.verdict_leads import HISTORY_S
from training.verdict_judge import judge_record as judge_file

FS = 250
T0 = 1_700_000_000 * NS_PER_S
SCHEMAS = Path(__file__).resolve().parent.parent / "ingest" / "schemas"
CALM_S = 130


@dataclass
class Record:
    """As kafka-python gives one."""

    value: bytes
    offset: int = 0
    key: bytes | None = b"bed-01"
    partition: int = partition_for("bed-01", 4)
    topic: str = "t"
    timestamp: int = (T0 + 131 * NS_PER_S) // 1_000_000
    headers: list[tuple[str, bytes | None]] = field(default_factory=lambda: wire.headers(wire.AVRO))


def heart(length_s: float, bpm: float = 75.0) -> tuple[np.ndarray, np.ndarray]:
    """ECG in two leads (mV) and a pulse, int16 steps of 1/1000."""
    clock = np.arange(round(length_s * FS)) / FS
    phase = clock % (60 / bpm)
    line = np.random.default_rng(1).normal(0, 0.01, len(clock))
    line += 1.2 * np.exp(-(((phase - 0.3) / 0.018) ** 2)) + 0.2 * np.exp(-(((phase - 0.55) / 0.05) ** 2))
    pulse = np.exp(-0.5 * ((phase - 0.6) / 0.08) ** 2)
    ecg = np.stack([line, 0.6 * line], axis=1)
    return tuple(np.round(1000 * part).astype(np.int16) for part in (ecg, pulse[:, None]))


ECG, PULSE = heart(CALM_S)


def encoded(
    samples: np.ndarray,
    first: int,
    seq: int,
    kind: str = "ecg",
    bed: str = "bed-01",
    start_ns: int = T0,
    **more: object,
) -> bytes:
    return wire.encode(
        bed=bed, device="m", kind=kind, channels=("II", "V1") if kind == "ecg" else ("ABP",),
        unit="mV" if kind == "ecg" else "mmHg", fs_hz=float(FS), seq=seq, samples=samples, gain=1000.0,
        start_ns=start_ns + round(first / FS * NS_PER_S), baseline=0, **more,
    )  # fmt: skip


def chunks(signal: np.ndarray, cuts: list[int], kind: str = "ecg", first_seq: int = 0) -> list[bytes]:
    """A signal cut at some samples."""
    edges = [0, *cuts, len(signal)]
    parts = list(zip(edges[:-1], edges[1:], strict=True))
    return [encoded(signal[a:b], a, first_seq + n, kind) for n, (a, b) in enumerate(parts) if b > a]


def taken(values: list[bytes], until_s: float = CALM_S, settings: IngestSettings | None = None) -> BedPast:
    past = BedPast("bed-01", T0 + round(until_s * NS_PER_S), settings or IngestSettings())
    for offset, value in enumerate(values):
        past.take(Record(value, offset))
    return past


EVEN = list(range(FS, CALM_S * FS, FS))


@given(st.lists(st.integers(1, CALM_S * FS - 1), max_size=40, unique=True), st.integers(0, 9 * FS))
@settings(max_examples=20, deadline=None)
def test_the_views_do_not_depend_on_how_the_signal_was_cut(cuts: list[int], first: int) -> None:
    whole = taken(chunks(ECG, EVEN)).views(SlopeBeats())
    edges = sorted(cut for cut in cuts if cut > first)
    late = [
        encoded(ECG[a:b], a, n)
        for n, (a, b) in enumerate(zip([first, *edges], [*edges, len(ECG)], strict=True))
    ]
    other = taken(late, settings=IngestSettings(max_past_s=1e9)).views(SlopeBeats())
    assert (whole.leads, whole.pulses, whole.ecg_present) == (("II", "V1"), (), 1.0)
    for one, two in zip(whole.views.leads, other.views.leads, strict=True):
        np.testing.assert_allclose(one.signal, two.signal, atol=1e-4)


def test_nothing_after_the_alarm_is_looked_at() -> None:
    torn = ECG.copy()
    torn[125 * FS + 100 :] = 3_000
    until_s = 125 + 100 / FS
    calm, other = (taken(chunks(line, EVEN), until_s) for line in (ECG, torn))
    assert calm.complete
    for one, two in zip(
        calm.views(SlopeBeats()).views.leads, other.views(SlopeBeats()).views.leads, strict=True
    ):
        np.testing.assert_array_equal(one.signal, two.signal)


def test_an_alarm_waits_for_ecg_and_for_a_pulse_that_is_there() -> None:
    ecg, abp = chunks(ECG, EVEN), chunks(PULSE, EVEN, "abp")
    assert not taken(ecg[:-1]).complete
    assert taken(ecg).complete
    assert not taken([*abp[:-1], *ecg]).complete
    assert taken([*abp[:-40], *ecg]).complete, "a pulse that went long ago is not waited for"
    assert not taken(ecg[:5]).complete


def test_a_pulse_that_ends_early_is_left_out_or_shows_as_missing() -> None:
    ecg, abp = chunks(ECG, EVEN), chunks(PULSE, EVEN, "abp")
    assert taken([*abp, *ecg]).views(SlopeBeats()).pulses == ("ABP",)
    assert taken([*abp[:-40], *ecg]).views(SlopeBeats()).pulses == ()
    assert taken([*abp[-20:], *ecg]).views(SlopeBeats()).pulses == ()
    (view,) = taken([*abp[:-5], *ecg]).views(SlopeBeats()).views.pulses
    assert not view.present[-300:].any()
    assert view.present[:-320].all()


def test_a_lost_chunk_shows_as_missing_and_a_lead_that_is_off_too() -> None:
    whole = chunks(ECG, EVEN)
    past = taken([*whole[:120], *whole[123:]]).views(SlopeBeats())
    assert past.ecg_present == pytest.approx(11 / 14, abs=0.01)
    assert len(past.views.leads[0].signal) == HISTORY_S * 125
    off = [encoded(ECG[n * FS : (n + 1) * FS], n * FS, n, lead_off=(True, False)) for n in range(CALM_S)]
    first, second = taken(off).views(SlopeBeats()).views.leads
    assert np.ptp(first.signal) == 0
    assert np.ptp(second.signal) > 0.5


@pytest.mark.parametrize(
    ("part", "until_s", "says"),
    [
        (slice(0, 0), CALM_S, "no ECG of this bed"),
        (slice(60, None), CALM_S, "70 s of unbroken ECG before the alarm, need 100"),
        (slice(0, 120), CALM_S, "the ECG ends 10 s before the alarm"),
        (slice(0, None), 0.0, "no ECG of this bed"),
    ],
)
def test_too_little_ecg_is_named(part: slice, until_s: float, says: str) -> None:
    with pytest.raises(NotJudged, match=says):
        taken(chunks(ECG, EVEN)[part], until_s).views(SlopeBeats())


def test_a_long_gap_begins_the_history_anew() -> None:
    whole = chunks(ECG, EVEN)
    with pytest.raises(NotJudged, match="90 s of unbroken ECG"):
        taken([*whole[:30], *whole[40:]]).views(SlopeBeats())
    with pytest.raises(NotJudged, match="the ECG ends 8 s before"):
        # What came after the gap came after the alarm.
        taken([*whole[:120], *whole[129:]], until_s=128).views(SlopeBeats())


def test_chunks_that_the_worker_refuses_are_passed_over() -> None:
    other = encoded(ECG[:FS], 0, 0, bed="bed-02")
    whole = chunks(ECG, EVEN)
    values = [b"no chunk", *whole[:3], whole[1], other, *whole[3:]]
    past = taken(values).views(SlopeBeats())
    np.testing.assert_array_equal(
        past.views.leads[0].signal, taken(whole).views(SlopeBeats()).views.leads[0].signal
    )


def alarm_bytes(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "version": 1, "id": "m-1/17", "bed": "bed-01", "device": "m", "kind": "asystole",
        "time_ns": T0 + 130 * NS_PER_S,
    }  # fmt: skip
    return json.dumps({key: value for key, value in (fields | changes).items() if value != "absent"}).encode()


def alarm_record(value: bytes | None = None, **changes: object) -> Record:
    record = Record(alarm_bytes() if value is None else value, headers=[])
    for name, given_ in changes.items():
        setattr(record, name, given_)
    return record


def test_a_device_alarm_is_read() -> None:
    for headers in ([], wire.headers(wire.JSON), [("content-type", b"application/json; charset=utf-8")]):
        alarm = device_alarms.read(alarm_record(headers=headers), 4, IngestSettings())
        assert (alarm.id, alarm.kind, alarm.message) == ("m-1/17", "asystole", None)
    jsonschema.validate(json.loads(alarm_bytes()), json.loads((SCHEMAS / "device_alarm-1.json").read_text()))


def test_the_examples_in_the_document_are_an_alarm_and_its_verdict() -> None:
    text = (SCHEMAS.parent.parent / "docs" / "device-alarms.md").read_text()
    sent, said = (block.encode() for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL))
    record = alarm_record(sent, timestamp=1_790_000_000_200)
    alarm = device_alarms.read(record, 4, IngestSettings())
    verdict = msgspec.json.decode(said, type=Verdict)
    assert (verdict.id, verdict.time_ns) == (alarm.id, alarm.time_ns)
    assert all(f"`{kind}`" in text for kind in device_alarms.KIND_OF)


@pytest.mark.parametrize(
    ("record", "reason", "word"),
    [
        (alarm_record(b""), "malformed", "no value"),
        (alarm_record(b"{"), "malformed", "not JSON"),
        (alarm_record(b'{"version": 1, "bed": "\xff"}'), "malformed", "not JSON"),
        (alarm_record(b"[" * 9_000), "invalid_field", "object"),
        (alarm_record(b"{" + b" " * 10_000), "oversized", "10000"),
        (alarm_record(headers=wire.headers(wire.AVRO)), "unknown_content_type", "application/json"),
        (alarm_record(alarm_bytes(version=2)), "unknown_version", "version=2"),
        (alarm_record(alarm_bytes(version="absent")), "invalid_field", "version"),
        (alarm_record(alarm_bytes(bed="absent")), "invalid_field", "bed"),
        (alarm_record(alarm_bytes(time_ns="noon")), "invalid_field", "time_ns"),
        (alarm_record(alarm_bytes(id="")), "invalid_field", "id=''"),
        (alarm_record(alarm_bytes(kind="a\nb")), "invalid_field", "kind="),
        (alarm_record(alarm_bytes(message="x" * 501)), "invalid_field", "message"),
        (alarm_record(key=b"bed-02"), "key_mismatch", "key="),
        (alarm_record(key=None), "key_mismatch", "key="),
        (alarm_record(partition=partition_for("bed-01", 4) ^ 1), "key_mismatch", "murmur2"),
        (alarm_record(alarm_bytes(time_ns=T0 + 3600 * NS_PER_S)), "time_travel", "max_future_s"),
        (alarm_record(alarm_bytes(time_ns=T0 - 90_000 * NS_PER_S)), "time_travel", "max_past_s"),
        (alarm_record(alarm_bytes(time_ns=-(10**30))), "time_travel", "time_ns"),
        (alarm_record(alarm_bytes(time_ns=10**400)), "time_travel", "64 bits"),
    ],
)
def test_a_bad_device_alarm_is_refused_by_name(record: Record, reason: str, word: str) -> None:
    with pytest.raises(BadChunk) as caught:
        device_alarms.read(record, 4, IngestSettings())
    assert caught.value.reason == reason
    assert word in caught.value.detail


FIELDS = st.sampled_from(["version", "id", "bed", "device", "kind", "time_ns", "message"])
ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=9), lambda inner: st.dictionaries(FIELDS, inner)
)


@given(st.binary(max_size=200) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_whatever_the_bytes_are_they_are_read_or_refused(value: bytes) -> None:
    refused = ""
    try:
        alarm = device_alarms.read(alarm_record(value or b"?"), 4, IngestSettings())
    except BadChunk as bad:
        refused = bad.detail
    assert refused or alarm.bed == "bed-01"


def facts(value: float, pulses: bool) -> Facts:
    names = ("agreed/gap", "agreed/slow4", "agreed/fast16", "mean/run_v", "mean/run_rate", "mean/vt_vf_three")
    keys = {name.split("/")[-1] for name in SENTENCES if name.startswith("pulse")} | {"slow8", "fast8"}
    return Facts(dict.fromkeys(names, value), {"ABP": dict.fromkeys(keys, value)} if pulses else {})


@pytest.mark.parametrize("value", [-3.0, 0.0, 0.5, 0.9, 5.0])
def test_every_number_of_the_shipped_model_has_a_sentence(value: float) -> None:
    model, _ = shipped()
    for kind in model.spec.kinds.values():
        for name in kind.features:
            for pulses in (False, True):
                text = SENTENCES[name](value or 1e-3, facts(value, pulses))
                assert text
                assert "{" not in text
                assert text == NO_PULSE or pulses or not name.startswith("pulse/")


def test_reasons_begin_with_what_spoke_for_the_decision_and_say_nothing_twice() -> None:
    reasons = [
        Reason("mean/noise_max", 0.0, 2.0),
        Reason("pulse/height4", 0.9, -1.5),
        Reason("pulse/height_least", 0.8, -1.0),
        Reason("pulse/gap", 0.8, -0.5),
        Reason("mean/gap", 1.0, -0.01),
    ]
    said = Facts(
        {},
        {
            "ABP": {
                "height4": 0.9,
                "height_least": 0.8,
                "gap": 0.8,
                "slow8": math.log(60 / 78),
                "fast8": math.log(60 / 78),
            }
        },
    )
    assert reasons_in_words(reasons, said, stands=False) == [
        "against: pulse in ABP kept its strength (90 % of usual), at 78/min",
        "against: pulse in ABP went on at 78/min",
        "for: the leads are clean",
    ]
    assert reasons_in_words(reasons, said, stands=True)[0] == "for: the leads are clean"


# Through a broker.


@contextmanager
def judging(kafka: Settings) -> Iterator[Judge]:
    judge = Judge(kafka, *shipped())
    stop = threading.Event()
    thread = threading.Thread(target=judge.run, args=(stop.is_set,))
    thread.start()
    try:
        yield judge
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


def read_all(kafka: Settings, topic: str, n: int) -> list[bytes]:
    """Read a topic from its start until it holds so many records."""
    reader = clients.consumer(kafka, group_id=None)
    try:
        reader.assign([TopicPartition(topic, number) for number in range(kafka.kafka.partitions)])
        reader.seek_to_beginning()
        values: list[bytes] = []
        deadline = time.monotonic() + 60
        while len(values) < n:
            assert time.monotonic() < deadline, f"{topic}: {len(values)} of {n} records after 60 s"
            for records in reader.poll(timeout_ms=200).values():
                values.extend(record.value for record in records)
        return values
    finally:
        reader.close(autocommit=False)


def verdicts(kafka: Settings, n: int) -> dict[str, Verdict]:
    values = read_all(kafka, kafka.topics.verdicts, n)
    schema = json.loads((SCHEMAS / "verdict-1.json").read_text())
    for value in values:
        jsonschema.validate(json.loads(value), schema)
    return {said.id: said for said in (msgspec.json.decode(value, type=Verdict) for value in values)}


class Devices:
    """Bedside devices that send made-up hearts whose last sample is of now."""

    def __init__(self, kafka: Settings) -> None:
        self.start_ns = time.time_ns() - CALM_S * NS_PER_S
        self.end_ns = self.start_ns + CALM_S * NS_PER_S
        self.producer: KafkaProducer = clients.producer(kafka)
        self.topics = kafka.topics

    def signal(self, bed: str, samples: np.ndarray, seconds: range, kind: str = "ecg") -> None:
        for n in seconds:
            value = encoded(samples[n * FS : (n + 1) * FS], n * FS, n, kind, bed, self.start_ns)
            self.producer.send(self.topics.raw, value, key=bed.encode(), headers=wire.headers(wire.AVRO))
        self.producer.flush()

    def alarm(self, bed: str, kind: str = "asystole", **changes: object) -> None:
        fields = {"bed": bed, "kind": kind, "id": f"{bed}/{kind}", "time_ns": self.end_ns} | changes
        self.producer.send(self.topics.device_alarms, alarm_bytes(**fields), key=bed.encode()).get(10)


@pytest.fixture
def devices(kafka: Settings) -> Iterator[Devices]:
    made = Devices(kafka)
    yield made
    made.producer.close(timeout=5)


@pytest.mark.kafka
def test_a_ward_of_device_alarms_gets_its_answers(kafka: Settings, devices: Devices) -> None:
    whole = range(CALM_S)
    fast, fast_pulse = heart(CALM_S, bpm=160)
    devices.signal("calm", ECG, whole)
    devices.signal("calm", PULSE, whole, "abp")
    devices.signal("fast", fast, whole)
    devices.signal("fast", fast_pulse, whole, "abp")
    devices.signal("new", ECG, range(90, CALM_S))
    devices.signal("torn", ECG, [n for n in whole if not 60 <= n < 70])
    devices.signal("blind", PULSE, whole, "abp")
    devices.signal("unplugged", ECG, range(125))
    off = ECG.copy()
    off[-12 * FS :] = -32_768
    devices.signal("off", off, whole)
    devices.signal("off", PULSE, whole, "abp")
    devices.signal("alone", off, whole)
    devices.alarm("off")
    devices.alarm("off", "vt")
    devices.alarm("alone")
    devices.alarm("calm")
    devices.alarm("fast", "extreme_tachycardia")
    devices.alarm("calm", "apnoea")
    for bed in ("new", "torn", "blind", "unplugged", "nobody"):
        devices.alarm(bed, "vt")
    devices.alarm("calm", version=3)
    devices.producer.send(kafka.topics.device_alarms, alarm_bytes(bed="calm"), key=b"fast")
    devices.producer.flush()
    with judging(kafka) as judge:
        said = verdicts(kafka, 11)
        letters = [
            msgspec.json.decode(value, type=DeadLetter)
            for value in read_all(kafka, kafka.topics.dead_letters, 2)
        ]
    assert {letter.reason for letter in letters} == {"unknown_version", "key_mismatch"}
    false = said["calm/asystole"]
    assert false.stands is False
    assert false.probability is not None
    assert false.threshold is not None
    assert false.probability < false.threshold
    assert any("pulse in ABP went on at 75/min" in reason for reason in false.reasons)
    assert 0 < len(false.reasons) <= MOST
    assert false.detail == "looked at ECG II, V1, pulse ABP, up to the alarm only"
    true = said["fast/extreme_tachycardia"]
    assert true.stands is True
    assert "for: fastest rate over 17 beats 160/min (limit 140/min)" in true.reasons
    because = {
        "calm/apnoea": "kind='apnoea' is none of asystole, extreme_bradycardia",
        "new/vt": "40 s of unbroken ECG before the alarm, need 100",
        "torn/vt": "60 s of unbroken ECG",
        "blind/vt": "no ECG of this bed",
        "unplugged/vt": "the ECG ends 5 s before the alarm",
        "nobody/vt": "no ECG of this bed",
        "off/vt": "14 % of the ECG is there in the last 14 s",
        "alone/asystole": "14 % of the ECG is there in the last 14 s, and no pulse to rely on",
    }
    assert said["off/asystole"].stands is False, "a pulse alone contradicts an asystole"
    for id_, words in because.items():
        one = said[id_]
        assert (one.stands, one.probability, one.threshold, one.reasons) == (None, None, None, [])
        assert one.detail.startswith(UNJUDGED)
        assert words in one.detail
    counts = judge.stats.counts
    assert (counts["verdicts"], counts["unjudged"], counts["dead_letters"]) == (3, 8, 2)


def committed(kafka: Settings, part: TopicPartition) -> int | None:
    reader = clients.consumer(kafka, group_id=kafka.kafka.group_id + "-judge")
    try:
        return reader.committed(part)
    finally:
        reader.close(autocommit=False)


def crash(judge: Judge) -> None:
    """As near to ``kill -9`` as one process can: nothing more is sent or committed."""
    judge._past.close()
    judge._consumer.close(autocommit=False)
    judge._producer.close(timeout=0.5)


@pytest.mark.kafka
def test_an_alarm_waits_for_its_last_chunk_holds_nothing_up_and_outlives_its_judge(
    kafka: Settings, devices: Devices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.judge.WAIT_S", 600.0)
    beds = [bed for bed in (f"bed-{n:02d}" for n in range(50)) if partition_for(bed, 4) == 1][:2]
    slow, ready = beds
    part = TopicPartition(kafka.topics.device_alarms, 1)
    devices.signal(slow, ECG, range(CALM_S - 1))
    devices.signal(ready, ECG, range(CALM_S))
    devices.alarm(slow)
    devices.alarm(ready)
    first = Judge(kafka, *shipped())
    read, failed = first._past.read, []

    def flaky(*arguments: object) -> Progress:
        if len(failed) < 2:
            failed.append(arguments)
            raise KafkaTimeoutError("the broker is away")
        return read(*arguments)

    monkeypatch.setattr(first._past, "read", flaky)
    deadline = time.monotonic() + 60
    while not (first.stats.counts["verdicts"] and first._cases):
        assert time.monotonic() < deadline
        first.step()
    assert set(verdicts(kafka, 1)) == {f"{ready}/asystole"}
    crash(first)
    assert committed(kafka, part) in (None, 0), "the alarm that waits is not passed over"
    devices.signal(slow, ECG, range(CALM_S - 1, CALM_S))
    with judging(kafka):
        said = verdicts(kafka, 3)
        deadline = time.monotonic() + 30
        while committed(kafka, part) != 2:
            assert time.monotonic() < deadline
    assert set(said) == {f"{slow}/asystole", f"{ready}/asystole"}
    assert all(one.stands is not None for one in said.values())


@pytest.mark.kafka
def test_a_verdict_that_is_not_delivered_is_not_committed(kafka: Settings, devices: Devices) -> None:
    devices.alarm("bed-01", "apnoea")
    judge = Judge(kafka, *shipped())
    judge._outputs._note_failure(TimeoutError("expired"))
    with pytest.raises(NotDelivered, match="expired"):
        judge.run(lambda: False)
    number = partition_for("bed-01", kafka.kafka.partitions)
    assert committed(kafka, TopicPartition(kafka.topics.device_alarms, number)) in (None, 0)


RECORDS = {
    "a654s": "asystole", "a152s": "asystole", "b340s": "extreme_bradycardia", "t693l": "extreme_tachycardia",
    "f493l": "vf", "v275l": "vt", "v367l": "vt",
}  # fmt: skip
"""True and false alarms; of some the ECG is gone for a while."""


@pytest.mark.data
@pytest.mark.kafka
def test_a_replayed_record_is_judged_as_the_file_is(kafka: Settings, data_dir: Path) -> None:
    sources = read_sources([data_dir / "cinc2015" / name for name in RECORDS], list(RECORDS))
    codings = {(source.bed, source.signal.kind): source.signal.coding for source in sources}
    starts: dict[str, int] = {}

    def announce(schedules: tuple[Schedule, ...]) -> None:
        starts.update({schedule.bed: schedule.file_zero_ns for schedule in schedules})

    with Publisher(kafka, device="monitor") as publisher:
        replay(sources, publish_through(publisher, codings), speed=math.inf, on_schedule=announce)
    producer = clients.producer(kafka)
    for name, kind in RECORDS.items():
        value = alarm_bytes(bed=name, id=name, kind=kind, time_ns=starts[name] + 75_000 * NS_PER_S // 250)
        producer.send(kafka.topics.device_alarms, value, key=name.encode())
    producer.flush()
    producer.close()
    with judging(kafka):
        said = verdicts(kafka, len(RECORDS))
    for name, kind in RECORDS.items():
        expected = judge_file(data_dir / "cinc2015" / name, device_alarms.KIND_OF[kind])
        assert said[name].stands == expected.true, name
        assert said[name].probability == pytest.approx(expected.probability, abs=1e-3), name
    assert judge_record(data_dir / "cinc2015" / "a654s", "Asystole") == pytest.approx(
        (said["a654s"].stands, said["a654s"].probability), abs=1e-3
    )
