"""What each second of a sound says of its sensor, over many beds: contact, clipping, mains hum, disturbance.

Speech, coughs and hands on the sensor are far louder than a chest: a second that is so much above the bed's
usual loudness is disturbed. What is usual is learned from the bed's own last minute of seconds that were not
remarkable; of remarkable ones every tenth counts, so that a gain that was turned is learned, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.sound_contact import Low
from ingest.bank import Bank, Due
from ingest.filters import NOTCH_HZ
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

LEAST_PRESENT: Final = 0.75
"""Share of a second's samples from which it is judged."""

HOLE_SHARE: Final = 0.01
"""Missing samples of a second from which networks are not believed: to them a gap sounds like disease."""

STILL_S: Final = 0.1
"""Samples that stay alike so long are none: one second in a hundred of icbhi2017, cut ones, has them, none of
circor2022."""

EMPTY_S: Final = 0.5
STILL_STEP: Final = 1e-6
"""A thirtieth of a step of 16 bits: what resampling leaves of samples that stay alike."""

FAINT_DB: Final = -80.0
"""A converter's own noise, as of ``sensor_silent``; icbhi2017 and circor2022 have no second below -55 dB."""

CLIPPED_SHARE: Final = 0.01
"""Of a second's samples, at its highest or at its lowest value: a tone's tops have 0.8 % at 5 % of the range
of 16 bits; a second of circor2022 in a hundred has more than 0.5 %."""

LEAST_PEAK: Final = 0.05
"""A sound that stays below this share of full scale has too few steps for its tops to say anything."""

HUM_SHARE: Final = 0.5
"""Of a second's power, in one mains frequency and its next two harmonics: one second in a thousand of
icbhi2017, none of circor2022."""

HARMONICS: Final = 3
HUM_DB: Final = -6.0
"""Hum so much below the usual sound covers nothing: in an apnoea the faintest hum is most of what is left."""

DISTURBED_DB: Final = 12.0
"""All that the sensor gave, above the usual: one second in a hundred of icbhi2017, one in thirty of
circor2022, whose patients are children."""

LOST_DB: Final = 15.0
"""A heart is never so much below its usual loudness for long: the sensor lies beside the chest."""

SILENT_DB: Final = 10.0
"""Breath below the usual peaks by so much is none."""

REMEMBERED: Final = 60
"""Seconds that say what is usual."""

LEAST_REMEMBERED: Final = 6
PEAK_QUANTILE: Final = 0.8
"""Of the seconds' loudest breath: that of an inspiration, with a quarter of seconds or more in it."""

