"""What one ECG lead says about an alarm: its rate, pauses, runs of ventricular beats, the network's view.

Everything is computed from the past of one moment, the alarm: the last :data:`VIEW_S` seconds are what the
alarm is about, what came before is the patient's own baseline. The numbers are ratios to that baseline,
probabilities or intervals, so that gains of devices do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

FS_HZ: Final = 125.0
HISTORY_S: Final = 100.0
"""How much past is looked at."""

VIEW_S: Final = 14.0
"""The arrhythmia lies within 10 s of the alarm; runs that began before belong to it."""

BASELINE_END_S: Final = 16.0
LEAST_BEATS: Final = 20
"""Fewer beats make no baseline."""

VENTRICULAR_RATE: Final = 97.0
"""Beats/min at which a run begins to count as tachycardia (the definition says 100), and how softly."""

VENTRICULAR_SOFTNESS: Final = 4.0
RUN: Final = 5
"""Beats in a row that make a ventricular tachycardia."""

WINDOW_CLASSES: Final = ("vf", "vt", "asystole", "af", "noise", "other")
RATES: Final = (3, 4, 8, 16)
"""Intervals over which slowest and fastest rates are taken."""

BEFORE, AFTER = round(0.12 * FS_HZ), round(0.2 * FS_HZ)
SHIFTS: Final = range(-3, 4)


@dataclass(frozen=True, slots=True)
class LeadView:
    """One ECG lead up to the alarm.

    Attributes
    ----------
    signal : ndarray of float32, shape (n_samples,)
        Conditioned (:data:`ingest.conditioning.ECG`), mV, 125 Hz; the last sample is the alarm's.
    beat_s : ndarray of float64, shape (n_beats,)
        Times before the alarm, negative, ascending.
    beat_classes : ndarray of float32, shape (n_beats, 4)
        Probabilities of N, S, V, F, given that there is a beat.
    windows : ndarray of float32, shape (n_windows, 6)
        Probabilities of :data:`WINDOW_CLASSES` once a second, the last row nearest to the alarm.
    """

    signal: FloatArray
    beat_s: WideFloatArray
    beat_classes: FloatArray
    windows: FloatArray


def unit(segments: WideFloatArray) -> WideFloatArray:
    """Segments (..., n) without mean and of length 1, so that products are correlations."""
    centred = segments - segments.mean(-1, keepdims=True)
    scaled: WideFloatArray = centred / (np.linalg.norm(centred, axis=-1, keepdims=True) + 1e-9)
    return scaled


def cut(signal: WideFloatArray, at: IntArray, before: int, after: int) -> WideFloatArray:
    """Segments (n, before + after) around places; the ends of the signal repeat."""
    index = np.clip(at[:, None] + np.arange(-before, after), 0, len(signal) - 1)
    segments: WideFloatArray = signal[index]
    return segments


def template_of(segments: WideFloatArray) -> WideFloatArray:
    """The common shape of segments (n, m): a median, twice taken of those that agree with it."""
    shapes = unit(segments)
    template = unit(np.median(shapes, axis=0))
    for _ in range(2):
        agreement = shapes @ template
        alike = agreement >= max(0.6, float(np.median(agreement)))
        if not alike.any():
            alike = agreement >= np.median(agreement)
        template = unit(np.median(shapes[alike], axis=0))
    return template


def longest_gap(times_s: WideFloatArray, begin_s: float, end_s: float) -> float:
    """Longest time without an event between two moments, both ends counted as events."""
    inside = times_s[(times_s > begin_s) & (times_s < end_s)]
    return float(np.diff(np.concatenate([[begin_s], inside, [end_s]])).max())


def rates(times_s: WideFloatArray) -> dict[str, float]:
    """Slowest and fastest mean interval over 3, 4, 8 and 16 intervals of the last 22 s, log s.

    With fewer intervals than asked for, the mean interval of all counts.
    """
    recent = times_s[times_s > -VIEW_S - 8.0]
    found = {}
    for k in RATES:
        mean = (recent[k:] - recent[:-k]) / k if len(recent) > k else np.array([20.0 / max(1, len(recent))])
        found[f"slow{k}"] = float(np.log(np.clip(mean.max(), 0.2, 8.0)))
        found[f"fast{k}"] = float(np.log(np.clip(mean.min(), 0.2, 8.0)))
    return found


def _morphology(view: LeadView, ventricular: WideFloatArray) -> tuple[WideFloatArray, float]:
    """Correlation of each beat with the baseline's shape (n_beats,), and how many baseline beats agree."""
    baseline = view.beat_s < -BASELINE_END_S
    if baseline.sum() < LEAST_BEATS:
        return np.zeros(len(view.beat_s)), 0.0
    plain = baseline & (ventricular < 0.5)
    chosen = plain if plain.sum() >= LEAST_BEATS else baseline
    signal = view.signal.astype(np.float64)
    at = np.clip(np.rint(len(signal) + view.beat_s * FS_HZ).astype(np.int64), 0, len(signal) - 1)
    template = template_of(cut(signal, at, BEFORE, AFTER)[chosen])
    shifted = [unit(cut(signal, at + shift, BEFORE, AFTER)) @ template for shift in SHIFTS]
    correlation: WideFloatArray = np.max(shifted, axis=0)
    return correlation, float(np.mean(correlation[chosen] > 0.85))


