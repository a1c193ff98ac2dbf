"""What comes after the ECG's network, stage by stage: a poll of a tenth of 1,000 beds, replayed from a ward.

``extra_info`` gives the cost of a bed-second (CPU time) and its floor: bytes that must be read and written at
the speed of this machine's memory, multiplications and additions at the speed of a matrix product.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from floors import floor
from profile_ecg import Load, NullProducer, Ward

import inference.beat_classes
import inference.monitor
import inference.records
from inference.alarms import AlarmEngine
from inference.beat_predictor import BeatPredictor
from inference.beats import BeatHistory
from inference.cli import DEFAULT_BEATS, DEFAULT_MODEL
from inference.predictor import Predictor
from inference.publish import Outputs
from models.beat_rows import ROW, BeatRows

BEDS, POLLS, WARM_S = 1_000, 10, 8
PLACES: dict[str, tuple[tuple[object, str], ...]] = {
    "lead status": ((inference.monitor, "lead_status"),),
    "beats of windows": ((inference.monitor, "find_beats"), (inference.monitor, "intervals_s")),
    "beat rows": ((BeatRows, "push"), (BeatHistory, "append"), (BeatHistory, "revise")),
    "beat network": ((BeatPredictor, "shapes"), (BeatPredictor, "keep"), (BeatPredictor, "both_labels")),
    "rules": ((inference.monitor, "conditions"),),
    "alarms": ((AlarmEngine, "update"),),
    "records": ((inference.records.Records, "predictions"), (inference.records.Records, "vitals")),
    "encode": ((Outputs, "send"),),
}
Call = tuple[Callable[..., Any], tuple[Any, ...]]


class Tape:
    """Calls of each stage in one poll, to be made again."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Call]] = {stage: [] for stage in PLACES}
        self.sent = NullProducer()

    def record(self, patch: pytest.MonkeyPatch) -> None:
        """Note what stages are called with from now on."""
        for stage, places in PLACES.items():
            for holder, name in places:
                patch.setattr(holder, name, self._noted(stage, getattr(holder, name)))

    def _noted(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            self.calls[stage].append((work, args))
            return work(*args)

        return call

    def play(self, stage: str) -> None:
        """Make a stage's calls again."""
        for work, args in self.calls[stage]:
            # What an evidence has worked out it keeps: a rule is judged on a new one.
            work(*(arg.of(np.arange(len(arg.slots))) if stage == "rules" else arg for arg in args))


@pytest.fixture(scope="module")
def tape() -> Tape:
    torch.set_num_threads(1)
    ward = Ward(Load(BEDS, 1, POLLS), Predictor(DEFAULT_MODEL, "cpu"), BeatPredictor(DEFAULT_BEATS, "cpu"))
    for second in range(WARM_S):
        ward.run(ward.records(second))
    made = Tape()
    with pytest.MonkeyPatch.context() as patch:
        made.record(patch)
        ward.run(ward.records(WARM_S)[:1])
    made.sent = ward.producer
    return made


def bytes_of(value: object) -> int:
    """Of all arrays in some arguments."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, tuple | list):
        return sum(bytes_of(one) for one in value)
    names = getattr(type(value), "__slots__", ())
    return sum(bytes_of(getattr(value, name)) for name in names)


def flops_of_classes(beats: BeatPredictor, n_beats: int, n_sequences: int) -> float:
    """Multiplications and additions: convolutions of new beats, recurrent part over sequences."""
    network = beats._network
    length, macs = ROW, 0
    for layer in network.front_end.shape:
        if isinstance(layer, torch.nn.Conv1d):
            length = 108 if length == ROW else length
            length = -(-length // layer.stride[0])
            macs += length * layer.weight.numel()
    macs += network.front_end.join.weight.numel()
    lstm = network.recurrent
    of_sequence = beats.beats * 8 * lstm.hidden_size * (lstm.input_size + lstm.hidden_size)
    return 2.0 * (n_beats * macs + n_sequences * of_sequence)


def floor_of(tape: Tape, stage: str, n_beds: int) -> dict[str, float]:
    """What the stage cannot do without."""
    calls = tape.calls[stage]
    touched, flops = float(sum(bytes_of(args) for _, args in calls)), 0.0
    if stage == "lead status":
        bank, due = calls[0][1]
        raw, present, _ = bank.recent(due, 625)
        touched, flops = raw.nbytes + present.nbytes, 2.0 * raw.size * (4 + 4)
    if stage == "beat network":
        (_, (beats, rows)), *_, (_, (_, kept)) = calls
        flops = flops_of_classes(beats, len(rows), len(kept))
    if stage == "beats of windows":
        # Of each window only its last seconds are looked at.
        touched = n_beds * (1.84 / 0.064 * 5 + 1.84 * 125 * 1.25) * 4
    if stage == "alarms":
        touched = 2.0 * n_beds * len(calls[0][1][0].rules) * (1 + 4 * 8)
    if stage == "encode":
        before = tape.sent.bytes
        tape.play(stage)
        touched = 2.0 * (tape.sent.bytes - before)
    return {name: round(value, 4) for name, value in floor(touched, flops, n_beds).items()}


@pytest.mark.parametrize("stage", PLACES)
def test_stage_after_the_network(benchmark: Any, tape: Tape, stage: str) -> None:
    n_beds = BEDS // POLLS
    assert tape.calls[stage]
    benchmark.pedantic(tape.play, args=(stage,), rounds=30, warmup_rounds=3)
    least_s = np.inf
    for _ in range(20):
        began_s = time.process_time()
        tape.play(stage)
        least_s = min(least_s, time.process_time() - began_s)
    floors = floor_of(tape, stage, n_beds)
    cost = round(least_s / n_beds * 1e6, 2)
    benchmark.extra_info.update(us_per_bed_second=cost, **floors)
    print(f"\n{stage}: {cost:g} µs a bed and second, floor {floors['floor_us']:g} ({floors})")  # noqa: T201
