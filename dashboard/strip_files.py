"""A strip as files to take away: WFDB and EDF+ in a zip, CSV, PDF."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from dashboard.strip_pdf import strip_pdf
from dashboard.strip_sheet import Drawing
from inference.labels_export import as_cell
from inference.store_labels import AlarmLabel
from inference.strip_export import NOTICE, export_edf, export_wfdb, folder_name
from inference.strips import Strip
from inference.types import Alarm
from ingest.types import NS_PER_S

Export = Callable[[Alarm, Strip, Path], list[Path]]


@dataclass(frozen=True, slots=True)
class StripFile:
    """One kind of file: what its button says, its name, its type, and how it is made."""

    words: str
    name: str
    mime: str
    make: Callable[[], bytes]


def strip_files(drawing: Drawing, label: AlarmLabel | None) -> Sequence[StripFile]:
    """Return the files that a strip can be taken away as; each is made when it is asked for."""
    alarm, strip = drawing.alarm, drawing.strip
    name = folder_name(alarm.id)
    return (
        StripFile("PDF", f"{name}.pdf", "application/pdf", lambda: strip_pdf(drawing, label)),
        StripFile("WFDB", f"{name}_wfdb.zip", "application/zip", lambda: _zipped(export_wfdb, alarm, strip)),
        StripFile("EDF+", f"{name}_edf.zip", "application/zip", lambda: _zipped(export_edf, alarm, strip)),
        StripFile("CSV", f"{name}_csv.zip", "application/zip", lambda: _csv_zip(strip, name)),
    )


def _zipped(export: Export, alarm: Alarm, strip: Strip) -> bytes:
    """All files of an export, in a zip with the folder that it makes."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        export(alarm, strip, Path(folder))
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return out.getvalue()


def _csv_zip(strip: Strip, name: str) -> bytes:
    """A table for each piece of signal: rates and times differ."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}/README.txt", f"{NOTICE}\nTimes are UTC by the device's clock.\n")
        for number, signal in enumerate(strip.signals):
            archive.writestr(f"{name}/{signal.signal}_{signal.segment}.csv", signal_csv(strip, number))
    return out.getvalue()


def signal_csv(strip: Strip, number: int) -> str:
    """Return a piece of signal as CSV: time, then a column of each lead in its unit; empty where missing."""
    signal = strip.signals[number]
    out = io.StringIO()
    rows = csv.writer(out)
    columns = [as_cell(f"{channel} ({signal.scale.unit})") for channel in signal.channels]
    rows.writerow(["time_utc", "seconds", *columns])
    values = signal.physical()
    offsets_ns = np.round(np.arange(len(values)) / signal.fs_hz * NS_PER_S).astype(np.int64)
    for offset_ns, sample in zip(offsets_ns.tolist(), values.tolist(), strict=True):
        time_ns = signal.start_ns + offset_ns
        moment = datetime.fromtimestamp(time_ns // NS_PER_S, UTC)
        stamp = f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % NS_PER_S // 1_000:06d}Z"
        cells = ["" if value != value else f"{value:.6g}" for value in sample]  # noqa: PLR0124
        rows.writerow([stamp, f"{offset_ns / NS_PER_S:.6f}", *cells])
    return out.getvalue()
