"""Real EEGs in the monitor: their seizures are read, their artefacts are named (needs ../shared/data)."""

from pathlib import Path

import numpy as np
import pytest

from tests.eeg_playing import monitor, pieces, play, raised, trends

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CHB_MIT = (
    "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4",
    "P4-O2", "FP2-F8", "F8-T8", "T8-P8-0", "P8-O2", "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10",
    "FT10-T8", "T8-P8-1",
)  # fmt: skip
EMOTIV = ("AF3", "AF4", "F3", "F4", "F7", "F8", "FC5", "FC6", "O1", "O2", "P7", "P8", "T7", "T8")


@pytest.mark.data
def test_whole_seizures_are_not_taken_for_artefacts() -> None:
    path = DATA / "chbmit_clips" / "clips.npz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with np.load(path) as clips:
        names = [name for name in clips.files if name.endswith("ictal_b") and clips[name].shape[1] > 9_000]
        seizures = {name: clips[name].T * float(clips["units_uv_per_lsb"]) for name in names}
    assert len(seizures) == 3
    for name, samples in seizures.items():
        outcome = play(monitor(), pieces(samples, CHB_MIT))
        seconds = trends(outcome)
        assert raised(outcome) == [], name
        assert np.mean([one.trusted / one.derivations for one in seconds]) > 0.97, name
        assert seconds[-1].whole.delta_uv2 is not None
        assert seconds[-1].whole.delta_uv2 > 1_000


@pytest.mark.data
def test_people_at_rest_have_margins_and_edges_of_people_awake() -> None:
    folder = DATA / "guinea_bissau_eeg"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    lows, edges = [], []
    for path in sorted(folder.glob("*.npz"))[:6]:
        with np.load(path) as held:
            samples = np.cumsum(held["first_difference"][: 90 * 128], axis=0) / 1.95
        outcome = play(monitor(), pieces(samples, EMOTIV, fs_hz=128.0), 30)
        assert "implausible" not in raised(outcome)
        assert "burst_suppression" not in raised(outcome)
        last = [one.whole for one in trends(outcome)[40:]]
        lows += [one.aeeg_low_uv for one in last if one.aeeg_low_uv is not None]
        edges += [one.edge_hz for one in last if one.edge_hz is not None]
    assert 5 < np.median(lows) < 15
    assert 2 < np.median(edges) < 25
