"""A network over a whole sound: what it hears when, in each breath or heart cycle, and in all of it.

The ward asks about pieces of a few seconds as they come. Of a recording the whole is known, so windows
overlap and their steps are joined (:meth:`models.sounds.SoundModel.hear`), and a breath is judged as one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.analysis_findings import SoundCycle, SoundLoss, SoundMark, SoundVerdict
from inference.analysis_sound_cycles import breath_cuts_s, cycles_between
from inference.analysis_sound_play import MISSING, NOT_JUDGED
from inference.sound_monitor import SPECS
from inference.sound_records import events_of
from ingest.conditioning import condition, delay_s
from ingest.recording import Signal
from ingest.types import NS_PER_S, BoolArray, FloatArray, WideFloatArray
from models.melspec import MelSpec, log_mel
from models.sounds import Heard, SoundModel
from models.spec import Interval, ModelSpec

BY_BREATH: Final = (
    "Breaths are cut where the breath sound is faintest, by its own rhythm: no network says where they begin."
)
BY_STATES: Final = "Heart cycles go from one first sound (S1) to the next, as the network marks them."
NO_BREATH: Final = (
    "No breaths could be told apart: what recurs in the loudness of the sound is not sure enough."
)
NOTHING_CLEAN: Final = "No moment of the sound could be judged."
LOST_SHARE: Final = 0.5
"""Of a cycle, from which it is not judged."""

_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Frames:
    """Log-mel frames of a sound, as the worker makes them.

    Attributes
    ----------
    mel : MelSpec
        What they were made with.
    frames : ndarray of float32, shape (n_rows, n_frames)
        Before levels are taken off.
    begin_s : float
        When the first frame begins, from the recording's first sample: a little before it, since the
        resampler looks ahead.
    """

    mel: MelSpec
    frames: FloatArray
    begin_s: float


@dataclass(frozen=True, slots=True)
class HeardSound:
    """What a network says of a recording; see :class:`inference.analysis_findings.SoundFindings`."""

    marks: list[SoundMark]
    cycles: list[SoundCycle]
    cycles_from: str
    verdict: SoundVerdict | None
    heard: dict[str, float]


def frames_of(signal: Signal, network: SoundModel | None = None) -> Frames:
    """Frames of the first channel, as a network sees them; without one, levels alone."""
    conditioning, rhythm = SPECS[signal.kind]
    sound = condition(signal.samples[:, :1], signal.fs_hz, conditioning)[:, 0]
    mel = rhythm.mel if network is None else network.mel
    return Frames(mel, log_mel(sound, mel), -delay_s(signal.fs_hz, conditioning))


def hear_sound(
    made: Frames, model: SoundModel, lost: Sequence[SoundLoss], duration_s: float
) -> HeardSound | None:
    """Listen to a recording; ``None`` where it is shorter than one of the network's steps.

    Parameters
    ----------
    made : Frames
        Of the recording.
    model : SoundModel
        Of this kind of sound.
    lost : sequence of SoundLoss
        Where nothing counts.
    duration_s : float
        Length of the recording.
    """
    n_steps = made.frames.shape[1] // model.frames_per_step
    if n_steps < 1:
        return None
    frames = _leveled(made, model, lost)
    times_s = made.begin_s + model.step_times_s(-(-frames.shape[1] // model.frames_per_step))
    counts = _outside(times_s, lost)
    if not counts.any():
        return HeardSound([], [], NOTHING_CLEAN, None, {})
    heard = model.hear(frames, counts)
    marks = _marks(heard, model, made.begin_s, lost, duration_s)
    if model.heart:
        cuts_s = np.array([one.begin_s for one in marks if one.label == "S1"])
        cycles = [SoundCycle(*pair, {}) for pair in cycles_between(cuts_s)]
        said = BY_STATES
    else:
        # A cut that lies before the first sample is its first sample.
        levels_s = made.begin_s + made.mel.lead_s
        pairs = cycles_between(np.maximum(breath_cuts_s(made.frames) + levels_s, 0.0))
        cycles = list(_judged(frames, pairs, model, made.begin_s, lost))
        said = BY_BREATH if cycles else NO_BREATH
    shares = dict(zip(model.classes, _rounded(heard.probabilities[0]), strict=True))
    judged = [one.probabilities for one in cycles if one.probabilities]
    if judged:
        # A mean over breaths would hide the one that wheezes.
        shares = {name: max(one[name] for one in judged) for name in model.classes}
    whole_s = duration_s - sum(one.end_s - one.begin_s for one in lost)
    verdict = _verdict(heard, model, shares) if whole_s >= model.spec.window_s else None
    return HeardSound(marks, cycles, said, verdict, shares)


def _leveled(made: Frames, model: SoundModel, lost: Sequence[SoundLoss]) -> FloatArray:
    """Frames less their levels, anew behind each hole: what comes next is not compared with nothing."""
    mel = model.mel
    frames = np.zeros_like(made.frames)
    holes = [(one.begin_s, one.end_s) for one in lost if one.reason == MISSING]
    begins = [0, *(_frame_at(end_s - made.begin_s, mel) + mel.early for _, end_s in holes)]
    ends = [*(_frame_at(begin_s - made.begin_s, mel) for begin_s, _ in holes), frames.shape[1]]
    for begin, end in zip(begins, ends, strict=True):
        if begin < end:
            frames[:, begin:end] = model.leveled(made.frames[:, begin:end])
    return frames


def _frame_at(at_s: float, mel: MelSpec) -> int:
    return max(0, math.ceil(at_s * mel.frame_hz))


def _marks(
    heard: Heard, model: SoundModel, begin_s: float, lost: Sequence[SoundLoss], duration_s: float
) -> list[SoundMark]:
    n_steps = heard.step_probabilities.shape[1]
    (events,) = events_of(
        model, heard, slice(0, n_steps), np.array([round(begin_s * NS_PER_S)], dtype=np.int64)
    )
    marks = [
        SoundMark(
            one.label,
            round(max(0.0, one.start_ns / NS_PER_S), 3),
            round(min(duration_s, one.end_ns / NS_PER_S), 3),
            round(one.probability, 3),
        )
        for one in events
    ]
    kept = _outside(np.array([(one.begin_s + one.end_s) / 2 for one in marks]), lost)
    kept_marks = [
        one for one, keep in zip(marks, kept.tolist(), strict=True) if keep and one.end_s > one.begin_s
    ]
    return sorted(kept_marks, key=lambda one: (one.begin_s, one.label))


def _outside(times_s: WideFloatArray, lost: Sequence[SoundLoss]) -> BoolArray:
    """Which moments lie in no stretch that was lost."""
    begins = np.array([one.begin_s for one in lost])
    ends = np.array([one.end_s for one in lost])
    inside = (times_s[:, None] >= begins) & (times_s[:, None] < ends)
    return np.asarray(~inside.any(axis=1), dtype=np.bool_)


def _judged(
    frames: FloatArray,
    pairs: Sequence[tuple[float, float]],
    model: SoundModel,
    begin_s: float,
    lost: Sequence[SoundLoss],
) -> Iterator[SoundCycle]:
    """Each breath as the middle of a window in which its steps alone count."""
    n_steps = frames.shape[1] // model.frames_per_step
    shift_s = begin_s + float(model.step_times_s(1)[0])
    limits = (np.array(pairs).reshape(-1, 2) - shift_s) / model.step_s
    first = np.clip(np.ceil(limits[:, 0]).astype(np.int64), 0, n_steps - 1)
    last = np.clip(np.ceil(limits[:, 1]).astype(np.int64), first + 1, n_steps)
    begin = np.clip((first + last - model.window_steps) // 2, 0, max(0, n_steps - model.window_steps))
    short = max(0, (begin.max(initial=0) + model.window_steps) * model.frames_per_step - frames.shape[1])
    padded = np.pad(frames, ((0, 0), (0, int(short))))
    for at in range(0, len(pairs), _AT_ONCE):
        part = slice(at, at + _AT_ONCE)
        steps = begin[part, None] + np.arange(model.window_steps)
        where = (steps >= first[part, None]) & (steps < last[part, None])
        columns = (begin[part] * model.frames_per_step)[:, None] + np.arange(model.window_frames)
        windows = np.ascontiguousarray(padded[:, columns].transpose(1, 0, 2))
        said = model.listen(windows, where).probabilities
        for pair, row in zip(pairs[part], said, strict=True):
            shares = dict(zip(model.classes, _rounded(row), strict=True))
            label = NOT_JUDGED if _lost_share(pair, lost) >= LOST_SHARE else four_classes(shares, model)
            yield SoundCycle(*pair, shares if label != NOT_JUDGED else {}, label)


def _lost_share(pair: tuple[float, float], lost: Sequence[SoundLoss]) -> float:
    common = sum(max(0.0, min(pair[1], one.end_s) - max(pair[0], one.begin_s)) for one in lost)
    return common / max(1e-6, pair[1] - pair[0])


def four_classes(shares: dict[str, float], model: SoundModel) -> str:
    """ICBHI's class of a breath: normal, crackle, wheeze, or both."""
    called = [name for name in model.classes if shares[name] >= model.thresholds[name]]
    return "both" if len(called) > 1 else called[0] if called else "normal"


