"""What is doubtful in a user's signals and beats: said as warnings, since only the user knows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import wfdb

logger = logging.getLogger(__name__)

BYTES: Final = {
    "8": 1.0, "80": 1.0, "16": 2.0, "61": 2.0, "160": 2.0, "212": 1.5, "310": 4 / 3, "311": 4 / 3,
    "24": 3.0, "32": 4.0,
}  # fmt: skip
"""Bytes a sample of WFDB's signal formats; compressed ones have no fixed size."""

PLAUSIBLE_RR_S: Final = (0.25, 3.0)
"""Median time between beats, 240 to 20 a minute: outside of it the rate in the header cannot be right."""

MUCH_MISSING: Final = 0.1


def truncated(header: wfdb.Record, folder: Path) -> list[str]:
    """Signal files that are shorter than their header says."""
    frame: dict[str, float] = {}
    offset: dict[str, int] = {}
    per_frame = header.samps_per_frame or [1] * header.n_sig
    offsets = header.byte_offset or [None] * header.n_sig
    for name, fmt, n, skip in zip(header.file_name, header.fmt, per_frame, offsets, strict=True):
        if fmt in BYTES:
            frame[name] = frame.get(name, 0.0) + BYTES[fmt] * (n or 1)
            offset[name] = skip or 0
    return [
        name
        for name, width in frame.items()
        if (folder / name).is_file()
        and (folder / name).stat().st_size < offset[name] + int(width * header.sig_len)
    ]


def implausible_rate(beats_s: npt.NDArray[np.float64]) -> float | None:
    """Median R-R interval in seconds where no heart has it, else None; of a few beats nothing is said."""
    if len(beats_s) < 3:
        return None
    median = float(np.median(np.diff(np.sort(beats_s))))
    low, high = PLAUSIBLE_RR_S
    return None if low <= median <= high else median


def is_empty(path: Path) -> bool:
    """Whether a record has channels in mV, but no finite sample in them; False where it cannot be read."""
    try:
        record = wfdb.rdrecord(str(path))
    except (OSError, ValueError):
        return False
    in_mv = [unit.lower() == "mv" for unit in record.units]
    return any(in_mv) and not np.isfinite(record.p_signal[:, in_mv]).any()


def warn_of_gaps(path: Path, beats_s: npt.NDArray[np.float64]) -> None:
    """Warn of leads in mV that miss many samples, and of beats annotated where a lead has none.

    Parameters
    ----------
    path : Path
        Of a record that can be read.
    beats_s : ndarray, shape (n,)
        Annotated beats, seconds from the record's start.
    """
    record = wfdb.rdrecord(str(path))
    at = np.clip((beats_s * record.fs).astype(np.int64), 0, len(record.p_signal) - 1)
    for name, unit, samples in zip(record.sig_name, record.units, record.p_signal.T, strict=True):
        if unit.lower() != "mv":
            continue
        missing = np.isnan(samples)
        share, n_inside = float(missing.mean()), int(missing[at].sum())
        if share > MUCH_MISSING:
            logger.warning("%s: lead %s misses %.0f %% of its samples (NaN)", path, name, 100 * share)
        if n_inside:
            logger.warning(
                "%s: %d of %d annotated beats lie where lead %s has no samples (NaN): nothing to learn there",
                path, n_inside, len(at), name,
            )  # fmt: skip
