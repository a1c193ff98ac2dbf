"""Explain what a network of sounds says at a moment of a recording, and hold it against annotated cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from inference.analysis_findings import SoundMark
from inference.analysis_sound_hear import frames_of, hear_sound
from inference.analysis_sound_play import least_rate_hz
from inference.explanation_sound import SoundExplained, explain_window, load_listener
from ingest.readers import read_signal_files
from ingest.recording import Signal
from ingest.types import FloatArray, SignalKind, WideFloatArray
from models.errors import CannotExplain
from models.spec import ModelSpec
from training.errors import BadAnnotation
from training.explain_out import Sheet
from training.explain_sound_figure import draw_sound
from training.heart_records import read_segments
from training.lung_records import TABLE, list_recordings, parse_name

KINDS: Final = {"lung": SignalKind.LUNG_SOUND, "heart": SignalKind.HEART_SOUND}
SYSTOLE: Final = 2
"""Of CirCor's states the one in which a murmur is looked for: diastolic ones are told by nobody here."""


@dataclass(frozen=True, slots=True)
class Span:
    """An annotated stretch: a breath, or a systole. ``sounds`` are the classes that it holds, or may hold."""

    label: str
    begin_s: float
    end_s: float
    sounds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExplainedSound:
    """An explanation with all that is drawn of it.

    Attributes
    ----------
    spec : ModelSpec
        Card of the network.
    name : str
        Recording and channel.
    at_s : float
        The moment that was asked for.
    found : SoundExplained
        Map and attention of its window.
    signal : Signal
        One channel.
    frames : ndarray of float32, shape (n_mels, n_frames)
        Log-mel frames of the window.
    borders_hz : ndarray of float64, shape (n_mels + 1,)
        Between which their bands lie.
    marks : list of SoundMark
        What the network marks within the window.
    annotated : list of Span
        What people marked within it; empty where there are no annotations.
    mass, share : float or None
        Of the map's mass and of the window's time, what lies inside annotated stretches with the class;
        ``None`` where nothing tells (no annotations, no such stretch, nothing but such).
    """

    spec: ModelSpec
    name: str
    at_s: float
    found: SoundExplained
    signal: Signal
    frames: FloatArray
    borders_hz: WideFloatArray
    marks: list[SoundMark]
    annotated: list[Span]
    mass: float | None
    share: float | None


def explain_sound(
    model_name: str, path: Path, at_s: float, *, label: str | None = None, channel: str | None = None
) -> ExplainedSound:
    """Explain a network's answer for the window around a moment of a sound.

    Parameters
    ----------
    model_name : str
        Shipped name or path of a card, of task lung or heart.
    path : Path
        A sound; annotations beside it are used where they are ICBHI's or CirCor's.
    at_s : float
        The moment.
    label : str or None
        Class to explain; the likeliest of crackle, wheeze, murmur where ``None``.
    channel : str or None
        The first where ``None``.

    Raises
    ------
    CannotExplain
        The moment is not in it, it is shorter than a window or sampled too slowly, or there is no such class
        or channel.
    BadRecording, BadAnnotation
        The sound or its annotations cannot be read.
    """
    network = load_listener(model_name)
    kind = KINDS[network.spec.task]
    signal = _channel(path, kind, channel)
    if not 0 <= at_s <= signal.duration_s:
        raise CannotExplain(f"--at {at_s:g}: {path} is {signal.duration_s:.1f} s long")
    if signal.fs_hz < least_rate_hz(kind):
        raise CannotExplain(
            f"{path}: {signal.fs_hz:g} samples a second; {kind} is judged from {least_rate_hz(kind):g} on"
        )
    made = frames_of(signal, network)
    found = explain_window(network, made.frames, made.begin_s, at_s, label)
    first = round((found.start_s - made.begin_s) * network.mel.frame_hz)
    annotated = [one for one in annotated_spans(path, kind) if _touches(found, one.begin_s, one.end_s)]
    mass, share = map_inside(found, annotated)
    heard = hear_sound(made, network, [], signal.duration_s)
    edges_hz = network.mel.band_edges_hz()
    return ExplainedSound(
        network.spec,
        f"{path.name}, {signal.channels[0]}",
        at_s,
        found,
        signal,
        made.frames[: network.mel.n_mels, first : first + network.window_frames],
        (edges_hz[:-1] + edges_hz[1:]) / 2,
        [] if heard is None else [one for one in heard.marks if _touches(found, one.begin_s, one.end_s)],
        annotated,
        mass,
        share,
    )


