"""The network that says what each beat is, loaded and ready: sequences of beats in, classes out."""

from __future__ import annotations

import numpy as np
import torch

from inference.errors import UnfitModel
from inference.gpu import CPU, BatchRunner
from inference.lanes import Compiler, Part
from inference.predictor import CPU_BATCH_SIZES, on_device, pick_device, sizes_on
from ingest.types import FloatArray, IntArray
from models import store
from models.beat_rows import CONTEXT, FS_HZ, ROW
from models.beats import BeatFeatures
from models.last_beats import LastBeats
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
    compiler : Compiler or None
        Computes instead of torch, but for :meth:`keep`.

    Attributes
    ----------
    beats : int
        Of a sequence.
    n_features, width : int
        Numbers that a beat's signal gives, and that are kept of a beat.
    nothing : ndarray of float32, shape (width,)
        What is kept where there was no beat.

    Raises
    ------
    UnfitModel
        The model's steps are no beats, or it sees something else of them than this version makes.
    """

    def __init__(
        self,
        model: str,
        device: str | None = None,
        sizes: tuple[int, ...] | None = None,
        compiler: Compiler | None = None,
    ) -> None:
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
        # What is traced holds weights as constants.
        self._last = LastBeats(self._network).requires_grad_(False)
        self.beats = round(self.spec.window_s)
        self._gains = np.array(self.spec.beat_gains, dtype=np.float64)
        self.n_features = self._last.width
        self.nothing = self._nothing()
        self.width = len(self.nothing)
        both = (wanted, sizes or sizes_on(wanted), sizes or CPU_BATCH_SIZES, None, compiler)
        self._shapes = BatchRunner(self._shapes_on, [(ROW,)], *both)
        self._last_two = BatchRunner(self._last_two_on, [(self.beats, self.width)], *both)

    @property
    def device(self) -> torch.device:
        """Where it computes now: the CPU once a GPU was lost."""
        return self._last_two.device

    @property
    def lost(self) -> str | None:
        """What became of the GPU that it was to compute on; None while all is well."""
        return self._shapes.lost or self._last_two.lost

    @property
    def where(self) -> str:
        """The device and, if not torch, the library that computes there, for people to read."""
        return self._last_two.where

    def _nothing(self) -> FloatArray:
        """What is kept where there was no beat: no features, and what the recurrent part makes of that."""
        with torch.inference_mode():
            features = torch.zeros((1, self._last.width))
            return torch.cat([features, self._last.inputs(features)], dim=1)[0].numpy()

    def _shapes_on(self, device: torch.device) -> Part:
        last = on_device(self._last, device)
        return lambda rows: (last.shapes(rows),)

    def _last_two_on(self, device: torch.device) -> Part:
        last = on_device(self._last, device)
        return lambda kept: (last(kept).softmax(-1),)

    def shapes(self, rows: FloatArray) -> FloatArray:
        """What the signals of single beats give, (n, ROW) to (n, n_features): no later beat changes it."""
        (made,) = self._shapes(rows)
        return made

    def keep(self, shapes: FloatArray, contexts: FloatArray) -> FloatArray:
        """What is kept of single beats, by their shapes and contexts: (n, n_features), (n, 16) to (n, width).

        On the CPU, whatever the device: it is less than the way to one.
        """
        with torch.inference_mode():
            kept = self._last.keep(torch.from_numpy(shapes), torch.from_numpy(contexts))
            return np.asarray(kept.numpy())

    def features(self, rows: FloatArray) -> FloatArray:
        """What is kept of beats, by their rows: (n, ROW) to (n, width); rows of zeros are no beats."""
        kept = self.keep(self.shapes(rows), rows[:, -len(CONTEXT) :])
        real = (rows != 0).any(axis=1)
        return np.where(real[:, None], kept, self.nothing)

    def both_labels(self, kept: FloatArray) -> IntArray:
        """Classes of the last two beats of sequences.

        Parameters
        ----------
        kept : ndarray of float32, shape (n, beats, width)
            Of each beat, oldest first, as :meth:`keep` gives it.

        Returns
        -------
        ndarray of int64, shape (n, 2)
            Index into :data:`inference.beats.LABELS`.
        """
        (probabilities,) = self._last_two(kept)
        weighed = probabilities[:, :, 1:] * self._gains
        return np.asarray(weighed.argmax(-1), dtype=np.int64)
