"""Recordings from files: WFDB, EDF/BDF, WAV, FLAC, MP3 and other sounds, CSV.

The libraries of the formats are imported where they are used, so that the command line starts fast.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ingest.errors import BadRecording
from ingest.recording import RawChannel, Recording, canonical_unit, group_channels, kind_of_channel, span_of
from ingest.sound_files import SOUND_ENDINGS, read_sound
from ingest.types import SignalKind

if TYPE_CHECKING:
    import wfdb

_log = logging.getLogger(__name__)

MAX_FS_HZ: Final = 48_000.0
TIME_COLUMNS: Final = ("time", "time_s", "t", "seconds", "t_s")


def read_signal_files(
    path: str | Path,
    *,
    kind: SignalKind | str | None = None,
    fs_hz: float | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> Recording:
    """Read a recording.

    Parameters
    ----------
    path : path
        ``record`` or ``record.hea`` or ``record.dat`` (WFDB, any format that wfdb reads, multi-segment too),
        ``.edf``/``.bdf``, a sound (:data:`SOUND_ENDINGS`) or ``.csv``.
    kind : SignalKind or str, optional
        The kind of all channels. Without it the channels' names decide; a sound is a lung sound.
    fs_hz : float, optional
        The rate of a CSV without a time column.
    start_s, duration_s : float, optional
        The part to read; the whole file by default.

    Raises
    ------
    BadRecording
        Names the file, the field and the way out.
    """
    target = Path(path)
    if start_s < 0 or (duration_s is not None and duration_s <= 0):
        raise BadRecording(
            f"{target}: start {start_s:g} s, duration {duration_s} s: "
            "give a start of 0 or later and a duration over 0"
        )
    wanted = _kind(target, kind)
    suffix = target.suffix.lower()
    if suffix in (".edf", ".bdf"):
        raw = _read_edf(_existing(target), start_s, duration_s)
    elif suffix in SOUND_ENDINGS:
        raw = read_sound(_existing(target), start_s, duration_s, MAX_FS_HZ)
        wanted = wanted or SignalKind.LUNG_SOUND
    elif suffix in (".csv", ".tsv"):
        raw = _read_csv(_existing(target), wanted, fs_hz, start_s, duration_s)
    else:
        raw = _read_wfdb(target, start_s, duration_s)
    return _recording(target, raw, wanted)


def _kind(path: Path, kind: SignalKind | str | None) -> SignalKind | None:
    if kind is None:
        return None
    try:
        return SignalKind(kind)
    except ValueError:
        raise BadRecording(f"{path}: kind {kind!r} is none of {', '.join(SignalKind)}") from None


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise BadRecording(f"{path}: no such file")
    return path


def _recording(path: Path, raw: Sequence[RawChannel], kind: SignalKind | None) -> Recording:
    for channel in raw:
        if not (math.isfinite(channel.fs_hz) and 1.0 <= channel.fs_hz <= MAX_FS_HZ):
            raise BadRecording(
                f"{path}: channel {channel.name!r} has a rate of {channel.fs_hz:g} Hz; "
                f"the wire takes 1 to {MAX_FS_HZ:g}"
            )
    recording, refusals = group_channels(path.stem, raw, kind)
    way_out = f"give the kind (--kind {'|'.join(SignalKind)}) or rename the channel"
    if not recording.signals:
        raise BadRecording(f"{path}: {'; '.join(refusals) or 'holds no channel'}; {way_out}")
    if not any(signal.n_samples for signal in recording.signals):
        raise BadRecording(f"{path}: no samples in the part asked for; choose an earlier start")
    for refusal in refusals:
        _log.warning("%s: left out: %s; to send it, %s", path, refusal, way_out)
    return recording


def _guarded(path: Path, what: str, read: Callable[[], list[RawChannel]]) -> list[RawChannel]:
    """Turn a library's errors about a damaged file into one clear line."""
    try:
        return read()
    except BadRecording:
        raise
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        # wfdb, pyedflib and soundfile raise all of these for broken headers and short files
        raise BadRecording(f"{path}: not readable as {what}: {error}") from error


