"""The least time that bytes or arithmetic take on one core of this machine, measured in the same run.

A stage's floor is the larger of the two: what it must read and write at the speed of memory, and what it must
multiply and add at the speed of a large matrix product. Both are CPU time, so that figures of a busy machine
still compare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import numpy as np

COPIED_BYTES: Final = 64 << 20
"""Larger than the caches: what is copied comes from memory and goes there."""

SIDE: Final = 768
"""Of the square matrices; their product is bound by arithmetic, not by memory."""

ROUNDS: Final = 7


def _least_s(work: Callable[[], object]) -> float:
    """CPU time of the fastest of some rounds; other programs can only make a round slower."""
    work()
    taken = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        work()
        taken.append(time.process_time() - began_s)
    return min(taken)


@cache
def bytes_per_s() -> float:
    """Bytes read or written a second and core, by copying."""
    source = np.ones(COPIED_BYTES, dtype=np.uint8)
    target = np.empty_like(source)
    return 2 * COPIED_BYTES / _least_s(lambda: np.copyto(target, source))


@cache
def flops_per_s() -> float:
    """Multiplications and additions a second and core in float32, by a matrix product."""
    one = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    product = np.empty_like(one)
    # Threads of the product share its CPU time, which is what is counted: the rate is a core's.
    return 2 * SIDE**3 / _least_s(lambda: np.matmul(one, one, out=product))


def floor_of_bytes(n_bytes: float) -> float:
    """Seconds that one core takes at least to read or write so many bytes (each counts once)."""
    return n_bytes / bytes_per_s()


def floor_of_flops(n_flops: float) -> float:
    """Seconds that one core takes at least for so many multiplications and additions (each counts once)."""
    return n_flops / flops_per_s()


def floor(n_bytes: float, n_flops: float, beds: int) -> Mapping[str, float]:
    """What a stage touches and computes for ``beds`` bed-seconds, for ``benchmark.extra_info``.

    Parameters
    ----------
    n_bytes, n_flops : float
        Bytes read and written, multiplications and additions, of all beds together.
    beds : int
        Bed-seconds of it.

    Returns
    -------
    mapping
        ``bytes`` and ``flops`` a bed-second, and ``floor_us``, CPU time (µs) of the dearer of both.
    """
    least_s = max(floor_of_bytes(n_bytes), floor_of_flops(n_flops))
    return {"bytes": n_bytes / beds, "flops": n_flops / beds, "floor_us": least_s / beds * 1e6}
