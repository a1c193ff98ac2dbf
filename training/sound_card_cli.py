"""Cards of sound models with the figures of cross-validation beside those of the fixed split's test side.

``python -m training.sound_card_cli FOLDS --data DATA [--model MODEL] [--out OUT] [--report FILE]``: every
fold's model is scored on its own test side and the results are pooled, as ``wardwave crossval`` does (its
thresholds are chosen again on its validation side, by the code as it is now); then
MODEL (its card or folder) is written to OUT with them, their names beginning with ``cv_``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from models import cards, store
from models.spec import ModelSpec
from training.card import code_commit
from training.evaluation import Evaluation
from training.report import summaries_of, to_markdown
from training.report_summary import card_metrics
from training.session import task_of_model

PREFIX = "cv_"


def pooled(folder: Path, k: int, data: Path) -> tuple[Evaluation, ModelSpec]:
    """Results of all trained folds together, those that are missing named in the notes, and the first's card.

    Parameters
    ----------
    folder : Path
        Of ``wardwave crossval``.
    k : int
        Folds.
    data : Path
        Folder of the data sets.
    """
    first = store.read_spec(folder / f"1of{k}" / "model")
    task = task_of_model(first, data)
    parts, missing = [], []
    for i, split in enumerate(task.folds(k), start=1):
        card = folder / f"{i}of{k}" / "model"
        if card.is_dir():
            model, _ = store.load(card)
            parts.append(task.evaluate(model, task.thresholds(model, split.validation), split.test))
        else:
            missing.append(i)
    found = task.merge(parts)
    if missing:
        words = f"Fold(s) {', '.join(map(str, missing))} of {k} not trained: pooled are the others alone"
        found = replace(found, notes=(words, *found.notes))
    return found, first


def shipped(card: Path, evaluation: Evaluation, data: Path) -> ModelSpec:
    """A model's card with its test side scored, and the pooled figures of folds.

    Parameters
    ----------
    card : Path
        Of a model of the fixed split.
    evaluation : Evaluation
        Of all folds.
    data : Path
        Folder of the data sets.
    """
    model, spec = store.load(card)
    task = task_of_model(spec, data)
    split = task.split()
    thresholds = task.thresholds(model, split.validation)
    own = task.evaluate(model, thresholds, split.test)
    folds = card_metrics(evaluation, summaries_of(evaluation))
    figures = card_metrics(own, summaries_of(own))
    figures |= {PREFIX + name: figure for name, figure in folds.items()}
    untrained = tuple(f"cv_: {note}." for note in evaluation.notes if "not trained" in note)
    changes: dict[str, object] = {
        "thresholds": thresholds,
        "metrics": figures,
        "metrics_code_commit": code_commit(),
        "caveats": spec.caveats + untrained,
    }
    return spec.model_copy(update=changes)


def main(argv: Sequence[str] | None = None) -> int:
    """Score folds, write report and card."""
    parser = argparse.ArgumentParser(
        prog="training.sound_card_cli", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folds", type=Path, help="folder of wardwave crossval")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-k", type=int, default=5, help="folds")
    parser.add_argument("--model", type=Path, help="model of the fixed split to be shipped")
    parser.add_argument("--out", type=Path, default=cards.WEIGHTS)
    parser.add_argument("--report", type=Path, help="write the pooled tables to this Markdown file")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    evaluation, first = pooled(args.folds, args.k, args.data)
    if args.report is not None:
        args.report.write_text(to_markdown(evaluation, first, f"{args.k} folds by patient"))
    if args.model is not None:
        spec = shipped(cards.find(args.model), evaluation, args.data)
        written = store.save(store.load(args.model)[0], spec, args.out)
        print(f"{args.out / written.name}.json: {len(written.metrics)} figures")
    for name, figure in evaluation.metrics.items():
        print(f"{name:32} {figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f}), n {figure.n}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
