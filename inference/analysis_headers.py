"""What a file's head promises, held against the file itself, before a library is trusted with it.

wfdb follows the names that a header holds, to other folders and to the network; edflib and libsndfile believe
their headers' counts. So here each is read by hand, and what does not add up is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from inference.analysis_limits import AnalysisLimits, check_layout
from inference.analysis_unpack import shown
from inference.errors import BadUpload
from ingest.readers import MAX_FS_HZ

PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,80}(\.[A-Za-z0-9_]{1,10})?")
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_RECORD: Final = re.compile(r"([A-Za-z0-9_-]+)(?:/(\d{1,6}))?")
_FORMAT: Final = re.compile(r"(\d{1,3})(?:x(\d{1,4}))?(?::(\d{1,9}))?(?:\+(\d{1,9}))?")
_GAIN: Final = re.compile(r"([^(/]*)(?:\(([^)/]*)\))?(?:/(.*))?")

_BITS: Final = {
    8: 8.0, 16: 16.0, 24: 24.0, 32: 32.0, 61: 16.0, 80: 8.0, 160: 16.0, 212: 12.0, 310: 32 / 3, 311: 32 / 3,
    508: 0.0, 516: 0.0, 524: 0.0,
}  # fmt: skip
"""Bits of a sample in each WFDB format; 0 where FLAC says."""

SKEW_MOST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Head:
    """What matters of a WFDB header: ``segments`` by name and length where it has any."""

    fs_hz: float
    length: int
    segments: tuple[tuple[str, int], ...] = ()


def text_lines(name: str, data: bytes) -> list[str]:
    """Lines of a text file.

    Raises
    ------
    BadUpload
        It is none.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadUpload(f"{name}: not UTF-8 text at byte {error.start}; save it as UTF-8") from error
    if "\0" in text:
        raise BadUpload(f"{name}: holds bytes that are no text; is it what its ending says?")
    return text.splitlines()


def check_wfdb(name: str, files: Mapping[str, bytes], limits: AnalysisLimits) -> Head:
    """Check a WFDB header and all that it refers to.

    Parameters
    ----------
    name : str
        The header's file name.
    files : mapping of str to bytes
        All that was handed in.
    limits : AnalysisLimits
        Bounds.

    Raises
    ------
    BadUpload
        Names the header, the field, the value and the way out.
    """
    head = _wfdb_head(name, files, limits)
    if not head.segments:
        return head
    if sum(length for _, length in head.segments) != head.length:
        raise BadUpload(f"{name}: its segments do not add up to its {head.length:,} samples; export it again")
    for segment, length in head.segments:
        if segment == "~":
            continue
        file = f"{segment}.hea"
        if file not in files:
            raise BadUpload(f"{name}: segment {file!r} is not there; hand in all files of the record")
        part = _wfdb_head(file, files, limits)
        if part.segments:
            raise BadUpload(f"{file}: a segment with segments of its own; export it as one record")
        if (part.length, part.fs_hz) not in ((length, head.fs_hz), (0, head.fs_hz)):
            raise BadUpload(
                f"{file}: {part.length} samples at {part.fs_hz:g} Hz; {name} says {length} at "
                f"{head.fs_hz:g} Hz: export it again"
            )
    return head


def _wfdb_head(name: str, files: Mapping[str, bytes], limits: AnalysisLimits) -> Head:
    lines = [line.strip() for line in text_lines(name, files[name])]
    lines = [line for line in lines if line and not line.startswith("#")]
    words = lines[0].split() if lines else []
    record = _RECORD.fullmatch(words[0]) if words else None
    if record is None or len(words) < 2:
        raise BadUpload(f"{name}: no WFDB header (first line {shown(' '.join(words))!r}); export it again")
    n_signals = _whole(name, "number of signals", words[1])
    fs_hz = _finite(name, "rate", words[2].split("/")[0].split("(")[0]) if len(words) > 2 else 250.0
    if not 1.0 <= fs_hz <= MAX_FS_HZ:
        raise BadUpload(f"{name}: rate {fs_hz:g} Hz; 1 to {MAX_FS_HZ:g} Hz are read: correct the header")
    length = _whole(name, "number of samples", words[3]) if len(words) > 3 else 0
    if record[2]:
        check_layout(name, [fs_hz] * max(1, n_signals), [length] * max(1, n_signals), limits)
        return Head(fs_hz, length, _segments(name, int(record[2]), lines[1:], limits))
    if len(lines) - 1 != n_signals:
        raise BadUpload(f"{name}: says {n_signals} signals but describes {len(lines) - 1}; export it again")
    # A length that is left out is found from the data.
    if n_signals == 0:
        return Head(fs_hz, length)
    return Head(fs_hz, _check_signals(name, fs_hz, length, lines[1:], files, limits))


