"""Reads the alarm topic for a terminal."""

from __future__ import annotations

import time
from collections import deque
from typing import Self

import msgspec
from kafka import TopicPartition

from dashboard.summary import alarm_text
from inference.newest import Place, place
from inference.types import Alarm, AlarmState
from ingest import kafka
from ingest.settings import Settings

REMEMBERED = 10_000


class AlarmWatch:
    """Follows the alarm topic from its end at the time of entering.

    Parameters
    ----------
    settings : Settings
        Broker and topic.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._decoder = msgspec.json.Decoder(Alarm)
        self._seen: dict[str, tuple[Place, AlarmState]] = {}
        self.alarms: deque[Alarm] = deque(maxlen=REMEMBERED)

    def __enter__(self) -> Self:
        topic = self._settings.topics.alarms
        self._client = kafka.consumer(self._settings, group_id=None)
        numbers = self._client.partitions_for_topic(topic) or ()
        partitions = [TopicPartition(topic, number) for number in numbers]
        self._client.assign(partitions)
        for partition, offset in kafka.end_offsets(self._settings, partitions).items():
            self._client.seek(partition, offset)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close(autocommit=False)

    @property
    def n_alarms(self) -> int:
        """Alarms seen, each episode once."""
        return len(self._seen)

    def poll(self, timeout_s: float) -> list[str]:
        """Wait for alarms at most so long; return a line for each new state of one."""
        lines = []
        for records in self._client.poll(timeout_ms=int(timeout_s * 1e3)).values():
            for record in records:
                try:
                    alarm = self._decoder.decode(record.value or b"")
                except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                    continue
                if self._is_news(alarm):
                    self.alarms.append(alarm)
                    lines.append(describe(alarm, time.time_ns()))
        return lines

    def _is_news(self, alarm: Alarm) -> bool:
        """Whether it is in another state than it was, and this is no older step come late."""
        at, state = self._seen.get(alarm.id, ((-1, -1), None))
        if place(alarm) <= at:
            return False
        self._seen[alarm.id] = (place(alarm), alarm.state)
        return alarm.state is not state


def describe(alarm: Alarm, now_ns: int) -> str:
    """Return the line of one alarm record that was received at ``now_ns``."""
    clock = time.strftime("%H:%M:%S", time.localtime(now_ns / 1e9))
    head = f"{clock}  {alarm.bed:<12}  {alarm_text(alarm)}"
    transport_ms = (now_ns - alarm.emitted_ns) / 1e6
    if alarm.state is AlarmState.ENDED:
        lasted = f" after {(alarm.ended_ns - alarm.onset_ns) / 1e9:.1f} s" if alarm.ended_ns else ""
        text = f"{head}: ended{lasted}"
    else:
        parts = alarm.delay
        text = (
            f"{head}: {alarm.state}, here {(now_ns - alarm.onset_ns) / 1e9:.1f} s after the onset "
            f"(measurement {parts.measurement_s:.1f} s, configured {parts.configured_s:.1f} s, "
            f"system {parts.system_s:.2f} s, topic to here {transport_ms:.0f} ms)"
        )
    # Labels come over the wire: no control characters for the terminal.
    return "".join(char if char.isprintable() else "?" for char in text)
