"""Whether a lung sensor still lies on a chest: over many beds at once.

Below 150 Hz a chest is never steady: its heart beats, its breath rumbles. A sensor that fell off hears the
room or itself, a noise without beats. Where no beats were heard before, nothing can be said; and a heart that
stops sounds the same, so that an apnoea is watched for all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray
from models.melspec import MelSpec

HIGHEST_HZ: Final = 150.0
BEATING_DB: Final = 9.0
"""Usual swing from which a chest was heard: nine of ten recordings of icbhi2017's train side."""

STEADY_DB: Final = 7.0
"""Swing up to which nothing beats; noise has 3 to 7 dB."""

EVEN_DB: Final = 6.0
"""Between a second's faintest and loudest tenth, 150 to 800 Hz, up to which no breath swells: noise has 1 to
5 dB."""

FADED_DB: Final = 3.0
"""Below the usual loudest moment: a noise that comes on top of a chest hides its beats, but fades nothing."""

_DB_PER_NEPER: Final = 10.0 / np.log(10.0)


@dataclass(frozen=True, slots=True)
class Low:
    """What is heard below 150 Hz in a second. Shapes (n,).

    Parameters
    ----------
    loudest_db : ndarray of float64
        Its loudest frame, dB of full scale.
    swing_db : ndarray of float64
        How far that stands above the middle one.
    """

    loudest_db: WideFloatArray
    swing_db: WideFloatArray


@lru_cache(maxsize=4)
def _bands(mel: MelSpec) -> IntArray:
    return np.flatnonzero(mel.band_edges_hz()[1:-1] <= HIGHEST_HZ)


def low_of(frames: FloatArray, mel: MelSpec) -> Low:
    """Measure seconds below 150 Hz.

    Parameters
    ----------
    frames : ndarray of float32, shape (n, n_mels, n_frames)
        Log-mel frames.
    mel : MelSpec
        What they were made with.
    """
    power = np.exp(frames[:, _bands(mel)].astype(np.float64)).sum(axis=1)
    lines = np.log(power) * _DB_PER_NEPER
    loudest = lines.max(axis=1)
    return Low(loudest, np.asarray(loudest - np.median(lines, axis=1)))


def is_off(now: Low, usual: Low, breath_db: WideFloatArray) -> BoolArray:
    """Whether seconds no longer sound of a chest, where they usually do.

    Parameters
    ----------
    now, usual : Low
        Of each second, and what is usual there; NaN where that is not known yet.
    breath_db : ndarray, shape (n,)
        Between a second's faintest and loudest tenth in the band of breath.
    """
    beat = usual.swing_db >= BEATING_DB
    faded = usual.loudest_db - now.loudest_db >= FADED_DB
    return np.asarray(beat & faded & (now.swing_db <= STEADY_DB) & (breath_db <= EVEN_DB))
