"""``wardwave score-alarms``."""

from __future__ import annotations

import argparse
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from inference.cli import NO_MODEL, add_models

if TYPE_CHECKING:
    from inference.beat_predictor import BeatPredictor
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
    score.add_argument("--json", type=Path, metavar="FILE", help="write everything as JSON")
    score.add_argument("--html", type=Path, metavar="FILE", help="write a report as one HTML file")
    score.add_argument(
        "--strips",
        type=int,
        default=40,
        metavar="N",
        help="false alarms whose waveform the HTML report shows (default 40; 0 keeps recordings out of it)",
    )
    score.add_argument(
        "--no-verdict", action="store_true", help="leave out the verdicts on the devices' alarms of cinc2015"
    )
    score.set_defaults(run=run_score)


def run_score(args: argparse.Namespace) -> int:
    """Play records, print the report and write what was asked for."""
    from inference import score, score_document, score_run
    from inference.predictor import describe
    from inference.score_cache import CachedBeatPredictor, CachedPredictor
    from inference.score_html import to_html
    from inference.score_report import to_text
    from inference.score_strips import false_strips
    from inference.score_verdict import ShippedJudge
    from ingest.settings import load_settings

    records = find_records(args.wfdb, args.records)
    predictor, beats = _networks(args)
    judge = None if args.no_verdict else ShippedJudge()
    try:
        scores = score.score_records(records, predictor, load_settings().ingest, beats, judge)
    finally:
        for network in (predictor, beats):
            if isinstance(network, CachedPredictor | CachedBeatPredictor):
                network.save()
    document = score_document.build(
        scores,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        command=_command(args),
        models=[describe(network.spec) for network in (predictor, beats) if network is not None],
        overload=args.overload,
    )
    print("\n".join(to_text(document)))
    if args.json is not None:
        write(args.json, score_document.to_json(document))
    if args.html is not None:
        paths = {score_run.bed_of(record): record for record in records}
        strips = false_strips(scores, paths, args.strips)
        write(args.html, to_html(document, strips).encode())
    return 0


def write(file: Path, content: bytes) -> None:
    """Write a report; it appears whole or not at all.

    Raises
    ------
    InferenceError
        It cannot be written.
    """
    from inference.errors import InferenceError

    partial = file.with_name(file.name + ".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(file)
    except OSError as error:
        raise InferenceError(
            f"{file}: {error.strerror}; name a file in a folder that can be written"
        ) from error


def _command(args: argparse.Namespace) -> str:
    words = ["wardwave", "score-alarms", "--wfdb", args.wfdb, "--model", args.model]
    words += ["--beats-model", args.beats_model]
    if args.records:
        words += ["--records", args.records]
    return shlex.join([*words, *(["--no-verdict"] if args.no_verdict else [])])


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
    from inference.beat_predictor import BeatPredictor
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
