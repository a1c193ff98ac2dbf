"""``wardwave evaluate`` and ``wardwave models``: list, describe, compare, export."""

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


def _add_own(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--records", type=Path, help="score a folder of WFDB records of your own instead")
    parser.add_argument("--labels", type=Path, help="TOML file: what their annotations mean, who tests")


def own_of(args: argparse.Namespace) -> tuple[Path, Path | None] | None:
    """A user's own records and their label map, where they are given.

    Raises
    ------
    BadRecipe
        A label map without records.
    """
    from training.errors import BadRecipe

    if args.records is None and args.labels is not None:
        raise BadRecipe("--labels tells what the annotations of --records mean: name that folder too")
    return None if args.records is None else (args.records, args.labels)


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
    evaluate.add_argument(
        "--update-curves",
        action="store_true",
        help="write ROC, precision-recall, calibration and confusion beside the card, for the dashboard",
    )
    evaluate.add_argument("--device", default="cpu", help="cpu or cuda")
    _add_own(evaluate)
    evaluate.set_defaults(run=run_evaluate)


def _register_models(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = subparsers.add_parser("models", help="list, describe, compare and export models")
    models.set_defaults(run=run_list)
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    listing = actions.add_parser("list", help="the shipped models")
    listing.set_defaults(run=run_list)
    describe = actions.add_parser("describe", help="a model's card")
    describe.add_argument("model", help="name of a shipped model, or path of a card")
    describe.add_argument("--json", action="store_true", help="the card as it is")
    describe.set_defaults(run=run_describe)
    compare = actions.add_parser("compare", help="two models on the same patients, by a paired bootstrap")
    compare.add_argument("a", help="name of a shipped model, or path of a card")
    compare.add_argument("b", help="the other one")
    add_data(compare)
    compare.add_argument("--side", choices=SIDES, default="test")
    compare.add_argument("--out", type=Path, help="folder, FILE.html, FILE.json or FILE.md to write it to")
    compare.add_argument("--device", default="cpu", help="cpu or cuda")
    _add_own(compare)
    compare.set_defaults(run=run_compare)
    export = actions.add_parser("export", help="write a model in another format")
    export.add_argument("model", help="name of a shipped model, or path of a card")
    export.add_argument(
        "--onnx", type=Path, required=True, metavar="FILE", help="ONNX, checked against torch"
    )
    export.set_defaults(run=run_export)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    _register_evaluate(subparsers)
    _register_models(subparsers)


def command_line() -> str:
    """The command as it was given."""
    return shlex.join(["wardwave", *sys.argv[1:]])


def run_evaluate(args: argparse.Namespace) -> int:
    """Score a model, write the report, print its tables."""
    from models import store
    from training.errors import BadRecipe
    from training.layout import plain_layout
    from training.report import to_markdown, write_report
    from training.report_page import FOLDED
    from training.report_run import gather, score, update_card, update_curves
    from training.task import CACHE

    began, data = time.monotonic(), data_of(args)
    if (args.records is not None or args.side != "test") and args.update_curves:
        raise BadRecipe("--update-curves: they are those of the model's own test patients")
    if args.records is not None and args.update_card:
        raise BadRecipe("--update-card: a card tells of its own test patients, not of --records")
    scored = score(args.model, data, args.side, args.device, own=own_of(args))
    card = store.find(args.model)
    trained_on = str(scored.spec.training.get("folder.records") or "")
    records = args.records or (Path(trained_on) if trained_on else None)
    report = gather(
        scored,
        side=args.side if args.records is None else "own",
        data=data,
        device=args.device,
        command=command_line(),
        seconds=time.monotonic() - began,
        card=card,
        signals=plain_layout(data, CACHE, records),
    )
    if args.update_card:
        update_card(report, scored, args.side, card)
    if args.update_curves:
        update_curves(report, card)
    files = write_report(report, args.out)
    print(to_markdown(report.evaluation, report.spec, report.facts.side, report.summaries, FOLDED))
    print("report: " + ", ".join(str(path) for path in files.values()))
    return 0


def run_list(args: argparse.Namespace) -> int:
    """Print the shipped models with their headline figures."""
    from models import store, verdict
    from models.catalogue import listing

    verdicts = [verdict.read_spec(card) for card in sorted(verdict.VERDICTS.glob("*.json"))]
    print(listing([store.read_spec(name) for name in store.shipped()], verdicts))
    return 0


def run_describe(args: argparse.Namespace) -> int:
    """Print a model's card."""
    from models import store
    from models.catalogue import description

    spec = store.read_spec(args.model)
    print(spec.model_dump_json(indent=2) if args.json else description(spec))
    return 0


def run_compare(args: argparse.Namespace) -> int:
    """Score two models on the same patients and print the differences."""
    from training.compare import compare_models, tables, write
    from training.report import table_lines

    began = time.monotonic()
    comparison = compare_models(args.a, args.b, data_of(args), args.side, args.device, own_of(args))
    print("\n".join(line for one in tables(comparison) for line in table_lines(one)))
    if args.out is not None:
        about = {"command": command_line(), "seconds": f"{time.monotonic() - began:.0f}"}
        print("comparison: " + ", ".join(map(str, write(comparison, args.out, about).values())))
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Write a model as ONNX and check that it says the same."""
    from models import store
    from models.onnx import check_onnx, export_onnx, output_names

    model, spec = store.load(args.model)
    path = export_onnx(model, spec, args.onnx)
    worst = check_onnx(model, spec, path)
    print(
        f"{path}: {path.stat().st_size / 1e6:.2f} MB, outputs {', '.join(output_names(spec))}, "
        f"largest difference from torch {worst:.1e}"
    )
    return 0
