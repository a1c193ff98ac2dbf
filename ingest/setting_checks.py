"""What single settings must be, beyond their types; each error says the way out."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from pydantic import SecretStr, ValidationInfo

TLS = ("SSL", "SASL_SSL")
_PEM = {
    "ssl_cafile": (
        "CERTIFICATE",
        "the certificate of the authority that signed the broker's",
        "openssl x509 -inform der -in FILE -out ca.pem",
    ),
    "ssl_certfile": (
        "CERTIFICATE",
        "this client's certificate",
        "openssl x509 -inform der -in FILE -out client.pem",
    ),
    "ssl_keyfile": (
        "PRIVATE KEY",
        "the private key of this client's certificate",
        "openssl pkey -inform der -in FILE -out client.key",
    ),
}
"""What a file for TLS holds, whose, and how it is made."""

_HOST = re.compile(r"[\w.%:-]+", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_SERVERS = "give several by commas: kafka-1.ward:9092,kafka-2.ward:9092"
WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


def unset(value: object) -> object:
    """An empty variable, as compose files pass it, sets nothing."""
    return None if value == "" else value


def secret_in(path: Path) -> SecretStr:
    """The secret that is all that stands in a file."""
    try:
        found = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({type(error).__name__})") from None
    if not found:
        raise ValueError("is empty")
    return SecretStr(found)


def with_secret(path: Path | None) -> Path | None:
    """The file of a secret, which can be read."""
    if path is not None:
        secret_in(path)
    return path


def check_login(info: ValidationInfo) -> None:
    """Refuse a part of a login where nobody would be asked for it."""
    if not str(info.data.get("security_protocol")).startswith("SASL"):
        raise ValueError("is for a login: set WARDWAVE_KAFKA__SECURITY_PROTOCOL to SASL_SSL")


def check_servers(value: str) -> str:
    """Addresses of brokers, each with its port."""
    servers = [one.strip() for one in value.split(",") if one.strip()]
    if not servers:
        raise ValueError(f"names no broker; {_SERVERS}")
    for server in servers:
        _check_server(server)
    return value


def _check_server(server: str) -> None:
    """Refuse what is no address of a broker."""
    host, _, port = server.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]") if host.startswith("[") else host
    if not _HOST.fullmatch(bare) or (":" in host) != host.startswith("["):
        raise ValueError(f"{server!r} is no HOST:PORT; {_SERVERS}")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65_536):
        raise ValueError(f"{server!r} has no port of 1 to 65535; {_SERVERS}")


def check_tls(info: ValidationInfo) -> None:
    """Refuse what is for TLS where all would be sent in clear."""
    if info.data.get("security_protocol") not in TLS:
        raise ValueError("is for TLS: set WARDWAVE_KAFKA__SECURITY_PROTOCOL to SSL or SASL_SSL")


def check_pem(field: str, path: str) -> None:
    """Refuse a file that is not what TLS needs there."""
    holds, wanted, made_by = _PEM[field]
    try:
        found = f"{holds}-----".encode() in Path(path).read_bytes()
        if found and field == "ssl_cafile":
            ssl.create_default_context(cafile=path)
    except ssl.SSLError:
        found = False
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); let this process's user read it") from None
    if not found:
        raise ValueError(f"holds no {holds.lower()} in PEM form; give {wanted}. From DER form: {made_by}")


def check_topic(value: str) -> None:
    """Refuse a name that Kafka does not take."""
    if not _TOPIC.fullmatch(value) or value in (".", ".."):
        raise ValueError("is no topic's name: 1 to 249 letters, digits, dots, hyphens and underscores")
