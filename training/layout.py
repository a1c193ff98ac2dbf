"""Data sets as PhysioNet gives them, seen in the one layout that the readers know: DATA/NAME/RECORD.hea.

A set may lie as a zip file unpacks it (``mit-bih-arrhythmia-database-1.0.0/``, ``training2017/``), as wget
mirrors it (``physionet.org/files/ludb/1.0.1/data/``), or by its slug. What lies otherwise than the readers
know is shown to them through a folder of links in the cache; nothing is moved or copied.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from training.datasets import DATASETS, DataSet

ZIP_FOLDERS: Final = {
    "mitdb": ("mit-bih-arrhythmia-database-*",),
    "vfdb": ("mit-bih-malignant-ventricular-ectopy-database-*",),
    "nstdb": ("mit-bih-noise-stress-test-database-*",),
    "cinc2015": ("reducing-false-arrhythmia-alarms-in-the-icu-*",),
    "cinc2017": ("af-classification-from-a-short-single-lead-ecg-recording-*", "training2017"),
    "ludb": ("lobachevsky-university-electrocardiography-database-*",),
}
"""What PhysioNet's zip files unpack to."""

OWN: Final = "folder"
"""Name of a user's own records among the sets."""
INNER: Final = ("", "training", "training2017", "data")
VERSION: Final = "[0-9]*.[0-9]*.[0-9]*"


@dataclass(frozen=True, slots=True)
class Located:
    """Where a set lies.

    Attributes
    ----------
    dataset : DataSet
        Which one.
    root : Path
        Its outermost folder.
    records : Path
        Folder of its records.
    nested : bool
        Whether they lie in folders of that folder.
    table : Path or None
        Its table of labels.
    """

    dataset: DataSet
    root: Path
    records: Path
    nested: bool
    table: Path | None

    def plain(self, data: Path) -> bool:
        """Whether the readers find it as it is."""
        there = self.table is None or self.table == self.records / self.dataset.table
        return self.records == data / self.dataset.name and not self.nested and there

    def links(self) -> Iterator[tuple[str, Path]]:
        """Name and target of each file as the readers want it."""
        for header in sorted(self.records.glob("*/*.hea" if self.nested else "*.hea")):
            for file in sorted(header.parent.glob(f"{header.stem}.*")):
                yield file.name, file
        if self.table is not None:
            yield self.dataset.table, self.table


def _roots(data: Path, dataset: DataSet) -> Iterator[Path]:
    """Folders that may hold a set, the likeliest first."""
    named = [data / dataset.name, data / dataset.slug, data / "physionet.org" / "files" / dataset.slug]
    for pattern in ZIP_FOLDERS[dataset.name]:
        named += sorted(data.glob(pattern), reverse=True)
    for folder in named:
        if folder.is_dir():
            yield folder
            yield from sorted(folder.glob(VERSION), reverse=True)


def _find_table(dataset: DataSet, records: Path, root: Path) -> Path | None:
    """A set's table, the best version of it, beside the records or above them."""
    names = dict.fromkeys([*(path.rsplit("/", 1)[-1] for path in dataset.tables), dataset.table])
    above = [records, *(parent for parent in records.parents if parent.is_relative_to(root)), root.parent]
    # The layout of our own downloads has the best version under the name that readers know.
    if (root / dataset.table).is_file() and any(root.glob("*.hea")):
        return root / dataset.table
    return next((folder / name for name in names for folder in above if (folder / name).is_file()), None)


def locate(data: Path, name: str) -> Located | None:
    """Find a set below a folder; None where it is not there."""
    dataset = DATASETS[name]
    for root in _roots(data, dataset):
        for inner in INNER:
            records = root / inner
            nested = dataset.within == "training" and any(records.glob("A[0-9][0-9]/*.hea"))
            if nested or any(records.glob("*.hea")):
                table = _find_table(dataset, records, root) if dataset.table else None
                return Located(dataset, root, records, nested, table)
    return None


def plain_layout(data: Path, cache: Path, own: Path | None = None) -> Path:
    """A folder with the sets in the layout that the readers know: ``data`` itself where they lie so.

    Parameters
    ----------
    data : Path
        Folder of the data sets.
    cache : Path
        Where a folder of links is made if it is needed.
    own : Path or None
        A user's own records, to be shown as the set ``folder``.
    """
    found = [located for name in DATASETS if (located := locate(data, name)) is not None]
    other = [located for located in found if not located.plain(data)]
    has_own = own is None or (data / OWN).resolve() == own.resolve()
    if not other and has_own:
        return data
    links = {
        f"{located.dataset.name}/{name}": target.resolve()
        for located in other
        for name, target in located.links()
    }
    shown = {located.dataset.name for located in other}
    beside = sorted(data.iterdir()) if data.is_dir() else []
    links |= {path.name: path.resolve() for path in beside if path.name not in shown}
    if own is not None:
        links[OWN] = own.resolve()
    key = hashlib.sha256("\n".join(f"{name} {target}" for name, target in links.items()).encode())
    view = cache / f"layout-{key.hexdigest()[:16]}"
    if view.is_dir():
        return view
    cache.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{view.name}.", suffix=".part", dir=cache))
    for name, target in links.items():
        (part / name).parent.mkdir(parents=True, exist_ok=True)
        (part / name).symlink_to(target)
    try:
        part.rename(view)
    except OSError:
        shutil.rmtree(part)
        # Another process of the group was first.
        if not view.is_dir():
            raise
    return view
