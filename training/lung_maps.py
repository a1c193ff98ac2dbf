"""Whether explanations point to the sound: share of the map inside annotated cycles against chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from models.cnn_lstm import CnnLstm
from models.sounds_explain import label_target, spectrogram_map
from models.sounds_run import cut_windows
from training.lung_records import LungRecord
from training.lung_sampling import LABELS, Steps
from training.metrics import ratio
from training.sources import WideFloatArray

BATCH: Final = 32
WORTH: Final = (0.1, 0.9)
"""Windows count of which a share between these is of cycles with the sound: others hold no contrast."""


def _windows(
    record: LungRecord, label: int, steps: Steps, window_steps: int
) -> tuple[WideFloatArray, WideFloatArray]:
    """First steps of windows around cycles with a sound, and per frame whether it is in such a cycle."""
    cycles = record.about.cycles
    n_steps = record.frames.shape[1] // steps.per_step
    inside = np.zeros(max(n_steps, window_steps))
    cuts = [steps.cut(a, b) for a, b in zip(cycles.start_s, cycles.end_s, strict=True)]
    with_sound = [cut for cut, there in zip(cuts, cycles.labels[:, label], strict=True) if there]
    for first, last in with_sound:
        inside[first:last] = 1.0
    begins = [(first + min(last, n_steps) - window_steps) // 2 for first, last in with_sound]
    return np.clip(np.array(begins, dtype=np.float64), 0, max(0, n_steps - window_steps)), inside


def map_counts(
    model: CnnLstm, records: Sequence[LungRecord], steps: Steps, window_steps: int
) -> dict[str, WideFloatArray]:
    """Sums a patient over windows with a sound, (2 labels, 2): map's mass inside, share of time inside.

    Parameters
    ----------
    model : CnnLstm
        Of the lung task.
    records : sequence of LungRecord
        With frames.
    steps : Steps
        Of the network.
    window_steps : int
        Steps of a window.
    """
    counts: dict[str, WideFloatArray] = {}
    for record in records:
        for label in range(len(LABELS)):
            begins, inside = _windows(record, label, steps, window_steps)
            places = begins.astype(np.int64)[:, None] + np.arange(window_steps)
            share = inside[places].mean(1) if len(begins) else np.zeros(0)
            worth = (share > WORTH[0]) & (share < WORTH[1])
            if not worth.any():
                continue
            windows = cut_windows(
                record.frames, places[worth, 0] * steps.per_step, window_steps * steps.per_step
            )
            cam = np.concatenate(
                [
                    spectrogram_map(model, windows[first : first + BATCH], label_target(label))
                    for first in range(0, len(windows), BATCH)
                ]
            )
            per_step = cam.sum(1).reshape(len(cam), window_steps, steps.per_step).sum(2)
            mass = (per_step * inside[places[worth]]).sum(1) / np.maximum(per_step.sum(1), 1e-12)
            held = counts.setdefault(record.about.patient, np.zeros((len(LABELS), 2)))
            held[label] += mass.sum(), share[worth].sum()
    return counts


def map_figures(total: WideFloatArray) -> Mapping[str, float]:
    """Mass of the map inside by the share of time inside: 1 is chance."""
    return {f"{name}_map_ratio": float(ratio(total[k, 0], total[k, 1])) for k, name in enumerate(LABELS)}
