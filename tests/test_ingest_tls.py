"""Who is told to speak TLS or to log in, and meets nobody who does, hears so and does not wait for ever."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
TRIES = """
import sys
from ingest import kafka, tls
from ingest.errors import BrokerError
from ingest.settings import load_settings
tls.HANDSHAKE_S = 0.5
try:
    kafka.admin(load_settings())
except BrokerError as error:
    print(error)
"""
"""In a process of its own: kafka-python leaves sockets open when its constructor fails."""


@pytest.fixture
def silent() -> Iterator[str]:
    """A port that accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def said(servers: str, protocol: str) -> str:
    login = {"SASL_MECHANISM": "SCRAM-SHA-512", "SASL_PLAIN_USERNAME": "u", "SASL_PLAIN_PASSWORD": "p"}
    changes = {"SECURITY_PROTOCOL": protocol, "BOOTSTRAP_SERVERS": servers, "REQUEST_TIMEOUT_MS": "1000"}
    if protocol.startswith("SASL"):
        changes |= login
    done = subprocess.run(
        [sys.executable, "-c", TRIES],
        cwd=ROOT,
        env={f"WARDWAVE_KAFKA__{name}": value for name, value in changes.items()},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL", "SASL_PLAINTEXT"])
def test_a_port_that_says_nothing_is_named_with_the_way_out(silent: str, protocol: str) -> None:
    line = said(silent, protocol)
    assert line.startswith(f"no Kafka broker answers at {silent} by {protocol} (")
    assert "does it speak that there? Else set WARDWAVE_KAFKA__SECURITY_PROTOCOL" in line
    assert ("no answer to TLS within 0.5 s" in line) == protocol.endswith("SSL")


def test_without_tls_nothing_is_said_of_it(silent: str) -> None:
    line = said(silent, "PLAINTEXT")
    assert line.startswith(f"no Kafka broker answers at {silent} (KafkaTimeoutError: Unable to bootstrap")
    assert line.endswith("start one (wardwave broker) or set WARDWAVE_KAFKA__BOOTSTRAP_SERVERS")


@pytest.mark.kafka
def test_a_broker_that_knows_no_tls_is_named(kafka: Settings) -> None:
    servers = kafka.kafka.bootstrap_servers
    assert said(servers, "SSL").startswith(f"no Kafka broker answers at {servers} by SSL (")