def _segments(
    name: str, n_segments: int, lines: list[str], limits: AnalysisLimits
) -> tuple[tuple[str, int], ...]:
    if len(lines) != n_segments or not 1 <= n_segments <= limits.max_files:
        raise BadUpload(
            f"{name}: says {n_segments} segments but lists {len(lines)} (at most {limits.max_files}); "
            "export it again"
        )
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 2 or not (words[0] == "~" or PLAIN_NAME.fullmatch(words[0])) or "." in words[0]:
            raise BadUpload(
                f"{name}: segment {shown(line)!r} is no plain name and length; headers may only name files "
                "beside them"
            )
        found.append((words[0], _whole(name, "length of a segment", words[1])))
    return tuple(found)


def _check_signals(
    name: str,
    fs_hz: float,
    length: int,
    lines: list[str],
    files: Mapping[str, bytes],
    limits: AnalysisLimits,
) -> int:
    """Check the lines of the signals; return the record's length."""
    frame_bits: dict[str, float] = {}
    offsets: dict[str, int] = {}
    per_frame: list[int] = []
    for line in lines:
        file, form, many, offset = _signal_line(name, line, files)
        frame_bits[file] = frame_bits.get(file, 0.0) + _BITS[form] * many
        offsets[file] = max(offsets.get(file, 0), offset)
        per_frame.append(many)
    stored = [int((len(files[file]) - offsets[file]) * 8 / bits) for file, bits in frame_bits.items() if bits]
    if length and stored and min(stored) < length:
        short = min((f for f, bits in frame_bits.items() if bits), key=lambda file: len(files[file]))
        raise BadUpload(
            f"{short}: truncated: {name} says {length:,} samples, there are {max(0, min(stored)):,}; "
            "copy the file again"
        )
    length = length or min(stored, default=0)
    if not length:
        raise BadUpload(f"{name}: number of samples is 0 or left out; add it to the first line")
    check_layout(name, [fs_hz * many for many in per_frame], [length * many for many in per_frame], limits)
    rate = max(per_frame) * fs_hz
    if rate > MAX_FS_HZ:
        raise BadUpload(f"{name}: rate {rate:g} Hz; 1 to {MAX_FS_HZ:g} Hz are read: correct the header")
    return length


def _signal_line(name: str, line: str, files: Mapping[str, bytes]) -> tuple[str, int, int, int]:
    """File, format, samples a frame and byte offset of a signal."""
    words = line.split(maxsplit=8)
    if not PLAIN_NAME.fullmatch(words[0]):
        raise BadUpload(
            f"{name}: signal file {shown(words[0])!r} is no plain name; headers may only name files beside "
            "them"
        )
    if words[0] not in files:
        raise BadUpload(f"{name}: {words[0]!r} is not there; hand in the header and its data together")
    form = _FORMAT.fullmatch(words[1]) if len(words) > 1 else None
    if form is None or int(form[1]) not in _BITS:
        known = ", ".join(map(str, _BITS))
        raise BadUpload(
            f"{name}: format {shown(' '.join(words[1:2]))!r} of {words[0]}; {known} are read: export again"
        )
    if int(form[3] or 0) > SKEW_MOST:
        raise BadUpload(f"{name}: skew {form[3]} of {words[0]}; at most {SKEW_MOST}: correct the header")
    if len(words) > 2:
        _check_gain(name, words[2])
    for field, word in zip(
        ("resolution", "zero", "first value", "checksum", "block size"), words[3:8], strict=False
    ):
        if not re.fullmatch(r"[+-]?\d{1,12}", word):
            raise BadUpload(f"{name}: {field} {shown(word)!r} is no whole number; correct the header")
    return words[0], int(form[1]), int(form[2] or 1) or 1, int(form[4] or 0)