def _read_wfdb(path: Path, start_s: float, duration_s: float | None) -> list[RawChannel]:
    base = path.with_suffix("") if path.suffix.lower() in (".hea", ".dat", ".atr") else path
    header = base.with_name(base.name + ".hea")
    if not header.is_file():
        raise BadRecording(
            f"{path}: no WFDB header {header.name} beside it and no known ending "
            f"(.edf .bdf .csv {' '.join(SOUND_ENDINGS)}); convert it to one of them"
        )
    return _guarded(path, "WFDB", lambda: _wfdb_channels(str(base), start_s, duration_s))


def _wfdb_channels(name: str, start_s: float, duration_s: float | None) -> list[RawChannel]:
    import wfdb

    head = wfdb.rdheader(name)
    length = head.sig_len
    if length is None:
        length = wfdb.rdrecord(name, physical=False, smooth_frames=True).sig_len
    first, last = span_of(float(head.fs), int(length), start_s, duration_s)
    if first >= last:
        raise BadRecording(
            f"{name}: {length / head.fs:g} s long; nothing left after a start at {start_s:g} s"
        )
    record = wfdb.rdrecord(name, sampfrom=first, sampto=last, smooth_frames=False, m2s=False)
    if isinstance(record, wfdb.MultiRecord):
        # wfdb's own joining fails on a gap ("~") where frames are not smoothed
        segments = zip(record.segments, np.cumsum([0, *record.seg_len]).tolist(), strict=False)
        parts = [(int(at), segment) for segment, at in segments if segment is not None]
    else:
        parts = [(0, record)]
    return _join_segments(name, float(head.fs), last - first, parts)


def _join_segments(
    name: str, frame_hz: float, n_frames: int, parts: Sequence[tuple[int, wfdb.Record]]
) -> list[RawChannel]:
    """Lay segments, each with its first frame's number, over a line of missing samples."""
    joined: dict[str, RawChannel] = {}
    for at, segment in parts:
        for i, column in enumerate(segment.e_p_signal or ()):
            per_frame = int(segment.samps_per_frame[i] or 1)
            label = str(segment.sig_name[i] or f"ch{i + 1}")
            if len(parts) == 1 and label in joined:
                label = f"{label}#{i + 1}"
            new = RawChannel(
                name=label,
                unit=str(segment.units[i]),
                fs_hz=frame_hz * per_frame,
                values=np.full(n_frames * per_frame, np.nan),
                gain=float(segment.adc_gain[i]),
                baseline=float(segment.baseline[i] or 0),
            )
            held = joined.setdefault(label, new)
            if (held.fs_hz, held.unit) != (new.fs_hz, new.unit):
                raise BadRecording(
                    f"{name}: {label!r} changes its rate or unit between segments: replay them one by one"
                )
            if held.gain is not None and (held.gain, held.baseline) != (new.gain, new.baseline):
                held = joined[label] = replace(held, gain=None, baseline=0.0)
            held.values[at * per_frame : at * per_frame + len(column)] = column
    return list(joined.values())


def _read_edf(path: Path, start_s: float, duration_s: float | None) -> list[RawChannel]:
    import pyedflib

    def read() -> list[RawChannel]:
        out: list[RawChannel] = []
        with pyedflib.EdfReader(str(path)) as reader:
            lengths = reader.getNSamples()
            for i, label in enumerate(reader.getSignalLabels()):
                if "annotations" in label.lower() or label.strip().lower() == "status":
                    continue
                rate = float(reader.getSampleFrequency(i))
                first, last = span_of(rate, int(lengths[i]), start_s, duration_s)
                lowest, low = float(reader.getDigitalMinimum(i)), float(reader.getPhysicalMinimum(i))
                steps = float(reader.getDigitalMaximum(i)) - lowest
                extent = float(reader.getPhysicalMaximum(i)) - low
                if not steps or not extent:
                    raise BadRecording(f"{path}: channel {label!r} has an empty digital or physical range")
                gain = steps / extent
                baseline = lowest - low * gain
                digital = reader.readSignal(i, start=first, n=last - first, digital=True)
                values = (np.asarray(digital, np.float64) - baseline) / gain
                out.append(
                    RawChannel(
                        label.strip(), reader.getPhysicalDimension(i).strip(), rate, values, gain, baseline
                    )
                )
        return out

    return _guarded(path, "EDF/BDF", read)


