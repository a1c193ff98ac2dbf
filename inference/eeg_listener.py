"""The network that looks for seizures: the next second of many beds in, probabilities and events out.

What it says of a second it says ``behind`` seconds later, once it has seen what follows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np

from inference.errors import UnfitModel
from inference.packed import Array, pack, unpack
from ingest.conditioning import EEG
from ingest.montage import LONGITUDINAL
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray
from models.eeg import EegState, SeenSecond
from models.eeg_events import EventRule
from models.spec import ModelSpec

SEIZURE: Final = "seizure"
_STATE: Final = ("scale", "before", "features", "weights", "there", "events")


class SeizureWatch(Protocol):
    """What is used of a :class:`models.eeg.EegWatch`."""

    def push(self, beds: IntArray, x_BCN: FloatArray) -> SeenSecond:
        """Take the next second of several beds."""

    def reset(self, bed: int) -> None:
        """Forget a bed."""

    def state(self, bed: int) -> EegState:
        """Copy of one bed's state."""

    def restore(self, bed: int, state: EegState) -> None:
        """Put a state back."""


class SeizureNetwork(Protocol):
    """What is used of a :class:`models.eeg.EegModel`."""

    spec: ModelSpec
    channels: int
    samples: int
    behind: int
    rule: EventRule

    def watch(self, n_beds: int = 1) -> SeizureWatch:
        """What holds the state of beds."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the network says of the second that it has now seen enough of. Shapes (n,).

    Parameters
    ----------
    rows : ndarray of int64
        Which of the streams asked about: those of which it can say something.
    probability : ndarray of float64
        Of a seizure in that second.
    quality : ndarray of float64
        Share of the derivations that could be trusted in it.
    speaks : ndarray of bool
        The second is over the card's threshold, or a seizure that was raised goes on.
    since_s : ndarray of int64
        Seconds since the seizure began that is going on, 0 where none is.
    raised : ndarray of bool
        It was raised by this second.
    looked : ndarray of float32, shape (n, D)
        How much each derivation was looked at: sum 1.
    """

    rows: IntArray
    probability: WideFloatArray
    quality: WideFloatArray
    speaks: BoolArray
    since_s: IntArray
    raised: BoolArray
    looked: FloatArray


class EegListener:
    """One network over the streams of many beds.

    Parameters
    ----------
    network : SeizureNetwork
        Any model of seizures.
    n_slots : int
        Streams to make room for.

    Raises
    ------
    UnfitModel
        The card asks for another signal than the worker makes.
    """

    def __init__(self, network: SeizureNetwork, n_slots: int) -> None:
        _check_fit(network)
        self.network = network
        self.card = network.spec
        self.behind = network.behind
        self._n_slots = n_slots
        self._watch = network.watch(n_slots)
        self.quality = np.zeros((n_slots, network.behind + 1))
        """Share of trusted derivations of the last seconds, the newest last."""
        # The first call compiles and allocates: not when the first seizure waits for it.
        nothing = np.full((1, network.channels, network.samples), np.nan, dtype=np.float32)
        self._watch.push(np.zeros(1, dtype=np.int64), nothing)
        self._watch.reset(0)

    def resize(self, n_slots: int) -> None:
        """Make room for more streams."""
        if n_slots <= self._n_slots:
            return
        larger = self.network.watch(n_slots)
        for slot in range(self._n_slots):
            larger.restore(slot, self._watch.state(slot))
        self._watch = larger
        self.quality = np.pad(self.quality, ((0, n_slots - self._n_slots), (0, 0)))
        self._n_slots = n_slots

    def reset(self, slot: int, same: BoolArray | None = None) -> None:
        """Begin a stream anew.

        Parameters
        ----------
        slot : int
            Which.
        same : ndarray of bool, shape (D,), or None
            Derivations whose running scale goes on; by default none.
        """
        before = self._watch.state(slot)
        self._watch.reset(slot)
        if same is not None:
            new = self._watch.state(slot)
            self._watch.restore(slot, replace(new, scale=np.where(same, before.scale, new.scale)))
        self.quality[slot] = 0.0

    def state(self, slot: int) -> dict[str, Array]:
        """State of one stream, for snapshots."""
        state = self._watch.state(slot)
        arrays = {name: pack(getattr(state, name)) for name in _STATE}
        return arrays | {"quality": pack(self.quality[slot])}

    def restore(self, slot: int, state: dict[str, Array]) -> None:
        """Put a state back, as :meth:`state` gave it.

        Raises
        ------
        ValueError, TypeError, KeyError
            It is of another version.
        """
        arrays = {name: unpack(array) for name, array in state.items()}
        self._watch.restore(
            slot,
            EegState(
                arrays["scale"].astype(np.float64),
                arrays["before"].astype(np.float32),
                arrays["features"].astype(np.float32),
                arrays["weights"].astype(np.float32),
                arrays["there"].astype(np.bool_),
                arrays["events"].astype(np.int64),
            ),
        )
        self.quality[slot] = arrays["quality"]

    def push(self, slots: IntArray, derived: FloatArray, quality: WideFloatArray) -> Judged:
        """Take a second of some streams.

        Parameters
        ----------
        slots : ndarray of int64, shape (n,)
            Distinct streams.
        derived : ndarray of float32, shape (n, D, rate)
            Conditioned derivations, µV; NaN for those that are missing or cannot be trusted.
        quality : ndarray, shape (n,)
            Share of the derivations that can be trusted.
        """
        self.quality[slots] = np.concatenate([self.quality[slots, 1:], quality[:, None]], axis=1)
        seen = self._watch.push(slots, derived)
        probability = seen.probability.astype(np.float64)
        rows = np.flatnonzero(~np.isnan(probability))
        asked = probability[rows]
        active, threshold = seen.events.active[rows], self.network.rule.threshold
        return Judged(
            rows,
            asked,
            self.quality[slots[rows], 0],
            np.asarray((asked >= threshold) | active, dtype=np.bool_),
            seen.events.since_s[rows],
            seen.events.raised[rows],
            seen.channels[rows],
        )


def _check_fit(network: SeizureNetwork) -> None:
    card = network.spec
    if network.channels != len(LONGITUDINAL) or network.samples != round(EEG.rate_hz):
        raise UnfitModel(
            f"model {card.name}: it takes {network.channels} channels of {network.samples} samples a second, "
            f"the worker makes {len(LONGITUDINAL)} of {round(EEG.rate_hz)}"
        )
    if tuple(card.band_hz) != (EEG.low_hz, EEG.high_hz):
        raise UnfitModel(
            f"model {card.name}: its band is {card.band_hz} Hz, that of the worker "
            f"({EEG.low_hz:g}, {EEG.high_hz:g}); train it with that"
        )
