"""Candidate windows of a corpus: where they lie, which rhythms may hold, what beats are in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.corpus import Corpus
from training.sources import IntArray

SETTLED = 0.75
"""Share of the last seconds that makes a rhythm the label; below it, each that is there may be named."""

TRACE = 0.10


@dataclass(frozen=True, slots=True)
class Windows:
    """Candidates. All arrays have shape (n_windows,).

    Attributes
    ----------
    start : ndarray of int64
        First sample in ``Corpus.signal``.
    owner : ndarray of int64
        Index of the recording.
    allowed : ndarray of uint8
        Bit mask of the rhythm classes that may hold; 0 where nothing is known.
    beats_known : ndarray of bool
        Whether the window's beats are annotated throughout.
    has : ndarray of bool, shape (n_windows, 5)
        Whether a beat of each step class lies inside.
    """

    start: IntArray
    owner: IntArray
    allowed: npt.NDArray[np.uint8]
    beats_known: npt.NDArray[np.bool_]
    has: npt.NDArray[np.bool_]


def _counts(where: npt.NDArray[np.bool_], begin: IntArray, end: IntArray) -> IntArray:
    """How many of ``where`` are true in each [begin, end)."""
    total = np.concatenate([[0], np.cumsum(where, dtype=np.int64)])
    return np.asarray(total[end] - total[begin], dtype=np.int64)


def allowed_rhythms(rhythm: npt.NDArray[np.uint8], begin: IntArray, end: IntArray) -> npt.NDArray[np.uint8]:
    """Mask of the rhythms that may hold in each [begin, end).

    A mask that holds for most of the span stands alone; otherwise those that hold for a trace of it are
    joined. Where part of the span is unknown, the whole is.
    """
    length = end - begin
    joined = np.zeros(len(begin), dtype=np.uint8)
    settled = np.zeros(len(begin), dtype=np.uint8)
    for mask in np.unique(rhythm):
        share = _counts(rhythm == mask, begin, end) / length
        if mask == 0:
            unknown = share > TRACE
            continue
        joined |= np.where(share >= TRACE, mask, 0).astype(np.uint8)
        settled = np.where(share >= SETTLED, mask, settled).astype(np.uint8)
    allowed = np.where(settled > 0, settled, joined).astype(np.uint8)
    if 0 in rhythm:
        allowed[unknown] = 0
    return allowed


def windows_of(corpus: Corpus, length: int, tail: int, hop: int) -> Windows:
    """Cut every lead into candidates.

    Parameters
    ----------
    corpus : Corpus
        Where from.
    length : int
        Samples of a window.
    tail : int
        Samples at its end that its rhythm label speaks of.
    hop : int
        Samples between two candidates.
    """
    starts = [
        np.arange(a, b - length + 1, hop, dtype=np.int64)
        for a, b in zip(corpus.begins, corpus.ends, strict=True)
    ]
    start = np.concatenate(starts)
    owner = np.repeat(corpus.owner, [len(s) for s in starts])
    end = start + length
    has = np.zeros((len(start), 5), dtype=np.bool_)
    for label in range(1, 5):
        positions = corpus.beats[corpus.beat_classes == label]
        has[:, label] = np.searchsorted(positions, end - 32) > np.searchsorted(positions, start + 32)
    return Windows(
        start,
        owner,
        allowed_rhythms(corpus.rhythm, end - tail, end),
        _counts(corpus.beats_known, start, end) == length,
        has,
    )
