"""The EEG, live: what staff would see of trends, electrodes and units, however the signal comes."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import resample_poly

from inference.eeg_plans import narrowed
from inference.eeg_state import EegState, put_eeg, take_eeg
from inference.errors import SnapshotError
from inference.packed import pack
from inference.types import EegTrends, Vital
from ingest.montage import LONGITUDINAL, plan_of
from ingest.sim_eeg_waves import CHANNELS
from ingest.sim_events import Event
from ingest.types import NS_PER_S
from tests.eeg_playing import FS, T0, monitor, pieces, play, raised, simulated, trends

EMOTIV = ("AF3", "AF4", "F3", "F4", "F7", "F8", "FC5", "FC6", "O1", "O2", "P7", "P8", "T7", "T8")


def numbers(one: EegTrends) -> list[float]:
    """All numbers of a second; NaN for none."""
    sides = (one.left, one.right, one.whole)
    found = [value for side in sides for value in msgspec.structs.astuple(side)]
    return [np.nan if value is None else value for value in (*found, one.asymmetry, one.symmetry_index)]


@pytest.fixture(scope="module")
def eeg() -> np.ndarray:
    return simulated(40, Event("bed", "seizure", 15.0, 20.0))


@pytest.fixture(scope="module")
def whole(eeg: np.ndarray) -> list[Vital]:
    return play(monitor(), pieces(eeg)).vitals


def test_every_second_has_trends_and_nothing_is_wrong(whole: list[Vital]) -> None:
    assert len(whole) == 40
    assert [vital.usable for vital in whole] == [True] * 40
    last = whole[-1].eeg
    assert last is not None
    assert (last.derivations, last.trusted, last.electrodes) == (18, 18, {})
    assert last.whole.delta_uv2 is not None
    assert last.whole.aeeg_low_uv is not None
    assert whole[-1].time_ns - T0 == pytest.approx(40 * NS_PER_S, abs=0.1 * NS_PER_S)
    assert whole[5].eeg is not None
    assert whole[5].eeg.whole.suppression is None  # half a minute has to be known


@settings(max_examples=12, deadline=None)
@given(cuts=st.lists(st.integers(1, 40 * 256 - 1), max_size=60), at_once=st.integers(1, 5))
def test_any_cut_of_the_stream_gives_the_same(
    eeg: np.ndarray, whole: list[Vital], cuts: list[int], at_once: int
) -> None:
    parts = pieces(eeg, cuts=sorted(set(cuts)))
    got = play(monitor(), parts, at_once).vitals
    assert [replace_offset(vital) for vital in got] == [replace_offset(vital) for vital in whole]


def replace_offset(vital: Vital) -> Vital:
    return msgspec.structs.replace(vital, raw_offset=0)


def test_beds_do_not_touch_each_other(eeg: np.ndarray, whole: list[Vital]) -> None:
    into = monitor()
    other = simulated(40, bed="other", seed=3)
    mixed = [
        part
        for pair in zip(pieces(eeg), pieces(other[:, :10], CHANNELS[:10], bed="other"), strict=True)
        for part in pair
    ]
    got = [vital for vital in play(into, mixed, 2).vitals if vital.bed == "bed"]
    assert got == whole


def test_more_beds_than_there_was_room_for_keep_what_they_had(eeg: np.ndarray, whole: list[Vital]) -> None:
    into = monitor()
    got = play(into, pieces(eeg[: 20 * 256])).vitals
    for number in range(70):
        play(into, pieces(eeg[:256], bed=f"bed-{number}"))
    got += play(into, pieces(eeg[20 * 256 :], begin_s=20.0, restart=False, first=20)).vitals
    assert got == whole


@pytest.mark.parametrize("fs_hz", [128.0, 250.0, 256.0, 500.0, 512.0, 1024.0, 199.7])
def test_the_rate_does_not_matter(fs_hz: float, eeg: np.ndarray, whole: list[Vital]) -> None:
    if fs_hz == 199.7:
        at = np.arange(int(38 * fs_hz)) / fs_hz
        other = np.stack([np.interp(at, np.arange(len(eeg)) / FS, line) for line in eeg.T], axis=1)
    else:
        other = resample_poly(eeg, round(fs_hz), 256)
    got = play(monitor(), pieces(other, fs_hz=fs_hz)).vitals
    assert len(got) >= 36
    want, have = whole[35].eeg, got[35].eeg
    assert want is not None
    assert have is not None
    assert have.trusted == 18
    for name in ("aeeg_low_uv", "aeeg_high_uv", "delta_uv2", "theta_uv2", "alpha_uv2", "edge_hz"):
        assert getattr(have.whole, name) == pytest.approx(getattr(want.whole, name), rel=0.1), name


def test_referential_and_bipolar_recordings_of_a_head_give_the_same(
    eeg: np.ndarray, whole: list[Vital]
) -> None:
    pairs = plan_of(CHANNELS)(eeg)
    got = trends(play(monitor(), pieces(pairs, tuple(name.upper() for name in LONGITUDINAL))))
    assert_alike(got, whole)


def assert_alike(got: list[EegTrends], whole: list[Vital]) -> None:
    """All numbers are the same but for rounding."""
    want = [numbers(one) for one in trends_of(whole)]
    np.testing.assert_allclose([numbers(one) for one in got], want, rtol=2e-3, atol=2e-3)


def trends_of(vitals: list[Vital]) -> list[EegTrends]:
    return [vital.eeg for vital in vitals if vital.eeg is not None]


def test_order_aliases_and_other_signals_between_do_not_matter(eeg: np.ndarray, whole: list[Vital]) -> None:
    order = np.random.default_rng(0).permutation(19)
    old = {"T7": "EEG T3-REF", "P8": "t6"}
    names = (
        "ECG",
        *(old.get(CHANNELS[at], f"EEG {CHANNELS[at].upper()}-REF") for at in order),
        "PHOTIC",
        "-",
    )
    junk = 1e6 * np.ones((len(eeg), 1))
    mixed = np.concatenate([junk, eeg[:, order], junk, junk], axis=1)
    got = trends(play(monitor(), pieces(mixed, names)))
    assert_alike(got, whole)


def test_a_headset_of_fourteen_electrodes_has_trends_of_what_it_can_give(eeg: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    mixed = eeg @ rng.uniform(0, 0.3, (19, 14))
    last = trends(play(monitor(), pieces(mixed, EMOTIV)))[-1]
    assert (last.derivations, last.trusted) == (14, 14)
    assert last.left.aeeg_low_uv is not None
    assert last.asymmetry is not None


def test_channels_without_any_derivation_are_told_and_have_no_trend() -> None:
    outcome = play(monitor(), pieces(simulated(15)[:, :2], ("EEG 1", "EEG 2")))
    assert raised(outcome) == ["unusable"]
    last = trends(outcome)[-1]
    assert (last.derivations, last.trusted, last.whole.edge_hz) == (0, 0, None)
    assert not outcome.vitals[-1].usable


def test_other_channels_in_mid_stream_begin_it_anew_and_the_bed_stays(eeg: np.ndarray) -> None:
    into = monitor()
    first = play(into, pieces(eeg[: 12 * 256]))
    kept = [at for at, name in enumerate(CHANNELS) if name not in ("T7", "Fz")]
    second = play(
        into,
        pieces(eeg[12 * 256 : 27 * 256, kept], [CHANNELS[at] for at in kept], begin_s=12.0, first=12),
    )
    third = play(into, pieces(eeg[27 * 256 :], begin_s=27.0, first=27))
    assert [one.derivations for one in (trends(first)[-1], trends(second)[-1], trends(third)[-1])] == [
        18,
        16,
        18,
    ]
    assert trends(second)[0].whole.edge_hz is None
    assert trends(second)[-1].whole.edge_hz is not None
    assert raised(first) + raised(second) + raised(third) == []
    assert len(into.bank.beds) == 1
    alone = play(monitor(), pieces(eeg[27 * 256 :], begin_s=27.0, first=27))
    assert trends(third) == trends(alone)


def test_a_shorter_stream_after_a_wider_one_reads_nothing_of_it() -> None:
    """A slot that had 19 channels is given 4: what lies in its other rows is another patient's."""
    wide, narrow = monitor(), monitor()
    loud = np.full((256 * 6, 19), 1e4) * np.sign(np.random.default_rng(1).standard_normal((256 * 6, 19)))
    play(wide, pieces(loud, bed="gone"))
    wide.remove("gone")
    small = simulated(20)[:, :4]
    got = [play(one, pieces(small, ("Fp1", "F7", "T7", "P7"))).vitals for one in (wide, narrow)]
    assert got[0] == got[1]


