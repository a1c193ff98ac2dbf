"""Models on disk: what is written is read back; what is damaged is refused."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save as save_tensors

from models import store
from models.cnn_lstm import CnnLstm, cost_of, example_input
from models.errors import CardMismatch, DamagedWeights, ModelNotFound
from models.spec import Architecture, Interval, ModelSpec

CONFIG = Architecture(hidden=8, attention_width=16, heads=2)


def card(**changes: object) -> ModelSpec:
    fields: dict[str, object] = {
        "name": "ecg-test",
        "description": "of a test",
        "thresholds": {"beat": 0.5, "vf": 0.5},
        "normalisation": "asinh",
        "architecture": CONFIG,
        "cost": cost_of(CONFIG, 1000),
        "data": "none",
        "split": {"train": ("nobody",)},
        "metrics": {"veb_f1": Interval(value=0.9, low=0.8, high=0.95, n=100)},
        "training": {"seed": 7, "betas": [0.9, 0.99]},
        "code_commit": "none",
    }
    return ModelSpec.model_validate(fields | changes)


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, CnnLstm, ModelSpec]:
    torch.manual_seed(3)
    model = CnnLstm(CONFIG).eval()
    return tmp_path, model, store.save(model, card(), tmp_path)


@pytest.mark.parametrize("suffix", ["", "ecg-test", "ecg-test.json", "ecg-test.safetensors"])
def test_a_saved_model_is_loaded_by_folder_stem_card_or_weights(
    saved: tuple[Path, CnnLstm, ModelSpec], suffix: str
) -> None:
    folder, model, spec = saved
    loaded, found = store.load(folder / suffix)
    assert found == spec
    assert len(found.sha256) == 64
    windows = torch.randn(2, 1, 1000)
    with torch.inference_mode():
        assert torch.equal(loaded(windows).step_logits, model(windows).step_logits)
        assert torch.equal(loaded(windows).window_logits, model(windows).window_logits)
    assert not loaded.training


def test_the_same_weights_have_the_same_sum_whenever_they_are_written(
    saved: tuple[Path, CnnLstm, ModelSpec], tmp_path: Path
) -> None:
    _, model, spec = saved
    assert {store.save(model, card(), tmp_path / str(i)).sha256 for i in range(8)} == {spec.sha256}


def test_a_card_is_written_alone_and_its_weights_stay(saved: tuple[Path, CnnLstm, ModelSpec]) -> None:
    folder, _, spec = saved
    before = (folder / "ecg-test.safetensors").read_bytes()
    store.save_card(spec.model_copy(update={"caveats": ("new",)}), folder)
    assert (folder / "ecg-test.safetensors").read_bytes() == before
    assert store.load(folder)[1].caveats == ("new",)
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_one_flipped_byte_is_noticed(saved: tuple[Path, CnnLstm, ModelSpec], place: int) -> None:
    path = saved[0] / "ecg-test.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedWeights, match="SHA-256"):
        store.load(saved[0])


def test_a_cut_file_is_refused(saved: tuple[Path, CnnLstm, ModelSpec]) -> None:
    path = saved[0] / "ecg-test.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DamagedWeights):
        store.load(saved[0])


def test_a_pickle_is_refused_even_when_the_card_names_it(saved: tuple[Path, CnnLstm, ModelSpec]) -> None:
    folder = saved[0]
    content = pickle.dumps({"weights": [1.0, 2.0]})
    (folder / "ecg-test.safetensors").write_bytes(content)
    fields = json.loads((folder / "ecg-test.json").read_text())
    fields["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "ecg-test.json").write_text(json.dumps(fields))
    with pytest.raises(DamagedWeights):
        store.load(folder)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("fs_hz", -1, "fs_hz"),
        ("step_s", 0.1, "step_s"),
        ("surprise", 1, "surprise"),
        ("thresholds", None, "thresholds"),
        ("step_classes", ["none", "N"], "step_classes"),
        ("thresholds", {"beat": float("nan")}, "thresholds"),
        ("beat_gains", [1.0, 1.0], "beat_gains has 2 entries"),
    ],
)
def test_a_card_that_is_no_spec_is_refused(
    saved: tuple[Path, CnnLstm, ModelSpec], key: str, value: object, says: str
) -> None:
    path = saved[0] / "ecg-test.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(CardMismatch, match=says):
        store.load(saved[0])


@pytest.mark.parametrize(("key", "value"), [("strides", [2, 0, 1]), ("widths", [32, 48, 10**9])])
def test_a_network_that_cannot_be_built_is_refused_before_it_is(
    saved: tuple[Path, CnnLstm, ModelSpec], key: str, value: list[int]
) -> None:
    path = saved[0] / "ecg-test.json"
    fields = json.loads(path.read_text())
    fields["architecture"]["front_end"][key] = value
    path.write_text(json.dumps(fields))
    with pytest.raises(CardMismatch, match=rf"architecture\.front_end\.conv1d\.{key}"):
        store.load(saved[0])


def test_a_card_of_another_network_is_refused(saved: tuple[Path, CnnLstm, ModelSpec]) -> None:
    path = saved[0] / "ecg-test.json"
    fields = json.loads(path.read_text())
    fields["architecture"]["hidden"] = 16
    path.write_text(json.dumps(fields))
    with pytest.raises(CardMismatch, match="another network"):
        store.load(saved[0])


def test_a_card_that_is_not_json_is_refused(saved: tuple[Path, CnnLstm, ModelSpec]) -> None:
    (saved[0] / "ecg-test.json").write_text("{")
    with pytest.raises(CardMismatch):
        store.load(saved[0])


def test_an_unknown_model_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="ecg-cnn-lstm-1"):
        store.load("no-such-model")
    with pytest.raises(ModelNotFound, match="one card"):
        store.load(tmp_path)


def test_weights_that_are_missing_are_named(saved: tuple[Path, CnnLstm, ModelSpec]) -> None:
    (saved[0] / "ecg-test.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="ecg-test.safetensors"):
        store.load(saved[0])


def rewrite_sum(folder: Path, content: bytes) -> None:
    """Put other weights there and a card that says they are the right ones."""
    (folder / "ecg-test.safetensors").write_bytes(content)
    fields = json.loads((folder / "ecg-test.json").read_text())
    fields["sha256"] = hashlib.sha256(content).hexdigest()
    (folder / "ecg-test.json").write_text(json.dumps(fields))


class Bomb:
    """What a pickle can do to whoever opens it."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path(os.environ["WARDWAVE_TEST_BOMB"]),))  # type: ignore[return-value]