def _channel(path: Path, kind: SignalKind, wanted: str | None) -> Signal:
    """One channel of a sound: the first, or the one that is named."""
    (whole,) = read_signal_files(path, kind=kind).signals
    if wanted is not None and wanted not in whole.channels:
        raise CannotExplain(f"--lead {wanted}: {path} has {', '.join(whole.channels)}")
    at = 0 if wanted is None else whole.channels.index(wanted)
    return Signal(kind, (whole.channels[at],), whole.unit, whole.fs_hz, whole.samples[:, at : at + 1])


def _touches(found: SoundExplained, begin_s: float, end_s: float) -> bool:
    return begin_s < found.end_s and end_s > found.start_s


def annotated_spans(path: Path, kind: SignalKind) -> list[Span]:
    """What people marked in a recording of ICBHI or CirCor, in either layout; empty where nothing is there.

    Raises
    ------
    BadAnnotation
        A file of annotations is not as published.
    """
    if kind is SignalKind.HEART_SOUND:
        table = path.with_suffix(".tsv")
        if not table.is_file():
            return []
        marked = read_segments(table)
        rows = zip(marked.start_s.tolist(), marked.end_s.tolist(), marked.state.tolist(), strict=True)
        return [
            Span("systole", begin_s, end_s, ("murmur",)) for begin_s, end_s, state in rows if state == SYSTOLE
        ]
    folder = path.resolve().parent
    if (folder.parent / TABLE).is_file():
        folder = folder.parent
    elif not path.with_suffix(".txt").is_file() or not _is_icbhi(path.stem):
        return []
    of_this = (one for one in list_recordings(folder).values() if one.path.stem == path.stem)
    cycles = next((one.cycles for one in of_this), None)
    if cycles is None:
        return []
    found = []
    for begin_s, end_s, (crackle, wheeze) in zip(
        cycles.start_s.tolist(), cycles.end_s.tolist(), cycles.labels.tolist(), strict=True
    ):
        sounds = (("crackle",) if crackle else ()) + (("wheeze",) if wheeze else ())
        found.append(Span(" and ".join(sounds) or "normal", begin_s, end_s, sounds))
    return found


def _is_icbhi(stem: str) -> bool:
    try:
        parse_name(stem)
    except BadAnnotation:
        return False
    return True


def map_inside(found: SoundExplained, annotated: Sequence[Span]) -> tuple[float | None, float | None]:
    """Share of the map's mass, and of the window's time, inside annotated stretches with the explained class.

    Both ``None`` where the map is empty, or where no step or every step lies inside: nothing to compare.
    """
    per_step = found.cam.sum(axis=0, dtype=np.float64)
    times_s = found.start_s + (np.arange(len(per_step)) + 0.5) * found.step_s
    inside = np.zeros(len(per_step), dtype=np.bool_)
    for one in annotated:
        if found.label in one.sounds:
            inside |= (times_s >= one.begin_s) & (times_s < one.end_s)
    if not per_step.any() or not inside.any() or inside.all():
        return None, None
    return float(per_step[inside].sum() / per_step.sum()), float(inside.mean())


def said_of_map(one: ExplainedSound) -> str:
    """Whether the map points to what people marked, in words."""
    where = "systoles" if one.spec.task == "heart" else f"breaths annotated with {one.found.label}"
    if one.mass is None or one.share is None:
        return f"no figure of the map: nothing to compare in this window ({where})"
    return (
        f"{one.mass:.0%} of the map lies in {where}, which take {one.share:.0%} of the window: "
        f"ratio {one.mass / one.share:.2f} (1 is chance)"
    )


def sheet_of(one: ExplainedSound) -> Sheet:
    """Title, figure and numbers, ready to be written."""
    found = one.found
    title = f"{one.spec.name} on {one.name} at {one.at_s:g} s: {found.label} {100 * found.probability:.1f} %"
    rows = (
        ("model", one.spec.description),
        ("weights", one.spec.sha256),
        ("explained", f"the window from {found.start_s:.2f} to {found.end_s:.2f} s, HiResCAM"),
        ("map against annotations", said_of_map(one)),
        ("notice", one.spec.notice),
    )
    arrays = {
        "cam": found.cam, "edges_hz": np.array(found.edges_hz), "attention": found.attention,
        "step_s": np.array(found.step_s), "start_s": np.array(found.start_s), "frames": one.frames,
        "borders_hz": one.borders_hz,
    }  # fmt: skip
    return Sheet(title, draw_sound(one, title), rows, found.probabilities, arrays)
