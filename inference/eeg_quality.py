"""What each second of an EEG says of its electrodes, over many beds: off, flat, rail, pop, muscle, mains.

Shape legend: (n, n_channels) where nothing else is said; channels that a stream does not have are none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from scipy import fft, signal

from ingest.types import BoolArray, FloatArray, WideFloatArray

LEAST_PRESENT: Final = 0.75
"""Share of a second's samples from which it is judged."""

FLAT_UV: Final = 0.5
"""Peak-to-peak of a second: less than the noise of any electrode on a head."""

HUGE_UV: Final = 3_000.0
"""Peak-to-peak of a filtered second that no brain makes."""

RAIL_SHARE: Final = 0.1
RAIL_UV: Final = 100.0
"""At least this share of a second at its highest or lowest value, while it swings by so much."""

RAIL_LEVEL_UV: Final = 1_000.0
"""A line without any movement so far from zero stands at a rail, not at nothing."""

POP_UV: Final = 100.0
POP_STEP: Final = 3
"""An electrode pop jumps by so much within so many samples (23 ms at 128 Hz) and comes back slowly."""

POP_STAYS: Final = 0.5
"""Share of the jump that is still there over the next quarter of a second; spikes are over by then."""

POP_CALM: Final = 2.0
"""So many times larger than all that the quarter of a second before it shows: no wave among others."""

POP_CHANNELS: Final = 0.2
"""Share of the channels (two at least) up to which a jump is that of an electrode: one is in two bipolar
channels. Discharges of the brain have a field."""

MUSCLE_HZ: Final = (30.0, 47.0)
MUSCLE_UV: Final = 12.0
"""Root mean square within that band; of a brain it stays below 5 µV (Goncharova et al., Clin Neurophysiol 114
(2003) 1580-1593)."""

MAINS_HZ: Final = (50.0, 60.0)
MAINS_UV: Final = 25.0
MAINS_SHARE: Final = 0.5
"""Root mean square at a mains frequency, and its share of the power, from which a channel hums. The notch
takes it out: it tells of a bad contact."""

PLAUSIBLE_UV: Final = (0.1, 5_000.0)
"""Root mean square of the median channel. Noise of an amplifier alone lies within; beyond it unit or gain are
wrong: mV sent as µV are a thousand times too small."""

_BEFORE: Final = 32
_GAP: Final = 8
_AFTER: Final = 32
LOOK_BACK: Final = _GAP + _AFTER
"""Samples after a jump from which it is judged: pops are told so much late."""


SIGNS = ("off", "missing", "flat", "saturated", "pop", "muscle", "mains")
"""Signs of a channel, in the order in which they are named."""

UNUSABLE = ("off", "missing", "flat", "saturated")
"""Those that alarms of electrodes are made of."""


@dataclass(frozen=True, slots=True)
class ChannelSigns:
    """What the last second says of each channel.

    Parameters
    ----------
    exists : ndarray of bool
        Whether the stream has such a channel.
    off, missing, flat, saturated, pop : ndarray of bool
        It cannot be used: flagged by its device, not there, without any signal, at a rail, or jumping.
    muscle, mains : ndarray of bool
        It carries muscle or hum.
    size_uv : ndarray of float32
        Root mean square of the filtered second.
    implausible : ndarray of bool, shape (n,)
        The whole EEG is far too small or too large: its unit or gain is wrong.
    """

    exists: BoolArray
    off: BoolArray
    missing: BoolArray
    flat: BoolArray
    saturated: BoolArray
    pop: BoolArray
    muscle: BoolArray
    mains: BoolArray
    size_uv: FloatArray
    implausible: BoolArray

    @property
    def usable(self) -> BoolArray:
        """Channels that can be read at all."""
        lost = self.off | self.missing | self.flat | self.saturated | self.pop
        return np.asarray(self.exists & ~lost & ~self.implausible[:, None])


