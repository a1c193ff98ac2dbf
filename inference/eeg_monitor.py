"""From the EEG of many beds to trends and alarms. Knows nothing of Kafka.

Every second of every bed: the longitudinal derivations that its channels give (:mod:`ingest.montage`), what
is wrong with its electrodes (:mod:`inference.eeg_quality`), trends (:mod:`inference.eeg_trends`) and, where
there is a network, what that sees (:mod:`inference.eeg_listener`). All of it goes to the alarms as one
window.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

import numpy as np

from inference import eeg_records
from inference.eeg_listener import SEIZURE, EegListener, Judged, SeizureNetwork
from inference.eeg_plans import mirrored, narrowed
from inference.eeg_quality import UNUSABLE, ChannelSigns, measure
from inference.eeg_trends import RATE, SPAN_S, Trends, TrendValues
from inference.monitor import Outcome
from inference.types import Alarm
from inference.windows import WindowMonitor, Windows, Words
from ingest.bank import Bank, Due, Restart, layers
from ingest.conditioning import EEG
from ingest.continuity import Piece
from ingest.electrodes import SITES_10_20
from ingest.montage import LONGITUDINAL, plan_of
from ingest.types import NS_PER_S, BoolArray, FloatArray, IntArray, SignalKind

SIGNS: Final = ("lost", "electrode", "implausible", "mains", "muscle", "suppressed")
"""Classes of the alarms' windows that need no network; the last is the burst-suppression ratio."""

LEAST_TRUSTED: Final = 0.5
"""Share of a bed's derivations that has to be trusted for its EEG to count."""

SCALE_KEPT_NS: Final = 600 * NS_PER_S
"""For so long the network keeps how large a derivation usually is: a seizure that goes on behind a gap is
large against the EEG before it, not against itself."""

WIDESPREAD: Final = 0.5
"""Share of the channels that hum, or of the derivations with muscle, from which the whole EEG does."""


