"""Whether an ECG or EEG is as high as one is: values in another unit make a flat line, or noise, of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.analysis_unpack import shown
from inference.eeg_quality import FLAT_UV, PLAUSIBLE_UV
from inference.errors import BadUpload
from ingest.recording import Recording, Signal
from ingest.types import FloatArray, SignalKind, WideFloatArray

LEAST_MV: Final = 0.01
MOST_MV: Final = 20.0
"""Of the range of an ECG within a second, median of all seconds: a high QRS has 6 mV, the faintest 0.1 mV."""


MOST_SECONDS: Final = 600
"""Of a recording that are looked at for its size, spread over it."""

THOUSANDFOLD: Final = (300.0, 3_000.0)
"""How far one channel's size lies from the others' where it alone is in another unit."""


def _by_second(signal: Signal) -> FloatArray:
    """Whole seconds, (n_seconds, n_samples, n_channels)."""
    step = max(1, min(round(signal.fs_hz), len(signal.samples)))
    whole = signal.samples[: len(signal.samples) // step * step]
    return whole.reshape(-1, step, signal.samples.shape[1])


def spans_mv(signal: Signal) -> WideFloatArray:
    """Median range of each channel within a second, mV; 0 for a channel of missing samples, (n_channels,)."""
    seconds = _by_second(signal)
    span = np.fmax.reduce(seconds, axis=1) - np.fmin.reduce(seconds, axis=1)
    return np.asarray(np.median(np.nan_to_num(span), axis=0), dtype=np.float64)


def check_levels(name: str, recording: Recording, guessed: bool) -> list[str]:
    """Hold every ECG against what an ECG spans, and every EEG against the size of an EEG.

    Parameters
    ----------
    name : str
        The file, for messages.
    recording : Recording
        Read.
    guessed : bool
        The file names no unit, and none was given.

    Returns
    -------
    list of str
        What has to be said where the unit was named.

    Raises
    ------
    BadUpload
        The unit was guessed, and wrongly.
    """
    notes = [
        line
        for signal in recording.signals
        if signal.kind is SignalKind.EEG
        for line in _eeg_doubts(name, signal)
    ]
    for signal in recording.signals:
        if signal.kind is not SignalKind.ECG:
            continue
        spans = spans_mv(signal)
        high, low = spans > MOST_MV, (spans > 0) & (spans < LEAST_MV)
        # One lead that is faint may be off; a whole ECG in volts has no other.
        if not high.any() and not (low.any() and (low | (spans == 0)).all()):
            continue
        at = int(spans.argmax())
        channel, unit = shown(signal.channels[at]), "uV" if high.any() else "V"
        usual = f"an ECG {LEAST_MV:g} to {MOST_MV:g}"
        said = f"channel {channel!r} spans {_few(spans[at])} mV within a second, {usual}"
        if guessed:
            raise BadUpload(
                f"{name}: no unit in line 1, so its values are taken as mV, but {said}: name the unit there "
                f"({channel} [{unit}]?) or give it (unit)"
            )
        notes.append(f"{said}: is its unit right? What was found stands on that.")
    return notes


def sizes_uv(signal: Signal) -> WideFloatArray:
    """Median root mean square about the mean of each channel within a second, µV, (n_channels,)."""
    seconds = _by_second(signal)
    every = max(1, len(seconds) // MOST_SECONDS)
    part = seconds[::every].astype(np.float64)
    there = np.isfinite(part)
    count = np.maximum(there.sum(axis=1), 1)
    filled = np.where(there, part, 0.0)
    mean = filled.sum(axis=1) / count
    variance = np.maximum(np.square(filled).sum(axis=1) / count - np.square(mean), 0.0)
    return np.asarray(np.median(np.sqrt(variance), axis=0), dtype=np.float64)


def _eeg_doubts(name: str, signal: Signal) -> list[str]:
    """What is said where a whole EEG, or some of its channels, are of no plausible size."""
    sizes = sizes_uv(signal)
    live = sizes[sizes > 0]
    if not len(live):
        return []
    middle = float(np.median(live))
    least, most = PLAUSIBLE_UV
    usual = f"an EEG {least:g} to {most:,.0f} µV"
    if not least <= middle <= most:
        likely, is_said = ("mV", "µV") if middle < least else ("uV", "mV")
        return [
            f"{name}: EEG: a typical channel has {_few(middle)} µV (root mean square of a second), {usual}"
            f": is its unit right, or are values in {likely} called {is_said}? Say it (unit {likely}) or "
            "correct the header; as it stands it is not analysed"
        ]
    low, high = THOUSANDFOLD
    return [
        f"{name}: EEG channel {shown(channel)!r} has {_few(size)} µV, the others {_few(middle)} µV (root "
        "mean square of a second): is its unit another one? Correct its header, or leave it out (channels)"
        for channel, size in zip(signal.channels, sizes.tolist(), strict=True)
        if low <= size / middle <= high
        or (size > 0 and low <= middle / size <= high and size > FLAT_UV / 1_000)
    ]


def _few(value: float) -> str:
    """A number as people write it: 1,000, not 1e+03."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
