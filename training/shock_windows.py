"""Windows of 4 s cut from the spans of shock records: for training densely, for scoring end to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.shock_records import STRATA, WINDOW_S, ShockRecord
from training.sources import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class ShockWindows:
    """Windows and what is known of them. Arrays have shape (n_windows,); each lead is a window of its own.

    Attributes
    ----------
    signal : ndarray of float32, shape (n_samples,)
        All leads of all records, end to end.
    start : ndarray of int64
        First sample of the window in ``signal``.
    room : ndarray of int64
        Samples from there to the end of the span: a longer cut would straddle.
    owner, lead : ndarray of int64
        Index of the record, and of its lead.
    span : ndarray of int64
        Index of the span in its record.
    second : ndarray of float64
        Where in the record the window begins, in seconds of conditioned signal.
    stratum : ndarray of int64
        Index into ``STRATA``.
    allowed : ndarray of int64
        Bits of the classes that may hold.
    bpm : ndarray of float64
        Rate of the span, NaN where it is no VT.
    """

    signal: FloatArray
    start: IntArray
    room: IntArray
    owner: IntArray
    lead: IntArray
    span: IntArray
    second: npt.NDArray[np.float64]
    stratum: IntArray
    allowed: IntArray
    bpm: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.start)


def windows_of(records: Sequence[ShockRecord], rate_hz: float, hop_s: float) -> ShockWindows:
    """Cut every span of every lead into windows of 4 s that lie inside it.

    Parameters
    ----------
    records : sequence of ShockRecord
        Where from.
    rate_hz : float
        Rate of the signal.
    hop_s : float
        From one window to the next; 4 s is end to end.
    """
    window, hop = round(WINDOW_S * rate_hz), round(hop_s * rate_hz)
    begins = np.cumsum([0, *(record.signal.size for record in records)])
    # One row a span: begin, end, allowed, bpm, stratum, record, lead, span, offset of the lead.
    rows = [
        (
            s.begin,
            s.end,
            s.allowed,
            s.bpm,
            STRATA.index(s.stratum),
            owner,
            lead,
            index,
            int(begins[owner]) + lead * record.signal.shape[1],
        )
        for owner, record in enumerate(records)
        for lead in range(record.signal.shape[0])
        for index, s in enumerate(record.spans)
        if s.end - s.begin >= window
    ]
    table = np.array(rows, dtype=np.float64).reshape(-1, 9)
    counts = ((table[:, 1] - table[:, 0] - window) // hop + 1).astype(np.int64)
    each = np.repeat(table, counts, axis=0)
    nth = np.arange(len(each)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = each[:, 0].astype(np.int64) + nth * hop
    whole = each.astype(np.int64, copy=False) if not len(each) else np.nan_to_num(each).astype(np.int64)
    return ShockWindows(
        np.concatenate([record.signal.reshape(-1) for record in records]),
        begin + whole[:, 8],
        whole[:, 1] - begin,
        whole[:, 5],
        whole[:, 6],
        whole[:, 7],
        begin / rate_hz,
        whole[:, 4],
        whole[:, 2],
        each[:, 3],
    )
