"""A model as an ONNX file, for runtimes other than torch: any number of windows a call, the card inside."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.cnn_lstm import CnnLstm, example_input
from models.errors import CannotExport
from models.spec import ModelSpec

OPSET: Final = 20
TOLERANCE: Final = 1e-4
"""Largest difference from torch in any output that is let pass."""

INPUT: Final = "x"
FloatArray = npt.NDArray[np.float32]


def output_names(spec: ModelSpec) -> tuple[str, ...]:
    """Names of the outputs: ``step_logits``, ``window_logits``, ``attention``.

    Heads left out are not there, nor is attention without the window head that it belongs to.
    """
    steps = ("step_logits",) if spec.step_classes else ()
    return (*steps, "window_logits", "attention") if spec.window_classes else steps


class _Outputs(nn.Module):
    """The network with its outputs as a plain tuple, without those of heads left out."""

    def __init__(self, model: CnnLstm, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        output = self.model(x)
        return tuple(getattr(output, name) for name in self.names)


def _need(*modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotExport(f"ONNX needs {', '.join(missing)}: pip install 'wardwave[onnx]'")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter tells of its own doings, and that torchvision is not there."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir", "onnxscript")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def export_onnx(model: CnnLstm, spec: ModelSpec, path: Path) -> Path:
    """Write a model as ONNX.

    The input ``x`` is float32: windows (batch, channels, samples) in the signal's unit, or beats
    (batch, beats, row). Outputs are those of :func:`output_names`, as :class:`models.cnn_lstm.Output` has
    them. The card is the entry ``card`` of the file's metadata.

    Parameters
    ----------
    model : CnnLstm
        Its copy on the CPU in evaluation mode is written.
    spec : ModelSpec
        Its card.
    path : Path
        Of the file; its folder is made if it is not there.

    Raises
    ------
    CannotExport
        The packages of the extra ``onnx`` are not installed, or the file cannot be written.
    """
    _need("onnx", "onnxscript")
    names = output_names(spec)
    wrapped = _Outputs(deepcopy(model), names).cpu().eval()
    # Of batches of one the exporter would make a constant.
    example = example_input(spec.architecture, spec.window_samples, batch=2)
    with _quiet():
        program = torch.onnx.export(
            wrapped,
            (example,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch", min=1)}},
            input_names=[INPUT],
            output_names=list(names),
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update({"name": spec.name, "card": spec.model_dump_json()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        program.save(str(path))
    except OSError as error:
        raise CannotExport(f"{path}: {error.strerror}") from error
    return path


def run_onnx(path: Path, x: FloatArray) -> dict[str, FloatArray]:
    """Outputs of an ONNX file for a batch, by onnxruntime on one thread of the CPU.

    Raises
    ------
    CannotExport
        onnxruntime is not installed.
    """
    _need("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {INPUT: x}), strict=True))


def check_onnx(model: CnnLstm, spec: ModelSpec, path: Path, *, batch: int = 3, seed: int = 0) -> float:
    """Largest difference between torch and onnxruntime over all outputs, on random windows.

    Raises
    ------
    CannotExport
        onnxruntime is not installed, or the difference is larger than :data:`TOLERANCE`.
    """
    shape = example_input(spec.architecture, spec.window_samples, batch).shape
    x = np.random.default_rng(seed).standard_normal(tuple(shape), dtype=np.float32)
    found = run_onnx(path, x)
    with torch.inference_mode():
        output = deepcopy(model).cpu().eval()(torch.from_numpy(x))
    worst = float(np.max([np.abs(found[name] - getattr(output, name).numpy()).max() for name in found]))
    # Asked so that a difference of NaN is refused too.
    if not worst <= TOLERANCE:
        raise CannotExport(f"{path}: onnxruntime differs from torch by {worst:.2g}, more than {TOLERANCE:g}")
    return worst
