"""From lung or heart sounds of many beds to predictions, vitals and alarms. Knows nothing of Kafka.

Every second of every bed: log-mel frames of the conditioned sound, what it says of its sensor
(:mod:`inference.sound_signs`), breaths or beats a minute (:mod:`inference.sound_rhythm`), and, where there is
a network, what that hears (:mod:`inference.sound_listener`). All of it goes to the alarms as one window. The
first channel of a chunk is listened to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from inference import sound_records
from inference.monitor import Outcome
from inference.sound_contact import is_off, low_of
from inference.sound_listener import Listener, Pieces, SoundNetwork
from inference.sound_rhythm import BEATS, BREATHS, Rhythm, RhythmSpec, loudness, rhythm_of
from inference.sound_sensors import Sensors
from inference.sound_signs import (
    DISTURBED_DB,
    HUM_DB,
    HUM_SHARE,
    LEAST_PRESENT,
    LOST_DB,
    SILENT_DB,
    Seconds,
    Usual,
    UsualLoudness,
    measure,
)
from inference.sound_tones import is_tone
from inference.types import Alarm, Prediction
from inference.windows import CLEAN, WindowMonitor, Windows
from ingest.bank import Bank, Due, Restart, layers
from ingest.conditioning import HEART, LUNG, ConditioningSpec
from ingest.continuity import Piece
from ingest.types import NS_PER_S, BoolArray, FloatArray, IntArray, SignalKind, WideFloatArray
from models.melspec import MelSpec, log_mel

HOP_S: Final = 1.0
SPECS: Final[dict[SignalKind, tuple[ConditioningSpec, RhythmSpec]]] = {
    SignalKind.LUNG_SOUND: (LUNG, BREATHS),
    SignalKind.HEART_SOUND: (HEART, BEATS),
}
"""How each kind of sound is conditioned, and what recurs in it."""

SIGNS: Final = ("lost", "clipped", "hum", "noise")
"""Classes of the alarms' windows that say that a second cannot be trusted."""

SILENCE: Final = "silence"
OFF: Final = "off"
_DB_PER_NEPER: Final = 10.0 / np.log(10.0)


