"""A worker whose model files are damaged or gone watches what it can; the rest when they are back."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import wardwave
from inference.cli import DEFAULT_BEATS, DEFAULT_MODEL
from inference.eeg_models import SHIPPED as EEG
from inference.fallback import SteadyEeg
from inference.networks import AGAIN_S, Return, Wanted, load_networks
from inference.sound_models import SHIPPED as SOUNDS
from inference.stats import Stats
from ingest.types import SignalKind
from models import cards, store
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


def test_a_network_that_came_back_is_loaded_once_and_the_others_stay(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next worker has what the look for it loaded; the one before keeps what it was given."""
    path, loaded = weights / f"{LUNG}.safetensors", list[str]()
    whole, now_s = cut(path), [0.0]
    found = load_networks(WANTED)
    given, ecg, heart = found.sounds, found.ecg, found.sounds[SignalKind.HEART_SOUND]
    back = Return(WANTED, found, lambda: now_s[0])
    load = store.load

    def noting(name: str, *where: torch.device) -> object:
        loaded.append(name)
        return load(name, *where)

    monkeypatch.setattr(store, "load", noting)
    path.write_bytes(whole)
    now_s[0] = AGAIN_S
    assert back()
    assert back()
    assert loaded == [LUNG]
    assert found.lacking == {}
    assert (found.ecg, found.sounds[SignalKind.HEART_SOUND]) == (ecg, heart)
    assert found.sounds[SignalKind.LUNG_SOUND].spec.name == LUNG
    assert given.keys() == {SignalKind.HEART_SOUND}


def test_a_worker_that_ends_for_a_network_is_followed_by_one_that_has_it(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, eegs = weights / f"{EEG}.safetensors", list[SteadyEeg | None]()
    whole = cut(path)

    class Short:
        """A worker that works until it is told to stop; the second one is ended from outside."""

        def __init__(self, *given: object) -> None:
            eeg = given[-1]
            assert eeg is None or isinstance(eeg, SteadyEeg)
            eegs.append(eeg)
            self.stats = Stats()

        def run(self, stopped: Callable[[], bool]) -> None:
            assert self.stats.fallen_back() == {}
            assert self.stats.counts["networks_lacking"] == (0 if eegs[-1] else 1)
            if len(eegs) == 1:
                path.write_bytes(whole)
            else:
                signal.raise_signal(signal.SIGTERM)
            assert stopped()

    monkeypatch.setattr("inference.worker.Worker", Short)
    monkeypatch.setattr("ingest.kafka.ensure_topics", lambda _: None)
    monkeypatch.setattr("inference.networks.AGAIN_S", 0.0)
    held = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert wardwave.main(["infer", "--device", "cpu", "--beats-model", "none"]) == 0
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
    assert [None if one is None else one.spec.name for one in eegs] == [None, EEG]


def test_networks_that_lost_their_gpu_are_told_with_the_fault(weights: Path) -> None:
    found = load_networks(WANTED)
    assert found.fallen_back() == {}
    assert found.eeg is not None
    assert found.beats is not None
    found.eeg.fallback.lost = found.beats._last_two.lost = "cuda:0: CUDA out of memory"
    assert found.fallen_back() == dict.fromkeys((EEG, DEFAULT_BEATS), "cuda:0: CUDA out of memory")


def test_a_worker_that_lacks_nothing_looks_for_nothing(weights: Path) -> None:
    found = load_networks(WANTED)
    shutil.rmtree(weights)
    assert not Return(WANTED, found, lambda: 1e9)()
