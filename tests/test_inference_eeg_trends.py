"""Trends of the EEG against what the same signal gives offline, by scipy and by definition."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from inference.eeg_trends import (
    AEEG_S,
    BANDS,
    LEFT,
    RATE,
    RIGHT,
    SPAN_S,
    SUPPRESSED_UV,
    SUPPRESSION_S,
    Trends,
    TrendValues,
    aeeg_taps,
    quantiles,
    spectral_edge,
)
from ingest.conditioning import EEG, condition
from ingest.montage import LONGITUDINAL, plan_of
from ingest.sim_eeg_waves import CHANNELS
from ingest.sim_events import Event
from tests.eeg_playing import FS, simulated

N_PAIRS = len(LONGITUDINAL)
LEFT_RIGHT_WHOLE = (LEFT, RIGHT, np.arange(N_PAIRS))


def derived(seconds: int, *events: Event) -> np.ndarray:
    """Conditioned derivations of a simulated EEG, (18, n)."""
    return condition(plan_of(CHANNELS)(simulated(seconds, *events)), FS, EEG).T


def follow(
    lines: np.ndarray, clean: Callable[[int], np.ndarray] | None = None, mirrored: np.ndarray | None = None
) -> list[TrendValues]:
    """Values of each second, the first three left out."""
    trends, found = Trends(1), []
    history = np.zeros((1, SPAN_S, N_PAIRS), dtype=np.bool_)
    both = np.ones((1, N_PAIRS), dtype=np.bool_) if mirrored is None else mirrored[None]
    for second in range(1, lines.shape[1] // RATE + 1):
        now = np.ones(N_PAIRS, dtype=np.bool_) if clean is None else clean(second)
        history = np.concatenate([history[:, 1:], now[None, None]], axis=1)
        if second < SPAN_S:
            continue
        part = lines[None, :, (second - SPAN_S) * RATE : second * RATE].astype(np.float32)
        found.append(trends.push(np.zeros(1, np.int64), np.array([second]), part, history, both))
    return found


def offline_spectra(lines: np.ndarray, second: int) -> tuple[np.ndarray, np.ndarray]:
    """Welch's estimate by scipy over the ten seconds before; of each side."""
    part = lines[:, (second - 10) * RATE : second * RATE].astype(np.float64)
    hz, power = signal.welch(part, RATE, nperseg=2 * RATE, noverlap=RATE, detrend="constant")
    return hz, np.stack([power[rows].mean(axis=0) for rows in LEFT_RIGHT_WHOLE])


@pytest.fixture(scope="module")
def lines() -> np.ndarray:
    return derived(40, Event("bed", "seizure", 10.0, 25.0))


def test_band_powers_are_those_of_scipy(lines: np.ndarray) -> None:
    values = follow(lines)
    for second in (13, 20, 39):
        hz, power = offline_spectra(lines, second)
        got = values[second - SPAN_S]
        for column, (low, high) in enumerate(BANDS.values()):
            inside = (hz >= low) & (hz < high)
            want = power[:, inside].sum(axis=1) * 0.5
            np.testing.assert_allclose(got.bands_uv2[0, :, column], want, rtol=1e-4)
        alpha, delta = (power[:, (hz >= low) & (hz < high)].sum(axis=1) for low, high in ((8, 13), (0.5, 4)))
        np.testing.assert_allclose(got.alpha_delta[0], alpha / delta, rtol=1e-4)


def test_the_spectral_edge_is_where_95_percent_of_the_power_lie_below(lines: np.ndarray) -> None:
    values = follow(lines)
    for second in (13, 20, 39):
        hz, power = offline_spectra(lines, second)
        inside = (hz >= 0.5) & (hz <= 30.0)
        for side in range(3):
            share = np.cumsum(power[side, inside]) / power[side, inside].sum()
            want = np.interp(0.95, share, hz[inside] + 0.25)
            assert values[second - SPAN_S].edge_hz[0, side] == pytest.approx(want, abs=0.01)


def test_a_spectrum_without_power_has_no_edge() -> None:
    edges = spectral_edge(np.stack([np.zeros(81), np.full(81, np.nan), np.eye(81)[20]]))
    assert np.isnan(edges[:2]).all()
    assert edges[2] == pytest.approx(10.0 + 0.225)


