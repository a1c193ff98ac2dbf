"""Tables that are handed in: what their head leaves open, and what is wrong with them in their own terms."""

from __future__ import annotations

import re
from typing import Final

from inference.analysis_headers import text_lines
from inference.analysis_limits import AnalysisLimits, check_layout
from inference.errors import BadUpload
from ingest.readers import TIME_COLUMNS
from ingest.recording import kind_of_channel
from ingest.types import SignalKind

MAX_COLUMNS_BYTES: Final = 20_000
_EXAMPLE: Final = "time_s,II,V1"
_NUMBER: Final = re.compile(r"[+-]?\d+")
_DECIMAL_COMMA: Final = re.compile(r"\s*\"?[+-]?\d+,\d+\"?\s*")


def is_table(suffix: str) -> bool:
    """Whether a file of this ending is a table."""
    return suffix in (".csv", ".tsv")


def check_table(name: str, suffix: str, data: bytes, limits: AnalysisLimits) -> None:
    """Refuse what is no table, too large a one, and one that is separated otherwise.

    Raises
    ------
    BadUpload
        Names the line, what stands there and the way out.
    """
    lines = text_lines(name, data)
    first = lines[0] if lines else ""
    if first.lstrip().startswith(("<", "{", "%PDF")):
        raise BadUpload(f"{name}: its content is no table; the first line names the channels: {_EXAMPLE}")
    if len(first) > MAX_COLUMNS_BYTES:
        raise BadUpload(f"{name}: line 1 has {len(first):,} characters; it names the channels: {_EXAMPLE}")
    second = next((line for line in lines[1:] if line.strip()), "")
    _check_separator(name, suffix, first, second)
    columns = first.split(_separator(suffix))
    check_layout(name, [48_000.0] * len(columns), [len(lines) - 1] * len(columns), limits)


def _separator(suffix: str) -> str:
    return "\t" if suffix == ".tsv" else ","


def _check_separator(name: str, suffix: str, first: str, second: str) -> None:
    if suffix == ".csv" and ";" in first and "," not in first:
        raise BadUpload(
            f"{name}: line 1 is separated by semicolons; a .csv has commas between its columns and points in "
            "its numbers (0.12): save it so, or as .tsv with tabs"
        )
    if suffix == ".csv" and "\t" in first and "," not in first:
        raise BadUpload(f"{name}: line 1 is separated by tabs; name the file .tsv, or save it with commas")
    if suffix == ".tsv" and "\t" not in first and "," in first:
        raise BadUpload(f"{name}: line 1 is separated by commas; name the file .csv, or save it with tabs")
    if suffix == ".tsv":
        if any(_DECIMAL_COMMA.fullmatch(cell) for cell in second.split("\t")):
            raise BadUpload(f"{name}: line 2 has numbers with a decimal comma; write 0.12, not 0,12")
        return
    width, cells = len(first.split(",")), second.split(",")
    if width < len(cells) <= 2 * width and all(_NUMBER.fullmatch(cell.strip(' "')) for cell in cells):
        raise BadUpload(
            f"{name}: line 2 has {len(cells)} cells, line 1 names {width} columns: numbers with a decimal "
            "comma? write 0.12, not 0,12"
        )


def _names_unit(column: str) -> bool:
    return any(mark in column for mark in "[(")


def unitless_ecg(data: bytes, suffix: str, kind: str | None) -> bool:
    """Whether a column of ECG has no unit in the head."""
    return any(
        (kind or kind_of_channel(column.strip().strip('"'))) == SignalKind.ECG
        for column in _columns(data, suffix)
        if not _names_unit(column) and not _is_time(column)
    )


def with_unit(data: bytes, suffix: str, unit: str) -> bytes:
    """A table whose head names this unit where it named none."""
    columns = [
        column if _names_unit(column) or _is_time(column) else f"{column.strip().strip(chr(34))} [{unit}]"
        for column in _columns(data, suffix)
    ]
    _, line_end, rest = data.partition(b"\n")
    return _separator(suffix).join(columns).encode() + line_end + rest


def _columns(data: bytes, suffix: str) -> list[str]:
    return data.partition(b"\n")[0].decode("utf-8-sig").rstrip("\r").split(_separator(suffix))


def _is_time(column: str) -> bool:
    return column.strip().strip('"').lower() in TIME_COLUMNS
