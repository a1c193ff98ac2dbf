"""``wardwave judge-alarms``."""

from __future__ import annotations

import argparse
from pathlib import Path

MODEL = "icu-verdict-1"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "judge-alarms",
        help="say of alarms that bedside devices raise whether they stand",
        description="Reads alarms of bedside devices, looks at what their bed sent before, answers each with "
        "a verdict. Start more of them to share the beds.",
    )
    parser.add_argument(
        "--model", default=MODEL, help="shipped verdict model or path of a card (%(default)s)"
    )
    parser.add_argument("--device", help="torch device of the network that finds beats (cpu)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of that network (%(default)s)")
    parser.add_argument(
        "--stats", type=Path, help="JSON file with counters and latencies, rewritten every second"
    )
    parser.set_defaults(run=run_judge)


def run_judge(args: argparse.Namespace) -> int:
    """Judge until SIGINT or SIGTERM."""
    import logging
    import signal
    import threading

    import numpy as np
    import torch

    from inference.fallback import SteadyBeats
    from inference.judge import Judge
    from inference.verdict_beats import MonitorBeats, beats_of
    from ingest import kafka
    from ingest.settings import load_settings
    from models import verdict
    from models.verdict_leads import FS_HZ, HISTORY_S

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    torch.set_num_threads(args.threads)
    settings = load_settings()
    model = verdict.load(args.model)
    beats = beats_of(model.spec)
    if isinstance(beats, MonitorBeats):
        beats = SteadyBeats(beats.model, beats.spec, torch.device(args.device or "cpu"))
    # The first call allocates and compiles: not when the first alarm waits for it.
    beats(np.zeros(round(HISTORY_S * FS_HZ), dtype=np.float32))
    words = "verdict model %s (sha256 %s), beats of %s"
    logging.getLogger(__name__).info(words, model.spec.name, model.spec.sha256[:12], model.spec.beats_model)
    kafka.ensure_topics(settings)
    judge = Judge(settings, model, beats, args.stats)
    if isinstance(beats, SteadyBeats):
        judge.stats.fallen_back, judge.stats.where = beats.fallen_back, beats.where
    judge.run(stop.is_set)
    return 0
