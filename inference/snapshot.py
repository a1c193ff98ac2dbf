"""What a worker leaves for its successor: the exact state of each signal after a raw offset.

One record per (bed, signal) on ``biosignals.state``, msgpack, key "bed/signal"; beside them one per bed (key
"bed/") and one per partition (key "/") with what commands have done. The state is exact (filters, ring,
beats, alarms): a successor that goes on at ``next_offset`` publishes what an unbroken run would have, to the
last bit on the same machine, with nothing to replay or settle.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from inference.alarm_book import Life
from inference.alarms import EngineState
from inference.beat_classes import BeatClassifier, ClassifierState
from inference.beds import BedState, DeskState
from inference.bedside import PULSES, Bedside
from inference.errors import SnapshotError
from inference.monitor import EcgMonitor
from inference.no_data import NoDataState
from inference.pulses import PulseState
from ingest.bank import StreamState
from ingest.conditioning import ConditionerState
from ingest.continuity import ContinuityState
from ingest.types import SignalKind
from models.beat_rows import StreamState as StreamRows

VERSION: Final = 2


class Array(msgspec.Struct, frozen=True):
    """An array as bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class ClassesState(msgspec.Struct, frozen=True):
    """What :class:`inference.beat_classes.BeatClassifier` knows of one bed."""

    sha256: str
    arrays: dict[str, Array]
    seen: int
    intervals: int
    lead: int
    undecided: bool
    time_ns: int
    label: int
    probability: float


class EcgState(msgspec.Struct, frozen=True):
    """State of one bed in an :class:`inference.monitor.EcgMonitor`."""

    fs_hz: float
    channels: tuple[str, ...]
    n_in: int
    count: int
    reference_in: int
    reference_ns: int
    offset: int
    arrays: dict[str, Array]
    beat_times_ns: list[int]
    beat_labels: list[int]
    clear_since_ns: int
    clocks: list[int]
    af_phase: int
    lead: int
    model_sha256: str
    alarms: EngineState
    classes: ClassesState | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """All that a successor needs for one signal of one bed."""

    version: int
    bed: str
    signal: str
    next_offset: int
    continuity: ContinuityState
    no_data: NoDataState
    ecg: EcgState | None
    lives: list[Life] = []
    pulse: PulseState | None = None


def _pack(array: npt.NDArray[np.generic]) -> Array:
    return Array(array.dtype.str, array.shape, array.tobytes())


def _unpack(array: Array) -> npt.NDArray[np.generic]:
    return np.frombuffer(array.data, dtype=np.dtype(array.dtype)).reshape(array.shape)


def take_ecg(monitor: EcgMonitor, bed: str) -> EcgState | None:
    """State of one bed; ``None`` while it has no samples."""
    slot = monitor.bank.beds.get(bed)
    if slot is None or slot not in monitor.bank.channels:
        return None
    stream = monitor.bank.state(bed)
    times_ns, labels, clear_since_ns = monitor.beats.state(slot)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "sections": stream.conditioner.sections,
        "history": stream.conditioner.history,
        "held": stream.conditioner.held,
        "tail": stream.conditioner.tail,
        "started": stream.conditioner.started,
        "samples": stream.samples,
        "raw": stream.raw,
        "present": stream.present,
        "lead_off": stream.lead_off,
        "rhythms": monitor.rhythms[slot],
        "elsewhere": monitor.elsewhere[slot],
        "af": monitor.af.windows[slot],
        "heights": monitor.beats.heights_mv(slot),
    }
    return EcgState(
        fs_hz=stream.fs_hz,
        channels=stream.channels,
        n_in=stream.conditioner.n_in,
        count=stream.count,
        reference_in=stream.reference_in,
        reference_ns=stream.reference_ns,
        offset=stream.offset,
        arrays={name: _pack(array) for name, array in arrays.items()},
        beat_times_ns=times_ns,
        beat_labels=labels,
        clear_since_ns=clear_since_ns,
        clocks=monitor.clocks[slot].tolist(),
        af_phase=int(monitor.af.phase[slot]),
        model_sha256=monitor.model_sha256,
        lead=int(monitor.lead[slot]),
        alarms=monitor.engine.state(slot),
        classes=None if monitor.classifier is None else _take_classes(monitor.classifier, slot),
    )


ROW_ARRAYS: Final = ("rows", "running", "heights", "previous", "past")


def _take_classes(classifier: BeatClassifier, slot: int) -> ClassesState:
    state = classifier.state(slot)
    return ClassesState(
        classifier.sha256,
        {name: _pack(getattr(state.rows, name)) for name in ROW_ARRAYS},
        state.rows.seen,
        state.rows.intervals,
        state.lead,
        state.undecided,
        state.time_ns,
        state.label,
        state.probability,
    )


