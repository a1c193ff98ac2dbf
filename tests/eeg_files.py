"""EDF files of EEG as people hand them in, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyedflib

from inference.analysis_limits import AnalysisLimits
from inference.analysis_read import Opened, ReadOptions, read_upload
from inference.analysis_unpack import Upload


def edf(
    folder: Path,
    lines: Mapping[str, np.ndarray],
    *,
    fs_hz: int = 256,
    rates: Mapping[str, int] | None = None,
    units: Mapping[str, str] | None = None,
    marks: Sequence[tuple[float, float, str]] = (),
    most: float = 3_200.0,
) -> Upload:
    """An EDF+ file of channels by label; ``|n`` at its end is cut off, so that one may stand twice.

    Values beyond ``most`` of the unit are cut; marks are begin, length (-1: a moment) and words.
    """
    path = folder / "made.edf"
    with pyedflib.EdfWriter(str(path), len(lines), file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        for at, label in enumerate(lines):
            writer.setSignalHeader(
                at,
                {
                    "label": label.split("|")[0], "dimension": (units or {}).get(label, "uV"),
                    "sample_frequency": (rates or {}).get(label, fs_hz), "physical_max": most,
                    "physical_min": -most, "digital_max": 32767, "digital_min": -32768, "transducer": "",
                    "prefilter": "",
                },
            )  # fmt: skip
        writer.writeSamples(
            [np.clip(np.asarray(one, dtype=np.float64), -most, most) for one in lines.values()]
        )
        for begin_s, length_s, text in marks:
            writer.writeAnnotation(begin_s, length_s, text)
    return Upload(path.name, path.read_bytes())


def by_name(samples: np.ndarray, channels: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns by their channels."""
    return {name: samples[:, at] for at, name in enumerate(channels)}


def opened(folder: Path, file: Upload, options: ReadOptions | None = None) -> Opened:
    """Read what is handed in."""
    work = folder / "work"
    work.mkdir(exist_ok=True)
    return read_upload([file], AnalysisLimits(), options or ReadOptions(), work)