EVERY_REMARKABLE: Final = 10
_FLOOR: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Seconds:
    """The last second of some streams. Shapes (n,).

    Parameters
    ----------
    present : ndarray of float64
        Share of samples that were there.
    level_db, whole_db : ndarray of float64
        Power within the band, and of all that the sensor gave but an offset, dB of full scale.
    holes, empty : ndarray of bool
        Samples are missing, stay alike or are too faint in a part of the second; in half of it or more.
    flagged, clipped : ndarray of bool
        The device says that its sensor is off; the tops are cut.
    hum_share, hum_db : ndarray of float64
        Share of the power that is mains hum, and its power.
    low : Low
        What is heard below 150 Hz.
    peak_db : ndarray of float64
        Loudest breath.
    """

    present: WideFloatArray
    level_db: WideFloatArray
    whole_db: WideFloatArray
    holes: BoolArray
    empty: BoolArray
    flagged: BoolArray
    clipped: BoolArray
    hum_share: WideFloatArray
    hum_db: WideFloatArray
    low: Low
    peak_db: WideFloatArray


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for some beds, NaN while it is learned. Shapes (n,); as :class:`Seconds` has them."""

    level_db: WideFloatArray
    whole_db: WideFloatArray
    low: Low
    peak_db: WideFloatArray


def measure(bank: Bank, due: Due, sound: FloatArray, low: Low, peak_db: WideFloatArray) -> Seconds:
    """Measure the last second of due windows' first channels.

    Parameters
    ----------
    bank : Bank
        Holds the unfiltered samples.
    due : Due
        Which streams.
    sound : ndarray of float32, shape (n, n_times)
        Filtered samples, at least a second.
    low, peak_db
        As :class:`Seconds` has them.
    """
    n_times = round(bank.spec.rate_hz)
    every_raw, every_present, every_flag = bank.recent(due, n_times, 1)
    raw, present = every_raw[:, 0], every_present[:, 0]
    power = np.square(sound[:, -n_times:], dtype=np.float64).mean(axis=1)
    hum, total = _hum_power(raw, bank.spec.rate_hz)
    whole_db = 10.0 * np.log10(total + _FLOOR)
    share, faint = present.mean(axis=1), whole_db < FAINT_DB
    return Seconds(
        share,
        10.0 * np.log10(power + _FLOOR),
        whole_db,
        faint | (share < 1.0 - HOLE_SHARE) | _still(raw, round(STILL_S * n_times)),
        faint | (share < 1.0 - EMPTY_S) | _still(raw, round(EMPTY_S * n_times)),
        np.asarray(every_flag[:, 0, -1]),
        _clipped(raw),
        hum / np.maximum(total, _FLOOR),
        10.0 * np.log10(hum + _FLOOR),
        low,
        peak_db,
    )


def _still(raw: FloatArray, n_alike: int) -> BoolArray:
    """Whether so many samples on end stay alike."""
    alike = np.cumsum(np.abs(np.diff(raw, axis=1, prepend=np.nan)) <= STILL_STEP, axis=1)
    return np.asarray((alike[:, n_alike:] - alike[:, :-n_alike] == n_alike).any(axis=1))


def _clipped(raw: FloatArray) -> BoolArray:
    high, low = raw.max(axis=1), raw.min(axis=1)
    cut = np.maximum((raw == high[:, None]).mean(axis=1), (raw == low[:, None]).mean(axis=1))
    return np.asarray((cut >= CLIPPED_SHARE) & (np.maximum(high, -low) >= LEAST_PEAK) & (high > low))


def _hum_power(raw: FloatArray, rate_hz: float) -> tuple[WideFloatArray, WideFloatArray]:
    """Power of the stronger mains frequency with its harmonics, and of all; an offset is neither."""
    n_times = raw.shape[1]
    hz = np.outer(NOTCH_HZ, np.arange(1, HARMONICS + 1)).ravel()
    # A second holds whole periods of all of them: they are orthogonal to one another and to an offset.
    angle = 2 * np.pi * np.outer(np.arange(n_times) / rate_hz, hz)
    waves = np.concatenate([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    parts = np.square(raw @ waves * np.float32(2 / n_times), dtype=np.float64) / 2
    power = (parts[:, : len(hz)] + parts[:, len(hz) :]).reshape(-1, len(NOTCH_HZ), HARMONICS)
    return power.sum(axis=2).max(axis=1), raw.var(axis=1, dtype=np.float64)


class UsualLoudness:
    """What is usual for each bed: loudness of a second, what lies below 150 Hz, and the loudest breath.

    Parameters
    ----------
    n_slots : int
        Beds to make room for.
    """

    def __init__(self, n_slots: int) -> None:
        self.seconds = np.full((n_slots, REMEMBERED, 5), np.nan)
        """Ring of (level, whole level, loudest and swing below 150 Hz, loudest breath), dB; NaN where nothing
        stands yet."""
        self.counts = np.zeros((n_slots, 2), dtype=np.int64)
        """Seconds that were remembered, and remarkable ones that were seen."""

    def resize(self, n_slots: int) -> None:
        """Make room for more beds."""
        extra = n_slots - len(self.counts)
        self.seconds = np.pad(self.seconds, ((0, extra), (0, 0), (0, 0)), constant_values=np.nan)
        self.counts = np.pad(self.counts, ((0, extra), (0, 0)))

    def reset(self, slots: IntArray) -> None:
        """Forget some beds."""
        self.seconds[slots], self.counts[slots] = np.nan, 0

    def of(self, slots: IntArray) -> Usual:
        """What is usual for some beds."""
        # NaNs are sorted behind: the first ``held`` places are what stands.
        held = np.minimum(self.counts[slots, 0], REMEMBERED)
        ordered = np.sort(self.seconds[slots], axis=1)
        rows, last = np.arange(len(slots)), np.maximum(held - 1, 0)
        enough = held >= LEAST_REMEMBERED
        middle = (ordered[rows, last // 2] + ordered[rows, (last + 1) // 2]) / 2
        peak = ordered[rows, np.round(PEAK_QUANTILE * last).astype(np.int64), 4]
        middles = np.column_stack([middle[:, :4], peak])
        level, whole, loudest, swing, peak = np.where(enough[:, None], middles, np.nan).T
        return Usual(level, whole, Low(loudest, swing), peak)

    def learn(self, slots: IntArray, signs: Seconds, remarkable: BoolArray, never: BoolArray) -> None:
        """Remember a second of some beds where it was heard, each once; of remarkable ones every tenth.

        ``never`` says which are remembered in no case.
        """
        heard = (signs.present >= LEAST_PRESENT) & ~never
        self.counts[slots, 1] += remarkable & heard
        takes = heard & (~remarkable | (self.counts[slots, 1] % EVERY_REMARKABLE == 0))
        at = slots[takes]
        place = self.counts[at, 0] % REMEMBERED
        own = (signs.level_db, signs.whole_db, signs.low.loudest_db, signs.low.swing_db, signs.peak_db)
        self.seconds[at, place] = np.stack(own, axis=1)[takes]
        self.counts[at, 0] += 1
