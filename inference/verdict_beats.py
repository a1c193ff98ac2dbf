"""Where the verdict's beats come from: any causal source can stand in for the monitor model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from scipy import signal as dsp

from inference.errors import UnfitModel
from models import store
from models.cnn_lstm import CnnLstm
from models.decode import OVERLAP_S, accept, decode_beats, refine_peaks
from models.errors import CardMismatch
from models.spec import ModelSpec
from models.streaming import HOP_S, RIGHT_CONTEXT_S, WINDOW_S, run_lead
from models.verdict import VerdictSpec
from models.verdict_leads import FS_HZ, WINDOW_CLASSES, FloatArray, WideFloatArray

LIKELY: Final = 0.5
"""A beat counts when it is likelier than not: a spurious one breaks a pause, a missed one makes it."""

QRS_BAND: Final = dsp.butter(2, (5.0, 18.0), "bandpass", fs=FS_HZ, output="sos")


@dataclass(frozen=True, slots=True)
class LeadOutput:
    """What a source of beats says of one lead: see :class:`models.verdict_leads.LeadView`."""

    beat_s: WideFloatArray
    beat_classes: FloatArray
    windows: FloatArray


class BeatSource(Protocol):
    """Anything that finds beats and judges windows of a lead causally."""

    @property
    def key(self) -> str:
        """Changes when its answers would."""

    def __call__(self, signal: FloatArray) -> LeadOutput:
        """Beats and windows of a conditioned lead (n_samples,) that ends with the alarm."""


class MonitorBeats:
    """A monitor model (beats at each step, window classes) as the source.

    Parameters
    ----------
    model, spec
        As :func:`models.store.load` gives them; its window classes must be those of the monitor.

    Raises
    ------
    UnfitModel
        The model says nothing about beats or windows.
    """

    def __init__(self, model: CnnLstm, spec: ModelSpec) -> None:
        if spec.window_classes != WINDOW_CLASSES or len(spec.step_classes) != 5:
            raise UnfitModel(
                f"model {spec.name}: the verdict needs beats N, S, V, F "
                f"and windows {', '.join(WINDOW_CLASSES)}"
            )
        self.model, self.spec = model, spec

    @property
    def key(self) -> str:
        """SHA-256 of the weights and what turns steps into beats."""
        return f"{self.spec.sha256} {LIKELY} {self.spec.beat_gains}"

    def __call__(self, signal: FloatArray) -> LeadOutput:
        """The last window ends with the alarm; its last second is taken as it is, not yet final."""
        hop = round(HOP_S * FS_HZ)
        skip = (len(signal) - round(WINDOW_S * FS_HZ)) % hop
        signal = signal[skip:]
        stream = run_lead(self.model, signal)
        until, last = WINDOW_S - RIGHT_CONTEXT_S, len(stream.windows) - 1
        found = [
            decode_beats(
                steps,
                self.spec.step_s,
                threshold=LIKELY,
                class_gains=self.spec.beat_gains,
                final_from_s=begin - OVERLAP_S,
                final_to_s=end,
            )
            for steps, begin, end in (
                (stream.steps, until - HOP_S, until),
                (stream.steps[last:], until, WINDOW_S),
            )
        ]
        window = np.concatenate([found[0].window, np.full(len(found[1].window), last)])
        place = np.concatenate([one.position_s for one in found])
        step = np.rint(np.concatenate([one.step for one in found])).astype(np.int64)
        probability = np.concatenate([one.probability for one in found])
        times_s = refine_peaks(stream.windows, FS_HZ, window, place) + stream.starts_s[window]
        around = np.clip(step[:, None] + np.arange(-1, 2), 0, stream.steps.shape[1] - 1)
        classes = stream.steps[window[:, None], around][:, :, 1:].sum(1)
        order = np.argsort(times_s, kind="stable")
        kept = order[accept(times_s[order], probability[order])]
        shares = classes[kept] / (classes[kept].sum(1, keepdims=True) + 1e-9)
        return LeadOutput(times_s[kept] - len(signal) / FS_HZ, shares.astype(np.float32), stream.rhythms)


class SlopeBeats:
    """Beats by steepness alone (after Pan and Tompkins 1985), no classes, no judgement of windows.

    What an alarm can be judged by without a network: the ablation's lower end. Every beat is called N, every
    window ``other``.
    """

    key = "slope 1"

    def __call__(self, signal: FloatArray) -> LeadOutput:
        """Peaks of the summed squared slope above a share of what has been usual."""
        band = dsp.sosfilt(QRS_BAND, signal.astype(np.float64))
        length = round(0.12 * FS_HZ)
        total = np.cumsum(np.concatenate([np.zeros(length), np.diff(band, prepend=band[0]) ** 2]))
        energy = np.sqrt(np.maximum(total[length:] - total[:-length], 0.0))
        block = round(2 * FS_HZ)
        n_blocks = len(energy) // block
        largest = energy[len(energy) - n_blocks * block :].reshape(n_blocks, block).max(1)
        usual = np.array([np.median(largest[max(0, i - 15) : i + 1]) for i in range(n_blocks)])
        first = len(energy) - n_blocks * block
        threshold = 0.4 * np.concatenate([np.full(first, usual[0]), np.repeat(usual, block)]) + 1e-6
        places, _ = dsp.find_peaks(energy, height=threshold, distance=round(0.24 * FS_HZ))
        beat_s = ((places - length / 2 - len(signal)) / FS_HZ).astype(np.float64)
        classes = np.tile(np.array([1.0, 0.0, 0.0, 0.0], dtype=np.float32), (len(beat_s), 1))
        n_windows = int((len(signal) / FS_HZ - WINDOW_S) / HOP_S) + 1
        windows = np.zeros((n_windows, len(WINDOW_CLASSES)), dtype=np.float32)
        windows[:, WINDOW_CLASSES.index("other")] = 1.0
        return LeadOutput(beat_s, classes, windows)


SLOPE: Final = "slope"
"""The name under which a verdict's card says that its beats are by steepness alone."""


def beats_of(spec: VerdictSpec, device: str | None = None) -> BeatSource:
    """The source of beats that a verdict model was fitted on.

    Parameters
    ----------
    spec : VerdictSpec
        Its card.
    device : str or None
        A torch device; the CPU by default.

    Raises
    ------
    ModelNotFound
        That monitor model is not there.
    CardMismatch
        The one of that name has other weights: the verdict must be fitted anew.
    """
    if spec.beats_model == SLOPE:
        return SlopeBeats()
    monitor, own = store.load(spec.beats_model, torch.device(device or "cpu"))
    if own.sha256 != spec.beats_sha256:
        raise CardMismatch(
            f"{spec.name}: fitted on the beats of {spec.beats_model} {spec.beats_sha256[:12]}…, "
            f"but that model is now {own.sha256[:12]}…; fit anew: wardwave verdict fit"
        )
    return MonitorBeats(monitor, own)
