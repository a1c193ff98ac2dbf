"""A gate before a broker that knows neither TLS nor passwords: it ends TLS and asks for SCRAM-SHA-512.

The embedded broker cannot (Tansu 0.6.0 takes no certificate with its key, and cannot make users in memory).
What a client does is the same: it checks the certificate and proves that it knows the password. Only requests
of who has proved it are passed on.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import os
import ssl
import struct
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANDSHAKE, VERSIONS, AUTHENTICATE = 17, 18, 36
SASL_AUTHENTICATION_FAILED, UNSUPPORTED_MECHANISM = 58, 33
ITERATIONS = 4_096
MECHANISM = "SCRAM-SHA-512"


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key.public_key())
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self.path = folder / f"{name}.pem"
        self.path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        builder = builder.serial_number(x509.random_serial_number())
        return builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))

    def certificate(self, host: str) -> Path:
        """PEM with key and certificate of a host, by name or address."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        names = x509.SubjectAlternativeName([name])
        made = self._builder(subject, key.public_key()).add_extension(names, critical=False)
        form = serialization.PrivateFormat.PKCS8
        secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        signed = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        path = self._folder / f"{host}.pem"
        path.write_bytes(secret + signed)
        return path


class Scram:
    """The server's side of one SCRAM-SHA-512 exchange (RFC 5802)."""

    def __init__(self, users: dict[str, str]) -> None:
        self._users = users
        self._first = self._server_first = self._nonce = ""
        self._user: str | None = None
        self._salt = os.urandom(16)
        self.done = False

    def answer(self, message: str) -> str | None:
        """What is said next; ``None`` refuses."""
        fields = dict(part.split("=", 1) for part in message.split(",") if "=" in part)
        if not self._nonce:
            self._user, self._first = fields["n"], message.split(",", 2)[2]
            self._nonce = fields["r"] + base64.b64encode(os.urandom(12)).decode()
            salt = base64.b64encode(self._salt).decode()
            self._server_first = f"r={self._nonce},s={salt},i={ITERATIONS}"
            return self._server_first
        password = self._users.get(self._user or "")
        if password is None or fields["r"] != self._nonce:
            return None
        salted = hashlib.pbkdf2_hmac("sha512", password.encode(), self._salt, ITERATIONS)
        stored = hashlib.sha512(_mac(salted, "Client Key")).digest()
        said = f"{self._first},{self._server_first},{message.rpartition(',p=')[0]}"
        proof = base64.b64decode(fields["p"])
        key = bytes(a ^ b for a, b in zip(proof, _mac(stored, said), strict=True))
        if not hmac.compare_digest(hashlib.sha512(key).digest(), stored):
            return None
        self.done = True
        return "v=" + base64.b64encode(_mac(_mac(salted, "Server Key"), said)).decode()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha512")


class Gate:
    """Listens with TLS and passwords, forwards to a broker without.

    Parameters
    ----------
    certificate : Path
        PEM with key and certificate.
    users : dict
        Passwords by name; empty asks for none.
    """

    def __init__(self, certificate: Path, users: dict[str, str]) -> None:
        self._users = users
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.refused: list[str] = []
        """Names that could not prove that they know the password, and what came without one."""
        self.target = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.set_exception_handler(lambda *_: None)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.05))
        self._loop.close()

    async def _serve(self, client: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        upstream, broker = await asyncio.open_connection("127.0.0.1", self.target)
        back = asyncio.ensure_future(_copy(upstream, answers))
        scram, proved = Scram(self._users), not self._users
        try:
            while True:
                size = await client.readexactly(4)
                frame = await client.readexactly(struct.unpack(">i", size)[0])
                api, version, correlation = struct.unpack(">hhi", frame[:8])
                if proved or api == VERSIONS:
                    broker.write(size + frame)
                    await broker.drain()
                    continue
                answer = self._authenticate(api, version, frame, scram)
                if answer is None:
                    return
                header = struct.pack(">i", correlation) + (b"\0" if _flexible(api, version) else b"")
                answers.write(struct.pack(">i", len(header + answer)) + header + answer)
                await answers.drain()
                proved = scram.done
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            back.cancel()
            broker.close()
            answers.close()

    def _authenticate(self, api: int, version: int, frame: bytes, scram: Scram) -> bytes | None:
        """Answer to a request of who is not known yet; ``None`` ends the connection."""
        if api == HANDSHAKE:
            name = frame[_body(frame, flexible=False) + 2 :].decode()
            error = 0 if name == MECHANISM else UNSUPPORTED_MECHANISM
            return struct.pack(">hih", error, 1, len(MECHANISM)) + MECHANISM.encode()
        if api != AUTHENTICATE:
            self.refused.append(f"api {api}")
            return None
        flexible = _flexible(api, version)
        at = _body(frame, flexible)
        # Tokens of SCRAM are short: one byte of length in the compact form would reach 126.
        length, at = _varint(frame, at) if flexible else (struct.unpack(">i", frame[at : at + 4])[0], at + 4)
        said = scram.answer(frame[at : at + length].decode())
        if said is None:
            self.refused.append(str(scram._user))
            return _said(SASL_AUTHENTICATION_FAILED, "wrong name or password", b"", version, flexible)
        return _said(0, None, said.encode(), version, flexible)


def _flexible(api: int, version: int) -> bool:
    return api == AUTHENTICATE and version >= 2


def _body(frame: bytes, flexible: bool) -> int:
    """Where a request's body begins: after the client's name, and tags in newer versions."""
    n = struct.unpack(">h", frame[8:10])[0]
    return 10 + max(n, 0) + int(flexible)


def _varint(frame: bytes, at: int) -> tuple[int, int]:
    """Length of compact bytes and where they begin."""
    value = shift = 0
    while True:
        byte = frame[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if not byte & 0x80:
            return value - 1, at


def _compact(data: bytes) -> bytes:
    n, out = len(data) + 1, b""
    while n > 0x7F:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n]) + data


def _said(error: int, why: str | None, token: bytes, version: int, flexible: bool) -> bytes:
    life = struct.pack(">q", 0) if version >= 1 else b""
    if flexible:
        text = b"\0" if why is None else _compact(why.encode())
        return struct.pack(">h", error) + text + _compact(token) + life + b"\0"
    text = struct.pack(">h", -1) if why is None else struct.pack(">h", len(why)) + why.encode()
    return struct.pack(">h", error) + text + struct.pack(">i", len(token)) + token + life


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        sink.write(data)
        await sink.drain()
