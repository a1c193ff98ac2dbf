"""The life of every alarm that was raised: active, acknowledged, paused, latched, escalated, ended.

The engines say when conditions begin and end; staff acknowledge and pause; the book keeps what stands and
makes the record of each step. An alarm whose condition has gone and that latches stays until it is
acknowledged, and a new episode of the same kind is another alarm with an id of its own: nobody acknowledges
what they have not seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable

import msgspec

from inference.alarm_spec import RANK
from inference.alarms import Change
from inference.types import Alarm, AlarmState, Delay, Priority
from ingest.types import NS_PER_S

MOST_LATCHED = 16
"""Latched alarms of one kind kept for a bed; the oldest beyond ends as ``superseded``."""


class Pause(msgspec.Struct, frozen=True):
    """Silence of a bed: until when (wall clock, ns), by whom, and the gravest priority that it silences."""

    until_ns: int
    by: str
    up_to: Priority


class Life(msgspec.Struct):
    """One alarm as it stands; goes into snapshots as it is."""

    id: str
    bed: str
    signal: str
    kind: str
    priority: Priority
    message: str
    onset_ns: int
    raised_ns: int
    value: float | None
    limit: float | None
    unit: str | None
    delay: Delay
    latching: bool
    escalates_ns: int | None
    raw_offset: int
    revision: int = 0
    state: AlarmState = AlarmState.ACTIVE
    ended_ns: int | None = None
    acknowledged_by: str | None = None
    acknowledged_ns: int | None = None
    audio_paused_until_ns: int | None = None
    escalated_ns: int | None = None
    reasons: list[str] = []

    def record(self, now_ns: int) -> Alarm:
        """Record of the alarm as it stands."""
        return Alarm(
            id=self.id,
            bed=self.bed,
            signal=self.signal,
            kind=self.kind,
            priority=self.priority,
            state=self.state,
            message=self.message,
            onset_ns=self.onset_ns,
            raised_ns=self.raised_ns,
            emitted_ns=now_ns,
            ended_ns=self.ended_ns,
            value=self.value,
            limit=self.limit,
            unit=self.unit,
            delay=self.delay,
            raw_offset=self.raw_offset,
            revision=self.revision,
            latching=self.latching,
            acknowledged_by=self.acknowledged_by,
            acknowledged_ns=self.acknowledged_ns,
            audio_paused_until_ns=self.audio_paused_until_ns,
            escalated_ns=self.escalated_ns,
            reasons=list(self.reasons),
        )


def alarm_id(bed: str, signal: str, kind: str, onset_ns: int) -> str:
    """Id of an episode's alarm: the same whoever finds it."""
    return f"{bed}:{signal}:{kind}:{onset_ns}"


