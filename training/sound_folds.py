"""Patients dealt to folds so that labels, devices and lengths are spread, and sides made of the folds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from training.errors import BadRecipe
from training.task import Split


def deal_patients(counts: Mapping[str, Sequence[float]], k: int) -> dict[str, int]:
    """Fold of each patient: the largest first, each to the fold that it evens out most.

    Parameters
    ----------
    counts : mapping of str to sequence of float
        What shall be spread, a patient: cycles with crackles, cycles of a device, 1 for the patient itself.
    k : int
        Folds.

    Raises
    ------
    BadRecipe
        Fewer than two folds, or more than patients.
    """
    if not 2 <= k <= len(counts):
        raise BadRecipe(f"{k} folds of {len(counts)} patients: take 2 to {len(counts)}")
    table = np.array([counts[patient] for patient in counts], dtype=np.float64)
    share = table / np.maximum(table.sum(0), 1.0)
    held = np.zeros((k, table.shape[1]))
    fold: dict[str, int] = {}
    by_hash = [hashlib.sha256(patient.encode()).hexdigest() for patient in counts]
    patients = list(counts)
    for i in sorted(range(len(patients)), key=lambda i: (-float(share[i].max()), by_hash[i])):
        # The sum of squares grows least where what this patient brings is lacking most.
        cost = ((held + share[i]) ** 2).sum(1) - (held**2).sum(1)
        chosen = int(cost.argmin())
        held[chosen] += share[i]
        fold[patients[i]] = chosen
    return fold


def validating(counts: Mapping[str, Sequence[float]], k: int) -> set[str]:
    """Patients that choose thresholds: of ``k`` parts the one most like the whole.

    One large patient would make a poor judge. Of fewer patients than parts each is a part of its own.
    """
    k = min(k, len(counts))
    part = deal_patients(counts, k)
    table = np.array([counts[patient] for patient in counts], dtype=np.float64)
    share = table / np.maximum(table.sum(0), 1.0)
    held = np.zeros((k, table.shape[1]))
    np.add.at(held, [part[patient] for patient in counts], share)
    chosen = int(((held - 1 / k) ** 2).sum(1).argmin())
    return {patient for patient in counts if part[patient] == chosen}


def splits_of(
    patient_of: Mapping[str, str], counts: Mapping[str, Sequence[float]], k: int, inner: int
) -> list[Split]:
    """``k`` splits; of the patients that do not test, one part in ``inner`` validates.

    Parameters
    ----------
    patient_of : mapping of str to str
        Patient of each recording.
    counts : mapping of str to sequence of float
        As :func:`deal_patients` has them.
    k, inner : int
        Folds, and parts that the rest of each is dealt to.
    """
    fold = deal_patients(counts, k)
    splits = []
    for i in range(k):
        rest = {patient: counts[patient] for patient in counts if fold[patient] != i}
        validates = validating(rest, inner)
        sides: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
        for name, patient in patient_of.items():
            side = "test" if fold[patient] == i else "validation" if patient in validates else "train"
            sides[side].append(name)
        splits.append(Split(*(tuple(sides[side]) for side in ("train", "validation", "test"))))
    return splits
