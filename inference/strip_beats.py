"""Beats of a strip, found anew by the worker's networks: predictions are not stored, waveforms are.

The strip begins in the middle of a stream, so the first network gets a window of silence before it, and the
second one knows fewer beats than it did live: classes may differ from what the worker published.
"""

from __future__ import annotations

import threading
from typing import Final

import numpy as np

from inference.beat_classes import BeatClassifier
from inference.beat_predictor import BeatPredictor
from inference.beats import LABELS
from inference.cli import DEFAULT_BEATS, DEFAULT_MODEL
from inference.quality import fullest_lead
from inference.strips import Strip, StripBeat, StripSignal
from inference.verdict_beats import MonitorBeats
from ingest.conditioning import ECG, condition, delay_s
from ingest.types import NS_PER_S, UNIT_SCALES, FloatArray, SignalKind, WideFloatArray
from models import store
from models.beat_rows import segments_at
from models.streaming import WINDOW_S

SHORTEST_S: Final = 2.0
"""Of a piece in which beats are looked for: the filters need some of it."""

_ONE_SLOT: Final = 0


class BeatFinder:
    """The two networks, loaded. May be used by several threads, one of which finds at a time.

    Parameters
    ----------
    model, beats_model : str
        Shipped models or paths of cards, as the worker takes them.
    """

    def __init__(self, model: str = DEFAULT_MODEL, beats_model: str = DEFAULT_BEATS) -> None:
        network, spec = store.load(model)
        self._find = MonitorBeats(network.eval(), spec)
        self._classes = BeatPredictor(beats_model, "cpu")
        self._busy = threading.Lock()

    def __call__(self, strip: Strip) -> tuple[StripBeat, ...]:
        """Beats of all its pieces of ECG, in order of time."""
        with self._busy:
            found = [beat for signal in strip.signals for beat in self._of_signal(signal)]
        return tuple(sorted(found, key=lambda beat: beat.time_ns))

    def _of_signal(self, signal: StripSignal) -> list[StripBeat]:
        if signal.signal != SignalKind.ECG or signal.fs_hz < ECG.min_fs_hz:
            return []
        if len(signal.samples) < SHORTEST_S * signal.fs_hz:
            return []
        samples = signal.physical() * UNIT_SCALES[SignalKind.ECG][signal.scale.unit]
        lead = fullest_lead(samples, signal.channels)
        line = condition(samples[:, [lead]], signal.fs_hz, ECG)[:, 0]
        times_s = self._times_s(line)
        raw_s = times_s - delay_s(signal.fs_hz, ECG)
        at = np.rint(raw_s * signal.fs_hz).astype(np.int64)
        inside = (at >= 0) & (at < len(samples))
        inside[inside] &= np.isfinite(samples[at[inside], lead])
        labels = self._labels(line, times_s[inside])
        return [
            StripBeat(signal.start_ns + round(time_s * NS_PER_S), LABELS[label], signal.channels[lead])
            for time_s, label in zip(raw_s[inside].tolist(), labels, strict=True)
        ]

    def _times_s(self, line: FloatArray) -> WideFloatArray:
        """Beats of a conditioned lead, seconds after its first sample."""
        # The finder takes beats of a window's last second: the first second needs a whole window before it.
        ahead = round(WINDOW_S * ECG.rate_hz)
        found = self._find(np.concatenate([np.zeros(ahead, dtype=np.float32), line]))
        return np.asarray(found.beat_s + len(line) / ECG.rate_hz, dtype=np.float64)

    def _labels(self, line: FloatArray, times_s: WideFloatArray) -> list[int]:
        """Classes as the worker decides them, beat by beat."""
        if len(times_s) == 0:
            return []
        classifier = BeatClassifier(self._classes, 1)
        slots = np.full(len(times_s), _ONE_SLOT, dtype=np.int64)
        times_ns = np.round(times_s * NS_PER_S).astype(np.int64)
        segments = segments_at(line, np.rint(times_s * ECG.rate_hz).astype(np.int64))
        intervals_s = np.diff(times_s, prepend=np.nan)
        _, decided = classifier.add(slots, times_ns, segments, intervals_s, np.ones(len(times_s)))
        last = classifier.wait(slots[:1], times_ns[-1:] + 10 * NS_PER_S)
        return [*decided.labels.tolist(), *last.labels.tolist()]
