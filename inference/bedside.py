"""All beds of a worker: their signals, alarms and settings. Knows nothing of Kafka.

The worker feeds it from the raw topic, the desk changes it, scoring feeds it from records.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from inference.alarm_book import AlarmBook
from inference.beat_predictor import BeatPredictor
from inference.beds import Beds
from inference.catalog import load_catalogue
from inference.eeg_listener import SeizureNetwork
from inference.eeg_monitor import EegMonitor
from inference.monitor import Clock, EcgMonitor, Outcome
from inference.predictor import Predictor
from inference.pulses import KINDS as PULSE_KINDS
from inference.pulses import PulseMonitor
from inference.site import Site
from inference.sound_listener import SoundNetwork
from inference.sound_monitor import SoundMonitor
from inference.stream_watch import StreamChange, StreamWatch
from inference.types import Alarm, Prediction
from inference.windows import WindowMonitor
from ingest.continuity import Piece
from ingest.types import NS_PER_S, SOUNDS, SignalKind

logger = logging.getLogger(__name__)

SET_BACK_NS: Final = 60 * NS_PER_S
"""A clock that falls behind by more between two looks was set back; less may be a pause within one."""

PULSES: Final = frozenset(PULSE_KINDS)
WINDOWED: Final = (SignalKind.EEG, SignalKind.LUNG_SOUND, SignalKind.HEART_SOUND)
"""Kinds whose alarms are made of a network's windows alone."""