class EegMonitor:
    """All beds' EEG.

    Parameters
    ----------
    alarms : WindowMonitor
        The alarms of the EEG.
    network : SeizureNetwork or None
        What looks for seizures; without it electrodes and trends are watched all the same.

    Raises
    ------
    UnfitModel
        The network asks for what this worker does not do.
    """

    def __init__(self, alarms: WindowMonitor, network: SeizureNetwork | None = None) -> None:
        self.alarms = alarms
        self.bank = Bank(SignalKind.EEG, EEG, float(SPAN_S), 1.0, n_channels=len(SITES_10_20))
        n_slots, n_pairs = len(self.bank.count), len(LONGITUDINAL)
        self.trends = Trends(n_slots)
        self.clean = np.zeros((n_slots, SPAN_S, n_pairs), dtype=np.bool_)
        """Which derivations could be trusted in the last seconds, the newest last."""
        self.listener = None if network is None else EegListener(network, n_slots)
        self._weights = np.zeros((n_slots, n_pairs, len(SITES_10_20)), dtype=np.float32)
        self._planned = np.zeros((n_slots, n_pairs), dtype=np.bool_)
        self._mirrored = np.zeros((n_slots, n_pairs), dtype=np.bool_)
        self._names: dict[int, str] = {}
        self._derivations: dict[int, dict[int, str]] = {}
        """Names by place of what each stream gives."""
        self._seen_ns = np.zeros(n_slots, dtype=np.int64)
        """Device time of the end of the last second that was judged."""

    def slot(self, bed: str) -> int:
        """Slot of a bed, with room for it everywhere."""
        slot = self.bank.slot(bed)
        if slot not in self._names:
            self._names[slot] = bed
            self._make_room(len(self.bank.count), 0)
        return slot

    def _make_room(self, n_slots: int, n_channels: int) -> None:
        extra = max(0, n_slots - len(self.clean))
        more = max(0, n_channels - self._weights.shape[2])
        if extra:
            self.trends.resize(n_slots)
            if self.listener is not None:
                self.listener.resize(n_slots)
            self.clean = np.pad(self.clean, ((0, extra), (0, 0), (0, 0)))
            self._planned = np.pad(self._planned, ((0, extra), (0, 0)))
            self._mirrored = np.pad(self._mirrored, ((0, extra), (0, 0)))
            self._seen_ns = np.pad(self._seen_ns, (0, extra))
        if extra or more:
            self._weights = np.pad(self._weights, ((0, extra), (0, 0), (0, more)))

    def remove(self, bed: str) -> None:
        """Forget a bed."""
        slot = self.bank.beds[bed]
        self.bank.remove(bed)
        del self._names[slot]
        self._derivations.pop(slot, None)
        self._reset(slot)
        if self.listener is not None:
            self.listener.reset(slot)

    def _reset(self, slot: int) -> None:
        self.trends.reset(np.array([slot]))
        self.clean[slot] = False

    def plan(self, slot: int, channels: tuple[str, ...]) -> None:
        """Take up what the channels of a stream can give."""
        plan = plan_of(channels)
        self._make_room(0, len(channels))
        self._weights[slot] = 0.0
        self._weights[slot, plan.places, : len(channels)] = plan.matrix
        self._planned[slot] = False
        self._planned[slot, plan.places] = True
        self._derivations[slot] = dict(zip(plan.places.tolist(), plan.names, strict=True))
        self._mirrored[slot] = mirrored(plan)

    def resume(self, slot: int) -> None:
        """Go on with a stream whose samples were put back into the bank."""
        self.plan(slot, self.bank.channels[slot])
        last = self.bank.count[[slot]] // self.bank.hop * self.bank.hop
        self._seen_ns[slot] = self.bank.time_ns(np.array([slot]), last)[0]

    def push(self, pieces: Iterable[tuple[str, Piece]]) -> Outcome:
        """Append pieces of many beds and judge what became due."""
        placed = [(self.slot(bed), narrowed(piece)) for bed, piece in pieces]
        outcome = Outcome()
        for step in self.bank.push(placed):
            for restart in step.restarts:
                self._restart(restart)
            for layer in layers(step.due):
                outcome.extend(self._judge(layer))
        return outcome

    def _restart(self, restart: Restart) -> None:
        """A new stream: another rate or other channels perhaps, nothing known of what came between."""
        slot = restart.slot
        before = self._derivations.get(slot, {})
        self._reset(slot)
        self.plan(slot, restart.channels)
        if self.listener is not None:
            soon = abs(restart.start_ns - int(self._seen_ns[slot])) <= SCALE_KEPT_NS
            now = self._derivations[slot]
            same = [
                soon and place in now and now[place] == before.get(place)
                for place in range(len(LONGITUDINAL))
            ]
            self.listener.reset(slot, np.array(same, dtype=np.bool_))

    def _judge(self, due: Due) -> Outcome:
        slots, seconds = due.slots, due.ends // self.bank.hop
        filtered = self._filtered(due)
        n_channels = filtered.shape[1]
        raw, present, lead_off = self.bank.recent(due, 2 * RATE, n_channels)
        exists = np.arange(n_channels) < self.bank.n_channels[slots][:, None]
        signs = measure(exists, raw, present, lead_off, filtered[:, :, -RATE:])
        trusted = self._trusted(slots, signs)
        muscle = self._made_of(slots, signs.muscle)
        clean = trusted & ~muscle
        self.clean[slots] = np.concatenate([self.clean[slots, 1:], clean[:, None]], axis=1)
        derived = self._weights[slots] @ filtered
        values = self.trends.push(slots, seconds, derived, self.clean[slots], self._mirrored[slots])
        counts = np.stack([self._planned[slots].sum(axis=1), trusted.sum(axis=1)], axis=1)
        usable = np.asarray(counts[:, 1] >= np.maximum(LEAST_TRUSTED * counts[:, 0], 1))
        ends_ns = self._seen_ns[slots] = self.bank.time_ns(slots, due.ends)
        outcome = Outcome(
            vitals=eeg_records.vitals(self._names, self.bank, due, ends_ns, values, signs, counts, usable)
        )
        said = self._said(signs, values, counts, usable, muscle)
        judged = None
        if self.listener is not None:
            last = np.where(trusted[:, :, None], derived[:, :, -RATE:], np.float32(np.nan))
            judged = self.listener.push(slots, last, counts[:, 1] / np.maximum(counts[:, 0], 1))
            outcome.predictions.extend(
                eeg_records.predictions(self._names, due, judged, self.listener, ends_ns)
            )
        words = partial(self._words, due, signs, judged)
        outcome.alarms.extend(self._alarms(due, ends_ns, said, usable, judged, words))
        return outcome

    def _filtered(self, due: Due) -> FloatArray:
        """Conditioned samples of the last seconds of every channel; shape (n, n_channels, 3 * rate)."""
        n_channels = self._weights.shape[2]
        each = Due(*(np.repeat(one, n_channels) for one in (due.slots, due.ends, due.offsets)))
        lines, _ = self.bank.gather(each, np.tile(np.arange(n_channels), len(due.slots)))
        return lines.reshape(len(due.slots), n_channels, -1)

    def _made_of(self, slots: IntArray, channels: BoolArray) -> BoolArray:
        """Which derivations are made of some of these channels; shapes (n, n_channels), (n, D)."""
        uses = (self._weights[slots] != 0).astype(np.float32)
        return np.asarray((uses @ channels.astype(np.float32)[:, :, None])[:, :, 0] > 0)

    def _trusted(self, slots: IntArray, signs: ChannelSigns) -> BoolArray:
        """Derivations all of whose channels can be used; shape (n, D)."""
        return np.asarray(self._planned[slots] & ~self._made_of(slots, ~signs.usable))

    def _said(
        self, signs: ChannelSigns, values: TrendValues, counts: IntArray, usable: BoolArray, muscle: BoolArray
    ) -> FloatArray:
        """How far each of :data:`SIGNS` holds of the last second; shape (n, n_signs)."""
        n_channels = np.maximum(signs.exists.sum(axis=1), 1)
        electrode = np.any([getattr(signs, name) for name in UNUSABLE], axis=0)
        return np.stack(
            [
                ~usable & ~signs.implausible,
                electrode.any(axis=1),
                signs.implausible,
                signs.mains.sum(axis=1) >= WIDESPREAD * n_channels,
                muscle.sum(axis=1) >= WIDESPREAD * np.maximum(counts[:, 0], 1),
                np.nan_to_num(values.suppression[:, -1]),
            ],
            axis=1,
        ).astype(np.float32)

    def _words(
        self, due: Due, signs: ChannelSigns, judged: Judged | None, row: int, kind: str
    ) -> tuple[str, ...]:
        """What speaks for an alarm of a stream."""
        slot = int(due.slots[row])
        if kind in ("lead_off", "unusable"):
            return eeg_records.said_of_electrodes(self.bank, slot, signs, row)
        if judged is None or kind != SEIZURE:
            return ()
        at = int(np.searchsorted(judged.rows, row))
        return eeg_records.said_of_seizure(judged, at, self._derivations[slot])

    def _alarms(
        self,
        due: Due,
        ends_ns: IntArray,
        said: FloatArray,
        usable: BoolArray,
        judged: Judged | None,
        words: Words,
    ) -> list[Alarm]:
        """Judge the last second of each stream, and what the network says with it."""
        asked = np.zeros(len(due.slots), dtype=np.bool_)
        alarms: list[Alarm] = []
        if judged is not None:
            # What it says of a second that could not be read counts for nothing; the other signs do.
            trusted = judged.quality >= LEAST_TRUSTED
            rows = judged.rows[trusted]
            asked[rows] = True
            both = np.column_stack([said[rows], judged.speaks[trusted]])
            alarms += self._push(due, rows, ends_ns, both, (*SIGNS, SEIZURE), usable, words)
        alone = np.flatnonzero(~asked)
        return alarms + self._push(due, alone, ends_ns, said[alone], SIGNS, usable, words)

    def _push(
        self,
        due: Due,
        rows: IntArray,
        ends_ns: IntArray,
        said: FloatArray,
        classes: tuple[str, ...],
        usable: BoolArray,
        words: Words,
    ) -> list[Alarm]:
        if len(rows) == 0:
            return []
        behind_s = float(self.listener.behind) if self.listener is not None else 0.0
        return self.alarms.push(
            Windows(
                tuple(self._names[slot] for slot in due.slots[rows].tolist()),
                ends_ns[rows] - NS_PER_S,
                ends_ns[rows],
                said.astype(np.float64),
                classes,
                usable[rows].astype(np.float64),
                due.offsets[rows],
                lambda row, kind: words(int(rows[row]), kind),
                tuple(behind_s if name == SEIZURE else 0.0 for name in classes),
            )
        )
