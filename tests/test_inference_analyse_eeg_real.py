"""Real EEGs as files that are handed in (needs ../shared/data): the path, not the network's figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.analysis import analyse
from inference.analysis_findings import EegFindings
from models.eeg import EegModel
from tests.eeg_files import by_name, edf, opened
from tests.test_inference_eeg_real import CHB_MIT, DATA, EMOTIV

pytestmark = [pytest.mark.data, pytest.mark.slow]


def held(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


def read_eeg(
    folder: Path, lines: dict[str, np.ndarray], fs_hz: int, most: float, onset_s: float | None
) -> EegFindings:
    whole = {name: line[: len(line) // fs_hz * fs_hz] for name, line in lines.items()}
    marks = [] if onset_s is None else [(onset_s, -1.0, "seizure")]
    read = opened(folder, edf(folder, whole, fs_hz=fs_hz, most=most, marks=marks))
    found = analyse(read, None, lambda *_: None, seizures=EegModel.load("eeg-seizure-1"))
    assert found.eeg is not None
    return found.eeg


def test_a_whole_seizure_of_a_child_is_found_where_it_is_annotated(tmp_path: Path) -> None:
    with np.load(held(DATA / "chbmit_clips" / "clips.npz")) as clips:
        name = next(
            one for one in sorted(clips.files) if one.endswith("ictal_b") and clips[one].shape[1] > 9_000
        )
        before = clips.get(name.replace("_ictal_b", "_preictal10s"))
        parts = [clips[name]] if before is None else [before[:, :-1], clips[name]]
        samples = np.concatenate(parts, axis=1).T * float(clips["units_uv_per_lsb"])
    onset_s = 0.0 if before is None else 10.0
    found = read_eeg(tmp_path, by_name(samples, CHB_MIT), 256, 3_200.0, onset_s)
    assert found.comparison is not None
    assert (found.comparison.annotated, found.comparison.found) == (1, 1)
    assert found.judged_s > 0.9 * (len(samples) / 256)
    assert len(found.derivations) == 18
    doubled = {one.name: one.use for one in found.electrodes}
    assert doubled["T8-P8-1"] == "left out: an earlier channel means the same"


def test_minutes_of_a_person_awake_are_judged_and_hold_hardly_a_seizure(tmp_path: Path) -> None:
    path = sorted(held(DATA / "guinea_bissau_eeg").glob("*.npz"))[0]
    with np.load(path) as steps:
        samples = np.cumsum(steps["first_difference"], axis=0) / 1.95
    found = read_eeg(tmp_path, by_name(samples, EMOTIV), 128, 9_000.0, None)
    assert found.judged_s > 0.8 * (len(samples) / 128)
    assert len(found.seizures) <= 1
    assert found.statement.startswith(f"{len(found.seizures)} seizure")
    assert len(found.derivations) == 14