def ventricular_runs(
    times_s: WideFloatArray, ventricular: WideFloatArray, strange: WideFloatArray
) -> dict[str, float]:
    """Evidence for five ventricular beats in a row at 100/min or faster.

    Parameters
    ----------
    times_s : ndarray, shape (n_beats,)
        Beats of the view.
    ventricular : ndarray, shape (n_beats,)
        Probability that each is ventricular.
    strange : ndarray, shape (n_beats,)
        0 where it looks as the baseline's beats do, 1 where not at all.

    Returns
    -------
    dict
        Largest evidence over all runs: mean and second smallest of ``ventricular`` (``v``, ``v_least``) and
        of ``strange`` (``ab``, ``ab_least``), of both together (``v_ab``), and the rate of the run where
        ``v`` is largest (per min / 100).
    """
    names = ("run_v", "run_v_least", "run_ab", "run_ab_least", "run_v_ab", "run_rate")
    if len(times_s) < RUN:
        return dict.fromkeys(names, 0.0)
    rate = 60.0 * (RUN - 1) / (times_s[RUN - 1 :] - times_s[: 1 - RUN])
    weight = 1.0 / (1.0 + np.exp(-np.clip((rate - VENTRICULAR_RATE) / VENTRICULAR_SOFTNESS, -30, 30)))
    v = np.lib.stride_tricks.sliding_window_view(ventricular, RUN)
    ab = np.lib.stride_tricks.sliding_window_view(strange, RUN)
    both = v * np.minimum(1.0, ab / 0.3)
    mean = weight * v.mean(1)
    evidence = (mean, weight * np.sort(v)[:, 1], weight * ab.mean(1), weight * np.sort(ab)[:, 1])
    found = [float(part.max()) for part in (*evidence, weight * both.mean(1))]
    return dict(zip(names, [*found, float(rate[mean.argmax()]) / 100.0], strict=True))


def _network(windows: FloatArray) -> dict[str, float]:
    """Largest and mean probability of each window class over the last 11 s."""
    last = windows[-11:].astype(np.float64)
    found: dict[str, float] = {}
    for i, name in enumerate(WINDOW_CLASSES):
        found[f"{name}_max"], found[f"{name}_mean"] = float(last[:, i].max()), float(last[:, i].mean())
    for name, part in (("vt", last[:, 1]), ("vf", last[:, 0]), ("vt_vf", last[:, 0] + last[:, 1])):
        found[f"{name}_three"] = float(np.sort(part)[-3:].mean())
    before = windows[:-14, 4]
    found["noise_baseline"] = float(before.mean()) if len(before) else found["noise_mean"]
    return found


