"""Hours of a simulated ICU EEG: when seizures, artefacts and suppression come, drawn once from a seed."""

from __future__ import annotations

from typing import Final

import numpy as np

from ingest.sim_blocks import seed_of
from ingest.sim_events import Event

SEIZURES: Final = ("seizure",)
"""Events of a day that a detector has to find."""

ARTEFACTS: Final[dict[str, tuple[float, float, float]]] = {
    "blinks": (3.0, 20.0, 120.0),
    "chewing": (1.0, 15.0, 90.0),
    "muscle": (2.0, 5.0, 60.0),
    "electrode-pop": (1.0, 10.0, 60.0),
    "eeg-mains": (0.3, 20.0, 180.0),
    "percussion": (0.3, 20.0, 90.0),
    "electrode-off": (0.2, 60.0, 300.0),
}
"""How many an hour, and the least and the most seconds of each."""

APART_S: Final = 30.0
FIRST_S: Final = 60.0
"""Seconds at the begin in which nothing happens."""


def draw_day(
    seed: int,
    bed: str,
    duration_s: float = 86_400.0,
    seizures_per_h: float = 0.5,
    artefacts: float = 1.0,
    suppression_per_h: float = 0.05,
) -> tuple[Event, ...]:
    """Draw what happens at one bed.

    Parameters
    ----------
    seed, bed : int, str
        The same give the same day.
    duration_s : float
        How long.
    seizures_per_h : float
        Of 30 s to 3 min each.
    artefacts : float
        Factor on :data:`ARTEFACTS`.
    suppression_per_h : float
        Stretches of burst suppression, of 5 to 20 min each.

    Returns
    -------
    tuple of Event
        In the order of time, at least :data:`APART_S` apart.
    """
    rng = np.random.default_rng(seed_of(seed, bed, "eeg day"))
    hours = duration_s / 3600.0
    wanted = [("seizure", 30.0, 180.0)] * int(rng.poisson(seizures_per_h * hours))
    wanted += [("burst-suppression", 300.0, 1200.0)] * int(rng.poisson(suppression_per_h * hours))
    for name, (per_h, least_s, most_s) in ARTEFACTS.items():
        wanted += [(name, least_s, most_s)] * int(rng.poisson(artefacts * per_h * hours))
    lengths = [float(rng.uniform(least_s, most_s)) for _, least_s, most_s in wanted]
    free_s = duration_s - FIRST_S - sum(lengths) - APART_S * len(wanted)
    # What does not fit into a short recording is left out, the last drawn first: seizures stay longest.
    while wanted and free_s < 0:
        wanted.pop()
        free_s += lengths.pop() + APART_S
    pauses = np.sort(rng.uniform(0.0, max(free_s, 0.0), len(wanted)))
    events = []
    spent_s = FIRST_S
    for pause_s, nth in zip(pauses.tolist(), rng.permutation(len(wanted)).tolist(), strict=True):
        events.append(Event(bed, wanted[nth][0], round(spent_s + pause_s, 2), round(lengths[nth], 2)))
        spent_s += lengths[nth] + APART_S
    return tuple(events)
