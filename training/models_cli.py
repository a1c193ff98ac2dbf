"""``wardwave evaluate`` and ``wardwave models``."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path

DATA = "../shared/data"
SIDES = ("train", "validation", "test")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Folder of the data sets as an argument, or as ``--data``."""
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="DATA", help=f"folder of the data sets ({DATA})"
    )
    parser.add_argument("--data", type=Path, default=Path(DATA), help="the same")


def data_of(args: argparse.Namespace) -> Path:
    """What :func:`add_data` was given."""
    return Path(args.folder or args.data)


def _register_evaluate(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = subparsers.add_parser(
        "evaluate", help="score a model on held-out patients: one HTML and one JSON report"
    )
    evaluate.add_argument("model", help="name of a shipped model, or path of a card")
    add_data(evaluate)
    evaluate.add_argument("--side", choices=SIDES, default="test")
    evaluate.add_argument(
        "--out",
        type=Path,
        default=Path("runs/reports"),
        help="folder or FILE.html of the report, JSON beside it; Markdown too for FILE.md (runs/reports)",
    )
    evaluate.add_argument(
        "--update-card", action="store_true", help="write the figures into the model's card"
    )
    evaluate.add_argument("--device", default="cpu", help="cpu or cuda")
    evaluate.set_defaults(run=run_evaluate)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    _register_evaluate(subparsers)


def command_line() -> str:
    """The command as it was given."""
    return shlex.join(["wardwave", *sys.argv[1:]])


def run_evaluate(args: argparse.Namespace) -> int:
    """Score a model, write the report, print its tables."""
    from models import store
    from training.report import to_markdown, write_report
    from training.report_run import gather, score, update_card

    began, data = time.monotonic(), data_of(args)
    scored = score(args.model, data, args.side, args.device)
    card = store.find(args.model)
    report = gather(
        scored,
        side=args.side,
        data=data,
        device=args.device,
        command=command_line(),
        seconds=time.monotonic() - began,
        card=card,
    )
    if args.update_card:
        update_card(report, scored, args.side, card)
    files = write_report(report, args.out)
    print(to_markdown(report.evaluation, report.spec, report.facts.side, report.summaries))
    print("report: " + ", ".join(str(path) for path in files.values()))
    return 0
