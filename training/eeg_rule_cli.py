"""``python -m training.eeg_rule_cli FOLDS --data DATA``: which rule makes events of seconds.

On the validation sides alone: each rule gets the threshold that its fold's background asks for
(:func:`training.eeg_scores.choose_threshold`), then made seizures are laid over the same persons' EEG, one
each, and it is counted how many the rule finds and how late. No test patient is looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from models import store
from training.eeg_config import EegEvents
from training.eeg_made import add_seizure
from training.eeg_predict import SeenEeg, watch
from training.eeg_records import EegRecord
from training.eeg_scores import choose_threshold, rule_of
from training.eeg_signal import RATE_HZ
from training.eeg_task import EegTask
from training.session import task_of_model
from training.szcore import latencies

RULES: Final = ((3, 4), (4, 6), (5, 8), (6, 10), (8, 12), (10, 16))
"""Seconds needed, of so many."""
LASTS_S: Final = (20.0, 60.0)


def with_seizure(record: EegRecord, seed: int) -> EegRecord:
    """A record with one made seizure in its middle part."""
    rng = np.random.default_rng(seed)
    start = float(rng.uniform(0.3, 0.5)) * record.duration_s
    end = min(start + float(rng.uniform(*LASTS_S)), record.duration_s)
    first, last = round(start * RATE_HZ), round(end * RATE_HZ)
    x, onset = add_seizure(np.asarray(record.x, dtype=np.float32), first, last, None, rng)
    return replace(record, x=x.astype(np.float16), seizures=((onset / RATE_HZ, end),))


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of rules."""
    parser = argparse.ArgumentParser(prog="training.eeg_rule_cli", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folds", type=Path, help="folder of wardwave crossval")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-k", type=int, default=3, help="folds")
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    sides: list[tuple[list[SeenEeg], list[SeenEeg], float]] = []
    for i in range(args.k):
        model, spec = store.load(args.folds / f"{i + 1}of{args.k}" / "model")
        task = task_of_model(spec, args.data)
        assert isinstance(task, EegTask)
        records = [task.record(name) for name in task.folds(args.k)[i].validation]
        made = [with_seizure(record, 2 * j + k) for j, record in enumerate(records) for k in range(2)]
        both = [list(watch(model, side, task.window_steps, task.behind)) for side in (records, made)]
        sides.append((both[0], both[1], task.delay_s))
    print("seconds | thresholds | made seizures found | median latency s")
    for least, within in RULES:
        events = EegEvents(least_s=least, within_s=within)
        thresholds, late = [], []
        for plain, made_seen, delay_s in sides:
            thresholds.append(choose_threshold(plain, events, delay_s))
            for one in made_seen:
                raised = [found.raised_s for found in one.events(rule_of(thresholds[-1], events), delay_s)]
                late += latencies(one.record.seizures, raised)
        known = [one for one in late if one is not None]
        median = float(np.median(known)) if known else float("nan")
        print(f"{least} of {within} | {thresholds} | {len(known)} of {len(late)} | {median:.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
