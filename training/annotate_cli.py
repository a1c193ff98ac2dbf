"""``wardwave annotate``."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

MODEL = "ecg-cnn-lstm-1"
BEATS_MODEL = "ecg-beats-1"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    annotate = subparsers.add_parser(
        "annotate", help="write a model's beats and rhythms of a WFDB record as annotations"
    )
    annotate.add_argument("record", type=Path, help="path of a WFDB record, without its suffix")
    annotate.add_argument("--model", default=MODEL, help=f"a monitor: shipped name or card ({MODEL})")
    annotate.add_argument(
        "--beats-model",
        help=f"network for the classes of beats ({BEATS_MODEL} where it is shipped; none: the monitor's own)",
    )
    annotate.add_argument("--lead", help="channel to annotate (the first ECG lead in mV)")
    annotate.add_argument("--out", type=Path, default=Path(), help="folder to write to (here)")
    annotate.add_argument("--annotator", default="ww", help="suffix of the annotation (ww)")
    annotate.set_defaults(run=run_annotate)


def run_annotate(args: argparse.Namespace) -> int:
    """Annotate one record and say what was found."""
    from models import store
    from training.annotate import annotate, beat_classifier, write
    from training.annotate_lead import read_lead

    model, spec = store.load(args.model)
    lead = read_lead(args.record, spec, args.lead)
    beats_model = args.beats_model or (BEATS_MODEL if BEATS_MODEL in store.shipped() else "none")
    classify = None if beats_model == "none" else beat_classifier(beats_model)
    found = annotate(model, spec, lead, classify)
    name = args.record.stem if args.record.suffix in (".hea", ".dat") else args.record.name
    path = write(found, name, args.out, args.annotator)
    beats = Counter(symbol for symbol in found.symbol if symbol in "NSVF")
    rhythms = Counter(note for note in found.aux_note if note)
    print(f"{path}: lead {lead.name}, {lead.n_samples / lead.fs_hz:.0f} s at {lead.fs_hz:g} Hz")
    print("beats: " + (", ".join(f"{n} {symbol}" for symbol, n in sorted(beats.items())) or "none"))
    print("rhythm: " + ", ".join(f"{n} x {note}" for note, n in sorted(rhythms.items())))
    return 0
