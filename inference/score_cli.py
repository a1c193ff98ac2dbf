"""``wardwave score-alarms``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inference.cli import NO_MODEL, add_models

if TYPE_CHECKING:
    from inference.beat_classes import BeatPredictor
    from inference.predictor import Predictor


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    score = subparsers.add_parser(
        "score-alarms",
        help="play annotated records at full speed and hold their alarms against the annotations",
        description="Plays WFDB records through the worker's pipeline on their own clock: sensitivity per "
        "episode, false alarms a bed-day, time from onset to alarm, and the score of CinC 2015.",
    )
    score.add_argument("--wfdb", required=True, metavar="DIR[,DIR...]", help="folders with annotated records")
    score.add_argument("--records", metavar="A,B", help="only these records")
    add_models(score)
    score.add_argument("--device", help="torch device")
    score.add_argument(
        "--overload",
        choices=("queue",),
        default="queue",
        help="what happens to data that comes faster than it is judged: it queues, nothing is dropped",
    )
    score.add_argument(
        "--cache",
        type=Path,
        metavar="FOLDER",
        help="remember what the networks say: a second run, with other rules, takes a fraction of the time",
    )
    score.set_defaults(run=run_score)


def run_score(args: argparse.Namespace) -> int:
    """Play records and print the report."""
    from inference import score
    from inference.score_cache import CachedBeatPredictor, CachedPredictor
    from inference.score_report import report
    from ingest.settings import load_settings

    records = find_records(args.wfdb, args.records)
    predictor, beats = _networks(args)
    try:
        scores = score.score_records(records, predictor, load_settings().ingest, beats)
    finally:
        for network in (predictor, beats):
            if isinstance(network, CachedPredictor | CachedBeatPredictor):
                network.save()
    print("\n".join(report(scores)))
    return 0


def find_records(folders: str, names: str | None) -> list[Path]:
    """Records of some folders, without their suffix.

    Raises
    ------
    InferenceError
        None there, or one that was asked for is not.
    """
    from inference.errors import InferenceError

    found = [
        header.with_suffix("") for part in folders.split(",") for header in sorted(Path(part).glob("*.hea"))
    ]
    if not found:
        raise InferenceError(f"--wfdb {folders}: no WFDB records there; name folders that hold .hea files")
    if names is None:
        return found
    wanted = set(names.split(","))
    absent = wanted - {record.name for record in found}
    if absent:
        known = ", ".join(record.name for record in found)
        raise InferenceError(f"--records: no {', '.join(sorted(absent))} in {folders}; there are {known}")
    return [record for record in found if record.name in wanted]


def _networks(args: argparse.Namespace) -> tuple[Predictor, BeatPredictor | None]:
    from inference.beat_classes import BeatPredictor
    from inference.predictor import Predictor
    from inference.score_cache import CachedBeatPredictor, CachedPredictor

    if args.cache is None:
        beats = None if args.beats_model == NO_MODEL else BeatPredictor(args.beats_model, args.device)
        return Predictor(args.model, args.device), beats
    remembered = (
        None
        if args.beats_model == NO_MODEL
        else CachedBeatPredictor(args.beats_model, args.device, args.cache)
    )
    return CachedPredictor(args.model, args.device, args.cache), remembered
