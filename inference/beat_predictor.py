"""The network that says what each beat is, loaded and ready: sequences of beats in, classes out."""

from __future__ import annotations

import numpy as np
import torch

from inference.errors import UnfitModel
from inference.predictor import BATCH_SIZES, CPU_BATCH_SIZES, pick_device
from ingest.types import FloatArray, IntArray
from models import store
from models.beat_rows import FS_HZ, ROW
from models.beats import BeatFeatures
from models.spec import STEP_CLASSES


class BeatPredictor:
    """A network over sequences of beats, loaded and ready.

    Parameters
    ----------
    model : str
        Name of a shipped model or path of a card.
    device : str or None
        A torch device; by default CUDA where there is one.
    sizes : tuple of int or None
        Batch sizes, ascending; by default those of a ward.

    Raises
    ------
    UnfitModel
        The model's steps are no beats, or it sees something else of them than this version makes.
    """

    def __init__(self, model: str, device: str | None = None, sizes: tuple[int, ...] | None = None) -> None:
        self.device = pick_device(device)
        self._network, self.spec = store.load(model, self.device)
        front_end = self._network.front_end
        if not isinstance(front_end, BeatFeatures) or self.spec.step_classes != STEP_CLASSES:
            raise UnfitModel(f"model {self.spec.name}: its steps are no beats; give one of task 'beats'")
        row = front_end.row
        if row != ROW or self.spec.fs_hz != FS_HZ:
            raise UnfitModel(
                f"model {self.spec.name}: rows of {row} numbers at {self.spec.fs_hz:g} Hz; this version "
                f"makes {ROW} at {FS_HZ:g} Hz"
            )
        self._front_end = front_end
        self.width = front_end.width
        self.beats = round(self.spec.window_s)
        self._gains = np.array(self.spec.beat_gains, dtype=np.float64)
        self._sizes = sizes or (CPU_BATCH_SIZES if self.device.type == "cpu" else BATCH_SIZES)
        for size in self._sizes:
            self.labels(np.zeros((size, self.beats, self.width), dtype=np.float32), -1)
            self.features(np.zeros((size, ROW), dtype=np.float32))

    def _batches(self, x: FloatArray) -> list[tuple[FloatArray, int]]:
        """Batches of fixed sizes (padded with zeros), each with how many of it are real."""
        most = self._sizes[-1]
        found = []
        for begin in range(0, len(x), most):
            part = x[begin : begin + most]
            size = next(size for size in self._sizes if size >= len(part))
            padded = np.zeros((size, *x.shape[1:]), dtype=np.float32)
            padded[: len(part)] = part
            found.append((padded, len(part)))
        return found

    def features(self, rows: FloatArray) -> FloatArray:
        """Features of single beats, (n, ROW) to (n, width); zeros for rows of zeros."""
        parts = []
        with torch.inference_mode():
            for padded, n in self._batches(rows):
                x = torch.from_numpy(padded).to(self.device)
                parts.append(self._front_end.features(x)[:n].cpu().numpy())
        real = (rows != 0).any(axis=1)
        joined: FloatArray = np.concatenate(parts) * real[:, None]
        return joined

    def labels(self, features: FloatArray, at: int) -> IntArray:
        """Classes of one beat of each sequence.

        Parameters
        ----------
        features : ndarray of float32, shape (n, T, width)
            Of sequences of beats, oldest first.
        at : int
            Which beat: -1 the newest, -2 the one before.

        Returns
        -------
        ndarray of int64, shape (n,)
            Index into :data:`inference.beats.LABELS`.
        """
        return self.both_labels(features)[:, at]

    def both_labels(self, features: FloatArray) -> IntArray:
        """Classes of the last two beats of each sequence, (n, T, width) to (n, 2)."""
        parts = []
        with torch.inference_mode():
            for padded, n in self._batches(features):
                x = torch.from_numpy(padded).to(self.device)
                logits = self._network.head_outputs(x.transpose(1, 2)).step_logits[:n, -2:]
                parts.append(logits.softmax(-1).cpu().numpy())
        weighed = np.concatenate(parts)[:, :, 1:] * self._gains
        return np.asarray(weighed.argmax(-1), dtype=np.int64)