def _check_gain(name: str, word: str) -> None:
    parts = _GAIN.fullmatch(word)
    gain = _finite(name, "gain", parts[1] if parts else word)
    if abs(gain) > 1e9 or 0 < abs(gain) < 1e-9:
        raise BadUpload(f"{name}: gain {gain:g}; 1e-9 to 1e9 steps a unit are read: correct the header")
    if parts is not None and parts[2] is not None and abs(_finite(name, "baseline", parts[2])) > 2**40:
        raise BadUpload(f"{name}: baseline {shown(parts[2])}: correct the header")


def _finite(name: str, field: str, word: str) -> float:
    value = float(word) if _NUMBER.fullmatch(word) else math.nan
    if not math.isfinite(value):
        raise BadUpload(f"{name}: {field} {shown(word)!r} is no finite number; correct the header")
    return value


def _whole(name: str, field: str, word: str) -> int:
    if not re.fullmatch(r"\d{1,12}", word):
        raise BadUpload(f"{name}: {field} {shown(word)!r} is no whole number; correct the header")
    return int(word)


def check_edf(name: str, data: bytes, limits: AnalysisLimits) -> None:
    """Check the head of an EDF or BDF file against its size.

    Raises
    ------
    BadUpload
        Names the field, the value and the way out.
    """
    width = 3 if data[:1] == b"\xff" else 2
    n_signals = _field(name, data, "number of signals", 252, 4)
    if not 1 <= n_signals <= limits.max_channels + 2:
        raise BadUpload(f"{name}: {n_signals:g} signals; 1 to {limits.max_channels} are read: export fewer")
    count = int(n_signals)
    if len(data) < 256 * (count + 1) or _field(name, data, "bytes in header", 184, 8) != 256 * (count + 1):
        raise BadUpload(f"{name}: its header does not fit its {count} signals; copy or export it again")
    n_records = _field(name, data, "number of data records", 236, 8)
    seconds = _field(name, data, "duration of a data record", 244, 8)
    if n_records < 1 or n_records != int(n_records):
        raise BadUpload(f"{name}: {n_records:g} data records; a file that was closed properly is needed")
    if not 1e-3 <= seconds <= 86_400:
        raise BadUpload(f"{name}: data records of {seconds:g} s; 0.001 to 86400 s are read: export it again")
    at = 256 + count * (16 + 80 + 8)
    for i in range(count):
        ends = [_field(name, data, "range", at + part * count * 8 + i * 8, 8) for part in range(4)]
        if ends[0] == ends[1] or ends[2] >= ends[3]:
            raise BadUpload(f"{name}: signal {i + 1} has the empty range {ends}; export it again")
    samples_at = 256 + count * (16 + 80 + 8 + 8 * 4 + 80)
    per_record = [
        int(_field(name, data, "samples in a data record", samples_at + i * 8, 8)) for i in range(count)
    ]
    if min(per_record) < 1:
        raise BadUpload(f"{name}: a signal with {min(per_record)} samples in a data record; export it again")
    expected = 256 * (count + 1) + int(n_records) * sum(per_record) * width
    if len(data) != expected:
        raise BadUpload(
            f"{name}: {len(data):,} bytes, its header promises {expected:,}; truncated, or its counts are "
            "wrong: copy or export it again"
        )
    rates = [many / seconds for many in per_record]
    check_layout(name, rates, [many * int(n_records) for many in per_record], limits)


def _field(name: str, data: bytes, field: str, at: int, width: int) -> float:
    return _finite(name, field, data[at : at + width].decode("ascii", "replace").strip())
