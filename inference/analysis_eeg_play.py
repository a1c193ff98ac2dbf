"""An EEG that is in memory through the worker's own monitor, second by second, and all that it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.analysis_ecg import BED, Progress, alarms_of
from inference.analysis_findings import AlarmFinding
from inference.analysis_noting import NotingMonitor
from inference.eeg_listener import EegListener, Judged, SeizureNetwork
from inference.eeg_monitor import EegMonitor
from inference.eeg_trends import BINS, SUPPRESSION_S, WELCH_S, Trends, TrendValues
from inference.score_run import VirtualClock, play_sources
from inference.types import Alarm, Vital
from ingest.recording import Signal
from ingest.replay import Source
from ingest.settings import IngestSettings
from ingest.types import BoolArray, FloatArray, IntArray, SignalKind, WideFloatArray

IMPLAUSIBLE: Final = "implausible"
LOST: Final = "lost"


@dataclass(frozen=True, slots=True)
class PlayedEeg:
    """What the worker's monitor said of each of T seconds.

    Attributes
    ----------
    alarms : list of AlarmFinding
        With the catalogue's defaults.
    vitals : list of Vital, length T
        Trends, and what is wrong with electrodes.
    judged : list of Judged, length T or 0
        What the network said when it had the second: of that ``behind`` before it. None without a network.
    signs : list of str or None, length T
        Why the second counts for nothing: :data:`IMPLAUSIBLE`, :data:`LOST`.
    spectra : ndarray of float32, shape (T, 2, BINS)
        Power density of the last two seconds of either side, µV²/Hz; NaN where nothing could be trusted.
    suppressed : ndarray of float64, shape (T,)
        Share of the second that ended half a second before which was suppressed; NaN where it is not known.
    """

    alarms: list[AlarmFinding]
    vitals: list[Vital]
    judged: list[Judged]
    signs: list[str | None]
    spectra: FloatArray
    suppressed: WideFloatArray


class _NotingListener(EegListener):
    """Keeps what the network says of each second."""

    def __init__(self, network: SeizureNetwork, n_slots: int) -> None:
        super().__init__(network, n_slots)
        self.said: list[Judged] = []

    def push(self, slots: IntArray, derived: FloatArray, quality: WideFloatArray) -> Judged:
        """Take a second."""
        self.said.append(super().push(slots, derived, quality))
        return self.said[-1]


class _NotingTrends(Trends):
    """Keeps the spectrum and the suppressed share of each second."""

    def __init__(self, n_slots: int) -> None:
        super().__init__(n_slots)
        self.spectra: list[FloatArray] = []
        self.quiet: list[float] = []

    def push(
        self, slots: IntArray, seconds: IntArray, derived: FloatArray, clean: BoolArray, mirrored: BoolArray
    ) -> TrendValues:
        """Take in a second."""
        values = super().push(slots, seconds, derived, clean, mirrored)
        slot, second = int(slots[0]), int(seconds[0])
        self.spectra.append(self.power[slot, second % (WELCH_S - 1), :2].copy())
        self.quiet.append(float(self.suppressed[slot, second % SUPPRESSION_S, 2]))
        return values


def play_eeg(
    signal: Signal, network: SeizureNetwork | None, settings: IngestSettings, progress: Progress
) -> PlayedEeg:
    """Play an EEG as a bed of its own, in pieces of a second.

    Parameters
    ----------
    signal : Signal
        At the conditioning's lowest rate or more.
    network : SeizureNetwork or None
        The ward's; electrodes and trends are watched without one.
    settings : IngestSettings
        Limits of continuity.
    progress : callable
        Told after each second.
    """
    clock = VirtualClock()
    windows = NotingMonitor(SignalKind.EEG, clock, (IMPLAUSIBLE, LOST))
    monitor = EegMonitor(windows)
    n_slots = len(monitor.bank.count)
    noting = monitor.trends = _NotingTrends(n_slots)
    listener = None if network is None else _NotingListener(network, n_slots)
    monitor.listener = listener
    alarms: list[Alarm] = []
    vitals: list[Vital] = []
    sources = [Source(BED, "", signal)]
    for done, outcome in enumerate(play_sources(sources, monitor, clock, settings), 1):
        alarms += outcome.alarms
        vitals += outcome.vitals
        progress("EEG", min(1.0, done / max(1.0, signal.duration_s)))
    return PlayedEeg(
        alarms_of(alarms),
        vitals,
        [] if listener is None else listener.said,
        windows.signs,
        np.array(noting.spectra, dtype=np.float32).reshape(-1, 2, BINS),
        np.array(noting.quiet, dtype=np.float64),
    )
