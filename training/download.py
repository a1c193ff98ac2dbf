"""Fetching data sets from PhysioNet: resumable, tried again, verified by checksum."""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

import wfdb
from wfdb.io import download as wfdb_download

from training.datasets import DataSet
from training.errors import DataMissing, DownloadFailed

PHYSIONET: Final = "https://physionet.org/files/"
SUMS: Final = "SHA256SUMS.txt"
CONNECTIONS: Final = 2
"""At a time, so as not to press PhysioNet's server."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a set: its path below the version, its SHA-256 where PhysioNet has it, if it may lack."""

    path: str
    sha256: str | None
    optional: bool = False

    @property
    def name(self) -> str:
        """Name it gets here: folders below the records' are flattened."""
        return PurePosixPath(self.path).name


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_sums(text: str) -> dict[str, str]:
    """Lines ``sha256  path`` as path to sha256."""
    rows = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return {row[1].strip().lstrip("*").removeprefix("./"): row[0].lower() for row in rows if len(row) == 2}


class Fetcher:
    """Fetches the files of one set.

    Parameters
    ----------
    dataset : DataSet
        Which one.
    into : Path
        Folder that its files go to.
    base : str
        Address that stands for physionet.org/files.
    retries : int
        How often a file is tried again.
    wait_s : float
        Before the first retry; doubled before each further one.
    """

    def __init__(
        self, dataset: DataSet, into: Path, base: str = PHYSIONET, *, retries: int = 3, wait_s: float = 1.0
    ) -> None:
        self.dataset, self.into, self.base = dataset, into, base.rstrip("/") + "/"
        self.retries, self.wait_s = retries, wait_s

    @property
    def remote(self) -> str:
        """``slug/version``."""
        return f"{self.dataset.slug}/{self.dataset.version}"

    def _tried(self, what: str, get: Callable[[], None]) -> None:
        """Call ``get`` until it does not fail for a reason that may pass.

        Raises
        ------
        DownloadFailed
            It failed to the end, or there is no such file.
        """
        for attempt in range(self.retries + 1):
            try:
                return get()
            except FileNotFoundError as error:
                raise DownloadFailed(f"{self.base}{self.remote}/{what}: no such file there") from error
            except OSError as error:
                if attempt == self.retries:
                    raise DownloadFailed(
                        f"{self.base}{self.remote}/{what}: {error}. Is this machine offline? What is here "
                        "already is kept, the same command goes on; --mirror takes another address"
                    ) from error
            time.sleep(self.wait_s * 2**attempt)
        return None

    def text(self, path: str) -> str:
        """A small remote file."""
        kept = self.into / f".{PurePosixPath(path).name}.part"
        url = f"{self.base}{self.remote}/{path}"
        self._tried(path, partial(wfdb_download.dl_full_file, url, str(kept)))
        text = kept.read_text()
        kept.unlink()
        return text

    def files(self, records: Collection[str] | None) -> list[RemoteFile]:
        """What to fetch: signals, headers, annotations and tables.

        Parameters
        ----------
        records : collection of str or None
            Only these; None for all.

        Raises
        ------
        DownloadFailed
            PhysioNet cannot be reached.
        DataMissing
            It has no such record.
        """
        try:
            sums = read_sums(self.text(SUMS))
        except DownloadFailed as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            return self._files_without_sums(records)
        within = f"{self.dataset.within}/" if self.dataset.within else ""
        headers = [path for path in sums if path.startswith(within) and path.endswith(".hea")]
        stems = _chosen({path.removesuffix(".hea") for path in headers}, records, self.dataset.name)
        suffixes = {".hea", ".dat", ".mat", *(f".{name}" for name in self.dataset.annotators)}
        wanted = [
            path
            for path in sums
            if PurePosixPath(path).suffix in suffixes and path.rsplit(".", 1)[0] in stems
        ]
        table = next((path for path in self.dataset.tables if path in sums), None)
        return [RemoteFile(path, sums[path]) for path in [*wanted, *([table] if table else [])]]

    def _files_without_sums(self, records: Collection[str] | None) -> list[RemoteFile]:
        """What to fetch by RECORDS and headers, where there are no checksums."""
        within = f"{self.dataset.within}/" if self.dataset.within else ""
        listed = {within + record for record in self.text(f"{within}RECORDS").split()}
        found: list[RemoteFile] = []
        with self.asked():
            for stem in sorted(_chosen(listed, records, self.dataset.name)):
                parent, name = str(PurePosixPath(stem).parent), PurePosixPath(stem).name
                header = wfdb.rdheader(name, pn_dir=f"{self.remote}/{parent}".removesuffix("/."))
                beside = PurePosixPath(parent)
                signals = [str(beside / file) for file in dict.fromkeys(header.file_name)]
                found += [RemoteFile(path, None) for path in (f"{stem}.hea", *signals)]
                found += [RemoteFile(f"{stem}.{end}", None, True) for end in self.dataset.annotators]
        return [*found, *(RemoteFile(path, None) for path in self.dataset.tables[:1])]

    @contextlib.contextmanager
    def asked(self) -> Iterator[None]:
        """Make wfdb ask our address meanwhile, without printing."""
        before = wfdb_download.config.db_index_url
        wfdb_download.set_db_index_url(self.base)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        finally:
            wfdb_download.set_db_index_url(before)

    def whole(self, file: RemoteFile) -> bool:
        """Whether a file is here as PhysioNet has it."""
        path = self.into / file.name
        return path.is_file() and file.sha256 is not None and digest(path) == file.sha256

    def fetch(self, file: RemoteFile) -> None:
        """Get a file, the rest of it where a part is here.

        Raises
        ------
        DownloadFailed
            It cannot be had, or is not what PhysioNet says it is.
        """
        if self.whole(file):
            return
        folder = str(PurePosixPath(file.path).parent)
        place = "" if folder == "." else folder
        for afresh in (False, True):
            arguments = (file.name, place, self.remote, str(self.into), False, afresh)
            try:
                self._tried(file.path, partial(wfdb_download.dl_pn_file, arguments))
            except DownloadFailed as error:
                if file.optional and isinstance(error.__cause__, FileNotFoundError):
                    return
                raise
            if file.sha256 is None or self.whole(file):
                return
        raise DownloadFailed(
            f"{self.base}{self.remote}/{file.path}: its SHA-256 is {digest(self.into / file.name)[:12]}…, "
            f"not {str(file.sha256)[:12]}… as {SUMS} says, also when fetched anew"
        )


