"""Load generator: N beds of EEG, 19 channels at 256 Hz (:mod:`tests.streams_load`)."""

from __future__ import annotations

import numpy as np

from ingest.sim_eeg import FS_HZ, GAIN, EegStream
from ingest.sim_eeg_waves import CHANNELS
from tests.streams_load import Load, send

LOOP_S = 20
LINES = 10


def main() -> None:
    """Send in real time."""
    lines = [
        np.rint(EegStream(1, f"line-{n}").next_samples(round(LOOP_S * FS_HZ)) * GAIN).astype(np.int16)
        for n in range(LINES)
    ]
    send(Load("eeg", CHANNELS, "uV", FS_HZ, GAIN, lines))


if __name__ == "__main__":
    main()
