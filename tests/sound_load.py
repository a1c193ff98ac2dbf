"""Load generator: N beds of lung sounds at 4 kHz (:mod:`tests.streams_load`)."""

from __future__ import annotations

import numpy as np

from ingest.sounds import GAIN, LungSound
from tests.streams_load import Load, send

FS = 4_000
LOOP_S = 8
LINES = 10


def main() -> None:
    """Send in real time."""
    lines = [
        np.rint(LungSound(1, f"line-{n}").next_samples(LOOP_S * FS) * GAIN).astype(np.int16)
        for n in range(LINES)
    ]
    send(Load("lung_sound", ("chest",), "au", float(FS), GAIN, lines))


if __name__ == "__main__":
    main()