class SoundMonitor:
    """All beds' sounds of one kind.

    Parameters
    ----------
    kind : SignalKind
        lung_sound or heart_sound.
    alarms : WindowMonitor
        The alarms of that kind.
    network : SoundNetwork or None
        What listens; without it sensor, breath, rate and silence are watched all the same.

    Raises
    ------
    UnfitModel
        The network asks for what this worker does not do.
    """

    def __init__(self, kind: SignalKind, alarms: WindowMonitor, network: SoundNetwork | None = None) -> None:
        conditioning, self.rhythm = SPECS[kind]
        self.mel = self.rhythm.mel
        self.alarms = alarms
        # Frames that lie partly in the second before: a second of samples and these give a second of frames.
        longest = self.mel if network is None else network.mel
        before_s = longest.early * longest.hop / conditioning.rate_hz
        self.bank = Bank(kind, conditioning, HOP_S + before_s, HOP_S, n_channels=1)
        n_slots = len(self.bank.count)
        self.usual = UsualLoudness(n_slots)
        self.loudness = np.full((n_slots, self.rhythm.span_s, self.rhythm.points), np.nan)
        """Ring of seconds of loudness; NaN where it does not count."""
        self.clean = np.zeros((n_slots, self.rhythm.span_s), dtype=np.bool_)
        """Ring: which of these seconds can be trusted."""
        self.holes = np.zeros((n_slots, self.rhythm.span_s), dtype=np.bool_)
        """Ring: in which of them samples were missing or stayed alike."""
        self.listener = None if network is None else Listener(kind, network, self.mel, n_slots)
        self.sensors = Sensors(n_slots)
        self._names: dict[int, str] = {}
        self._classes = (*SIGNS, SILENCE, OFF) if kind is SignalKind.LUNG_SOUND else SIGNS

    def slot(self, bed: str) -> int:
        """Slot of a bed, with room for it everywhere."""
        slot = self.bank.slot(bed)
        if slot not in self._names:
            self._names[slot] = bed
            self._make_room(len(self.bank.count))
            if self.listener is not None:
                self.listener.seat(slot, bed)
        return slot

    def _make_room(self, n_slots: int) -> None:
        extra = n_slots - len(self.clean)
        if extra <= 0:
            return
        self.usual.resize(n_slots)
        self.loudness = np.pad(self.loudness, ((0, extra), (0, 0), (0, 0)), constant_values=np.nan)
        self.clean = np.pad(self.clean, ((0, extra), (0, 0)))
        self.holes = np.pad(self.holes, ((0, extra), (0, 0)))
        self.sensors.resize(n_slots)
        if self.listener is not None:
            self.listener.resize(n_slots)

    def remove(self, bed: str) -> None:
        """Forget a bed."""
        slot = self.bank.beds[bed]
        self.bank.remove(bed)
        del self._names[slot]
        self.sensors.forget(slot)
        self.usual.reset(np.array([slot]))
        self._reset(slot)

    def _reset(self, slot: int) -> None:
        slots = np.array([slot])
        self.loudness[slot], self.clean[slot], self.holes[slot] = np.nan, False, False
        if self.listener is not None:
            self.listener.reset(slots)

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
        """A stream begins anew. What was usual is kept over a gap of the same sensor: an apnoea goes on."""
        if not self.sensors.goes_on(restart):
            self.usual.reset(np.array([restart.slot]))
        self._reset(restart.slot)

    def _judge(self, due: Due) -> Outcome:
        slots, seconds = due.slots, due.ends // self.bank.hop
        sound, _ = self.bank.gather(due, np.zeros(len(slots), dtype=np.int64))
        frames = self._frames(sound, self.mel)
        points = loudness(frames, self.rhythm)
        none = -(-self.mel.early * self.rhythm.points // round(self.mel.frame_hz))
        points[seconds == 1, :none] = np.nan
        loudest_db = np.nanmax(points, axis=1) * _DB_PER_NEPER
        signs = measure(self.bank, due, sound, low_of(frames, self.mel), loudest_db)
        usual = self.usual.of(slots)
        flags, silent = self._flags(signs, usual, frames), self._silent(signs, usual)
        # A sensor that fell off and a chest that fell silent sound alike: an apnoea is still looked for.
        off = self._off(signs, usual, loudest_db - np.nanmin(points, axis=1) * _DB_PER_NEPER)
        plain = (signs.present >= LEAST_PRESENT) & ~flags.any(axis=1)
        clean = plain & ~signs.holes & ~self.sensors.stay_off(slots, off)
        self.holes[slots, seconds % self.rhythm.span_s] = signs.holes
        rhythm = self._follow(slots, seconds, points, clean)
        # A gain that was turned down is learned by its breaths; an apnoea never becomes usual.
        breathless = silent & np.isnan(rhythm.per_min) & (self.bank.kind is SignalKind.LUNG_SOUND)
        self.usual.learn(slots, signs, ~plain | off | silent, breathless | signs.holes)
        ends_ns = self.bank.time_ns(slots, due.ends)
        self.sensors.note(slots, ends_ns, silent, plain)
        said = np.column_stack([flags, silent, off])[:, : len(self._classes)].astype(np.float64)
        outcome = Outcome()
        told, trusted = None, np.zeros(0, dtype=np.bool_)
        heard: dict[int, dict[str, bool]] = {}
        if self.listener is not None:
            mel = self.listener.mel
            told = self.listener.push(slots, frames if mel == self.mel else self._frames(sound, mel))
            if told is not None:
                outcome.predictions.extend(self._predictions(due, seconds, told, self.listener))
                # What the network says of a piece that was disturbed counts for nothing.
                quality = self._heard_quality(slots[told.rows], seconds[told.rows], self.listener)
                trusted = quality >= CLEAN
                heard = sound_records.heard_of(told, trusted, self.listener.network.classes)
            # It would compare what comes next with nothing: it begins anew, as behind a gap.
            self.listener.reset(slots[signs.empty])
        outcome.vitals.extend(
            sound_records.vitals(
                self._names,
                self.bank,
                due,
                ends_ns,
                np.where(clean, rhythm.per_min, np.nan),
                self._quality(slots, seconds, self.rhythm.span_s),
                clean,
                heard,
            )
        )
        # Nothing is known of a silence, nor of what is heard in it, while it is learned what is usual.
        judged = plain & ~np.isnan(usual.level_db)
        outcome.alarms.extend(self._alarms(due, ends_ns, said, judged, told, trusted))
        return outcome

    def _frames(self, sound: FloatArray, mel: MelSpec) -> FloatArray:
        """A second's frames: of it, and of as much before it as their span takes."""
        n_times = round(HOP_S * mel.rate_hz) + mel.early * mel.hop
        return log_mel(sound[:, -n_times:], mel)

    def _flags(self, signs: Seconds, usual: Usual, frames: FloatArray) -> BoolArray:
        """Which of :data:`SIGNS` hold of the last second; none by level while that is learned."""
        learning = np.isnan(usual.level_db)
        below_db = np.where(learning, 0.0, usual.level_db - signs.level_db)
        above_db = np.where(learning, 0.0, signs.whole_db - usual.whole_db)
        hum_db = np.where(learning, 0.0, signs.hum_db - usual.whole_db)
        lost = signs.flagged | (signs.present < LEAST_PRESENT)
        if self.bank.kind is SignalKind.HEART_SOUND:
            lost = lost | (below_db >= LOST_DB)
        hum = (signs.hum_share >= HUM_SHARE) & (hum_db >= HUM_DB)
        # What is cut or hums is loud, too, and says so itself.
        noise = (above_db >= DISTURBED_DB) & ~signs.clipped & ~hum
        if self.bank.kind is SignalKind.LUNG_SOUND:
            # A wheeze may be as loud as a voice: it is for the network to hear.
            loud = np.flatnonzero(noise)
            noise[loud] = ~is_tone(frames[loud], self.mel)
        return np.stack([lost, signs.clipped, hum, noise], axis=1)

    def _silent(self, signs: Seconds, usual: Usual) -> BoolArray:
        """Where no breath was heard in the last second; nowhere while it is learned what breath is."""
        return np.asarray(usual.peak_db - signs.peak_db >= SILENT_DB, dtype=np.bool_)

    def _off(self, signs: Seconds, usual: Usual, breath_db: WideFloatArray) -> BoolArray:
        """Where a lung sensor no longer hears a chest."""
        if self.bank.kind is SignalKind.HEART_SOUND:
            return np.zeros(len(signs.present), dtype=np.bool_)
        return is_off(signs.low, usual.low, breath_db)

    def _follow(self, slots: IntArray, seconds: IntArray, points: WideFloatArray, clean: BoolArray) -> Rhythm:
        """Append a second's loudness; say what recurs in that of the last ones."""
        span = self.rhythm.span_s
        self.loudness[slots, seconds % span] = np.where(clean[:, None], points, np.nan)
        self.clean[slots, seconds % span] = clean
        order = (seconds[:, None] + 1 + np.arange(span)) % span
        return rhythm_of(self.loudness[slots[:, None], order].reshape(len(slots), -1), self.rhythm)

    def _quality(self, slots: IntArray, seconds: IntArray, last_s: int) -> WideFloatArray:
        """Share of so many last seconds, as far as they were heard, that can be trusted."""
        ago = (seconds[:, None] - np.arange(min(last_s, self.rhythm.span_s))) % self.rhythm.span_s
        heard = np.minimum(ago.shape[1], seconds)
        return np.asarray(self.clean[slots[:, None], ago].sum(axis=1) / heard)

    def _heard_quality(self, slots: IntArray, seconds: IntArray, listener: Listener) -> WideFloatArray:
        """How far what a network says now can be trusted: not at all with a hole in its window."""
        span_s = self.rhythm.span_s
        ago = (seconds[:, None] - np.arange(min(listener.window_s, span_s))) % span_s
        holes = self.holes[slots[:, None], ago].any(axis=1)
        return np.where(holes, 0.0, self._quality(slots, seconds, listener.judged_s))

    def _predictions(self, due: Due, seconds: IntArray, told: Pieces, listener: Listener) -> list[Prediction]:
        newest = due.ends // self.mel.hop - listener.mel.early
        starts_ns = self.bank.time_ns(due.slots, (newest - listener.network.window_frames) * self.mel.hop)
        quality = self._heard_quality(due.slots, seconds, listener)
        return sound_records.predictions(self._names, self.bank, due, told, listener, starts_ns, quality)

    def _alarms(
        self,
        due: Due,
        ends_ns: IntArray,
        said: WideFloatArray,
        judged: BoolArray,
        told: Pieces | None,
        trusted: BoolArray,
    ) -> list[Alarm]:
        """Judge the last second of each stream: sensor and silence, and what the network heard with it.

        ``trusted`` says which of the pieces count; the last second may count where its piece does not.
        """
        asked = np.zeros(len(due.slots), dtype=np.bool_)
        alarms: list[Alarm] = []
        if told is not None and self.listener is not None:
            rows = told.rows[trusted]
            asked[rows] = True
            both = np.concatenate([said[rows], told.called[trusted]], axis=1)
            classes = (*self._classes, *self.listener.network.classes)
            alarms += self._push(due, rows, ends_ns, both, classes, judged)
        alone = np.flatnonzero(~asked)
        alarms += self._push(due, alone, ends_ns, said[alone], self._classes, judged)
        return alarms

    def _push(
        self,
        due: Due,
        rows: IntArray,
        ends_ns: IntArray,
        said: WideFloatArray,
        classes: tuple[str, ...],
        judged: BoolArray,
    ) -> list[Alarm]:
        if len(rows) == 0:
            return []
        return self.alarms.push(
            Windows(
                tuple(self._names[slot] for slot in due.slots[rows].tolist()),
                ends_ns[rows] - round(HOP_S * NS_PER_S),
                ends_ns[rows],
                said,
                classes,
                judged[rows].astype(np.float64),
                due.offsets[rows],
            )
        )
