"""Ways to compute the ECG network on a CPU beside eager torch: CPU time a window, and what they say instead.

``python tests/bench/measure_backends.py --data ../shared/data`` over windows of vfdb and mitdb (each eighth
second of every record), one thread, batches of 64, in turns. OpenVINO takes part where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import wfdb
from torch import nn

from ingest import conditioning
from ingest.conditioning import ECG
from models import onnx, store
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec

MODEL = "ecg-cnn-lstm-1"
BATCH = 64
ROUNDS = 15

Way = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Windows (B, N) to logits of steps and of the window."""


def windows_of(data: Path, length: int, most: int) -> np.ndarray:
    """Windows (n, N) of the first lead of each record, a second after the other eight seconds apart."""
    found = []
    for name in ("vfdb", "mitdb"):
        for header in sorted((data / name).glob("*.hea")):
            record = wfdb.rdrecord(str(header.with_suffix("")))
            lead = np.nan_to_num(record.p_signal[:, :1])
            signal = conditioning.condition(lead, float(record.fs), ECG)[:, 0]
            found.append(signal[: len(signal) // length * length].reshape(-1, length))
    every = np.concatenate(found).astype(np.float32)
    return np.ascontiguousarray(every[:: max(1, len(every) // most)][: most // BATCH * BATCH])


def torch_way(network: nn.Module, precision: torch.dtype | None = None) -> Way:
    """A network called as it is, or under autocast."""

    def call(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        enabled = precision is not None
        with torch.inference_mode(), torch.autocast("cpu", precision or torch.bfloat16, enabled=enabled):
            out = network(torch.from_numpy(windows)[:, None])
        return out.step_logits.float().numpy(), out.window_logits.float().numpy()

    return call


def quantized(network: CnnLstm, kinds: set[type[nn.Module]]) -> nn.Module:
    """Weights of the kinds as int8, activations quantised as they come."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: nn.Module = torch.ao.quantization.quantize_dynamic(network, kinds, dtype=torch.qint8)
    return made


def openvino_ways(network: CnnLstm, spec: ModelSpec) -> dict[str, Way]:
    """The network's ONNX file in OpenVINO, one thread."""
    if importlib.util.find_spec("openvino") is None:
        sys.stderr.write("openvino is not installed: left out\n")
        return {}
    import openvino

    ways: dict[str, Way] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.export_onnx(network, spec, path)
        for precision in ("f32", "bf16"):
            hints = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": precision}
            compiled = openvino.Core().compile_model(str(path), "CPU", hints)
            ways[f"openvino {openvino.__version__.split('-')[0]} {precision}"] = _openvino_way(compiled)
    return ways


def _openvino_way(compiled: object) -> Way:
    def call(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        made = list(compiled(windows[:, None]).values())  # type: ignore[operator]
        steps = next(one for one in made if one.ndim == 3)
        # The window's logits have as many columns as the network has rhythms; attention as many as steps.
        rhythms = next(one for one in made if one.ndim == 2 and one.shape[1] != steps.shape[1])
        return np.array(steps), np.array(rhythms)

    return call


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def main() -> None:
    """Measure and print a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--windows", type=int, default=3200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    network, spec = store.load(MODEL)
    windows = windows_of(args.data, spec.window_samples, args.windows)
    ways: dict[str, Way] = {
        "eager": torch_way(network),
        "bf16": torch_way(network, torch.bfloat16),
        "int8 LSTM": torch_way(quantized(network, {nn.LSTM})),
        "int8 LSTM and linear": torch_way(quantized(network, {nn.LSTM, nn.Linear})),
        **openvino_ways(network, spec),
    }
    least = dict.fromkeys(ways, float("inf"))
    for turn in range(ROUNDS):
        batch = windows[turn % (len(windows) // BATCH) * BATCH :][:BATCH]
        for name, way in ways.items():
            began_s = time.process_time()
            way(batch)
            least[name] = min(least[name], (time.process_time() - began_s) / BATCH * 1e6)
    said: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, way in ways.items():
        parts = [way(windows[at : at + BATCH]) for at in range(0, len(windows), BATCH)]
        said[name] = tuple(softmax(np.concatenate(half)) for half in zip(*parts, strict=True))  # type: ignore[assignment]
    steps, rhythms = said["eager"]
    beat = spec.thresholds["beat"]
    for name, (other_steps, other_rhythms) in said.items():
        figures = {
            "way": name,
            "us_a_window": round(least[name], 1),
            "times_eager": round(least[name] / least["eager"], 2),
            "largest_difference": float(
                max(np.abs(other_steps - steps).max(), np.abs(other_rhythms - rhythms).max())
            ),
            "windows_with_another_rhythm": int((other_rhythms.argmax(-1) != rhythms.argmax(-1)).sum()),
            "steps_across_the_beat_threshold": int(
                (((1 - other_steps[..., 0]) > beat) != ((1 - steps[..., 0]) > beat)).sum()
            ),
            "windows": len(windows),
            "load_average": round(os.getloadavg()[0], 1),
        }
        sys.stdout.write(f"{json.dumps(figures)}\n")


if __name__ == "__main__":
    main()
