"""The EEG of a bed: what is kept of it, what the page is sent, what it shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.decimation import SmoothDecimator
from dashboard.ward import Ward
from ingest.types import NS_PER_S, Chunk, SignalKind

EEG = SignalKind.EEG
T0_NS = 1_700_000_000 * NS_PER_S


class TestThinning:
    @settings(deadline=None)
    @given(
        st.lists(st.integers(1, 97), min_size=1, max_size=20),
        st.sampled_from([128.0, 256.0, 500.0, 1_024.0]),
        st.integers(0, 2**31),
    )
    def test_any_cut_gives_the_same_trace(self, cuts: list[int], fs: float, seed: int) -> None:
        signal = np.random.default_rng(seed).normal(size=(sum(cuts), 2)).astype(np.float32)
        whole = SmoothDecimator(fs, 2).push(signal)
        pieces = SmoothDecimator(fs, 2)
        joined = np.concatenate([pieces.push(part) for part in np.split(signal, np.cumsum(cuts)[:-1])])
        np.testing.assert_allclose(joined, whole, atol=1e-5)

    def test_fast_channels_are_taken_at_one_moment_without_mirror_tones(self) -> None:
        times_s = np.arange(8_000) / 1_000
        common = 3_000 * np.sin(2 * np.pi * 390 * times_s)  # would fold to 110 Hz of 250 Hz
        own = 20 * np.sin(2 * np.pi * 10 * times_s)
        decimator = SmoothDecimator(1_000.0, 2)
        thinned = decimator.push(np.stack([common + own, common], axis=1).astype(np.float32))
        kept = thinned[50:-50]
        difference = kept[:, 0] - kept[:, 1]
        at = np.arange(50, 50 + len(kept)) / decimator.fs_hz
        np.testing.assert_allclose(difference, 20 * np.sin(2 * np.pi * 10 * at), atol=0.3)
        assert np.abs(kept[:, 1]).max() < 10

    def test_a_long_gap_of_a_fast_eeg_is_missing_and_what_comes_after_stands_at_its_time(self) -> None:
        ward = Ward(history_s=120.0)
        wave = np.sin(np.arange(5_120) / 50)[:, None].astype(np.float32)
        ward.add_chunk(Chunk("bed", "e", EEG, ("C3",), 512.0, T0_NS, 0, wave))
        ward.add_chunk(Chunk("bed", "e", EEG, ("C3",), 512.0, T0_NS + 60 * NS_PER_S, 1, wave))
        window = ward.window("bed", EEG, 0, 0, 100.0)
        assert window is not None
        assert window.stream.fs_hz == 256.0
        missing = np.isnan(window.samples[:, 0])
        first, last = np.flatnonzero(missing[50:])[[0, -1]] + 50
        assert first == pytest.approx(2_560, abs=10)
        assert last == pytest.approx(60 * 256, abs=10)
        assert missing[first : last + 1].all()
        at = np.arange(last + 20, last + 1_000)
        np.testing.assert_allclose(window.samples[at, 0], np.sin((2 * at - 60 * 512) / 50), atol=0.01)
        behind_s = (T0_NS + 70 * NS_PER_S - window.stream.head_ns) / NS_PER_S
        assert behind_s == pytest.approx(16 / 512, abs=2 / 512)