def measure(
    exists: BoolArray, raw: FloatArray, present: BoolArray, lead_off: BoolArray, filtered: FloatArray
) -> ChannelSigns:
    """Judge the last second.

    Parameters
    ----------
    exists : ndarray of bool, shape (n, n_channels)
        Channels that each stream has.
    raw : ndarray of float32, shape (n, n_channels, 2 * rate)
        Unfiltered samples of the last two seconds, µV, at the rate of the filtered ones.
    present, lead_off : ndarray of bool, as ``raw``
        Whether a sample was there; the device's flag.
    filtered : ndarray of float32, shape (n, n_channels, rate)
        Conditioned samples of the last second, µV.
    """
    n_times = filtered.shape[2]
    last = raw[:, :, -n_times:]
    high, low = last.max(axis=2), last.min(axis=2)
    swing = high - low
    at_end = np.maximum(
        (last == high[:, :, None]).mean(axis=2), (last == low[:, :, None]).mean(axis=2)
    )  # fmt: skip
    still = swing < FLAT_UV
    far = np.maximum(np.abs(high), np.abs(low)) >= RAIL_LEVEL_UV
    saturated = (
        (still & far) | ((at_end >= RAIL_SHARE) & (swing >= RAIL_UV)) | (np.ptp(filtered, axis=2) >= HUGE_UV)
    )
    missing = exists & (present[:, :, -n_times:].mean(axis=2) < LEAST_PRESENT)
    muscle_uv, mains_uv, whole_uv = _fine_parts(last)
    size = np.sqrt(np.square(filtered).mean(axis=2))
    here = exists & ~missing
    return ChannelSigns(
        exists,
        exists & lead_off[:, :, -1],
        missing,
        here & still & ~far,
        here & saturated,
        here & _popped(raw, exists),
        np.asarray(here & (muscle_uv >= MUSCLE_UV)),
        np.asarray(
            here & (mains_uv >= MAINS_UV) & (np.square(mains_uv) >= MAINS_SHARE * np.square(whole_uv))
        ),
        size,
        # What stands still rings on in the filter: it has no size.
        _implausible(size, here & (swing > 0)),
    )


@lru_cache(maxsize=4)
def _weights(n_times: int) -> tuple[FloatArray, BoolArray, BoolArray, float]:
    """Window, bins of muscle, bins of each mains frequency, and the factor from power to µV²."""
    window = signal.windows.hann(n_times, sym=False).astype(np.float32)
    hz = np.arange(n_times // 2 + 1, dtype=np.float64)
    muscle = (hz >= MUSCLE_HZ[0]) & (hz <= MUSCLE_HZ[1])
    mains = np.abs(hz - np.array(MAINS_HZ)[:, None]) <= 1.0
    return window, muscle, mains, 2.0 / (n_times * float(np.square(window).sum()))


def _fine_parts(last: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Root mean square of muscle, of the stronger mains frequency, and of all from 1 Hz on."""
    window, muscle, mains, scale = _weights(last.shape[2])
    spectrum = fft.rfft((last - last.mean(axis=2, keepdims=True)) * window, axis=2)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    of_mains = np.stack([power[:, :, bins].sum(axis=2) for bins in mains]).max(axis=0)
    parts = (power[:, :, muscle].sum(axis=2), of_mains, power[:, :, 1:].sum(axis=2))
    found = [np.sqrt(part * np.float32(scale)) for part in parts]
    return found[0], found[1], found[2]


def _popped(raw: FloatArray, exists: BoolArray) -> BoolArray:
    """Jumps of single channels that come back slowly, in the second that ended ``LOOK_BACK`` samples ago."""
    n_times = raw.shape[2] // 2
    first = n_times - LOOK_BACK
    part = raw[:, :, first - POP_STEP : first + n_times]
    jumps = np.abs(part[:, :, POP_STEP:] - part[:, :, :-POP_STEP])
    at = jumps.argmax(axis=2)
    jump = np.take_along_axis(jumps, at[:, :, None], axis=2)[:, :, 0]
    popped = exists & (jump >= POP_UV)
    rows, columns = np.nonzero(popped)
    if len(rows) == 0:
        return popped
    end = first + at[rows, columns]
    lines = raw[rows, columns]
    before = np.take_along_axis(lines, end[:, None] - POP_STEP - np.arange(_BEFORE), axis=1)
    after = np.take_along_axis(lines, end[:, None] + _GAP + np.arange(_AFTER), axis=1)
    stays = after.mean(axis=1) - before.mean(axis=1)
    each = np.arange(len(rows))
    signed = lines[each, end] - lines[each, end - POP_STEP]
    popped[rows, columns] = (stays * np.sign(signed) >= POP_STAYS * np.abs(signed)) & (
        np.abs(signed) >= POP_CALM * np.ptp(before, axis=1)
    )
    most = np.maximum(2, np.floor(POP_CHANNELS * exists.sum(axis=1)))
    return np.asarray(popped & (popped.sum(axis=1) <= most)[:, None])


def _implausible(size: FloatArray, here: BoolArray) -> BoolArray:
    """EEGs whose median channel has a size that none has; a line that does not move at all has none."""
    counts = here & (size > 0)
    ordered: WideFloatArray = np.sort(np.where(counts, size, np.nan).astype(np.float64), axis=1)
    middle = ordered[np.arange(len(size)), np.maximum(counts.sum(axis=1) - 1, 0) // 2]
    least, most = PLAUSIBLE_UV
    return np.asarray((middle < least) | (middle > most))