def _envelope(signal: WideFloatArray) -> dict[str, float]:
    """Steepness and height second by second, as ratios to the baseline's beats."""
    end = len(signal) - round(BASELINE_END_S * FS_HZ)
    second = round(FS_HZ)
    blocks = max(1, end // (2 * second))
    slope = np.abs(np.diff(signal, prepend=signal[0]))
    steep = float(np.median(slope[: blocks * 2 * second].reshape(blocks, -1).max(1))) + 1e-6
    height = float(np.median(np.ptp(signal[: blocks * 2 * second].reshape(blocks, -1), axis=1))) + 1e-6
    ratio = slope[-round(VIEW_S * FS_HZ) :].reshape(-1, second).max(1) / steep
    over = {k: np.lib.stride_tricks.sliding_window_view(ratio, k).max(1).min() for k in (3, 4)}
    tall = np.ptp(signal[-round(VIEW_S * FS_HZ) :]) / height
    found = {"steep3": over[3], "steep4": over[4], "steep_last4": ratio[-4:].max(), "steep_max": ratio.max()}
    return {
        name: float(np.log(np.clip(value, 1e-3, 50.0))) for name, value in (found | {"tall": tall}).items()
    }


def _spectrum(signal: WideFloatArray) -> dict[str, float]:
    """How much of the power of 4 s lies around one frequency of 1.5 to 9 Hz; the share above 20 Hz."""
    length, second = round(4 * FS_HZ), round(FS_HZ)
    view = signal[-round(VIEW_S * FS_HZ) :]
    windows = np.lib.stride_tricks.sliding_window_view(view, length)[::second] * np.hanning(length)
    power = np.abs(np.fft.rfft(windows, 1024)) ** 2
    hz = np.fft.rfftfreq(1024, 1 / FS_HZ)
    inner = np.where((hz > 1.5) & (hz < 9), power, 0.0)
    peak = hz[inner.argmax(1)]
    around = (power * (np.abs(hz - peak[:, None]) < 0.7)).sum(1)
    purity = around / (power[:, (hz > 0.7) & (hz < 30)].sum(1) + 1e-12)
    high = power[:, hz > 20].sum(1) / (power[:, hz > 0.7].sum(1) + 1e-12)
    best = int(purity.argmax())
    return {"purity": float(purity[best]), "dominant_hz": float(peak[best]), "high": float(high.max())}


def lead_features(view: LeadView) -> dict[str, float]:
    """All numbers of one lead; the same keys for every lead.

    Parameters
    ----------
    view : LeadView
        At least :data:`BASELINE_END_S` of signal.
    """
    times_s, signal = view.beat_s, view.signal.astype(np.float64)
    ventricular = view.beat_classes[:, 2].astype(np.float64) + 0.5 * view.beat_classes[:, 3]
    correlation, agreement = _morphology(view, ventricular)
    recent, baseline = times_s > -VIEW_S, times_s < -BASELINE_END_S
    strange = np.clip(1.0 - correlation, 0.0, 1.0)
    intervals = np.diff(times_s[baseline])
    intervals = intervals[intervals < 3.0]
    usual = float(np.median(intervals)) if len(intervals) else 0.8
    spread = float(np.median(np.abs(intervals - usual))) / usual if len(intervals) else 0.3
    few = recent.sum() < RUN
    return {
        "agreement": agreement,
        "interval": usual,
        "irregular": spread,
        "ventricular_baseline": float(np.mean(ventricular[baseline] > 0.5)) if baseline.any() else 0.0,
        "gap": longest_gap(times_s, -VIEW_S, 0.0),
        **ventricular_runs(times_s[recent], ventricular[recent], strange[recent]),
        "ventricular_top5": 0.0 if few else float(np.sort(ventricular[recent])[-RUN:].mean()),
        "alike": float(np.mean(correlation[recent] > 0.8)) if recent.any() else 0.0,
        "strange": float(np.mean(strange[recent] > 0.4)) if recent.any() else 1.0,
        **rates(times_s),
        **_network(view.windows),
        **_envelope(signal),
        **_spectrum(signal),
    }
