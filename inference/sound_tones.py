"""Whether a loud second is a tone, as a wheeze is, or speech, rubbing, coughing: over many beds at once.

A wheeze is a tone of over 100 ms between some 100 and 1,000 Hz (Sovijärvi et al., Eur Respir Rev 10 (2000)
585-590). A voice has tones, too, but many at once, and they slide; what rubs or coughs has none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray
from models.melspec import MelSpec

LOWEST_HZ: Final = 140.0
"""Below it thumps, hearts and breaths gather in few bands, too."""

HIGHEST_HZ: Final = 1_000.0
HELD_FRAMES: Final = 8
"""Of 20 ms each: a syllable's tone slides away sooner."""

STANDS_OUT: Final = 6.0 / (10.0 * np.log10(np.e))
"""6 dB in nepers of power: a tone above all that lies near it on both sides."""

WITHIN: Final = 2
"""Bands on either side that a tone fills: frames of 64 ms blur it by 31 Hz."""

BESIDE: Final = 6
"""Bands on either side, beyond those, that it stands out of."""

TONE_SHARE: Final = 0.75
"""Of a second's power, in its tones. All of these were chosen on wheezes of icbhi2017's train side that were
made louder, and on synthetic voices (docs/auscultation.md)."""


@lru_cache(maxsize=4)
def _possible(mel: MelSpec) -> BoolArray:
    centres_hz = mel.band_edges_hz()[1:-1]
    return np.asarray((centres_hz >= LOWEST_HZ) & (centres_hz <= HIGHEST_HZ))


def is_tone(frames: FloatArray, mel: MelSpec) -> BoolArray:
    """Whether most of a sound's power lies in tones that hold.

    Parameters
    ----------
    frames : ndarray of float32, shape (n, n_mels, n_frames)
        Log-mel frames.
    mel : MelSpec
        What they were made with.

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    power = np.exp(frames.astype(np.float64))
    bands = np.where(_possible(mel)[:, None], frames, -np.inf).argmax(axis=1)
    away = np.abs(np.arange(mel.n_mels)[:, None] - bands[:, None, :])
    beside = np.where((away > WITHIN) & (away <= BESIDE), frames, -np.inf).max(axis=1)
    highest = np.take_along_axis(frames, bands[:, None, :], axis=1)[:, 0]
    held = _held(bands, np.asarray(highest - beside >= STANDS_OUT))
    tones = np.where((away <= WITHIN) & held[:, None, :], power, 0.0).sum(axis=(1, 2))
    share: WideFloatArray = tones / np.maximum(power.sum(axis=(1, 2)), np.finfo(np.float64).tiny)
    return np.asarray(share >= TONE_SHARE)


def _held(bands: IntArray, stands_out: BoolArray) -> BoolArray:
    """Frames whose tone is heard in enough frames in a row, from each to the next within a band."""
    steps = np.pad(np.abs(np.diff(bands, axis=1)) <= 1, ((0, 0), (0, HELD_FRAMES)))
    n_frames = bands.shape[1]
    lone = np.pad(stands_out, ((0, 0), (0, HELD_FRAMES)))
    starts = lone[:, :n_frames].copy()
    for ahead in range(1, HELD_FRAMES):
        starts &= lone[:, ahead : ahead + n_frames] & steps[:, ahead - 1 : ahead - 1 + n_frames]
    held = starts.copy()
    for ahead in range(1, HELD_FRAMES):
        held[:, ahead:] |= starts[:, :-ahead]
    return held
