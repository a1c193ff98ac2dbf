"""Why the monitor's network says what it says of a stretch of ECG, by the conditioning that serves.

PyTorch is loaded with the first explanation, not with this module: a dashboard that never explains stays
small. One explanation is made at a time; it takes some ten milliseconds on a CPU once the model is loaded.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from inference.cli import DEFAULT_MODEL
from inference.quality import fullest_lead
from ingest.conditioning import ConditioningSpec, condition, conditioning_of, delay_s
from ingest.types import FloatArray, IntArray, WideFloatArray
from models.errors import CannotExplain
from models.spec import Conv1dFrontEnd, ModelSpec

if TYPE_CHECKING:
    from models.cnn_lstm import CnnLstm

LEAD_IN_S: Final = 30.0
"""Before the window: the band-pass has forgotten by then how the stretch began."""

STEP_PLACE: Final = 0.75
"""Where in a window the beat lies that is explained: with a past and a little future."""

REACH_S: Final = 0.25
"""How far from the moment asked for a beat's step may lie."""

_busy = threading.Lock()


@dataclass(frozen=True, slots=True)
class Explained:
    """What the network said of one window of one lead, and where it looked.

    All seconds count from the first sample of the stretch, whose device time is ``start_ns``.

    Attributes
    ----------
    model, channel : str
        The network and the lead that it was shown.
    label : str
        The explained class.
    probability : float
        Of it.
    head : str
        ``window``: the rhythm of the window's last seconds; ``step``: the beat at ``at_s``.
    probabilities : dict of str to float
        Of all classes of that head, there.
    start_s, end_s : float
        The window.
    at_s : float or None
        The explained beat; ``None`` for the window.
    times_s : ndarray of float64, shape (n,)
        Middle of each of the network's time steps.
    attention : ndarray of float32, shape (n,)
        Weights with which the rhythm head looked at the steps, sum 1.
    cam : ndarray of float32, shape (n,)
        Class activation (HiResCAM), 0 to 1: which steps spoke for the class.
    """

    model: str
    channel: str
    label: str
    probability: float
    head: str
    probabilities: dict[str, float]
    start_ns: int
    start_s: float
    end_s: float
    at_s: float | None
    times_s: WideFloatArray
    attention: FloatArray
    cam: FloatArray


@dataclass(frozen=True, slots=True)
class _Window:
    """One input of the network and when it begins, in seconds of the stretch."""

    x: FloatArray
    start_s: float


def explain_ecg(
    samples: FloatArray | WideFloatArray,
    fs_hz: float,
    channels: tuple[str, ...],
    *,
    start_ns: int = 0,
    label: str | None = None,
    channel: str | None = None,
    at_s: float | None = None,
    model: str = DEFAULT_MODEL,
) -> Explained:
    """Explain what the network says of a stretch of ECG.

    Parameters
    ----------
    samples : ndarray, shape (n_samples, n_channels)
        In mV, NaN where missing; better with half a minute before the window, for the filters to settle.
    fs_hz : float
        Sampling rate.
    channels : tuple of str
        Names of the leads.
    start_ns : int
        Device time of the first sample; handed back.
    label : str or None
        Class to explain: a rhythm (vf, vt, asystole, af, noise, other) of the window, or a beat's class
        (N, S, V, F) at the beat where it is likeliest; the likeliest rhythm where ``None``.
    channel : str or None
        Lead; the one that the worker prefers, of those that hold a signal, where ``None``.
    at_s : float or None
        The moment in seconds of the stretch: end of the window, or place of the beat; the stretch's end
        where ``None``.
    model : str
        Shipped model or path of a card.

    Raises
    ------
    CannotExplain
        Too short, too slow, nothing but missing samples in the window, no such class or lead; says the way
        out.
    """
    with _busy:
        network, spec = _load(model)
        head = _head(spec, label)
        lead = _lead(samples, channels, channel)
        window = _window(samples[:, lead], fs_hz, spec, at_s, STEP_PLACE if head == "step" else 1.0)
        return _explain(network, spec, window, head, label, at_s, channels[lead], start_ns)


@lru_cache(maxsize=2)
def _load(model: str) -> tuple[CnnLstm, ModelSpec]:
    from models import store

    network, spec = store.load(model)
    if spec.channels != 1 or not isinstance(spec.architecture.front_end, Conv1dFrontEnd):
        raise CannotExplain(f"{spec.name} takes no single lead of ECG; give a monitor, as {DEFAULT_MODEL}")
    return network.eval(), spec


def _head(spec: ModelSpec, label: str | None) -> str:
    """Which head has the class; ``none`` (no beat) is nothing to explain."""
    if label in spec.window_classes or (label is None and spec.window_classes):
        return "window"
    if label in spec.step_classes[1:]:
        return "step"
    known = ", ".join((*spec.window_classes, *spec.step_classes[1:]))
    raise CannotExplain(f"label={label!r}: {spec.name} has no such class; give one of {known}")


