"""A network that looks for seizures in the monitor: what becomes of what it says."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
import torch

from inference.alarm_book import AlarmBook
from inference.eeg_listener import SeizureNetwork
from inference.eeg_monitor import EegMonitor
from inference.eeg_state import EegState, put_eeg, take_eeg
from inference.errors import SnapshotError, UnfitModel
from inference.monitor import Outcome
from inference.packed import unpack
from inference.windows import WindowMonitor
from ingest.sim_eeg_waves import CHANNELS
from ingest.sim_events import Event
from ingest.types import NS_PER_S, SignalKind
from models.cnn_lstm import CnnLstm
from models.eeg import EegModel
from tests.eeg_networks import BEHIND, Loud, card, loud
from tests.eeg_playing import T0, pieces, play, raised, simulated
from training.eeg_recipes import eeg_seizure_1


def monitor(network: SeizureNetwork | None = None) -> EegMonitor:
    return EegMonitor(WindowMonitor(SignalKind.EEG, AlarmBook(), lambda: T0), network or Loud())


def seconds(values: Sequence[int]) -> list[float]:
    return [(value - T0) / NS_PER_S for value in values]


def times_of(outcome: Outcome, kind: str) -> list[tuple[str, float]]:
    return [
        (alarm.state.value, ((alarm.ended_ns or alarm.raised_ns) - T0) / NS_PER_S)
        for alarm in outcome.alarms
        if alarm.kind == kind
    ]


def test_a_seizure_is_one_latched_alarm_that_ends_with_it() -> None:
    outcome = play(monitor(), pieces(loud(90, (30, 60))))
    begun, ended = times_of(outcome, "seizure")
    # Four seconds over the threshold, known two seconds after they ended.
    assert begun == ("active", pytest.approx(36, abs=1.1))
    assert ended == ("latched", pytest.approx(73, abs=6))
    (onset_ns,) = {alarm.onset_ns for alarm in outcome.alarms if alarm.kind == "seizure"}
    # It began with the EEG's first such second, not when the network could tell.
    first = min(event.start_ns for one in outcome.predictions for event in one.events)
    assert onset_ns == first
    assert seconds([onset_ns])[0] == pytest.approx(30, abs=1.1)
    assert outcome.alarms[0].delay.measurement_s == pytest.approx(6, abs=0.1)
    assert raised(outcome) == ["seizure"]
    assert outcome.alarms[0].reasons == ["probability 0.90", "looked at most: F8-T8, Fp1-F7"]


def test_every_second_is_told_with_its_own_time_and_a_seizure_as_one_span() -> None:
    outcome = play(monitor(), pieces(loud(60, (20, 40))))
    told = outcome.predictions
    ends = seconds([one.end_ns for one in told])
    np.testing.assert_allclose(np.diff(ends), 1.0)
    assert ends[0] == pytest.approx(1.0, abs=0.1)
    assert ends[-1] == pytest.approx(58.0, abs=0.1)
    assert {(one.model, one.signal, one.channel) for one in told} == {("eeg-test", "eeg", "longitudinal")}
    high = [end for one, end in zip(told, ends, strict=True) if one.probabilities["seizure"] > 0.5]
    assert high[0] == pytest.approx(21, abs=1.1)
    assert high[-1] == pytest.approx(40, abs=1.1)
    spans = [(*seconds([event.start_ns, event.end_ns]), event.label) for one in told for event in one.events]
    assert {label for *_, label in spans} == {"seizure"}
    assert min(start for start, *_ in spans) == pytest.approx(20, abs=1.1)
    joins = sorted(spans)
    assert all(second[0] <= first[1] + 1e-3 for first, second in zip(joins[:-1], joins[1:], strict=True))


def test_a_few_loud_seconds_raise_nothing() -> None:
    assert raised(play(monitor(), pieces(loud(60, (10, 12), (30, 32))))) == []


def test_five_minutes_without_a_break_are_status_epilepticus() -> None:
    outcome = play(monitor(), pieces(loud(350, (15, 345))), 10)
    assert raised(outcome) == ["seizure", "status_epilepticus"]
    assert times_of(outcome, "status_epilepticus")[0] == ("active", pytest.approx(317, abs=6))


def test_without_enough_derivations_nothing_is_raised_nor_ended() -> None:
    off = CHANNELS[:12]
    outcome = play(monitor(), pieces(loud(60, (20, 50)), off=off))
    assert raised(outcome) == ["unusable"]
    assert all(one.quality < 0.5 for one in outcome.predictions)
    assert all(not one.quality >= 0.5 for one in outcome.predictions if one.events)


def test_a_stream_that_begins_anew_forgets_what_the_network_had_seen() -> None:
    into = monitor()
    play(into, pieces(loud(25, (19, 25))))
    parts = pieces(loud(25, (0, 4)), begin_s=25.0, first=25)
    assert play(into, parts).predictions == play(monitor(), parts).predictions


def scale_of(into: EegMonitor) -> np.ndarray:
    """How large each derivation usually is, in the network's measure; shape (D,)."""
    assert into.listener is not None
    return unpack(into.listener.state(into.bank.beds["bed"])["scale"])[0]


