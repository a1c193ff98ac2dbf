"""Lung and heart sounds, live: what staff would see for breathing, a bad sensor, an apnoea, a wheeze."""

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, cycle

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import SnapshotError, UnfitModel
from inference.monitor import Outcome
from inference.sound_state import SoundState, put_sound, take_sound
from inference.types import Vital
from ingest.conditioning import LUNG as LUNG_BAND
from ingest.conditioning import condition
from ingest.sim_events import Event
from ingest.sounds import HeartSound, LungSound, breaths, sound_times
from ingest.types import NS_PER_S, SignalKind
from models.melspec import HEART_MEL, LUNG_MEL, log_mel
from models.sounds_level import level_frames
from tests.sound_playing import (
    HEART,
    LUNG,
    MEMORY_FRAMES,
    T0,
    Card,
    PlainListener,
    asked_at,
    monitor,
    pieces,
    play,
    raised,
)

FS = 4_000


def lung(seconds: int, *events: Event, bed: str = "bed") -> np.ndarray:
    return LungSound(1, bed, events).next_samples(seconds * FS)[:, 0]


def heart(seconds: int, bed: str = "bed") -> np.ndarray:
    return HeartSound(1, bed).next_samples(seconds * FS)[:, 0]


def rates(vitals: list[Vital]) -> list[float]:
    both = [vital.respiratory_rate_bpm or vital.heart_rate_bpm for vital in vitals]
    return [rate for rate in both if rate is not None]


@pytest.mark.parametrize("bed", ["a", "b", "c"])
@pytest.mark.parametrize("fs_hz", [4_000.0, 44_100.0])
def test_breaths_are_counted(bed: str, fs_hz: float) -> None:
    sound = lung(45, bed=bed)
    if fs_hz != FS:
        at = np.arange(round(45 * fs_hz)) / fs_hz
        sound = np.interp(at, np.arange(len(sound)) / FS, sound)
    starts = [breath.start_s for breath, _ in zip(breaths(1, bed, ()), range(10), strict=False)]
    outcome = play(monitor(LUNG), pieces(LUNG, sound, fs_hz=fs_hz, bed=bed))
    assert np.median(rates(outcome.vitals)) == pytest.approx(60 / np.median(np.diff(starts)), abs=1.0)
    assert len(rates(outcome.vitals)) > 25
    assert outcome.alarms == []
    assert {(vital.signal, vital.heart_rate_bpm) for vital in outcome.vitals} == {("lung_sound", None)}


@pytest.mark.parametrize("bed", ["a", "b", "c"])
def test_beats_are_counted(bed: str) -> None:
    beats = HeartSound(1, bed)._beats.between(0.0, 30.0)
    truth = 60 / np.diff([sound_times(beat)[0] for beat in beats]).mean()
    outcome = play(monitor(HEART), pieces(HEART, heart(30, bed), bed=bed))
    assert np.median(rates(outcome.vitals)) == pytest.approx(truth, abs=1.5)
    assert len(rates(outcome.vitals)) > 20
    assert outcome.alarms == []


def test_noise_alone_has_no_rate() -> None:
    hiss = 0.05 * np.random.default_rng(0).standard_normal(40 * FS)
    for kind in (LUNG, HEART):
        assert len(rates(play(monitor(kind), pieces(kind, hiss)).vitals)) == 0


def test_an_apnoea_is_told_after_twenty_seconds_and_ends_with_a_breath() -> None:
    silent = Event("bed", "apnoea", 60.0, 35.0)
    outcome = play(monitor(LUNG), pieces(LUNG, lung(120, silent)))
    began, ended = outcome.alarms
    assert (began.kind, began.state.value, ended.state.value) == ("breath_silence", "active", "ended")
    assert 76 <= (began.raised_ns - T0) / NS_PER_S <= 84
    assert 56 <= (began.onset_ns - T0) / NS_PER_S <= 64
    assert ended.ended_ns is not None
    assert 92 <= (ended.ended_ns - T0) / NS_PER_S <= 102


def test_a_held_breath_is_no_apnoea() -> None:
    assert raised(play(monitor(LUNG), pieces(LUNG, lung(100, Event("bed", "apnoea", 60.0, 9.0))))) == []


def clipped(sound: np.ndarray) -> np.ndarray:
    return np.clip(8 * sound, -0.5, 0.5)


