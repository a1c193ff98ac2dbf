"""``wardwave verdict``: fit, cross-validate and take apart the verdict on ICU alarms."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation import Evaluation
    from training.verdict_config import VerdictRecipe

DATA = "../shared/data"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "verdict",
        help="whether ICU alarms are true (CinC 2015): fit, cross-validate, ablate",
        description="fit: on all alarms, or on the fixed split, whose test side is then scored. crossval: by "
        "record, over several seeds. ablate: what each ingredient buys.",
    )
    parser.add_argument("what", choices=("fit", "crossval", "ablate"))
    parser.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
    parser.add_argument(
        "--beats", help="monitor model whose beats are used: name, path of a card, or 'slope'"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="K", help="crossval and ablate (5)")
    parser.add_argument(
        "--seeds", type=int, default=10, metavar="N", help="crossval and ablate: repeats (10)"
    )
    parser.add_argument("--split", action="store_true", help="fit on the fixed split's train side only")
    parser.add_argument("--out", type=Path, help="fit: folder of the model; else a Markdown file")
    parser.set_defaults(run=run_verdict)


def _recipe(args: argparse.Namespace) -> VerdictRecipe:
    from training.verdict_config import icu_verdict_1

    recipe = icu_verdict_1()
    return recipe if args.beats is None else recipe.model_copy(update={"beats": args.beats})


def _text(title: str, evaluation: Evaluation) -> str:
    from training.report import table_lines

    figures = ", ".join(
        f"{name} {figure.value:.1f} ({figure.low:.1f} to {figure.high:.1f})"
        for name, figure in evaluation.metrics.items()
    )
    lines = [f"## {title}", "", figures, ""]
    lines += [line for note in evaluation.notes for line in (note, "")]
    lines += [line for table in evaluation.tables for line in table_lines(table)]
    return "\n".join(lines)


def run_verdict(args: argparse.Namespace) -> int:
    """Do what is asked for, print it, write it where asked."""
    import torch

    from models import verdict
    from training.layout import plain_layout
    from training.task import CACHE
    from training.verdict_ablation import ablation, repeated
    from training.verdict_task import VerdictTask

    # Batches of one lead are small: further threads wait for each other more than they help.
    torch.set_num_threads(1)
    recipe, data = _recipe(args), plain_layout(args.data, CACHE)
    if args.what == "ablate":
        text = _text(f"{recipe.name}: ingredients", ablation(recipe, data, args.folds, args.seeds))
    elif args.what == "crossval":
        task = VerdictTask(recipe, data)
        text = _text(f"{recipe.name}: {args.folds} folds by record", repeated(task, args.folds, args.seeds))
    else:
        task = VerdictTask(recipe, data)
        split = task.split() if args.split else task.everything()
        model = task.fit(split)
        # A model that was fitted on all alarms is told by its folds.
        scored = task.evaluate(model, split.test) if split.test else repeated(task, args.folds, args.seeds)
        model = verdict.Verdict(model.spec.model_copy(update={"metrics": scored.metrics}), model.weights)
        saved = verdict.save(model, args.out or Path("runs") / recipe.name / "model")
        title = "test side" if split.test else f"{args.folds} folds by record"
        text = _text(f"{saved.spec.name} ({saved.spec.sha256[:12]}): {title}", scored)
    print(text)
    if args.what != "fit" and args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)
    return 0
