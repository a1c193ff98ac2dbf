"""What an embedded broker keeps when it is killed: a small object store that outlives it.

Tansu writes to memory, which dies with it, or to an S3 store. This is as much of S3 as it asks for: objects
with conditional writes, and lists. They are held in the memory of a process of their own, so that the broker
can be killed and started anew as one with a disk can. ``python -m inference.chaos_keeper`` serves until it is
killed.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import time
from bisect import bisect_right, insort
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

from inference.errors import ChaosError
from ingest.processes import die_with

URL: Final = "s3://tansu/"
"""Storage engine of a broker whose environment has :attr:`Keeper.environment`."""

_MOST_KEYS: Final = 1_000
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Stored:
    """One object: its bytes, the tag that changes with each write, and when that was (s since the epoch)."""

    body: bytes
    tag: str
    written_s: float


@dataclass(frozen=True, slots=True)
class Listed:
    """Keys under a prefix, the common beginnings of those beyond a delimiter, and where to go on."""

    keys: list[str]
    prefixes: list[str]
    go_on: str | None


class Objects:
    """Named bytes, written whole or not at all; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Stored] = {}
        self._keys: list[str] = []
        self._numbers = itertools.count(1)

    def put(self, key: str, body: bytes, *, absent: bool = False, tag: str | None = None) -> Stored | None:
        """Write an object; ``None`` where it must be ``absent``, or have another ``tag``, and is not so."""
        with self._lock:
            held = self._held.get(key)
            if (absent and held is not None) or (tag is not None and (held is None or held.tag != tag)):
                return None
            if held is None:
                insort(self._keys, key)
            stored = self._held[key] = Stored(body, f'"{next(self._numbers):x}"', time.time())
            return stored

    def get(self, key: str) -> Stored | None:
        """Return an object."""
        return self._held.get(key)

    def delete(self, key: str) -> None:
        """Forget an object, if there is one."""
        with self._lock:
            if self._held.pop(key, None) is not None:
                self._keys.remove(key)

    def list(self, prefix: str, delimiter: str, after: str) -> Listed:
        """List keys in their order, as S3 does."""
        keys: list[str] = []
        prefixes: dict[str, None] = {}
        with self._lock:
            for key in itertools.islice(self._keys, bisect_right(self._keys, max(after, prefix[:-1])), None):
                if not key.startswith(prefix):
                    if key > prefix:
                        break
                    continue
                head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
                if found:
                    prefixes[f"{prefix}{head}{delimiter}"] = None
                elif len(keys) == _MOST_KEYS:
                    return Listed(keys, list(prefixes), keys[-1])
                else:
                    keys.append(key)
        return Listed(keys, list(prefixes), None)


class Handler(BaseHTTPRequestHandler):
    """S3's requests, answered from :class:`Objects`."""

    protocol_version = "HTTP/1.1"
    objects = Objects()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class calls it so
        """Say nothing of each request."""

    def do_PUT(self) -> None:
        """Write an object, on the conditions that stand in the head."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        absent, tag = self.headers.get("If-None-Match") == "*", self.headers.get("If-Match")
        stored = self.objects.put(self._key, body, absent=absent, tag=tag)
        if stored is None:
            self._answer(HTTPStatus.PRECONDITION_FAILED)
        else:
            self._answer(HTTPStatus.OK, tag=stored.tag)

    def do_GET(self) -> None:
        """Give an object or a part of it, or list objects."""
        asked = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if "list-type" in asked:
            self._list({name: values[0] for name, values in asked.items()})
            return
        stored = self.objects.get(self._key)
        if stored is None:
            self._answer(HTTPStatus.NOT_FOUND)
        elif self.headers.get("If-None-Match") == stored.tag:
            self._answer(HTTPStatus.NOT_MODIFIED, tag=stored.tag)
        else:
            self._give(stored)

    do_HEAD = do_GET

    def do_DELETE(self) -> None:
        """Forget an object."""
        self.objects.delete(self._key)
        self._answer(HTTPStatus.NO_CONTENT)

    def do_POST(self) -> None:
        """Forget several objects."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for key in re.findall(rb"<Key>(.*?)</Key>", body):
            self.objects.delete(key.decode())
        self._answer(HTTPStatus.OK, b"<DeleteResult/>")

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def _give(self, stored: Stored) -> None:
        dated = {"Last-Modified": formatdate(stored.written_s, usegmt=True)}
        part = _RANGE.fullmatch(self.headers.get("Range", ""))
        if part is None:
            self._answer(HTTPStatus.OK, stored.body, tag=stored.tag, more=dated)
            return
        first, n_bytes = int(part[1]), len(stored.body)
        last = min(int(part[2]) if part[2] else n_bytes, n_bytes - 1)
        dated["Content-Range"] = f"bytes {first}-{last}/{n_bytes}"
        self._answer(HTTPStatus.PARTIAL_CONTENT, stored.body[first : last + 1], tag=stored.tag, more=dated)

    def _list(self, asked: Mapping[str, str]) -> None:
        after = asked.get("continuation-token") or asked.get("start-after", "")
        listed = self.objects.list(asked.get("prefix", ""), asked.get("delimiter", ""), after)
        text = f"<Name>tansu</Name><IsTruncated>{'false' if listed.go_on is None else 'true'}</IsTruncated>"
        if listed.go_on is not None:
            text += f"<NextContinuationToken>{escape(listed.go_on)}</NextContinuationToken>"
        for key in listed.keys:
            stored = self.objects.get(key)
            if stored is not None:
                at = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(stored.written_s))
                text += (
                    f"<Contents><Key>{escape(key)}</Key><LastModified>{at}</LastModified>"
                    f"<ETag>{escape(stored.tag)}</ETag><Size>{len(stored.body)}</Size></Contents>"
                )
        for one in listed.prefixes:
            text += f"<CommonPrefixes><Prefix>{escape(one)}</Prefix></CommonPrefixes>"
        self._answer(HTTPStatus.OK, f"<ListBucketResult>{text}</ListBucketResult>".encode())

    def _answer(
        self, status: HTTPStatus, body: bytes = b"", tag: str = "", more: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**({"ETag": tag} if tag else {}), **(more or {})}.items():
            self.send_header(name, value)
        if status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Serves each connection on its own thread; says nothing of those that a killed broker leaves."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Tell of a failure, unless it is the line's."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Keeper:
    """The object store as a process of its own, while a broker is killed and started again."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._port = 0

    @property
    def environment(self) -> dict[str, str]:
        """What a broker needs in its environment to keep its data here."""
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self._port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_SKIP_SIGNATURE": "true",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603 - a fixed command
            [sys.executable, "-m", "inference.chaos_keeper"],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509
        )
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line.strip().isdigit():
            raise ChaosError(f"the store for the broker's data did not start: it said {line!r}")
        self._port = int(line)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()


def main() -> None:
    """Serve on a free port, which is said on standard output."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
