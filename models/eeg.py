"""A seizure model for the worker: the next second of many beds in, probabilities, channels and events out.

The worker derives the longitudinal montage (:func:`ingest.montage.plan_of`; its ``places`` are the
channels here), conditions it (:data:`ingest.conditioning.EEG`) and pushes whole seconds. The features of a
second are made once; a window of them is read every second.

Shape legend: B beds, C channels (places of the montage), N samples of a second, W seconds of a window, F
features.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from models import store
from models.cnn_lstm import CnnLstm
from models.eeg_events import EventRule, EventWatch, Step
from models.eeg_run import encode, front_end_of, missing_features, window_outputs
from models.eeg_scale import RunningScale
from models.errors import CardMismatch
from models.spec import ModelSpec

FloatArray = npt.NDArray[np.float32]
WideArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SeenSecond:
    """What a model says after one more second of several beds.

    Attributes
    ----------
    probability : ndarray of float32, shape (B,)
        Of a seizure in the second that ended ``behind`` seconds before this one did; NaN where that had no
        signal or the stream is younger.
    course : ndarray of float32, shape (B, W)
        Of a seizure in each second of the window, the newest last; NaN where there was no signal.
    channels : ndarray of float32, shape (B, C)
        How much each channel was looked at in the second that ``probability`` is of: sum 1, 0 where missing.
    events : Step
        Whether a seizure was raised, goes on, or has ended.
    """

    probability: FloatArray
    course: FloatArray
    channels: FloatArray
    events: Step


@dataclass(frozen=True, slots=True)
class EegState:
    """State of one bed, for snapshots: equal state and equal input give equal output."""

    scale: WideArray
    before: FloatArray
    features: FloatArray
    weights: FloatArray
    there: npt.NDArray[np.bool_]
    events: IntArray


@dataclass(frozen=True, slots=True)
class Seen:
    """What the network's arithmetic gives of one more step of several beds.

    Attributes
    ----------
    features : ndarray of float32, shape (B, F, W)
        Of the window that ends with it.
    looked : ndarray of float32, shape (B, C, 1)
        How much each channel was looked at.
    asked : ndarray of float32, shape (B,)
        Probability of a seizure ``behind`` steps before it.
    steps : ndarray of float32, shape (B, W)
        The same of each step of the window.
    """

    features: FloatArray
    looked: FloatArray
    asked: FloatArray
    steps: FloatArray


class EegModel:
    """A model of seizures, ready to predict.

    Parameters
    ----------
    network : CnnLstm
        In evaluation mode.
    spec : ModelSpec
        Its card.

    Raises
    ------
    CardMismatch
        The card is of no model of seizures.
    """

    def __init__(self, network: CnnLstm, spec: ModelSpec) -> None:
        if spec.task != "eeg":
            raise CardMismatch(f"{spec.name}: a model for {spec.task!r}; EEG needs one for 'eeg'")
        self.network, self.spec = network.eval(), spec
        self.front_end = front_end_of(network)
        self.channels = spec.channels
        self.samples = self.front_end.config.step
        self.window_steps = spec.n_steps
        self.behind = round(spec.right_context_s / spec.step_s)
        self.rule = EventRule.of(spec)

    @classmethod
    def load(cls, name_or_path: str | Path, device: str | torch.device = "cpu") -> EegModel:
        """Load by a shipped name or a path, as :func:`models.store.load` does, with its errors."""
        return cls(*store.load(name_or_path, device))

    def see(self, x_BCN: FloatArray, features_BFW: FloatArray) -> Seen:
        """The network's arithmetic on the next step of several beds; nothing is kept here.

        Parameters
        ----------
        x_BCN : ndarray of float32, shape (B, C, N)
            Scaled samples of the step with the context before them.
        features_BFW : ndarray of float32, shape (B, F, W)
            Features of the window before.
        """
        device = self.front_end.join.weight.device
        with torch.inference_mode():
            made, looked = encode(self.front_end, torch.from_numpy(x_BCN).to(device))
            features = np.concatenate([features_BFW[:, :, 1:], made.cpu().numpy()], axis=2)
            asked, _, steps = window_outputs(self.network, torch.from_numpy(features).to(device), self.behind)
            said = (tensor.cpu().numpy() for tensor in (looked, asked.sigmoid(), steps.sigmoid()))
            return Seen(features, *said)

    def watch(self, n_beds: int = 1) -> EegWatch:
        """What holds the state of beds."""
        return EegWatch(self, n_beds)


class EegWatch:
    """Streams of many beds.

    Parameters
    ----------
    model : EegModel
        That watches them.
    n_beds : int
        Beds that there is room for.
    """

    def __init__(self, model: EegModel, n_beds: int) -> None:
        self.model = model
        config = model.front_end.config
        with torch.inference_mode():
            self._nothing = missing_features(model.front_end).cpu().numpy()
        self._scale = RunningScale(config.scale, model.channels, n_beds)
        self._before = np.full((n_beds, model.channels, config.context), np.nan, dtype=np.float32)
        self._features = np.empty((n_beds, config.width, model.window_steps), dtype=np.float32)
        self._features[:] = self._nothing[:, None]
        self._weights = np.zeros((n_beds, model.channels, model.behind + 1), dtype=np.float32)
        self._there = np.zeros((n_beds, model.window_steps), dtype=np.bool_)
        self._events = EventWatch(model.rule, n_beds)

    def reset(self, bed: int) -> None:
        """Forget a bed: its next second begins a new stream."""
        self._scale.reset(bed)
        self._before[bed] = np.nan
        self._features[bed] = self._nothing[:, None]
        self._weights[bed] = 0.0
        self._there[bed] = False
        self._events.reset(bed)

    def state(self, bed: int) -> EegState:
        """Copy of one bed's state."""
        return EegState(
            self._scale.state(bed),
            self._before[bed].copy(),
            self._features[bed].copy(),
            self._weights[bed].copy(),
            self._there[bed].copy(),
            self._events.state(bed),
        )

    def restore(self, bed: int, state: EegState) -> None:
        """Put a state back, as :meth:`state` gave it."""
        self._scale.restore(bed, state.scale)
        self._before[bed] = state.before
        self._features[bed] = state.features
        self._weights[bed] = state.weights
        self._there[bed] = state.there
        self._events.restore(bed, state.events)

    def push(self, beds: IntArray, x_BCN: FloatArray) -> SeenSecond:
        """Take the next second of several beds.

        Parameters
        ----------
        beds : ndarray of int64, shape (B,)
            Distinct, at least one.
        x_BCN : ndarray of float32, shape (B, C, N)
            Conditioned derivations in µV, each in its place of the montage; NaN where missing.

        Raises
        ------
        ValueError
            The seconds have another number of channels or samples.
        """
        model = self.model
        if x_BCN.shape != (len(beds), model.channels, model.samples):
            raise ValueError(
                f"seconds of shape {x_BCN.shape}: {model.spec.name} takes ({len(beds)}, {model.channels}, "
                f"{model.samples})"
            )
        with_before = np.concatenate([self._before[beds], self._scale.push(beds, x_BCN)], axis=2)
        self._before[beds] = with_before[:, :, model.samples :]
        seen = model.see(with_before, self._features[beds])
        self._features[beds] = seen.features
        weights = np.concatenate([self._weights[beds, :, 1:], seen.looked], axis=2)
        # A step has a signal where some channel was looked at.
        there = np.concatenate([self._there[beds, 1:], np.any(weights[:, :, -1:], axis=1)], axis=1)
        self._weights[beds], self._there[beds] = weights, there
        course = np.where(there, seen.steps, np.nan).astype(np.float32)
        known = there[:, -1 - model.behind]
        probability = np.where(known, seen.asked, np.nan).astype(np.float32)
        return SeenSecond(probability, course, weights[:, :, 0], self._events.push(beds, probability))
