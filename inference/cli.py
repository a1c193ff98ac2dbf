"""``wardwave infer`` and ``wardwave schemas``."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_MODEL = "ecg-cnn-lstm-1"
NO_MODEL = "none"
DEFAULT_BEATS = "ecg-beats-1"
AUTO, TORCH, OPENVINO = "auto", "torch", "openvino"
BACKENDS = (AUTO, TORCH, OPENVINO)
FLOAT32 = "float32"
PRECISIONS = (FLOAT32, "bfloat16", "float16")


def add_models(parser: argparse.ArgumentParser) -> None:
    """Add what says which networks are used."""
    parser.add_argument("--model", default=DEFAULT_MODEL, help="shipped model or path of a card")
    parser.add_argument(
        "--beats-model",
        default=DEFAULT_BEATS,
        help=f"model that says what each beat is ({DEFAULT_BEATS}); 'none' leaves it to --model",
    )


def add_sound_models(parser: argparse.ArgumentParser) -> None:
    """Add what says which networks listen to sounds."""
    for sound in ("lung", "heart"):
        parser.add_argument(
            f"--{sound}-model",
            metavar="MODEL",
            help=f"model that listens to {sound} sounds: name or path of a card; default: the shipped one; "
            "'none': no network",
        )


def add_eeg_model(parser: argparse.ArgumentParser) -> None:
    """Add what says which network looks for seizures."""
    parser.add_argument(
        "--eeg-model",
        metavar="MODEL",
        help="model that looks for seizures in an EEG: name or path of a card; default: the shipped one; "
        "'none': no network",
    )


def add_computing(parser: argparse.ArgumentParser) -> None:
    """Add what says where networks are computed, by what and in what."""
    parser.add_argument("--device", help="torch device; by default CUDA where there is one, else the CPU")
    parser.add_argument("--threads", type=int, help="CPU threads of the network (default: half the cores)")
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default=AUTO,
        help="what computes the ECG's networks: OpenVINO says on a CPU what torch says for half of the time; "
        "auto: where it is installed (pip install 'wardwave[openvino]'), else torch (default: auto)",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=FLOAT32,
        help="in what a GPU computes whole windows of the ECG; a CPU only in float32 (default: float32)",
    )


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the inference side's subcommands."""
    infer = subparsers.add_parser(
        "infer",
        help="run a worker: raw signals in, predictions, vitals and alarms out",
        description="A worker of the consumer group. Start more of them to share the beds.",
    )
    add_models(infer)
    add_sound_models(infer)
    add_eeg_model(infer)
    add_computing(infer)
    infer.add_argument(
        "--keep-features",
        action="store_true",
        help="compute features of overlapping windows once also with an ECG network that was not trained for "
        "it, as ecg-cnn-lstm-1: less CPU, more false alarms (docs/performance.md); ecg-cnn-lstm-2 does too",
    )
    infer.add_argument("--snapshot-s", type=float, default=30.0, help="how often state is left (s)")
    infer.add_argument("--pace-ms", type=float, default=60.0, help="least time between two polls (ms)")
    infer.add_argument(
        "--overload",
        choices=("thin", "queue"),
        default="thin",
        help="when behind, leave out predictions whose bed has a newer one (counted; beats, numbers and "
        "alarms are all there), or keep all: queue (default: thin)",
    )
    infer.add_argument("--stats", type=Path, help="JSON file with counters, rewritten every second")
    infer.set_defaults(run=run_infer)
    schemas = subparsers.add_parser("schemas", help="write the JSON schemas of the outputs")
    schemas.add_argument("folder", type=Path, nargs="?", default=Path("ingest/schemas"))
    schemas.set_defaults(run=run_schemas)


def run_infer(args: argparse.Namespace) -> int:
    """Run a worker until SIGINT or SIGTERM."""
    import logging
    import os
    import signal
    import threading

    import torch

    from inference.errors import UnfitOption
    from inference.model_kinds import check_kinds
    from inference.networks import Return, Wanted, load_networks
    from inference.predictor import describe
    from inference.schedule import Overload
    from inference.stats import LACKING
    from inference.worker import Worker, WorkerOptions
    from ingest import kafka
    from ingest.settings import load_settings

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # The rest of the cores is for broker, dashboard and the worker's own Python.
    torch.set_num_threads(args.threads or max(1, (os.cpu_count() or 2) // 2))
    settings = load_settings()
    if not args.snapshot_s > 0:
        raise UnfitOption(f"--snapshot-s {args.snapshot_s:g}: give more than 0 (s); 30 by default")
    check_kinds(
        {
            "--model": args.model,
            "--beats-model": args.beats_model,
            "--lung-model": args.lung_model,
            "--heart-model": args.heart_model,
            "--eeg-model": args.eeg_model,
        }
    )
    wanted = Wanted(
        args.model, args.beats_model, args.lung_model, args.heart_model, args.eeg_model, args.device,
        args.keep_features, args.backend, args.precision,
    )  # fmt: skip
    found = load_networks(wanted)
    while not stop.is_set():
        for network in found:
            logging.getLogger(__name__).info("model %s on %s", describe(network.spec), network.where)
        kafka.ensure_topics(settings)
        options = WorkerOptions(
            args.snapshot_s, args.pace_ms / 1e3, args.stats, found.ecg.where, Overload(args.overload)
        )
        back = Return(wanted, found)
        worker = Worker(settings, found.ecg, options, found.beats, found.sounds, found.eeg)
        worker.stats.counts[LACKING] = len(found.lacking)
        worker.stats.fallen_back = found.fallen_back
        worker.stats.where = lambda: found.ecg.where
        # With a network that came back it ends as for a restart, and the next one goes on from its state.
        worker.run(lambda: stop.is_set() or back())  # noqa: B023 - it has ended before the next round
    return 0


def run_schemas(args: argparse.Namespace) -> int:
    """Write the schemas beside the chunk's."""
    from inference import schemas

    for path in schemas.write(args.folder):
        print(path)
    return 0