class Bedside:
    """Monitors and alarms of all beds.

    Parameters
    ----------
    predictor : Predictor
        The ECG model.
    clock : callable
        Wall clock, ns; a virtual one when scoring.
    beats : BeatPredictor or None
        The network that says what each beat is.
    site : Site or None
        What the site's file sets.
    sounds : mapping or None
        Networks that listen to lung and heart sounds; without one the sensor and the rate are watched.
    eeg : SeizureNetwork or None
        The network that looks for seizures; without it electrodes and trends are watched.
    """

    def __init__(
        self,
        predictor: Predictor,
        clock: Clock,
        beats: BeatPredictor | None = None,
        site: Site | None = None,
        sounds: Mapping[SignalKind, SoundNetwork] | None = None,
        eeg: SeizureNetwork | None = None,
    ) -> None:
        self._clock = clock
        self._ticked: tuple[float, int] | None = None
        self.book = AlarmBook()
        self.beds = Beds(load_catalogue(), site or Site())
        self.pulses = PulseMonitor()
        self.ecg = EcgMonitor(predictor, clock, beats, self.book, self.beds.settings, self.pulses)
        networks = sounds or {}
        analysed = {SignalKind.ECG, *networks} | ({SignalKind.EEG} if eeg is not None else set())
        self.watch = StreamWatch(analysed, self.beds.settings)
        self.windows = {kind: WindowMonitor(kind, self.book, clock, self.beds.settings) for kind in WINDOWED}
        self.eeg = EegMonitor(self.windows[SignalKind.EEG], eeg)
        self.sounds = {kind: SoundMonitor(kind, self.windows[kind], networks.get(kind)) for kind in SOUNDS}

    def push(self, pieces: Iterable[tuple[str, Piece]]) -> Outcome:
        """Append pieces of many beds and signals; judge what became due."""
        ecg: list[tuple[str, Piece]] = []
        eeg: list[tuple[str, Piece]] = []
        pulses: list[tuple[str, Piece]] = []
        sounds: dict[SignalKind, list[tuple[str, Piece]]] = {kind: [] for kind in SOUNDS}
        for bed, piece in pieces:
            kind = piece.chunk.kind
            if kind is SignalKind.ECG:
                ecg.append((bed, piece))
            elif kind is SignalKind.EEG:
                eeg.append((bed, piece))
            elif kind in PULSES:
                pulses.append((bed, piece))
            elif kind in sounds:
                sounds[kind].append((bed, piece))
        # First: what a pulse says counts by its records' offsets, whatever else was read with them.
        if pulses:
            self.pulses.push(pulses)
        outcome = self.ecg.push(ecg) if ecg else Outcome()
        if eeg:
            outcome.extend(self.eeg.push(eeg))
        for kind, heard in sounds.items():
            if heard:
                outcome.extend(self.sounds[kind].push(heard))
        return outcome

    def tick(self, now_s: float, abreast: bool = True) -> list[Alarm]:
        """Look at the clock: what went silent, what stands unacknowledged for too long.

        Parameters
        ----------
        now_s : float
            Monotonic.
        abreast : bool
            Whether all was read that there is: else what did not come may lie unread, and is not said to be
            missing.
        """
        now_ns = self._clock()
        moved = self._follow_clock(now_s, now_ns)
        silent = self.note(self.watch.tick(now_s, now_ns)) if abreast else []
        return moved + silent + self.book.tick(now_ns)

    def _follow_clock(self, now_s: float, now_ns: int) -> list[Alarm]:
        """Note whether the host's clock was set back since the last look, and follow it.

        Set forward, or after the machine slept, what is due comes sooner, which is safe.
        """
        (last_s, last_ns), self._ticked = self._ticked or (now_s, now_ns), (now_s, now_ns)
        back_ns = round((now_s - last_s) * NS_PER_S) - (now_ns - last_ns)
        if back_ns < SET_BACK_NS:
            return []
        logger.warning("this machine's clock was set back by %.0f s; alarms follow it", back_ns / NS_PER_S)
        records = self.book.clock_set_back(back_ns, now_ns)
        for bed in self.beds.known():
            state = self.beds.state(bed)
            state.pause = state.pause and self.book.pause_of(bed)
        return records

    def judge_windows(self, kind: SignalKind, predictions: Iterable[Prediction]) -> list[Alarm]:
        """Take in what a network says of windows of EEG or of sounds."""
        return self.windows[kind].push_predictions(predictions)

    def note(self, changes: Iterable[StreamChange]) -> list[Alarm]:
        """Begin or end technical alarms of streams."""
        alarms = []
        for one in changes:
            bed, signal = one.stream
            windows = self.windows.get(SignalKind(signal))
            if windows is not None and one.suspends is not None:
                windows.suspend(bed, one.suspends)
            alarms += self.book.apply(bed, signal, one.change, one.raw_offset, self._clock())
        return alarms

    def configure(self, bed: str) -> None:
        """Take up a bed's settings everywhere."""
        self.ecg.configure(bed)
        for windows in self.windows.values():
            windows.configure(bed)
        self.watch.configure(bed, self._clock())

    def mute(self, bed: str, on: bool) -> list[Alarm]:
        """Silence the alarms of missing data, or no longer."""
        return self.note(self.watch.mute(bed, on, self._clock()))

    def begin_anew(self, bed: str) -> None:
        """Another patient: what still holds of the streams is said anew."""
        self.watch.begin_anew(bed, self._clock())

    def remove(self, bed: str, signal: str) -> None:
        """Forget a signal's samples, beats and baselines; its alarms and its settings stay."""
        if signal == SignalKind.ECG and bed in self.ecg.bank.beds:
            self.ecg.remove(bed)
        if signal == SignalKind.EEG and bed in self.eeg.bank.beds:
            self.eeg.remove(bed)
        if signal in PULSES and self.pulses.has(bed, SignalKind(signal)):
            self.pulses.remove(bed, SignalKind(signal))
        sounds = self.sounds.get(SignalKind(signal))
        if sounds is not None and bed in sounds.bank.beds:
            sounds.remove(bed)
        windows = self.windows.get(SignalKind(signal))
        if windows is not None and bed in windows.beds:
            windows.remove(bed)

    def forget(self, bed: str) -> None:
        """Drop a bed without a word: another worker has it now."""
        self.watch.mute(bed, False, self._clock())
        self.book.forget(bed)
        self.beds.forget(bed)
