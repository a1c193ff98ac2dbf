"""The simulated EEG of an ICU: what a reader would recognise, from a seed, however it is cut."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import welch

from ingest.electrodes import SITES_10_20
from ingest.sim_eeg import FS_HZ, RAIL_UV, EegStream
from ingest.sim_eeg_day import APART_S, SEIZURES, draw_day
from ingest.sim_eeg_waves import CHANNELS, PLACES, SITES, Seizure
from ingest.sim_events import EVENTS, Event, check_events, parse_script
from ingest.simulate import Ward
from ingest.types import SignalKind

FS = round(FS_HZ)
OF_EEG = sorted(name for name, (kind, _) in EVENTS.items() if kind is SignalKind.EEG)


def made(seconds: int, *events: Event, seed: int = 1, sedated: bool = False) -> np.ndarray:
    return EegStream(seed, "bed", events, sedated).next_samples(seconds * FS)


def peak_hz(line: np.ndarray, low: float = 1.0, high: float = 12.0) -> float:
    hz, power = welch(line, FS, nperseg=min(len(line), 4 * FS))
    inside = (hz >= low) & (hz <= high)
    return float(hz[inside][power[inside].argmax()])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 60 * FS - 1), max_size=8), st.sampled_from(OF_EEG), st.booleans())
def test_any_cut_gives_the_same(cuts: list[int], name: str, sedated: bool) -> None:
    event = Event("bed", name, 7.3, 31.0)
    whole = made(60, event, sedated=sedated)
    stream = EegStream(1, "bed", (event,), sedated)
    edges = [0, *sorted(set(cuts)), 60 * FS]
    parts = [stream.next_samples(end - begin) for begin, end in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert np.isfinite(whole).all()
    assert np.abs(whole).max() <= RAIL_UV


def test_channels_are_the_electrodes_of_the_10_20_system() -> None:
    assert set(CHANNELS) == set(SITES_10_20)


def test_an_event_changes_nothing_before_it() -> None:
    for name in OF_EEG:
        np.testing.assert_array_equal(made(30, Event("bed", name, 20.0, 8.0))[: 19 * FS], made(30)[: 19 * FS])


@pytest.mark.parametrize("seed", range(4))
def test_a_seizure_slows_down_spreads_and_stops_at_once(seed: int) -> None:
    stream = EegStream(seed, "bed", (Event("bed", "seizure", 20.0, 60.0),))
    eeg = stream.next_samples(120 * FS)
    (seizure,) = stream.seizures
    focus = CHANNELS.index(seizure.focus)
    assert peak_hz(eeg[20 * FS : 24 * FS, focus], 3.5) == pytest.approx(seizure.first_hz, abs=0.8)
    assert peak_hz(eeg[72 * FS : 79 * FS, focus], 1.2) == pytest.approx(seizure.last_hz, abs=0.6)
    assert seizure.first_hz > 2 * seizure.last_hz - 0.8
    far = np.linalg.norm(PLACES - np.array(SITES[seizure.focus]), axis=1) > 0.7
    quiet = eeg[5 * FS : 18 * FS].std(axis=0)
    early, late = (eeg[a * FS : b * FS].std(axis=0) / quiet for a, b in ((20, 26), (65, 79)))
    assert late[focus] > 2
    assert np.median(late[far]) > np.median(early[far])
    assert early[focus] > 1.5 * np.median(early[far])
    after = eeg[82 * FS : 92 * FS].std(axis=0) / quiet
    assert np.median(after) < 0.8


def test_the_frequency_of_a_seizure_only_falls() -> None:
    seizure = Seizure.draw(np.random.default_rng(0), 10.0, 70.0)
    hz = seizure.frequency_hz(np.linspace(0, 80, 500))
    assert (np.diff(hz) <= 0).all()
    assert hz[0] == pytest.approx(seizure.first_hz)


def test_burst_suppression_is_flat_between_bursts() -> None:
    eeg = made(80, Event("bed", "burst-suppression", 10.0, 60.0))
    size = eeg[12 * FS : 68 * FS].reshape(-1, FS // 4, 19).std(axis=1).mean(axis=1)
    assert np.quantile(size, 0.5) < 3
    assert np.quantile(size, 0.97) > 15
    assert made(10).std() > 8


def test_blinks_are_largest_over_the_eyes_and_gone_behind() -> None:
    eeg = made(60, Event("bed", "blinks", 10.0, 45.0))[12 * FS : 54 * FS]
    size = dict(zip(CHANNELS, np.ptp(eeg, axis=0) - np.ptp(made(60)[12 * FS : 54 * FS], axis=0), strict=True))
    assert size["Fp1"] > 80
    assert max(size["O1"], size["O2"], size["Pz"]) < 20


def test_muscle_is_fast_and_over_the_temples() -> None:
    eeg = made(40, Event("bed", "muscle", 10.0, 25.0))[12 * FS : 34 * FS]
    hz, power = welch(eeg, FS, nperseg=FS, axis=0)
    fast = dict(zip(CHANNELS, power[hz > 30].sum(axis=0), strict=True))
    assert fast["T7"] > 3 * fast["Pz"]
    assert fast["T7"] > 10 * welch(made(20), FS, nperseg=FS, axis=0)[1][hz > 30].sum(axis=0).max()


def test_percussion_does_not_change_its_frequency() -> None:
    eeg = made(70, Event("bed", "percussion", 5.0, 60.0))[:, CHANNELS.index("O1")]
    early, late = peak_hz(eeg[8 * FS : 20 * FS], 2.0, 8.0), peak_hz(eeg[50 * FS : 62 * FS], 2.0, 8.0)
    assert early == late
    assert 3.5 <= early <= 5.5


def test_an_electrode_that_is_off_is_flat_and_flagged() -> None:
    event = Event("bed", "electrode-off", 10.0, 10.0)
    stream = EegStream(1, "bed", (event,))
    flags = stream.lead_off(12 * FS, FS)
    assert flags is not None
    (site,) = np.flatnonzero(flags)
    assert stream.lead_off(2 * FS, FS) is None
    assert stream.lead_off(25 * FS, FS) is None
    eeg = stream.next_samples(25 * FS)
    assert (np.ptp(eeg[11 * FS : 19 * FS], axis=0) == 0).nonzero()[0].tolist() == [site]


def test_sedation_has_slow_waves_and_no_alpha() -> None:
    awake, sedated = (made(60, sedated=one)[:, CHANNELS.index("O1")] for one in (False, True))
    hz, power = welch(np.stack([awake, sedated]), FS, nperseg=4 * FS)
    alpha = power[:, (hz >= 8) & (hz < 12)].sum(axis=1)
    assert alpha[0] > 3 * alpha[1]
    front = made(60, sedated=True)[:, CHANNELS.index("Fp1")]
    assert peak_hz(front, 0.6, 20.0) < 2.0


def test_a_day_is_the_same_from_its_seed_and_its_events_do_not_touch() -> None:
    day = draw_day(3, "bed-01")
    assert day == draw_day(3, "bed-01")
    assert day != draw_day(4, "bed-01")
    assert day != draw_day(3, "bed-02")
    for first, second in itertools.pairwise(day):
        assert second.at_s >= first.end_s + APART_S - 0.05
    assert day[-1].end_s < 86_400
    check_events(day, ["bed-01"], [SignalKind.EEG])
    assert 4 <= sum(event.name in SEIZURES for event in day) <= 24
    assert {event.name for event in day} >= {"seizure", "blinks", "chewing", "muscle", "electrode-pop"}


@pytest.mark.parametrize("duration_s", [100.0, 600.0, 3600.0])
def test_a_short_recording_has_what_fits(duration_s: float) -> None:
    for seed in range(5):
        day = draw_day(seed, "bed", duration_s, seizures_per_h=30.0)
        assert all(event.end_s <= duration_s for event in day)


def test_a_day_without_seizures_can_be_drawn() -> None:
    assert not [event for event in draw_day(1, "bed", seizures_per_h=0.0) if event.name in SEIZURES]


def test_the_ward_plays_eeg_events_and_knows_their_truth() -> None:
    ward = Ward(2, 1, parse_script(["bed-02:seizure@4s:5s,bed-02:electrode-off@10s:3s"]), ["eeg"])
    chunks = [chunk for chunk in ward.chunks(0, 15.0) if chunk.bed == "bed-02"]
    assert [any(chunk.lead_off or ()) for chunk in chunks] == [10 <= second < 13 for second in range(15)]
    assert [span.name for span in ward.truth("bed-02", 15.0).spans if span.kind is SignalKind.EEG] == [
        "seizure", "electrode-off",
    ]  # fmt: skip
