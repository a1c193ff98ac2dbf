"""Folds of the shock task by patient, with fibrillation in each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from training.errors import BadRecipe
from training.shock_records import ShockRecord


def deal(records: Sequence[ShockRecord], k: int) -> dict[str, int]:
    """Fold of each patient: VF, then VT, then the rest dealt to the fold with the least of it.

    Raises
    ------
    BadRecipe
        More folds than patients with VF: some fold could not be scored.
    """
    held: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for record in records:
        for span in record.spans:
            held[record.patient][span.stratum] += span.end - span.begin
        held[record.patient]["records"] += 1
    with_vf = sum(strata["vf"] > 0 for strata in held.values())
    if not 3 <= k <= with_vf:
        raise BadRecipe(
            f"{k} folds: {with_vf} patients have VF, and each fold tests on one; take 3 to {with_vf}"
        )
    totals: list[dict[str, float]] = [defaultdict(float) for _ in range(k)]
    fold: dict[str, int] = {}
    for stratum in ("vf", "vt", "slow vt", "records"):
        waiting = [p for p in held if p not in fold and held[p][stratum] > 0]
        for patient in sorted(waiting, key=lambda p: (-held[p][stratum], p)):
            fold[patient] = min(range(k), key=lambda i: (totals[i][stratum], totals[i]["records"], i))
            for name, value in held[patient].items():
                totals[fold[patient]][name] += value
    return fold
