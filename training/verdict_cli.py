"""``wardwave verdict``: judge an ICU alarm; fit, cross-validate and take apart the model that does."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation import Evaluation
    from training.verdict_config import VerdictRecipe

DATA = "../shared/data"
KINDS = ("Asystole", "Bradycardia", "Tachycardia", "Ventricular_Flutter_Fib", "Ventricular_Tachycardia")
"""As :data:`models.verdict.KINDS`, without what that module needs."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "verdict",
        help="whether an ICU alarm is true: judge one; fit, cross-validate and ablate (CinC 2015)",
    )
    actions = parser.add_subparsers(dest="what", required=True, metavar="ACTION")
    _register_judge(actions)
    for name, words in (
        ("fit", "on all alarms, or on the fixed split, whose test side is then scored"),
        ("crossval", "cross-validate by record, over several seeds"),
        ("ablate", "what each ingredient buys"),
    ):
        action = actions.add_parser(name, help=words, description=words)
        action.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
        action.add_argument(
            "--beats", help="monitor model whose beats are used: name, path of a card, or 'slope'"
        )
        action.add_argument("--folds", type=int, default=5, metavar="K", help="folds of the figures (5)")
        action.add_argument("--seeds", type=int, default=10, metavar="N", help="repeats of the folds (10)")
        if name == "fit":
            action.add_argument("--split", action="store_true", help="on the fixed split's train side only")
        where = "folder of the model (runs/NAME/model)" if name == "fit" else "Markdown file of the tables"
        action.add_argument("--out", type=Path, help=where)
        action.set_defaults(run=run_verdict)


def _register_judge(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    words = "judge one alarm of a WFDB record by what was there when it sounded"
    judge = actions.add_parser("judge", help=words, description=words)
    judge.add_argument("record", type=Path, help="path of the record, without .hea")
    judge.add_argument("--alarm", required=True, metavar="KIND", help=", ".join(KINDS))
    judge.add_argument(
        "--at", type=float, metavar="SECONDS", help="when it sounded (300, or the end of a shorter record)"
    )
    judge.add_argument("--model", default="icu-verdict-1", help="shipped name or a card's path (%(default)s)")
    judge.add_argument("--json", action="store_true", help="as JSON")
    judge.set_defaults(run=run_judge)


def run_judge(args: argparse.Namespace) -> int:
    """Judge one alarm and print it."""
    import torch

    from training.verdict_judge import judge_record, to_text

    torch.set_num_threads(1)
    found = judge_record(args.record, args.alarm, args.at, args.model)
    print(json.dumps(asdict(found), indent=1) if args.json else to_text(found))
    return 0


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
        task.prepare()
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
