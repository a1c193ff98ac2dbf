"""What a worker leaves for its successor: the exact state of each signal after a raw offset.

One record per (bed, signal) on ``biosignals.state``, msgpack, key "bed/signal"; beside them one per bed (key
"bed/") and one per partition (key "/") with what commands have done. The state is exact (filters, ring,
beats, alarms): a successor that goes on at ``next_offset`` publishes what an unbroken run would have, to the
last bit on the same machine, with nothing to replay or settle.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from inference.alarm_book import Life
from inference.beds import BedState, DeskState
from inference.bedside import PULSES, Bedside
from inference.ecg_state import EcgState, put_ecg, take_ecg
from inference.eeg_state import EegState, put_eeg, take_eeg
from inference.errors import SnapshotError
from inference.pulses import PulseState
from inference.sound_state import SoundState, put_sound, take_sound
from inference.stream_watch import StreamState as WatchState
from inference.windows import WindowsState
from ingest.continuity import ContinuityState
from ingest.types import SignalKind

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises; the last for lists within lists without end."""

VERSION: Final = 2


class Snapshot(msgspec.Struct, frozen=True):
    """All that a successor needs for one signal of one bed; ``leaving`` as in :class:`DeskState`."""

    version: int
    bed: str
    signal: str
    next_offset: int
    continuity: ContinuityState
    watch: WatchState
    ecg: EcgState | None
    lives: list[Life] = []
    pulse: PulseState | None = None
    windows: WindowsState | None = None
    patient: int = 0
    sound: SoundState | None = None
    eeg: EegState | None = None
    leaving: int = 0


class Remains(msgspec.Struct, frozen=True):
    """What can be read of a snapshot of another version: the alarms that stood."""

    bed: str
    signal: str
    lives: list[Life] = []


def take(
    bedside: Bedside, bed: str, signal: str, next_offset: int, continuity: ContinuityState, leaving: int
) -> Snapshot:
    """State of one signal of one bed after the raw records below ``next_offset``."""
    kind = SignalKind(signal)
    return Snapshot(
        VERSION,
        bed,
        signal,
        next_offset,
        continuity,
        bedside.watch.state((bed, signal)),
        take_ecg(bedside.ecg, bed) if kind is SignalKind.ECG else None,
        bedside.book.state(bed, signal),
        bedside.pulses.state(bed, kind) if kind in PULSES and bedside.pulses.has(bed, kind) else None,
        bedside.windows[kind].state(bed) if kind in bedside.windows else None,
        bedside.beds.state(bed).patient,
        take_sound(bedside.sounds[kind], bed) if kind in bedside.sounds else None,
        take_eeg(bedside.eeg, bed) if kind is SignalKind.EEG else None,
        leaving,
    )


def put(bedside: Bedside, state: Snapshot) -> None:
    """Give a signal the state that :func:`take` took; who watches it for missing data is another matter.

    Raises
    ------
    SnapshotError
        The state comes from another version of the model or of the filters; its alarms are back all the same.
    """
    bedside.book.restore(state.bed, state.lives)
    if state.pulse is not None:
        try:
            bedside.pulses.restore(state.bed, SignalKind(state.signal), state.pulse)
        except (ValueError, TypeError, KeyError) as error:
            raise SnapshotError(
                f"bed {state.bed!r}: the state of {state.signal} does not fit: {error}"
            ) from error
    if state.windows is not None:
        bedside.windows[SignalKind(state.signal)].restore(state.bed, state.windows)
    if state.sound is not None:
        put_sound(bedside.sounds[SignalKind(state.signal)], state.bed, state.sound)
    if state.eeg is not None:
        put_eeg(bedside.eeg, state.bed, state.eeg)
    if state.ecg is not None:
        put_ecg(bedside.ecg, state.bed, state.ecg)


def encode(state: Snapshot | BedState | DeskState) -> bytes:
    """State as msgpack."""
    return msgspec.msgpack.encode(state)


Kept = TypeVar("Kept", BedState, DeskState)


def decode_as(value: bytes, kind: type[Kept]) -> Kept:
    """Read the state of a bed or of a partition's commands.

    Raises
    ------
    SnapshotError
        Not such a state of this version.
    """
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except _UNREADABLE as error:
        raise SnapshotError(f"no {kind.__name__}: {error}") from error


def decode_remains(value: bytes) -> Remains:
    """Read the alarms of a snapshot that is of another version otherwise.

    Raises
    ------
    SnapshotError
        Not even they can be read.
    """
    try:
        return msgspec.msgpack.decode(value, type=Remains)
    except _UNREADABLE as error:
        raise SnapshotError(f"no state of a signal: {error}") from error


def decode(value: bytes) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    SnapshotError
        Not a snapshot of this version.
    """
    try:
        snapshot = msgspec.msgpack.decode(value, type=Snapshot)
    except _UNREADABLE as error:
        raise SnapshotError(f"not a state snapshot: {error}") from error
    if snapshot.signal not in set(SignalKind):
        raise SnapshotError(f"signal {snapshot.signal!r} is not known to this worker")
    if snapshot.version != VERSION:
        raise SnapshotError(f"version {snapshot.version}: this worker reads version {VERSION}")
    return snapshot
