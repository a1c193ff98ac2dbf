"""``wardwave score-sounds``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference.sound_score import Annotated, RateScore


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    score = subparsers.add_parser(
        "score-sounds",
        help="hold breaths, beats and silences of the sound monitor against annotated recordings",
        description="Plays recordings through the worker's pipeline, without a network: rates against the "
        "annotated cycles, and an apnoea made of each recording's own quietest moment.",
    )
    score.add_argument("--icbhi", type=Path, metavar="DIR", help="ICBHI 2017: cycles.csv and audio/")
    score.add_argument(
        "--lung-model",
        metavar="MODEL",
        help="with --icbhi: score what this network says live, nothing else",
    )
    score.add_argument(
        "--stretch-s", type=float, metavar="S", help="make each recording so long, its cycles again and again"
    )
    score.add_argument(
        "--made",
        action="store_true",
        help="with --icbhi: cases made of its train side (apnoeas, sensors off, loud wheezes), nothing else",
    )
    score.add_argument("--circor", type=Path, metavar="DIR", help="CirCor 2022: .flac and .tsv")
    score.set_defaults(run=run_score)


def run_score(args: argparse.Namespace) -> int:
    """Score what was named and print it."""
    from inference import sound_score
    from ingest.types import SignalKind

    if args.icbhi is None and args.circor is None:
        print("nothing to score: give --icbhi DIR or --circor DIR")
        return 2
    if args.icbhi is not None:
        records = sound_score.icbhi(args.icbhi)
        if args.lung_model is not None:
            return _score_network(records, args.lung_model)
        if args.made:
            return _score_made(records)
        rates = sound_score.score_rates(SignalKind.LUNG_SOUND, records, args.stretch_s)
        for group, score in sorted(rates.items()):
            print(f"breaths, ICBHI {group}: {_words(score)}")
        silence = sound_score.score_silence(records)
        print(
            f"made apnoeas of 30 s: {silence.told} of {silence.made} told; {silence.false} false alarms in "
            f"{silence.hours:.1f} h"
        )
    if args.circor is not None:
        records = sound_score.circor(args.circor)
        rates = sound_score.score_rates(SignalKind.HEART_SOUND, records, args.stretch_s)
        for group, score in sorted(rates.items()):
            print(f"beats, CirCor {group}: {_words(score)}")
    return 0


def _score_network(records: Sequence[Annotated], name: str) -> int:
    from inference.sound_score import score_pieces
    from models.sounds import SoundModel

    model = SoundModel.load(name)
    card = model.spec
    print(f"{card.name} ({card.sha256[:12]}), pieces of {card.hop_s:g} s, {card.right_context_s:g} s to come")
    for (group, label), score in sorted(score_pieces(records, model).items()):
        print(
            f"{label}, ICBHI {group}: {score.pieces} pieces, {score.positive} with, AUROC {score.auroc:.3f}"
        )
    return 0


def _score_made(records: Sequence[Annotated]) -> int:
    from inference.sound_made import score_tails, score_wheezes
    from inference.sound_models import SHIPPED
    from inference.sound_score import sounds_of
    from ingest.types import SignalKind
    from models.sounds import SoundModel

    kind = SignalKind.LUNG_SOUND
    sounds = list(sounds_of(kind, [record for record in records if record.group == "train"]))
    told = score_tails(sounds)
    network = SoundModel.load(SHIPPED[kind])
    for above_db in (12.0, 18.0, 24.0):
        name = f"wheezes {above_db:g} dB above the cycles without"
        told[name] = score_wheezes(sounds, above_db, network)
    for name, one in told.items():
        alarms = ", ".join(f"{alarm} {count}" for alarm, count in sorted(one.alarms.items())) or "none"
        seconds = f"; {one.disturbed} of {one.loud} s of wheezing not judged" if one.loud else ""
        print(f"{name}: {one.made} made; alarms: {alarms}{seconds}")
    return 0


def _words(score: RateScore) -> str:
    import numpy as np

    n, errors, mean = max(1, score.n_seconds), score.all_errors, np.array(score.of_mean)
    heard = f"{score.n_seconds} s of {len(score.errors)} patients, {score.n_usable / n:.0%} usable"
    technical = ", ".join(f"{kind} {count}" for kind, count in sorted(score.technical.items())) or "none"
    if len(errors) == 0:
        return f"{heard}, no rate; technical alarms: {technical}"
    low, high = score.median_interval()
    return (
        f"{heard}, a rate in {len(errors) / n:.0%}; error against the median cycle "
        f"{np.median(errors):.2f}/min ({low:.2f} to {high:.2f}), within 2/min {np.mean(errors <= 2):.0%}, "
        f"within 5/min {np.mean(errors <= 5):.0%}; against the mean {np.median(mean):.2f}/min; "
        f"technical alarms: {technical}"
    )
