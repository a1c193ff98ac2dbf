"""From continuous ECG of many beds to predictions, vitals and alarms. Knows nothing of Kafka.

The worker feeds it from the raw topic; scoring and tests feed it from records. All state is in arrays over
slots; Python walks only over what is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from inference.af import AtrialFibrillation, irregular
from inference.alarm_book import AlarmBook
from inference.alarm_spec import AlarmSetting
from inference.alarms import AlarmEngine, Conditions
from inference.beat_line import BeatLine
from inference.beat_predictor import BeatPredictor
from inference.beats import RecentBeats
from inference.ecg_clocks import EcgClocks
from inference.evidence import ECG_SPECS, Evidence
from inference.feature_reader import early_and_grid, reader_of
from inference.fit import check_fit
from inference.found_beats import find_beats, intervals_s, looked_at_s
from inference.leads import Leads
from inference.measured import Measured
from inference.predictor import Predictor, Probabilities
from inference.pulse_check import PulseCheck
from inference.pulses import PulseMonitor
from inference.quality import LeadStatus, lead_status
from inference.records import Records
from inference.rules import conditions
from inference.rules_rhythm import rhythm_holds, votes
from inference.second_lead import APART_S, CHANGE_S, QUIET_S
from inference.types import Alarm, Prediction, Vital
from inference.waves import wave_rate_bpm
from ingest.bank import Bank, Due, Restart, layers
from ingest.conditioning import ECG
from ingest.continuity import Piece
from ingest.types import NS_PER_S, BoolArray, IntArray, SignalKind, WideFloatArray

SETTLED_S = 5.0
"""Signal that must be there before the network's rhythm counts."""

MISSING_SHARE = 0.25
"""A hop with more than this missing interrupts the count of beats and pauses."""

AROUND_NS = 6 * NS_PER_S
"""What was found so long before the first sign of a lethal rhythm may be its waves: seeing it takes time."""

Clock = Callable[[], int]
SettingsOf = Callable[[str], Mapping[str, AlarmSetting]]
"""Gives the alarm settings of a bed by "signal/kind"."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a push gave."""

    predictions: list[Prediction] = field(default_factory=list)
    vitals: list[Vital] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    def extend(self, other: Outcome) -> None:
        """Add another outcome's items behind one's own."""
        self.predictions.extend(other.predictions)
        self.vitals.extend(other.vitals)
        self.alarms.extend(other.alarms)