def hum(sound: np.ndarray) -> np.ndarray:
    return sound + 0.1 * np.sin(2 * np.pi * 60 * np.arange(len(sound)) / FS)


def speech(sound: np.ndarray) -> np.ndarray:
    """A voice of 110 to 150 Hz with all its harmonics, two syllables a second."""
    at = np.arange(len(sound)) / FS
    pitch_hz = 130 + 20 * np.sin(2 * np.pi * 0.7 * at)
    return sound + 0.25 * np.sign(np.sin(2 * np.pi * np.cumsum(pitch_hz) / FS)) * (
        np.sin(4 * np.pi * at) > -0.3
    )


def rubbing(sound: np.ndarray) -> np.ndarray:
    """Cloth over the sensor: bursts of noise of a tenth of a second."""
    rng = np.random.default_rng(0)
    bursts = np.repeat(rng.random(len(sound) // 400) > 0.5, 400)
    return sound + 0.4 * rng.standard_normal(len(sound)) * bursts


def no_change(sound: np.ndarray) -> np.ndarray:
    return sound


def with_offset(sound: np.ndarray) -> np.ndarray:
    return sound + 0.4


DISTURBANCES: list[tuple[Callable[[np.ndarray], np.ndarray], list[str]]] = [
    (clipped, ["saturated"]), (hum, ["mains"]), (speech, ["noise"]), (rubbing, ["noise"]), (no_change, []),
    (with_offset, []),
]  # fmt: skip


@pytest.mark.parametrize(("disturb", "told"), DISTURBANCES)
@pytest.mark.parametrize("kind", [LUNG, HEART])
def test_what_spoils_a_sound_is_named_and_over_when_it_is(
    kind: str, disturb: Callable[[np.ndarray], np.ndarray], told: list[str]
) -> None:
    kind_of = LUNG if kind == LUNG else HEART
    sound = lung(80) if kind == LUNG else heart(80)
    sound[40 * FS : 52 * FS] = disturb(sound[40 * FS : 52 * FS])
    outcome = play(monitor(kind_of), pieces(kind_of, sound))
    assert raised(outcome) == told
    assert [alarm.kind for alarm in outcome.alarms if alarm.state.value == "ended"] == told
    assert all(45 <= (alarm.raised_ns - T0) / NS_PER_S <= 48 for alarm in outcome.alarms)
    assert all("alarms suspended" in alarm.message for alarm in outcome.alarms)
    usable = [vital.usable for vital in outcome.vitals]
    assert all(usable[:40])
    assert not told or usable[41:52].count(False) >= 8


def test_a_sensor_that_says_it_is_off_is_believed() -> None:
    outcome = play(monitor(LUNG), pieces(LUNG, lung(30), lead_off=[range(10, 20)]))
    assert raised(outcome) == ["contact_lost"]
    assert outcome.alarms[-1].state.value == "ended"


def test_heart_sounds_that_fade_are_told() -> None:
    sound = heart(60)
    sound[30 * FS : 45 * FS] *= 0.03
    outcome = play(monitor(HEART), pieces(HEART, sound))
    assert raised(outcome) == ["contact_lost"]
    assert outcome.alarms[0].message.endswith("HEART SOUNDS LOST: sensor off, or no heart sounds")


def test_a_gain_turned_down_stops_being_told_once_it_is_usual() -> None:
    sound = heart(30)
    quiet = np.tile(0.1 * sound, 14)
    outcome = play(monitor(HEART), pieces(HEART, np.concatenate([sound, quiet])))
    assert [alarm.state.value for alarm in outcome.alarms] == ["active", "ended"]


def test_an_apnoea_never_becomes_usual() -> None:
    sound = lung(78, Event("bed", "apnoea", 60.0, 60.0))
    apnoea = np.tile(sound[64 * FS : 74 * FS], 60)
    outcome = play(monitor(LUNG), pieces(LUNG, np.concatenate([sound, apnoea, sound[: 40 * FS]])))
    began, ended = outcome.alarms
    assert (began.kind, ended.kind) == ("breath_silence", "breath_silence")
    assert ended.ended_ns is not None
    assert 676 <= (ended.ended_ns - T0) / NS_PER_S <= 690


def test_breaths_behind_a_gain_that_was_turned_down_are_usual_after_some_minutes() -> None:
    sound = lung(60)
    outcome = play(monitor(LUNG), pieces(LUNG, np.concatenate([sound, np.tile(0.1 * sound, 10)])))
    assert [alarm.state.value for alarm in outcome.alarms] == ["active", "ended"]


@pytest.mark.parametrize(("disturb", "told"), [(clipped, "saturated"), (hum, "mains")])
def test_what_is_spoiled_from_the_start_is_told_at_once(
    disturb: Callable[[np.ndarray], np.ndarray], told: str
) -> None:
    outcome = play(monitor(LUNG), pieces(LUNG, disturb(lung(12))))
    assert raised(outcome) == [told]
    assert (outcome.alarms[0].raised_ns - T0) / NS_PER_S <= 7


def test_digital_silence_is_no_hum_no_noise_and_no_rate() -> None:
    outcome = play(monitor(LUNG), pieces(LUNG, np.zeros(40 * FS)))
    assert (outcome.alarms, rates(outcome.vitals)) == ([], [])


def test_of_two_channels_the_first_is_listened_to() -> None:
    sound = lung(12)
    mono = pieces(LUNG, sound)
    stereo = []
    for bed, piece in mono:
        both = np.concatenate([piece.samples, clipped(20 * piece.samples)], axis=1)
        chunk = replace(piece.chunk, channels=("left", "right"), samples=both, lead_off=None)
        stereo.append((bed, replace(piece, chunk=chunk, samples=both)))
    assert play(monitor(LUNG), stereo) == play(monitor(LUNG), mono)


def test_missing_samples_are_not_usable_and_say_nothing() -> None:
    sound = lung(40)
    sound[20 * FS : 22 * FS] = np.nan
    outcome = play(monitor(LUNG), pieces(LUNG, sound))
    assert [vital.usable for vital in outcome.vitals].count(False) == 2
    assert outcome.alarms == []


def test_a_rate_that_changes_begins_a_stream_anew_and_disturbs_no_other_bed() -> None:
    both = monitor(LUNG, PlainListener())
    alone = play(monitor(LUNG, PlainListener()), pieces(LUNG, lung(40, bed="other"), bed="other"))
    slow = pieces(LUNG, lung(20), bed="bed")
    fast = pieces(LUNG, np.repeat(lung(20), 2), fs_hz=8_000.0, bed="bed", begins=20 * 8_000)
    found = [
        both.push([own, other])
        for own, other in zip([*slow, *fast], pieces(LUNG, lung(40, bed="other"), bed="other"), strict=True)
    ]
    of_other = [vital for outcome in found for vital in outcome.vitals if vital.bed == "other"]
    assert of_other == alone.vitals
    assert len([vital for outcome in found for vital in outcome.vitals if vital.bed == "bed"]) == 40


@pytest.mark.parametrize("pictures", [False, True], ids=["levels", "lines and clicks"])
def test_the_network_hears_the_frames_that_training_makes(pictures: bool) -> None:
    mel = replace(LUNG_MEL, long=1_024, short=32) if pictures else LUNG_MEL
    network, sound = PlainListener(mel=mel), lung(30)
    play(monitor(LUNG, network), pieces(LUNG, sound))
    frames = log_mel(condition(sound[:, None], FS, LUNG_BAND)[:, 0], mel)
    leveled = level_frames(frames, MEMORY_FRAMES, lines=pictures, clicks=pictures)
    shown = [window for window in network.seen if window.any()]
    for second, window in zip(asked_at("bed", 30), shown, strict=True):
        newest = 50 * second - mel.early
        np.testing.assert_allclose(window, leveled[:, newest - 256 : newest], atol=1e-5)


def test_beds_that_begin_together_are_not_all_asked_about_at_once() -> None:
    network, sounds, asked = PlainListener(), lung(12), []
    many = monitor(LUNG, network)
    lines = [pieces(LUNG, sounds, bed=f"bed-{n}") for n in range(30)]
    for second in zip(*lines, strict=True):
        asked.append(len(many.push(second).predictions))
    assert asked[:5] == [0] * 5
    assert sum(asked[6:9]) == sum(asked[9:12]) == 30
    assert max(asked) <= 18


def whistling(seconds: int, spans: list[tuple[float, float]]) -> np.ndarray:
    """Breathing and a tone above 1 kHz, which the stand-in calls a wheeze."""
    sound = lung(seconds)
    for begin_s, end_s in spans:
        at = np.arange(round(begin_s * FS), round(end_s * FS))
        sound[at] += 0.05 * np.sin(2 * np.pi * 1_300 * at / FS)
    return sound


def test_a_wheeze_is_marked_where_it_is_and_new_when_it_begins() -> None:
    spans = [(60.5 + 3 * nth, 61.5 + 3 * nth) for nth in range(8)]
    outcome = play(monitor(LUNG, PlainListener()), pieces(LUNG, whistling(90, spans)))
    marked = [event for one in outcome.predictions for event in one.events]
    assert {event.label for event in marked} == {"wheeze"}
    heard_s = [((event.start_ns - T0) / NS_PER_S, (event.end_ns - T0) / NS_PER_S) for event in marked]
    for begin_s, end_s in spans:
        inside = [(a, b) for a, b in heard_s if a < end_s and b > begin_s]
        assert min(a for a, _ in inside) == pytest.approx(begin_s, abs=0.1)
        assert max(b for _, b in inside) == pytest.approx(end_s, abs=0.1)
    long_s = [(a, b) for a, b in heard_s if b - a > 0.3]
    assert all(any(a < end_s and b > begin_s for begin_s, end_s in spans) for a, b in long_s)
    assert raised(outcome) == ["new_wheeze"]
    assert 60 <= (outcome.alarms[0].onset_ns - T0) / NS_PER_S <= 68
    said = {one.start_ns: one.probabilities["wheeze"] for one in outcome.predictions}
    assert set(said.values()) == {0.1, 0.4}
    ends = [one.end_ns for one in outcome.predictions]
    assert set(np.diff(ends)) == {3 * NS_PER_S}
    assert all((b - a) / NS_PER_S == pytest.approx(3.0, abs=0.05) for a, b in zip(said, ends, strict=True))


def test_what_is_heard_in_a_disturbed_piece_raises_nothing() -> None:
    sound = whistling(90, [(60.5, 84.5)])
    sound[60 * FS : 85 * FS] += 0.6 * np.random.default_rng(1).standard_normal(25 * FS)
    outcome = play(monitor(LUNG, PlainListener()), pieces(LUNG, sound))
    assert raised(outcome) == ["noise"]
    assert any(one.events and one.quality < 0.5 for one in outcome.predictions)


def told(outcome: Outcome, bed: str) -> dict[str, list[object]]:
    """What was said of a bed, but for the offset of the chunk that brought it."""
    return {
        "vitals": [
            (one.id, one.usable, one.quality, pytest.approx(one.respiratory_rate_bpm, abs=0.11))
            for one in outcome.vitals
            if one.bed == bed
        ],
        "predictions": [
            (one.id, one.quality, one.probabilities, one.events)
            for one in outcome.predictions
            if one.bed == bed
        ],
        "alarms": [
            (one.id, one.state, one.onset_ns, one.raised_ns) for one in outcome.alarms if one.bed == bed
        ],
    }


@settings(max_examples=5, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 24 * FS - 1), min_size=3, max_size=20, unique=True).map(sorted),
    groups=st.lists(st.integers(1, 5), min_size=1, max_size=6),
)
def test_beds_together_in_any_chunks_equal_beds_alone(cuts: list[int], groups: list[int]) -> None:
    sounds = {"a": lung(24, bed="a"), "b": clipped(lung(24, bed="b")), "c": whistling(24, [(12.0, 18.0)])}
    alone = {
        bed: play(monitor(LUNG, PlainListener()), pieces(LUNG, sound, bed=bed))
        for bed, sound in sounds.items()
    }
    lines = [pieces(LUNG, sound, cuts if bed == "a" else (), bed=bed) for bed, sound in sounds.items()]
    queue = sorted(chain(*lines), key=lambda part: part[1].start_ns)
    together, found = monitor(LUNG, PlainListener()), Outcome()
    for size in cycle(groups):
        if not queue:
            break
        found.extend(together.push(queue[:size]))
        queue = queue[size:]
    assert alone["b"].alarms
    assert any(one.events for one in alone["c"].predictions)
    for bed, single in alone.items():
        assert told(found, bed) == told(single, bed)


