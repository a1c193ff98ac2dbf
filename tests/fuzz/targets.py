"""What is fuzzed: readers of what comes from outside, seeds that they read, errors that they may raise.

A target that raises anything else has failed, as has one that ends the process or does not come back.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
import warnings
import wave
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from inference import commands, device_alarms, snapshot
from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import ReadOptions, read_upload
from inference.analysis_unpack import Upload
from inference.beds import BedState
from inference.catalog import load_catalogue
from inference.errors import BadCommand, BadSetting, BadUpload, SnapshotError
from inference.site import load_site
from inference.stream_watch import StreamWatch
from ingest import kafka, wire
from ingest.continuity import Continuity
from ingest.errors import BadChunk, SettingsError
from ingest.settings import IngestSettings, load_settings
from ingest.types import SignalKind
from tests.eeg_files import edf

LIMITS = AnalysisLimits(max_upload_mb=2, max_unpacked_mb=4, max_samples=400_000)
"""Small, so that an input that is let through does not take long."""

N_PARTITIONS = 8
T0_NS = 1_700_000_000 * 10**9
_CATALOGUE = load_catalogue()
_MEMORY = "/dev/shm"
_FOLDER = Path(
    tempfile.mkdtemp(prefix="wardwave-fuzz-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
)


@dataclass(frozen=True)
class Target:
    """A reader, what it may raise, and inputs that it reads; ``share`` of all inputs are its own."""

    run: Callable[[bytes], object]
    allowed: tuple[type[Exception], ...]
    seeds: Sequence[bytes]
    share: float

    def check(self, data: bytes) -> bool:
        """Give one input; say whether it was read."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.run(data)
        except self.allowed as error:
            if not str(error):
                raise AssertionError(f"{type(error).__name__} says nothing") from error
            return False
        return True


@dataclass(frozen=True)
class _Record:
    value: bytes | None
    key: bytes | None
    timestamp: int = 1_700_000_000_000
    headers: Iterable[tuple[str, bytes | None]] = ()
    topic: str = "fuzzed"
    partition: int = 0
    offset: int = 0


def _avro(data: bytes) -> None:
    _check_chunk(wire.decode(data, wire.AVRO))


def _json(data: bytes) -> None:
    _check_chunk(wire.decode(data, wire.JSON))


def _check_chunk(chunk: wire.Chunk) -> None:
    assert chunk.samples.shape[1] == len(chunk.channels)
    assert not np.isinf(chunk.samples).any()
    assert chunk.end_ns >= chunk.start_ns


def _command(data: bytes) -> None:
    key, _, value = data.partition(b"\n")
    commands.decode(_Record(value, key))


def _device_alarm(data: bytes) -> None:
    """Reads an input as key, header and value of a record that lies in its key's partition."""
    key, _, rest = data.partition(b"\n")
    form, _, value = rest.partition(b"\n")
    number = kafka.partition_for(key.decode(errors="replace"), N_PARTITIONS)
    headers = [("content-type", form)] if form else []
    record = _Record(value, key, headers=headers, partition=number)
    alarm = device_alarms.read(record, N_PARTITIONS, IngestSettings())
    assert alarm.bed.encode() == key
    assert all(getattr(alarm, name).isprintable() for name in device_alarms.LONGEST)


def _settings(data: bytes) -> None:
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(given, dict):
        load_settings(**{str(name): value for name, value in given.items()})


def _site(data: bytes) -> None:
    path = _FOLDER / "site.toml"
    path.write_bytes(data)
    load_site(path, _CATALOGUE)


def _state(data: bytes) -> None:
    snapshot.decode(data)


def _bed(data: bytes) -> None:
    snapshot.decode_as(data, BedState)


def _upload(*names: str) -> Callable[[bytes], None]:
    """Reads an input as what was handed in: several files are parted by :data:`PARTED`."""

    def read(data: bytes) -> None:
        files = [Upload(name, part) for name, part in zip(names, data.split(PARTED), strict=False)]
        folder = _FOLDER / "upload"
        folder.mkdir()
        try:
            read_upload(files, LIMITS, ReadOptions(), folder)
        finally:
            shutil.rmtree(folder)

    return read


PARTED = b"\n===\n"
_HEAD = b"r 2 250 500\nr.dat 16 200(0)/mV 16 0 0 0 0 II\nr.dat 16 200(0)/mV 16 0 0 0 0 V1\n# 60 M\n"
_HEAD_212 = (
    b"r 2 360 720 12:00:00 01/01/2020\nr.dat 212 200 11 1024 0 0 0 MLII\nr.dat 212 200 11 1024 0 0 0 V5\n"
)


def _wave() -> np.ndarray:
    return np.round(200 * np.sin(np.arange(1_000) / 7)).astype("<i2")


def _sounds(form: str, subtype: str | None = None) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, np.sin(np.arange(4_400) / 9) * 0.5, 4_000, format=form, subtype=subtype)
    return out.getvalue()


def _wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(4_000)
        file.writeframes(np.tile(_wave(), 5).tobytes())
    return out.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in files.items():
            opened.writestr(name, data)
    return out.getvalue()


