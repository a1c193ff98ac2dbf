"""Which channels spoke for a seizure, and when: class activation and attention by channel and second.

The map is HiResCAM (Draelos and Carin 2020, arXiv:2011.08891) of the features that the encoder makes of each
channel's seconds, before they are pooled over the channels: the sum over the features of activation times the
gradient of the evidence for a seizure in one second, its positive part. The network sees what it sees in the
worker: longitudinal derivations, conditioned, scaled by their running amplitude. PyTorch is loaded with the
first explanation, not with this module.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.eeg_quality import LEAST_PRESENT
from ingest.conditioning import condition, conditioning_of, delay_s
from ingest.montage import Plan, plan_of
from ingest.types import FloatArray, WideFloatArray
from models.errors import CannotExplain

if TYPE_CHECKING:
    from torch import Tensor

    from models.eeg import EegModel

BEFORE_S: Final = 120.0
"""Of the EEG before a moment: the network's running scale settles in it."""

AFTER_S: Final = 10.0
"""And after it: the network looks ahead some seconds."""

_busy = threading.Lock()


@dataclass(frozen=True, slots=True)
class EegExplained:
    """What spoke for a seizure in one second of a stretch, T seconds around it.

    Attributes
    ----------
    model : str
        The network.
    probability : float
        Of a seizure in that second.
    at_s, start_s : float
        Begin of that second and of the first of the T, in seconds of the stretch.
    derivations : tuple of str
        C names of the longitudinal montage, as they are made of these channels.
    cam : ndarray of float32, shape (C, T)
        Class activation, 0 to 1 (the largest); 0 where a derivation is missing.
    weights : ndarray of float32, shape (C, T)
        How much each derivation was looked at; sum 1 over those that are there.
    course : ndarray of float32, shape (T,)
        Probability of a seizure in each second, as the network sees it from the newest of them.
    """

    model: str
    probability: float
    at_s: float
    start_s: float
    derivations: tuple[str, ...]
    cam: FloatArray
    weights: FloatArray
    course: FloatArray


def explain_eeg(
    samples: FloatArray | WideFloatArray,
    fs_hz: float,
    channels: tuple[str, ...],
    at_s: float,
    model: str | EegModel,
) -> EegExplained:
    """Explain what the network says of one second of an EEG.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        In µV, NaN where missing; better with two minutes before the moment, for its running scale to settle.
    fs_hz : float
        Sampling rate.
    channels : tuple of str
        Labels, as they came.
    at_s : float
        The moment, in seconds of the stretch.
    model : str or EegModel
        Shipped model or path of a card; or the network itself.

    Raises
    ------
    CannotExplain
        Too short, too slow, none of the montage's derivations there; says the way out.
    """
    with _busy:
        network = _load(model) if isinstance(model, str) else model
        spec = network.spec
        plan = plan_of(channels)
        if not plan.names:
            raise CannotExplain("the channels give none of the derivations that the network sees")
        chain = conditioning_of(spec.fs_hz, spec.band_hz)
        if not fs_hz >= chain.min_fs_hz:
            raise CannotExplain(f"fs_hz={fs_hz:g}: {spec.name} needs {chain.min_fs_hz:g} Hz or more")
        late_s = delay_s(fs_hz, chain)
        seconds = _seconds(plan, samples, fs_hz, network)
        asked = int((at_s + late_s) / spec.step_s)
        if not 0 <= asked < len(seconds):
            raise CannotExplain(f"at_s={at_s:g}: give a moment of the stretch, 0 to {len(seconds) - 1} s")
        if np.isnan(seconds[asked]).all():
            raise CannotExplain("no derivation is there in this second: choose another moment")
        last = min(len(seconds) - 1, asked + network.behind)
        first = max(0, last + 1 - network.window_steps)
        cam, weights, course = _look(network, seconds, first, last, asked)
    return EegExplained(
        model=spec.name,
        probability=float(course[asked - first]),
        at_s=asked * spec.step_s - late_s,
        start_s=first * spec.step_s - late_s,
        derivations=plan.names,
        cam=cam[plan.places],
        weights=weights[plan.places],
        course=course,
    )


@lru_cache(maxsize=1)
def _load(model: str) -> EegModel:
    from models.eeg import EegModel

    return EegModel.load(model)


def _seconds(plan: Plan, samples: FloatArray | WideFloatArray, fs_hz: float, network: EegModel) -> FloatArray:
    """Return conditioned and scaled steps, (n_steps, places, samples); NaN where missing."""
    from models.eeg_scale import RunningScale

    spec, size = network.spec, network.samples
    derived = plan(samples)
    chain = conditioning_of(spec.fs_hz, spec.band_hz)
    held = condition(derived, fs_hz, chain)
    n_steps = len(held) // size
    if n_steps == 0:
        raise CannotExplain(f"{len(samples) / fs_hz:.1f} s of EEG: {spec.name} sees {spec.step_s:g} s steps")
    whole = held[: n_steps * size].reshape(n_steps, size, -1).transpose(0, 2, 1)
    steps: FloatArray = np.full((n_steps, network.channels, size), np.nan, dtype=np.float32)
    cuts = np.rint(np.arange(1, n_steps) * spec.step_s * fs_hz).astype(np.int64)
    pieces = np.split(np.isfinite(derived), cuts, axis=0)
    there = np.array([piece.mean(axis=0) for piece in pieces]) >= LEAST_PRESENT
    steps[:, plan.places] = np.where(there[:, :, None], whole, np.nan)
    scale = RunningScale(network.front_end.config.scale, network.channels)
    stream = np.zeros(1, dtype=np.int64)
    return np.concatenate([scale.push(stream, step[None]) for step in steps])


def _look(
    network: EegModel, seconds: FloatArray, first: int, last: int, asked: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return activation and weights (places, T), and the probability's course (T,)."""
    import torch

    from models.eeg_run import missing_features, seizure_logit

    front_end = network.front_end
    context = front_end.config.context
    line = np.pad(np.concatenate(list(seconds), axis=1), ((0, 0), (context, 0)), constant_values=np.nan)
    size = network.samples
    piece = line[:, first * size : context + (last + 1) * size]
    with torch.no_grad():
        features, there = front_end.channels(torch.from_numpy(np.ascontiguousarray(piece))[None])
        weights = front_end.weights(features, there)[0].numpy()
        before = missing_features(front_end)[:, None].expand(-1, network.window_steps - (last + 1 - first))
    features.requires_grad_(True)
    pooled = torch.cat([before[None], front_end.pool(features, there)], dim=2)
    steps: Tensor = seizure_logit(network.network.head_outputs(pooled).step_logits)[0]
    steps = steps[-(last + 1 - first) :]
    (gradient,) = torch.autograd.grad(steps[asked - first], features)
    cam = ((features * gradient).sum(-1).relu() * there)[0].detach().numpy()
    largest = max(float(cam.max()), 1e-9)
    return (cam / largest).astype(np.float32), weights, steps.sigmoid().detach().numpy()
