"""TLS and passwords on the way to the broker, by a gate before the embedded one (tests/kafka_gate.py)."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydantic import SecretStr

from ingest import kafka as clients
from ingest.broker import EmbeddedBroker
from ingest.errors import SettingsError
from ingest.publisher import Publisher
from ingest.settings import KafkaSettings, Settings, load_settings
from tests.browsing import free_port, until
from tests.kafka_gate import Authority, Gate

PASSWORD = "correct-horse-battery-staple"
ROOT = Path(__file__).resolve().parent.parent
START_NS = 1_790_000_000_000_000_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"), "hospital")


class Behind(EmbeddedBroker):
    """Sends clients to the gate, so it cannot ask itself without a password whether it is ready."""

    def _wait_until_ready(self) -> None:
        def listens() -> bool:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port), 1.0).close()
                return True
            return False

        until("the broker listens", listens)


@pytest.fixture(scope="module")
def gate(authority: Authority) -> Iterator[Gate]:
    """TLS and passwords, and the broker behind them."""
    certificate, users = authority.certificate("localhost"), {"device": PASSWORD}
    with Gate(certificate, users) as gate, Behind(advertised=f"localhost:{gate.port}") as broker:
        gate.target = broker._port
        yield gate


def settings(gate: Gate, authority: Authority, **changes: object) -> Settings:
    fields: dict[str, object] = {
        "bootstrap_servers": f"localhost:{gate.port}",
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(authority.path),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "device",
        "sasl_plain_password": SecretStr(PASSWORD),
        "partitions": 2,
        "request_timeout_ms": 4_000,
    }
    return Settings(kafka=KafkaSettings.model_validate(fields | changes))


@pytest.mark.kafka
@pytest.mark.slow
def test_records_go_through_tls_and_scram(gate: Gate, authority: Authority) -> None:
    own = settings(gate, authority, request_timeout_ms=30_000)
    with Publisher(own, device="monitor-7") as publisher:
        publisher.publish(
            bed="bed-01", kind="ecg", channels=("II",), unit="mV", fs_hz=250.0, start_ns=START_NS,
            samples=np.zeros((250, 1), np.int16), gain=200.0,
        )  # fmt: skip
    reader = clients.consumer(own, own.topics.raw, group_id="g")
    try:
        found: list[bytes] = []
        while not found:
            found = [one.key for part in reader.poll(timeout_ms=500).values() for one in part]
    finally:
        reader.close(autocommit=False)
    assert found == [b"bed-01"]
    assert gate.refused == []


TRIES = """
import json, logging, sys
from ingest import kafka
from ingest.errors import BrokerError
from ingest.settings import KafkaSettings, Settings
logging.basicConfig(level="DEBUG")
for name, fields in json.load(sys.stdin).items():
    try:
        kafka.producer(Settings(kafka=KafkaSettings.model_validate(fields))).close()
        print(json.dumps([name, "let in"]))
    except BrokerError as error:
        print(json.dumps([name, str(error)]))
