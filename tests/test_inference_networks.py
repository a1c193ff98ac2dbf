"""A worker whose model files are damaged or gone watches what it can; the rest when they are back."""

import shutil
from pathlib import Path

import pytest

from inference.cli import DEFAULT_BEATS, DEFAULT_MODEL
from inference.eeg_models import SHIPPED as EEG
from inference.networks import AGAIN_S, Return, Wanted, load_networks
from inference.sound_models import SHIPPED as SOUNDS
from ingest.types import SignalKind
from models import cards
from models.errors import DamagedWeights

WANTED = Wanted(DEFAULT_MODEL, DEFAULT_BEATS, device="cpu")
LUNG = SOUNDS[SignalKind.LUNG_SOUND]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (DEFAULT_MODEL, DEFAULT_BEATS, EEG, *SOUNDS.values()):
        for path in cards.WEIGHTS.glob(f"{name}.*"):
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(cards, "WEIGHTS", tmp_path)
    return tmp_path


def cut(path: Path) -> bytes:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return whole


def test_damaged_networks_leave_the_others_at_work_and_are_named(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = {"lung sounds": LUNG, "the EEG": EEG, "beats": DEFAULT_BEATS}
    for name in damaged.values():
        cut(weights / f"{name}.safetensors")
    found = load_networks(WANTED)
    assert found.lacking.keys() == damaged.keys()
    assert all("SHA-256" in why for why in found.lacking.values())
    assert all(f"{name}.safetensors" in caplog.text for name in damaged.values())
    assert {one.spec.name for one in found} == {DEFAULT_MODEL, SOUNDS[SignalKind.HEART_SOUND]}


def test_weights_that_are_gone_and_a_card_that_is_no_card_are_lacking_too(weights: Path) -> None:
    (weights / f"{EEG}.safetensors").unlink()
    (weights / f"{LUNG}.json").write_text('{"name": 7')
    found = load_networks(WANTED)
    assert found.lacking.keys() == {"lung sounds", "the EEG"}
    assert found.eeg is None
    assert found.sounds.keys() == {SignalKind.HEART_SOUND}


def test_without_the_ecg_s_network_there_is_no_worker(weights: Path) -> None:
    cut(weights / f"{DEFAULT_MODEL}.safetensors")
    with pytest.raises(DamagedWeights, match=DEFAULT_MODEL):
        load_networks(WANTED)


def test_a_network_that_comes_back_is_noticed_within_half_a_minute(weights: Path) -> None:
    path = weights / f"{EEG}.safetensors"
    whole, now_s = cut(path), [0.0]
    back = Return(WANTED, load_networks(WANTED), lambda: now_s[0])
    now_s[0] = AGAIN_S
    assert not back()
    path.write_bytes(whole)
    now_s[0] += AGAIN_S / 2
    assert not back(), "it is not looked for at each step"
    now_s[0] += AGAIN_S / 2
    assert back()
    assert back(), "it stays so until the worker has ended"
    assert load_networks(WANTED).lacking == {}


def test_a_worker_that_lacks_nothing_looks_for_nothing(weights: Path) -> None:
    found = load_networks(WANTED)
    shutil.rmtree(weights)
    assert not Return(WANTED, found, lambda: 1e9)()
