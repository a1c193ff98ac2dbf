"""Where a bed-second of ECG goes in a worker, without Kafka: CPU time of each stage, from record to output.

``python tests/bench/profile_ecg.py [--beds 100 500 1000 2000] [--chunks 1 4] [--polls 25] [--json FILE]``
prints one row per load. Beds are of two leads at 250 Hz, spread over the polls of a second as they come in a
ward. Stages are measured by the profiler over CPU time (not wall: other programs may run), scaled
so that they add up to the same loop's CPU time without a profiler.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import math
import os
import pstats
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from load import FS, LOOP_S, Record, heart

from inference.beat_predictor import BeatPredictor
from inference.bedside import Bedside
from inference.cli import AUTO, BACKENDS, DEFAULT_BEATS, DEFAULT_MODEL
from inference.intake import Partition, Taken, take_all
from inference.openvino_lane import compiler_for
from inference.predictor import Predictor
from inference.publish import Outputs
from ingest import wire
from ingest.settings import IngestSettings, Topics
from ingest.types import NS_PER_S

WARM_S: Final = 10
MEASURED_S: Final = 4
BEGIN_S: Final = 1_700_000_000
HEADERS: Final = wire.headers(wire.AVRO)
STAGES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "decode": (("wire_decode.py", "decode"),),
    "continuity, checks": (("intake.py", "take_all"),),
    "filter, resample, ring": (("bank.py", "push"),),
    "lead status": (("quality.py", "lead_status"),),
    "gather windows": (("bank.py", "gather"),),
    "network": (("predictor.py", "__call__"), ("feature_reader.py", "_keep"), ("feature_reader.py", "_tell")),
    "beats of windows": (("found_beats.py", "find_beats"),),
    "beat network": (
        ("beat_predictor.py", "shapes"),
        ("beat_predictor.py", "keep"),
        ("beat_predictor.py", "both_labels"),
    ),
    "beat rows": (("beat_line.py", "remember"),),
    "rules, alarms": (
        ("monitor.py", "_evidence"),
        ("monitor.py", "_update_alarms"),
        ("rules.py", "conditions"),
        ("pulse_check.py", "__call__"),
    ),
    "records": (("records.py", "predictions"), ("records.py", "vitals")),
    "encode": (("publish.py", "send"),),
}
"""Files and functions of each stage; what a stage calls that is another one is not counted in it."""

WITHIN: Final = {"continuity, checks": ("decode",), "beat rows": ("beat network",)}


@dataclass(frozen=True, slots=True)
class Load:
    """Beds, chunks a second of each, and polls a second."""

    beds: int
    chunks: int
    polls: int


class NullFuture:
    """Of a record that goes nowhere."""

    def add_errback(self, _: Callable[[BaseException], None]) -> None:
        """Nothing fails."""


class NullProducer:
    """Counts bytes instead of sending them."""

    def __init__(self) -> None:
        self.bytes = 0

    def send(self, topic: str, value: bytes, **_: object) -> NullFuture:
        """Count."""
        self.bytes += len(value)
        return NullFuture()


class Ward:
    """Beds, the worker's parts, and the records that come in."""

    def __init__(self, load: Load, predictor: Predictor, classes: BeatPredictor) -> None:
        self.beds, self.chunks, self.polls = load.beds, load.chunks, load.polls
        self.names = [f"bed-{n:04d}" for n in range(load.beds)]
        self.lines = [heart(60 + 3 * n, n) for n in range(20)]
        self.bedside = Bedside(predictor, time.time_ns, classes)
        self.partition = Partition(0, 1, IngestSettings(), self.bedside.watch)
        self.producer = NullProducer()
        # The producer is the only part that is not the worker's own.
        self.outputs = Outputs(self.producer, Topics(), lambda _: 0)  # type: ignore[arg-type]
        self.offset = 0

    def records(self, second: int) -> list[list[Record]]:
        """Records of one second, by poll; each bed's chunks come at its own moments, evenly apart."""
        polls: list[list[Record]] = [[] for _ in range(self.polls)]
        cuts = np.linspace(0, FS, self.chunks + 1).round().astype(int)
        for bed, name in enumerate(self.names):
            begin_s = bed / self.beds
            first = max(0, math.ceil((second - begin_s) * self.chunks))
            for chunk in range(first, math.ceil((second + 1 - begin_s) * self.chunks)):
                its_second, part = divmod(chunk, self.chunks)
                at = its_second % LOOP_S * FS
                value = wire.encode(
                    bed=name, device="load", kind="ecg", channels=("II", "V1"), unit="mV", fs_hz=float(FS),
                    start_ns=BEGIN_S * NS_PER_S + (its_second * FS + int(cuts[part])) * NS_PER_S // FS,
                    seq=chunk, samples=self.lines[bed % 20][at + cuts[part] : at + cuts[part + 1]],
                    gain=1000.0, baseline=0,
                )  # fmt: skip
                moment_s = begin_s + chunk / self.chunks
                polls[int((moment_s - second) * self.polls)].append(
                    Record("raw", 0, 0, round((BEGIN_S + moment_s) * 1e3), name.encode(), value, HEADERS)
                )
        return polls

    def run(self, polls: list[list[Record]]) -> None:
        """Do what the worker does with what it polled."""
        for records in polls:
            taken = Taken()
            numbered = []
            for record in records:
                self.offset += 1
                numbered.append(
                    Record(
                        record.topic,
                        0,
                        self.offset,
                        record.timestamp,
                        record.key,
                        record.value,
                        record.headers,
                    )
                )
            take_all(self.bedside.watch, [(self.partition, numbered)], taken)
            assert not taken.dead_letters, taken.dead_letters[0].detail
            if taken.pieces:
                self.outputs.send(self.bedside.push(taken.pieces))


