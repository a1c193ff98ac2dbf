"""``wardwave train``, ``wardwave crossval`` and ``wardwave evaluate``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import BadRecipe

if TYPE_CHECKING:
    from training.loop import Trainer
    from training.task import Split, Task

DATA = "../shared/data"


def _recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="name of a recipe (training/recipes.py)")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="optimizer.lr=1e-3"
    )
    parser.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--from-weights", metavar="MODEL", help="begin with the weights of this model (name or path)"
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    train = subparsers.add_parser("train", help="train a model by a recipe; an interrupted run resumes")
    _recipe_arguments(train)
    train.add_argument("--out", type=Path, help="folder for checkpoints, log and model (runs/RECIPE)")
    train.add_argument("--fold", metavar="I/K", help="train fold I of K (1/5) instead of the fixed split")
    train.set_defaults(run=run_train)
    crossval = subparsers.add_parser("crossval", help="train and score K folds by patient, pool the results")
    _recipe_arguments(crossval)
    crossval.add_argument("--folds", type=int, default=5, metavar="K")
    crossval.add_argument("--out", type=Path, help="folder of the folds' folders (runs/RECIPE-folds)")
    crossval.add_argument("--report", type=Path, help="write the pooled tables to this Markdown file")
    crossval.set_defaults(run=run_crossval)
    evaluate = subparsers.add_parser("evaluate", help="score a model on held-out patients")
    evaluate.add_argument("model", help="name of a shipped model, or path of a card")
    evaluate.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
    evaluate.add_argument("--side", choices=("train", "validation", "test"), default="test")
    evaluate.add_argument("--out", type=Path, help="write the tables to this Markdown file")
    evaluate.add_argument(
        "--update-card", action="store_true", help="write the figures into the model's card"
    )
    evaluate.add_argument("--device", default="cpu", help="cpu or cuda")
    evaluate.set_defaults(run=run_evaluate)


def parse_fold(text: str) -> tuple[int, int]:
    """``2/5`` to (2, 5).

    Raises
    ------
    BadRecipe
        It is not I/K with 1 <= I <= K.
    """
    parts = text.split("/")
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise BadRecipe(f"--fold {text}: expected I/K, as 1/5")
    fold, of = int(parts[0]), int(parts[1])
    if not 1 <= fold <= of:
        raise BadRecipe(f"--fold {text}: {fold} is not between 1 and {of}")
    return fold, of


def _with_bar(label: str) -> Callable[[Trainer], Callable[[int, float], None]]:
    """A progress bar that begins where the trainer stands."""
    from tqdm import tqdm

    def start(trainer: Trainer) -> Callable[[int, float], None]:
        bar = tqdm(total=trainer.recipe.optimizer.steps, initial=trainer.state.step, unit="step", desc=label)

        def progress(step: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()
            if step == trainer.recipe.optimizer.steps:
                bar.close()

        return progress

    return start


def _folds(task: Task, k: int) -> list[Split]:
    if k < 2:
        raise BadRecipe(f"--folds {k}: at least 2")
    return task.folds(k)


def run_train(args: argparse.Namespace) -> int:
    """Train, choose thresholds on validation patients, write the model to ``OUT/model``."""
    from training.recipes import get_recipe
    from training.session import fit, open_task

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = get_recipe(args.recipe, args.overrides)
    task = open_task(recipe, args.data)
    if args.fold is None:
        split, out = task.split(), args.out or Path("runs") / recipe.name
    else:
        fold, of = parse_fold(args.fold)
        split = _folds(task, of)[fold - 1]
        out = args.out or Path("runs") / f"{recipe.name}-folds" / f"{fold}of{of}"
    try:
        trained = fit(
            task,
            split,
            out,
            device=args.device,
            from_weights=args.from_weights,
            progress=_with_bar(recipe.name),
        )
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on from the last checkpoint in {out}")
        return 130
    print(f"model: {out / 'model' / trained.spec.name}.json   thresholds: {trained.spec.thresholds}")
    return 0


def run_crossval(args: argparse.Namespace) -> int:
    """Train every fold (finished ones are taken as they are), score its test side, pool."""
    from training.recipes import get_recipe
    from training.report import to_markdown
    from training.session import fit, open_task

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = get_recipe(args.recipe, args.overrides)
    task = open_task(recipe, args.data)
    out = args.out or Path("runs") / f"{recipe.name}-folds"
    parts = []
    for i, split in enumerate(_folds(task, args.folds), start=1):
        trained = fit(
            task,
            split,
            out / f"{i}of{args.folds}",
            device=args.device,
            from_weights=args.from_weights,
            progress=_with_bar(f"{recipe.name} {i}/{args.folds}"),
        )
        parts.append(task.evaluate(trained.model, trained.thresholds, split.test))
    text = to_markdown(task.merge(parts), trained.spec, f"{args.folds} folds by patient")
    print(text)
    if args.report is not None:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(text)
    return 0


def run_evaluate(args: argparse.Namespace) -> int:
    """Score a model and print the tables."""
    from models import store
    from training.report import to_markdown
    from training.session import task_of_model, thresholds_of

    model, spec = store.load(args.model, args.device)
    task = task_of_model(spec, args.data)
    evaluation = task.evaluate(model, thresholds_of(spec), getattr(task.split(), args.side))
    if args.update_card:
        prefix = "" if args.side == "test" else f"{args.side}_"
        metrics = spec.metrics | {prefix + name: figure for name, figure in evaluation.metrics.items()}
        card = store.find(args.model)
        spec = store.save(model, spec.model_copy(update={"metrics": metrics}), card.parent)
    text = to_markdown(evaluation, spec, f"{args.side} patients")
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)
    return 0
