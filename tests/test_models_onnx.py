"""A model as ONNX says what it says in torch, for any number of windows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.cnn_lstm import CnnLstm, cost_of, example_input
from models.errors import CannotExport
from models.onnx import TOLERANCE, check_onnx, export_onnx, output_names, run_onnx
from models.spec import Architecture, BeatsFrontEnd, Conv1dFrontEnd, ModelSpec

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

WAVES = Architecture(
    front_end=Conv1dFrontEnd(
        stem_width=4, widths=(4, 8), kernels=(3, 3), strides=(2, 2), dilations=(1, 2), stem_kernel=7
    ),
    hidden=8,
    attention_width=8,
    heads=2,
    window_steps=20,
)
BEATS = WAVES.model_copy(
    update={
        "front_end": BeatsFrontEnd(segment=24, context=4, widths=(4,), kernels=(5,), strides=(2,), width=8),
        "window_classes": 0,
        "recurrent_stride": 1,
    }
)


def card(config: Architecture) -> ModelSpec:
    return ModelSpec(
        name="ecg-test",
        description="of a test",
        window_s=4.0,
        step_s=8 / 125 if config.front_end.kind == "conv1d" else 0.0,
        step_classes=("none", "N", "S", "V", "F")[: config.step_classes],
        window_classes=("vf", "vt", "asystole", "af", "noise", "other")[: config.window_classes],
        thresholds={},
        normalisation="asinh",
        architecture=config,
        cost=cost_of(config, 500),
        data="none",
        split={},
        metrics={},
        training={},
        code_commit="none",
    )


@pytest.mark.parametrize("config", [WAVES, BEATS], ids=["waveforms", "beats"])
def test_any_number_of_windows_gives_what_torch_gives(config: Architecture, tmp_path: Path) -> None:
    import onnx

    torch.manual_seed(1)
    model, spec = CnnLstm(config).eval(), card(config)
    path = export_onnx(model, spec, tmp_path / "made" / "model.onnx")
    assert check_onnx(model, spec, path) <= TOLERANCE
    for batch in (1, 5):
        x = torch.randn(example_input(config, spec.window_samples, batch).shape)
        with torch.inference_mode():
            output = model(x)
        found = run_onnx(path, x.numpy())
        assert tuple(found) == output_names(spec)
        for name, array in found.items():
            np.testing.assert_allclose(array, getattr(output, name).numpy(), atol=1e-4)
    held = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert ModelSpec.model_validate(json.loads(held["card"])) == spec
    with pytest.raises(CannotExport, match="differs from torch"):
        check_onnx(CnnLstm(config).eval(), spec, path)


def test_outputs_are_those_of_the_heads_there_are() -> None:
    assert output_names(card(WAVES)) == ("step_logits", "window_logits", "attention")
    assert output_names(card(BEATS)) == ("step_logits",)


@pytest.mark.parametrize("spoiled", ["step_logits", "attention"])
def test_an_output_that_is_no_number_is_a_difference(
    spoiled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    model, spec = CnnLstm(WAVES).eval(), card(WAVES)

    def run(path: Path, x: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            output = model(torch.from_numpy(x))
        found = {name: getattr(output, name).numpy().copy() for name in output_names(spec)}
        found[spoiled][0, 0] = np.nan
        return found

    monkeypatch.setattr("models.onnx.run_onnx", run)
    with pytest.raises(CannotExport, match="differs from torch by nan"):
        check_onnx(model, spec, tmp_path / "model.onnx")


def test_what_is_missing_or_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CannotExport, match=r"ONNX needs onnx, onnxscript: pip install 'wardwave\[onnx\]'"):
        export_onnx(CnnLstm(WAVES), card(WAVES), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