def offline_margins(line: np.ndarray, second: int) -> np.ndarray:
    """aEEG margins of one derivation by scipy, over the whole signal."""
    filtered = np.abs(signal.lfilter(aeeg_taps(), 1.0, line.astype(np.float64)))
    smooth = np.convolve(filtered, np.full(RATE // 2, 2 / RATE), mode="full")[: len(filtered)]
    points = np.pi * smooth[RATE // 8 - 1 :: RATE // 8]
    last = points[second * 8 - AEEG_S * 8 + 3 : second * 8]
    return np.percentile(last, [10, 90])


def test_aeeg_margins_are_those_of_the_whole_signal(lines: np.ndarray) -> None:
    values = follow(lines)
    for second in (20, 30, 39):
        want = np.array([offline_margins(line, second) for line in lines])
        got = values[second - SPAN_S]
        for side, rows in enumerate(LEFT_RIGHT_WHOLE):
            low, high = np.median(want[rows], axis=0)
            assert got.aeeg_low_uv[0, side] == pytest.approx(low, rel=1e-3)
            assert got.aeeg_high_uv[0, side] == pytest.approx(high, rel=1e-3)


@pytest.mark.parametrize(
    ("hz", "gain"),
    [(10.0, 1.0), (5.0, 0.5**0.6), (3.0, 0.3**0.6), (14.0, 1.4**0.6), (0.8, 0.0), (20.0, 0.0)],
)
def test_a_sine_of_the_aeeg_has_its_size_times_the_slope(hz: float, gain: float) -> None:
    wave = 25.0 * np.sin(2 * np.pi * hz * np.arange(25 * RATE) / RATE)
    last = follow(np.tile(wave, (N_PAIRS, 1)))[-1]
    for margin in (last.aeeg_low_uv, last.aeeg_high_uv):
        assert margin[0] == pytest.approx(50.0 * gain, rel=0.05, abs=0.6)


def brute_suppression(line: np.ndarray, second: int) -> float:
    """Share of a minute in quiet runs of half a second, run by run; it ends half a second before now."""
    quiet, end, share = np.abs(line) <= SUPPRESSED_UV, round((second - 0.5) * RATE), 0
    begin = end - SUPPRESSION_S * RATE
    run_begin = None
    for at in range(len(quiet) + 1):
        if at < len(quiet) and quiet[at]:
            run_begin = at if run_begin is None else run_begin
        elif run_begin is not None:
            if at - run_begin >= RATE // 2:
                share += max(0, min(at, end) - max(run_begin, begin))
            run_begin = None
    return share / (SUPPRESSION_S * RATE)


def test_the_suppression_ratio_is_that_of_quiet_runs_counted_one_by_one() -> None:
    lines = derived(90, Event("bed", "burst-suppression", 5.0, 80.0))
    values = follow(lines)
    for second in (70, 80, 89):
        want = [brute_suppression(line, second) for line in lines]
        got = values[second - SPAN_S].suppression[0]
        for side, rows in enumerate(LEFT_RIGHT_WHOLE):
            assert got[side] == pytest.approx(np.mean([want[row] for row in rows]), abs=1e-3)
    assert 0.5 < values[-1].suppression[0, 2] < 0.95


def test_known_bursts_give_the_known_ratio() -> None:
    """Three seconds of waves in every ten: seven tenths are suppressed."""
    at = np.arange(75 * RATE)
    line = np.where(at % (10 * RATE) < 3 * RATE, 40.0, 1.0) * np.sin(2 * np.pi * 6.1 * at / RATE + 0.3)
    assert follow(np.tile(line, (N_PAIRS, 1)))[-1].suppression[0] == pytest.approx(0.7, abs=0.01)


def test_a_side_of_half_the_amplitude_is_told(lines: np.ndarray) -> None:
    quieter = lines.copy()
    quieter[RIGHT] = lines[LEFT] / 2
    last = follow(quieter)[-1]
    assert last.asymmetry[0] == pytest.approx(-0.6, abs=1e-4)
    assert last.symmetry_index[0] == pytest.approx(0.6, abs=1e-4)
    alike = lines.copy()
    alike[RIGHT] = lines[LEFT]
    last = follow(alike)[-1]
    assert (last.asymmetry[0], last.symmetry_index[0]) == pytest.approx((0.0, 0.0), abs=1e-6)


def test_derivations_without_a_mirror_image_do_not_make_an_asymmetry(lines: np.ndarray) -> None:
    uneven = lines.copy()
    uneven[RIGHT] = lines[LEFT]
    uneven[RIGHT[0]] *= 10
    mirrored = np.ones(N_PAIRS, dtype=np.bool_)
    mirrored[[LEFT[0], RIGHT[0]]] = False
    assert follow(uneven, mirrored=mirrored)[-1].asymmetry[0] == pytest.approx(0.0, abs=1e-6)


def test_a_derivation_that_is_lost_leaves_the_others_as_they_are(lines: np.ndarray) -> None:
    broken = lines.copy()
    broken[0] = 1e6
    got = follow(broken, lambda _: np.arange(N_PAIRS) != 0)[-1]
    second = broken.shape[1] // RATE
    hz, _ = offline_spectra(broken, second)
    part = broken[1:8, (second - 10) * RATE :].astype(np.float64)
    power = signal.welch(part, RATE, nperseg=2 * RATE, noverlap=RATE)[1].mean(axis=0)
    want = power[(hz >= 8) & (hz < 13)].sum() * 0.5
    assert got.bands_uv2[0, 0, 2] == pytest.approx(want, rel=1e-4)
    assert got.aeeg_high_uv[0, 0] < 1e3


def test_where_nothing_can_be_trusted_there_is_no_number_and_later_there_is(lines: np.ndarray) -> None:
    values = follow(lines, lambda second: np.full(N_PAIRS, not 5 < second < 30))
    dark = values[29 - SPAN_S]
    for name in ("aeeg_low_uv", "edge_hz", "bands_uv2", "asymmetry", "symmetry_index"):
        assert np.isnan(getattr(dark, name)).all(), name
    assert np.isfinite(values[-1].edge_hz).all()
    assert np.isfinite(values[-1].aeeg_low_uv).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(float("nan"))), min_size=1, max_size=40),
    st.floats(0, 1),
    st.integers(1, 5),
)
def test_quantiles_are_numpys_without_the_holes(values: list[float], share: float, least: int) -> None:
    line = np.array([values])
    got = quantiles(line, (share,), least)[0, 0]
    there = line[~np.isnan(line)]
    if len(there) < least:
        assert np.isnan(got)
    else:
        assert got == pytest.approx(np.quantile(there, share), rel=1e-9, abs=1e-9)