def test_an_electrode_that_comes_off_takes_its_derivations_only() -> None:
    outcome = play(monitor(), pieces(simulated(40, Event("bed", "electrode-off", 10.0, 20.0))))
    flags = simulated_off()
    assert raised(outcome) == ["lead_off"]
    (ended,) = [alarm for alarm in outcome.alarms if alarm.state.value == "ended"]
    assert ended.message == f"! EEG ELECTRODE OFF OR FLAT: {flags} (flat)", "as it was raised"
    assert ended.ended_ns is not None
    assert 28 <= (ended.ended_ns - T0) / NS_PER_S <= 34
    off = trends(outcome)[20]
    assert off.electrodes == {flags: ["flat"]}
    assert 15 <= off.trusted <= 17
    assert off.whole.edge_hz is not None


def simulated_off() -> str:
    """The electrode that the simulated event takes off."""
    from ingest.sim_eeg import EegStream

    flags = EegStream(1, "bed", (Event("bed", "electrode-off", 0.0, 20.0),)).lead_off(0, 256)
    assert flags is not None
    return CHANNELS[flags.index(True)]


def test_the_devices_flag_is_believed(eeg: np.ndarray) -> None:
    outcome = play(monitor(), pieces(eeg, off=("Cz", "Pz")))
    assert raised(outcome) == ["lead_off"]
    assert outcome.alarms[0].reasons == ["Cz, Pz (off)"]
    assert outcome.alarms[0].message == "! EEG ELECTRODE OFF OR FLAT: Cz, Pz (off)"
    assert trends(outcome)[-1].electrodes == {"Cz": ["off"], "Pz": ["off"]}
    assert trends(outcome)[-1].trusted == 16