"""
"""In a process of its own: kafka-python leaves sockets open when its constructor fails."""


def tried(given: dict[str, dict[str, object]]) -> dict[str, str]:
    """What clients with these settings hear; no log at DEBUG shows their passwords."""
    done = subprocess.run(
        [sys.executable, "-c", TRIES],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=True,
    )
    assert PASSWORD[:-1] not in done.stdout + done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.kafka
@pytest.mark.slow
def test_who_cannot_be_trusted_gets_nothing_and_hears_why(
    gate: Gate, authority: Authority, tmp_path: Path
) -> None:
    whole = settings(gate, authority).kafka.model_dump() | {"sasl_plain_password": PASSWORD}
    whole |= {"request_timeout_ms": 2_500}
    no_login = {"sasl_mechanism": None, "sasl_plain_username": None, "sasl_plain_password": None}
    changes: dict[str, dict[str, object]] = {
        "nothing": {},
        "another authority": {"ssl_cafile": str(Authority(tmp_path, "stranger").path)},
        "no authority": {"ssl_cafile": None},
        # The certificate is of the name, not of the address.
        "another host": {"bootstrap_servers": f"127.0.0.1:{gate.port}"},
        "no TLS": {"security_protocol": "PLAINTEXT", "ssl_cafile": None, **no_login},
        "no password": {"security_protocol": "SSL", **no_login},
    }
    said = tried({name: whole | change for name, change in changes.items()})
    assert said.pop("nothing") == "let in"
    assert set(said) == set(changes) - {"nothing"}
    for name, why in said.items():
        assert why.startswith("no Kafka broker answers at"), name
    assert any(one.startswith("api ") for one in gate.refused), "who gave no password came as far as the gate"
    assert "CERTIFICATE_VERIFY_FAILED" in said["another authority"]


@pytest.mark.kafka
def test_a_refused_login_is_told_as_one_and_without_its_password(gate: Gate, authority: Authority) -> None:
    whole = settings(gate, authority).kafka.model_dump() | {"sasl_plain_password": PASSWORD}
    whole |= {"request_timeout_ms": 1_000}
    changes: dict[str, dict[str, object]] = {
        "password": {"sasl_plain_password": PASSWORD[:-1]},
        # What was refused before is not told of what fails in another way.
        "away": {"bootstrap_servers": f"localhost:{free_port()}"},
        "user": {"sasl_plain_username": "stranger"},
        "mechanism": {"sasl_mechanism": "SCRAM-SHA-256"},
    }
    said = tried({name: whole | change for name, change in changes.items()})
    server = f"the broker at localhost:{gate.port} refuses the login of"
    assert said["password"].startswith(
        f"{server} 'device' (mechanism SCRAM-SHA-512): check WARDWAVE_KAFKA__SASL_"
    )
    assert said["away"].startswith("no Kafka broker answers at")
    assert said["user"].startswith(f"{server} 'stranger' (mechanism SCRAM-SHA-512): check")
    assert said["mechanism"].startswith(
        f"{server} 'device' (mechanism SCRAM-SHA-256, which it does not offer): check"
    )
    assert {"device", "stranger"} <= set(gate.refused), "they came as far as being checked"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "SASL_MECHANISM"),
        ({"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "SCRAM-SHA-512"}, "SASL_PLAIN_USERNAME"),
        (
            {
                "SECURITY_PROTOCOL": "SASL_SSL",
                "SASL_MECHANISM": "SCRAM-SHA-512",
                "SASL_PLAIN_USERNAME": "device",
                "SASL_PLAIN_PASSWORD_FILE": "/nowhere/password",
            },
            "SASL_PLAIN_PASSWORD_FILE",
        ),
        ({"SASL_MECHANISM": "SCRAM-SHA-512"}, "SASL_MECHANISM"),
        ({"SASL_PLAIN_USERNAME": "device", "SASL_PLAIN_PASSWORD": "secret"}, "SASL_PLAIN_USERNAME"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CAFILE": "/nowhere/ca.pem"}, "SSL_CAFILE"),
        ({"SSL_CAFILE": __file__}, "SSL_CAFILE"),
    ],
)
def test_a_half_set_login_stops_the_start_and_names_what_is_missing(
    changes: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changes.items():
        monkeypatch.setenv(f"WARDWAVE_KAFKA__{name}", value)
    with pytest.raises(SettingsError, match=f"WARDWAVE_KAFKA__{says}"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("SSL_CAFILE", b"no certificate at all"),
        ("SSL_CAFILE", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("SSL_CERTFILE", b""),
        ("SSL_KEYFILE", b"\x30\x82"),
    ],
)
def test_a_file_that_is_no_certificate_is_named_with_the_way_out(
    name: str, holds: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "some.pem"
    path.write_bytes(holds)
    monkeypatch.setenv("WARDWAVE_KAFKA__SECURITY_PROTOCOL", "SSL")
    monkeypatch.setenv(f"WARDWAVE_KAFKA__{name}", str(path))
    with pytest.raises(SettingsError) as refused:
        load_settings()
    said = str(refused.value)
    assert said.startswith(f"WARDWAVE_KAFKA__{name}={str(path)!r}: holds no ")
    assert "openssl" in said
    assert "Value error" not in said


def test_the_certificates_that_tls_needs_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "ward")
    both = str(authority.certificate("client"))
    monkeypatch.setenv("WARDWAVE_KAFKA__SECURITY_PROTOCOL", "SSL")
    files = {"SSL_CAFILE": str(authority.path), "SSL_CERTFILE": both, "SSL_KEYFILE": both}
    for name, path in files.items():
        monkeypatch.setenv(f"WARDWAVE_KAFKA__{name}", path)
    found = load_settings().kafka
    assert (found.ssl_cafile, found.ssl_certfile, found.ssl_keyfile) == tuple(files.values())


def test_no_setting_that_is_wrong_is_told_in_the_library_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDWAVE_KAFKA__SASL_MECHANISM", "SCRAM-SHA-512")
    with pytest.raises(SettingsError) as refused:
        load_settings()
    assert str(refused.value).startswith(
        "WARDWAVE_KAFKA__SASL_MECHANISM='SCRAM-SHA-512': is for a login: set "
    )


def test_an_empty_variable_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEALTH_AT", "ALARMS_FILE"):
        monkeypatch.setenv(f"WARDWAVE_{name}", "")
    found = load_settings()
    assert (found.health_at, found.alarms_file) == (None, None)


def test_a_password_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "SCRAM-SHA-512",
        "SASL_PLAIN_USERNAME": "device",
        "SASL_PLAIN_PASSWORD_FILE": str(path),
    }.items():
        monkeypatch.setenv(f"WARDWAVE_KAFKA__{name}", value)
    found = load_settings()
    assert clients.common_config(found)["sasl_plain_password"] == PASSWORD
    assert PASSWORD not in repr(found) + str(found.model_dump())
