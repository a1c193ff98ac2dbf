"""``python -m training.eeg_sim_cli --hours 24``: a seizure model over hours of simulated ICU EEG.

The beds' signals go the way of the worker: filter, signs of electrodes, montage, running scale, features of
each second, events.
The simulator (:mod:`ingest.sim_eeg`) has no part in the training. What it shows is that the path holds and
how often made artefacts raise an alarm; what is found of real seizures only real ones show.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from ingest.montage import plan_of
from ingest.sim_eeg import FS_HZ, EegStream
from ingest.sim_eeg_day import SEIZURES, draw_day
from ingest.sim_eeg_waves import CHANNELS
from ingest.types import FloatArray
from models.eeg import EegModel
from models.szcore import Event, Tally, add_up, latencies, score_events
from training.eeg_trust import DerivedStream, trusted_only

SECOND: Final = round(FS_HZ)
BEDS: Final = 4
BLOCK_S: Final = 30
"""Seconds that are simulated at once."""


@dataclass(slots=True)
class Bed:
    """One bed's day, and what was found in it."""

    stream: EegStream
    reference: list[Event]
    causes: list[tuple[str, Event]]
    found: list[Event] = field(default_factory=list)
    raised: list[float] = field(default_factory=list)
    derived: DerivedStream = field(default_factory=lambda: DerivedStream(plan_of(CHANNELS), FS_HZ))

    def next_seconds(self, n: int) -> FloatArray:
        """Next seconds as the worker derives them, (C, N); of electrodes that it would not trust nothing."""
        start = self.stream.position
        samples = np.array(self.stream.next_samples(n * SECOND))
        for first in range(0, n * SECOND, SECOND):
            off = self.stream.lead_off(start + first, SECOND)
            if off is not None:
                samples[first : first + SECOND, list(off)] = np.nan
        return trusted_only(*self.derived.push(samples))


def make_beds(seed: int, n_beds: int, duration_s: float) -> list[Bed]:
    """Beds of which every second one is sedated."""
    beds = []
    for i in range(n_beds):
        day = draw_day(seed, f"bed-{i}", duration_s)
        events = [(one.name, (one.at_s, one.end_s)) for one in day]
        reference = [event for name, event in events if name in SEIZURES]
        beds.append(Bed(EegStream(seed, f"bed-{i}", day, sedated=bool(i % 2)), reference, events))
    return beds


def run_beds(model: EegModel, beds: Sequence[Bed], duration_s: int) -> None:
    """Stream all beds through the model; what is found is noted with each."""
    watch, slots = model.watch(len(beds)), np.arange(len(beds))
    block = np.empty((0, 0, 0), dtype=np.float32)
    for second in range(duration_s):
        if second % BLOCK_S == 0:
            block = np.stack([bed.next_seconds(min(BLOCK_S, duration_s - second)) for bed in beds])
        first = second % BLOCK_S * model.samples
        said = watch.push(slots, block[:, :, first : first + model.samples])
        now = float(second + 1)
        for i in np.flatnonzero(said.events.raised).tolist():
            beds[i].found.append((max(0.0, now - model.behind - float(said.events.since_s[i])), now))
            beds[i].raised.append(now)
        for i in np.flatnonzero(said.events.active & ~said.events.raised).tolist():
            beds[i].found[-1] = (beds[i].found[-1][0], now - model.behind)


def causes_of(bed: Bed) -> list[str]:
    """What went on at the begin of each event that hits no seizure."""
    names = []
    for start, end in bed.found:
        if score_events(bed.reference, [(start, max(end, start + 1))], bed.stream.position / FS_HZ).false:
            near = [name for name, (at, until) in bed.causes if at - 15 <= start <= until + 15]
            names.append(", ".join(near) or "nothing")
    return names


def main(argv: Sequence[str] | None = None) -> int:
    """Score a model on simulated hours and print the figures."""
    parser = argparse.ArgumentParser(prog="training.eeg_sim_cli", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="eeg-seizure-1", help="name or path")
    parser.add_argument("--hours", type=float, default=24.0, help=f"of EEG, over {BEDS} beds")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    model = EegModel.load(args.model)
    duration_s = round(args.hours * 3600 / BEDS)
    beds = make_beds(args.seed, BEDS, duration_s)
    run_beds(model, beds, duration_s)
    tallies: list[Tally] = []
    for bed in beds:
        ends = [(start, max(end, start + 1.0)) for start, end in bed.found]
        tallies.append(score_events(bed.reference, ends, duration_s))
        late = [one for one in latencies(bed.reference, bed.raised) if one is not None]
        median = f"{np.median(late):.1f} s" if late else "–"
        print(f"seizures {tallies[-1].reference}, found {tallies[-1].hits}, false {tallies[-1].false}, "
              f"median latency {median}; false at: {'; '.join(causes_of(bed)) or '–'}")  # fmt: skip
    total = add_up(tallies)
    print(
        f"{total.duration_s / 3600:g} h: sensitivity {total.sensitivity:.3f} of {total.reference}, "
        f"{total.false} false ({total.false_per_day:.2f} a day)"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
