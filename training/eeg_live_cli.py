"""``wardwave score-eeg``: recorded and simulated EEGs through broker and worker, and what came of them."""

from __future__ import annotations

import argparse
import json
import os
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from inference.eeg_score import EegCase

DATA: Final = "../shared/data"
PARTITIONS: Final = 8
MOST_MEMORY: Final = 6_000_000_000
"""Of the embedded broker, in bytes: a day of 19 channels takes one and a half."""


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "score-eeg",
        help="play annotated EEGs through a broker and the worker and hold their alarms against them",
        description="Every recorded EEG of the archives and simulated hours go through a broker and the "
        "worker, faster than real time. A recording goes to the first model that never saw its patient.",
    )
    parser.add_argument("--data", type=Path, default=Path(DATA), help="folder of the data sets (%(default)s)")
    parser.add_argument(
        "--model", nargs="+", default=["eeg-seizure-1"], metavar="MODEL",
        help="shipped model or paths of cards, such as those of folds (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--hours", type=float, default=4.0, help="simulated, over --beds; 0 for none (%(default)s)"
    )
    parser.add_argument("--beds", type=int, default=4, help="simulated beds (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the simulated hours (%(default)s)")
    parser.add_argument("--no-recorded", action="store_true", help="simulated hours alone")
    parser.add_argument("--only", default="", metavar="TEXT", help="recordings whose name holds this alone")
    parser.add_argument(
        "--kafka", action="store_true",
        help="use the Kafka of the settings (topics of its own), not the embedded broker",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every recording and alarm as JSON")
    parser.set_defaults(run=run_score)


def run_score(args: argparse.Namespace) -> int:
    """Play, print a table, write what was asked for."""
    import torch

    from inference.cli import DEFAULT_MODEL
    from inference.predictor import Predictor
    from inference.score_cli import write
    from ingest.broker import EmbeddedBroker
    from ingest.settings import load_settings
    from models.eeg import EegModel
    from training.eeg_live_score import score, table

    torch.set_num_threads(1)
    cases = find_cases(args)
    models = [EegModel.load(name) for name in args.model]
    with ExitStack() as stack:
        settings = load_settings()
        if not args.kafka:
            broker = stack.enter_context(EmbeddedBroker(max_memory_bytes=MOST_MEMORY))
            held = {"bootstrap_servers": broker.bootstrap_servers, "partitions": PARTITIONS}
            settings = settings.model_copy(update={"kafka": settings.kafka.model_copy(update=held)})
        rows, played = score(cases, models, Predictor(DEFAULT_MODEL, "cpu"), settings)
    print("\n".join(table(rows, played)))
    if args.json is not None:
        alarms = {name: told for one in played for name, told in one.alarms.items()}
        document = {
            "models": [{"name": one.spec.name, "sha256": one.spec.sha256} for one in models],
            "rows": [asdict(row) | {"as_expected": row.as_expected} for row in rows],
            "alarms": {name: [asdict(one) for one in told] for name, told in alarms.items()},
            "load_average": os.getloadavg()[0],
        }
        write(args.json, json.dumps(document, indent=1).encode())
    return 0


def find_cases(args: argparse.Namespace) -> list[EegCase]:
    """What is to be played.

    Raises
    ------
    TrainingError
        There is nothing to play, or a set is not there.
    """
    from training.eeg_live import clip_cases, guinea_cases, simulated_cases
    from training.eeg_sets import CLIPS, GUINEA
    from training.errors import BadRecipe

    if args.hours < 0 or args.beds < 1 or args.seed < 0:
        raise BadRecipe(
            f"--hours {args.hours:g} --beds {args.beds} --seed {args.seed}: give 0 hours or more, at least a "
            "bed, and a seed of 0 or more"
        )
    cases = [] if args.no_recorded else [*clip_cases(args.data / CLIPS), *guinea_cases(args.data / GUINEA)]
    if args.hours:
        cases += simulated_cases(args.hours, args.beds, args.seed)
    found = [case for case in cases if args.only in case.name]
    if not found:
        raise BadRecipe(f"--only {args.only!r}: no recording is called so; leave it out to play all")
    return found
