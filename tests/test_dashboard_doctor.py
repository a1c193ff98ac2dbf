"""``wardwave doctor``: whoever is called at night learns in plain lines what is wrong."""

from __future__ import annotations

import json
import shutil
from argparse import Namespace
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dashboard import doctor, doctor_broker, doctor_cli, doctor_settings, model_cards
from dashboard.doctor import Finding, Grade
from dashboard.system_state import SystemSnapshot, SystemState
from inference.recorder_settings import RecorderSettings
from inference.stats import Stats
from inference.status import INFER, Standing, StatusReporter
from inference.store_engine import connect, upgrade
from inference.types import DataAge, Lag, LoadedModel, WorkerStatus
from ingest import kafka as clients
from ingest.settings import CommandSettings, IngestSettings, KafkaSettings, Settings
from tests.browsing import free_port

KEY = "k" * 32
ROOT = Path(__file__).resolve().parent.parent


def status(role: str = INFER, **changes: object) -> WorkerStatus:
    held = [0, 1]
    whole = WorkerStatus(
        member=role, role=role, state="running", host="ward-pc", pid=7, started_ns=0, emitted_ns=1,
        version="0.1.0", code_commit="abc", libraries={}, group="g", partitions=held, n_partitions=2, beds=2,
        lag=[Lag(number, 0, 0.0) for number in held], rates={}, latencies={}, counts={}, dead_letters={},
        clocks=[], models=[], device="cpu", rss_bytes=1, cpu_share=0.1, threads=4,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


def heard(*said: WorkerStatus, age_s: float = 0.5) -> SystemSnapshot:
    state = SystemState()
    for one in said:
        state.add_status(one, age_s)
    return state.snapshot()


def lines(found: list[Finding], grade: Grade) -> str:
    return "\n".join(f"{one.what}: {one.line}" for one in found if one.grade is grade)


def test_no_worker_is_said_before_all_else() -> None:
    first = next(iter(doctor.processes(heard())))
    assert first.grade is Grade.WRONG
    assert "NO WORKER runs: no bed is watched; start one: wardwave infer (none has been heard)" in first.line
    silent = next(iter(doctor.processes(heard(status(), age_s=40.0))))
    assert silent.grade is Grade.WRONG
    assert "the last one was heard 40 s ago" in silent.line


def test_a_ward_that_is_as_it_should_be_has_no_warning() -> None:
    found = list(doctor.processes(heard(status(), status("record"), status("judge"))))
    assert {one.grade for one in found} == {Grade.OK}
    assert "1 worker: worker ward-pc:7 spoke 0.5 s ago" in lines(found, Grade.OK)


def test_who_is_missing_beside_the_workers_is_a_warning() -> None:
    found = lines(list(doctor.processes(heard(status()))), Grade.WARNING)
    assert "recorder: no recorder runs: nothing is stored" in found
    assert "judge: no judge runs" in found


def test_a_partition_that_nobody_reads_must_be_seen_to() -> None:
    found = list(doctor.processes(heard(status(partitions=[1], lag=[Lag(1, 90, 12.0)]))))
    said = lines(found, Grade.WRONG)
    assert "1 of 2 partitions read by no worker: 0" in said
    assert "90 records, 12 s" in said


def test_beds_with_old_data_are_named_the_oldest_first() -> None:
    ages = [DataAge("bed-01", "ecg", 0.8), DataAge("bed-02", "ecg", 12.0), DataAge("bed-03", "eeg", 300.0)]
    found = doctor.old_data(heard(status(oldest=ages)))
    assert found.grade is Grade.WARNING
    assert found.line.endswith("over 10 s: bed-03 eeg 300 s, bed-02 ecg 12 s")
    fresh = doctor.old_data(heard(status(oldest=ages[:1])))
    assert (fresh.grade, fresh.line) == (Grade.OK, "the oldest signal's newest chunk came 0.8 s ago")
    assert doctor.old_data(heard()).grade is Grade.WARNING


def test_silent_signals_that_a_worker_does_not_name_are_counted() -> None:
    ages = [DataAge(f"bed-{number:02d}", "ecg", 60.0 - number) for number in range(20)]
    found = doctor.old_data(heard(status(oldest=ages, n_silent=37)))
    assert found.line.startswith("37 signals sent nothing for over 10 s: bed-00 ecg 60 s, ")
    assert found.line.endswith("bed-07 ecg 53 s and 29 more")


def test_the_age_of_what_another_worker_heard_last_is_the_least_it_can_be() -> None:
    found = doctor.old_data(heard(status(oldest=[DataAge("bed-02", "ecg", 12.0, at_least=True)], n_silent=1)))
    assert found.line.endswith("1 signal sent nothing for over 10 s: bed-02 ecg at least 12 s")


def test_a_recorder_that_fell_silent_is_told_in_one_line() -> None:
    state = SystemState()
    state.add_status(status(), 0.5)
    state.add_status(status("record"), 30.0)
    told = [one for one in doctor.processes(state.snapshot()) if "record" in f"{one.what} {one.line}"]
    assert told == [
        Finding("recorder", Grade.WRONG, "the recorder has said nothing for 30 s: nothing is stored")
    ]


def test_networks_that_lost_their_gpu_are_told_with_the_reason() -> None:
    lost = {"ecg-cnn-lstm-1": "cuda:0: CUDA out of memory", "eeg-seizure-1": "cuda:0: CUDA out of memory"}
    said = lines(list(doctor.processes(heard(status(fallen_back=lost)))), Grade.WRONG)
    assert "worker ward-pc:7 lost its GPU: ecg-cnn-lstm-1 and 1 more on the CPU, more slowly" in said
    assert "restart it to use the GPU again (cuda:0: CUDA out of memory)" in said


def test_a_database_that_is_away_and_networks_that_are_lacking_must_be_seen_to() -> None:
    worker, recorder = status(counts={"networks_lacking": 2}), status("record", counts={"database_away": 1})
    said = lines(list(doctor.processes(heard(worker, recorder))), Grade.WRONG)
    assert "recorder ward-pc:7 stores nothing: its database does not answer or is full" in said
    assert "worker ward-pc:7 is without networks that it was to have (2)" in said


def test_weights_that_are_not_those_of_the_card_are_found_here_and_in_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "models" / "weights", tmp_path / "weights")
    shutil.copytree(ROOT / "models" / "verdicts", tmp_path / "verdicts")
    read = model_cards.read_cards
    whole = read(tmp_path / "weights", tmp_path / "verdicts")
    monkeypatch.setattr(model_cards, "read_cards", lambda: whole)
    assert {one.grade for one in doctor.models(heard(status()))} == {Grade.OK}
    other = status(models=[LoadedModel("ecg-beats-1", "0" * 64)])
    assert "ecg-beats-1: other weights than here run in worker ward-pc:7" in lines(
        list(doctor.models(heard(other))), Grade.WRONG
    )
    weights = tmp_path / "weights" / "ecg-beats-1.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    (tmp_path / "weights" / "ecg-af-1.json").write_text("{")
    broken = read(tmp_path / "weights", tmp_path / "verdicts")
    monkeypatch.setattr(model_cards, "read_cards", lambda: broken)
    said = lines(list(doctor.models(heard(status()))), Grade.WRONG)
    assert "ecg-beats-1: the weights are missing or not those of the card" in said
    assert "ecg-af-1.json" in said


def test_the_database_is_asked_and_never_made(tmp_path: Path) -> None:
    path = tmp_path / "ward.sqlite"
    settings = RecorderSettings.model_validate({"url": f"sqlite:///{path}"})
    assert doctor.store(settings).grade is Grade.WARNING
    assert not path.exists()
    engine = connect(f"sqlite:///{path}", writes=True)
    upgrade(engine)
    engine.dispose()
    assert doctor.store(settings).grade is Grade.OK


def test_a_password_in_the_database_s_url_is_not_told() -> None:
    url = "postgresql://ward:hunter2-secret@127.0.0.1:9/none"
    said = doctor.store(RecorderSettings.model_validate({"url": url}))
    assert said.grade is Grade.WARNING
    assert "hunter2" not in said.line


@pytest.mark.parametrize(("free", "grade"), [(5e9, Grade.OK), (5e8, Grade.WARNING), (1e8, Grade.WRONG)])
def test_a_full_disk_is_said_before_it_is_full(
    free: float, grade: Grade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free))
    settings = RecorderSettings.model_validate({"url": f"sqlite:///{tmp_path}/ward.sqlite"})
    found = list(doctor.disk(settings))
    assert {one.grade for one in found} == {grade}
    assert str(tmp_path) in lines(found, grade)


