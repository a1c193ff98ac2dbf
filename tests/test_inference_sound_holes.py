"""Nothing is heard in what is not there: silence, stuck values and missing samples are no disease."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from inference.alarm_book import AlarmBook
from inference.analysis_sound_hear import NOTHING_CLEAN, frames_of, hear_sound
from inference.analysis_sound_play import play_sound
from inference.monitor import Outcome
from inference.sound_monitor import SoundMonitor
from inference.windows import CLEAN, WindowMonitor
from ingest.recording import Signal
from ingest.settings import IngestSettings
from ingest.sounds import HeartSound, LungSound
from ingest.types import SignalKind
from models.sounds import SoundModel
from tests.sound_playing import HEART, LUNG, T0, pieces, play, raised

FS = 4_000
SECONDS = 24
DISEASE = {"new_wheeze", "crackles", "murmur"}

Spoil = Callable[[np.ndarray], None]


def zeros(sound: np.ndarray) -> None:
    sound[:] = 0.0


def stuck(sound: np.ndarray) -> None:
    sound[:] = 0.31


def own_noise(sound: np.ndarray) -> None:
    sound[:] = 1e-5 * np.random.default_rng(0).standard_normal(len(sound))


def missing(sound: np.ndarray) -> None:
    sound[:] = np.nan


def a_fifth_missing(sound: np.ndarray) -> None:
    sound.reshape(SECONDS, FS)[:, : FS // 5] = np.nan


def every_fourth_second_missing(sound: np.ndarray) -> None:
    sound.reshape(SECONDS, FS)[::4] = np.nan


def zeros_now_and_then(sound: np.ndarray) -> None:
    sound.reshape(-1, 3 * FS)[:, : round(0.8 * FS)] = 0.0


@pytest.fixture(scope="module")
def networks() -> dict[SignalKind, SoundModel]:
    return {LUNG: SoundModel.load("lung-sounds-1"), HEART: SoundModel.load("heart-sounds-1")}


def healthy(kind: SignalKind) -> np.ndarray:
    made = LungSound(1, "bed") if kind is LUNG else HeartSound(1, "bed")
    return np.array(made.next_samples(SECONDS * FS)[:, 0], dtype=np.float32)


def heard(kind: SignalKind, network: SoundModel, sound: np.ndarray) -> Outcome:
    return play(
        SoundMonitor(kind, WindowMonitor(kind, AlarmBook(), lambda: T0), network), pieces(kind, sound)
    )


@pytest.mark.parametrize("kind", [LUNG, HEART])
@pytest.mark.parametrize(
    "spoil",
    [zeros, stuck, own_noise, missing, a_fifth_missing, every_fourth_second_missing, zeros_now_and_then],
)
def test_what_is_not_there_is_no_disease(
    kind: SignalKind, spoil: Spoil, networks: dict[SignalKind, SoundModel]
) -> None:
    sound = healthy(kind)
    spoil(sound)
    outcome = heard(kind, networks[kind], sound)
    assert not DISEASE & set(raised(outcome))
    assert all(one.quality < CLEAN for one in outcome.predictions)
    assert all(not one.heard for one in outcome.vitals)


@pytest.mark.parametrize("kind", [LUNG, HEART])
def test_samples_that_are_all_missing_are_told_from_the_start(
    kind: SignalKind, networks: dict[SignalKind, SoundModel]
) -> None:
    sound = healthy(kind)
    missing(sound)
    assert raised(heard(kind, networks[kind], sound)) == ["contact_lost"]


@pytest.mark.parametrize("kind", [LUNG, HEART])
def test_behind_a_silence_the_network_hears_what_it_would_have_heard_without(
    kind: SignalKind, networks: dict[SignalKind, SoundModel]
) -> None:
    sound = healthy(kind)
    plain = heard(kind, networks[kind], sound)
    behind = heard(kind, networks[kind], np.concatenate([np.zeros(12 * FS, np.float32), sound]))
    trusted = [one for one in behind.predictions if one.quality >= CLEAN]
    assert len(trusted) >= 4
    usual = np.array([list(one.probabilities.values()) for one in plain.predictions])
    again = np.array([list(one.probabilities.values()) for one in trusted])
    assert np.abs(np.median(again, axis=0) - np.median(usual, axis=0)).max() < 0.15


@pytest.mark.parametrize("kind", [LUNG, HEART])
@pytest.mark.parametrize("spoil", [zeros, own_noise, missing])
def test_a_recording_of_nothing_is_not_judged(
    kind: SignalKind, spoil: Spoil, networks: dict[SignalKind, SoundModel]
) -> None:
    sound = healthy(kind)
    spoil(sound)
    signal = Signal(kind, ("chest",), "1", float(FS), sound[:, None])
    played = play_sound(signal, networks[kind], IngestSettings(), lambda name, share: None)
    found = hear_sound(frames_of(signal, networks[kind]), networks[kind], played.lost, SECONDS)
    assert not DISEASE & {alarm.kind for alarm in played.alarms}
    assert found is not None
    assert (found.marks, found.cycles, found.verdict, found.cycles_from) == ([], [], None, NOTHING_CLEAN)
