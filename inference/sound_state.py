"""The exact state of a bed's sound, for snapshots."""

from __future__ import annotations

import msgspec
import numpy as np

from inference.errors import SnapshotError
from inference.packed import Array, PackedStream, pack, pack_stream, unpack, unpack_stream
from inference.sound_monitor import SoundMonitor
from inference.sound_sensors import Sensor


class SoundState(msgspec.Struct, frozen=True):
    """State of one bed in a :class:`inference.sound_monitor.SoundMonitor`; its alarms stand elsewhere."""

    stream: PackedStream
    arrays: dict[str, Array]
    model_sha256: str | None
    device: str = ""
    silent: bool = False
    off_s: int = 0
    last_ns: int | None = None


def take_sound(monitor: SoundMonitor, bed: str) -> SoundState | None:
    """State of one bed; ``None`` while it has no samples."""
    slot = monitor.bank.beds.get(bed)
    if slot is None or slot not in monitor.bank.channels:
        return None
    arrays = {
        "usual": pack(monitor.usual.seconds[slot]),
        "counts": pack(monitor.usual.counts[slot]),
        "loudness": pack(monitor.loudness[slot]),
        "clean": pack(monitor.clean[slot]),
        "holes": pack(monitor.holes[slot]),
    }
    listener = monitor.listener
    if listener is not None:
        arrays |= {"frames": pack(listener.frames[slot]), "level": pack(listener.level.state(slot))}
        arrays["seconds"] = pack(listener.seconds[slot : slot + 1])
    return SoundState(
        pack_stream(monitor.bank.state(bed)),
        arrays,
        None if listener is None else listener.card.sha256,
        monitor.sensors.of[slot].device,
        bool(monitor.sensors.silent[slot]),
        int(monitor.sensors.off_s[slot]),
        int(monitor.sensors.last_ns[slot]),
    )


def put_sound(monitor: SoundMonitor, bed: str, state: SoundState) -> None:
    """Give a bed the state that :func:`take_sound` took.

    What another network has heard is left out: this one listens from the next second on.

    Raises
    ------
    SnapshotError
        The state comes from another version; the bed is not listened to afterwards.
    """
    try:
        _put(monitor, bed, state)
    except (ValueError, TypeError, KeyError) as error:
        if bed in monitor.bank.beds:
            monitor.remove(bed)
        raise SnapshotError(
            f"bed {bed!r}: the state of {monitor.bank.kind} does not fit this version: {error}"
        ) from error


def _put(monitor: SoundMonitor, bed: str, state: SoundState) -> None:
    arrays = {name: unpack(array) for name, array in state.arrays.items()}
    slot = monitor.slot(bed)
    monitor.bank.restore(bed, unpack_stream(state.stream))
    monitor.usual.seconds[slot], monitor.usual.counts[slot] = arrays["usual"], arrays["counts"]
    monitor.loudness[slot], monitor.clean[slot] = arrays["loudness"], arrays["clean"]
    # A version before this one did not keep them.
    monitor.holes[slot] = arrays.get("holes", False)
    monitor.sensors.of[slot] = Sensor(state.device, state.stream.fs_hz, state.stream.channels)
    last_ns = state.last_ns
    if last_ns is None:
        # A version before this one did not say: the last whole second that is held.
        hop, slots = monitor.bank.hop, np.array([slot])
        last_ns = int(monitor.bank.time_ns(slots, monitor.bank.count[slots] // hop * hop)[0])
    monitor.sensors.last_ns[slot] = last_ns
    monitor.sensors.silent[slot], monitor.sensors.off_s[slot] = state.silent, state.off_s
    listener = monitor.listener
    if listener is None:
        return
    if state.model_sha256 == listener.card.sha256:
        listener.frames[slot], listener.seconds[slot] = arrays["frames"], arrays["seconds"][0]
        listener.level.restore(slot, arrays["level"].astype(np.float64))
    else:
        listener.reset(np.array([slot]))
