"""Strips as files that other programs read: WFDB and EDF+.

Each piece of each signal is a record of its own, since rates and times differ; its samples are the device's
digital values. The libraries of the formats are imported where they are used.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from inference.strips import Strip, StripSignal
from inference.types import Alarm
from ingest.types import MISSING_INT16, NS_PER_S

NOTICE: Final = "Research software, no medical device: do not use it to decide about people."
_LABEL: Final = 16
_STEPS: Final = 32_767


@dataclass(frozen=True, slots=True)
class Note:
    """Something at a time of the strip; ``symbol`` is WFDB's, a comment where not said otherwise."""

    time_ns: int
    text: str
    symbol: str = '"'


def folder_name(alarm_id: str) -> str:
    """Name of an alarm's folder: what any file system takes, and no two alarms the same."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", alarm_id).strip("_")[:80]
    return f"{plain}_{hashlib.sha256(alarm_id.encode()).hexdigest()[:8]}"


def export_wfdb(alarm: Alarm, strip: Strip, out: Path) -> list[Path]:
    """Write a strip as WFDB records ``<folder>/<signal>_<piece>`` with annotations ``.atr``.

    Samples are of format 16, or 32 where a device's zero is no integer or it sent physical values.

    Returns
    -------
    list of Path
        The headers.
    """
    folder = out / folder_name(alarm.id)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        write_wfdb(
            folder,
            f"{signal.signal}_{signal.segment}",
            signal,
            alarm_marks(alarm),
            alarm_comments(alarm, strip, signal),
        )
        for signal in strip.signals
    ]


def write_wfdb(
    folder: Path, name: str, signal: StripSignal, notes: Sequence[Note], comments: Sequence[str]
) -> Path:
    """Write one record of one piece of signal.

    Parameters
    ----------
    folder, name
        Where, and the record's name.
    signal : StripSignal
        Its samples.
    notes : sequence of Note
        Annotations, in order of time; those outside of the signal are left out.
    comments : sequence of str
        Of the header; ASCII alone is kept.

    Returns
    -------
    Path
        The header.
    """
    import wfdb

    digital, gain, baseline, form = _wfdb_samples(signal)
    start = _moment(signal.start_ns)
    wfdb.wrsamp(
        name,
        fs=signal.fs_hz,
        units=[signal.scale.unit] * len(signal.channels),
        sig_name=_labels(signal, 80),
        d_signal=digital,
        fmt=[form] * len(signal.channels),
        adc_gain=gain,
        baseline=baseline,
        base_date=start.date(),
        base_time=start.time(),
        comments=[_ascii(text) for text in comments],
        write_dir=str(folder),
    )
    places = [(place, note) for note in notes if (place := _place(signal, note.time_ns)) is not None]
    if places:
        wfdb.wrann(
            name,
            "atr",
            np.array([place for place, _ in places]),
            symbol=[note.symbol for _, note in places],
            aux_note=[_ascii(note.text) for _, note in places],
            fs=signal.fs_hz,
            write_dir=str(folder),
        )
    return folder / f"{name}.hea"


def export_edf(alarm: Alarm, strip: Strip, out: Path) -> list[Path]:
    """Write a strip as EDF+ files ``<folder>/<signal>_<piece>.edf`` with annotations.

    EDF has no missing samples: they are the lowest digital value, and an annotation "missing" says where. EDF
    keeps eight characters of a channel's range, so physical values are right to about 1e-6.
    """
    folder = out / folder_name(alarm.id)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for signal in strip.signals:
        path = folder / f"{signal.signal}_{signal.segment}.edf"
        _write_edf(path, alarm, strip, signal)
        written.append(path)
    return written


def _write_edf(path: Path, alarm: Alarm, strip: Strip, signal: StripSignal) -> None:
    import pyedflib

    digital, gain, baseline = _edf_samples(signal)
    n_samples, n_channels = digital.shape
    per_record = max(1, round(signal.fs_hz))
    lowest, highest = (MISSING_INT16 - baseline) / gain, (_STEPS - baseline) / gain
    start = _moment(signal.start_ns)
    with warnings.catch_warnings(), pyedflib.EdfWriter(str(path), n_channels) as writer:
        # It warns of every record length that is set and of every range that eight characters cut.
        warnings.simplefilter("ignore")
        writer.setSignalHeaders(
            [
                {
                    "label": label,
                    "dimension": signal.scale.unit,
                    "sample_frequency": signal.fs_hz,
                    "physical_min": float(lowest[i]),
                    "physical_max": float(highest[i]),
                    "digital_min": MISSING_INT16,
                    "digital_max": _STEPS,
                    "prefilter": "",
                    "transducer": "",
                }
                for i, label in enumerate(_labels(signal, _LABEL))
            ]
        )
        # A record holds whole samples: 62 samples of 62.5 Hz last 0.992 s.
        writer.setDatarecordDuration(per_record / signal.fs_hz)
        writer.setStartdatetime(start)
        writer.setEquipment("Wardwave")
        padding = -n_samples % per_record
        padded = np.pad(digital, ((0, padding), (0, 0)), constant_values=MISSING_INT16)
        writer.writeSamples([np.ascontiguousarray(column) for column in padded.T], digital=True)
        for text in alarm_comments(alarm, strip, signal):
            writer.writeAnnotation(0.0, -1, _ascii(text))
        for mark in alarm_marks(alarm):
            if _place(signal, mark.time_ns) is not None:
                writer.writeAnnotation((mark.time_ns - signal.start_ns) / NS_PER_S, -1, mark.text)
        gone = np.concatenate([signal.missing.any(axis=1), np.ones(padding, dtype=np.bool_)])
        for first, last in _runs(gone):
            writer.writeAnnotation(first / signal.fs_hz, (last - first) / signal.fs_hz, "missing")


def alarm_marks(alarm: Alarm) -> list[Note]:
    """Onset of an alarm and when it was raised."""
    marks = [
        Note(alarm.onset_ns, f"onset {alarm.kind}"),
        Note(alarm.raised_ns, f"raised {alarm.priority.value}: {alarm.message}"),
    ]
    return sorted(marks, key=lambda mark: mark.time_ns)


def _place(signal: StripSignal, time_ns: int) -> int | None:
    """Sample at a time; ``None`` outside of the signal."""
    place = round((time_ns - signal.start_ns) / NS_PER_S * signal.fs_hz)
    return place if 0 <= place < len(signal.samples) else None


def alarm_comments(alarm: Alarm, strip: Strip, signal: StripSignal) -> list[str]:
    """What a file says of the alarm whose strip it holds."""
    return [
        NOTICE,
        f"alarm {alarm.id}",
        f"bed {alarm.bed}, device {signal.device}",
        f"{alarm.kind}, {alarm.priority.value} priority: {alarm.message}",
        f"start_ns {signal.start_ns} (device time, ns since 1970-01-01 UTC)",
        f"strip {'complete' if strip.complete else 'not complete: a signal lacks its begin or end'}",
    ]


def _moment(time_ns: int) -> datetime:
    """UTC, without saying so: the formats have no time zones."""
    whole = datetime.fromtimestamp(time_ns // NS_PER_S, UTC).replace(tzinfo=None)
    return whole.replace(microsecond=time_ns % NS_PER_S // 1_000)


def _ascii(text: str) -> str:
    """Text for formats that know ASCII alone."""
    one_line = " ".join(text.split())
    return one_line.encode("ascii", "replace").decode()


def _labels(signal: StripSignal, most: int) -> list[str]:
    """Names of the channels as the formats take them, each once."""
    plain = [_ascii(channel) for channel in signal.channels]
    cut = [name[:most] for name in plain]
    if len(set(cut)) == len(cut):
        return cut
    return [f"{name[: most - 5]} #{number}" for number, name in enumerate(plain, 1)]


def _wfdb_samples(signal: StripSignal) -> tuple[npt.NDArray[np.int64], list[float], list[int], str]:
    """Digital samples, gain, integer baseline and format."""
    baseline = np.array(signal.scale.baseline)
    if signal.digital and (baseline == np.rint(baseline)).all() and (np.abs(baseline) < 2**31).all():
        whole = baseline.astype(np.int64).tolist()
        return signal.samples.astype(np.int64), list(signal.scale.gain), whole, "16"
    values = signal.physical()
    gain = 2.0**30 / _largest(values)
    missing = np.int64(-(2**31))
    steps = np.where(np.isnan(values), missing, np.rint(np.nan_to_num(values) * gain)).astype(np.int64)
    return steps, gain.tolist(), [0] * len(gain), "32"


def _edf_samples(
    signal: StripSignal,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Digital samples, gain and baseline; physical values are brought to 16 bits."""
    if signal.digital:
        return signal.samples.astype(np.int32), np.array(signal.scale.gain), np.array(signal.scale.baseline)
    values = signal.physical()
    gain = _STEPS / _largest(values)
    steps = np.where(np.isnan(values), MISSING_INT16, np.rint(np.nan_to_num(values) * gain))
    return steps.astype(np.int32), gain, np.zeros(len(gain))


def _largest(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Largest magnitude of each channel, 1 where there is none."""
    largest = np.abs(np.nan_to_num(values)).max(axis=0)
    return np.where(largest > 0, largest, 1.0)


def _runs(flags: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last-plus-one place of each unbroken run."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]
