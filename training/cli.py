"""``wardwave train``, ``crossval``, ``recipes`` and ``evaluate``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import BadRecipe

if TYPE_CHECKING:
    from training.config import Recipe
    from training.distributed import Group
    from training.evaluation import Evaluation
    from training.loop import Trainer
    from training.task import Split, Task

DATA = "../shared/data"


def _recipe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", help="name (wardwave recipes lists them), or my_recipes.py:function")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="optimizer.lr=1e-3"
    )
    parser.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
    parser.add_argument("--records", type=Path, help="train on a folder of WFDB records of your own instead")
    parser.add_argument(
        "--labels", type=Path, help="TOML file: what their annotations mean, who is a patient, who tests"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument(
        "--from-weights",
        metavar="MODEL",
        help="begin with the weights of this model (name or path; in crossval {fold} stands for 1of5, …)",
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
    recipes = subparsers.add_parser("recipes", help="list recipes, or show all settings of one")
    recipes.set_defaults(run=run_recipes, name=None)
    actions = recipes.add_subparsers(dest="action", metavar="show")
    show = actions.add_parser("show", help="every setting, in the words that --set takes")
    show.add_argument("name", help="name of a recipe, or my_recipes.py:function")
    show.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    show.add_argument("--json", action="store_true", help="as JSON instead of TOML")


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


@contextmanager
def _bar(label: str, *, shown: bool) -> Iterator[Callable[[Trainer], Callable[[int, float], None]]]:
    """A progress bar that begins where the trainer stands, closed however the training ends."""
    from tqdm import tqdm

    with ExitStack() as stack:

        def start(trainer: Trainer) -> Callable[[int, float], None]:
            steps, done = trainer.recipe.optimizer.steps, trainer.state.step
            bar = stack.enter_context(
                tqdm(total=steps, initial=done, unit="step", desc=label, disable=not shown)
            )

            def progress(step: int, loss: float) -> None:
                bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
                bar.update()

            return progress

        yield start


def _recipe(args: argparse.Namespace) -> Recipe:
    """The recipe with its overrides; ``--records`` is short for three of them."""
    from training.recipes import get_recipe

    own: list[str] = []
    if args.labels is not None and args.records is None:
        raise BadRecipe("--labels tells what the annotations of --records mean: name that folder too")
    if args.records is not None:
        own = [f"folder.records={args.records.resolve()}"]
        if args.labels is not None:
            own.append(f"folder.labels={args.labels.resolve()}")
        # Sources that the user names stand, so that own records can be mixed with others.
        settings = get_recipe(args.recipe).model_dump()
        if "sources" in settings.get("data", {}):
            own.append("data.sources=folder")
    return get_recipe(args.recipe, [*own, *args.overrides])


def _log_to_screen(group: Group) -> None:
    """One process speaks."""
    level = logging.INFO if group.main else logging.ERROR
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")
    logging.getLogger().setLevel(level)


def _folds(task: Task, k: int) -> list[Split]:
    if k < 2:
        raise BadRecipe(f"--folds {k}: at least 2")
    return task.folds(k)


def run_train(args: argparse.Namespace) -> int:
    """Train, choose thresholds on validation patients, write the model to ``OUT/model``."""
    # Before torch is loaded, so that a mistake is said at once.
    recipe = _recipe(args)
    from training.distributed import join
    from training.session import fit, open_task

    with join(args.device) as group:
        _log_to_screen(group)
        task = open_task(recipe, args.data)
        if args.fold is None:
            split, out = task.split(), args.out or Path("runs") / recipe.name
        else:
            fold, of = parse_fold(args.fold)
            split = _folds(task, of)[fold - 1]
            out = args.out or Path("runs") / f"{recipe.name}-folds" / f"{fold}of{of}"
        try:
            with _bar(recipe.name, shown=group.main) as progress:
                trained = fit(
                    task,
                    split,
                    out,
                    device=group.device,
                    from_weights=args.from_weights,
                    progress=progress,
                    group=group,
                )
        except KeyboardInterrupt:
            if group.main:
                print(f"\nstopped; the same command goes on from the last checkpoint in {out}")
            return 130
        if group.main:
            print(f"model: {out / 'model' / trained.spec.name}.json   thresholds: {trained.spec.thresholds}")
    return 0


def run_crossval(args: argparse.Namespace) -> int:
    """Train every fold (finished ones are taken as they are), score its test side, pool."""
    # Before torch is loaded, so that a mistake is said at once.
    recipe = _recipe(args)
    from training.distributed import join
    from training.report import to_markdown
    from training.session import fit, open_task

    out = args.out or Path("runs") / f"{recipe.name}-folds"
    parts: list[Evaluation] = []
    with join(args.device) as group:
        _log_to_screen(group)
        task = open_task(recipe, args.data)
        for i, split in enumerate(_folds(task, args.folds), start=1):
            fold = f"{i}of{args.folds}"
            start = None if args.from_weights is None else args.from_weights.replace("{fold}", fold)
            with _bar(f"{recipe.name} {i}/{args.folds}", shown=group.main) as progress:
                trained = fit(
                    task,
                    split,
                    out / fold,
                    device=group.device,
                    from_weights=start,
                    progress=progress,
                    group=group,
                )
            if group.main:
                parts.append(task.evaluate(trained.model, trained.thresholds, split.test))
        if not group.main:
            return 0
    text = to_markdown(task.merge(parts), trained.spec, f"{args.folds} folds by patient")
    print(text)
    if args.report is not None:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(text)
    return 0


def run_recipes(args: argparse.Namespace) -> int:
    """List the recipes, or show one whole."""
    from training.overrides import to_toml
    from training.recipes import RECIPES, get_recipe

    if args.name is None:
        width = max(map(len, RECIPES))
        for name in sorted(RECIPES):
            recipe = get_recipe(name)
            print(f"{name:{width}}  {recipe.task:10}  {recipe.description}")
        return 0
    recipe = get_recipe(args.name, args.overrides)
    print(recipe.model_dump_json(indent=2) if args.json else to_toml(recipe))
    return 0