class EcgMonitor:
    """All beds' ECG.

    Parameters
    ----------
    predictor : Predictor
        The network; its card gives rate, band, window and hop.
    clock : callable
        Gives the present time, ns since the epoch; a virtual one when scoring.
    beats : BeatPredictor or None
        The network that says what each beat is; without it the first network's word stands.
    book : AlarmBook or None
        Where alarms go on living once they are raised; one of its own by default.
    settings_of : callable or None
        Gives the alarm settings of a bed; by default all beds are as the catalogue says.
    pulses : PulseMonitor or None
        What PLETH and ABP of the same beds say; without it nothing contradicts the ECG.
    """

    def __init__(
        self,
        predictor: Predictor,
        clock: Clock,
        beats: BeatPredictor | None = None,
        book: AlarmBook | None = None,
        settings_of: SettingsOf | None = None,
        pulses: PulseMonitor | None = None,
    ) -> None:
        card = predictor.spec
        check_fit(card)
        early, _ = early_and_grid(predictor)
        self.bank = Bank(SignalKind.ECG, ECG, card.window_s, card.hop_s, early=early)
        n_slots = len(self.bank.count)
        self._line = BeatLine(beats, n_slots)
        self.beats, self.classifier = self._line.history, self._line.classifier
        self.engine = AlarmEngine(ECG_SPECS, n_slots)
        self.book = book or AlarmBook()
        self._settings_of = settings_of
        self._check = PulseCheck(pulses, n_slots)
        self.in_step = self._check.in_step
        self.leads = Leads(self.bank, predictor)
        self.clocks = EcgClocks(n_slots)
        self.af = AtrialFibrillation(n_slots)
        self._read = reader_of(self.bank, predictor, looked_at_s(card))
        self._card = card
        self.model_sha256 = card.sha256
        self._clock = clock
        self._names: dict[int, str] = {}
        self.channels: dict[int, tuple[str, ...]] = {}
        """Names of each slot's leads: a number of a lead means nothing without them."""
        self._records = Records(self.bank, card, self._names)
        self._context = round(card.right_context_s * card.fs_hz)
        # Windows end on the network's grid of steps, so that a hop may be a step longer than another.
        self._hop = -(-self.bank.hop // self._read.grid) * self._read.grid
        self._hop_ns = round(self._hop / card.fs_hz * NS_PER_S)

    def slot(self, bed: str) -> int:
        """Slot of a bed, with room for it everywhere."""
        slot = self.bank.slot(bed)
        if slot not in self._names:
            self._names[slot] = bed
            self._make_room(len(self.bank.count))
            self._check.take(slot, bed)
            self.configure(bed)
        return slot

    def configure(self, bed: str) -> None:
        """Take up the alarm settings of a bed; they hold from its next window."""
        slot = self.bank.beds.get(bed)
        if slot is not None and self._settings_of is not None:
            self.engine.configure(slot, self.bank.kind.value, self._settings_of(bed))

    def _make_room(self, n_slots: int) -> None:
        self._line.resize(n_slots)
        self.engine.resize(n_slots)
        self.af.resize(n_slots)
        self.leads.resize(n_slots)
        self._check.resize(n_slots)
        self.clocks.resize(n_slots)

    def remove(self, bed: str) -> None:
        """Forget a bed."""
        slot = self.bank.beds[bed]
        self.bank.remove(bed)
        del self._names[slot]
        self.channels.pop(slot, None)
        self._line.reset(slot)
        self.engine.reset(slot)
        self.in_step.reset(slot)
        self.af.reset(slot)
        self.leads.reset(slot)
        self.clocks.reset(slot)

    def push(self, pieces: Iterable[tuple[str, Piece]]) -> Outcome:
        """Append pieces of many beds and judge what became due."""
        placed = [(self.slot(bed), piece) for bed, piece in pieces]
        outcome = Outcome()
        for step in self.bank.push(placed):
            for restart in step.restarts:
                self._restart(restart)
            for layer in layers(step.due):
                outcome.extend(self._judge(layer))
        return outcome

    def _restart(self, restart: Restart) -> None:
        """A new stream: no interval and no rhythm reaches across; alarms stay until judged anew.

        Where time goes on, a pause goes on too, less what was not seen; where the clock was set back, nothing
        of the old time may be held against the new.
        """
        slot, start_ns = restart.slot, restart.start_ns
        if not self.clocks.restart(slot, start_ns):
            self.beats.reset(slot)
            self._line.look_anew(slot)
            self.engine.clock_set_back(slot)
        self.beats.clear_since_ns[slot] = start_ns
        self.beats.forget_heights(np.array([slot]))
        self.leads.reset(slot, restart.channels)
        if self.channels.get(slot, restart.channels) != restart.channels:
            self._line.look_anew(slot)
        self.channels[slot] = restart.channels

    def _judge(self, due: Due) -> Outcome:
        due = Due(due.slots, due.ends - due.ends % self._read.grid, due.offsets)
        status = lead_status(self.bank, due)
        leads, changed = self.leads.choose(due.slots, status)
        self.beats.forget_heights(changed)
        read = self._read(due, leads)
        windows, present, said = read.windows, read.present, read.said
        starts_ns = self.bank.time_ns(due.slots, due.ends - self.bank.window)
        ends_ns = self.bank.time_ns(due.slots, due.ends)
        frontier_ns = self.bank.time_ns(due.slots, due.ends - self._context)
        beats = find_beats(self._card, self.beats, due.slots, windows, present, said, starts_ns)
        since_s = intervals_s(self.beats, due.slots, beats)
        settled = self._note_gaps(due, status, present, frontier_ns)
        decided = self._line.remember(due, windows, beats, since_s, leads, frontier_ns)
        self.clocks.beat(due.slots[beats.row])
        shown = np.where((settled & ~status.unusable)[:, None], said.rhythms, np.nan)
        self.leads.remember(due.slots, shown)
        self._look_elsewhere(due, leads, status, said, frontier_ns)
        tachycardia = said.rhythms[:, self._card.window_classes.index("vt")] >= self._card.thresholds["vt"]
        waves_bpm = wave_rate_bpm(windows, self._card.fs_hz, tachycardia)
        evidence = self._evidence(due, status, settled, waves_bpm, ends_ns, frontier_ns)
        found, unseen = self._check(due, evidence, conditions(evidence))
        quality = self._records.quality(status, leads, said)
        measured = Measured(evidence, windows, self._card.fs_hz, leads, quality, self.channels)
        alarms = self._update_alarms(due, measured.explain(found))
        fibrillates = (
            rhythm_holds(evidence, "vf") | self.engine.active(due.slots)[:, self.engine.column("vf")]
        )
        return Outcome(
            self._records.predictions(due, leads, said, decided, starts_ns, ends_ns, quality),
            self._records.vitals(due, evidence, fibrillates, unseen, quality),
            alarms,
        )

    def _look_elsewhere(
        self, due: Due, leads: IntArray, status: LeadStatus, said: Probabilities, frontier_ns: IntArray
    ) -> None:
        """Look at another lead where this one lacks beats or is suspect; leave one that is blind or noisy."""
        slots = due.slots
        quiet_ns = frontier_ns - self.beats.last_ns[slots]
        seen = self.leads.look(due, leads, status, said, quiet_ns >= QUIET_S * NS_PER_S)
        alone = seen.beat_ns - self.beats.last_ns[slots] > APART_S * NS_PER_S
        of, beat_ns = slots[alone], seen.beat_ns[alone]
        self.clocks.beat_elsewhere(of, beat_ns)
        # An interval in which another lead had beats is none.
        self.beats.clear_since_ns[of] = np.maximum(self.beats.clear_since_ns[of], beat_ns)
        blind = alone & (quiet_ns >= CHANGE_S * NS_PER_S)
        self.beats.forget_heights(self.leads.leave(slots, seen, blind))

    def _note_gaps(
        self, due: Due, status: LeadStatus, present: BoolArray, frontier_ns: IntArray
    ) -> BoolArray:
        """Break the beat line where samples were missing; say where the network has seen enough."""
        final = present[:, : self.bank.window - self._context]
        missing = 1.0 - final[:, -self._hop :].mean(axis=1)
        missing = np.where(status.unusable, 1.0, missing)
        self.clocks.advance(due.slots, frontier_ns, self._hop_ns, missing)
        broken = missing > MISSING_SHARE
        slots = due.slots[broken]
        clear_ns = np.maximum(self.beats.clear_since_ns[slots], frontier_ns[broken])
        self.beats.clear_since_ns[slots] = clear_ns
        settled: BoolArray = present.sum(axis=1) >= SETTLED_S * self.bank.spec.rate_hz
        return settled

    def _evidence(
        self,
        due: Due,
        status: LeadStatus,
        settled: BoolArray,
        waves_bpm: WideFloatArray,
        ends_ns: IntArray,
        frontier_ns: IntArray,
    ) -> Evidence:
        slots = due.slots
        self._set_apart(slots, frontier_ns)
        recent = self.beats.recent(slots)
        told = self.engine.active(slots)[:, self.engine.column("noise")]
        noisy = self.leads.noisy(slots, status, told)
        began, ended = self._atrial_fibrillation(slots, recent, ~noisy)
        quiet_since_ns, quiet_s = self.clocks.quiet(slots, self.beats.last_ns[slots], frontier_ns)
        return Evidence(
            slots,
            ends_ns,
            frontier_ns,
            recent,
            self.beats.ventricular_since(slots, frontier_ns - 60 * NS_PER_S),
            quiet_since_ns,
            quiet_s,
            self.leads.rhythms[slots],
            self.leads.elsewhere[slots],
            waves_bpm,
            self._card.window_classes,
            self._card.thresholds,
            began,
            ended,
            status.off,
            status.saturated,
            status.unusable,
            noisy,
            settled,
            self.engine.active(slots),
            self.engine.limits(slots),
        )

    def _set_apart(self, slots: IntArray, frontier_ns: IntArray) -> None:
        """Waves of fibrillation, flutter and tachycardia are no ventricular beats to be counted."""
        told = self.engine.active(slots)[:, [self.engine.column("vf"), self.engine.column("vt")]]
        seen = votes(self.leads.rhythms[slots], self._card.window_classes, self._card.thresholds)["vf"]
        lethal = told.any(axis=1) | seen.any(axis=1)
        if lethal.any():
            self.beats.set_apart(slots[lethal], frontier_ns[lethal] - AROUND_NS)

    def _atrial_fibrillation(
        self, slots: IntArray, recent: RecentBeats, clean: BoolArray
    ) -> tuple[BoolArray, BoolArray]:
        """Whether it began or ended, and that is to be said."""
        probability = self.leads.rhythms[slots, -1, self._card.window_classes.index("af")]
        shown = np.where(clean & ~np.isnan(probability), probability >= self._card.thresholds["af"], np.nan)
        columns = [self.engine.column("af"), self.engine.column("af_end")]
        said = self.engine.active(slots)[:, columns]
        return self.af.step(slots, shown, lambda rows: irregular(recent.of(rows)), said)

    def _update_alarms(self, due: Due, found: Conditions) -> list[Alarm]:
        changes = self.engine.update(found)
        if not changes:
            return []
        offsets = dict(zip(due.slots.tolist(), due.offsets.tolist(), strict=True))
        kind = self.bank.kind.value
        return [
            alarm
            for change in changes
            for alarm in self.book.apply(
                self._names[change.slot], kind, change, offsets[change.slot], self._clock()
            )
        ]