def _put_classes(classifier: BeatClassifier, slot: int, state: ClassesState) -> None:
    arrays = {name: _unpack(array).astype(np.float32) for name, array in state.arrays.items()}
    rows = StreamRows(
        rows=arrays["rows"],
        running=arrays["running"],
        heights=arrays["heights"],
        previous=arrays["previous"],
        past=_unpack(state.arrays["past"]).astype(np.float64),
        seen=state.seen,
        intervals=state.intervals,
    )
    held = ClassifierState(rows, state.lead, state.undecided, state.time_ns, state.label, state.probability)
    classifier.restore(slot, held)


def put_ecg(monitor: EcgMonitor, bed: str, state: EcgState) -> None:
    """Give a bed the state that :func:`take_ecg` took.

    Raises
    ------
    SnapshotError
        The state comes from another version of the model or of the filters.
    """
    try:
        _put_ecg(monitor, bed, state)
    except (ValueError, TypeError, KeyError) as error:
        if bed in monitor.bank.beds:
            monitor.remove(bed)
        raise SnapshotError(f"bed {bed!r}: the state does not fit this version: {error}") from error


def _put_ecg(monitor: EcgMonitor, bed: str, state: EcgState) -> None:
    arrays = {name: _unpack(array) for name, array in state.arrays.items()}
    stream = StreamState(
        state.fs_hz,
        state.channels,
        ConditionerState(
            arrays["sections"].astype(np.float64),
            arrays["history"].astype(np.float64),
            arrays["held"].astype(np.float64),
            arrays["tail"].astype(np.float64),
            arrays["started"].astype(np.bool_),
            state.n_in,
        ),
        state.count,
        state.reference_in,
        state.reference_ns,
        state.offset,
        arrays["samples"].astype(np.float32),
        arrays["raw"].astype(np.float32),
        arrays["present"].astype(np.bool_),
        arrays["lead_off"].astype(np.bool_),
    )
    slot = monitor.slot(bed)
    monitor.bank.restore(bed, stream)
    # Another model's rhythms mean something else; beats and alarms go on.
    if state.model_sha256 == monitor.model_sha256:
        monitor.rhythms[slot] = arrays["rhythms"].astype(np.float64)
        monitor.elsewhere[slot] = arrays["elsewhere"].astype(np.float64)
        monitor.af.windows[slot] = arrays["af"].astype(np.float64)
    monitor.af.phase[slot] = state.af_phase
    monitor.engine.restore(slot, state.alarms)
    monitor.clocks[slot] = state.clocks
    monitor.beats.restore(slot, state.beat_times_ns, state.beat_labels, state.clear_since_ns)
    monitor.beats.restore_heights(slot, arrays["heights"].astype(np.float64))
    monitor.lead[slot] = state.lead
    classes = state.classes
    monitor.channels[slot] = state.channels
    if monitor.classifier is None or classes is None:
        return
    if classes.sha256 == monitor.classifier.sha256:
        _put_classes(monitor.classifier, slot, classes)
    elif classes.undecided:
        monitor.classifier.restore_waiting(slot, classes.time_ns, classes.label, classes.probability)


def take(bedside: Bedside, bed: str, signal: str, next_offset: int, continuity: ContinuityState) -> Snapshot:
    """State of one signal of one bed after the raw records below ``next_offset``."""
    kind = SignalKind(signal)
    return Snapshot(
        VERSION,
        bed,
        signal,
        next_offset,
        continuity,
        bedside.no_data.state((bed, signal)),
        take_ecg(bedside.ecg, bed) if kind is SignalKind.ECG else None,
        bedside.book.state(bed, signal),
        bedside.pulses.state(bed, kind) if kind in PULSES and bedside.pulses.has(bed, kind) else None,
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
    except msgspec.DecodeError as error:
        raise SnapshotError(f"no {kind.__name__}: {error}") from error


def decode(value: bytes) -> Snapshot:
    """Read a snapshot.

    Raises
    ------
    SnapshotError
        Not a snapshot of this version.
    """
    try:
        snapshot = msgspec.msgpack.decode(value, type=Snapshot)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"not a state snapshot: {error}") from error
    if snapshot.signal not in set(SignalKind):
        raise SnapshotError(f"signal {snapshot.signal!r} is not known to this worker")
    if snapshot.version != VERSION:
        raise SnapshotError(f"version {snapshot.version}: this worker reads version {VERSION}")
    return snapshot
