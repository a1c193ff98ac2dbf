"""All beds of a worker: their signals, alarms and settings. Knows nothing of Kafka.

The worker feeds it from the raw topic, the desk changes it, scoring feeds it from records.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from inference.alarm_book import AlarmBook
from inference.alarms import Change
from inference.beat_classes import BeatPredictor
from inference.beds import Beds
from inference.catalog import Site, load_catalogue
from inference.monitor import Clock, EcgMonitor, Outcome
from inference.no_data import NoData, Silence
from inference.predictor import Predictor
from inference.pulses import KINDS as PULSE_KINDS
from inference.pulses import PulseMonitor
from inference.types import Alarm
from ingest.continuity import Piece
from ingest.types import SignalKind

PULSES: Final = frozenset(PULSE_KINDS)


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
    """

    def __init__(
        self,
        predictor: Predictor,
        clock: Clock,
        beats: BeatPredictor | None = None,
        site: Site | None = None,
    ) -> None:
        self._clock = clock
        self.book = AlarmBook()
        self.beds = Beds(load_catalogue(), site or Site())
        self.pulses = PulseMonitor()
        self.ecg = EcgMonitor(predictor, clock, beats, self.book, self.beds.settings, self.pulses)
        self.no_data = NoData()

    def push(self, pieces: Iterable[tuple[str, Piece]]) -> Outcome:
        """Append pieces of many beds and signals; judge what became due."""
        ecg: list[tuple[str, Piece]] = []
        pulses: list[tuple[str, Piece]] = []
        for bed, piece in pieces:
            kind = piece.chunk.kind
            if kind is SignalKind.ECG:
                ecg.append((bed, piece))
            elif kind in PULSES:
                pulses.append((bed, piece))
        # First: what a pulse says counts by its records' offsets, whatever else was read with them.
        if pulses:
            self.pulses.push(pulses)
        return self.ecg.push(ecg) if ecg else Outcome()

    def tick(self, now_s: float) -> list[Alarm]:
        """Look at the clock: what went silent, what stands unacknowledged for too long."""
        now_ns = self._clock()
        begun = [alarm for one in self.no_data.tick(now_s, now_ns) for alarm in self.note(one)]
        return begun + self.book.tick(now_ns)

    def note(self, silence: Silence) -> list[Alarm]:
        """Begin or end the alarm of a silence."""
        bed, signal = silence.stream
        setting = self.beds.settings(bed)[f"{signal}/no_data"]
        change = Change(0, setting, silence.onset_ns, silence.raised_ns, silence.ended_ns, silence.value)
        return self.book.apply(bed, signal, change, silence.raw_offset, self._clock())

    def configure(self, bed: str) -> None:
        """Take up a bed's settings everywhere."""
        self.ecg.configure(bed)

    def mute(self, bed: str, signals: Iterable[str], on: bool) -> list[Alarm]:
        """Silence the alarms of missing data of some signals, or no longer."""
        ended = [self.no_data.mute((bed, signal), on, self._clock()) for signal in signals]
        return [alarm for silence in ended if silence is not None for alarm in self.note(silence)]

    def remove(self, bed: str, signal: str) -> None:
        """Forget a signal's samples, beats and baselines; its alarms and its settings stay."""
        if signal == SignalKind.ECG and bed in self.ecg.bank.beds:
            self.ecg.remove(bed)
        if signal in PULSES and self.pulses.has(bed, SignalKind(signal)):
            self.pulses.remove(bed, SignalKind(signal))

    def forget(self, bed: str) -> None:
        """Drop a bed without a word: another worker has it now."""
        self.book.forget(bed)
        self.beds.forget(bed)
