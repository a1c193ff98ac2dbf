"""What a worker's engine holds after an hour of signal of many beds: all of it but Kafka's clients.

``python tests/bench/measure_memory_engine.py --beds 1000 --minutes 60`` decodes, filters, judges and encodes
as fast as the machine lets it, and can be stopped and let go on: ``measure_memory.py`` wants an hour in which
the machine does nothing else. Samples after each ten seconds of signal; slopes are of what came after its
first ten minutes, in which rings and histories fill.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from pathlib import Path

import numpy as np
import psutil
import torch
from load import Beds
from profile_ecg import BEGIN_S, HEADERS, Load, Record, Ward

from inference.beat_predictor import BeatPredictor
from inference.cli import AUTO, BACKENDS, DEFAULT_BEATS, DEFAULT_MODEL
from inference.openvino_lane import compiler_for
from inference.predictor import Predictor
from ingest import version
from ingest.types import NS_PER_S

EVERY_S = 10
SETTLED_S = 600
POLLS = 10


def second_of(beds: Beds, second: int) -> list[list[Record]]:
    """Records of one second of all beds, by poll."""
    polls: list[list[Record]] = [[] for _ in range(POLLS)]
    for bed, name in enumerate(beds.names):
        value = beds.value(bed, second, BEGIN_S * NS_PER_S)
        record = Record("raw", 0, 0, (BEGIN_S + second) * 1000, name.encode(), value, HEADERS)
        polls[bed * POLLS // len(beds.names)].append(record)
    return polls


def main() -> None:
    """Run, and write what was sampled anew each time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beds", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="as of `wardwave infer`")
    parser.add_argument("--backend", choices=BACKENDS, default=AUTO, help="the same")
    parser.add_argument("--json", type=Path, default=Path("runs/memory-engine.json"))
    args = parser.parse_args()
    args.json.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    compiler = compiler_for(args.backend, torch.device("cpu"))
    predictor = Predictor(args.model, "cpu", compiler=compiler)
    ward = Ward(Load(args.beds, 1, POLLS), predictor, BeatPredictor(DEFAULT_BEATS, "cpu", compiler=compiler))
    beds, process = Beds(args.beds, 1), psutil.Process()
    samples: list[tuple[int, float, int, int]] = []
    for second in range(round(60 * args.minutes)):
        ward.run(second_of(beds, second))
        if second % EVERY_S == EVERY_S - 1:
            rss_mb = round(process.memory_info().rss / 1e6, 1)
            samples.append((second + 1, rss_mb, process.num_fds(), len(gc.get_objects())))
            late = [sample for sample in samples if sample[0] > SETTLED_S]
            slope = (
                np.polyfit([one[0] / 3600 for one in late], [one[1] for one in late], 1) if late[3:] else [0]
            )
            figures = {
                "beds": args.beds,
                "model": args.model,
                "backend": compiler.name if compiler else "torch",
                "code": version.code_commit("inference", "ingest", "models"),
                "rss_mb_per_hour": round(float(slope[0]), 2),
                "second_rss_mb_handles_objects": samples,
            }
            args.json.write_text(json.dumps(figures))
    sys.stdout.write(f"{args.beds} beds: {samples[-1]}, {figures['rss_mb_per_hour']} MB an hour\n")


if __name__ == "__main__":
    main()
