"""Reference episodes of annotations, which alarms answer them, and which are false."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

from inference.episodes import Heard, answer, explained, heard, match, reference_episodes, table
from inference.errors import InferenceError
from inference.reference import Episode, Labels, Reference, derive, read_reference
from inference.types import Alarm, AlarmState, Delay, Priority
from ingest.types import NS_PER_S

START_NS = 1_700_000_000 * NS_PER_S


def annotated(
    beats: Sequence[tuple[float, str]], marks: Sequence[tuple[float, str]] = (), length_s: float = 120.0
) -> Reference:
    """Reference of beats (time, symbol) and rhythm marks (time, note)."""
    rows = sorted(
        [(at_s, symbol, "") for at_s, symbol in beats] + [(at_s, "+", note) for at_s, note in marks]
    )
    times_s = np.array([row[0] for row in rows])
    return derive("made", times_s, [row[1] for row in rows], [row[2] for row in rows], length_s)


def every(interval_s: float, n: int, symbol: str = "N", since_s: float = 1.0) -> list[tuple[float, str]]:
    return [(since_s + nth * interval_s, symbol) for nth in range(n)]


def kinds(reference: Reference) -> list[str]:
    return [episode.kind for episode in reference.episodes]


def test_an_interval_over_four_seconds_is_an_asystole_that_began_with_the_last_beat():
    found = annotated([*every(0.5, 10), *every(0.5, 10, since_s=5.5 + 4.4)])
    assert found.labels is Labels.BEATS
    [episode] = found.episodes
    assert (episode.kind, episode.onset_s, episode.end_s) == (
        "asystole",
        pytest.approx(5.5),
        pytest.approx(9.9),
    )
    assert episode.met_s == pytest.approx(9.5)


def test_an_interval_of_four_seconds_is_none():
    assert annotated([*every(0.5, 10), *every(0.5, 10, since_s=5.5 + 4.0)]).episodes == ()


def test_what_lies_before_the_first_beat_and_after_the_last_is_no_pause():
    assert annotated(every(0.8, 10, since_s=30.0)).episodes == ()


@pytest.mark.parametrize(
    ("beats", "expected"),
    [
        (every(1.51, 5), ["extreme_bradycardia"]),
        (every(1.51, 4), []),
        (every(1.5, 20), []),
        (every(0.42, 17), ["extreme_tachycardia"]),
        (every(0.42, 16), []),
        (every(0.43, 40), []),
        (every(0.6, 5, "V"), ["vt"]),
        (every(0.6, 4, "V"), []),
        (every(0.61, 9, "V"), []),
        (every(0.5, 3, "V") + every(0.5, 2, "E", since_s=2.5), ["vt"]),
        (every(0.5, 3, "V") + every(0.5, 1, "F", since_s=2.5) + every(0.5, 3, "V", since_s=3.0), []),
    ],
)
def test_rates_and_runs_meet_the_definitions_of_the_specification(beats, expected):
    assert kinds(annotated(beats)) == expected


def test_a_long_stretch_is_one_episode_and_its_definition_is_met_once():
    [episode] = annotated(every(0.4, 60)).episodes
    assert (episode.onset_s, episode.met_s, episode.end_s) == pytest.approx((1.0, 7.4, 24.6))


def test_fibrillation_of_marks_brackets_and_waves_is_one_episode_and_no_interval_reaches_into_it():
    beats = every(0.8, 10) + [(9.0, "["), (9.3, "!"), (9.6, "!"), (16.0, "]")] + every(0.8, 10, since_s=17.0)
    found = annotated(beats, [(9.1, "(VFL"), (16.5, "(N")])
    assert [(one.kind, one.onset_s, one.end_s) for one in found.episodes] == [("vf", 9.0, 16.5)]


def test_with_annotated_beats_a_marked_tachycardia_of_three_beats_is_no_episode():
    found = annotated([*every(0.8, 10), *every(0.4, 3, "V", since_s=9.0)], [(9.0, "(VT"), (60.0, "(N")])
    assert found.episodes == ()


def test_without_beats_marks_of_four_seconds_count_and_shorter_ones_are_set_apart():
    marks = [(10.0, "(VT"), (14.0, "(N"), (20.0, "(VFL"), (23.0, "(VF"), (26.0, "(N"), (30.0, "(VT")]
    marks += [(33.9, "(N"), (50.0, "(ASYS")]
    found = annotated([], marks, length_s=60.0)
    assert found.labels is Labels.RHYTHMS
    assert [(one.kind, one.onset_s, one.end_s) for one in found.episodes] == [
        ("vt", 10.0, 14.0),
        ("vf", 20.0, 26.0),
        ("asystole", 50.0, 60.0),
    ]
    assert [(one.kind, one.onset_s) for one in found.short] == [("vt", 30.0)]
    assert found.scored == ("vf", "vt")


INTERVALS = st.lists(
    st.sampled_from([0.3, 0.41, 0.43, 0.6, 0.8, 1.4, 1.6, 3.0, 4.5]), min_size=0, max_size=60
)


@given(INTERVALS, st.lists(st.booleans(), min_size=61, max_size=61))
def test_every_window_that_meets_a_definition_lies_in_an_episode_and_no_other(intervals, ventricular):
    at_s = 1.0 + np.concatenate([[0.0], np.cumsum(intervals)])
    beats = [(float(t), "V" if is_v else "N") for t, is_v in zip(at_s, ventricular, strict=False)]
    found = annotated(beats, length_s=400.0)
    windows = {
        "extreme_bradycardia": (5, lambda rate, _: rate < 40 - 1e-6),
        "extreme_tachycardia": (17, lambda rate, _: rate > 140 + 1e-6),
        "vt": (5, lambda rate, symbols: rate > 100 - 1e-6 and set(symbols) == {"V"}),
        "asystole": (2, lambda rate, _: rate < 15 - 1e-6),
    }
    for kind, (n, meets) in windows.items():
        spans = [(one.onset_s, one.end_s) for one in found.episodes if one.kind == kind]
        hit = [
            (beats[at][0], beats[at + n - 1][0])
            for at in range(len(beats) - n + 1)
            if meets(60 * (n - 1) / (beats[at + n - 1][0] - beats[at][0]), [s for _, s in beats[at : at + n]])
        ]
        assert all(any(a <= b and d <= e for a, e in spans) for b, d in hit), kind
        assert {a for a, _ in spans} <= {b for b, _ in hit}, kind
        assert {e for _, e in spans} <= {d for _, d in hit}, kind
        if kind != "asystole":
            assert all(later[0] > earlier[1] for earlier, later in zip(spans, spans[1:], strict=False)), kind


@given(INTERVALS, st.floats(0.0, 50.0))
def test_episodes_move_with_the_beats(intervals, shift_s):
    at_s = 1.0 + np.concatenate([[0.0], np.cumsum(np.array(intervals) + 0.001)])
    here = annotated([(float(t), "N") for t in at_s], length_s=400.0)
    there = annotated([(float(t) + shift_s, "N") for t in at_s], length_s=400.0)
    assert kinds(here) == kinds(there)
    assert [one.onset_s + shift_s for one in here.episodes] == pytest.approx(
        [one.onset_s for one in there.episodes]
    )


def alarm(
    kind: str, raised_s: float, ended_s: float | None = None, *, revision: int = 0, **fields: str
) -> Alarm:
    state = AlarmState.ACTIVE if ended_s is None else AlarmState.LATCHED
    return Alarm(
        id=fields.get("id", f"{kind}:{raised_s}"), bed="b", signal="ecg", kind=kind, priority=Priority.HIGH,
        state=state, message=kind, onset_ns=0, raised_ns=START_NS + round(raised_s * NS_PER_S), emitted_ns=0,
        ended_ns=None if ended_s is None else START_NS + round(ended_s * NS_PER_S), value=None, limit=None,
        unit=None, delay=Delay(0, 0, 0), raw_offset=0, revision=revision,
    )  # fmt: skip


VF = Episode("made", "vf", 100.0, 130.0, 104.0)


def test_an_alarm_counts_once_whatever_becomes_of_it():
    steps = [alarm("vf", 105.0), alarm("vf", 105.0, 120.0, revision=1), alarm("vf", 105.0, 120.0, revision=2)]
    assert [(one.raised_s, one.ended_s) for one in heard(steps, START_NS)] == [(105.0, 120.0)]


def test_the_first_answering_alarm_gives_the_delay():
    [found] = match([VF], [alarm("asystole", 101.0), alarm("vf", 108.0), alarm("vt", 105.0)], START_NS)
    assert (found.alarm, found.delay_s, found.after_met_s) == ("vt", 5.0, 1.0)


def test_an_alarm_that_is_active_at_the_onset_answers_at_once():
    [found] = match([VF], [alarm("vt", 90.0, 101.0)], START_NS)
    assert (found.raised_s, found.delay_s, found.after_met_s) == (90.0, 0.0, 0.0)
    assert not found.sounded_before
    [found] = match([VF], [alarm("vt", 89.0, 101.0)], START_NS)
    assert found.sounded_before


def test_an_alarm_that_ended_before_or_came_too_late_answers_nothing():
    [found] = match([VF], [alarm("vf", 80.0, 99.0), alarm("vf", 140.5)], START_NS)
    assert (found.alarm, found.delay_s, found.after_met_s) == (None, None, None)
    assert table([found])[-1] == "| made | vf | 100.0 | 130.0 | none | | |"


def test_the_table_tells_record_event_and_delay():
    [found] = match([VF], [alarm("vf", 108.0)], START_NS)
    assert table([found])[-1] == "| made | vf | 100.0 | 130.0 | vf | 108.0 | 8.0 |"


@pytest.mark.parametrize(
    ("kind", "raised_s", "expected"),
    [
        ("vf", 98.0, True),
        ("vf", 90.0, True),
        ("vf", 89.9, False),
        ("extreme_tachycardia", 120.0, True),
        ("vt", 140.0, True),
        ("vt", 140.1, False),
        ("asystole", 110.0, False),
    ],
)
def test_an_alarm_is_explained_by_an_episode_at_which_it_was_raised(kind, raised_s, expected):
    assert explained(Heard("a", kind, Priority.HIGH, kind, raised_s, None), [VF]) is expected


TIMES = st.floats(0.0, 300.0)


@given(
    st.lists(st.tuples(st.sampled_from(["vf", "vt", "asystole"]), TIMES, st.floats(0.0, 60.0)), max_size=6)
)
def test_more_alarms_never_make_an_answer_later(found):
    alarms = [
        Heard(str(n), kind, Priority.HIGH, kind, at, at + lasts) for n, (kind, at, lasts) in enumerate(found)
    ]
    best = np.inf
    for n in range(len(alarms) + 1):
        [one] = answer([VF], alarms[:n])
        delay = np.inf if one.delay_s is None else one.delay_s
        assert 0.0 <= delay <= best
        best = delay


def test_an_alarm_that_ended_before_the_onset_is_not_explained():
    assert explained(Heard("a", "vf", Priority.HIGH, "vf", 95.0, 98.5), [VF])
    assert not explained(Heard("a", "vf", Priority.HIGH, "vf", 95.0, 97.5), [VF])


def write_cinc(folder: Path, name: str, comments: list[str], seconds: int = 330) -> Path:
    signal = np.zeros((250 * seconds, 1))
    wfdb.wrsamp(name, fs=250, units=["mV"], sig_name=["II"], p_signal=signal, fmt=["16"], comments=comments,
                write_dir=str(folder))  # fmt: skip
    return folder / name


@pytest.mark.parametrize("true", [True, False])
def test_a_record_of_one_alarm_tells_its_kind_and_truth_only(tmp_path, true):
    path = write_cinc(tmp_path, "v1", ["Ventricular_Tachycardia", f"{true} alarm"])
    found = read_reference(path)
    assert found.device is not None
    assert (found.device.kind, found.device.name, found.device.true) == (
        "vt",
        "Ventricular_Tachycardia",
        true,
    )
    assert found.labels is Labels.ALARM
    assert found.scored == ()
    assert [(one.kind, one.onset_s) for one in found.episodes] == ([("vt", 290.0)] if true else [])


def test_a_true_alarm_at_the_very_end_of_its_record_leaves_no_time_to_answer(tmp_path):
    found = read_reference(write_cinc(tmp_path, "v3", ["Asystole", "True alarm"], seconds=300))
    assert found.device is not None
    assert found.episodes == ()


def test_a_record_without_any_label_has_no_reference(tmp_path):
    found = read_reference(write_cinc(tmp_path, "v2", ["a remark"]))
    assert (found.labels, found.episodes, found.device) == (Labels.NONE, (), None)


def test_a_record_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InferenceError, match="nowhere"):
        read_reference(tmp_path / "nowhere")


@pytest.mark.data
@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ("mitdb/232", "asystole"),
        ("mitdb/232", "extreme_bradycardia"),
        ("mitdb/201", "extreme_bradycardia"),
        ("mitdb/209", "extreme_tachycardia"),
        ("mitdb/207", "vf"),
        ("vfdb/427", "asystole"),
    ],
)
def test_recordings_that_are_known_to_meet_a_definition_do(data_dir, record, kind):
    assert kind in {episode.kind for episode in reference_episodes((data_dir / record).with_suffix(".hea"))}


@pytest.mark.data
def test_most_recordings_of_sinus_rhythm_meet_none(data_dir):
    assert read_reference(data_dir / "mitdb" / "103").episodes == ()
