"""The exact state of a bed's EEG, for snapshots."""

from __future__ import annotations

import msgspec

from inference.eeg_monitor import EegMonitor
from inference.errors import SnapshotError
from inference.packed import Array, PackedStream, pack, pack_stream, unpack, unpack_stream


class EegState(msgspec.Struct, frozen=True):
    """State of one bed in an :class:`inference.eeg_monitor.EegMonitor`; its alarms stand elsewhere."""

    stream: PackedStream
    arrays: dict[str, Array]
    network: dict[str, Array] = {}
    model_sha256: str | None = None


def take_eeg(monitor: EegMonitor, bed: str) -> EegState | None:
    """State of one bed; ``None`` while it has no samples."""
    slot = monitor.bank.beds.get(bed)
    if slot is None or slot not in monitor.bank.channels:
        return None
    trends = monitor.trends
    arrays = {
        "clean": pack(monitor.clean[slot]),
        "power": pack(trends.power[slot]),
        "blocks": pack(trends.blocks[slot]),
        "suppressed": pack(trends.suppressed[slot]),
    }
    stream, listener = pack_stream(monitor.bank.state(bed)), monitor.listener
    if listener is None:
        return EegState(stream, arrays)
    return EegState(stream, arrays, listener.state(slot), listener.card.sha256)


def put_eeg(monitor: EegMonitor, bed: str, state: EegState) -> None:
    """Give a bed the state that :func:`take_eeg` took.

    What another network has seen is left out: this one looks from the next second on.

    Raises
    ------
    SnapshotError
        The state comes from another version; the bed's EEG begins anew.
    """
    try:
        _put(monitor, bed, state)
    except (ValueError, TypeError, KeyError) as error:
        if bed in monitor.bank.beds:
            monitor.remove(bed)
        raise SnapshotError(
            f"bed {bed!r}: the state of {monitor.bank.kind} does not fit this version: {error}"
        ) from error


def _put(monitor: EegMonitor, bed: str, state: EegState) -> None:
    arrays = {name: unpack(array) for name, array in state.arrays.items()}
    slot = monitor.slot(bed)
    monitor.bank.restore(bed, unpack_stream(state.stream))
    monitor.resume(slot)
    monitor.clean[slot] = arrays["clean"]
    trends = monitor.trends
    trends.power[slot], trends.blocks[slot] = arrays["power"], arrays["blocks"]
    trends.suppressed[slot] = arrays["suppressed"]
    listener = monitor.listener
    if listener is None:
        return
    if state.model_sha256 == listener.card.sha256:
        listener.restore(slot, state.network)
    else:
        listener.reset(slot)