def _chosen(stems: set[str], records: Collection[str] | None, name: str) -> set[str]:
    """Stems of the records asked for.

    Raises
    ------
    DataMissing
        One of them is not there.
    """
    if records is None:
        return stems
    by_name: Mapping[str, str] = {PurePosixPath(stem).name: stem for stem in stems}
    missing = [record for record in records if record not in by_name]
    if missing:
        raise DataMissing(f"{name}: no record {', '.join(missing[:5])} in it ({len(stems)} records)")
    return {by_name[record] for record in records}


def fetch_dataset(
    fetcher: Fetcher,
    records: Collection[str] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Fetch a set into its folder, in the layout that the readers know. Returns the number of its files.

    Parameters
    ----------
    fetcher : Fetcher
        Of the set.
    records : collection of str or None
        Only these; None for all.
    progress : callable
        Called with how many files are done, and how many there are.

    Raises
    ------
    DownloadFailed, DataMissing
        See their own words. What is here already is kept; the same call goes on.
    """
    fetcher.into.mkdir(parents=True, exist_ok=True)
    files = fetcher.files(records)
    sums = [f"{file.sha256}  {file.name}\n" for file in files if file.sha256]
    if sums:
        known = read_sums((fetcher.into / SUMS).read_text()) if (fetcher.into / SUMS).exists() else {}
        known |= {file.name: file.sha256 for file in files if file.sha256}
        (fetcher.into / SUMS).write_text("".join(f"{value}  {name}\n" for name, value in known.items()))
    progress(0, len(files))
    with fetcher.asked(), ThreadPoolExecutor(CONNECTIONS) as pool:
        for done, _ in enumerate(pool.map(fetcher.fetch, files), start=1):
            progress(done, len(files))
    table = next((file.name for file in files if file.path in fetcher.dataset.tables), None)
    if table is not None and table != fetcher.dataset.table:
        shutil.copyfile(fetcher.into / table, fetcher.into / fetcher.dataset.table)
    return len(files)
