"""Whether what was usual of a sound still is, when its stream begins anew after a gap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.bank import Restart
from ingest.types import NS_PER_S, BoolArray, IntArray

KEPT_S: Final = 60.0
"""Gap over which what was usual stays so, if the sensor is the same."""

KEPT_IN_SILENCE_S: Final = 600.0
"""The same, where no breath was heard when it began: learned from an apnoea, silence would be usual."""

OFF_S: Final = 3
"""A second between two beats may sound of no chest, so many in a row do not."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a stream comes from."""

    device: str
    fs_hz: float
    channels: tuple[str, ...]


class Sensors:
    """What each stream comes from, and how it was when it was last heard.

    Parameters
    ----------
    n_slots : int
        Streams to make room for.
    """

    def __init__(self, n_slots: int) -> None:
        self.of: dict[int, Sensor] = {}
        self.last_ns: IntArray = np.zeros(n_slots, dtype=np.int64)
        """End of each stream's last second."""
        self.silent: BoolArray = np.zeros(n_slots, dtype=np.bool_)
        """Whether no breath was heard in the last second that could be judged."""
        self.off_s: IntArray = np.zeros(n_slots, dtype=np.int64)
        """Seconds in a row that no longer sounded of a chest."""

    def resize(self, n_slots: int) -> None:
        """Make room for more streams."""
        extra = n_slots - len(self.last_ns)
        self.last_ns, self.silent = np.pad(self.last_ns, (0, extra)), np.pad(self.silent, (0, extra))
        self.off_s = np.pad(self.off_s, (0, extra))

    def forget(self, slot: int) -> None:
        """Whatever comes next is another sensor."""
        self.of.pop(slot, None)

    def note(self, slots: IntArray, ends_ns: IntArray, silent: BoolArray, judged: BoolArray) -> None:
        """Note a second of some streams."""
        self.last_ns[slots] = ends_ns
        self.silent[slots] = np.where(judged, silent, self.silent[slots])

    def stay_off(self, slots: IntArray, off: BoolArray) -> BoolArray:
        """Take whether a second of some streams sounds of a chest; whether it did not for a while."""
        self.off_s[slots] = np.where(off, self.off_s[slots] + 1, 0)
        return np.asarray(self.off_s[slots] >= OFF_S)

    def goes_on(self, restart: Restart) -> bool:
        """Whether a stream that begins anew is what was heard before; from now on its sensor is this one.

        Another device, rate or channel may be louder, and a sensor that was long away may lie elsewhere.
        """
        slot, sensor = restart.slot, Sensor(restart.device, restart.fs_hz, restart.channels)
        longest_s = KEPT_IN_SILENCE_S if self.silent[slot] else KEPT_S
        gap_ns = restart.start_ns - int(self.last_ns[slot])
        same = self.of.get(slot) == sensor and abs(gap_ns) <= longest_s * NS_PER_S
        self.of[slot] = sensor
        self.silent[slot] &= same
        self.off_s[slot] = 0
        return same