@pytest.mark.parametrize("write", [pickle.dump, torch.save])
def test_a_pickle_renamed_to_safetensors_is_refused_and_never_run(
    saved: tuple[Path, CnnLstm, ModelSpec], write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = saved[0] / "exploded"
    monkeypatch.setenv("WARDWAVE_TEST_BOMB", str(mark))
    buffer = io.BytesIO()
    write(Bomb(), buffer)
    rewrite_sum(saved[0], buffer.getvalue())
    with pytest.raises(DamagedWeights, match="ecg-test.safetensors"):
        store.load(saved[0])
    assert not mark.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(
    saved: tuple[Path, CnnLstm, ModelSpec], value: float
) -> None:
    folder, model, _ = saved
    with torch.no_grad():
        model.window_head.bias[0] = value
    rewrite_sum(folder, save_tensors(model.state_dict()))
    with pytest.raises(DamagedWeights, match="window_head.bias holds NaN"):
        store.load(folder)


def test_weights_of_another_network_are_refused_though_their_sum_is_right(
    saved: tuple[Path, CnnLstm, ModelSpec],
) -> None:
    other = CnnLstm(CONFIG.model_copy(update={"recurrent": False}))
    rewrite_sum(saved[0], save_tensors(other.state_dict()))
    with pytest.raises(CardMismatch, match="another network"):
        store.load(saved[0])


@pytest.mark.parametrize(
    ("path", "value"),
    [(("architecture", "depth"), 3), (("cost", "price"), 1.0), (("architecture", "front_end", "x"), 1)],
)
def test_an_unknown_field_anywhere_in_the_card_is_named(
    saved: tuple[Path, CnnLstm, ModelSpec], path: tuple[str, ...], value: object
) -> None:
    card_path = saved[0] / "ecg-test.json"
    fields = json.loads(card_path.read_text())
    node = fields
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    card_path.write_text(json.dumps(fields))
    with pytest.raises(CardMismatch, match=path[-1]):
        store.load(saved[0])


@pytest.mark.parametrize("name", store.shipped())
def test_shipped_models_load_and_say_what_they_are(name: str) -> None:
    model, spec = store.load(name)
    x = example_input(spec.architecture, spec.window_samples, 2)
    with torch.inference_mode():
        output = model(x)
    n_steps = x.shape[1] if spec.step_s == 0 else spec.n_steps
    assert output.step_logits.shape == (2, n_steps, len(spec.step_classes))
    assert output.window_logits.shape == (2, len(spec.window_classes))
    assert spec.task != "monitor" or {"beat", "vf", "vt", "asystole"} <= set(spec.thresholds)
    assert spec.metrics
    assert "no medical device" in spec.notice
    assert spec.cost == cost_of(spec.architecture, spec.window_samples)


def test_a_model_is_shipped() -> None:
    assert "ecg-cnn-lstm-1" in store.shipped()