@pytest.mark.parametrize(
    ("channels", "gap_s", "takes_over", "kept"),
    [
        (CHANNELS, 10, False, list(range(18))),
        (CHANNELS, 10, True, list(range(18))),
        (CHANNELS, 601, False, []),
        # Fp1-F7 goes on to T7 and is another derivation, F7-T7 is left out.
        (tuple(name for name in CHANNELS if name != "F7"), 10, False, [2, 3, *range(4, 18)]),
        (tuple(reversed(CHANNELS)), 10, False, list(range(18))),
    ],
)
def test_behind_a_gap_a_derivation_is_measured_by_what_it_was_before(
    network: EegModel, channels: tuple[str, ...], gap_s: int, takes_over: bool, kept: list[int]
) -> None:
    """Else a seizure that goes on behind a gap is its own measure, and looks small."""
    into, eeg = monitor(network), simulated(20)
    play(into, pieces(eeg))
    before = scale_of(into)
    if takes_over:
        state, into = take_eeg(into, "bed"), monitor(network)
        assert state is not None
        put_eeg(into, "bed", state)
    columns = [CHANNELS.index(name) for name in channels]
    # Less than a second: it begins the stream anew, and nothing is judged yet.
    play(into, pieces(eeg[:100, columns], channels, begin_s=20.0 + gap_s, first=20 + gap_s))
    np.testing.assert_array_equal(np.flatnonzero(scale_of(into) == before), kept)


def test_another_patient_is_not_measured_by_the_one_before(network: EegModel) -> None:
    into = monitor(network)
    play(into, pieces(simulated(20)))
    before = scale_of(into)
    into.remove("bed")
    play(into, pieces(simulated(1)[:100], begin_s=21.0, first=21))
    assert not (scale_of(into) == before).any()


def test_a_successor_goes_on_where_the_network_was() -> None:
    eeg = loud(70, (30, 60))
    whole = play(monitor(), pieces(eeg))
    parts = pieces(eeg)
    for at in (20, 34, 37, 50):
        old, new = monitor(), monitor()
        before = play(old, parts[:at])
        state, alarms = take_eeg(old, "bed"), old.alarms.state("bed")
        assert state is not None
        assert alarms is not None
        play(new, pieces(simulated(3, bed="other"), bed="other"))
        put_eeg(new, "bed", msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=EegState))
        new.alarms.restore("bed", alarms)
        new.alarms.book.restore("bed", old.alarms.book.state("bed", "eeg"))
        after = play(new, parts[at:])
        assert before.predictions + after.predictions == whole.predictions
        assert [one.id for one in before.alarms + after.alarms] == [one.id for one in whole.alarms]


def test_what_another_network_has_seen_is_left_out() -> None:
    old = monitor()
    play(old, pieces(loud(25, (19, 25))))
    state = take_eeg(old, "bed")
    assert state is not None
    new = monitor(Loud(card(name="other", sha256="f" * 64)))
    put_eeg(new, "bed", state)
    outcome = play(new, pieces(loud(40)[25 * 256 :], begin_s=25.0, restart=False, first=25))
    assert len(outcome.predictions) == 40 - 25 - BEHIND
    assert raised(outcome) == []


def test_more_beds_than_there_was_room_for_keep_what_the_network_has_seen() -> None:
    eeg = loud(45, (30, 45))
    into, whole = monitor(), play(monitor(), pieces(eeg))
    got = play(into, pieces(eeg[: 35 * 256]))
    for number in range(70):
        play(into, pieces(eeg[:256], bed=f"bed-{number}"))
    rest = play(into, pieces(eeg[35 * 256 :], begin_s=35.0, restart=False, first=35))
    assert got.predictions + rest.predictions == whole.predictions
    assert raised(rest) == ["seizure"]


@pytest.fixture(scope="module")
def network() -> EegModel:
    torch.manual_seed(3)
    return EegModel(CnnLstm(eeg_seizure_1().architecture).eval(), card())


def test_the_real_network_runs_on_what_the_monitor_makes(network: EegModel) -> None:
    eeg = simulated(30, Event("bed", "electrode-off", 10.0, 8.0))
    outcome = play(monitor(network), pieces(eeg))
    assert len(outcome.predictions) == 30 - BEHIND
    assert all(0 <= one.probabilities["seizure"] <= 1 for one in outcome.predictions)
    assert min(one.quality for one in outcome.predictions) < 1 == outcome.predictions[-1].quality


def test_the_real_networks_state_goes_to_a_successor(network: EegModel) -> None:
    eeg = simulated(30)
    whole, parts = play(monitor(network), pieces(eeg)).predictions, pieces(eeg)
    old, new = monitor(network), monitor(network)
    before = play(old, parts[:17]).predictions
    state = take_eeg(old, "bed")
    assert state is not None
    put_eeg(new, "bed", msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=EegState))
    assert before + play(new, parts[17:]).predictions == whole


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        (Loud(channels=23), "it takes 23 channels of 128 samples a second, the worker makes 18 of 128"),
        (Loud(samples=256), "it takes 18 channels of 256 samples"),
        (Loud(card(band_hz=(1.0, 30.0))), r"its band is \(1.0, 30.0\) Hz"),
    ],
)
def test_a_network_for_another_signal_is_refused(network: Loud, complaint: str) -> None:
    with pytest.raises(UnfitModel, match=complaint):
        monitor(network)


def test_a_torn_state_of_the_network_begins_the_bed_anew() -> None:
    old, new = monitor(), monitor()
    play(old, pieces(simulated(5)))
    state = take_eeg(old, "bed")
    assert state is not None
    with pytest.raises(SnapshotError, match="bed 'bed'"):
        put_eeg(new, "bed", msgspec.structs.replace(state, network={}))
    assert "bed" not in new.bank.beds
