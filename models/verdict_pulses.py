"""What a pulse channel (arterial pressure, plethysmogram) says about an alarm.

A heart that stops, fibrillates or races moves less blood: the pulse pauses, weakens or goes irregular. A
pulse that goes on as before speaks against the alarm, whatever the ECG looks like. Everything is computed
from the past of the alarm, as ratios to the channel's own baseline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import signal as dsp

from models.verdict_leads import (
    BASELINE_END_S,
    LEAST_BEATS,
    VIEW_S,
    FloatArray,
    IntArray,
    WideFloatArray,
    cut,
    longest_gap,
    rates,
    template_of,
    unit,
)

FS_HZ: Final = 62.5
BAND_HZ: Final = (0.4, 8.0)
"""What a pulse channel is conditioned to, by the code that serves, before it is looked at."""

RISE_S: Final = 0.16
"""A systolic upstroke takes about so long: the slope is summed over it (Zong et al. 2003)."""

REFRACTORY_S: Final = 0.28
THRESHOLD: Final = 0.35
"""Share of the usual upstroke that makes a pulse."""

MEMORY_BLOCKS: Final = 20
BLOCK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class PulseView:
    """One pulse channel up to the alarm. All of shape (n_samples,), 62.5 Hz, the last is the alarm's.

    Attributes
    ----------
    signal : ndarray of float32
        Conditioned to :data:`BAND_HZ`, in the channel's unit.
    raw : ndarray of float32
        Unfiltered; missing samples held.
    present : ndarray of bool
        Whether the sample was there.
    """

    signal: FloatArray
    raw: FloatArray
    present: npt.NDArray[np.bool_]


def upstrokes(signal: WideFloatArray) -> tuple[IntArray, WideFloatArray]:
    """Systolic upstrokes by the slope sum function.

    Parameters
    ----------
    signal : ndarray, shape (n_samples,)
        As in :class:`PulseView`.

    Returns
    -------
    places : ndarray of int64, shape (n_pulses,)
        Samples at which the summed slope peaks.
    rises : ndarray of float64, shape (n_pulses,)
        The sums: how far the signal rose.
    """
    length, block = round(RISE_S * FS_HZ), round(BLOCK_S * FS_HZ)
    up = np.maximum(np.diff(signal, prepend=signal[0]), 0.0)
    total = np.cumsum(np.concatenate([np.zeros(length), up]))
    rise = total[length:] - total[:-length]
    n_blocks = len(rise) // block
    if n_blocks == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    # Blocks end with the signal, so that the same past gives the same threshold.
    largest = rise[len(rise) - n_blocks * block :].reshape(n_blocks, block).max(1)
    usual = np.array([np.median(largest[max(0, i - MEMORY_BLOCKS) : i + 1]) for i in range(n_blocks)])
    threshold = np.concatenate([np.full(len(rise) - n_blocks * block, usual[0]), np.repeat(usual, block)])
    places, _ = dsp.find_peaks(rise, height=THRESHOLD * threshold + 1e-9, distance=int(REFRACTORY_S * FS_HZ))
    return places.astype(np.int64), rise[places]


def _three(values: WideFloatArray) -> float:
    """Smallest mean of three in a row; 0 with fewer."""
    return float(np.convolve(values, np.ones(3) / 3, "valid").min()) if len(values) >= 3 else 0.0


def _height(signal: WideFloatArray) -> dict[str, float]:
    """Peak to peak second by second, as a ratio to that of the baseline."""
    second, block = int(FS_HZ), round(BLOCK_S * FS_HZ)
    end = len(signal) - round(BASELINE_END_S * FS_HZ)
    blocks = max(1, end // block)
    usual = float(np.median(np.ptp(signal[: blocks * block].reshape(blocks, -1), axis=1))) + 1e-9
    windows = np.lib.stride_tricks.sliding_window_view(signal[-13 * second :], 2 * second)[::second]
    ratio = np.minimum(np.ptp(windows, axis=1) / usual, 5.0)
    over = np.lib.stride_tricks.sliding_window_view(ratio, 3).max(1)
    return {
        "height_last4": float(ratio[-3:].max()),
        "height_least": float(ratio.min()),
        "height4": float(over.min()),
    }


def _timing(times_s: WideFloatArray, usual_s: float) -> dict[str, float]:
    """How far the intervals of the view stray from the usual one."""
    recent = np.diff(times_s[times_s > -VIEW_S - 1.5])
    far = np.minimum(np.abs(recent / usual_s - 1.0), 3.0)
    since = -times_s[-1] / usual_s - 1.0 if len(times_s) else 3.0
    enough = len(recent) > 3
    return {
        "gap": longest_gap(times_s, -VIEW_S, 0.0),
        "stray": float(far.max()) if len(far) else 3.0,
        "stray_to_end": min(3.0, max(float(far.max()), since)) if len(far) else 3.0,
        "stray_top3": float(np.sort(far)[-3:].mean()) if enough else 3.0,
        "irregular": float(np.std(recent) / np.mean(recent)) if enough else 3.0,
    }


def pulse_features(view: PulseView) -> dict[str, float] | None:
    """All numbers of one pulse channel; None where it cannot be trusted.

    It is trusted when in the baseline most pulses have one shape and a steady interval, and in the view its
    samples are there and move.

    Parameters
    ----------
    view : PulseView
        At least :data:`models.verdict_leads.BASELINE_END_S` of signal.
    """
    signal = view.signal.astype(np.float64)
    places, rises = upstrokes(signal)
    times_s = (places - len(signal)) / FS_HZ
    baseline, recent = times_s < -BASELINE_END_S, times_s > -VIEW_S
    last = round(VIEW_S * FS_HZ)
    still = float(np.mean(np.abs(np.diff(view.raw[-last:])) < 1e-9))
    if baseline.sum() < LEAST_BEATS or still > 0.5 or view.present[-last:].mean() < 0.9:
        return None
    intervals = np.diff(times_s[baseline])
    usual_s = float(np.median(intervals))
    shapes = cut(signal, places, round(0.22 * FS_HZ), round(0.4 * FS_HZ))
    alike = unit(shapes) @ template_of(shapes[baseline])
    if np.mean(alike[baseline] > 0.8) < 0.5 or np.median(np.abs(intervals - usual_s)) > 0.25 * usual_s:
        return None
    strength = np.minimum(rises / np.median(rises[baseline]), 5.0)[recent]
    return {
        **_timing(times_s, usual_s),
        **rates(times_s),
        **_height(signal),
        "rise_least": float(strength.min()) if len(strength) else 0.0,
        "rise_three": _three(strength),
        "alike_three": _three(alike[recent]),
        "alike": float(alike[recent].mean()) if recent.any() else 0.0,
    }
