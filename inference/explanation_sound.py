"""Where in a spectrogram a network of sounds looked, and when: class activation and attention of one window.

The map is the one whose mass within annotated breaths the card reports (:mod:`models.sounds_explain`).
PyTorch is loaded with the first explanation, not with this module.
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
    from models.sounds import SoundModel

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
    cam = network.explain(window[None], wanted)[0]
    n_steps = heard.attention.shape[1]
    # The map has no finer time than the network's steps.
    cam = cam.reshape(len(cam), n_steps, -1).mean(axis=2)
    cam /= max(float(cam.max()), 1e-20)
    corners_hz = network.mel.band_edges_hz()
    between_hz = (corners_hz[:-1] + corners_hz[1:]) / 2
    return SoundExplained(
        network.spec.name,
        wanted,
        said[wanted],
        said,
        start_s,
        start_s + network.window_frames / network.mel.frame_hz,
        cam,
        tuple(between_hz.tolist()),
        heard.attention[0],
        network.step_s,
    )