def test_many_electrodes_off_suspend_the_alarms(eeg: np.ndarray) -> None:
    outcome = play(monitor(), pieces(eeg, off=CHANNELS[:9]))
    assert raised(outcome) == ["unusable"]
    assert "alarms suspended" in outcome.alarms[0].message
    assert outcome.alarms[0].reasons == [f"{', '.join(CHANNELS[:6])} (off) +3"]
    assert not outcome.vitals[-1].usable


@pytest.mark.parametrize("factor", [1e-3, 1e-6, 1e3])
def test_a_wrong_unit_is_named_and_not_scaled_away(factor: float, eeg: np.ndarray) -> None:
    outcome = play(monitor(), pieces(factor * eeg))
    assert raised(outcome) == ["implausible"]
    assert "check unit and gain" in outcome.alarms[0].message
    assert trends(outcome)[-1].whole.edge_hz is None


@pytest.mark.parametrize("factor", [0.1, 1.0, 3.0])
def test_small_and_large_eegs_are_plausible(factor: float, eeg: np.ndarray) -> None:
    assert raised(play(monitor(), pieces(factor * eeg))) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("eeg-mains", ["mains"]), ("blinks", []), ("electrode-pop", []), ("chewing", []), ("percussion", []),
     ("burst-suppression", ["burst_suppression"]), ("suppression", ["burst_suppression"]),
     ("muscle", ["noise"])],
)  # fmt: skip
def test_events_raise_what_they_should_and_no_more(name: str, told: list[str]) -> None:
    outcome = play(monitor(), pieces(simulated(130, Event("bed", name, 10.0, 110.0))))
    assert raised(outcome) == told


