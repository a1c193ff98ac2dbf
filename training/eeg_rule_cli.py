"""``python -m training.eeg_rule_cli FOLDS --data DATA``: which rule makes events of seconds.

On the validation sides alone: each rule gets the threshold that its fold's background asks for
(:func:`training.eeg_scores.choose_threshold`), then made seizures are laid over the same persons' EEG, and it
is counted how many the rule finds and how late; then what is taken for one (:mod:`training.eeg_outside`), and
it is counted how often that raises an event. No test patient is looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from models import store
from models.szcore import latencies
from training.eeg_config import EegEvents
from training.eeg_made import add_seizure
from training.eeg_outside import add_mechanical, add_suppression
from training.eeg_predict import SeenEeg, watch
from training.eeg_records import EegRecord
from training.eeg_scores import choose_threshold, rule_of
from training.eeg_signal import RATE_HZ, FloatArray
from training.eeg_task import EegTask
from training.session import task_of_model

RULES: Final = ((3, 4), (4, 6), (5, 8), (6, 10), (8, 12), (10, 16))
"""Seconds needed, of so many."""
LASTS_S: Final = (20.0, 60.0)
Maker = Callable[[FloatArray, int, int, np.random.Generator], FloatArray]
ARTEFACTS: Final[dict[str, Maker]] = {"rhythm from outside": add_mechanical, "suppression": add_suppression}
EACH: Final = 4
"""So many times a record with a made seizure, and with each artefact."""


def with_seizure(record: EegRecord, seed: int) -> EegRecord:
    """A record with one made seizure in its middle part."""
    rng = np.random.default_rng(seed)
    start = float(rng.uniform(0.3, 0.5)) * record.duration_s
    end = min(start + float(rng.uniform(*LASTS_S)), record.duration_s)
    first, last = round(start * RATE_HZ), round(end * RATE_HZ)
    x, onset = add_seizure(np.asarray(record.x, dtype=np.float32), first, last, None, rng)
    return replace(record, x=x.astype(np.float16), seizures=((onset / RATE_HZ, end),))


def with_artefact(record: EegRecord, seed: int, add: Maker) -> EegRecord:
    """A record with what is no seizure in its middle part."""
    rng = np.random.default_rng(seed)
    first = round(float(rng.uniform(0.2, 0.5)) * record.duration_s * RATE_HZ)
    last = first + round(float(rng.uniform(*LASTS_S)) * RATE_HZ)
    x = add(np.asarray(record.x, dtype=np.float32), first, last, rng)
    return replace(record, x=x.astype(np.float16))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of rules."""
    parser = argparse.ArgumentParser(prog="training.eeg_rule_cli", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folds", type=Path, help="folder of wardwave crossval")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-k", type=int, default=3, help="folds")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    # By fold: background, made seizures, what is added by each maker; and the delay.
    sides: list[tuple[list[list[SeenEeg]], float]] = []
    for i in range(args.k):
        model, spec = store.load(args.folds / f"{i + 1}of{args.k}" / "model")
        task = task_of_model(spec, args.data)
        assert isinstance(task, EegTask)
        records = [task.record(name) for name in task.folds(args.k)[i].validation]
        seeded = [(record, EACH * j + k) for j, record in enumerate(records) for k in range(EACH)]
        made = [[with_artefact(record, seed, add) for record, seed in seeded] for add in ARTEFACTS.values()]
        groups = [records, [with_seizure(record, seed) for record, seed in seeded], *made]
        said = [list(watch(model, group, task.window_steps, task.behind)) for group in groups]
        sides.append((said, task.delay_s))
    names = " | ".join(f"{name} that raises one" for name in ARTEFACTS)
    print(f"seconds | thresholds | made seizures found | median latency s | {names}")
    for least, within in RULES:
        events = EegEvents(least_s=least, within_s=within)
        thresholds, late = [], []
        false = np.zeros((len(ARTEFACTS), 2), dtype=np.int64)
        for (plain, seizures, *artefacts), delay_s in sides:
            thresholds.append(choose_threshold(plain, events, delay_s))
            rule = rule_of(thresholds[-1], events)
            for one in seizures:
                raised = [event.raised_s for event in one.events(rule, delay_s)]
                late += latencies(one.record.seizures, raised)
            false += [[sum(bool(one.events(rule, delay_s)) for one in own), len(own)] for own in artefacts]
        known = [one for one in late if one is not None]
        median = float(np.median(known)) if known else float("nan")
        counts = " | ".join(f"{raised} of {of}" for raised, of in false.tolist())
        print(f"{least} of {within} | {thresholds} | {len(known)} of {len(late)} | {median:.1f} | {counts}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
