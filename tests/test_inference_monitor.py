"""From continuous ECG to numbers and alarms, with a threshold in the network's place."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import ecg_state, snapshot
from inference.errors import UnfitModel
from inference.monitor import EcgMonitor, Outcome
from inference.no_data import NoData
from inference.snapshot import Snapshot
from inference.stream_watch import StreamWatch
from ingest.continuity import Continuity, Piece
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, Chunk, SignalKind

FS = 250.0
T0 = 1_700_000_000 * NS_PER_S


def beats(times_s: Sequence[float], length_s: float, seed: int = 0, noise_mv: float = 0.02) -> np.ndarray:
    seconds = np.arange(round(length_s * FS)) / FS
    line = np.random.default_rng(seed).normal(0, noise_mv, len(seconds))
    for time_s in times_s:
        line += 1.2 * np.exp(-(((seconds - time_s) / 0.018) ** 2))
    return line


def pieces(
    line: np.ndarray, cuts: Sequence[int] | None = None, lead_off: Callable[[float], bool] = lambda _: False
) -> list[Piece]:
    two_leads = np.stack([line, 0.6 * line], axis=1).astype(np.float32)
    bounds = [0, *(cuts or range(250, len(line), 250)), len(line)]
    made = []
    for seq, (begin, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
        start_ns = T0 + round(begin / FS * NS_PER_S)
        off = lead_off(begin / FS)
        part = Chunk(
            "bed", "m", SignalKind.ECG, ("II", "V1"), FS, start_ns, seq, two_leads[begin:end], (off, off)
        )
        made.append(Piece(part, seq, part.samples, start_ns, 0, restart=seq == 0))
    return made


def run(monitor: EcgMonitor, line: list[Piece], bed: str = "bed") -> Outcome:
    total = Outcome()
    for piece in line:
        total.extend(monitor.push([(bed, piece)]))
    return total


@pytest.fixture
def monitor(plain_predictor: object) -> EcgMonitor:
    return EcgMonitor(plain_predictor, lambda: T0)


def seconds_after_start(ns: int) -> float:
    return (ns - T0) / NS_PER_S


def kinds(outcome: Outcome) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.state.value) for alarm in outcome.alarms]


def test_every_beat_is_found_once_at_its_time(monitor: EcgMonitor) -> None:
    truth = np.cumsum(np.random.default_rng(5).uniform(0.5, 1.2, 60))
    got = run(monitor, pieces(beats(truth, 50)))
    found = [seconds_after_start(beat.time_ns) for item in got.predictions for beat in item.beats]
    expected = truth[(truth > 1.2) & (truth < 48)]
    assert len(found) == len(set(found))
    matched = np.array(found)[np.abs(np.array(found)[:, None] - expected).argmin(axis=0)]
    np.testing.assert_allclose(matched, expected, atol=0.03)
    assert abs(len([t for t in found if 1.2 < t < 48]) - len(expected)) == 0


@pytest.mark.parametrize(("before_bpm", "after_bpm"), [(80, 120), (80, 40)])
def test_heart_rate_follows_a_step_within_10_s(
    monitor: EcgMonitor, before_bpm: float, after_bpm: float
) -> None:
    first = np.arange(0.3, 20, 60 / before_bpm)
    second = np.arange(first[-1] + 60 / after_bpm, 45, 60 / after_bpm)
    got = run(monitor, pieces(beats([*first, *second], 45)))
    reached = [
        seconds_after_start(vital.time_ns)
        for vital in got.vitals
        if vital.heart_rate_bpm is not None and abs(vital.heart_rate_bpm - after_bpm) <= 5
    ]
    assert reached[0] <= second[0] + 10


def test_asystole_is_raised_within_10_s_and_ends_with_the_beats(monitor: EcgMonitor) -> None:
    beating = np.arange(0.5, 20, 0.8)
    again = np.arange(35, 50, 0.8)
    got = run(monitor, pieces(beats([*beating, *again], 50)))
    assert kinds(got) == [("asystole", "active"), ("asystole", "latched")]
    begun, ended = got.alarms
    assert begun.id == ended.id
    assert begun.revision < ended.revision
    assert seconds_after_start(begun.onset_ns) == pytest.approx(beating[-1], abs=0.05)
    assert seconds_after_start(begun.raised_ns) <= beating[-1] + 10
    assert ended.ended_ns is not None
    assert 35 < seconds_after_start(ended.ended_ns) < 40
    assert begun.delay.measurement_s >= 4


def test_the_number_beside_an_asystole_is_zero_not_the_last_rate(monitor: EcgMonitor) -> None:
    got = run(monitor, pieces(beats(np.arange(0.5, 20, 0.8), 30)))
    assert got.vitals[-1].heart_rate_bpm == 0.0


def test_fibrillation_is_raised_within_10_s_and_not_as_asystole(monitor: EcgMonitor) -> None:
    line = beats(np.arange(0.5, 20, 0.8), 40)
    seconds = np.arange(len(line)) / FS
    line = np.where(seconds > 20, 0.35 * np.sin(2 * np.pi * 5 * seconds), line)
    got = run(monitor, pieces(line))
    assert kinds(got) == [("vf", "active")]
    assert 20 < seconds_after_start(got.alarms[0].raised_ns) <= 30


def test_extreme_rates_are_raised(monitor: EcgMonitor) -> None:
    fast = run(monitor, pieces(beats(np.arange(0.5, 30, 60 / 170), 30)), "fast")
    slow = run(monitor, pieces(beats(np.arange(0.5, 40, 60 / 33), 40)), "slow")
    assert kinds(fast) == [("hr_high", "active"), ("extreme_tachycardia", "active"), ("hr_high", "ended")]
    assert fast.alarms[2].reasons[-1:] == [
        "superseded by ecg/extreme_tachycardia, which says it more gravely"
    ]
    assert fast.alarms[1].value == pytest.approx(170, abs=3)
    assert "> 140" in fast.alarms[1].message
    assert kinds(slow) == [("extreme_bradycardia", "active")]


def test_lead_off_by_flag_is_technical_and_silences_asystole(monitor: EcgMonitor) -> None:
    line = beats(np.arange(0.5, 20, 0.8), 40, noise_mv=0.03)
    got = run(monitor, pieces(line, lead_off=lambda at_s: at_s >= 20))
    assert kinds(got) == [("lead_off", "active")]
    assert seconds_after_start(got.alarms[0].raised_ns) <= 25
    assert got.vitals[-1].heart_rate_bpm is None
    assert not got.vitals[-1].usable


def test_a_dead_flat_line_is_lead_off_but_a_wandering_one_asystole(monitor: EcgMonitor) -> None:
    line = beats(np.arange(0.5, 20, 0.8), 40, noise_mv=0.0)
    flat = np.where(np.arange(len(line)) / FS > 20, 0.0, line)
    wander = flat + 0.03 * np.sin(2 * np.pi * 0.3 * np.arange(len(line)) / FS)
    assert kinds(run(monitor, pieces(flat), "flat")) == [("lead_off", "active")]
    assert kinds(run(monitor, pieces(wander), "wander")) == [("asystole", "active")]


def test_one_dead_lead_does_not_blind_the_bed(monitor: EcgMonitor) -> None:
    line = beats(np.arange(0.5, 40, 0.8), 40)
    made = pieces(line)
    for piece in made[20:]:
        piece.samples[:, 0] = 0.0
    got = run(monitor, made)
    assert got.alarms == []
    assert got.predictions[-1].channel == "V1"
    assert got.vitals[-1].heart_rate_bpm == pytest.approx(75, abs=3)


@settings(max_examples=15, deadline=None)
@given(cuts=st.sets(st.integers(1, 250 * 30 - 1), min_size=20, max_size=60))
def test_any_cut_gives_the_same_beats_and_alarms(plain_predictor_class: type, cuts: set[int]) -> None:
    line = beats(np.arange(0.5, 15, 0.8), 30)
    whole = run(EcgMonitor(plain_predictor_class(), lambda: T0), pieces(line))
    cut = run(EcgMonitor(plain_predictor_class(), lambda: T0), pieces(line, sorted(cuts)))
    assert [alarm.id for alarm in cut.alarms] == [alarm.id for alarm in whole.alarms]
    whole_beats = [beat.time_ns for item in whole.predictions for beat in item.beats]
    cut_beats = [beat.time_ns for item in cut.predictions for beat in item.beats]
    np.testing.assert_allclose(cut_beats, whole_beats, atol=1000)
    assert [item.id for item in cut.predictions] == [item.id for item in whole.predictions]


def test_beds_together_equal_beds_alone(plain_predictor: object) -> None:
    lines = {f"bed-{n}": pieces(beats(np.arange(0.3, 25, 0.5 + 0.1 * n), 25, seed=n)) for n in range(7)}
    together = EcgMonitor(plain_predictor, lambda: T0)
    ward = Outcome()
    for step in range(25):
        ward.extend(together.push([(bed, line[step]) for bed, line in lines.items()]))
    for bed, line in lines.items():
        alone = run(EcgMonitor(plain_predictor, lambda: T0), line, bed)
        assert [item for item in ward.vitals if item.bed == bed] == alone.vitals
        assert [item for item in ward.alarms if item.bed == bed] == alone.alarms


@pytest.mark.parametrize("killed_after", [3, 12, 22, 26, 33])
def test_a_successor_goes_on_as_if_nothing_had_happened(plain_predictor: object, killed_after: int) -> None:
    beating = [*np.arange(0.5, 20, 0.8), *np.arange(35, 50, 0.8)]
    line = pieces(beats(beating, 50))
    unbroken = run(EcgMonitor(plain_predictor, lambda: T0), line)
    first = EcgMonitor(plain_predictor, lambda: T0)
    before = run(first, line[:killed_after])
    state = ecg_state.take_ecg(first, "bed")
    assert state is not None
    successor = EcgMonitor(plain_predictor, lambda: T0)
    successor.push([("another", line[0])])
    ecg_state.put_ecg(successor, "bed", state)
    successor.book.restore("bed", first.book.state("bed", "ecg"))
    after = run(successor, line[killed_after:])
    assert before.predictions + after.predictions == unbroken.predictions
    assert before.vitals + after.vitals == unbroken.vitals
    assert before.alarms + after.alarms == unbroken.alarms


def test_snapshots_survive_the_wire(monitor: EcgMonitor) -> None:
    line = pieces(beats(np.arange(0.5, 20, 0.8), 20))
    run(monitor, line)
    ecg = ecg_state.take_ecg(monitor, "bed")
    assert ecg is not None
    watch = StreamWatch({SignalKind.ECG})
    watch.heard(("bed", "ecg"), line[-1].chunk, 0, 19, 0.0)
    continuity = Continuity(IngestSettings())
    made = Snapshot(snapshot.VERSION, "bed", "ecg", 20, continuity.state(), watch.state(("bed", "ecg")), ecg)
    assert snapshot.decode(snapshot.encode(made)) == made


def test_a_removed_bed_leaves_nothing_to_the_next(monitor: EcgMonitor) -> None:
    run(monitor, pieces(beats(np.arange(0.5, 20, 0.8), 30)), "old")
    monitor.remove("old")
    got = run(monitor, pieces(beats(np.arange(0.5, 20, 0.6), 20)), "new")
    assert got.alarms == []
    assert all(item.bed == "new" for item in got.vitals)


def test_no_data_begins_once_and_ends_with_data() -> None:
    watch = NoData()
    part = pieces(beats([0.5], 1))[0].chunk
    stream = ("bed", "ecg")
    assert watch.heard(stream, part, 0, now_s=100.0) is None
    ticks = [watch.tick(100 + 0.5 * n, T0 + 4 * NS_PER_S) for n in range(20)]
    begun = [n for n, silences in enumerate(ticks) if silences]
    assert begun == [7]
    (silence,) = ticks[7]
    assert silence.onset_ns == part.end_ns
    ended = watch.heard(stream, part, 1, now_s=111.0)
    assert ended is not None
    assert ended.ended_ns == part.start_ns


def test_a_worker_that_stood_still_does_not_blame_the_devices() -> None:
    watch = NoData()
    part = pieces(beats([0.5], 1))[0].chunk
    watch.heard(("bed", "ecg"), part, 0, now_s=100.0)
    assert watch.tick(100.5, T0) == []
    assert watch.tick(130.0, T0) == []
    assert watch.heard(("bed", "ecg"), part, 1, now_s=130.1) is None


def later(line: list[Piece], shift_s: float, restart: bool = True) -> list[Piece]:
    """The same pieces at another device time, as a stream of its own."""
    shift_ns = round(shift_s * NS_PER_S)
    return [
        replace(piece, start_ns=piece.start_ns + shift_ns, restart=restart and place == 0)
        for place, piece in enumerate(line)
    ]


def test_a_clock_set_back_blinds_nobody(monitor: EcgMonitor) -> None:
    run(monitor, pieces(beats(np.arange(0.5, 40, 0.8), 40)))
    got = run(monitor, later(pieces(beats(np.arange(0.5, 10, 0.8), 40)), -3600))
    assert ("asystole", "active") in kinds(got)
    assert got.vitals[-1].heart_rate_bpm == 0.0


@pytest.mark.parametrize("lost", ["all", "flagged and missing"])
def test_no_usable_lead_is_said(monitor: EcgMonitor, lost: str) -> None:
    line = beats(np.arange(0.5, 60, 0.8), 60)
    made = pieces(line, lead_off=lambda at_s: False)
    for piece in made[20:]:
        piece.samples[:, 1] = np.nan
        if lost == "all":
            piece.samples[:, 0] = np.nan
        else:
            chunk = replace(piece.chunk, lead_off=(True, False))
            made[made.index(piece)] = replace(piece, chunk=chunk)
    got = run(monitor, made)
    assert kinds(got) == [("unusable", "active")]
    assert 20 < seconds_after_start(got.alarms[0].raised_ns) <= 30


@pytest.mark.parametrize("pattern", ["30 % of each second", "every 4th second", "one lead"])
def test_missing_samples_do_not_silence_asystole(monitor: EcgMonitor, pattern: str) -> None:
    made = pieces(beats(np.arange(0.5, 20, 0.8), 50))
    for second, piece in enumerate(made):
        if pattern == "every 4th second" and second % 4 == 0:
            piece.samples[:] = np.nan
        elif pattern == "30 % of each second":
            piece.samples[:75] = np.nan
        elif pattern == "one lead":
            piece.samples[:75, 0] = np.nan
    got = run(monitor, made)
    begun = {alarm.kind: alarm.raised_ns for alarm in got.alarms if alarm.state.value == "active"}
    assert set(begun) <= {"asystole", "noise"}
    assert seconds_after_start(begun["asystole"]) <= 20 + 10


def test_signal_in_bursts_does_not_silence_asystole(monitor: EcgMonitor) -> None:
    beating = run(monitor, pieces(beats(np.arange(0.5, 20, 0.8), 20)))
    assert beating.alarms == []
    got = Outcome()
    for burst in range(6):
        silent = pieces(beats([], 5, seed=burst))
        got.extend(run(monitor, later(silent, 20 + 10 * burst)))
    assert "asystole" in [alarm.kind for alarm in got.alarms]


@settings(max_examples=15, deadline=None)
@given(batches=st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_any_batching_of_polls_gives_the_same_alarms(plain_predictor_class: type, batches: list[int]) -> None:
    stopped = pieces(beats(np.arange(0.5, 30, 0.8), 38))
    again = later(pieces(beats(np.arange(0.5, 20, 0.8), 20, seed=2)), 45)
    line = [*stopped, *again]
    one_by_one = run(EcgMonitor(plain_predictor_class(), lambda: T0), line)
    assert kinds(one_by_one) == [("asystole", "active"), ("asystole", "latched")]
    monitor = EcgMonitor(plain_predictor_class(), lambda: T0)
    got, place = Outcome(), 0
    while place < len(line):
        size = batches[len(got.vitals) % len(batches)]
        got.extend(monitor.push([("bed", piece) for piece in line[place : place + size]]))
        place += size
    assert got.alarms == one_by_one.alarms
    assert got.vitals == one_by_one.vitals


def test_a_model_that_the_rules_cannot_read_is_refused(plain_predictor: object) -> None:
    class Unfit:
        spec = replace(plain_predictor.spec, thresholds={"beat": 0.5})

    with pytest.raises(UnfitModel, match="'vf'"):
        EcgMonitor(Unfit(), lambda: T0)


def test_a_rate_around_the_limit_is_one_alarm(monitor: EcgMonitor) -> None:
    intervals = [60 / 38, 60 / 38, 60 / 38, 60 / 42, 60 / 42, 60 / 42] * 12
    got = run(monitor, pieces(beats(0.5 + np.cumsum(intervals), 100)))
    assert kinds(got)[0] == ("extreme_bradycardia", "active")
    assert len({alarm.id for alarm in got.alarms if alarm.kind == "extreme_bradycardia"}) == 1
