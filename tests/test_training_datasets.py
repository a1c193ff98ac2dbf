"""Data sets by name: fetched from a server that stands for PhysioNet, checked, and read in any layout."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import wfdb

import wardwave
from ingest.conditioning import ECG
from training.corpus import load_names, names_of
from training.datasets import DATASETS, get_dataset
from training.datasets_check import check_dataset
from training.download import SUMS, Fetcher, digest, fetch_dataset
from training.errors import BadRecipe, DataMissing, DownloadFailed
from training.layout import locate, plain_layout


class Server(ThreadingHTTPServer):
    """Serves a folder with ranges, as PhysioNet does, and remembers what was asked."""

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.root = root
        self.asked: list[tuple[str, str]] = []
        self.fail: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, span = self.path.lstrip("/"), self.headers.get("Range", "")
        if self.command == "GET":
            self.server.asked.append((path, span))
        name = path.rsplit("/", 1)[-1]
        if self.server.fail[name] > 0:
            self.server.fail[name] -= 1
            return self._send(503, b"busy")
        file = self.server.root / path
        if not file.is_file():
            return self._send(404, b"none")
        content = file.read_bytes()
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", span)
        if wanted is None:
            return self._send(200, content)
        first = int(wanted[1])
        last = min(int(wanted[2] or len(content) - 1), len(content) - 1)
        return self._send(206, content[first : last + 1], f"bytes {first}-{last}/{len(content)}")

    def _send(self, status: int, content: bytes, span: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if span is not None:
            self.send_header("Content-Range", span)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


def write_mitdb(folder: Path, name: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    beats = np.arange(300, 7000, 300)
    signal = rng.normal(0, 0.01, (7200, 1)) + np.isin(np.arange(7200), beats)[:, None]
    folder.mkdir(parents=True, exist_ok=True)
    wfdb.wrsamp(
        name,
        fs=360,
        units=["mV"],
        sig_name=["MLII"],
        p_signal=signal,
        fmt=["16"],
        adc_gain=[200.0],
        baseline=[0],
        write_dir=str(folder),
    )
    notes = ["(N", *[""] * len(beats)]
    wfdb.wrann(
        name,
        "atr",
        np.concatenate([[1], beats]),
        ["+", *["N"] * len(beats)],
        aux_note=notes,
        write_dir=str(folder),
    )


def write_mat(folder: Path, name: str, fs_hz: int) -> None:
    """A record in the challenges' own format: 24 bytes of MATLAB's header before the samples."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = (1000 * np.sin(np.arange(30 * fs_hz) / 20)).astype("<i2")
    (folder / f"{name}.mat").write_bytes(bytes(24) + samples.tobytes())
    checksum = int(samples.astype(np.int64).sum()) % 65536
    (folder / f"{name}.hea").write_text(
        f"{name} 1 {fs_hz} {len(samples)}\n"
        f"{name}.mat 16+24 1000/mV 16 0 {samples[0]} {np.int16(np.uint16(checksum))} 0 ECG\n"
    )


def write_sums(root: Path) -> None:
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    (root / SUMS).write_text("".join(f"{digest(path)} {path.relative_to(root)}\n" for path in files))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "physionet"
    for seed, name in enumerate(("100", "101", "102")):
        write_mitdb(root / "mitdb" / "1.0.0", name, seed)
    (root / "mitdb" / "1.0.0" / "RECORDS").write_text("100\n101\n102\n")
    write_sums(root / "mitdb" / "1.0.0")
    cinc = root / "challenge-2017" / "1.0.0"
    for name in ("A00001", "A00002"):
        write_mat(cinc / "training" / "A00", name, 300)
    write_mat(cinc / "validation", "A00001", 300)
    (cinc / "training" / "REFERENCE.csv").write_text("A00001,N\nA00002,N\n")
    (cinc / "REFERENCE-v3.csv").write_text("A00001,N\nA00002,A\n")
    write_sums(cinc)
    server = Server(root)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetcher(server: Server, into: Path, name: str = "mitdb", retries: int = 0) -> Fetcher:
    return Fetcher(get_dataset(name), into / name, server.url, retries=retries, wait_s=0.001)


def asked_for(server: Server, name: str) -> list[str]:
    return [span for path, span in server.asked if path.endswith(name)]


def test_a_set_is_fetched_whole_and_what_is_whole_is_not_fetched_again(
    server: Server, tmp_path: Path
) -> None:
    assert fetch_dataset(fetcher(server, tmp_path)) == 9
    origin = server.root / "mitdb" / "1.0.0"
    for path in origin.glob("10*"):
        assert (tmp_path / "mitdb" / path.name).read_bytes() == path.read_bytes()
    server.asked.clear()
    fetch_dataset(fetcher(server, tmp_path))
    assert {path for path, _ in server.asked} == {f"mitdb/1.0.0/{SUMS}"}


