"""Arrays and conditioned streams as msgspec Structs, for snapshots."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from ingest.bank import StreamState
from ingest.conditioning import ConditionerState


class Array(msgspec.Struct, frozen=True):
    """An array as bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def pack(array: npt.NDArray[np.generic]) -> Array:
    """Array as bytes."""
    return Array(array.dtype.str, array.shape, array.tobytes())


def unpack(array: Array) -> npt.NDArray[np.generic]:
    """Array as :func:`pack` took it; read-only.

    Raises
    ------
    ValueError, TypeError
        The bytes are not such an array.
    """
    return np.frombuffer(array.data, dtype=np.dtype(array.dtype)).reshape(array.shape)


class PackedStream(msgspec.Struct, frozen=True):
    """A :class:`ingest.bank.StreamState`."""

    fs_hz: float
    channels: tuple[str, ...]
    n_in: int
    count: int
    reference_in: int
    reference_ns: int
    offset: int
    arrays: dict[str, Array]


def pack_stream(stream: StreamState) -> PackedStream:
    """Stream for a snapshot."""
    conditioner = stream.conditioner
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "sections": conditioner.sections,
        "history": conditioner.history,
        "held": conditioner.held,
        "tail": conditioner.tail,
        "started": conditioner.started,
        "samples": stream.samples,
        "raw": stream.raw,
        "present": stream.present,
        "lead_off": stream.lead_off,
    }
    return PackedStream(
        stream.fs_hz,
        stream.channels,
        conditioner.n_in,
        stream.count,
        stream.reference_in,
        stream.reference_ns,
        stream.offset,
        {name: pack(array) for name, array in arrays.items()},
    )


def unpack_stream(stream: PackedStream) -> StreamState:
    """Stream as :func:`pack_stream` took it.

    Raises
    ------
    ValueError, TypeError, KeyError
        An array is missing or damaged.
    """
    arrays = {name: unpack(array) for name, array in stream.arrays.items()}
    return StreamState(
        stream.fs_hz,
        stream.channels,
        ConditionerState(
            arrays["sections"].astype(np.float64),
            arrays["history"].astype(np.float64),
            arrays["held"].astype(np.float64),
            arrays["tail"].astype(np.float64),
            arrays["started"].astype(np.bool_),
            stream.n_in,
        ),
        stream.count,
        stream.reference_in,
        stream.reference_ns,
        stream.offset,
        arrays["samples"].astype(np.float32),
        arrays["raw"].astype(np.float32),
        arrays["present"].astype(np.bool_),
        arrays["lead_off"].astype(np.bool_),
    )