class AlarmBook:
    """All alarms that stand."""

    def __init__(self) -> None:
        self._lives: dict[str, dict[str, Life]] = defaultdict(dict)
        self._pauses: dict[str, Pause] = {}

    def of_bed(self, bed: str) -> list[Life]:
        """Alarms of a bed that stand, oldest first."""
        return list(self._lives.get(bed, {}).values())

    def apply(self, bed: str, signal: str, change: Change, raw_offset: int, now_ns: int) -> list[Alarm]:
        """Note that an alarm began or that its condition is over; return the records of that."""
        id_ = alarm_id(bed, signal, change.setting.spec.kind, change.onset_ns)
        if change.ended_ns is None:
            return self._begin(id_, bed, signal, change, raw_offset, now_ns)
        return self._end(id_, bed, signal, change, raw_offset, now_ns)

    def _begin(
        self, id_: str, bed: str, signal: str, change: Change, raw_offset: int, now_ns: int
    ) -> list[Alarm]:
        held = self._lives[bed].get(id_)
        if held is None:
            life = self._lives[bed][id_] = self._new(id_, bed, signal, change, raw_offset, now_ns)
            return [life.record(now_ns)]
        if held.ended_ns is None:
            # A predecessor raised it already.
            return []
        # The same episode goes on: what was latched is active again, unacknowledged.
        held.state, held.ended_ns, held.raw_offset = AlarmState.ACTIVE, None, raw_offset
        held.escalated_ns = held.audio_paused_until_ns = None
        if held.escalates_ns is not None:
            held.escalates_ns = now_ns + round((change.setting.spec.escalates_after_s or 0.0) * NS_PER_S)
        return [self._step(held, now_ns)]

    def _new(self, id_: str, bed: str, signal: str, change: Change, raw_offset: int, now_ns: int) -> Life:
        setting, spec = change.setting, change.setting.spec
        lasted_s = (change.raised_ns - change.onset_ns) / NS_PER_S
        after_s = spec.escalates_after_s if setting.priority is Priority.HIGH or spec.escalate_s else None
        life = Life(
            id=id_,
            bed=bed,
            signal=signal,
            kind=spec.kind,
            priority=setting.priority,
            # One that has ended has the reasons of its end.
            message=setting.message(signal, change.value, () if change.ended_ns else change.reasons),
            onset_ns=change.onset_ns,
            raised_ns=change.raised_ns,
            value=None if change.value is None else round(change.value, 1),
            limit=setting.limit,
            unit=spec.limit.unit if spec.limit else None,
            delay=Delay(
                measurement_s=round(max(0.0, lasted_s - setting.on_delay_s), 3),
                configured_s=setting.on_delay_s,
                system_s=round((now_ns - change.raised_ns) / NS_PER_S, 3),
            ),
            latching=spec.latching and setting.priority is Priority.HIGH,
            escalates_ns=None if after_s is None else now_ns + round(after_s * NS_PER_S),
            raw_offset=raw_offset,
            reasons=list(change.reasons),
        )
        pause = self._pauses.get(bed)
        # A new high alarm sounds in any pause: who paused has not seen it.
        silent = life.priority is not Priority.HIGH and pause is not None and now_ns < pause.until_ns
        if pause is not None and silent and RANK[life.priority] >= RANK[pause.up_to]:
            life.audio_paused_until_ns = pause.until_ns
        return life

    def _end(
        self, id_: str, bed: str, signal: str, change: Change, raw_offset: int, now_ns: int
    ) -> list[Alarm]:
        life = self._lives[bed].get(id_)
        if life is None:
            # A predecessor may have raised it after its snapshot; ending what nobody raised harms nobody.
            life = self._new(id_, bed, signal, change, raw_offset, now_ns)
            life.latching = False
        else:
            life.reasons += change.reasons
        life.ended_ns, life.raw_offset = change.ended_ns, raw_offset
        if life.latching and life.acknowledged_ns is None:
            life.state = AlarmState.LATCHED
            return [self._step(life, now_ns), *self._bound(life, now_ns)]
        return [self._finish(life, now_ns)]

    def _bound(self, newest: Life, now_ns: int) -> list[Alarm]:
        """End the oldest latched alarms of a kind where a bed has too many."""
        same = [
            life
            for life in self._lives[newest.bed].values()
            if life.state is AlarmState.LATCHED and (life.signal, life.kind) == (newest.signal, newest.kind)
        ]
        ended = []
        for life in same[: max(0, len(same) - MOST_LATCHED)]:
            life.reasons.append(f"superseded by {newest.id}")
            ended.append(self._finish(life, now_ns))
        return ended

    def _step(self, life: Life, now_ns: int) -> Alarm:
        life.revision += 1
        return life.record(now_ns)

    def _finish(self, life: Life, now_ns: int) -> Alarm:
        life.state = AlarmState.ENDED
        self._lives[life.bed].pop(life.id, None)
        return self._step(life, now_ns)

    def acknowledge(self, bed: str, ids: Iterable[str], user: str, at_ns: int, now_ns: int) -> list[Alarm]:
        """Acknowledge exactly these alarms; what does not stand or is acknowledged already stays as it is.

        ``at_ns`` is the broker's time of the command.
        """
        records = []
        for id_ in ids:
            life = self._lives.get(bed, {}).get(id_)
            if life is None or life.acknowledged_ns is not None:
                continue
            life.acknowledged_by, life.acknowledged_ns = user, at_ns
            if life.state is AlarmState.LATCHED:
                records.append(self._finish(life, now_ns))
            else:
                life.state = AlarmState.ACKNOWLEDGED
                records.append(self._step(life, now_ns))
        return records

    def gravest(self, bed: str) -> Priority:
        """Gravest priority among the alarms of a bed that sound; technical where there is none."""
        sounding = [life.priority for life in self.of_bed(bed) if life.state is not AlarmState.ACKNOWLEDGED]
        return min(sounding, key=RANK.__getitem__, default=Priority.TECHNICAL)

    def pause(self, bed: str, pause: Pause | None, now_ns: int) -> list[Alarm]:
        """Pause the sound of a bed's alarms, or end the pause (None); return the records that changed."""
        if pause is None:
            self._pauses.pop(bed, None)
        else:
            self._pauses[bed] = pause
        records = []
        for life in self.of_bed(bed):
            silent = pause is not None and RANK[life.priority] >= RANK[pause.up_to]
            until_ns = pause.until_ns if pause is not None and silent else None
            if life.audio_paused_until_ns != until_ns:
                life.audio_paused_until_ns = until_ns
                records.append(self._step(life, now_ns))
        return records

    def close(self, bed: str, reason: str, now_ns: int, signal: str | None = None) -> list[Alarm]:
        """End all alarms of a bed (or of one of its signals), latched ones too, for a reason in words."""
        records = []
        for life in self.of_bed(bed):
            if signal is None or life.signal == signal:
                life.reasons.append(reason)
                life.ended_ns = life.ended_ns or max(life.raised_ns, life.onset_ns)
                records.append(self._finish(life, now_ns))
        return records

    def orphan(
        self, bed: str, signal: str, reason: str, now_ns: int, judged: Collection[str] = ()
    ) -> list[Alarm]:
        """Alarms of a signal that nothing judges any more: what latches is latched, the rest is over.

        Kinds that are ``judged`` all the same go on.
        """
        records = []
        for life in self.state(bed, signal):
            if life.kind in judged:
                continue
            life.reasons.append(reason)
            life.ended_ns = life.ended_ns or max(life.raised_ns, life.onset_ns)
            if life.latching and life.acknowledged_ns is None:
                life.state = AlarmState.LATCHED
                records.append(self._step(life, now_ns))
            else:
                records.append(self._finish(life, now_ns))
        return records

    def tick(self, now_ns: int) -> list[Alarm]:
        """Escalate what has stood unacknowledged for too long."""
        records = []
        for lives in self._lives.values():
            for life in lives.values():
                due = life.escalates_ns is not None and now_ns >= life.escalates_ns
                if due and life.acknowledged_ns is None and life.escalated_ns is None:
                    # What escalates is heard, whatever was paused.
                    life.escalated_ns, life.audio_paused_until_ns = now_ns, None
                    records.append(self._step(life, now_ns))
        return records

    def clock_set_back(self, by_ns: int, now_ns: int) -> list[Alarm]:
        """Follow the host's clock: no alarm escalates later for it, no pause lasts longer.

        Returns
        -------
        list of Alarm
            Records of the alarms whose pause has another end now.
        """
        for lives in self._lives.values():
            for life in lives.values():
                if life.escalates_ns is not None:
                    life.escalates_ns -= by_ns
        records: list[Alarm] = []
        for bed, pause in list(self._pauses.items()):
            until_ns = pause.until_ns - by_ns
            records += self.pause(bed, msgspec.structs.replace(pause, until_ns=until_ns), now_ns)
        return records

    def pause_of(self, bed: str) -> Pause | None:
        """The pause of a bed's sound that was told last, over or not."""
        return self._pauses.get(bed)

    def state(self, bed: str, signal: str) -> list[Life]:
        """Alarms of one signal, for its snapshot."""
        return [life for life in self.of_bed(bed) if life.signal == signal]

    def restore(self, bed: str, lives: Iterable[Life], pause: Pause | None = None) -> None:
        """Put alarms of a bed back as they were, with the bed's pause."""
        for life in lives:
            self._lives[bed][life.id] = life
        if pause is not None:
            self._pauses[bed] = pause

    def forget(self, bed: str) -> None:
        """Drop a bed without a word: another worker has it now."""
        self._lives.pop(bed, None)
        self._pauses.pop(bed, None)
