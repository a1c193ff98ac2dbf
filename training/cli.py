"""``wardwave train`` and ``wardwave evaluate``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

DATA = "../shared/data"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
    train = subparsers.add_parser("train", help="train a model by a recipe; an interrupted run resumes")
    train.add_argument("recipe", help="name of a recipe (training/recipes.py)")
    train.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="optimizer.lr=1e-3"
    )
    train.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
    train.add_argument("--out", type=Path, help="folder for checkpoints, log and model (runs/RECIPE)")
    train.add_argument("--device", default="cpu", help="cpu or cuda")
    train.set_defaults(run=run_train)
    evaluate = subparsers.add_parser("evaluate", help="score a model on held-out patients")
    evaluate.add_argument("model", help="name of a shipped model, or path of a card")
    evaluate.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
    evaluate.add_argument("--side", choices=("validation", "test"), default="test")
    evaluate.add_argument(
        "--sources", default="mitdb,vfdb,cinc2015,cinc2017", help="comma-separated data sets"
    )
    evaluate.add_argument("--out", type=Path, help="write the tables to this Markdown file")
    evaluate.add_argument(
        "--update-card", action="store_true", help="write the figures into the model's card"
    )
    evaluate.add_argument("--device", default="cpu", help="cpu or cuda")
    evaluate.set_defaults(run=run_evaluate)


def run_train(args: argparse.Namespace) -> int:
    """Train, choose thresholds on validation patients, write the model to ``OUT/model``."""
    from tqdm import tqdm

    from models import store
    from training.card import make_spec
    from training.recipes import get_recipe
    from training.session import open_session
    from training.thresholds import choose_thresholds
    from training.validate import run_recordings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    recipe = get_recipe(args.recipe, args.overrides)
    out = args.out or Path("runs") / recipe.name
    session = open_session(recipe, args.data, out, args.device)
    trainer = session.trainer
    with tqdm(total=recipe.optimizer.steps, initial=trainer.state.step, unit="step") as bar:

        def progress(_: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        try:
            model = trainer.run(progress)
        except KeyboardInterrupt:
            print(f"\nstopped at step {trainer.state.step}; the same command goes on from {out}")
            return 130
    step_s = recipe.architecture.front_end.stride / 125.0
    thresholds = choose_thresholds(run_recordings(model, session.validation), step_s)
    spec = make_spec(
        recipe, trainer.state, thresholds, session.training, [r.name for r in session.validation]
    )
    store.save(model, spec, out / "model")
    print(f"model: {out / 'model' / spec.name}.json   thresholds: {thresholds.values}")
    return 0


def run_evaluate(args: argparse.Namespace) -> int:
    """Score a model and print the tables."""
    from ingest.conditioning import ECG
    from models import store
    from training.corpus import load_side
    from training.evaluate import evaluate
    from training.report import to_markdown
    from training.session import CACHE

    model, spec = store.load(args.model, args.device)
    sources = tuple(name for name in args.sources.split(",") if name)
    report = evaluate(model, spec, load_side(args.data, sources, args.side, ECG, CACHE))
    if args.update_card:
        prefix = "" if args.side == "test" else "validation_"
        metrics = spec.metrics | {prefix + name: figure for name, figure in report.metrics.items()}
        card = store.find(args.model)
        spec = store.save(model, spec.model_copy(update={"metrics": metrics}), card.parent)
    text = to_markdown(report, spec, args.side)
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)
    return 0
