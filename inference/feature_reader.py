"""What the network says of the newest window of each bed, with nothing computed twice.

Windows of 8 s each second share seven eighths. :class:`FeatureReader` keeps what the convolutions made of
each bed's signal and computes only what is new (:mod:`models.incremental`); :class:`WindowReader` computes
every window from its samples and says the same, to 1e-5. It serves on a GPU, to which features would have to
be carried, for scoring from memory, and as the measure of the other.

What is kept follows from the samples alone. It counts for one stream and lead, up to where it was computed;
after a restart, a change of lead, a bed taken over from another worker, or a window that was left out, the
bed's window is computed whole, and kept from there on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inference.predictor import Predictor, Probabilities
from inference.rings import pieces
from ingest.bank import Bank, Due
from ingest.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Read:
    """Windows of one lead each and what was there of them, (n_windows, window), and what is said of them."""

    windows: FloatArray
    present: BoolArray
    said: Probabilities


class Reader(Protocol):
    """Reads due windows of a bank, each bed once."""

    @property
    def grid(self) -> int:
        """Samples from one possible end of a window to the next."""

    def __call__(self, due: Due, leads: IntArray) -> Read:
        """Read windows that end on the grid, one lead each."""


class WindowReader:
    """Computes each window from its samples.

    Parameters
    ----------
    bank : Bank
        Holds the signals.
    predictor : Predictor
        The network, or what stands for it: without a ``context`` it is given the bare windows.
    """

    def __init__(self, bank: Bank, predictor: Predictor) -> None:
        self._bank, self._predictor = bank, predictor
        self._early, self.grid = early_and_grid(predictor)

    def __call__(self, due: Due, leads: IntArray) -> Read:
        """Read windows."""
        windows, present = self._bank.gather(due, leads, self._early)
        said = self._predictor(windows)
        return Read(windows[:, self._early :], present[:, self._early :], said)


class FeatureReader:
    """Computes what is new of each bed, and keeps it.

    Parameters
    ----------
    bank : Bank
        Holds the signals, with ``predictor.context`` samples before a window.
    predictor : Predictor
        The network.
    said_s : float
        Of this last part of a window the steps are told; steps before it are said to be no beats.
    """

    def __init__(self, bank: Bank, predictor: Predictor, said_s: float) -> None:
        self._bank, self._predictor = bank, predictor
        if predictor.halves is None:
            raise ValueError("predictor: loaded for windows by themselves; load it with running=True")
        self._network, self._early = predictor.halves, predictor.context
        reach, n_steps = self._network.reach, self._network.n_steps
        self.grid = reach.stride
        self._said = min(n_steps, round(np.ceil(said_s / predictor.spec.step_s)))
        self._n_merged = self._network.merged_steps(self._said)
        self._new = -(-bank.hop // self.grid)
        self._near = min(n_steps, self._new + reach.after)
        self._make_room(len(bank.count))
        for size in predictor.sizes:
            self._warm(size)

    def _make_room(self, n_slots: int) -> None:
        """Empty rings for each slot, written twice, one behind the other: a window is one piece of memory.

        Nothing is carried over when there are more beds than before: each computes one window whole.
        """
        network = self._network
        # Pages that no bed uses are never touched.
        self._inputs = np.zeros(
            (n_slots, network.phases, 2 * network.n_rows, network.recurrent_width),
            dtype=np.float32,
        )
        self._features = np.zeros((n_slots, 2 * self._n_merged, network.width), dtype=np.float32)
        self._end, self._lead, self._epoch = (np.full(n_slots, -1, dtype=np.int64) for _ in range(3))

    def _warm(self, size: int) -> None:
        """Compute zeros: the first call of each shape compiles and allocates."""
        network = self._network
        for n_steps in (self._near, network.n_steps):
            self._front(np.zeros((size, self._early + n_steps * self.grid), dtype=np.float32))
        self._say(
            np.zeros((size, network.n_rows, network.recurrent_width), dtype=np.float32),
            np.zeros((size, self._n_merged, network.width), dtype=np.float32),
        )

    def __call__(self, due: Due, leads: IntArray) -> Read:
        """Read windows."""
        slots, ends = due.slots, due.ends // self.grid
        if len(self._bank.count) > len(self._end):
            self._make_room(len(self._bank.count))
        windows, present = self._bank.gather(due, leads, self._early)
        known = (self._epoch[slots] == self._bank.epoch[slots]) & (self._lead[slots] == leads)
        known &= (ends >= self._end[slots]) & (ends - self._end[slots] <= self._new)
        near, far = np.flatnonzero(known), np.flatnonzero(~known)
        if len(near):
            n_samples = self._early + self._near * self.grid
            self._keep(slots[near], ends[near], windows[near, -n_samples:])
        if len(far):
            self._keep(slots[far], ends[far], windows[far])
        self._end[slots], self._lead[slots], self._epoch[slots] = ends, leads, self._bank.epoch[slots]
        early = self._early
        return Read(windows[:, early:], present[:, early:], self._tell(slots, ends))

    def _front(self, samples: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._predictor.run(self._network.front, samples)

    def _keep(self, slots: IntArray, ends: IntArray, samples: FloatArray) -> None:
        """Compute features of the last steps before ``ends`` and keep them in the rings."""
        features, inputs = self._front(samples)
        phases, n_rows = self._network.phases, self._network.n_rows
        steps = ends[:, None] + np.arange(-inputs.shape[1], 0)
        phase, at = steps % phases, steps // phases % n_rows
        for turn in (0, n_rows):
            self._inputs[slots[:, None], phase, at + turn] = inputs
        features = features[:, -self._n_merged :]
        at = steps[:, -features.shape[1] :] % self._n_merged
        for turn in (0, self._n_merged):
            self._features[slots[:, None], at + turn] = features

    def _tell(self, slots: IntArray, ends: IntArray) -> Probabilities:
        """What the rest of the network says of the windows that end at ``ends``, from what is kept."""
        network = self._network
        first = ends - network.n_steps
        inputs = pieces(self._inputs, network.n_rows)[
            slots, first % network.phases, first // network.phases % network.n_rows
        ]
        features = pieces(self._features, self._n_merged)[slots, (ends - self._n_merged) % self._n_merged]
        said, rhythms = self._say(
            inputs.reshape(len(slots), network.n_rows, -1),
            features.reshape(len(slots), self._n_merged, -1),
        )
        steps = np.zeros((len(slots), network.n_steps, said.shape[2]), dtype=np.float32)
        steps[:, :, 0] = 1.0
        steps[:, -self._said :] = said
        return Probabilities(steps, rhythms)

    def _say(self, inputs: FloatArray, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._predictor.run(lambda r, f: self._network.say(r, f, self._said), inputs, features)


def early_and_grid(predictor: Predictor) -> tuple[int, int]:
    """Samples that a predictor wants before each window, and between possible ends of windows."""
    if not isinstance(predictor, Predictor):
        return 0, 1
    return predictor.context, predictor.grid


def reader_of(bank: Bank, predictor: Predictor, said_s: float) -> Reader:
    """The reader that suits a predictor; ``said_s`` as :class:`FeatureReader` takes it."""
    if type(predictor) is Predictor and predictor.halves and predictor.device.type == "cpu":
        return FeatureReader(bank, predictor, said_s)
    return WindowReader(bank, predictor)
