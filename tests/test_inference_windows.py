"""Alarms that a network's windows make: what staff would see for a seizure, a wheeze, an apnoea, a murmur."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.alarm_book import AlarmBook, Life
from inference.alarm_spec import Values
from inference.catalog import load_catalogue
from inference.errors import SnapshotError
from inference.types import Alarm, Prediction
from inference.windows import WindowMonitor, Windows, WindowsState
from ingest.types import NS_PER_S, SignalKind

FIXTURES = Path(__file__).resolve().parent / "fixtures"
T0 = 1_700_000_000 * NS_PER_S
LUNG = ("normal", "crackle", "wheeze", "both", "silence")


def recorded(name: str, bed: str = "bed") -> list[Prediction]:
    """Predictions of a fixture as the records that a model would send."""
    said = json.loads((FIXTURES / f"predictions_{name}.json").read_text())
    made = []
    for offset, (start_s, quality, *shares) in enumerate(said["windows"]):
        start_ns = said["start_ns"] + round(start_s * NS_PER_S)
        end_ns = start_ns + round(said["window_s"] * NS_PER_S)
        made.append(
            Prediction(
                f"{bed}:{said['signal']}:prediction:{end_ns}", bed, said["signal"], said["model"], "one",
                start_ns, end_ns, dict(zip(said["classes"], shares, strict=True)), [], quality, offset, 0,
            )
        )  # fmt: skip
    return made


def monitor(signal: str, layers: dict[str, Values] | None = None) -> WindowMonitor:
    set_so = load_catalogue().settings([("bed", layers or {})])
    return WindowMonitor(SignalKind(signal), AlarmBook(), lambda: T0, lambda bed: set_so)


def steps(alarms: Sequence[Alarm]) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.state.value) for alarm in alarms]


def seconds(ns: int | None) -> float:
    assert ns is not None
    return (ns - T0) / NS_PER_S


def windows(
    names: Sequence[str],
    *,
    start_s: float = 0.0,
    hop_s: float = 5.0,
    window_s: float = 5.0,
    quality: Sequence[float] | float = 1.0,
    classes: tuple[str, ...] = LUNG,
    bed: str = "bed",
) -> Windows:
    """Windows of one bed, each surely of the class named; an empty name says nothing."""
    starts = T0 + np.round((start_s + np.arange(len(names)) * hop_s) * NS_PER_S).astype(np.int64)
    sure = np.array([[0.9 if name == one else 0.1 / len(classes) for name in classes] for one in names])
    sure[[not name for name in names]] = np.nan
    return Windows(
        (bed,) * len(names),
        starts,
        starts + round(window_s * NS_PER_S),
        sure,
        classes,
        np.broadcast_to(np.asarray(quality, dtype=np.float64), (len(names),)).copy(),
        np.arange(len(names)) + round(start_s),
    )


def minutes(name: str, count: float) -> list[str]:
    return [name] * round(count * 12)


def test_a_seizure_is_one_latched_alarm_soon_after_its_onset() -> None:
    got = monitor("eeg").push_predictions(recorded("eeg_seizure"))
    assert steps(got) == [("seizure", "active"), ("seizure", "latched")]
    assert got[0].message == "*** SEIZURE PATTERN"
    assert 225 <= seconds(got[0].onset_ns) <= 246
    assert 240 < seconds(got[0].raised_ns) <= 260
    assert 305 <= seconds(got[1].ended_ns) <= 325
    assert {alarm.id for alarm in got} == {f"bed:eeg:seizure:{got[0].onset_ns}"}


def test_artefacts_and_single_wrong_windows_are_no_seizure() -> None:
    assert monitor("eeg").push_predictions(recorded("eeg_artefacts")) == []


def test_a_wheeze_that_begins_is_new_once_and_ends_with_it() -> None:
    got = [
        alarm for alarm in monitor("lung_sound").push_predictions(recorded("lung_new_wheeze"))
        if alarm.kind == "new_wheeze"
    ]  # fmt: skip
    assert steps(got) == [("new_wheeze", "active"), ("new_wheeze", "ended")]
    assert got[0].message == "** NEW WHEEZE"
    assert 1195 <= seconds(got[0].raised_ns) <= 1230
    assert 1500 <= seconds(got[1].ended_ns) <= 1530


def test_an_apnoea_is_raised_at_its_limit_and_a_short_one_or_a_deaf_sensor_is_none() -> None:
    got = monitor("lung_sound").push_predictions(recorded("lung_apnoea"))
    assert steps(got) == [("breath_silence", "active"), ("breath_silence", "ended")]
    assert got[0].message == "** NO BREATH SOUNDS 20 s > 20 s"
    assert (got[0].value, got[0].limit, got[0].unit) == (20.0, 20.0, "s")
    assert 180 <= seconds(got[0].onset_ns) <= 184
    assert seconds(got[0].raised_ns) == pytest.approx(seconds(got[0].onset_ns) + 20)
    assert 240 <= seconds(got[1].ended_ns) <= 246


@pytest.mark.parametrize(
    ("name", "signal", "kind", "from_s", "to_s"),
    [
        ("lung_crackles", "lung_sound", "crackles", 200, 420),
        ("heart_murmur", "heart_sound", "murmur", 120, 300),
    ],
)
def test_sounds_that_go_on_are_one_alarm(name: str, signal: str, kind: str, from_s: int, to_s: int) -> None:
    got = [one for one in monitor(signal).push_predictions(recorded(name)) if one.kind == kind]
    assert steps(got) == [(kind, "active"), (kind, "ended")]
    assert from_s <= seconds(got[0].raised_ns) <= from_s + 30
    assert to_s - 15 <= seconds(got[1].ended_ns) <= to_s + 45


def test_a_wheeze_that_was_there_before_is_not_new() -> None:
    often = (["wheeze"] + ["normal"] * 5) * 30
    got = monitor("lung_sound").push(windows(often + minutes("wheeze", 2)))
    assert "new_wheeze" not in [alarm.kind for alarm in got]


def test_the_first_wheeze_of_a_sensor_just_put_on_is_told_and_told_once() -> None:
    watch = monitor("lung_sound")
    got = watch.push(windows(minutes("wheeze", 20)))
    assert ("new_wheeze", "active") in steps(got)
    quiet = watch.push(windows(minutes("normal", 3), start_s=1200))
    assert ("new_wheeze", "ended") in steps(quiet)
    again = watch.push(windows(minutes("wheeze", 3), start_s=1380))
    assert "new_wheeze" not in [alarm.kind for alarm in again]


def test_a_sensor_put_back_says_nothing_new_of_a_known_wheeze() -> None:
    watch = monitor("lung_sound")
    watch.push(windows(minutes("wheeze", 20)))
    got = watch.push(windows(minutes("wheeze", 3), start_s=1200 + 40 * 60))
    assert ("new_wheeze", "active") not in steps(got)


def test_a_wheeze_that_becomes_frequent_is_a_trend_with_its_share() -> None:
    watch = monitor("lung_sound")
    seldom = (["wheeze"] + ["normal"] * 4) * 144
    often = (["wheeze"] * 2 + ["normal"]) * 60
    assert watch.push(windows(seldom)) == []
    got = watch.push(windows(often, start_s=3600))
    trend = [alarm for alarm in got if alarm.kind == "wheeze_trend"]
    assert trend
    assert trend[0].limit == 25.0
    assert trend[0].value == pytest.approx(47, abs=3)
    assert trend[0].message.startswith("* WHEEZE IN 4")


def test_a_trend_needs_something_to_compare_with() -> None:
    watch = monitor("lung_sound")
    got = watch.push(windows(minutes("normal", 5) + (["crackle"] + ["normal"]) * 72))
    assert "crackle_trend" not in [alarm.kind for alarm in got]


def test_no_breath_stops_where_none_was_heard() -> None:
    watch = monitor("lung_sound")
    assert watch.push(windows(minutes("silence", 3))) == []
    breathing = windows(minutes("normal", 1), start_s=180)
    long_deaf = windows(minutes("silence", 6), start_s=240, quality=0.1)
    silent = windows(minutes("silence", 2), start_s=600)
    assert [alarm for part in (breathing, long_deaf, silent) for alarm in watch.push(part)] == []


def test_an_apnoea_stays_until_a_breath_however_long_it_lasts() -> None:
    watch = monitor("lung_sound")
    got = watch.push(windows(minutes("normal", 1) + minutes("silence", 10)))
    assert steps(got) == [("breath_silence", "active")]
    assert steps(watch.push(windows(minutes("normal", 1), start_s=660))) == [("breath_silence", "ended")]


def test_time_that_nobody_heard_does_not_lengthen_a_silence() -> None:
    watch = monitor("lung_sound")
    silent = ["silence", "silence", "silence"]
    watch.push(windows(minutes("normal", 1)))
    assert watch.push(windows(silent, start_s=60)) == []
    assert watch.push(windows(["silence"] * 12, start_s=75, quality=0.2)) == []
    assert steps(watch.push(windows(["silence"], start_s=135))) == [("breath_silence", "active")]


def test_bad_quality_holds_an_alarm_as_it_is() -> None:
    watch = monitor("eeg")
    two = ("background", "seizure")
    assert steps(watch.push(windows(["seizure"] * 6, classes=two))) == [("seizure", "active")]
    assert watch.push(windows(["background"] * 60, start_s=30, quality=0.3, classes=two)) == []
    assert watch.push(windows([""] * 5, start_s=330, classes=two)) == []
    assert steps(watch.push(windows(["background"] * 6, start_s=355, classes=two))) == [
        ("seizure", "latched")
    ]


def test_a_dead_sensor_suspends_until_it_lives_again() -> None:
    watch = monitor("lung_sound")
    watch.push(windows(minutes("normal", 1)))
    watch.suspend("bed", True)
    assert watch.push(windows(minutes("silence", 2), start_s=60)) == []
    watch.suspend("bed", False)
    assert steps(watch.push(windows(minutes("silence", 1), start_s=180))) == [("breath_silence", "active")]


def test_votes_from_before_a_gap_do_not_count() -> None:
    watch = monitor("eeg")
    two = ("background", "seizure")
    assert watch.push(windows(["seizure"] * 3, classes=two)) == []
    assert watch.push(windows(["seizure"] * 3, start_s=600, classes=two)) == []
    assert steps(watch.push(windows(["seizure"], start_s=615, classes=two))) == [("seizure", "active")]


def test_a_window_that_comes_again_changes_nothing_and_a_clock_set_back_blinds_nobody() -> None:
    watch = monitor("eeg")
    two = ("background", "seizure")
    three = windows(["seizure"] * 3, classes=two)
    assert [alarm for _ in range(4) for alarm in watch.push(three)] == []
    got = watch.push(windows(["seizure"] * 4, start_s=-3600, classes=two))
    assert steps(got) == [("seizure", "active")]
    assert seconds(got[0].onset_ns) == -3600


def test_two_episodes_are_two_alarms_even_without_any_delay() -> None:
    layer = {"lung_sound/crackles": Values(off_delay_s=0.0)}
    watch = monitor("lung_sound", layer)
    flicker = ["crackle", "crackle", "crackle", "normal", "normal", "normal", "normal", "crackle", "crackle"]
    got = [one for one in watch.push(windows(flicker * 6)) if one.kind == "crackles"]
    begun = [alarm.id for alarm in got if alarm.state.value == "active"]
    assert len(begun) == len(set(begun)) > 1


def test_a_bed_is_judged_by_its_own_settings_from_its_next_window() -> None:
    of_bed = {"near": load_catalogue().settings([]), "far": load_catalogue().settings([])}
    watch = WindowMonitor(SignalKind.LUNG_SOUND, AlarmBook(), lambda: T0, of_bed.__getitem__)
    for bed in of_bed:
        watch.push(windows(minutes("normal", 1), bed=bed))
    of_bed["far"] = load_catalogue().settings([("bed", {"lung_sound/breath_silence": Values(limit=40.0)})])
    watch.configure("far")
    got = {bed: watch.push(windows(["silence"] * 5, start_s=60, bed=bed)) for bed in of_bed}
    assert steps(got["near"]) == [("breath_silence", "active")]
    assert got["far"] == []
    off = load_catalogue().settings([("bed", {"lung_sound/breath_silence": Values(enabled=False)})])
    of_bed["near"] = off
    watch.configure("near")
    got_off = watch.push(windows(["silence"] * 5, start_s=85, bed="near"))
    assert steps(got_off) == [("breath_silence", "ended")]


def test_a_model_without_a_class_leaves_its_alarms_alone() -> None:
    watch = monitor("lung_sound")
    classes = ("normal", "wheeze")
    assert watch.watches(classes) == ("new_wheeze", "wheeze_trend")
    got = watch.push(windows(minutes("wheeze", 2), classes=classes))
    assert {alarm.kind for alarm in got} == {"new_wheeze"}


def test_a_removed_bed_leaves_nothing_to_the_next() -> None:
    watch = monitor("eeg")
    two = ("background", "seizure")
    watch.push(windows(["seizure"] * 3, classes=two, bed="old"))
    watch.suspend("old", True)
    watch.remove("old")
    assert watch.push(windows(["seizure"] * 3, start_s=15, classes=two, bed="new")) == []
    assert steps(watch.push(windows(["seizure"], start_s=30, classes=two, bed="new"))) == [
        ("seizure", "active")
    ]
    assert watch.state("old") is None


def test_a_state_that_does_not_fit_is_refused_and_the_bed_begins_anew() -> None:
    watch = monitor("eeg")
    two = ("background", "seizure")
    watch.push(windows(["seizure"] * 6, classes=two))
    state = watch.state("bed")
    assert state is not None
    torn = msgspec.structs.replace(state, history=msgspec.structs.replace(state.history, arrays={}))
    other = monitor("eeg")
    with pytest.raises(SnapshotError, match="bed 'bed': the state of eeg"):
        other.restore("bed", torn)
    other.book.restore("bed", watch.book.state("bed", "eeg"))
    assert steps(other.push(windows(["background"] * 6, start_s=30, classes=two))) == [("seizure", "latched")]


def joined(parts: Sequence[Windows]) -> Windows:
    """Windows of several beds in one, by their ends; those of a bed stay in order."""
    ends = np.concatenate([part.ends_ns for part in parts])
    order = np.argsort(ends, kind="stable")
    beds = [bed for part in parts for bed in part.beds]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])[order]
        for name in ("starts_ns", "ends_ns", "probabilities", "quality", "offsets")
    }
    return Windows(tuple(beds[row] for row in order), classes=parts[0].classes, **arrays)


def part(whole: Windows, rows: slice) -> Windows:
    names = ("beds", "starts_ns", "ends_ns", "probabilities", "quality", "offsets")
    return replace(whole, **{name: getattr(whole, name)[rows] for name in names})


def one_by_one(whole: Windows) -> list[Alarm]:
    """Push windows of one bed to a monitor of its own, each for itself."""
    own = monitor("lung_sound")
    return [alarm for row in range(len(whole.beds)) for alarm in own.push(part(whole, slice(row, row + 1)))]


lines = st.lists(st.sampled_from([*LUNG, ""]), min_size=1, max_size=20).flatmap(
    lambda names: st.lists(st.integers(1, 8), min_size=len(names), max_size=len(names)).map(
        lambda repeats: [name for name, times in zip(names, repeats, strict=True) for _ in range(times)]
    )
)


@settings(max_examples=40, deadline=None)
@given(
    beds=st.lists(lines, min_size=2, max_size=4),
    cuts=st.sets(st.integers(1, 200), max_size=12),
    hop_s=st.sampled_from([2.0, 5.0, 20.0]),
)
def test_beds_together_in_any_pieces_equal_beds_alone(
    beds: list[list[str]], cuts: set[int], hop_s: float
) -> None:
    apart = [windows(names, hop_s=hop_s, bed=f"bed-{n}") for n, names in enumerate(beds)]
    alone = {one.beds[0]: one_by_one(one) for one in apart}
    together, whole = monitor("lung_sound"), joined(apart)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(whole.beds)), len(whole.beds)]
    got = [
        alarm
        for begin, end in zip(bounds[:-1], bounds[1:], strict=True)
        for alarm in together.push(part(whole, slice(begin, end)))
    ]
    for bed in alone:
        assert [alarm for alarm in got if alarm.bed == bed] == alone[bed]


@settings(max_examples=40, deadline=None)
@given(names=lines, more=lines, hop_s=st.sampled_from([2.0, 5.0, 20.0]))
def test_a_successor_goes_on_as_if_nothing_had_happened(
    names: list[str], more: list[str], hop_s: float
) -> None:
    first = monitor("lung_sound")
    before = windows(names, hop_s=hop_s)
    after = windows(more, start_s=len(names) * hop_s, hop_s=hop_s)
    first.push(before)
    state = first.state("bed")
    assert state is not None
    lives = msgspec.json.decode(msgspec.json.encode(first.book.state("bed", "lung_sound")), type=list[Life])
    successor = monitor("lung_sound")
    successor.push(windows(more, bed="another"))
    successor.restore("bed", msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=WindowsState))
    successor.book.restore("bed", lives)
    assert successor.push(after) == first.push(after)
