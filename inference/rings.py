"""Rings that are written twice, one behind the other, so that what is read of them is one piece of memory."""

from __future__ import annotations

import numpy as np

from ingest.types import FloatArray


def pieces(rings: FloatArray, length: int) -> FloatArray:
    """Every run of so many rows of rings, flat, without a copy.

    Parameters
    ----------
    rings : ndarray of float32, shape (..., 2 * length, width)
        Each row stands in them twice, ``length`` rows apart.
    length : int
        Rows of a ring.

    Returns
    -------
    ndarray of float32, shape (..., length + 1, length * width)
        What begins with each row; not to be written to.
    """
    *outer, n_rows, width = rings.shape
    *strides, row, _ = rings.strides
    return np.lib.stride_tricks.as_strided(
        rings,
        (*outer, n_rows - length + 1, length * width),
        (*strides, row, rings.itemsize),
        writeable=False,
    )