def test_an_interrupted_file_is_completed_not_begun_anew(server: Server, tmp_path: Path) -> None:
    whole = (server.root / "mitdb" / "1.0.0" / "101.dat").read_bytes()
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "101.dat").write_bytes(whole[:5000])
    fetch_dataset(fetcher(server, tmp_path))
    assert (tmp_path / "mitdb" / "101.dat").read_bytes() == whole
    spans = [span for span in asked_for(server, "101.dat") if span.startswith("bytes=")]
    assert "bytes=5000-" in {re.sub(r"-\d*$", "-", span) for span in spans}
    assert "" not in asked_for(server, "101.dat")


def test_a_file_of_the_right_size_but_wrong_content_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    whole = (server.root / "mitdb" / "1.0.0" / "101.dat").read_bytes()
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "101.dat").write_bytes(bytes(len(whole)))
    fetch_dataset(fetcher(server, tmp_path))
    assert (tmp_path / "mitdb" / "101.dat").read_bytes() == whole


def test_a_file_that_never_agrees_with_its_checksum_is_refused(server: Server, tmp_path: Path) -> None:
    (server.root / "mitdb" / "1.0.0" / "101.dat").write_bytes(b"damaged on the way")
    with pytest.raises(DownloadFailed, match=rf"101\.dat: its SHA-256 is .* as {SUMS} says"):
        fetch_dataset(fetcher(server, tmp_path))


def test_a_server_that_is_busy_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.fail["100.dat"] = 2
    fetch_dataset(fetcher(server, tmp_path, retries=3))
    server.fail["101.dat"] = 2
    (tmp_path / "mitdb" / "101.dat").unlink()
    with pytest.raises(DownloadFailed, match="Is this machine offline"):
        fetch_dataset(fetcher(server, tmp_path, retries=1))


def test_some_records_only_and_unknown_ones_by_name(server: Server, tmp_path: Path) -> None:
    fetch_dataset(fetcher(server, tmp_path), ["102"])
    assert {path.stem for path in (tmp_path / "mitdb").glob("*.hea")} == {"102"}
    with pytest.raises(DataMissing, match=r"no record 999 in it \(3 records\)"):
        fetch_dataset(fetcher(server, tmp_path), ["102", "999"])
    with pytest.raises(BadRecipe, match="mitdb, vfdb"):
        get_dataset("mit")


def test_without_checksums_headers_tell_what_to_fetch(server: Server, tmp_path: Path) -> None:
    (server.root / "mitdb" / "1.0.0" / SUMS).unlink()
    (server.root / "mitdb" / "1.0.0" / "101.atr").unlink()
    fetch_dataset(fetcher(server, tmp_path))
    here = {path.name for path in (tmp_path / "mitdb").iterdir()}
    assert here == {f"{n}.{end}" for n in (100, 101, 102) for end in ("hea", "dat", "atr")} - {"101.atr"}


def test_the_challenge_comes_flat_with_its_last_labels(server: Server, tmp_path: Path) -> None:
    fetch_dataset(fetcher(server, tmp_path, "cinc2017"))
    assert plain_layout(tmp_path, tmp_path / "cache") == tmp_path
    names = names_of(tmp_path, ("cinc2017",))
    assert names == ("cinc2017/A00001", "cinc2017/A00002")
    second = load_names(tmp_path, names, ECG, tmp_path / "cache")[1]
    assert second.rhythm[0] == 1 << 3


def test_the_command_fetches_and_checks(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch = ["datasets", "download", "mitdb", "--into", str(tmp_path), "--mirror", server.url]
    assert wardwave.main(fetch) == 0
    check = ["datasets", "check", str(tmp_path / "mitdb")]
    assert wardwave.main(check) == 0
    assert "9 files agree with their checksum" in capsys.readouterr().out
    (tmp_path / "mitdb" / "100.dat").write_bytes(b"12")
    (tmp_path / "mitdb" / "101.hea").write_text("101 x\n")
    assert wardwave.main(check) == 1
    said = capsys.readouterr().out
    for words in ("100: cannot be read", "101: cannot be read", f"101.hea: not as {SUMS} says"):
        assert words in said
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    assert wardwave.main([*fetch[:-1], nowhere, "--retries", "0"]) == 2
    assert "Is this machine offline?" in capsys.readouterr().err


def test_the_command_lists_every_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["datasets"]) == 0
    said = capsys.readouterr().out
    for dataset in DATASETS.values():
        assert f"{dataset.name} " in said
        assert f"{dataset.slug}/{dataset.version}" in said
        assert dataset.licence in said


def test_a_set_that_is_not_there_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=f"wardwave datasets download vfdb --into {tmp_path}"):
        check_dataset(tmp_path / "vfdb")


