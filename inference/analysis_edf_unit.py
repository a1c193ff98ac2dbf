"""The unit of an EDF file's channels, where whoever hands it in knows it better than its header."""

from __future__ import annotations

from typing import Final

from inference.errors import BadUpload
from ingest.electrodes import Role, read_name
from ingest.recording import unit_factor
from ingest.types import SignalKind

_MAIN: Final = 256
_LABEL, _TRANSDUCER, _DIMENSION = 16, 80, 8


def with_edf_unit(name: str, data: bytes, unit: str, kind: str | None) -> bytes:
    """The file with another physical dimension in its header.

    Parameters
    ----------
    name : str
        For messages.
    data : bytes
        EDF or BDF whose header has been checked.
    unit : str
        Of its EEG channels; of all that are in volts, or name no unit, where ``kind`` is given.
    kind : str or None
        Kind of signal of all channels.

    Raises
    ------
    BadUpload
        It is no unit of a voltage.
    """
    if unit_factor(SignalKind.EEG, unit) is None:
        raise BadUpload(f"{name}: unit {unit!r}: give uV, mV or V")
    count = int(data[252:256])
    head = bytearray(data[: _MAIN * (count + 1)])
    for channel in range(count):
        at = _MAIN + channel * _LABEL
        label = head[at : at + _LABEL].decode("latin-1").strip()
        at = _MAIN + count * (_LABEL + _TRANSDUCER) + channel * _DIMENSION
        held = head[at : at + _DIMENSION].decode("latin-1").strip()
        volts = not held or unit_factor(SignalKind.EEG, held) is not None
        if volts and "annotations" not in label.lower() and (kind or read_name(label).role is Role.EEG):
            head[at : at + _DIMENSION] = unit.encode().ljust(_DIMENSION)
    return bytes(head) + data[len(head) :]
