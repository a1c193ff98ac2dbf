"""Recordings become live streams: in order, on time, lossless, ending at the present."""

from __future__ import annotations

import argparse
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import replay as replay_module
from ingest.errors import BadRecording, SettingsError
from ingest.faults import Faults
from ingest.pacing import device_start_ns, parse_speed, publish_through
from ingest.recording import Coding, Signal
from ingest.replay import Schedule, Source, add_arguments, read_sources, replay, source_chunks, write_manifest
from ingest.settings import Settings
from ingest.types import NS_PER_S, Chunk, SignalKind
from ingest.wire import AVRO, decode, encode

NOW = 1_800_000_000 * NS_PER_S


class FakeClock:
    def __init__(self) -> None:
        self.time_ns = NOW

    def now_ns(self) -> int:
        return self.time_ns

    def wait_until(self, time_ns: int) -> None:
        self.time_ns = max(self.time_ns, time_ns)


def source(
    bed: str = "bed-01", n: int = 2500, fs_hz: float = 250.0, kind: SignalKind = SignalKind.ECG
) -> Source:
    samples = np.arange(2 * n, dtype=np.float32).reshape(n, 2) / 1000
    return Source(
        bed, f"{bed}.file", Signal(kind, ("II", "V1"), "mV", fs_hz, samples, Coding((1e3, 1e3), (0, 0)))
    )


def played(
    sources: list[Source], **options: object
) -> tuple[list[tuple[int, Chunk]], tuple[Schedule, ...], FakeClock]:
    clock, sent = FakeClock(), list[tuple[int, Chunk]]()
    schedules = replay(
        sources,
        lambda chunk: sent.append((clock.time_ns, chunk)),
        clock=clock,
        **options,  # type: ignore[arg-type]
    )
    return sent, schedules, clock


@pytest.mark.parametrize("speed", [1.0, 10.0, math.inf])
def test_the_device_clock_ends_at_the_present(speed: float) -> None:
    sent, (schedule,), clock = played([source()], speed=speed)
    assert sent[-1][1].end_ns == pytest.approx(clock.time_ns, abs=1000)
    assert clock.time_ns - NOW == pytest.approx(10 * NS_PER_S / speed, abs=1000)
    assert schedule.start_ns == sent[0][1].start_ns
    assert schedule.n_samples == 2500


def test_in_real_time_a_chunk_leaves_when_its_last_sample_exists() -> None:
    sent, _, _ = played([source(), source("bed-02", fs_hz=360.0)], speed=1.0)
    assert all(at == chunk.end_ns for at, chunk in sent)


def test_beds_are_interleaved_in_device_time_and_counted_each() -> None:
    sent, _, _ = played([source(), source("bed-02", n=5000), source("bed-03", fs_hz=360.0)], speed=math.inf)
    ends = [chunk.end_ns for _, chunk in sent]
    assert ends == sorted(ends)
    for bed in ("bed-01", "bed-02", "bed-03"):
        own = [chunk for _, chunk in sent if chunk.bed == bed]
        assert [chunk.seq for chunk in own] == list(range(len(own)))
        assert all(abs(a.end_ns - b.start_ns) <= 1 for a, b in itertools.pairwise(own))
    assert [chunk.bed for _, chunk in sent][:2] == ["bed-01", "bed-02"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 3000),
    st.floats(0.01, 5),
    st.sampled_from([62.5, 250.0, 360.0, 173.61]),
    st.integers(1, 6000),
)
def test_any_chunk_length_gives_the_same_samples(n: int, chunk_s: float, fs_hz: float, total: int) -> None:
    one = source(n=n, fs_hz=fs_hz)
    if chunk_s * fs_hz < 1:
        return
    chunks = list(source_chunks(one, NOW, total, chunk_s, "d"))
    joined = np.concatenate([chunk.samples for chunk in chunks])
    np.testing.assert_array_equal(joined, np.resize(one.signal.samples, (total, 2)))
    firsts = np.cumsum([0, *(chunk.n_samples for chunk in chunks[:-1])])
    for first, chunk in zip(firsts, chunks, strict=True):
        assert chunk.start_ns == NOW + round(int(first) / fs_hz * NS_PER_S)


