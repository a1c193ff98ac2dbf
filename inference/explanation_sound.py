"""Where in a spectrogram a network of sounds looked, and when: class activation and attention of one window.

The map is HiResCAM (Draelos and Carin 2020; see :mod:`models.explain`) of the last block of 2-D convolutions
that still keeps :data:`LEAST_ROWS` rows of frequency: the sum over its features of activation times the
gradient of the class's logit, its positive part. The last block of all has three rows, which is too coarse to
look at. PyTorch is loaded with the first explanation, not with this module.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from ingest.types import FloatArray, SignalKind, WideFloatArray
from models.errors import CannotExplain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.cnn_lstm import Output
    from models.sounds import SoundModel

LEAST_ROWS: Final = 6
LEAD_MEMORIES: Final = 5.0
"""Time constants of the running level that are looked at before a window."""

_busy = threading.Lock()


@dataclass(frozen=True, slots=True)
class SoundExplained:
    """What a network said of one window of a sound, and where it looked.

    Attributes
    ----------
    model, label : str
        The network and the explained class.
    probability : float
        Of it in this window.
    probabilities : dict of str to float
        Of all classes of the window.
    start_s, end_s : float
        The window, in the seconds of what was given.
    cam : ndarray of float32, shape (n_rows, n_steps)
        0 to 1, row 0 the lowest: which places spoke for the class; all 0 where none did.
    edges_hz : tuple of float, length n_rows + 1
        Frequencies between which the rows lie.
    attention : ndarray of float32, shape (n_steps,)
        Weights with which the window was looked at, sum 1.
    step_s : float
        Seconds a step; the first begins with the window.
    """

    model: str
    label: str
    probability: float
    probabilities: dict[str, float]
    start_s: float
    end_s: float
    cam: FloatArray
    edges_hz: tuple[float, ...]
    attention: FloatArray
    step_s: float


@lru_cache(maxsize=4)
def load_listener(name: str) -> SoundModel:
    """Load a network once for all explanations."""
    from models.sounds import SoundModel

    return SoundModel.load(name)


def explain_window(
    model: str | SoundModel, frames: FloatArray, begin_s: float, at_s: float, label: str | None = None
) -> SoundExplained:
    """Explain the window around a moment of a sound.

    Parameters
    ----------
    model : str or SoundModel
        Shipped name, path of a card, or a loaded network.
    frames : ndarray of float32, shape (n_rows, n_frames)
        Log-mel frames, as the network asks for them, before levels are taken off; best with half a minute
        before the window.
    begin_s : float
        When the first of them begins.
    at_s : float
        The moment, in the same seconds; the window lies around it as far as there is sound.
    label : str or None
        One of the network's window classes; the likeliest of crackle, wheeze, murmur where ``None``.

    Raises
    ------
    CannotExplain
        No such class, or less sound than one window.
    """
    with _busy:
        network = load_listener(model) if isinstance(model, str) else model
        n_frames = frames.shape[1]
        if n_frames < network.window_frames:
            raise CannotExplain(
                f"{n_frames / network.mel.frame_hz:.1f} s of sound: {network.spec.name} looks at "
                f"{network.spec.window_s:g} s; give that or more"
            )
        # A step stands for the middle of what its frames are made of.
        begin_s += float(network.step_times_s(1)[0]) - network.step_s / 2
        middle = round((at_s - begin_s) * network.mel.frame_hz)
        first = int(np.clip(middle - network.window_frames // 2, 0, n_frames - network.window_frames))
        last = first + network.window_frames
        # What lies further back is forgotten by then.
        lead = min(first, round(LEAD_MEMORIES * network.memory_frames))
        leveled = network.leveled(frames[:, first - lead : last])
        window = np.ascontiguousarray(leveled[:, lead:])
        return _explain(network, window, begin_s + first / network.mel.frame_hz, label)


def explain_audio(
    model: str | SoundModel,
    kind: SignalKind,
    samples: FloatArray | WideFloatArray,
    fs_hz: float,
    at_s: float,
    label: str | None = None,
) -> SoundExplained:
    """Explain a window of a sound by the worker's conditioning; seconds count from its first sample.

    Parameters
    ----------
    model, at_s, label
        As :func:`explain_window` takes them.
    kind : SignalKind
        Lung or heart sound.
    samples : ndarray, shape (n_samples,)
        Full scale 1, NaN where missing.
    fs_hz : float
        Sampling rate.

    Raises
    ------
    CannotExplain
        As :func:`explain_window`; a rate that is too low; mostly missing samples around the moment.
    """
    from inference.sound_monitor import SPECS
    from ingest.conditioning import condition, delay_s
    from models.melspec import log_mel

    conditioning, _ = SPECS[kind]
    if not fs_hz >= conditioning.min_fs_hz:
        raise CannotExplain(f"fs_hz={fs_hz:g}: {kind} is judged from {conditioning.min_fs_hz:g} Hz on")
    near = samples[max(0, round((at_s - 2.0) * fs_hz)) : round((at_s + 2.0) * fs_hz)]
    if len(near) == 0 or np.isnan(near).mean() > 0.5:
        raise CannotExplain("most samples around this moment are missing: choose another one")
    sound = condition(samples[:, None], fs_hz, conditioning)[:, 0]
    network = load_listener(model) if isinstance(model, str) else model
    return explain_window(network, log_mel(sound, network.mel), -delay_s(fs_hz, conditioning), at_s, label)


def _explain(network: SoundModel, window: FloatArray, start_s: float, label: str | None) -> SoundExplained:
    heard = network.listen(window[None])
    said = dict(zip(network.classes, heard.probabilities[0].tolist(), strict=True))
    likeliest = max(said, key=said.__getitem__)
    said |= dict(zip(network.spec.window_classes[len(said) :], heard.diagnoses[0].tolist(), strict=False))
    wanted = likeliest if label is None else label
    if wanted not in said:
        known = ", ".join(said)
        raise CannotExplain(f"label={wanted!r}: {network.spec.name} has no such class; give one of {known}")
    cam, attention = _map(network, window, wanted)
    centres_hz = network.mel.band_edges_hz()
    between_hz = (centres_hz[:-1] + centres_hz[1:]) / 2
    per_row = network.mel.n_mels // len(cam)
    return SoundExplained(
        network.spec.name,
        wanted,
        said[wanted],
        said,
        start_s,
        start_s + network.window_frames / network.mel.frame_hz,
        cam,
        tuple(between_hz[::per_row][: len(cam) + 1].tolist()),
        attention,
        network.step_s,
    )


def _map(network: SoundModel, window: FloatArray, label: str) -> tuple[FloatArray, FloatArray]:
    """Class activation (rows, steps) and attention (steps) of one window."""
    import torch

    kept: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.append(output)

    handle = _block(network).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            picture = torch.from_numpy(window[None, None]).requires_grad_(True)
            output = network.network(picture)
            (gradient,) = torch.autograd.grad(_target(network, output, label), kept)
    finally:
        handle.remove()
    positive = (gradient * kept[0]).sum(1).clamp(min=0)[0].detach()
    cam = (positive / positive.max().clamp(min=1e-20)).float().numpy()
    return cam, output.attention[0].detach().float().numpy()


def _block(network: SoundModel) -> nn.Module:
    """The last layer of the front end that keeps rows enough, and whose columns are steps."""
    from models.spec import Conv2dFrontEnd

    front_end = network.spec.architecture.front_end
    assert isinstance(front_end, Conv2dFrontEnd)
    rows, columns, place, chosen = front_end.rows, 1, -1, -1
    for pool, stride in zip(front_end.row_pools, front_end.strides, strict=True):
        # Convolution, normalisation, rectifier, and a pooling where there is one.
        place += 3 + (pool > 1 or stride > 1)
        rows, columns = rows // pool, columns * stride
        if columns == front_end.columns_per_step and (rows >= LEAST_ROWS or chosen < 0):
            chosen = place
    maps: nn.Module = network.network.front_end.get_submodule(f"maps.{chosen}")
    return maps


def _target(network: SoundModel, output: Output, label: str) -> Tensor:
    """What is explained: a logit where classes stand apart, a log-probability where they exclude others."""
    logits = output.window_logits[0]
    apart = len(network.classes)
    if label in network.classes:
        return logits[network.classes.index(label)]
    index = network.spec.window_classes.index(label) - apart
    return logits[apart:].log_softmax(-1)[index]
