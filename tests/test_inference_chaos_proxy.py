"""The proxy that breaks the way to the broker."""

import socket
import threading
from collections.abc import Iterator

import pytest

from inference.chaos_proxy import Proxy


def request(name: bytes) -> bytes:
    """The head of a Kafka request, as far as the client's name."""
    head = bytes(8) + (7).to_bytes(4, "big") + len(name).to_bytes(2, "big")
    return head + name


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """A server that answers what it was told."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(one: socket.socket) -> None:
        with one:
            try:
                while data := one.recv(4096):
                    one.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                one, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(one,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()
    server.shutdown(socket.SHUT_RDWR)
    server.close()


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    with Proxy(echo) as running:
        yield running


def connect(proxy: Proxy, name: bytes = b"worker") -> socket.socket:
    host, _, port = proxy.address.rpartition(":")
    client = socket.create_connection((host, int(port)), 10.0)
    client.sendall(request(name))
    return client


def heard(client: socket.socket, n_bytes: int) -> bytes:
    got = b""
    while len(got) < n_bytes:
        data = client.recv(n_bytes - len(got))
        if not data:
            break
        got += data
    return got


def test_bytes_pass_unchanged(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(bytes(range(256)) * 1000)
        whole = request(b"worker") + bytes(range(256)) * 1000
        assert heard(client, len(whole)) == whole
        assert proxy.count() == 1


def test_dropped_connections_are_reset_and_those_of_the_watchers_are_not(proxy: Proxy) -> None:
    with connect(proxy) as client, connect(proxy, b"chaos-observer") as watcher:
        heard(client, len(request(b"worker")))
        heard(watcher, len(request(b"chaos-observer")))
        assert proxy.drop() == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        watcher.sendall(b"still")
        assert heard(watcher, 5) == b"still"


def test_while_it_refuses_nobody_gets_through_and_then_all_do(proxy: Proxy) -> None:
    proxy.refuse(True)
    with connect(proxy) as client, pytest.raises(ConnectionResetError):
        client.recv(1)
    proxy.refuse(False)
    with connect(proxy) as client:
        assert heard(client, len(request(b"worker"))) == request(b"worker")


def test_a_stalled_connection_goes_on_with_all_that_was_sent_meanwhile(proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, len(request(b"worker")))
        proxy.stall(True)
        client.sendall(b"waits")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.stall(False)
        client.settimeout(10.0)
        assert heard(client, 5) == b"waits"


def test_after_a_half_close_the_client_hears_nothing_but_is_heard(proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, len(request(b"worker")))
        assert proxy.half_close() == 1
        assert client.recv(1) == b""
        client.sendall(b"into the void")
        assert proxy.count() == 1


def test_swallowed_answers_are_lost_for_good(proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, len(request(b"worker")))
        assert proxy.swallow() == 1
        client.sendall(b"lost")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_delayed_bytes_come_all_the_same(proxy: Proxy) -> None:
    with connect(proxy) as client:
        heard(client, len(request(b"worker")))
        proxy.delay(0.05)
        client.sendall(b"late")
        assert heard(client, 4) == b"late"