def test_what_others_could_read_or_forge_is_said(tmp_path: Path) -> None:
    far = Settings(kafka=KafkaSettings(bootstrap_servers="kafka.ward:9092"), commands=CommandSettings())
    said = lines(list(doctor.secrecy(far)), Grade.WARNING)
    assert "PLAINTEXT to kafka.ward" in said
    assert "not signed" in said
    assert "WARDWAVE_COMMANDS__KEY" in said
    keys = tmp_path / "keys.toml"
    keys.write_text(f'"m" = "{KEY}"')
    keys.chmod(0o600)
    safe = Settings(
        kafka=KafkaSettings(bootstrap_servers="kafka.ward:9092", security_protocol="SSL"),
        commands=CommandSettings.model_validate({"key": KEY}),
        ingest=IngestSettings(device_keys=keys),
    )
    assert not list(doctor.secrecy(safe))
    near = Settings(commands=CommandSettings.model_validate({"key": KEY}))
    assert not list(doctor.secrecy(near))


def run(
    settings: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> tuple[int, dict[str, object]]:
    recorder = RecorderSettings.model_validate({"url": f"sqlite:///{tmp_path}/ward.sqlite"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dashboard.doctor_settings.load_settings", lambda: settings)
        patch.setattr("inference.recorder_settings.load_recorder_settings", lambda: recorder)
        code = doctor_cli.run_doctor(Namespace(json=True))
    return code, json.loads(capsys.readouterr().out)


def test_without_a_broker_it_says_so_and_looks_at_the_rest(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nowhere = Settings(kafka=KafkaSettings(bootstrap_servers=f"127.0.0.1:{free_port()}"))
    code, said = run(nowhere, capsys, tmp_path)
    assert code == 1
    assert said["healthy"] is False
    whats = [one["what"] for one in said["findings"]]
    assert whats[:2] == ["broker", "workers"]
    assert {"models", "database", "disk"} <= set(whats)


def test_settings_that_are_wrong_are_a_line_and_the_rest_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", f"127.0.0.1:{free_port()}")
    monkeypatch.setenv("WARDWAVE_INGEST__DEVICE_KEYS", "/nowhere/keys.toml")
    monkeypatch.setenv("WARDWAVE_DASHBOARD__HOSTS", "ward.example")
    assert doctor_cli.run_doctor(Namespace(json=False)) == 1
    said = capsys.readouterr().out
    assert said.startswith(
        "WRONG    settings  no process starts with these: WARDWAVE_INGEST__DEVICE_KEYS='/nowhere/keys.toml': "
    )
    assert "WARDWAVE_DASHBOARD__HOSTS='ward.example': give JSON" in said
    for what in ("broker", "workers", "models", "database", "disk"):
        assert f"  {what:<9} " in said, what
    monkeypatch.setenv("WARDWAVE_RECORDER_URL", "x")
    assert doctor_cli.run_doctor(Namespace(json=False)) == 1
    said = capsys.readouterr().out
    assert said.count("did you mean WARDWAVE_RECORDER__URL?") == 2, "the first names the keys, too"
    assert "not known: the broker is not asked with wrong settings" in said
    assert "  models    " in said


def test_what_is_found_is_said_before_the_next_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def slowly() -> Iterator[Finding]:
        yield doctor.ok("broker", "answers")
        assert "ok       broker    answers" in capsys.readouterr().out
        yield doctor.wrong("disk", "make room")

    monkeypatch.setattr(doctor_cli, "look", slowly)
    assert doctor_cli.run_doctor(Namespace(json=False)) == 1
    assert "something must be done" in capsys.readouterr().out


def test_whose_limits_are_in_force_is_said(tmp_path: Path) -> None:
    (none,) = doctor_settings.alarms(Settings())
    assert none.grade is Grade.OK
    assert "no WARDWAVE_ALARMS_FILE here" in none.line
    path = tmp_path / "nicu.toml"
    path.write_text('[wards.nicu]\nbeds = ["nicu-*"]\nprofile = "neonatal"\n')
    (own,) = doctor_settings.alarms(Settings(alarms_file=str(path)))
    assert (own.grade, own.line) == (Grade.OK, f"limits are those of {path} (wards: nicu)")
    path.write_text('[wards.nicu]\nbed = ["nicu-*"]\n')
    (broken,) = doctor_settings.alarms(Settings(alarms_file=str(path)))
    assert broken.grade is Grade.WRONG
    assert "wards.nicu.bed" in broken.line


@pytest.mark.kafka
def test_topics_that_are_wrong_are_named(kafka: Settings) -> None:
    assert [one.grade for one in doctor_broker.topics(kafka)] == [Grade.OK]
    other = kafka.model_copy(update={"kafka": kafka.kafka.model_copy(update={"partitions": 8})})
    assert "has 4 partitions, WARDWAVE_KAFKA__PARTITIONS is 8" in lines(
        list(doctor_broker.topics(other)), Grade.WRONG
    )
    absent = kafka.topics.model_copy(update={"verdicts": f"{kafka.topics.verdicts}.no"})
    lacking = kafka.model_copy(update={"topics": absent})
    assert f"{absent.verdicts} missing; make them: wardwave topics" in lines(
        list(doctor_broker.topics(lacking)), Grade.WRONG
    )


@pytest.mark.kafka
@pytest.mark.slow
def test_it_tells_whether_a_worker_runs(
    kafka: Settings, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_broker, "LISTEN_S", 1.0)
    code, said = run(kafka, capsys, tmp_path)
    assert code == 1
    assert "NO WORKER runs" in json.dumps(said)
    reporter = StatusReporter(kafka, INFER, "g")
    reporter.tell(Stats(), lambda: Standing([0, 1, 2, 3], beds=1, ages=[DataAge("bed-01", "ecg", 0.4)]))
    producer = clients.producer(kafka)
    # Behind the status on the same broker: once this is stored, that is on its way at least.
    producer.send(kafka.topics.audit, b"x").get(20)
    producer.close()
    monkeypatch.setattr(doctor_broker, "LISTEN_S", 3.0)
    code, said = run(kafka, capsys, tmp_path)
    reporter.close()
    assert code == 0, said
    assert said["healthy"] is True
    clock = next(one for one in said["findings"] if one["what"] == "clock")
    assert clock["grade"] in ("ok", "warning"), clock
