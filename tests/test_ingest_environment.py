"""What the environment says is taken or refused by its name, never passed over, and no secret is shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, SecretStr

import dashboard.settings
import inference.recorder_settings
from dashboard.settings import DashboardSettings, load_dashboard_settings
from inference.recorder_settings import RecorderSettings, load_recorder_settings
from ingest import environment
from ingest.errors import SettingsError
from ingest.settings import CommandSettings, IngestSettings, KafkaSettings, Settings, Topics, load_settings

ROOT = Path(__file__).resolve().parent.parent
SECRET = "TOPSECRET12345"
SECTIONS: dict[str, tuple[type[BaseModel], Callable[[], object]]] = {
    "kafka": (KafkaSettings, load_settings),
    "topics": (Topics, load_settings),
    "ingest": (IngestSettings, load_settings),
    "commands": (CommandSettings, load_settings),
    "recorder": (RecorderSettings, load_recorder_settings),
    "dashboard": (DashboardSettings, load_dashboard_settings),
}


def refused(load: Callable[[], object]) -> str:
    with pytest.raises(SettingsError) as caught:
        load()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None, "the library's error holds values"
    return str(caught.value)


def test_the_sections_are_those_of_the_settings() -> None:
    kinds = (Settings, inference.recorder_settings._Environment, dashboard.settings._Environment)
    names = {name for kind in kinds for name in kind.model_fields}
    assert names | {"log_format"} == {*environment.SECTIONS, *environment.ALONE}
    assert set(SECTIONS) == set(environment.SECTIONS)


@pytest.mark.parametrize("load", [load_settings, load_recorder_settings, load_dashboard_settings])
@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ALARM_FILE", "ALARMS_FILE"),
        ("alarm_file", "ALARMS_FILE"),
        ("INGEST_DEVICE_KEYS", "INGEST__DEVICE_KEYS"),
        ("INGESTION__DEVICE_KEYS", "INGEST__DEVICE_KEYS"),
        ("COMMAND__KEY", "COMMANDS__KEY"),
        ("KAFKA_BOOTSTRAP_SERVERS", "KAFKA__BOOTSTRAP_SERVERS"),
        ("DASHBORD__USERS", "DASHBOARD__USERS"),
        ("RECORDER_URL", "RECORDER__URL"),
        ("LOGFORMAT", "LOG_FORMAT"),
    ],
)
def test_a_name_that_no_setting_has_stops_every_process(
    given: str, meant: str, load: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WARDWAVE_{given}", SECRET)
    said = refused(load)
    assert said == f"WARDWAVE_{given}: no setting; did you mean WARDWAVE_{meant}?"


@pytest.mark.parametrize("name", ["FOO", "KAFKA__", "ALARMS_FILE__X", "DASHBOARD_PORT", "PORT"])
def test_a_name_that_is_like_none_is_refused_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"WARDWAVE_{name}", "1")
    assert refused(load_settings).startswith(f"WARDWAVE_{name}: no setting; ")


def test_a_process_does_not_start_with_a_mistyped_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wardwave", "topics"],
        cwd=ROOT, env={"WARDWAVE_ALARM_FILE": "nicu.toml"}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "wardwave topics: WARDWAVE_ALARM_FILE: no setting; did you mean WARDWAVE_ALARMS_FILE?\n"
    )


def test_what_stands_beside_the_settings_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    for name in compose["x-wardwave"]["environment"]:
        monkeypatch.setenv(name, "")
    for name in (
        "LOG_FORMAT",
        "RECORDINGS",
        "REPLAY",
        "DATA",
        "SCREENSHOTS",
        "THEME",
        "BENCH_S",
        "TEST_BOMB",
    ):
        monkeypatch.setenv(f"WARDWAVE_{name}", "x")
    # Kubernetes tells every process of services in its namespace.
    monkeypatch.setenv("WARDWAVE_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("WARDWAVE_KAFKA_SERVICE_PORT_CLIENTS", "9092")
    monkeypatch.setenv("WARDWAVE_KAFKA_PORT", "tcp://10.0.0.1:9092")
    monkeypatch.setenv("WARDWAVE_KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1")
    assert load_settings().kafka == KafkaSettings()


@pytest.mark.parametrize("section", SECTIONS)
def test_a_mistyped_setting_of_a_section_gets_the_likely_name(
    section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, load = SECTIONS[section]
    field = max(kind.model_fields, key=len).upper()
    name = f"WARDWAVE_{section.upper()}__{field}"
    monkeypatch.setenv(f"{name}X", SECRET)
    assert refused(load) == f"{name}X=***: there is no such setting; did you mean {name}?"


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_is_no_setting(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load, name = SECTIONS[section][1], f"WARDWAVE_{section.upper()}"
    for broken in (SECRET, f'{{"key": "{SECRET}"', f'"{SECRET}"', f'["{SECRET}"]'):
        monkeypatch.setenv(name, broken)
        said = refused(load)
        assert said.startswith(f"{name}=***: ")
        assert SECRET not in said
    monkeypatch.setenv(name, SECRET)
    assert f"set its settings one by one, {name}__" in refused(load)


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("HOSTS", "ward.example", '["a name", "another name"]'),
        ("OIDC_ROLES", "icu=clinician", '{"a value": "its role"}'),
    ],
)
def test_a_list_that_is_no_json_is_named_with_its_form(
    name: str, value: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"WARDWAVE_DASHBOARD__{name}", value)
    assert refused(load_dashboard_settings) == f"WARDWAVE_DASHBOARD__{name}={value!r}: give JSON: {form}"


def secrets() -> list[tuple[str, str]]:
    """Every setting that holds a secret, and a name that might be meant for one."""
    fields = [
        (section, name)
        for section, (kind, _) in SECTIONS.items()
        for name, field in kind.model_fields.items()
        if "SecretStr" in str(field.annotation) or field.annotation is SecretStr
    ]
    assert {"url", "key", "old_key", "ssl_password", "sasl_plain_password"} == {name for _, name in fields}
    return fields + [(section, "cookie_secret") for section in SECTIONS]


@pytest.mark.parametrize(("section", "name"), secrets())
def test_no_secret_is_told(section: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    load = SECTIONS[section][1]
    for given in (f"{section}__{name}", f"{section}__{name}x", f"{section}_{name}", f"{section}__{name}__x"):
        with monkeypatch.context() as patch:
            patch.setenv(f"WARDWAVE_{given.upper()}", SECRET)
            # Something is wrong whatever becomes of the secret itself.
            patch.setenv("WARDWAVE_NONE", "1")
            assert SECRET not in refused(load)
            patch.delenv("WARDWAVE_NONE")
            patch.setenv(f"WARDWAVE_{section.upper()}__NONE", "1")
            assert SECRET not in refused(load)


@pytest.mark.parametrize(
    "name", ["KAFKA__SASL_PLAIN_PASSWORD_FILE", "COMMANDS__KEY_FILE", "INGEST__DEVICE_KEYS"]
)
def test_the_path_of_a_secret_s_file_is_told_and_a_secret_in_its_place_is_not(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.toml").touch(0o600)
    monkeypatch.setenv(f"WARDWAVE_{name}", "empty.toml")
    assert "'empty.toml'" in refused(load_settings)
    monkeypatch.setenv(f"WARDWAVE_{name}", "/nowhere/secret")
    assert "'/nowhere/secret'" in refused(load_settings)
    monkeypatch.setenv(f"WARDWAVE_{name}", SECRET)
    said = refused(load_settings)
    assert f"WARDWAVE_{name}=***" in said
    assert SECRET not in said


@pytest.mark.parametrize(
    "servers",
    [
        "localhost:9o92",
        "=,",
        ",",
        "localhost",
        "localhost:",
        ":9092",
        "a:1,b:0",
        "::1:9092",
        "kafka://a:1",
        "a b:1",
    ],
)
def test_an_address_that_is_none_is_refused_by_its_own_words(
    servers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", servers)
    said = refused(load_settings)
    assert said.startswith(f"WARDWAVE_KAFKA__BOOTSTRAP_SERVERS={servers!r}: ")
    assert said.endswith("give several by commas: kafka-1.ward:9092,kafka-2.ward:9092")


@pytest.mark.parametrize("servers", ["a:1", "a.b-c_d:65535, 10.0.0.1:9092,", "[::1]:9092"])
def test_addresses_of_brokers_are_taken(servers: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_KAFKA__BOOTSTRAP_SERVERS", servers)
    assert load_settings().kafka.bootstrap_servers == servers


@pytest.mark.parametrize("name", ["bed signals", "böse", ".", "x" * 250, "a/b"])
def test_a_name_that_no_topic_can_have_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_TOPICS__RAW", name)
    assert "is no topic's name" in refused(load_settings)


def test_two_topics_do_not_share_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_TOPICS__ALARMS", "biosignals.raw")
    said = refused(load_settings)
    assert said.startswith(
        "WARDWAVE_TOPICS__ALARMS='biosignals.raw': is the name of WARDWAVE_TOPICS__RAW, too"
    )


@pytest.mark.parametrize("section", SECTIONS)
def test_no_time_is_without_end(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, load = SECTIONS[section]
    for field, about in kind.model_fields.items():
        if "float" in str(about.annotation):
            for value in ("inf", "nan"):
                with monkeypatch.context() as patch:
                    patch.setenv(f"WARDWAVE_{section.upper()}__{field.upper()}", value)
                    assert f"{field.upper()}='{value}': " in refused(load)


@pytest.mark.parametrize("section", SECTIONS)
def test_an_empty_variable_sets_nothing(section: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, load = SECTIONS[section]
    for field in kind.model_fields:
        monkeypatch.setenv(f"WARDWAVE_{section.upper()}__{field.upper()}", "")
    found = load()
    assert (getattr(found, section) if isinstance(found, Settings) else found) == kind()


def test_a_url_that_is_none_is_refused_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_RECORDER__URL", SECRET)
    assert refused(load_recorder_settings) == (
        "WARDWAVE_RECORDER__URL=***: cannot be read; give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
    )


@pytest.mark.parametrize("name", ["SASL_PLAIN_PASSWORD", "SASL_PLAIN_PASSWORD_FILE", "SSL_PASSWORD"])
def test_a_password_that_nobody_would_be_asked_for_stops_the_start(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "password"
    path.write_text(SECRET)
    monkeypatch.setenv(f"WARDWAVE_KAFKA__{name}", str(path) if "FILE" in name else SECRET)
    said = refused(load_settings)
    assert said.startswith(f"WARDWAVE_KAFKA__{name}=")
    assert "set WARDWAVE_KAFKA__SECURITY_PROTOCOL to " in said
    assert SECRET not in said
