"""Each rule of the ECG on beats as they are found, without a network."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.af import BEGAN, ENDED, NONE, THERE, AtrialFibrillation, irregular
from inference.alarms import AlarmEngine
from inference.beats import LABELS, NEVER, BeatHistory, heart_rate_bpm, row_medians
from inference.evidence import COLUMN, ECG_SPECS, OF_WINDOWS, Evidence
from inference.rules import conditions
from inference.rules_rate import asystole, extreme_bradycardia, extreme_tachycardia, pause
from inference.rules_rhythm import fibrillation
from inference.rules_ventricular import bigeminy, couplet, ventricular_run, ventricular_tachycardia
from ingest.types import NS_PER_S

CLASSES = ("vf", "vt", "asystole", "af", "noise", "other")
THRESHOLDS = dict.fromkeys(CLASSES, 0.5)


def watch(times_s: Sequence[float], labels: str, now_s: float | None = None, **changes: object) -> Evidence:
    """What the rules see of one bed when beats are final up to ``now_s``, by default just after the last."""
    times = np.asarray(times_s, dtype=np.float64)
    now = times[-1] + 0.3 if now_s is None else now_s
    seen = times <= now
    history = BeatHistory(1)
    found = np.array([LABELS.index(label) for label in labels])[seen]
    times_ns = np.round(times[seen] * NS_PER_S).astype(np.int64)
    history.append(np.zeros(seen.sum(), dtype=np.int64), times_ns, found)
    slots = np.array([0])
    frontier_ns = np.array([round(now * NS_PER_S)])
    engine = AlarmEngine(ECG_SPECS, 1)
    no = np.array([False])
    made = Evidence(
        slots=slots,
        ends_ns=frontier_ns + NS_PER_S,
        frontier_ns=frontier_ns,
        beats=history.recent(slots),
        ventricular_per_min=history.ventricular_since(slots, frontier_ns - 60 * NS_PER_S),
        quiet_since_ns=history.last_ns[slots],
        quiet_s=(frontier_ns - history.last_ns[slots]) / NS_PER_S,
        rhythms=np.full((1, OF_WINDOWS, len(CLASSES)), 0.1),
        elsewhere=np.full((1, OF_WINDOWS, len(CLASSES)), np.nan),
        waves_bpm=np.array([np.nan]),
        classes=CLASSES,
        thresholds=THRESHOLDS,
        af_began=no,
        af_ended=no,
        off=no,
        saturated=no,
        unusable=no,
        noisy=no,
        settled=~no,
        active=engine.active(slots),
        limits=engine.limits(slots),
    )
    return replace(made, **changes)


def regular(bpm: float, n_beats: int, begin_s: float = 10.0) -> list[float]:
    return (begin_s + 60.0 / bpm * np.arange(n_beats)).tolist()


def told(evidence: Evidence) -> dict[str, float]:
    """Kinds whose condition is true and judged, with their values."""
    found = conditions(evidence)
    true = (found.true & found.judged)[0]
    return {
        spec.kind: float(found.values[0, COLUMN[spec.kind]]) for spec in ECG_SPECS if true[COLUMN[spec.kind]]
    }


def over_time(times_s: Sequence[float], labels: str, kind: str) -> list[tuple[float, float]]:
    """When a condition is true, second by second, and its value then."""
    found = []
    for now_s in np.arange(times_s[0], times_s[-1] + 8.0):
        values = told(watch(times_s, labels, float(now_s)))
        if kind in values:
            found.append((float(now_s), values[kind]))
    return found


@pytest.mark.parametrize(("bpm", "kind"), [(125, "hr_high"), (119, None), (51, None), (48, "hr_low")])
def test_heart_rate_is_held_against_its_limits(bpm: float, kind: str | None) -> None:
    got = told(watch(regular(bpm, 14), "N" * 14))
    assert list(got) == ([kind] if kind else [])
    if kind:
        assert got[kind] == pytest.approx(bpm, abs=0.5)


def test_no_rate_is_no_rate_under_a_limit() -> None:
    found = conditions(watch([10.0], "N"))
    for kind in ("hr_high", "hr_low"):
        assert not found.true[0, COLUMN[kind]]
        assert not found.judged[0, COLUMN[kind]]


def test_after_a_standstill_the_rate_is_that_of_the_beats_since() -> None:
    times_s = [*regular(75, 12), *regular(75, 4, begin_s=40)]
    assert "hr_low" not in told(watch(times_s, "N" * 16))


def test_hysteresis_keeps_a_rate_alarm_until_three_beyond_the_limit() -> None:
    slots, engine = np.array([0]), AlarmEngine(ECG_SPECS, 1)
    fast = watch(regular(118, 20), "N" * 20)
    assert told(fast) == {}
    active = np.zeros((1, len(ECG_SPECS)), dtype=np.bool_)
    active[0, COLUMN["hr_high"]] = True
    limits = engine.limits(slots)
    limits.above[0, COLUMN["hr_high"]] -= 3
    assert "hr_high" in told(replace(fast, active=active, limits=limits))


def test_a_pause_is_told_when_it_is_over() -> None:
    times_s = [*regular(60, 8), 19.8, 20.8, 21.8, 22.8]
    got = over_time(times_s, "N" * 12, "pause")
    assert {round(value, 1) for _, value in got} == {2.8}
    assert got[0][0] == 20.0
    assert len(got) <= 3
    assert over_time([*regular(60, 8), 19.4, 20.4], "N" * 10, "pause") == []


def test_a_standstill_that_ended_between_two_looks_is_told() -> None:
    times_s = [*regular(60, 8), 21.2, 22.2, 23.2]
    got = [at for at in over_time(times_s, "N" * 11, "asystole") if at[0] < times_s[-1]]
    assert {round(value, 1) for _, value in got} == {4.0, 4.2}


def test_another_lead_speaks_against_a_tachycardia_that_one_lead_shows() -> None:
    rhythms = np.full((1, OF_WINDOWS, len(CLASSES)), 0.01)
    rhythms[..., CLASSES.index("vt")] = 0.9
    assert "vt" not in told(watch(regular(130, 20), "N" * 20, rhythms=rhythms))
    shaken = watch(regular(130, 20), "NV" * 10, rhythms=rhythms)
    assert "vt" in told(shaken)
    quiet = np.full_like(rhythms, 0.01)
    assert "vt" not in told(replace(shaken, elsewhere=quiet))
    assert "vt" in told(replace(shaken, elsewhere=rhythms))
    noise = quiet.copy()
    noise[..., CLASSES.index("noise")] = 0.9
    assert "vt" in told(replace(shaken, elsewhere=noise))


def test_a_run_of_three_is_a_run_and_five_fast_ones_are_a_tachycardia() -> None:
    fast = regular(75, 6) + regular(150, 3, 14.6) + regular(75, 4, 16.6)
    got = over_time(fast, "NNNNNN" + "VVV" + "NNNN", "pvc_run")
    assert {value for _, value in got} == {3.0}
    assert over_time(fast, "NNNNNN" + "VVV" + "NNNN", "vt") == []
    longer = regular(75, 6) + regular(150, 6, 14.6) + regular(75, 4, 17.8)
    labels = "NNNNNN" + "VVVVVV" + "NNNN"
    assert {round(value) for _, value in over_time(longer, labels, "vt")} == {150}
    assert over_time(longer, labels, "pvc_run") == []


def test_a_short_fast_run_between_two_looks_is_seen() -> None:
    times_s = regular(75, 6) + regular(220, 5, 14.55) + [16.1, 16.9]
    assert over_time(times_s, "NNNNNN" + "VVVVV" + "NN", "vt") != []


def test_a_slow_ventricular_rhythm_is_a_run_not_a_tachycardia() -> None:
    times_s = regular(80, 30)
    assert over_time(times_s, "NNNNN" + "V" * 25, "vt") == []
    assert over_time(times_s, "NNNNN" + "V" * 25, "pvc_run") != []


@pytest.mark.parametrize(
    ("labels", "is_couplet"),
    [("NNNVVNNN", True), ("NNNVNNNN", False), ("NNVVVNNN", False), ("NNSVVNNN", True), ("NVVNVVNN", True)],
)
def test_a_couplet_is_two_between_others(labels: str, is_couplet: bool) -> None:
    assert bool(over_time(regular(70, 8), labels, "couplet")) is is_couplet


@pytest.mark.parametrize(
    ("labels", "is_bigeminy"),
    [
        ("NN" + "NV" * 4 + "NN", True),
        ("NN" + "NV" * 3 + "NN", False),
        ("NN" + "NNV" * 4 + "NN", False),
        ("NN" + "SV" * 5 + "NN", True),
    ],
)
def test_bigeminy_is_four_pairs_in_a_row(labels: str, is_bigeminy: bool) -> None:
    assert bool(over_time(regular(70, len(labels)), labels, "bigeminy")) is is_bigeminy


@pytest.mark.parametrize(
    ("every", "kinds"), [(4, {"frequent_pvcs"}), (2, {"frequent_pvcs", "pvc_rate"}), (9, set())]
)
def test_ventricular_beats_are_counted_over_a_whole_minute(every: int, kinds: set[str]) -> None:
    labels = "".join("V" if at % every == 0 else "N" for at in range(80))
    got = told(watch(regular(75, 80), labels))
    assert kinds <= set(got)
    assert {"pvc_rate", "frequent_pvcs"} - kinds == {"pvc_rate", "frequent_pvcs"} - set(got)
    if kinds:
        assert got["frequent_pvcs"] == pytest.approx(75 / every, abs=1)


def test_nothing_but_asystole_and_fibrillation_is_judged_in_noise() -> None:
    yes = np.array([True])
    noisy = conditions(watch(regular(170, 20), "N" * 20, noisy=yes))
    judged = {spec.kind for spec in ECG_SPECS if noisy.judged[0, COLUMN[spec.kind]]}
    technical = {"lead_off", "saturated", "unusable", "noise"}
    assert judged == {"asystole", "vf"} | technical
    off = conditions(watch(regular(170, 20), "N" * 20, unusable=yes))
    assert {spec.kind for spec in ECG_SPECS if off.judged[0, COLUMN[spec.kind]]} == technical


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_no_history_of_beats_breaks_a_rule(data: st.DataObject) -> None:
    n_beats = data.draw(st.integers(1, 60))
    gaps = data.draw(st.lists(st.floats(0.2, 12), min_size=n_beats, max_size=n_beats))
    labels = data.draw(st.text("NSVF", min_size=n_beats, max_size=n_beats))
    got = conditions(watch(np.cumsum(gaps).tolist(), labels))
    has_value = np.array(["{value}" in spec.text for spec in ECG_SPECS])
    assert not np.isnan(got.values[got.true & has_value]).any()


def fibrillate(state: AtrialFibrillation, shown: float, seconds: int, said: bool = True) -> list[str]:
    """Windows one after the other; what is said is active one step later."""
    heard, active = [], np.zeros((1, 2), dtype=np.bool_)
    for _ in range(seconds):
        began, ended = state.step(
            np.array([0]),
            np.array([shown]),
            lambda rows, irregular=shown == 1: rows == 0 if irregular else rows < 0,
            active,
        )
        heard += ["began"] * bool(began[0]) + ["ended"] * bool(ended[0])
        active = np.array([[began[0] and said, ended[0] and said]])
    return heard


def test_atrial_fibrillation_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    state = AtrialFibrillation(1)
    assert fibrillate(state, 0.0, 60) == []
    assert fibrillate(state, 1.0, 600) == ["began"]
    assert state.phase[0] == THERE
    assert fibrillate(state, 0.0, 20) == []
    assert fibrillate(state, 1.0, 20) == []
    assert fibrillate(state, 0.0, 600) == ["ended"]
    assert state.phase[0] == NONE


def test_what_could_not_be_said_waits_and_is_dropped_when_it_is_over() -> None:
    state = AtrialFibrillation(1)
    fibrillate(state, 1.0, 100, said=False)
    assert state.phase[0] == BEGAN
    fibrillate(state, 0.0, 100, said=False)
    assert state.phase[0] == NONE
    fibrillate(state, 1.0, 100)
    fibrillate(state, 0.0, 100, said=False)
    assert state.phase[0] == ENDED
    fibrillate(state, 1.0, 100)
    assert state.phase[0] == THERE


def test_windows_that_were_not_judged_neither_begin_nor_end_it() -> None:
    state = AtrialFibrillation(1)
    fibrillate(state, 1.0, 100)
    assert fibrillate(state, float("nan"), 300) == []
    assert state.phase[0] == THERE


def test_irregular_is_what_changes_from_beat_to_beat() -> None:
    rng = np.random.default_rng(3)
    shaken = np.cumsum(rng.uniform(0.5, 1.1, 40))
    breathing = np.cumsum(0.8 + 0.04 * np.sin(2 * np.pi * np.arange(40) * 0.8 / 4))
    premature = [time_s - (0.3 if at % 4 == 3 else 0) for at, time_s in enumerate(regular(75, 40))]
    assert irregular(watch(shaken.tolist(), "N" * 40).beats).tolist() == [True]
    assert irregular(watch(breathing.tolist(), "N" * 40).beats).tolist() == [False]
    assert irregular(watch(premature, "NNNV" * 10).beats).tolist() == [False]
    assert irregular(watch(regular(75, 5), "N" * 5).beats).tolist() == [False]


def test_no_beats_yet_is_no_alarm_but_a_late_asystole() -> None:
    slots, history = np.array([0]), BeatHistory(1)
    assert history.last_ns[0] == NEVER
    assert np.isnan(heart_rate_bpm(history.recent(slots).intervals_s))
    assert told(replace(watch([10.0], "N"), beats=history.recent(slots))) == {}


def test_medians_of_rows_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for width in range(1, 20):
        values = rng.normal(size=(30, width))
        values[rng.random(values.shape) < 0.4] = np.nan
        known = ~np.isnan(values).all(axis=1)
        found = row_medians(values)
        np.testing.assert_array_equal(found[known], np.nanmedian(values[known], axis=1))
        assert np.isnan(found[~known]).all()


def test_waves_set_apart_make_no_couplet_and_no_bigeminy_and_are_not_counted() -> None:
    times_s = regular(75, 20)
    for labels, kind in (("N" * 16 + "VVNN", "couplet"), ("NV" * 9 + "NN", "bigeminy")):
        evidence = watch(times_s, labels)
        assert kind in told(evidence)
        apart = replace(evidence.beats, apart=np.full_like(evidence.beats.apart, True))
        assert kind not in told(replace(evidence, beats=apart))


def test_what_is_found_after_waves_counts_again() -> None:
    history = BeatHistory(1)
    slot = np.array([0])
    times_ns = np.arange(1, 9) * NS_PER_S
    history.append(np.zeros(6, dtype=np.int64), times_ns[:6], np.full(6, LABELS.index("V")))
    history.set_apart(slot, times_ns[[2]])
    history.append(np.zeros(2, dtype=np.int64), times_ns[6:], np.full(2, LABELS.index("V")))
    assert history.ventricular_since(slot, np.array([0])) == 4
    other = BeatHistory(1)
    other.restore(0, *history.state(0))
    other.restore_apart(0, history.apart_ns(0))
    assert other.ventricular_since(slot, np.array([0])) == 4
    assert other.recent(slot).apart[0, -8:].tolist() == [False, False, True, True, True, True, False, False]


@settings(max_examples=25, deadline=None)
@given(
    gaps_s=st.lists(st.sampled_from([0.25, 0.3, 0.45, 0.8, 1.0, 1.6, 2.4, 4.5]), min_size=2, max_size=45),
    labels=st.text(alphabet="NNNVVSF", min_size=45, max_size=45),
    rhythms=st.lists(st.sampled_from([0.05, 0.4, 0.7]), min_size=6, max_size=6),
    told=st.sets(st.sampled_from(["vf", "vt", "asystole", "extreme_tachycardia", "extreme_bradycardia"])),
)
def test_rules_looked_at_only_where_they_may_be_true_say_what_they_say_everywhere(
    gaps_s: list[float], labels: str, rhythms: list[float], told: set[str]
) -> None:
    active = np.zeros((1, len(ECG_SPECS)), dtype=np.bool_)
    active[0, [COLUMN[kind] for kind in told]] = True
    shown = np.full((1, OF_WINDOWS, len(CLASSES)), 0.02)
    shown[0, :, :2] = np.reshape(rhythms, (OF_WINDOWS, 2))
    times_s = 10.0 + np.cumsum(gaps_s)
    seen = watch(times_s.tolist(), labels[: len(times_s)], active=active, rhythms=shown)
    found = conditions(seen)
    rules = {
        "asystole": asystole,
        "vf": fibrillation,
        "vt": ventricular_tachycardia,
        "extreme_tachycardia": extreme_tachycardia,
        "extreme_bradycardia": extreme_bradycardia,
        "pause": pause,
        "pvc_run": ventricular_run,
        "bigeminy": bigeminy,
        "couplet": couplet,
    }
    for kind, rule in rules.items():
        whole, column = rule(seen), COLUMN[kind]
        assert found.true[0, column] == whole.true[0], kind
        if whole.true[0]:
            assert found.onsets_ns[0, column] == whole.onsets_ns[0]
            np.testing.assert_equal(found.values[0, column], whole.values[0])