def _verdict(heard: Heard, model: SoundModel, shares: dict[str, float]) -> SoundVerdict | None:
    name = model.spec.name
    if model.heart:
        share = shares["murmur"]
        present = share >= model.thresholds["murmur"]
        both = {"murmur present": share, "murmur absent": round(1.0 - share, 3)}
        label = "murmur present" if present else "murmur absent"
        return SoundVerdict(label, both[label], name, both, _heart_note(model.spec))
    if not model.diagnoses:
        return None
    groups = dict(zip(model.diagnoses, _rounded(heard.diagnoses[0]), strict=True))
    label = max(groups, key=groups.__getitem__)
    return SoundVerdict(label, groups[label], name, groups, _lung_note(model.spec))


def _lung_note(spec: ModelSpec) -> str:
    measured = _measured(spec, "recording_diagnosis_accuracy")
    error = _measured(spec, "recording_diagnosis_ece")
    each = _measured(spec, "recording_diagnosis_balanced_accuracy")
    balanced = "" if each is None else f", each group counted alike in {each.value:.1%}"
    said = "Weak evidence, not calibrated."
    if measured is not None and error is not None:
        said = (
            f"Weak evidence, not calibrated: of patients that were left out of training the likeliest group "
            f"was right in {measured.value:.0%} of recordings (95 % interval {measured.low:.0%} to "
            f"{measured.high:.0%}){balanced}, its probability off by {error.value:.0%} on average."
        )
    return f"{said} Device and disease go together in the training data. No diagnosis."


def _heart_note(spec: ModelSpec) -> str:
    measured, error = _measured(spec, "murmur_recording_auroc"), _measured(spec, "recordings_ece")
    said = "Calibrated on recordings of children."
    if measured is not None and error is not None:
        said = (
            f"Calibrated on recordings of children: of patients that were left out of training a recording "
            f"with a murmur ranked above one without in {measured.value:.0%} of pairs (95 % interval "
            f"{measured.low:.0%} to {measured.high:.0%}); the probability was off by {error.value:.0%} on "
            "average."
        )
    return f"{said} A murmur may be heard at another place of the chest. No diagnosis."


def _measured(spec: ModelSpec, name: str) -> Interval | None:
    """A figure of the card: of all folds where there are any."""
    return spec.metrics.get(f"cv_{name}", spec.metrics.get(name))


def _rounded(values: FloatArray) -> list[float]:
    return [round(float(value), 3) for value in values]
