"""What a bed's page says of its sounds: pieces that networks judged, rates, and where a network looked."""

from __future__ import annotations

import math
import struct
import time

import msgspec
import numpy as np
import pytest

from dashboard import sound_marks
from dashboard.heard_sounds import MOST_CHARACTERS, MOST_EVENTS, HeardSounds
from dashboard.payload import ViewSession, build_feed
from dashboard.snapshots import BedSnapshot, VitalSnapshot
from dashboard.sound_feed import HISTORY_S
from dashboard.sound_marks import Ask, MarksSession, looked
from dashboard.ward import Ward
from inference.types import Bed, Prediction, SoundEvent, Vital
from ingest.types import NS_PER_S, Chunk, SignalKind
from tests.sound_networks import FS_HZ, RuleModel, breathing, random_model
from tests.sound_playing import LUNG, T0, monitor, pieces, play

WHEEZES = ((13.0, 13.9), (25.2, 26.4))


def told(end_s: float, *, revision: int = 0, quality: float = 1.0, model: str = "m", wheeze: float = 0.8,
         events: int = 1, label: str = "wheeze", offset: int | None = None) -> Prediction:  # fmt: skip
    end_ns = T0 + round(end_s * NS_PER_S)
    event = SoundEvent(label, end_ns - NS_PER_S, end_ns - NS_PER_S // 2, 0.9)
    start_ns = end_ns - 3 * NS_PER_S
    shares = {"crackle": 0.1, "wheeze": wheeze}
    offset = round(end_s) if offset is None else offset
    return Prediction(f"p{end_s}", "bed-01", "lung_sound", model, "chest", start_ns, end_ns, shares, [],
                      quality, offset, revision, [event] * events)  # fmt: skip


def test_what_is_told_again_replaces_itself_and_a_late_worker_is_not_believed() -> None:
    heard = HeardSounds()
    heard.add(told(3, revision=1, wheeze=0.7))
    heard.add(told(6))
    before = heard.since(0, 0)
    heard.add(told(3, revision=0, wheeze=0.1))
    assert heard.since(before.epoch, before.count).pieces == []
    heard.add(told(3, revision=2, wheeze=0.9))
    (again,) = heard.since(before.epoch, before.count).pieces
    assert again.probabilities["wheeze"] == 0.9
    assert len(heard.since(before.epoch, 0).pieces) == 2


def test_a_piece_whose_sound_could_not_be_used_says_nothing() -> None:
    heard = HeardSounds()
    heard.add(told(3, quality=0.3))
    (piece,) = heard.since(0, 0).pieces
    assert (piece.judged, piece.probabilities, piece.spans) == (False, {}, [])


def test_what_is_held_is_bounded() -> None:
    heard = HeardSounds()
    for end_s in range(3, 300, 3):
        heard.add(told(end_s, events=500, label="x" * 5_000))
    held = heard.since(0, 0).pieces
    assert held[-1].end_s - held[0].end_s <= 75
    assert len(held[0].spans) == MOST_EVENTS
    assert len(held[0].spans[0].label) == MOST_CHARACTERS


@pytest.mark.parametrize("other", [told(3, model="other", offset=7), told(-500, offset=7)])
def test_another_network_and_a_clock_that_was_set_back_begin_anew(other: Prediction) -> None:
    heard = HeardSounds()
    heard.add(told(3))
    heard.add(told(6))
    before = heard.since(0, 0)
    heard.add(other)
    after = heard.since(before.epoch, before.count)
    assert after.epoch != before.epoch
    assert len(after.pieces) == 1


@pytest.mark.parametrize(
    ("marked", "shown"),
    [
        (["wheeze"], ()),
        (["wheeze", "wheeze"], ("wheeze",)),
        (["crackle", "wheeze", "crackle", "wheeze"], ("wheeze", "crackle")),
        (["S1", "S1"], ()),
        (["<b>", "<b>"], ()),
    ],
)
def test_a_tile_names_what_was_marked_more_than_once_lately(
    marked: list[str], shown: tuple[str, ...]
) -> None:
    clock = [1_000.0]
    ward = Ward(clock=lambda: clock[0])
    for number, label in enumerate(marked):
        ward.add_prediction(told(3.0 * number, label=label))
    assert bed_of(ward, "bed-01").heard == shown
    # The network falls silent: what it said is not said of now.
    clock[0] += 11.0
    assert bed_of(ward, "bed-01").heard == ()


def test_what_was_marked_before_the_last_seconds_is_no_more_named() -> None:
    ward = Ward()
    for end_s in (3.0, 6.0):
        ward.add_prediction(told(end_s))
    for end_s in (27.0, 30.0):
        ward.add_prediction(told(end_s, events=0))
    assert bed_of(ward, "bed-01").heard == ()


def test_a_murmur_has_no_events_and_is_named_by_its_probability() -> None:
    ward = Ward()
    for end_s, share in ((3.0, 0.9), (6.0, 0.4), (9.0, 0.6)):
        heart = {"signal": "heart_sound", "probabilities": {"murmur": share}}
        ward.add_prediction(msgspec.structs.replace(told(end_s, events=0), **heart))
    assert bed_of(ward, "bed-01").heard == ("murmur",)


def bed_of(ward: Ward, name: str) -> BedSnapshot:
    bed = ward.snapshot().bed(name)
    assert bed is not None
    return bed


def sound_chunk(*kinds: SignalKind) -> Ward:
    """A ward with a bed that sends some signals, and rates of its sounds."""
    ward = Ward()
    for kind in kinds:
        samples = np.zeros((4_000, 1), np.float32)
        ward.add_chunk(Chunk("bed-01", "s", kind, ("a",), 4_000.0, T0, 0, samples))
    for kind, beats, breaths in ((SignalKind.HEART_SOUND, 71.0, None), (LUNG, None, 14.0)):
        if kind in kinds:
            end_ns = T0 + NS_PER_S
            ward.add_vital(Vital("v", "bed-01", kind.value, end_ns, beats, None, 1.0, True, 0, 0, breaths))
    return ward


@pytest.mark.parametrize(
    ("kinds", "large", "number", "breaths"),
    [
        ((LUNG,), "RR", None, 14.0),
        ((SignalKind.HEART_SOUND,), "HR sound", 71.0, None),
        ((LUNG, SignalKind.HEART_SOUND), "HR sound", 71.0, 14.0),
        ((SignalKind.ECG, LUNG, SignalKind.HEART_SOUND), "HR", None, 14.0),
    ],
)
def test_across_the_room_a_bed_without_an_ecg_shows_the_rate_of_its_sounds(
    kinds: tuple[SignalKind, ...], large: str, number: float | None, breaths: float | None
) -> None:
    ward = sound_chunk(*kinds)
    feed = build_feed(ward, ViewSession("view"), ward.snapshot())
    (length,) = struct.unpack_from("<I", feed)
    (bed,) = msgspec.json.decode(feed[4 : 4 + length])["beds"]
    assert (bed["large"], bed["heartRate"], bed["respiratoryRate"]) == (large, number, breaths)
    assert (bed["numberAge"] is None) == (large == "HR")


def a_bed(stay: int) -> Bed:
    return Bed(
        "bed-01", "ward", str(stay), True, stay, "adult", False, None, None, None, None, [], stay, stay
    )


def test_nothing_of_a_patient_is_shown_to_the_next() -> None:
    ward = Ward()
    ward.add_prediction(told(3))
    before = ward.heard("bed-01", LUNG, 0, 0)
    assert len(before.pieces) == 1
    assert ward.heard("bed-01", SignalKind.HEART_SOUND, 0, 0).pieces == []
    assert ward.heard("bed-02", LUNG, 0, 0).model == ""
    ward.add_bed(a_bed(1))
    assert ward.heard("bed-01", LUNG, before.epoch, 0).pieces == before.pieces
    ward.add_bed(a_bed(2))
    after = ward.heard("bed-01", LUNG, before.epoch, before.count)
    assert (after.pieces, after.model) == ([], "")
    assert after.epoch != before.epoch


def test_marks_lie_where_the_sound_is_to_a_step_of_the_network() -> None:
    model = RuleModel()
    outcome = play(monitor(LUNG, model), pieces(LUNG, breathing(40.0, WHEEZES)))  # type: ignore[arg-type]
    ward = Ward()
    for one in outcome.predictions:
        ward.add_prediction(one)
    held = ward.heard("bed", LUNG, 0, 0).pieces
    spans = sorted(span for piece in held for span in [(s.start_s, s.end_s) for s in piece.spans])
    joined: list[list[float]] = []
    for begin, end in spans:
        if joined and begin - joined[-1][1] < 0.01:
            joined[-1][1] = end
        else:
            joined.append([begin, end])
    begin_s = T0 / NS_PER_S
    for found, expected in zip(joined, WHEEZES, strict=True):
        assert [at - begin_s for at in found] == pytest.approx(expected, abs=model.step_s)


@pytest.mark.parametrize(
    ("kind", "vital", "shown"),
    [
        (LUNG, VitalSnapshot("lung_sound", None, None, 1.0, True, 0.5, 16.4), 16.4),
        (LUNG, VitalSnapshot("lung_sound", None, None, 1.0, True, 9.0, 16.4), None),
        (LUNG, VitalSnapshot("lung_sound", None, None, 1.0, False, 0.5, 16.4), None),
        (LUNG, VitalSnapshot("heart_sound", 70.0, None, 1.0, True, 0.5), None),
        (SignalKind.HEART_SOUND, VitalSnapshot("heart_sound", 70.0, None, 1.0, True, 0.5), 70.0),
    ],
)
def test_a_rate_is_shown_while_it_is_of_now(
    kind: SignalKind, vital: VitalSnapshot, shown: float | None
) -> None:
    bed = BedSnapshot("bed-01", 0.1, (), (vital,), (), ())
    assert bed.sound_rate(kind) == shown
    # The number across the room is the ECG's: a sound's would come and go in its place.
    assert bed.vital is None


class Sound:
    """A minute of breath that goes on."""

    def __init__(self, seconds: float = 40.0) -> None:
        self.seconds = seconds

    def __call__(self) -> tuple[float, np.ndarray, int]:
        digital = (breathing(self.seconds, WHEEZES) * 32_767).astype(np.int16)
        newest = digital[-round(HISTORY_S * FS_HZ) :]
        return float(FS_HZ), newest, T0 + round(self.seconds * NS_PER_S)


@pytest.fixture
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model()
    monkeypatch.setattr("inference.explanation_sound.load_listener", lambda name: model)
    monkeypatch.setattr(sound_marks.cards, "shipped", lambda: ["lung-test"])


def shown(session: MarksSession, sound: Sound, model: str = "lung-test") -> tuple[object, str]:
    heard = HeardSounds()
    heard.add(told(39.0, model=model))
    kept = heard.since(0, 0)
    session.step(kept)
    for _ in range(400):
        found, said = looked("view", LUNG, session, kept, sound)
        if not said.endswith("…"):
            return found, said
        time.sleep(0.05)
    raise AssertionError(said)


@pytest.mark.usefixtures("_network")
def test_where_the_network_looked_lies_around_the_moment_asked_for() -> None:
    session = MarksSession()
    assert looked("view", LUNG, session, HeardSounds().since(0, 0), Sound()) == (None, "")
    begin_s = T0 / NS_PER_S
    session.answer(Ask("explain", "lung_sound", begin_s + 13.5), Sound())
    found, _ = shown(session, Sound())
    assert isinstance(found, sound_marks.Looked)
    assert found.start_s - begin_s == pytest.approx(13.5 - 2.56, abs=0.1)
    assert len(found.edges_hz) == len(found.cam) + 1
    assert len(found.cam[0]) == len(found.attention) == 64
    assert math.isclose(max(found.attention), 1.0)
    assert "HiResCAM of lung-test" in found.text


@pytest.mark.usefixtures("_network")
def test_what_is_frozen_is_explained_after_the_sound_went_on() -> None:
    sound, session = Sound(40.0), MarksSession()
    moment = T0 / NS_PER_S + 13.5
    session.answer(Ask("freeze", "lung_sound"), sound)
    sound.seconds = 200.0
    session.answer(Ask("explain", "lung_sound", moment), sound)
    assert isinstance(shown(session, sound)[0], sound_marks.Looked)
    session.answer(Ask("live", "lung_sound"), sound)
    session.answer(Ask("explain", "lung_sound", moment), sound)
    assert "no longer held" in shown(session, sound)[1]
    session.answer(Ask("forget", "lung_sound"), sound)
    assert shown(session, sound) == (None, "")


@pytest.mark.usefixtures("_network")
def test_no_model_is_loaded_by_a_name_that_came_over_the_wire() -> None:
    session = MarksSession()
    session.answer(Ask("explain", "lung_sound"), Sound())
    assert "not among those of this dashboard" in shown(session, Sound(), "/etc/passwd")[1]
    assert "No network has judged" in looked("v", LUNG, session, HeardSounds().since(0, 0), Sound())[1]
