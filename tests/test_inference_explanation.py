"""Explaining a stretch of ECG: the right class, the right place, on the worker's own conditioning."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inference.explanation import Explained, explain_ecg
from ingest.simulate import Ward
from ingest.types import FloatArray
from models.errors import CannotExplain

ROOT = Path(__file__).resolve().parent.parent
BED = "bed-01"
LEADS = ("II", "V1")


def ecg(duration_s: float, *events: str, fs_hz: float = 250.0) -> FloatArray:
    ward = Ward(1, seed=3, events=events, fs_hz=fs_hz)
    return np.concatenate([chunk.samples for chunk in ward.chunks(0, duration_s)])


def check(found: Explained) -> None:
    assert found.end_s - found.start_s == pytest.approx(8.0)
    assert found.times_s.shape == found.attention.shape == found.cam.shape
    assert found.start_s < found.times_s[0] < found.times_s[-1] < found.end_s
    assert found.attention.sum() == pytest.approx(1.0, abs=1e-4)
    assert found.cam.min() >= 0
    assert found.cam.max() <= 1
    assert sum(found.probabilities.values()) == pytest.approx(1.0, abs=1e-4)
    assert found.probability == pytest.approx(found.probabilities[found.label])


def test_a_tachycardia_is_named_and_the_attention_lies_in_it() -> None:
    found = explain_ecg(ecg(30.0, f"{BED}:vt@15s:15s"), 250.0, LEADS, start_ns=5)
    check(found)
    assert (found.model, found.channel, found.head, found.label) == ("ecg-cnn-lstm-1", "II", "window", "vt")
    assert found.start_ns == 5
    assert found.probability > 0.5
    assert found.at_s is None
    assert found.end_s == pytest.approx(30.0, abs=0.2)
    assert found.times_s[int(found.attention.argmax())] > 25.0


def test_a_ventricular_beat_is_found_where_it_is_and_its_place_speaks_for_it() -> None:
    ward = Ward(1, seed=3, events=[f"{BED}:pvc@10s:15s"])
    beats = [beat for beat in ward.truth(BED, 30.0).beats if beat.label == "V" and 12 < beat.time_s < 20]
    samples = ecg(30.0, f"{BED}:pvc@10s:15s")
    wanted = beats[0].time_s
    found = explain_ecg(samples, 250.0, LEADS, label="V", at_s=wanted)
    check(found)
    assert (found.head, found.label) == ("step", "V")
    assert found.probability > 0.5
    assert found.at_s == pytest.approx(wanted, abs=0.25)
    assert found.start_s < wanted < found.end_s
    assert found.times_s[int(found.cam.argmax())] == pytest.approx(wanted, abs=0.6)


@pytest.mark.parametrize("fs_hz", [125.0, 360.0, 500.0])
def test_any_rate_of_a_device_gives_the_same_class(fs_hz: float) -> None:
    found = explain_ecg(ecg(20.0, f"{BED}:vt@5s:15s", fs_hz=fs_hz), fs_hz, LEADS)
    check(found)
    assert found.label == "vt"


def test_exactly_one_window_is_enough() -> None:
    found = explain_ecg(ecg(8.0), 250.0, LEADS)
    check(found)
    assert found.start_s == pytest.approx(0.0, abs=0.2)


def test_what_came_long_before_the_window_changes_nothing() -> None:
    samples = ecg(120.0)
    short = explain_ecg(samples[-50 * 250 :], 250.0, LEADS)
    long = explain_ecg(samples, 250.0, LEADS)
    assert long.probabilities == pytest.approx(short.probabilities, abs=1e-3)
    assert long.start_s - short.start_s == pytest.approx(70.0, abs=0.01)


def test_a_lead_that_hangs_off_is_left_for_one_that_does_not() -> None:
    samples = ecg(20.0)
    samples[:, 0] = np.nan
    assert explain_ecg(samples, 250.0, LEADS).channel == "V1"
    with pytest.raises(CannotExplain, match="choose another moment or lead"):
        explain_ecg(samples, 250.0, LEADS, channel="II")


def test_a_short_gap_does_not_hinder() -> None:
    samples = ecg(20.0)
    samples[-500:-400] = np.nan
    check(explain_ecg(samples, 250.0, LEADS))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"samples": np.zeros((500, 2), np.float32)}, "2.0 s of signal: .* sees 8 s; give that or more"),
        ({"label": "stroke"}, "label='stroke': .* no such class; give one of vf, vt, .*, N, S, V, F"),
        ({"label": "none"}, "no such class"),
        ({"channel": "aVR"}, "channel='aVR': .* give one of II, V1"),
        ({"fs_hz": 50.0}, "fs_hz=50: .* needs 88 Hz or more"),
        ({"at_s": 99.0}, "at_s=99: give a moment of the stretch, 0 to 10.0 s"),
        ({"channels": ("II",)}, r"samples of shape \(2500, 2\): give \(n_samples, 1\)"),
        ({"samples": np.full((2500, 2), np.inf, np.float32)}, "infinity: mark missing samples as NaN"),
    ],
)
def test_what_cannot_be_explained_says_the_way_out(change: dict[str, object], says: str) -> None:
    call = {"samples": np.zeros((2500, 2), np.float32), "fs_hz": 250.0, "channels": LEADS, **change}
    with pytest.raises(CannotExplain, match=says):
        explain_ecg(**call)  # type: ignore[arg-type]


def test_sessions_that_ask_at_once_get_what_each_would_alone() -> None:
    stretches = [ecg(20.0, f"{BED}:vt@5s:15s"), ecg(20.0)] * 4
    alone = [explain_ecg(samples, 250.0, LEADS).label for samples in stretches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda samples: explain_ecg(samples, 250.0, LEADS).label, stretches))
    assert together == alone


def test_importing_it_does_not_load_torch() -> None:
    code = "import sys, inference.explanation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