def _cumulated(stats: pstats.Stats) -> dict[str, float]:
    table = stats.stats  # type: ignore[attr-defined]
    sums = dict.fromkeys(STAGES, 0.0)
    for (file, _, function), (_, _, _, cumulated_s, _) in table.items():
        for stage, places in STAGES.items():
            if (Path(file).name, function) in places and "site-packages" not in file:
                sums[stage] += cumulated_s
    for stage, inner in WITHIN.items():
        sums[stage] -= sum(sums[name] for name in inner)
    return sums


def profile(load: Load, predictor: Predictor, classes: BeatPredictor) -> dict[str, float]:
    """CPU time of each stage, µs a bed-second, with ``total`` and the rest."""
    ward = Ward(load, predictor, classes)
    for second in range(WARM_S):
        ward.run(ward.records(second))
    seconds = [ward.records(WARM_S + n) for n in range(2 * MEASURED_S)]
    began_s = time.process_time()
    for polls in seconds[:MEASURED_S]:
        ward.run(polls)
    plain_s = time.process_time() - began_s
    profiler = cProfile.Profile(time.process_time)
    began_s = time.process_time()
    profiler.enable()
    for polls in seconds[MEASURED_S:]:
        ward.run(polls)
    profiler.disable()
    scale = plain_s / (time.process_time() - began_s) / (load.beds * MEASURED_S) * 1e6
    stages = {name: value * scale for name, value in _cumulated(pstats.Stats(profiler)).items()}
    total = plain_s / (load.beds * MEASURED_S) * 1e6
    return {"total": total, **stages, "rest": total - sum(stages.values())}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beds", type=int, nargs="+", default=[100, 500, 1000, 2000])
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 4], help="a second and bed")
    parser.add_argument("--polls", type=int, default=25, help="a second; `wardwave infer` does 25 at most")
    parser.add_argument("--keep-features", action="store_true", help="as of `wardwave infer`")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="as of `wardwave infer`")
    parser.add_argument("--backend", choices=BACKENDS, default=AUTO, help="the same")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    compiler = compiler_for(args.backend, torch.device("cpu"))
    predictor, classes = (
        Predictor(args.model, "cpu", running=args.keep_features, compiler=compiler),
        BeatPredictor(DEFAULT_BEATS, "cpu", compiler=compiler),
    )
    rows = []
    for beds in args.beds:
        for chunks in args.chunks:
            stages = profile(Load(beds, chunks, args.polls), predictor, classes)
            figures = {name: round(value, 1) for name, value in stages.items()}
            known = {"model": args.model, "backend": compiler.name if compiler else "torch"}
            known |= {"beds": beds, "chunks_a_second": chunks, "polls": args.polls}
            rows.append({**known, "load": round(os.getloadavg()[0], 1), **figures})
            sys.stdout.write(f"{json.dumps(rows[-1])}\n")
            sys.stdout.flush()
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
