"""``wardwave annotate`` and ``wardwave explain``: what a model says of a recording of one's own, and why."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

MODEL = "ecg-cnn-lstm-1"
BEATS_MODEL = "ecg-beats-1"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands."""
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
    explain = subparsers.add_parser(
        "explain",
        help="why a model says what it says at a moment of a record, a sound or an EEG, as an overlay",
    )
    explain.add_argument("model", help="name of a shipped model, or path of a card")
    explain.add_argument(
        "record", type=Path, help="a WFDB record without its suffix, a sound, or an EEG (EDF, BDF)"
    )
    explain.add_argument("--at", type=float, required=True, metavar="SECONDS", help="moment of the recording")
    explain.add_argument("--class", dest="label", help="class to explain, of either head (the likeliest)")
    explain.add_argument("--lead", help="channel (the first ECG lead in mV; of a sound the first)")
    explain.add_argument(
        "--method",
        choices=("hires_cam", "grad_cam"),
        default="hires_cam",
        help="hires_cam keeps the place (sounds: this one)",
    )
    explain.add_argument(
        "--out", type=Path, default=Path("explanation.png"), help=".png, .svg, .pdf, .html or .npz (arrays)"
    )
    explain.set_defaults(run=run_explain)


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


def run_explain(args: argparse.Namespace) -> int:
    """Explain a model's output at a moment of a recording and write the overlay."""
    from models import cards
    from training import explain_run
    from training.explain_out import check_ending, write_sheet

    check_ending(args.out)
    if cards.read_spec(args.model).signal == "sound":
        return _explain_sound(args)
    if cards.read_spec(args.model).task == "eeg":
        return _explain_eeg(args)
    one = explain_run.explain_moment(
        args.model, args.record, args.at, label=args.label, lead=args.lead, method=args.method
    )
    path = write_sheet(explain_run.sheet_of(one), args.out)
    print(f"{path}: {one.label} explained; {_shares(one.probabilities)}")
    return 0


def _explain_sound(args: argparse.Namespace) -> int:
    from models.errors import CannotExplain
    from training.explain_out import write_sheet
    from training.explain_sound import explain_sound, said_of_map, sheet_of

    if args.method != "hires_cam":
        raise CannotExplain(f"--method {args.method}: sounds are explained by hires_cam")
    one = explain_sound(args.model, args.record, args.at, label=args.label, channel=args.lead)
    path = write_sheet(sheet_of(one), args.out)
    print(f"{path}: {one.found.label} explained; {_shares(one.found.probabilities)}")
    print(said_of_map(one))
    return 0


def _explain_eeg(args: argparse.Namespace) -> int:
    from models.errors import CannotExplain
    from training.explain_eeg import explain_second, spoke_most
    from training.explain_out import write_sheet

    if args.method != "hires_cam":
        raise CannotExplain(f"--method {args.method}: EEGs are explained by hires_cam")
    if args.lead is not None:
        raise CannotExplain(f"--lead {args.lead}: an EEG is explained over all derivations; leave it out")
    if args.label not in (None, "seizure"):
        raise CannotExplain(f"--class {args.label}: of an EEG a seizure is explained; leave it out")
    found, sheet = explain_second(args.model, args.record, args.at)
    path = write_sheet(sheet, args.out)
    print(f"{path}: seizure explained; {_shares(sheet.probabilities)}")
    print(f"what spoke for it: {spoke_most(found)}")
    return 0


def _shares(probabilities: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * p:.1f} %" for name, p in probabilities.items())
