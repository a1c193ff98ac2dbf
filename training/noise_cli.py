"""``wardwave evaluate-noise``: QRS detection in noise, beside the detectors of other libraries."""

from __future__ import annotations

import argparse
from pathlib import Path

DATA = "../shared/data"


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split(",") if word)


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "evaluate-noise",
        help="QRS detection of a model in noise, beside wfdb's and neurokit2's detectors",
        description="Counts are kept in .cache/noise: an interrupted run goes on where it was.",
    )
    parser.add_argument("model", help="name of a shipped model, or path of a card")
    parser.add_argument("--data", type=Path, default=Path(DATA), help=f"folder of the data sets ({DATA})")
    parser.add_argument("--records", default="all", help="all (DS2 of mitdb and 118eNN), or 103,200,118e06")
    parser.add_argument("--noise", default="bw,ma", help="kinds of noise (bw,ma)")
    parser.add_argument("--snr", default="24,18,12,6,0,-6", help="signal-to-noise ratios in dB")
    parser.add_argument("--detectors", default="all", help="all, none, or names: xqrs,hamilton2002")
    parser.add_argument("--out", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--update-card", action="store_true", help="write the figures into the model's card")
    parser.set_defaults(run=run_evaluate_noise)


def _levels(text: str) -> tuple[int, ...]:
    from training.errors import BadRecipe

    try:
        return tuple(int(word) for word in _words(text))
    except ValueError as error:
        raise BadRecipe(f"--snr {text}: expected whole decibels, as 24,0,-6") from error


def _noises(text: str) -> tuple[str, ...]:
    from training.errors import BadRecipe
    from training.noise_records import NOISES

    wrong = [word for word in _words(text) if word not in NOISES]
    if wrong:
        raise BadRecipe(f"--noise {text}: no noise {wrong[0]!r}; there are {', '.join(NOISES)}")
    return _words(text)


def _records(text: str, data: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Records that noise is mixed into, and those that have it already."""
    from training.errors import DataMissing
    from training.noise_score import READY_MADE, records_to_test

    every = (*records_to_test(data), *READY_MADE)
    if text == "all":
        names = every
    else:
        by_name = {name.split("/")[1]: name for name in every}
        wrong = [word for word in _words(text) if word not in by_name]
        if wrong:
            raise DataMissing(f"--records {wrong[0]}: none of those to test in {data}: {', '.join(by_name)}")
        names = tuple(by_name[word] for word in _words(text))
    return tuple(n for n in names if n not in READY_MADE), tuple(n for n in names if n in READY_MADE)


def run_evaluate_noise(args: argparse.Namespace) -> int:
    """Score a model's QRS detection in noise and print the tables."""
    import torch
    from tqdm import tqdm

    from models import store
    from training.layout import plain_layout
    from training.noise_detectors import COMPETITORS, Network, competitor
    from training.noise_score import Bench, items_of
    from training.noise_tables import to_evaluation
    from training.report import to_markdown
    from training.task import CACHE

    torch.set_num_threads(1)
    others = {"all": COMPETITORS, "none": ()}.get(args.detectors, _words(args.detectors))
    data = plain_layout(args.data, CACHE)
    mixed, ready_made = _records(args.records, data)
    items = items_of(mixed, _noises(args.noise), _levels(args.snr), ready_made)
    model, spec = store.load(args.model)
    detectors = [Network(model, spec), *map(competitor, others)]
    with tqdm(total=len(items), unit="record", desc="noise") as bar:
        results = Bench(data, detectors).run(items, lambda _: bar.update())
    evaluation = to_evaluation(results, [detector.name for detector in detectors])
    if args.update_card:
        card = store.find(args.model)
        metrics = spec.metrics | evaluation.metrics
        spec = store.save(model, spec.model_copy(update={"metrics": metrics}), card.parent)
    text = to_markdown(evaluation, spec, "QRS detection in noise")
    print(text)  # noqa: T201
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)
    return 0