def _edf() -> bytes:
    lines = {"Fp1": np.sin(np.arange(400) / 9.0) * 50, "ECG II": np.cos(np.arange(400) / 5.0) * 500}
    return edf(_FOLDER, lines, fs_hz=200, marks=[(0.5, 0.5, "seizure")]).data


def _chunk(content: str, **given: object) -> bytes:
    plain = np.arange(40, dtype=np.int16).reshape(20, 2)
    return wire.encode(
        bed="bed-1", device="m1", kind=SignalKind.ECG, channels=("II", "V1"), unit="mV", fs_hz=250.0,
        start_ns=1_700_000_000 * 10**9, seq=7, samples=plain, gain=200.0, baseline=0, lead_off=(False, True),
        content_type=content, **given,
    )  # fmt: skip


def _commands() -> list[bytes]:
    actions = [
        commands.Acknowledge(["bed-1:ecg:vf:1"]), commands.PauseAudio(60.0), commands.Transfer("bed-2"),
        commands.Admit("adult", "icu", "stay-1", {"ecg/hr_high": {"limit": 130.0, "on": True}}),
        commands.SetAlarm("ecg/hr_high", {"limit": 140.0}), commands.Discharge(5), commands.Standby(True),
    ]  # fmt: skip
    made = [commands.new_command("nurse", one, "bed-1", issued_ns=1_700_000_000 * 10**9) for one in actions]
    return [one.key + b"\n" + commands.encode(one) for one in made]


def _device_alarms() -> list[bytes]:
    plain = {"version": 1, "id": "m1/17", "bed": "bed-1", "device": "m1", "kind": "vf", "time_ns": T0_NS}
    worded = plain | {"kind": "asystole", "message": "*** ASYSTOLE é"}
    json_form = wire.JSON.encode()
    return [
        b"bed-1\n\n" + json.dumps(plain).encode(),
        b"bed-1\n" + json_form + b"\n" + json.dumps(worded, ensure_ascii=False).encode(),
    ]


def _snapshot() -> bytes:
    """State that a worker leaves of a signal it has just begun to hear."""
    line, watch = Continuity(IngestSettings()), StreamWatch([SignalKind.ECG])
    chunk = wire.decode(_chunk(wire.AVRO), wire.AVRO)
    received_ms = chunk.end_ns // 1_000_000
    line.push(chunk, 0, received_ms)
    watch.heard(("bed-1", "ecg"), chunk, received_ms, 0, 1.0)
    state = watch.state(("bed-1", "ecg"))
    return snapshot.encode(snapshot.Snapshot(snapshot.VERSION, "bed-1", "ecg", 1, line.state(), state, None))


def targets() -> dict[str, Target]:
    """All targets by name; the shares add up to 1."""
    text = "t,II [mV]\n" + "".join(f"{n / 250},{np.sin(n / 20):.3f}\n" for n in range(300))
    site = b'[alarms."ecg/hr_high"]\nlimit = 130\n[wards.icu]\nbeds = ["icu-*"]\nprofile = "adult"\n'
    record = {"r.hea": _HEAD, "r.dat": _wave().tobytes()}
    bed = BedState("bed-1", "icu", "adult", settings={}, revision=3)
    return {
        "chunk_avro": Target(_avro, (BadChunk,), [_chunk(wire.AVRO)], 0.25),
        "chunk_json": Target(_json, (BadChunk,), [_chunk(wire.JSON)], 0.16),
        "command": Target(_command, (BadCommand,), _commands(), 0.2),
        "device_alarm": Target(_device_alarm, (BadChunk,), _device_alarms(), 0.04),
        "settings": Target(
            _settings, (SettingsError,),
            [b'{"kafka": {"partitions": 8, "group_id": "g"}, "ingest": {"reorder_s": 2}}',
             b'{"commands": {"key": "0123456789abcdef0123456789abcdef", "max_age_s": 30}}'], 0.1,
        ),
        "site_file": Target(_site, (BadSetting,), [site], 0.05),
        "state_signal": Target(_state, (SnapshotError,), [_snapshot()], 0.05),
        "state_bed": Target(_bed, (SnapshotError,), [snapshot.encode(bed)], 0.05),
        "wfdb": Target(
            _upload("r.hea", "r.dat"), (BadUpload,),
            [_HEAD + PARTED + _wave().tobytes(), _HEAD_212 + PARTED + bytes(range(240)) * 9], 0.02,
        ),
        "edf": Target(_upload("r.edf"), (BadUpload,), [_edf()], 0.02),
        "wav": Target(
            _upload("r.wav"), (BadUpload,), [_wav(), _sounds("WAV", "FLOAT"), _sounds("WAV", "ULAW")], 0.02
        ),
        "flac": Target(_upload("r.flac"), (BadUpload,), [_sounds("FLAC")], 0.01),
        "table": Target(_upload("r.csv"), (BadUpload,), [text.encode()], 0.02),
        "zip": Target(_upload("r.zip"), (BadUpload,), [_zip(record)], 0.01),
    }  # fmt: skip