def test_loop_goes_on_without_a_break() -> None:
    sent, (schedule,), _ = played([source(n=600)], speed=math.inf, loop=True, duration_s=10)
    joined = np.concatenate([chunk.samples for _, chunk in sent])
    assert len(joined) == 2500 == schedule.n_samples
    np.testing.assert_array_equal(joined[600:1200], joined[:600])


def test_an_endless_loop_plays_on_in_real_time_only() -> None:
    clock = FakeClock()

    class Enough(Exception):
        pass

    def publish(chunk: Chunk) -> None:
        if chunk.seq == 50:
            raise Enough

    with pytest.raises(Enough):
        replay([source(n=600)], publish, clock=clock, loop=True)
    assert clock.time_ns == NOW + 51 * NS_PER_S
    with pytest.raises(SettingsError, match="give a duration"):
        replay([source()], publish, clock=clock, loop=True, speed=10)


def test_faults_on_the_way() -> None:
    sent, _, _ = played([source()], speed=math.inf, faults=Faults(["gap@3s:2s", "duplicate@8s"]))
    assert [chunk.seq for _, chunk in sent] == [0, 1, 2, 5, 6, 7, 8, 8, 9]


@pytest.mark.parametrize(
    ("options", "said"), [({"chunk_s": 0.001}, "not one sample"), ({"chunk_s": math.nan}, "not one sample")]
)
def test_impossible_chunks_are_refused(options: dict[str, float], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        played([source()], **options)


@pytest.mark.parametrize("text", ["0", "-1", "fast", "nan", ""])
def test_wrong_speed(text: str) -> None:
    with pytest.raises(SettingsError, match="speed"):
        parse_speed(text)


def test_speeds() -> None:
    assert [parse_speed(text) for text in ("1", "10", "max", "0.5")] == [1.0, 10.0, math.inf, 0.5]
    assert device_start_ns(NOW, None, 1.0) == NOW


def test_chunks_reach_the_wire_without_loss() -> None:
    digital = np.random.default_rng(0).integers(-2000, 2000, (2500, 2)).astype(np.int16)
    coding = Coding((200.0, 350.0), (1024.0, -0.5))
    one = Source(
        "bed-01", "x", Signal(SignalKind.ECG, ("II", "V1"), "mV", 250.0, coding.physical(digital), coding)
    )
    values: list[bytes] = []

    class Wire:
        def publish(self, **fields: object) -> None:
            np.testing.assert_array_equal(
                fields["samples"], digital[len(values) * 250 : len(values) * 250 + 250]
            )
            values.append(encode(**fields, content_type=AVRO))  # type: ignore[arg-type]

    replay(
        [one],
        publish_through(Wire(), {("bed-01", SignalKind.ECG): coding}),
        speed=math.inf,
        clock=FakeClock(),
    )
    back = [decode(value, AVRO) for value in values]
    np.testing.assert_allclose(np.concatenate([c.samples for c in back]), one.signal.samples, atol=1e-5)
    assert [c.seq for c in back] == list(range(10))


def write_files(folder: Path) -> None:
    for name, fs in (("a", 250), ("b", 360)):
        wfdb.wrsamp(
            name,
            fs=fs,
            units=["mV", "NU"],
            sig_name=["II", "PLETH"],
            fmt=["16", "16"],
            adc_gain=[200.0, 100.0],
            baseline=[0, 0],
            d_signal=np.arange(8000).reshape(4000, 2) % 3000,
            write_dir=str(folder),
        )
    soundfile.write(folder / "c.wav", np.zeros(4000, np.int16), 4000)


def test_a_folder_becomes_a_ward(tmp_path: Path) -> None:
    write_files(tmp_path)
    assert [(one.bed, str(one.signal.kind)) for one in read_sources([tmp_path])] == [
        ("bed-01", "ecg"),
        ("bed-01", "pleth"),
        ("bed-02", "ecg"),
        ("bed-02", "pleth"),
        ("bed-03", "lung_sound"),
    ]
    with pytest.raises(BadRecording, match="no samples"):
        read_sources([tmp_path / "c.wav"], start_s=2.0)


def test_files_and_beds_must_fit(tmp_path: Path) -> None:
    write_files(tmp_path)
    with pytest.raises(SettingsError, match="1 beds for 2 recordings"):
        read_sources([tmp_path / "a", tmp_path / "b"], ["icu-1"])
    with pytest.raises(SettingsError, match="icu-1 already gets its ecg"):
        read_sources([tmp_path / "a", tmp_path / "b"], ["icu-1", "icu-1"])
    both = read_sources([tmp_path / "a", tmp_path / "c.wav"], ["icu-1", "icu-1"])
    assert {str(one.signal.kind) for one in both} == {"ecg", "pleth", "lung_sound"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRecording, match="no recordings in this folder"):
        read_sources([tmp_path / "empty"])


def test_the_manifest_maps_annotations_to_device_time(tmp_path: Path) -> None:
    write_files(tmp_path)
    (one, _) = read_sources([tmp_path / "a"], start_s=2.0, duration_s=4.0)
    sent, schedules, _ = played([one], speed=math.inf)
    write_manifest(tmp_path / "m.json", schedules)
    (entry,) = json.loads((tmp_path / "m.json").read_text())["beds"]
    annotation = 700
    whole = read_sources([tmp_path / "a"])[0].signal.samples
    at_ns = entry["file_zero_ns"] + annotation / entry["fs_hz"] * NS_PER_S
    chunk = next(chunk for _, chunk in sent if chunk.start_ns <= at_ns < chunk.end_ns)
    inside = round((at_ns - chunk.start_ns) * entry["fs_hz"] / NS_PER_S)
    np.testing.assert_array_equal(chunk.samples[inside], whole[annotation])
    assert (entry["bed"], entry["kind"], entry["n_samples"]) == ("bed-01", "ecg", 1000)


def test_the_command_line_starts_without_the_libraries_of_the_formats() -> None:
    code = (
        "import sys; import ingest.replay, ingest.simulate; "
        "heavy = {'wfdb', 'scipy', 'neurokit2', 'pyedflib', 'soundfile', 'kafka'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.kafka
def test_replay_command_through_a_broker(
    tmp_path: Path, kafka: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.kafka import consumer

    write_files(tmp_path)
    monkeypatch.setenv("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", kafka.kafka.bootstrap_servers)
    monkeypatch.setenv("WARDWAVE_TOPICS__RAW", kafka.topics.raw)
    manifest = tmp_path / "m.json"
    args = arguments(
        str(tmp_path / "a"),
        str(tmp_path / "b"),
        "--bed",
        "icu-1",
        "icu-2",
        "--speed",
        "max",
        "--fault",
        "icu-2:gap@2s:1s",
        "--manifest",
        str(manifest),
    )
    assert replay_module.run(args) == 0
    expected = 2 * (16 + 12) - 2
    reader = consumer(kafka, kafka.topics.raw, group_id=None)
    got: list[Chunk] = []
    for _ in range(100):
        for records in reader.poll(timeout_ms=200).values():
            got += [decode(record.value, dict(record.headers)["content-type"].decode()) for record in records]
        if len(got) >= expected:
            break
    reader.close()
    assert len(got) == expected
    starts = {(b["bed"], b["kind"]): b["start_ns"] for b in json.loads(manifest.read_text())["beds"]}
    for (bed, kind), start_ns in starts.items():
        own = sorted((c for c in got if (c.bed, c.kind) == (bed, kind)), key=lambda c: c.seq)
        assert own[0].start_ns == start_ns
        assert own[0].device == "replay"
        assert [c.seq for c in own] == (list(range(16)) if bed == "icu-1" else [0, 1, *range(3, 12)])


@pytest.mark.data
def test_a_real_record_replays_whole(data_dir: Path) -> None:
    (one,) = read_sources([data_dir / "vfdb" / "418"], duration_s=60)
    sent, (schedule,), _ = played([one], speed=10)
    joined = np.concatenate([chunk.samples for _, chunk in sent])
    np.testing.assert_array_equal(joined, one.signal.samples)
    assert schedule.channels == ("ECG1", "ECG2")


@pytest.mark.data
def test_a_path_may_say_where_it_begins(data_dir: Path) -> None:
    (one,) = read_sources([f"{data_dir / 'vfdb' / '418'}@30.5"], duration_s=4.0)
    (same,) = read_sources([data_dir / "vfdb" / "418"], start_s=30.5, duration_s=4.0)
    assert one.first_s == 30.5
    np.testing.assert_array_equal(one.signal.samples, same.signal.samples)
