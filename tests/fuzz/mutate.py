"""Inputs made from inputs: bits flipped, bytes put in, taken out, said twice, numbers made extreme."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

MOST_BYTES = 100_000
_NUMBERS = [b"0", b"-1", b"1e308", b"nan", b"-9223372036854775809", b"4294967296", b"", b"inf", b"0.5"]
_EDGES = [
    b"\x00",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff\x0f",
    b'"',
    b"{",
    b"\n",
]


def mutations(seeds: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Endless inputs, the same for the same seed; first what is there."""
    dice = random.Random(seed)
    pool = list(seeds)
    yield from pool
    while True:
        data = bytearray(dice.choice(pool))
        for _ in range(dice.randint(1, 5)):
            data = _mutate(data, dice)
        made = bytes(data[:MOST_BYTES])
        yield made
        if dice.random() < 0.001 and len(pool) < 200:
            pool.append(made)


def _mutate(data: bytearray, dice: random.Random) -> bytearray:
    kind, at = dice.randrange(7), dice.randrange(len(data) + 1)
    to = min(len(data), at + dice.choice([1, 2, 4, 8, 64]))
    if kind == 0 and data:
        data[at % len(data)] ^= 1 << dice.randrange(8)
    elif kind == 1 and data:
        data[at % len(data)] = dice.randrange(256)
    elif kind == 2:
        data[at:at] = dice.choice(_EDGES)
    elif kind == 3:
        data[at:to] = dice.choice(_NUMBERS)
    elif kind == 4:
        del data[at:to]
    elif kind == 5:
        data[at:at] = data[at:to] * dice.choice([1, 2, 50])
    else:
        del data[at:]
    return data