@pytest.mark.parametrize(
    "inner",
    [
        "cinc2017",
        "challenge-2017",
        "challenge-2017/1.0.0",
        "physionet.org/files/challenge-2017/1.0.0",
        "af-classification-from-a-short-single-lead-ecg-recording-the-physionetcomputing-in-cardiology-1.0.0",
    ],
)
def test_the_challenge_is_read_as_physionet_lays_it_out(inner: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_mat(data / inner / "training" / "A00", "A00001", 300)
    write_mat(data / inner / "training" / "A01", "A01002", 300)
    (data / inner / "training" / "REFERENCE.csv").write_text("A00001,O\nA01002,O\n")
    (data / inner / "REFERENCE-v3.csv").write_text("A00001,A\nA01002,N\n")
    write_mitdb(data / "mitdb", "100")
    view = plain_layout(data, tmp_path / "cache")
    assert view != data
    assert names_of(view, ("mitdb", "cinc2017")) == ("mitdb/100", "cinc2017/A00001", "cinc2017/A01002")
    first = load_names(view, ("cinc2017/A00001",), ECG, tmp_path / "cache")[0]
    assert first.rhythm[0] == 1 << 3
    assert plain_layout(data, tmp_path / "cache") == view


def test_an_unpacked_zip_is_read_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_mat(data / "training2017", "A00001", 300)
    (data / "training2017" / "REFERENCE.csv").write_text("A00001,A\n")
    write_mitdb(data / "mit-bih-arrhythmia-database-1.0.0", "100")
    write_mat(data / "cinc2015" / "training", "a103l", 250)
    (data / "cinc2015" / "training" / "ALARMS").write_text("a103l,Asystole,0\n")
    write_mat(data / "ludb" / "1.0.1" / "data", "1", 500)
    view = plain_layout(data, tmp_path / "cache")
    assert names_of(view, ("mitdb", "cinc2015", "cinc2017")) == (
        "mitdb/100",
        "cinc2015/a103l",
        "cinc2017/A00001",
    )
    assert wfdb.rdrecord(str(view / "ludb" / "1")).fs == 500


def test_the_layout_that_readers_know_stays(tmp_path: Path) -> None:
    write_mitdb(tmp_path / "mitdb", "100")
    assert plain_layout(tmp_path, tmp_path / "cache") == tmp_path
    assert locate(tmp_path, "vfdb") is None
    assert not (tmp_path / "cache").exists()


def test_a_changed_signal_is_conditioned_anew_whatever_its_format(tmp_path: Path) -> None:
    write_mat(tmp_path / "cinc2017", "A00001", 300)
    (tmp_path / "cinc2017" / "REFERENCE.csv").write_text("A00001,A\n")
    names, cache = ("cinc2017/A00001",), tmp_path / "cache"
    before = load_names(tmp_path, names, ECG, cache)[0].signal
    file = tmp_path / "cinc2017" / "A00001.mat"
    content = bytearray(file.read_bytes())
    content[3000:6000] = bytes(3000)
    file.write_bytes(bytes(content))
    assert not np.array_equal(load_names(tmp_path, names, ECG, cache)[0].signal, before)


@pytest.mark.parametrize("damaged", [b"", b"PK\x03\x04 cut short", b"no archive"])
def test_a_damaged_entry_of_the_cache_is_made_anew(damaged: bytes, tmp_path: Path) -> None:
    write_mat(tmp_path / "cinc2017", "A00001", 300)
    (tmp_path / "cinc2017" / "REFERENCE.csv").write_text("A00001,A\n")
    names, cache = ("cinc2017/A00001",), tmp_path / "cache"
    before = load_names(tmp_path, names, ECG, cache)[0].signal
    (entry,) = cache.iterdir()
    entry.write_bytes(damaged)
    np.testing.assert_array_equal(load_names(tmp_path, names, ECG, cache)[0].signal, before)
    assert list(cache.iterdir()) == [entry]


def test_records_whose_labels_are_missing_are_a_problem(tmp_path: Path) -> None:
    write_mitdb(tmp_path / "mitdb", "100")
    write_mitdb(tmp_path / "mitdb", "101")
    (tmp_path / "mitdb" / "101.atr").unlink()
    found = check_dataset(tmp_path / "mitdb")
    assert found.labelled == 1
    assert found.problems == ("1 records without labels: 101; fetch the set again",)


def test_checksums_are_those_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert digest(tmp_path / "file") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.data
def test_the_recordings_here_are_in_order(data_dir: Path) -> None:
    found = check_dataset(data_dir / "ludb")
    assert found.records == found.labelled > 0
    assert not found.problems
    assert plain_layout(data_dir, Path("nowhere")) == data_dir
