"""Ways to compute the ECG's networks on a CPU beside eager torch: CPU time, and what they say instead.

``python tests/bench/measure_backends.py`` holds the built-in OpenVINO against torch, as a worker runs them:
each network of the ECG, each batch size, on noise. With ``--data ../shared/data`` also other ways and what
they say, over windows of vfdb and mitdb (each eighth second of every record), in batches of 64. One thread,
in turns. OpenVINO takes part where it is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import wfdb
from torch import nn

from inference.beat_predictor import BeatPredictor
from inference.cli import DEFAULT_BEATS, DEFAULT_MODEL
from inference.lanes import Compiler
from inference.openvino_lane import OpenVino
from inference.predictor import CPU_BATCH_SIZES, Predictor
from ingest import conditioning
from ingest.conditioning import ECG
from models import store
from models.beat_rows import ROW
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec

MODEL = DEFAULT_MODEL
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
    """The network in OpenVINO, in float32 and in halves, one thread."""
    if not installed():
        return {}

    def part(windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out = network(windows[:, None])
        return out.step_logits, out.window_logits

    library = OpenVino(1)
    model = library._converted(part, [(spec.window_samples,)])
    model.reshape([BATCH, spec.window_samples])
    ways: dict[str, Way] = {}
    for precision in ("f32", "bf16"):
        hints = library._options | {"INFERENCE_PRECISION_HINT": precision}
        compiled = library._core.compile_model(model, "CPU", hints)
        ways[f"{library.name} {precision}"] = _openvino_way(compiled)
    return ways


def installed() -> bool:
    """Whether OpenVINO can take part."""
    if importlib.util.find_spec("openvino") is None:
        sys.stderr.write("openvino is not installed: left out\n")
        return False
    return True


def _openvino_way(compiled: object) -> Way:
    def call(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        steps, rhythms = compiled(windows).values()  # type: ignore[operator]
        return np.array(steps), np.array(rhythms)

    return call


Parts = dict[str, Callable[[int], Callable[[], object]]]
"""Of each network: rows to a call that computes so many."""


def parts(compiler: Compiler | None) -> Parts:
    """The networks of the ECG as a worker runs them."""
    predictor = Predictor(DEFAULT_MODEL, "cpu", compiler=compiler)
    beats = BeatPredictor(DEFAULT_BEATS, "cpu", compiler=compiler)
    random = np.random.default_rng(1)

    def given(*shape: int) -> np.ndarray:
        return random.normal(0, 0.5, shape).astype(np.float32)

    def windows(n: int) -> Callable[[], object]:
        rows = given(n, predictor.spec.window_samples)
        return lambda: predictor(rows)

    def shapes(n: int) -> Callable[[], object]:
        rows = given(n, ROW)
        return lambda: beats.shapes(rows)

    def last_two(n: int) -> Callable[[], object]:
        kept = given(n, beats.beats, beats.width)
        return lambda: beats.both_labels(kept)

    return {DEFAULT_MODEL: windows, f"{DEFAULT_BEATS}, beat": shapes, f"{DEFAULT_BEATS}, last two": last_two}


def measure_parts(rounds: int) -> None:
    """Print a line of JSON for each network and batch size: least and median of both, and ratios."""
    if not installed():
        return
    both = {"torch": parts(None), "openvino": parts(OpenVino(1))}
    for name in both["torch"]:
        for n_rows in CPU_BATCH_SIZES:
            calls = {way: made[name](n_rows) for way, made in both.items()}
            took: dict[str, list[float]] = {way: [] for way in calls}
            for _ in range(rounds):
                for way, call in calls.items():
                    began_s = time.process_time()
                    call()
                    took[way].append((time.process_time() - began_s) / n_rows * 1e6)
            least = {way: min(seconds) for way, seconds in took.items()}
            median = {way: float(np.median(seconds)) for way, seconds in took.items()}
            figures = {
                "network": name,
                "rows": n_rows,
                "us_a_row_least": {way: round(us, 1) for way, us in least.items()},
                "us_a_row_median": {way: round(us, 1) for way, us in median.items()},
                "openvino_to_torch_least": round(least["openvino"] / least["torch"], 2),
                "openvino_to_torch_median": round(median["openvino"] / median["torch"], 2),
                "load_average": round(os.getloadavg()[0], 1),
            }
            sys.stdout.write(f"{json.dumps(figures)}\n")
            sys.stdout.flush()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def main() -> None:
    """Measure and print a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of vfdb and mitdb: other ways too")
    parser.add_argument("--windows", type=int, default=3200)
    parser.add_argument("--rounds", type=int, default=40, help="turns of each network (default: 40)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    measure_parts(args.rounds)
    if args.data:
        measure_ways(args.data, args.windows)


def measure_ways(data: Path, most: int) -> None:
    """Print a line of JSON for each way to compute the ECG network."""
    network, spec = store.load(MODEL)
    network.requires_grad_(False)
    windows = windows_of(data, spec.window_samples, most)
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
