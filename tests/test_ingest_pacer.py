"""Pacing pulses leave a sampled ECG; the heart's own waves stay, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import sim_ec13
from ingest.conditioning import ECG, condition
from ingest.pacer import PulseRemover

RATES = (250.0, 360.0, 500.0, 1000.0)


def removed(line: np.ndarray, fs_hz: float) -> np.ndarray:
    """The whole line without pulses."""
    remover = PulseRemover(fs_hz)
    return remover(np.pad(line, (remover.behind, remover.ahead), mode="edge"))


def noise(length_s: float, fs_hz: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, round(length_s * fs_hz))


@pytest.mark.parametrize("fs_hz", [250.0, 500.0])
@pytest.mark.parametrize("front_end", sim_ec13.FRONT_ENDS)
@pytest.mark.parametrize(("mv", "width_s"), [(2, 2e-3), (-10, 5e-4), (100, 3e-4), (700, 1e-3), (-700, 1e-3)])
def test_pulses_leave_the_line(fs_hz: float, front_end: str, mv: float, width_s: float) -> None:
    at_s = np.arange(0.5, 19, 0.8137)
    quiet = noise(20, fs_hz)
    line = quiet + sim_ec13.pulses(at_s.tolist(), 20, fs_hz, mv, width_s, front_end)
    assert np.abs(line - quiet).max() > 0.4
    assert np.abs(removed(line, fs_hz) - quiet).max() < 0.12
    # What is left makes nothing like a QRS of the least height.
    assert np.ptp(condition(line[:, None], fs_hz, ECG)[250:]) < 0.15


@pytest.mark.parametrize("fs_hz", RATES)
@pytest.mark.parametrize("qrs_s", [0.04, 0.07, 0.12])
@pytest.mark.parametrize("qrs_mv", [0.5, -1.0, 5.0])
def test_beats_stay_as_they_are(fs_hz: float, qrs_s: float, qrs_mv: float) -> None:
    beats_s = np.arange(0.5, 19, 0.7123).tolist()
    line = noise(20, fs_hz) + sim_ec13.triangles(beats_s, 20, fs_hz, qrs_s=qrs_s, qrs_mv=qrs_mv)
    np.testing.assert_array_equal(removed(line, fs_hz), line)


@pytest.mark.parametrize("name", [*sim_ec13.IRREGULAR, "4a", "4b"])
def test_wide_and_alternating_complexes_stay(name: str) -> None:
    wide = name in sim_ec13.TACHYCARDIA_BPM
    line = sim_ec13.tachycardia(name, 20, 250) if wide else sim_ec13.irregular(name, 20, 250)[0]
    np.testing.assert_array_equal(removed(line.astype(np.float64), 250.0), line)


@pytest.mark.parametrize("mv", [0.2, 1.0, 5.0])
def test_mains_hum_stays(mv: float) -> None:
    hum = mv * np.sin(2 * np.pi * 50 * np.arange(5000) / 500)
    np.testing.assert_array_equal(removed(hum, 500.0), hum)


def test_a_rate_that_cannot_tell_them_apart_loses_nothing() -> None:
    remover = PulseRemover(125.0)
    assert remover.ahead == remover.behind == 0
    line = noise(4, 125.0)
    line[100] = 5.0
    np.testing.assert_array_equal(remover(line), line)


@given(cuts=st.sets(st.integers(1, 1999), max_size=12), seed=st.integers(0, 50))
def test_any_cut_gives_the_same_line(cuts: set[int], seed: int) -> None:
    line = noise(8, 250.0, seed) + sim_ec13.pulses([0.5, 1.2, 3.3, 7.99], 8, 250.0, 20, 1e-3, "filter")
    remover = PulseRemover(250.0)
    whole = removed(line, 250.0)
    known = np.pad(line, (remover.behind, remover.ahead), mode="edge")
    bounds = [0, *sorted(cuts), len(line)]
    parts = [
        remover(known[begin : end + remover.behind + remover.ahead])
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
