"""What a pulse says of ECG alarms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.alarm_spec import Values
from inference.beats import NEVER
from inference.catalog import load_catalogue
from inference.confirm import judge, reasons, without
from inference.monitor import EcgMonitor, Outcome
from inference.predictor import Probabilities
from inference.pulse_history import RECENT
from inference.pulses import KINDS, NO_SOURCE, PulseEvidence, PulseMonitor
from ingest.continuity import Continuity
from ingest.replay import read_sources, source_chunks
from ingest.settings import IngestSettings
from ingest.simulate import Ward
from ingest.types import NS_PER_S, SignalKind
from training.splits import side_of

ALL = ("asystole", "vf", "vt", "extreme_tachycardia", "extreme_bradycardia")
NOW_S = 1_000.0
FRONTIER_S = 999.0


def evidence(
    times_s: np.ndarray,
    heights: float | np.ndarray = 1.0,
    likeness: float | np.ndarray = 1.0,
    known: bool = True,
    kind: SignalKind = SignalKind.PLETH,
) -> PulseEvidence:
    """Of one bed, with pulses at times (s) before now, judged up to a second ago."""
    times = np.full((1, RECENT), NEVER, dtype=np.int64)
    high, like = np.full((1, RECENT), np.nan), np.full((1, RECENT), np.nan)
    count = min(len(times_s), RECENT)
    times[0, RECENT - count :] = np.round(np.sort(times_s)[-count:] * NS_PER_S) if count else times[0, :0]
    high[0, RECENT - count :] = np.broadcast_to(heights, len(times_s))[len(times_s) - count :]
    like[0, RECENT - count :] = np.broadcast_to(likeness, len(times_s))[len(times_s) - count :]
    return PulseEvidence(
        np.array([known]),
        np.array([KINDS.index(kind) if known else NO_SOURCE]),
        np.array([round(NOW_S * NS_PER_S)]),
        np.array([round(FRONTIER_S * NS_PER_S)]),
        times,
        high,
        like,
    )


def train(rate: float, until_s: float = FRONTIER_S, length_s: float = 20.0) -> np.ndarray:
    step = 60 / rate
    return np.arange(until_s - 0.3 * step, until_s - length_s, -step)[::-1]


def says(kind: str, pulse: PulseEvidence, onset_s: float = 993.0, value: float = np.nan) -> tuple[bool, bool]:
    """Whether contradicted, whether confirmed."""
    onsets = np.full((1, len(ALL)), round(onset_s * NS_PER_S))
    judged = judge(ALL, pulse, onsets, np.full((1, len(ALL)), value))
    column = ALL.index(kind)
    return bool(judged.contradicted[0, column]), bool(judged.confirmed[0, column])


@pytest.mark.parametrize("kind", ["asystole", "vf"])
def test_pulses_that_go_on_as_before_contradict_an_arrest(kind: str) -> None:
    assert says(kind, evidence(train(75))) == (True, False)


@pytest.mark.parametrize("kind", ["asystole", "vf"])
def test_a_pulse_that_stops_confirms_an_arrest(kind: str) -> None:
    pulse = evidence(train(75, until_s=993.6))
    assert says(kind, pulse) == (False, True)
    assert reasons(kind, pulse, 0) == ["no pulse in PLETH for 6 s"]


@pytest.mark.parametrize("kind", ["asystole", "vf"])
@pytest.mark.parametrize("heights", [0.2, 0.4, 3.0])
def test_pulses_of_another_height_say_nothing_of_an_arrest(kind: str, heights: float) -> None:
    assert says(kind, evidence(train(75), heights)) == (False, False)


@pytest.mark.parametrize("kind", ["asystole", "vf"])
def test_pulses_of_another_shape_say_nothing_of_an_arrest(kind: str) -> None:
    assert says(kind, evidence(train(75), likeness=0.5)) == (False, False)


def test_the_pulses_of_the_last_beats_do_not_count_against_an_asystole() -> None:
    assert says("asystole", evidence(train(75, until_s=FRONTIER_S)), onset_s=997.0) == (False, False)


def test_pulses_that_began_again_must_last_before_they_count() -> None:
    assert says("asystole", evidence(train(90, length_s=3.0)), onset_s=990.0)[0] is False
    assert says("asystole", evidence(train(90, length_s=6.0)), onset_s=990.0)[0] is True


def test_pulses_of_usual_shape_may_be_irregular_against_an_arrest_but_tell_no_rate() -> None:
    irregular = np.cumsum([0.5, 0.9, 0.6, 1.1, 0.5, 0.8, 1.0, 0.6, 0.9, 0.5, 1.1, 0.7, 0.9, 0.6])
    pulse = evidence(FRONTIER_S - 0.2 - irregular[-1] + irregular)
    assert says("asystole", pulse) == (True, False)
    assert says("vf", pulse) == (True, False)
    assert says("extreme_bradycardia", pulse, value=36.0) == (False, False)


def test_a_fast_pulse_does_not_contradict_fibrillation_as_flutter_has_one() -> None:
    """As in cinc2015 f697l: a ventricular flutter with pulses at 131/min."""
    assert says("vf", evidence(train(131))) == (False, False)
    assert says("asystole", evidence(train(131))) == (True, False)


def test_a_pulse_of_seventy_contradicts_a_bradycardia_and_one_of_forty_confirms_it() -> None:
    assert says("extreme_bradycardia", evidence(train(70)), onset_s=990, value=35.0) == (True, False)
    assert says("extreme_bradycardia", evidence(train(50)), onset_s=990, value=35.0) == (False, False)
    assert says("extreme_bradycardia", evidence(train(38)), onset_s=990, value=38.0) == (False, True)


def test_a_pulse_of_ninety_contradicts_a_tachycardia_and_one_of_150_confirms_it() -> None:
    assert says("extreme_tachycardia", evidence(train(90)), value=150.0) == (True, False)
    assert says("extreme_tachycardia", evidence(train(150)), value=150.0) == (False, True)


@pytest.mark.parametrize("share", [2, 3])
def test_every_second_or_third_beat_of_a_racing_heart_may_be_all_that_is_felt(share: int) -> None:
    pulse = evidence(train(156 / share))
    assert says("extreme_tachycardia", pulse, value=156.0) == (False, False)
    assert says("vt", pulse, value=156.0) == (False, False)


def test_pulses_that_alternate_do_not_contradict_a_tachycardia() -> None:
    times = train(100)
    assert says(
        "extreme_tachycardia", evidence(times, np.where(np.arange(len(times)) % 2, 1.0, 0.6)), value=170.0
    ) == (
        False,
        False,
    )


def test_a_pulse_alone_does_not_contradict_a_ventricular_tachycardia_but_its_rate_may() -> None:
    assert says("vt", evidence(train(120)), value=120.0) == (False, True)
    assert says("vt", evidence(train(95)), value=130.0)[0] is False
    assert says("vt", evidence(train(72)), value=190.0) == (True, False)


@pytest.mark.parametrize("kind", ALL)
def test_a_channel_that_is_not_known_says_nothing(kind: str) -> None:
    pulse = evidence(train(75), known=False)
    assert says(kind, pulse, value=37.0) == (False, False)
    assert reasons(kind, pulse, 0) == []


def test_other_alarms_are_left_alone() -> None:
    pulse = evidence(train(75))
    judged = judge(("pause", "hr_high"), pulse, np.zeros((1, 2), dtype=np.int64), np.zeros((1, 2)))
    assert not judged.contradicted.any()
    assert not judged.confirmed.any()
    assert reasons("pause", pulse, 0) == []


@pytest.mark.parametrize(("value", "contradicted"), [(0.0, True), (45.0, False)])
def test_a_rate_of_0_beside_a_pulse_is_contradicted_and_a_slow_one_is_not(
    value: float, contradicted: bool
) -> None:
    judged = judge(("hr_low",), evidence(train(75)), np.full((1, 1), 993 * NS_PER_S), np.array([[value]]))
    assert bool(judged.contradicted[0, 0]) is contradicted


def test_an_asystole_that_is_contradicted_is_no_pause_and_no_bradycardia_either() -> None:
    kinds = ("asystole", "extreme_bradycardia", "hr_low", "pause", "vt")
    onsets, values = np.full((1, 5), 993 * NS_PER_S), np.array([[6.0, 35.0, 0.0, 6.0, np.nan]])
    true = np.array([[True, True, True, True, False]])
    slow = judge(kinds, evidence(train(50)), onsets, values)
    assert not without(kinds, true, slow).any()
    true[0, 0] = False
    assert without(kinds, true, slow).tolist() == [[False, True, False, True, False]]


def test_reasons_name_channel_rate_and_height() -> None:
    assert reasons("extreme_tachycardia", evidence(train(152), 0.9, kind=SignalKind.ABP), 0) == [
        "ABP pulses at 152/min, 90 % of usual height"
    ]
    assert reasons("vf", evidence(train(80), 0.2), 0) == ["pulses in PLETH irregular or weak"]


@given(
    st.lists(st.floats(980, 999), max_size=40, unique=True),
    st.lists(st.floats(0, 3), min_size=40, max_size=40),
    st.floats(985, 1_000),
    st.floats(0, 250),
)
def test_no_alarm_is_both_confirmed_and_contradicted_and_none_without_late_pulses(
    times: list[float], heights: list[float], onset_s: float, value: float
) -> None:
    pulse = evidence(np.array(sorted(times)), np.array(heights[: len(times)]))
    for kind in ALL:
        contradicted, confirmed = says(kind, pulse, onset_s, value)
        assert not (contradicted and confirmed)
        if contradicted:
            assert max(times) >= FRONTIER_S - 2.0
        if contradicted and kind in ("asystole", "vf", "vt"):
            assert sum(time > onset_s + 0.7 for time in times) >= 3


@given(st.permutations(range(4)))
def test_beds_are_judged_each_for_itself(order: list[int]) -> None:
    beds = [
        evidence(train(75)),
        evidence(train(75, until_s=993.6)),
        evidence(train(150)),
        evidence(train(75), 0.2),
    ]
    names = ("known", "source", "at_ns", "frontier_ns", "times_ns", "heights", "likeness")
    joined = PulseEvidence(*(np.concatenate([getattr(beds[n], name) for n in order]) for name in names))
    twice = joined.of(np.array([3, 2, 1, 0])).of(np.array([3, 2, 1, 0]))
    np.testing.assert_array_equal(twice.times_ns, joined.times_ns)
    onsets = np.full((4, len(ALL)), round(993 * NS_PER_S))
    together = judge(ALL, joined, onsets, np.full((4, len(ALL)), 150.0))
    for row, n in enumerate(order):
        alone = judge(ALL, beds[n], onsets[:1], np.full((1, len(ALL)), 150.0))
        np.testing.assert_array_equal(together.contradicted[row], alone.contradicted[0])
        np.testing.assert_array_equal(together.confirmed[row], alone.confirmed[0])


@pytest.mark.parametrize("kind", [SignalKind.PLETH, SignalKind.ABP])
@pytest.mark.parametrize("event", ["asystole", "vf"])
def test_the_simulated_ward_agrees_a_stopped_heart_has_no_pulse(kind: SignalKind, event: str) -> None:
    start_ns = 1_700_000_000 * NS_PER_S
    ward = Ward(2, 3, [f"bed-01:{event}@30s:15s"], ["ecg", kind])
    monitor, lines = PulseMonitor(), {bed: Continuity(IngestSettings()) for bed in ward.beds}
    heard = []
    for offset, chunk in enumerate(ward.chunks(start_ns, 40)):
        if chunk.kind is kind:
            monitor.push([(chunk.bed, piece) for piece in lines[chunk.bed].push(chunk, offset, 0)])
            heard.append(offset)
    numbers = np.array([monitor.number(bed) for bed in ward.beds])
    at_ns = np.full(2, start_ns + 36 * NS_PER_S)
    onsets = np.full((2, 1), start_ns + 30 * NS_PER_S)
    pulse = monitor.evidence(numbers, at_ns, np.full(2, heard[-8] + 1))
    judged = judge((event,), pulse, onsets, np.full((2, 1), np.nan))
    assert judged.confirmed[:, 0].tolist() == [True, False]
    assert judged.contradicted[:, 0].tolist() == [False, True]


@pytest.mark.parametrize("kind", [SignalKind.PLETH, SignalKind.ABP])
@pytest.mark.parametrize("limit_s", [4.0, 8.0])
def test_a_lead_that_shows_no_beats_beside_a_steady_pulse_alarms_nobody_and_shows_no_rate(
    plain_predictor: Callable[[np.ndarray], Probabilities], kind: SignalKind, limit_s: float
) -> None:
    start_ns = 1_700_000_000 * NS_PER_S
    ward = Ward(1, 3, [], ["ecg", kind])
    (bed,) = ward.beds
    pulses, lines = PulseMonitor(), {"ecg": Continuity(IngestSettings()), kind: Continuity(IngestSettings())}
    made = load_catalogue().settings([(bed, {"ecg/asystole": Values(limit=limit_s)})])
    monitor = EcgMonitor(plain_predictor, lambda: start_ns, settings_of=lambda bed: made, pulses=pulses)
    heard = Outcome()
    for offset, chunk in enumerate(ward.chunks(start_ns, 65)):
        if chunk.kind is kind:
            pulses.push([(bed, piece) for piece in lines[kind].push(chunk, offset, 0)])
            continue
        times_s = (chunk.start_ns - start_ns) / NS_PER_S + np.arange(len(chunk.samples)) / chunk.fs_hz
        blind = (times_s >= 36) & (times_s < 50)
        wander = 0.05 * np.sin(2 * np.pi * 0.3 * times_s)[:, None].astype(np.float32)
        chunk = replace(chunk, samples=np.where(blind[:, None], wander, chunk.samples))
        heard.extend(monitor.push([(bed, piece) for piece in lines["ecg"].push(chunk, offset, 0)]))
    assert heard.alarms == []
    shown = {round((one.time_ns - start_ns) / NS_PER_S): one.heart_rate_bpm for one in heard.vitals}
    assert 0.0 not in shown.values()
    assert [shown[at_s] for at_s in range(43, 50)] == [None] * 7
    assert all(shown[at_s] is not None for at_s in (*range(15, 39), *range(60, 65)))


ALARMS = {
    "Asystole": ("asystole", 5.0),
    "Ventricular_Flutter_Fib": ("vf", 5.0),
    "Ventricular_Tachycardia": ("vt", 5.0),
    "Tachycardia": ("extreme_tachycardia", 8.0),
    "Bradycardia": ("extreme_bradycardia", 8.0),
}
"""Alarms of cinc2015, what they are here, and how long before its sound each is taken to have begun, s."""


@pytest.mark.data
@pytest.mark.slow
def test_alarms_of_bedside_devices_that_are_true_are_not_contradicted(data_dir: Path) -> None:
    """The held-back side of cinc2015 at the moment of the alarm, by the pulse alone (docs/pulses.md)."""
    start_ns = 1_700_000_000 * NS_PER_S
    table = [line.split(",") for line in (data_dir / "cinc2015" / "ALARMS").read_text().split()]
    alarms = [row for row in table if side_of("cinc2015", row[0]) == "test"]
    paths = [data_dir / "cinc2015" / record for record, _, _ in alarms]
    sources = [s for s in read_sources(paths, [path.name for path in paths]) if s.signal.kind in KINDS]
    monitor, lines = PulseMonitor(), [Continuity(IngestSettings()) for _ in sources]
    streams = [source_chunks(s, start_ns, round(300 * s.signal.fs_hz), 10.0, "score") for s in sources]
    for offset, chunks in enumerate(zip(*streams, strict=True)):
        pieces = [line.push(chunk, offset, 0) for line, chunk in zip(lines, chunks, strict=True)]
        monitor.push([(s.bed, piece) for s, found in zip(sources, pieces, strict=True) for piece in found])
    counts = {(kind, true): [0, 0] for kind in ALARMS for true in "01"}
    for record, kind, true in alarms:
        at_ns = np.array([start_ns + 300 * NS_PER_S])
        pulse = monitor.evidence(np.array([monitor.number(record)]), at_ns, np.array([10**6]))
        name, back_s = ALARMS[kind]
        onset = (at_ns - round(back_s * NS_PER_S))[:, None]
        counts[kind, true][0] += 1
        counts[kind, true][1] += int(judge((name,), pulse, onset, np.full((1, 1), np.nan)).contradicted[0, 0])
    assert [counts[kind, "1"][1] for kind in ALARMS] == [0] * len(ALARMS), counts
    assert counts["Asystole", "0"][1] >= 0.5 * counts["Asystole", "0"][0], counts
