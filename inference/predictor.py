"""The network over a batch of windows: probabilities in, arrays out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ingest.types import FloatArray
from models import store
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec

BATCH_SIZES = (16, 64, 256)
"""Fixed sizes to which batches are padded on a GPU; larger ones are cut."""

CPU_BATCH_SIZES = (16, 32, 64)
"""The same on a CPU. Measured: one window costs what 16 do; 64 cost 270 µs each and 256, whose layers leave
the cache, 420; and each new size makes oneDNN keep another set of primitives: free sizes cost memory."""

SINGLE_BED_SIZES = (1, 2, 16)
"""For one recording by itself on a CPU: on one thread a window takes 3.7 ms alone, 11 ms among 16."""


@dataclass(frozen=True, slots=True)
class Probabilities:
    """Shapes: ``steps`` (n_windows, n_steps, n_beat_classes), ``rhythms`` (n_windows, n_rhythm_classes)."""

    steps: FloatArray
    rhythms: FloatArray


def pick_device(wanted: str | None) -> torch.device:
    """Choose where to compute: what is asked for, else CUDA where there is one, else the CPU."""
    if wanted:
        return torch.device(wanted)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Predictor:
    """A model of the family, loaded and ready.

    Parameters
    ----------
    model : str
        Name of a shipped model or path of a card.
    device : str or None
        A torch device; by default CUDA where there is one.
    sizes : tuple of int or None
        Batch sizes, ascending; by default those of a ward.
    """

    def __init__(self, model: str, device: str | None = None, sizes: tuple[int, ...] | None = None) -> None:
        self.device = pick_device(device)
        network, self.spec = store.load(model, self.device)
        self._network: CnnLstm = network.eval()
        # The first call of each size compiles and allocates: not when the first alarm waits for it.
        self._sizes = sizes or (CPU_BATCH_SIZES if self.device.type == "cpu" else BATCH_SIZES)
        self._most = self._sizes[-1]
        for size in self._sizes:
            self._batch(np.zeros((size, self.spec.window_samples), dtype=np.float32))

    def __call__(self, windows: FloatArray) -> Probabilities:
        """Predict.

        Parameters
        ----------
        windows : ndarray of float32, shape (n_windows, n_times)
            One lead each, in the unit of the model's card.
        """
        parts = [
            self._batch(windows[begin : begin + self._most]) for begin in range(0, len(windows), self._most)
        ]
        return Probabilities(
            np.concatenate([part.steps for part in parts]), np.concatenate([part.rhythms for part in parts])
        )

    def _batch(self, windows: FloatArray) -> Probabilities:
        n_windows = len(windows)
        size = next(size for size in self._sizes if size >= n_windows)
        windows = np.pad(windows, ((0, size - n_windows), (0, 0)))
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(windows)).to(self.device, non_blocking=True)
            output = self._network(batch[:, None, :])
            steps = output.step_logits.softmax(-1)[:n_windows]
            rhythms = output.window_logits.softmax(-1)[:n_windows]
            return Probabilities(steps.cpu().numpy(), rhythms.cpu().numpy())


def describe(spec: ModelSpec) -> str:
    """One line for the log."""
    return f"{spec.name} ({spec.signal}, {spec.fs_hz:g} Hz, {spec.window_s:g} s, sha256 {spec.sha256[:12]})"
