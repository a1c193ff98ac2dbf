"""What staff would see of a lung sensor that goes away and comes back, falls off, or hears a loud wheeze."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from inference.alarm_book import AlarmBook
from inference.monitor import Outcome
from inference.sound_made import TAILS, with_loud_wheezes
from inference.sound_monitor import SoundMonitor
from inference.sound_score import icbhi, play_together, sounds_of
from inference.sound_sensors import KEPT_IN_SILENCE_S, KEPT_S
from inference.sound_state import SoundState, put_sound, take_sound
from inference.types import Alarm
from inference.windows import WindowMonitor, Windows
from ingest.sim_events import Event
from ingest.sounds import LungSound
from ingest.types import NS_PER_S, SignalKind
from tests.sound_playing import HEART, LUNG, T0, PlainListener, monitor, pieces, play, raised

FS = 4_000
BREATH_S = 40


def lung(seconds: int, *events: Event) -> np.ndarray:
    return LungSound(1, "bed", events).next_samples(seconds * FS)[:, 0]


def seconds(ns: int) -> float:
    return (ns - T0) / NS_PER_S


def still(from_s: float, seconds: float) -> np.ndarray:
    """Breathing, and then none until the end."""
    return lung(round(from_s + seconds), Event("bed", "apnoea", from_s, seconds))


def go_on(watch: SoundMonitor, sound: np.ndarray, at_s: float, device: str = "d") -> Outcome:
    """Play a sound whose first sample is of that time, and joins nothing."""
    parts = [
        (bed, replace(part, chunk=replace(part.chunk, device=device)))
        for bed, part in pieces(LUNG, sound, begins=round(at_s * FS))
    ]
    return play(watch, parts)


def after_a_gap(gap_s: float, before_s: float, after_s: float, device: str = "d") -> list[Alarm]:
    """Alarms of an apnoea that goes on through a gap."""
    sound = still(BREATH_S, before_s + after_s)
    at = round((BREATH_S + before_s) * FS)
    watch = monitor(LUNG)
    first = go_on(watch, sound[:at], 0.0)
    second = go_on(watch, sound[at:], BREATH_S + before_s + gap_s, device)
    return [*first.alarms, *second.alarms]


def kinds(alarms: Sequence[Alarm]) -> list[tuple[str, str]]:
    return [(alarm.kind, alarm.state.value) for alarm in alarms]


def test_an_apnoea_that_began_before_a_gap_is_told_behind_it() -> None:
    (alarm,) = after_a_gap(30.0, 10.0, 15.0)
    assert (alarm.kind, alarm.state.value) == ("breath_silence", "active")
    assert BREATH_S - 5 <= seconds(alarm.onset_ns) <= BREATH_S + 4


@pytest.mark.parametrize("gap_s", [30.0, 120.0])
def test_an_apnoea_that_was_told_goes_on_over_a_gap_however_long_nobody_listened(gap_s: float) -> None:
    assert kinds(after_a_gap(gap_s, 26.0, 30.0)) == [("breath_silence", "active")]


def test_an_apnoea_over_a_gap_goes_on_in_a_successor() -> None:
    sound = still(BREATH_S, 25.0)
    at = round((BREATH_S + 10.0) * FS)
    first = monitor(LUNG)
    go_on(first, sound[:at], 0.0)
    state, alarms = take_sound(first, "bed"), first.alarms.state("bed")
    assert state is not None
    assert alarms is not None
    successor = monitor(LUNG)
    put_sound(successor, "bed", msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=SoundState))
    successor.alarms.restore("bed", alarms)
    assert raised(go_on(successor, sound[at:], BREATH_S + 30.0)) == ["breath_silence"]


@pytest.mark.parametrize(("gap_s", "device"), [(KEPT_S + 10.0, "d"), (20.0, "another")])
def test_a_sensor_that_lies_elsewhere_and_is_fainter_there_is_no_apnoea(gap_s: float, device: str) -> None:
    watch = monitor(LUNG)
    go_on(watch, lung(BREATH_S), 0.0)
    assert raised(go_on(watch, 0.1 * lung(40), BREATH_S + gap_s, device)) == []


def test_what_was_usual_is_not_kept_for_ever() -> None:
    gap_s = KEPT_IN_SILENCE_S + 60.0
    assert kinds(after_a_gap(gap_s, 26.0, 30.0)) == [
        ("breath_silence", "active"),
        ("breath_silence", "ended"),
    ]


def hiss(seconds: float, strength: float) -> np.ndarray:
    return strength * np.random.default_rng(3).standard_normal(round(seconds * FS))


@pytest.mark.parametrize(
    ("strength", "told"), [(0.002, ["breath_silence", "contact_lost"]), (0.04, ["contact_lost"])]
)
def test_a_sensor_that_fell_off_is_told_and_a_possible_apnoea_beside_it(
    strength: float, told: list[str]
) -> None:
    outcome = play(monitor(LUNG), pieces(LUNG, np.concatenate([lung(60), hiss(30, strength), lung(30)])))
    assert sorted(raised(outcome)) == told
    lost = [alarm for alarm in outcome.alarms if alarm.kind == "contact_lost"]
    assert [alarm.state.value for alarm in lost] == ["active", "ended"]
    assert 63 <= seconds(lost[0].raised_ns) <= 70
    assert lost[0].message == "!!! LUNG SOUNDS LOST: sensor off, or no breath and no heart"
    assert [vital.usable for vital in outcome.vitals[62:89]].count(True) <= 8


def test_a_chest_that_is_only_still_has_not_lost_its_sensor() -> None:
    assert raised(play(monitor(LUNG), pieces(LUNG, still(60, 40)))) == ["breath_silence"]


def wheezing(loud: float) -> np.ndarray:
    """Breathing; from 60 s on a tone of 400 Hz in the second half of each three seconds."""
    sound = lung(100)
    at = np.arange(60 * FS, 100 * FS) / FS
    tone = np.sin(2 * np.pi * 400 * at) + 0.3 * np.sin(2 * np.pi * 1_200 * at)
    sound[60 * FS :] += loud * tone * (at % 3 > 1.5)
    return sound


@pytest.mark.parametrize("loud", [0.1, 0.6])
def test_a_wheeze_is_told_however_loud_it_is(loud: float) -> None:
    outcome = play(monitor(LUNG, PlainListener()), pieces(LUNG, wheezing(loud)))
    assert raised(outcome) == ["new_wheeze"]


def heard(classes: Sequence[str], signal_classes: tuple[str, ...], start_s: float = 0.0) -> Windows:
    """What a network says every five seconds."""
    starts = T0 + np.round((start_s + 5.0 * np.arange(len(classes))) * NS_PER_S).astype(np.int64)
    said = np.array([[float(one == name) for one in signal_classes] for name in classes])
    n = len(classes)
    return Windows(
        ("bed",) * n, starts, starts + 5 * NS_PER_S, said, signal_classes, np.ones(n), np.arange(n)
    )


def test_crackles_that_become_more_are_a_trend_against_the_beds_own_past() -> None:
    watch = WindowMonitor(LUNG, AlarmBook(), lambda: T0)
    both = ("crackle", "wheeze")
    assert watch.push(heard((["crackle"] + ["none"] * 4) * 144, both)) == []
    got = watch.push(heard((["crackle", "none"] * 60), both, start_s=3_600))
    (trend,) = [alarm for alarm in got if alarm.kind == "crackle_trend"]
    assert (trend.limit, trend.unit) == (25.0, "%")
    assert trend.message.startswith("* CRACKLES IN 4")
    gone = watch.push(heard(["none"] * 144, both, start_s=4_200))
    assert ("crackle_trend", "ended") in kinds(gone)


def test_crackles_that_were_always_there_are_no_trend() -> None:
    watch = WindowMonitor(LUNG, AlarmBook(), lambda: T0)
    got = watch.push(heard((["crackle", "none"] * 500), ("crackle", "wheeze")))
    assert "crackle_trend" not in [alarm.kind for alarm in got]


@pytest.mark.parametrize(
    ("signal", "sound", "kind", "priority"),
    [
        (LUNG, "wheeze", "new_wheeze", "medium"),
        (LUNG, "crackle", "crackles", "low"),
        (HEART, "murmur", "murmur", "low"),
    ],
)
def test_what_a_network_hears_begins_and_ends_an_alarm_of_its_priority(
    signal: SignalKind, sound: str, kind: str, priority: str
) -> None:
    watch = WindowMonitor(signal, AlarmBook(), lambda: T0)
    got = watch.push(heard(["none"] * 24 + [sound] * 24 + ["none"] * 36, (sound,)))
    began, ended = [alarm for alarm in got if alarm.kind == kind]
    assert (began.priority.value, began.state.value, ended.state.value) == (priority, "active", "ended")
    assert 120 <= seconds(began.raised_ns) <= 150
    assert ended.ended_ns is not None
    assert 245 <= seconds(ended.ended_ns) <= 275


@pytest.mark.data
def test_real_chests_that_fall_still_or_lose_their_sensor_are_told_apart(data_dir: Path) -> None:
    train = [record for record in icbhi(data_dir / "icbhi2017_sc") if record.group == "train"]
    sounds = list(sounds_of(LUNG, train[::9]))
    raised_in = {}
    for name in ("sensor off, its own noise", "apnoea, the heart goes on", "breathing goes on"):
        lines = {
            record.name: np.concatenate([np.resize(sound, 60 * FS), TAILS[name](sound, fs_hz, 25 * FS)])
            for record, sound, fs_hz in sounds
        }
        alarms = play_together(LUNG, lines, FS).alarms
        raised_in[name] = [
            {alarm.kind for alarm in alarms if alarm.bed == bed and seconds(alarm.raised_ns) > 60}
            for bed in lines
        ]
    off, held, breathing = raised_in.values()
    assert sum("contact_lost" in one for one in off) >= 0.7 * len(off)
    assert sum("contact_lost" in one for one in held) <= 0.1 * len(held)
    assert sum("breath_silence" in one for one in held) >= 0.7 * len(held)
    assert not any(one & {"contact_lost", "breath_silence"} for one in breathing)


@pytest.mark.data
def test_real_wheezes_made_loud_are_judged(data_dir: Path) -> None:
    train = [record for record in icbhi(data_dir / "icbhi2017_sc") if record.group == "train"]
    wheezy = [record for record in train if 0 < record.labels["wheeze"].mean() < 1]
    made = [
        (record.name, *found)
        for record, sound, fs_hz in sounds_of(LUNG, wheezy)
        if (found := with_loud_wheezes(record, sound, fs_hz, 18.0)) is not None
    ]
    vitals = play_together(LUNG, {name: line for name, line, _ in made}, FS).vitals
    usable = [
        ok
        for name, _, share in made
        for ok, part in zip([one.usable for one in vitals if one.bed == name][60:], share, strict=False)
        if part >= 0.5
    ]
    assert len(usable) > 20
    assert np.mean(usable) >= 0.8