def _lead(samples: FloatArray | WideFloatArray, channels: tuple[str, ...], wanted: str | None) -> int:
    """Index of the lead that is wanted, or that the worker prefers of those that hold most."""
    if samples.ndim != 2 or not channels or samples.shape[1] != len(channels):
        raise CannotExplain(
            f"samples of shape {samples.shape}: give (n_samples, {len(channels)}), a lead each"
        )
    if wanted is not None:
        if wanted not in channels:
            raise CannotExplain(
                f"channel={wanted!r}: there is no such lead; give one of {', '.join(channels)}"
            )
        return channels.index(wanted)
    return fullest_lead(samples, channels)


def _window(
    lead: FloatArray | WideFloatArray, fs_hz: float, spec: ModelSpec, at_s: float | None, place: float
) -> _Window:
    """Condition the stretch up to the moment's window as the worker does, and cut the window out."""
    chain = _chain(spec, fs_hz)
    whole_s = len(lead) / fs_hz
    if whole_s < spec.window_s:
        raise CannotExplain(
            f"{whole_s:.1f} s of signal: {spec.name} sees {spec.window_s:g} s; give that or more"
        )
    if at_s is not None and not 0 <= at_s <= whole_s:
        raise CannotExplain(f"at_s={at_s:g}: give a moment of the stretch, 0 to {whole_s:.1f} s")
    if np.isinf(lead).any():
        raise CannotExplain("the signal holds infinity: mark missing samples as NaN")
    late_s = delay_s(fs_hz, chain)
    end_s = whole_s if at_s is None else min(whole_s, at_s + (1 - place) * spec.window_s + late_s)
    end_s = max(end_s, spec.window_s)
    first = max(0, round((end_s - spec.window_s - LEAD_IN_S) * fs_hz))
    last = round(end_s * fs_hz)
    part = lead[first:last]
    if np.isnan(part[-round(spec.window_s * fs_hz) :]).mean() > 0.5:
        raise CannotExplain("most samples of this window are missing: choose another moment or lead")
    conditioned = condition(part[:, None], fs_hz, chain)[:, 0]
    begin = len(conditioned) - spec.window_samples
    if begin < 0:
        # Rounding of the rates: a sample or two.
        conditioned, begin = np.pad(conditioned, (-begin, 0), mode="edge"), 0
    start_s = first / fs_hz + begin / spec.fs_hz - late_s
    return _Window(np.ascontiguousarray(conditioned[begin:][None, None]), start_s)


def _chain(spec: ModelSpec, fs_hz: float) -> ConditioningSpec:
    chain = conditioning_of(spec.fs_hz, spec.band_hz)
    if not fs_hz >= chain.min_fs_hz:
        raise CannotExplain(f"fs_hz={fs_hz:g}: {spec.name} needs {chain.min_fs_hz:g} Hz or more")
    return chain


def _explain(
    network: CnnLstm,
    spec: ModelSpec,
    window: _Window,
    head: str,
    label: str | None,
    at_s: float | None,
    channel: str,
    start_ns: int,
) -> Explained:
    import torch

    from models.explain import explain

    with torch.inference_mode():
        output = network(torch.from_numpy(window.x))
    times_s = window.start_s + (np.arange(spec.n_steps, dtype=np.float64) + 0.5) * spec.step_s
    if head == "window":
        classes = spec.window_classes
        said: FloatArray = output.window_logits[0].softmax(-1).numpy()
        index = int(said.argmax()) if label is None else classes.index(label)
        found, step = explain(network, window.x, window_class=index), None
    else:
        classes = spec.step_classes
        steps: FloatArray = output.step_logits[0].softmax(-1).numpy()
        index = classes.index(str(label))
        step = _step(steps[:, index], times_s, at_s)
        found, said = explain(network, window.x, step_class=index, step=_one(step)), steps[step]
    return Explained(
        model=spec.name,
        channel=channel,
        label=classes[index],
        probability=float(said[index]),
        head=head,
        probabilities=dict(zip(classes, map(float, said), strict=True)),
        start_ns=start_ns,
        start_s=window.start_s,
        end_s=window.start_s + spec.window_s,
        at_s=None if step is None else float(times_s[step]),
        times_s=times_s,
        attention=found.attention[0],
        cam=found.cam[0],
    )


def _step(of_class: FloatArray, times_s: WideFloatArray, at_s: float | None) -> int:
    """The step near the moment, or of all, where a class is likeliest."""
    if at_s is None:
        return int(of_class.argmax())
    distance = np.abs(times_s - at_s)
    near = np.flatnonzero(distance <= max(REACH_S, float(distance.min())))
    return int(near[of_class[near].argmax()])


def _one(step: int) -> IntArray:
    return np.array([step], dtype=np.int64)