def _read_csv(
    path: Path, kind: SignalKind | None, fs_hz: float | None, start_s: float, duration_s: float | None
) -> list[RawChannel]:
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadRecording(f"{path}: not UTF-8 text: {error}") from error
    if not lines:
        raise BadRecording(f"{path}: empty; the first line names the channels")
    names = [cell.strip().strip('"') for cell in lines[0].split(separator)]
    if all(_number(cell) is not None for cell in names):
        raise BadRecording(f"{path}: line 1 holds numbers; the first line names the channels: time_s,II,V1")
    rows = [
        _csv_row(path, i, line, separator, len(names)) for i, line in enumerate(lines[1:], 2) if line.strip()
    ]
    table = np.array(rows, np.float64).reshape(len(rows), len(names))
    timed = names[0].lower() in TIME_COLUMNS
    if timed:
        rate = _rate_from_times(path, table[:, 0]) if fs_hz is None else fs_hz
        names, table = names[1:], table[:, 1:]
    elif fs_hz is None:
        raise BadRecording(
            f"{path}: no rate: name the first column time_s (seconds) or give the rate (--fs HZ)"
        )
    else:
        rate = fs_hz
    first, last = span_of(rate, len(table), start_s, duration_s)
    out = []
    for i, name in enumerate(names):
        label, unit = _label_and_unit(name)
        found = kind or kind_of_channel(label)
        usual = "" if found is None else canonical_unit(found)
        out.append(RawChannel(label, unit or usual, rate, table[first:last, i]))
    return out


def _number(cell: str) -> float | None:
    text = cell.strip().strip('"')
    if not text:
        return math.nan
    try:
        return float(text)
    except ValueError:
        return None


def _csv_row(path: Path, number: int, line: str, separator: str, width: int) -> list[float]:
    cells = line.split(separator)
    if len(cells) != width:
        raise BadRecording(f"{path}: line {number} has {len(cells)} cells, the header {width}")
    row: list[float] = []
    for position, cell in enumerate(cells, 1):
        value = _number(cell)
        if value is None or math.isinf(value):
            raise BadRecording(
                f"{path}: line {number}, column {position}: {cell.strip()!r} is no finite number; "
                "leave missing ones empty"
            )
        row.append(value)
    return row


def _rate_from_times(path: Path, times_s: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    if len(times_s) < 2:
        raise BadRecording(f"{path}: too short to tell the rate from its times; give the rate (--fs HZ)")
    steps = np.diff(times_s)
    step = float(times_s[-1] - times_s[0]) / (len(times_s) - 1)
    if not step > 0 or not (np.abs(steps - step) <= 0.5 * step).all():
        worst = 2 if not step > 0 else int(np.argmax(~(np.abs(steps - step) <= 0.5 * step))) + 3
        raise BadRecording(f"{path}: line {worst}: times are not evenly spaced; resample, or give --fs HZ")
    rate = 1.0 / step
    whole = round(rate)
    return float(whole) if whole and abs(rate - whole) < 1e-3 * rate else rate


def _label_and_unit(name: str) -> tuple[str, str]:
    """Split ``II [mV]`` or ``II (mV)`` into name and unit."""
    for left, right in (("[", "]"), ("(", ")")):
        if name.endswith(right) and left in name:
            label, unit = name[:-1].rsplit(left, 1)
            return label.strip(), unit.strip()
    return name, ""