def test_pops_and_muscle_are_told_of_the_electrodes_that_have_them() -> None:
    popping = trends(play(monitor(), pieces(simulated(60, Event("bed", "electrode-pop", 5.0, 50.0)))))
    names = {name for one in popping for name, signs in one.electrodes.items() if "pop" in signs}
    assert len(names) == 1
    tense = trends(play(monitor(), pieces(simulated(20, Event("bed", "muscle", 5.0, 12.0)))))[12]
    assert {"T7", "T8"} <= {name for name, signs in tense.electrodes.items() if "muscle" in signs}


def test_a_seizure_is_no_electrode_pop() -> None:
    for seed in range(4):
        seizing = simulated(60, Event("bed", "seizure", 10.0, 45.0), seed=seed)
        for one in trends(play(monitor(), pieces(seizing))):
            assert not [name for name, signs in one.electrodes.items() if "pop" in signs]


def test_hum_does_not_reach_the_trends(eeg: np.ndarray, whole: list[Vital]) -> None:
    at = np.arange(len(eeg))[:, None] / FS
    got = trends(play(monitor(), pieces(eeg + 80 * np.sin(2 * np.pi * 50 * at + np.arange(19)))))[-1]
    want = trends_of(whole)[-1]
    assert got.whole.beta_uv2 == pytest.approx(want.whole.beta_uv2, rel=0.05)
    assert got.whole.delta_uv2 == pytest.approx(want.whole.delta_uv2, rel=0.01)
    assert got.electrodes["Cz"] == ["mains"]


def test_a_gap_is_missing_and_over_with_the_data(eeg: np.ndarray) -> None:
    into = monitor()
    play(into, pieces(eeg[: 15 * 256]))
    (bed, piece), *rest = pieces(eeg[18 * 256 :], begin_s=18.0, restart=False, first=15)
    outcome = play(into, [(bed, replace(piece, missing=3 * 256)), *rest])
    got = trends(outcome)
    assert got[1].trusted == 0
    assert set(got[1].electrodes["Cz"]) == {"missing"}
    assert got[-1].trusted == 18
    assert raised(outcome) == []


def test_a_successor_goes_on_to_the_last_bit(eeg: np.ndarray, whole: list[Vital]) -> None:
    for at in (2, 7, 33):
        old, new = monitor(), monitor()
        parts = pieces(eeg, cuts=range(300, len(eeg), 300))
        split = at * 256 // 300
        before = play(old, parts[:split]).vitals
        state = take_eeg(old, "bed")
        assert state is not None
        play(new, pieces(simulated(3, bed="other"), bed="other"))
        put_eeg(new, "bed", msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=EegState))
        after = play(new, parts[split:]).vitals
        assert [replace_offset(one) for one in before + after] == [replace_offset(one) for one in whole]


def test_a_state_that_does_not_fit_begins_the_bed_anew(eeg: np.ndarray, whole: list[Vital]) -> None:
    old, new = monitor(), monitor()
    assert take_eeg(old, "bed") is None
    play(old, pieces(eeg[:2560]))
    state = take_eeg(old, "bed")
    assert state is not None
    for name, array in (("power", pack(np.zeros((2, 2)))), ("blocks", None)):
        arrays = {key: one for key, one in {**state.arrays, name: array}.items() if one is not None}
        with pytest.raises(SnapshotError, match="bed 'bed': the state of eeg does not fit"):
            put_eeg(new, "bed", msgspec.structs.replace(state, arrays=arrays))
        assert "bed" not in new.bank.beds
    assert play(new, pieces(eeg)).vitals == whole


def test_only_what_the_montage_is_made_of_is_kept() -> None:
    samples = np.random.default_rng(0).standard_normal((256, 23))
    names = (*CHANNELS, "A1", "ECG", "FC5", "EMG")
    ((_, piece),) = pieces(samples, names, off=("T7", "ECG"))
    kept = narrowed(piece)
    assert kept.chunk.channels == CHANNELS
    np.testing.assert_array_equal(kept.samples, samples[:, :19].astype(np.float32))
    assert kept.chunk.lead_off is not None
    assert [name for name, off in zip(CHANNELS, kept.chunk.lead_off, strict=True) if off] == ["T7"]
