"""``wardwave datasets``: list the PhysioNet sets, fetch them, check a folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import TrainingError

MANY = 10
"""Problems that are printed; the rest is counted."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    datasets = subparsers.add_parser("datasets", help="list, fetch and check the data sets of the recipes")
    datasets.set_defaults(run=run_list)
    actions = datasets.add_subparsers(dest="action", metavar="download | check")
    download = actions.add_parser(
        "download", help="fetch a set from PhysioNet; what is whole is not fetched again"
    )
    download.add_argument("name", help="as `wardwave datasets` lists them")
    download.add_argument("--into", type=Path, required=True, metavar="DIR", help="the set goes to DIR/NAME")
    download.add_argument("--records", nargs="+", metavar="RECORD", help="only these records")
    download.add_argument(
        "--mirror", metavar="URL", help="address that stands for https://physionet.org/files/"
    )
    download.add_argument("--retries", type=int, default=3, metavar="N", help="of each file (3)")
    download.set_defaults(run=run_download)
    check = actions.add_parser("check", help="check a set on disk, or a folder of your own")
    check.add_argument("path", type=Path, help="DIR/NAME, or with --labels a folder of WFDB records")
    check.add_argument("--labels", type=Path, help="label map (TOML) of a folder of your own")
    check.add_argument("--write-split", type=Path, metavar="FILE", help="keep the sides of your patients")
    check.set_defaults(run=run_check)


@contextmanager
def _bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    from tqdm import tqdm

    with tqdm(unit=unit) as bar:

        def progress(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        yield progress


def run_list(args: argparse.Namespace) -> int:
    """Print the sets."""
    from training.datasets import DATASETS

    print(f"{'name':9} {'physionet.org/content/':24} {'records':>7} {'about':>7}  {'licence':11} for")
    for one in DATASETS.values():
        page, size = f"{one.slug}/{one.version}", f"{one.megabytes} MB"
        print(f"{one.name:9} {page:24} {one.records:7} {size:>7}  {one.licence:11} {one.used_for}")
    return 0


def run_download(args: argparse.Namespace) -> int:
    """Fetch a set."""
    from training.datasets import get_dataset
    from training.download import PHYSIONET, Fetcher, fetch_dataset

    dataset = get_dataset(args.name)
    folder = args.into / dataset.name
    fetcher = Fetcher(dataset, folder, args.mirror or PHYSIONET, retries=args.retries)
    print(
        f"{dataset.title} ({dataset.slug} {dataset.version}, {dataset.licence}), about {dataset.megabytes} MB"
    )
    with _bar("file") as progress:
        n = fetch_dataset(fetcher, args.records, progress)
    print(f"{n} files in {folder}; please cite it as physionet.org/content/{dataset.slug}/ asks")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Check a set, or a folder of the user's own; 1 if something is wrong with it."""
    if args.labels is not None or args.write_split is not None:
        return _check_own(args)
    from training.datasets_check import check_dataset

    with _bar("record") as progress:
        found = check_dataset(args.path, progress)
    of = "all" if found.records == found.dataset.records else f"of {found.dataset.records}"
    print(f"{found.dataset.name} in {found.folder}")
    print(f"{found.records} records ({of}), {found.labelled} with labels")
    print(f"{found.verified} files agree with their checksum" if found.verified else "no checksums here")
    return _tell(found.problems)


def _check_own(args: argparse.Namespace) -> int:
    from ingest.conditioning import ECG
    from training.config import FolderConfig
    from training.folder_check import check
    from training.folder_source import describe_folder

    folder = describe_folder(FolderConfig(records=str(args.path), labels=str(args.labels or "")))
    if args.write_split is not None:
        # Before the check, which may ask to move patients in it.
        rows = "".join(f"{patient},{side}\n" for patient, side in sorted(folder.sides.items()))
        args.write_split.write_text("patient,side\n" + rows)
    check(folder, mapped_by_user=args.labels is not None)
    problems = []
    with _bar("record") as progress:
        for done, (_, read) in enumerate(folder.readers(ECG), start=1):
            try:
                read()
            except TrainingError as error:
                problems.append(str(error))
            progress(done, len(folder.records))
    sides = list(folder.sides.values())
    counts = ", ".join(f"{sides.count(side)} {side}" for side in dict.fromkeys(sorted(sides)))
    print(f"{args.path}: {len(folder.records)} records of {len(folder.sides)} patients ({counts})")
    return _tell(problems)


def _tell(problems: list[str] | tuple[str, ...]) -> int:
    for problem in problems[:MANY]:
        print(problem)
    if len(problems) > MANY:
        print(f"… and {len(problems) - MANY} more")
    return 1 if problems else 0
