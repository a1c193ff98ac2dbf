"""An EEG as it is shown after an analysis: spectra over the file, and where the network looked."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.eeg_trends import BIN_HZ
from inference.explanation_eeg import EegExplained
from ingest.types import FloatArray, WideFloatArray

COLUMN_S: Final = 4
MOST_COLUMNS: Final = 1_800
SPECTRUM_BINS: Final = 60
"""Of half a hertz: 0.5 to 30 Hz."""

FLOOR_DB: Final = -20.0
STEP_DB: Final = 0.25

Levels = npt.NDArray[np.uint8]


class EegLooked(msgspec.Struct, frozen=True):
    """What spoke for a seizure in the second that raised it.

    ``cam`` is the class activation (HiResCAM), 0 to 1, a row for each of ``derivations``, a column a second
    from ``start_s`` on; ``probability`` is that of the second at ``at_s``.
    """

    at_s: float
    start_s: float
    probability: float
    derivations: list[str]
    cam: list[list[float]]
    model: str


class EegTrace(msgspec.Struct, frozen=True):
    """Compressed spectra of both sides, and explanations of the first seizures.

    ``levels`` are uint8, (n_columns, 2, :data:`SPECTRUM_BINS`): 0 is missing, else :data:`FLOOR_DB` and
    :data:`STEP_DB` a step, dB re 1 µV²/Hz; left side first, a column ``column_s`` from ``begin_s`` on.
    """

    signal: str
    column_s: float
    begin_s: float
    levels: bytes
    looked: list[EegLooked]

    def spectra(self) -> FloatArray:
        """Levels in dB, (n_columns, 2, SPECTRUM_BINS); NaN where nothing could be trusted."""
        steps = np.frombuffer(self.levels, dtype=np.uint8).reshape(-1, 2, SPECTRUM_BINS)
        decibels = FLOOR_DB + STEP_DB * (steps.astype(np.float32) - 1)
        return np.where(steps > 0, decibels, np.float32(np.nan)).astype(np.float32)


def column_length_s(n_seconds: int) -> int:
    """Seconds of a column: longer ones where a file is long."""
    return max(COLUMN_S, -(-n_seconds // MOST_COLUMNS))


def levels_of(spectra: FloatArray, column_s: int) -> Levels:
    """Mean spectra of columns as levels.

    Parameters
    ----------
    spectra : ndarray, shape (T, 2, BINS)
        Of each second, µV²/Hz, NaN where there is none.
    column_s : int
        Seconds of a column.
    """
    n_columns = -(-len(spectra) // column_s)
    first = round(0.5 / BIN_HZ)
    padded: WideFloatArray = np.full((n_columns * column_s, 2, SPECTRUM_BINS), np.nan)
    padded[: len(spectra)] = spectra[:, :, first : first + SPECTRUM_BINS]
    columns = padded.reshape(n_columns, column_s, 2, SPECTRUM_BINS)
    there = ~np.isnan(columns)
    count = there.sum(axis=1)
    mean = np.where(there, columns, 0.0).sum(axis=1) / np.maximum(count, 1)
    steps = 1 + np.rint((10 * np.log10(mean + 1e-12) - FLOOR_DB) / STEP_DB)
    return np.where(count > 0, np.clip(steps, 1, 255), 0).astype(np.uint8)


def looked_of(found: EegExplained, begin_s: float) -> EegLooked:
    """An explanation as it travels; ``begin_s`` is where the explained stretch begins."""
    return EegLooked(
        round(begin_s + found.at_s, 3),
        round(begin_s + found.start_s, 3),
        round(found.probability, 4),
        list(found.derivations),
        found.cam.round(3).tolist(),
        found.model,
    )
