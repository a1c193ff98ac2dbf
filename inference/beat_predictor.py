"""The network that says what each beat is, loaded and ready: sequences of beats in, classes out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from inference.errors import UnfitModel
from inference.gpu import CPU, BatchRunner, Part
from inference.predictor import CPU_BATCH_SIZES, on_device, pick_device, sizes_on
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
        wanted = pick_device(device)
        self._network, self.spec = store.load(model, CPU)
        front_end = self._network.front_end
        if not isinstance(front_end, BeatFeatures) or self.spec.step_classes != STEP_CLASSES:
            raise UnfitModel(f"model {self.spec.name}: its steps are no beats; give one of task 'beats'")
        row = front_end.row
        if row != ROW or self.spec.fs_hz != FS_HZ:
            raise UnfitModel(
                f"model {self.spec.name}: rows of {row} numbers at {self.spec.fs_hz:g} Hz; this version "
                f"makes {ROW} at {FS_HZ:g} Hz"
            )
        self.width = front_end.width
        self.beats = round(self.spec.window_s)
        self._gains = np.array(self.spec.beat_gains, dtype=np.float64)
        both = (wanted, sizes or sizes_on(wanted), sizes or CPU_BATCH_SIZES)
        self._features = BatchRunner(self._features_on, [(ROW,)], *both)
        self._last_two = BatchRunner(self._last_two_on, [(self.beats, self.width)], *both)

    @property
    def device(self) -> torch.device:
        """Where it computes now: the CPU once a GPU was lost."""
        return self._last_two.device

    def _features_on(self, device: torch.device) -> Part:
        front_end = on_device(self._network, device).front_end
        assert isinstance(front_end, BeatFeatures)
        return lambda rows: (front_end.features(rows),)

    def _last_two_on(self, device: torch.device) -> Part:
        network = on_device(self._network, device)

        def last_two(features_BTF: Tensor) -> tuple[Tensor]:
            return (network.head_outputs(features_BTF.transpose(1, 2)).step_logits[:, -2:].softmax(-1),)

        return last_two

    def features(self, rows: FloatArray) -> FloatArray:
        """Features of single beats, (n, ROW) to (n, width); zeros for rows of zeros."""
        (made,) = self._features(rows)
        real = (rows != 0).any(axis=1)
        joined: FloatArray = made * real[:, None]
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
        (probabilities,) = self._last_two(features)
        weighed = probabilities[:, :, 1:] * self._gains
        return np.asarray(weighed.argmax(-1), dtype=np.int64)
