"""The exact state of a bed's ECG, for snapshots."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from inference.alarms import EngineState
from inference.beat_classes import BeatClassifier, ClassifierState
from inference.errors import SnapshotError
from inference.monitor import EcgMonitor
from inference.packed import Array, PackedStream, pack, pack_stream, unpack, unpack_stream
from models.beat_rows import StreamState as StreamRows


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

    stream: PackedStream
    arrays: dict[str, Array]
    beat_times_ns: list[int]
    beat_labels: list[int]
    clear_since_ns: int
    clocks: list[int]
    af_phase: int
    lead: int
    model_sha256: str
    alarms: EngineState
    in_step: list[int]
    classes: ClassesState | None = None
    apart_ns: list[int] = []


def take_ecg(monitor: EcgMonitor, bed: str) -> EcgState | None:
    """State of one bed; ``None`` while it has no samples."""
    slot = monitor.bank.beds.get(bed)
    if slot is None or slot not in monitor.bank.channels:
        return None
    stream = monitor.bank.state(bed)
    times_ns, labels, clear_since_ns = monitor.beats.state(slot)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "rhythms": monitor.leads.rhythms[slot],
        "elsewhere": monitor.leads.elsewhere[slot],
        "af": monitor.af.windows[slot],
        "heights": monitor.beats.heights_mv(slot),
    }
    return EcgState(
        stream=pack_stream(stream),
        arrays={name: pack(array) for name, array in arrays.items()},
        beat_times_ns=times_ns,
        beat_labels=labels,
        clear_since_ns=clear_since_ns,
        clocks=monitor.clocks.table[slot].tolist(),
        af_phase=int(monitor.af.phase[slot]),
        model_sha256=monitor.model_sha256,
        lead=int(monitor.leads.lead[slot]),
        alarms=monitor.engine.state(slot),
        in_step=monitor.in_step.score[slot].tolist(),
        classes=None if monitor.classifier is None else _take_classes(monitor.classifier, slot),
        apart_ns=monitor.beats.apart_ns(slot),
    )


ROW_ARRAYS: Final = ("rows", "running", "heights", "previous", "past")


def _take_classes(classifier: BeatClassifier, slot: int) -> ClassesState:
    state = classifier.state(slot)
    return ClassesState(
        classifier.sha256,
        {name: pack(getattr(state.rows, name)) for name in ROW_ARRAYS},
        state.rows.seen,
        state.rows.intervals,
        state.lead,
        state.undecided,
        state.time_ns,
        state.label,
        state.probability,
    )


def _put_classes(classifier: BeatClassifier, slot: int, state: ClassesState) -> None:
    arrays = {name: unpack(array).astype(np.float32) for name, array in state.arrays.items()}
    rows = StreamRows(
        rows=arrays["rows"],
        running=arrays["running"],
        heights=arrays["heights"],
        previous=arrays["previous"],
        past=unpack(state.arrays["past"]).astype(np.float64),
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
    arrays = {name: unpack(array) for name, array in state.arrays.items()}
    stream = unpack_stream(state.stream)
    slot = monitor.slot(bed)
    monitor.bank.restore(bed, stream)
    # Another model's rhythms mean something else; beats and alarms go on.
    if state.model_sha256 == monitor.model_sha256:
        monitor.leads.rhythms[slot] = arrays["rhythms"].astype(np.float64)
        monitor.leads.elsewhere[slot] = arrays["elsewhere"].astype(np.float64)
        monitor.af.windows[slot] = arrays["af"].astype(np.float64)
    monitor.af.phase[slot] = state.af_phase
    monitor.engine.restore(slot, state.alarms)
    monitor.in_step.score[slot] = state.in_step
    monitor.clocks.table[slot] = state.clocks
    monitor.beats.restore(slot, state.beat_times_ns, state.beat_labels, state.clear_since_ns)
    monitor.beats.restore_apart(slot, state.apart_ns)
    monitor.beats.restore_heights(slot, arrays["heights"].astype(np.float64))
    monitor.leads.lead[slot] = state.lead
    classes = state.classes
    monitor.channels[slot] = stream.channels
    if monitor.classifier is None or classes is None:
        return
    if classes.sha256 == monitor.classifier.sha256:
        _put_classes(monitor.classifier, slot, classes)
    elif classes.undecided:
        monitor.classifier.restore_waiting(slot, classes.time_ns, classes.label, classes.probability)