@settings(max_examples=6, deadline=None)
@given(cut_s=st.floats(0.3, 23.0), kind=st.sampled_from([LUNG, HEART]), heard=st.booleans())
def test_a_successor_goes_on_to_the_last_bit(cut_s: float, kind: SignalKind, heard: bool) -> None:
    network = heard and kind == LUNG
    sound = whistling(24, [(12.0, 18.0)]) if kind == LUNG else heart(24)
    at = round(cut_s * FS)
    first = monitor(kind, PlainListener() if network else None)
    play(first, pieces(kind, sound[:at]))
    state, alarms = take_sound(first, "bed"), first.alarms.state("bed")
    assert state is not None
    successor = monitor(kind, PlainListener() if network else None)
    play(successor, pieces(kind, lung(3, bed="another"), bed="another"))
    put_sound(successor, "bed", msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=SoundState))
    if alarms is not None:
        successor.alarms.restore("bed", alarms)
    rest = pieces(kind, sound[at:], begins=at, starts=False)
    expected = play(first, rest)
    assert play(successor, rest) == expected
    assert expected.vitals


def test_a_successor_knows_how_long_a_sensor_that_blinked_was_away() -> None:
    first, successor = monitor(LUNG), monitor(LUNG)
    play(first, pieces(LUNG, lung(30)))
    # Half a second after 40 s of nothing: too short to be judged.
    play(first, pieces(LUNG, lung(1)[: FS // 2], begins=70 * FS))
    state = take_sound(first, "bed")
    assert state is not None
    put_sound(successor, "bed", state)
    back = pieces(LUNG, lung(12), begins=115 * FS)
    for one in (first, successor):
        play(one, back[:3])
        assert np.isnan(one.usual.of(np.array([0])).level_db)
    assert play(successor, back[3:]) == play(first, back[3:])


def test_another_network_listens_anew_and_the_rest_goes_on() -> None:
    sound = lung(40)
    first = monitor(LUNG, PlainListener())
    play(first, pieces(LUNG, sound[: 20 * FS]))
    state = take_sound(first, "bed")
    assert state is not None
    network = PlainListener(Card(sha256="2" * 64))
    successor = monitor(LUNG, network)
    put_sound(successor, "bed", state)
    before = len(network.seen)
    outcome = play(successor, pieces(LUNG, sound[20 * FS :], begins=20 * FS, starts=False))
    assert len(rates(outcome.vitals)) == 20
    shown = [window for window in network.seen[before:] if window.any()]
    assert len(shown) == len(outcome.predictions) == len([at for at in asked_at("bed", 40) if at >= 26])
    # What the other network heard is not shown to this one.
    assert min(one.start_ns for one in outcome.predictions) >= T0 + 20 * NS_PER_S


def test_a_state_of_another_version_is_refused_and_the_bed_begins_anew() -> None:
    first = monitor(LUNG)
    play(first, pieces(LUNG, lung(5)))
    state = take_sound(first, "bed")
    assert state is not None
    broken = msgspec.structs.replace(state, arrays={**state.arrays, "loudness": state.arrays["clean"]})
    successor = monitor(LUNG)
    with pytest.raises(SnapshotError, match="lung_sound does not fit this version"):
        put_sound(successor, "bed", broken)
    assert len(play(successor, pieces(LUNG, lung(5))).vitals) == 5


def test_a_removed_bed_leaves_nothing_to_the_next() -> None:
    sounds = monitor(LUNG, PlainListener())
    play(sounds, pieces(LUNG, clipped(lung(20)), bed="former"))
    sounds.remove("former")
    assert take_sound(sounds, "former") is None
    later = play(sounds, pieces(LUNG, lung(20, bed="b"), bed="b"))
    alone = play(monitor(LUNG, PlainListener()), pieces(LUNG, lung(20, bed="b"), bed="b"))
    assert later.vitals == alone.vitals


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (PlainListener(mel=HEART_MEL), "its frames are"),
        (PlainListener(Card(hop_s=1.5)), "hop_s=1.5, but sounds are judged by whole seconds"),
        (PlainListener(Card(hop_s=5.0)), "something would never be judged"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(network: PlainListener, said: str) -> None:
    with pytest.raises(UnfitModel, match=said):
        monitor(LUNG, network)
