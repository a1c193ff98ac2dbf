"""Whether an ECG is as high as an ECG: values in another unit make a flat line, or noise, of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from inference.analysis_unpack import shown
from inference.errors import BadUpload
from ingest.recording import Recording, Signal
from ingest.types import SignalKind, WideFloatArray

LEAST_MV: Final = 0.01
MOST_MV: Final = 20.0
"""Of the range of an ECG within a second, median of all seconds: a high QRS has 6 mV, the faintest 0.1 mV."""


def spans_mv(signal: Signal) -> WideFloatArray:
    """Median range of each channel within a second, mV; 0 for a channel of missing samples, (n_channels,)."""
    step = max(1, min(round(signal.fs_hz), len(signal.samples)))
    seconds = signal.samples[: len(signal.samples) // step * step].reshape(-1, step, signal.samples.shape[1])
    span = np.fmax.reduce(seconds, axis=1) - np.fmin.reduce(seconds, axis=1)
    return np.asarray(np.median(np.nan_to_num(span), axis=0), dtype=np.float64)


def check_levels(name: str, recording: Recording, guessed: bool) -> list[str]:
    """Hold every ECG against what an ECG spans.

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
    notes = []
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


def _few(value: float) -> str:
    """A number as people write it: 1,000, not 1e+03."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
