"""What a model would have seen at a moment of a recording, and where on the recording its steps lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from models import store
from models.errors import CannotExplain
from models.spec import BeatsFrontEnd, ModelSpec
from training.annotate import find_beats, run_whole
from training.annotate_lead import Lead, read_lead
from training.streaming import FinalBeats

FloatArray = npt.NDArray[np.float32]
WideFloatArray = npt.NDArray[np.float64]

STEP_PLACE: Final = 0.75
"""Where in a window the moment lies whose step is explained: with a past and a little future."""

MARGIN_S: Final = 0.6


@dataclass(frozen=True, slots=True)
class Example:
    """One input of a model with its place on the recording.

    Attributes
    ----------
    x : ndarray of float32, shape (1, …)
        As the front end takes it.
    signal : ndarray of float32, shape (n,)
        What is drawn, mV.
    start_s : float
        Seconds of the recording at its first sample.
    step_s : ndarray of float64, shape (n_steps,)
        Seconds of the recording at each step; NaN for beats that only fill up.
    beat_span_s : (float, float) or None
        How far a beat's piece of signal reaches before and after its step; None where steps are no beats.
    """

    name: str
    x: FloatArray
    signal: FloatArray
    fs_hz: float
    start_s: float
    step_s: WideFloatArray
    beat_span_s: tuple[float, float] | None = None


def _title(path: Path, lead: Lead) -> str:
    return f"{path.parent.name}/{path.name}, {lead.name}"


def _check_time(path: Path, lead: Lead, at_s: float) -> None:
    whole_s = lead.n_samples / lead.fs_hz
    if not 0 <= at_s <= whole_s:
        raise CannotExplain(f"--at {at_s:g}: {path} is {whole_s:.1f} s long")


def window_example(path: Path, spec: ModelSpec, at_s: float, lead: str | None, *, step: bool) -> Example:
    """A window of signal around a moment (``step``), or one that ends with it."""
    found = read_lead(path, spec, lead)
    _check_time(path, found, at_s)
    place = STEP_PLACE if step else 1.0
    length = spec.window_samples
    begin = round((at_s + found.delay_s - place * spec.window_s) * spec.fs_hz)
    begin = min(max(0, begin), len(found.signal) - length)
    part = found.signal[begin : begin + length]
    start_s = begin / spec.fs_hz - found.delay_s
    steps = start_s + np.arange(spec.n_steps, dtype=np.float64) * spec.step_s
    return Example(_title(path, found), part[None, None], part, spec.fs_hz, start_s, steps)


def _found_beats(path: Path, at_s: float, lead: str | None, monitor: str) -> tuple[Lead, FinalBeats]:
    """A lead with its beats as the monitor's network finds them; at least one."""
    network, spec = store.load(monitor)
    found = read_lead(path, spec, lead)
    _check_time(path, found, at_s)
    beats = find_beats(run_whole(network, spec, found.signal), spec)
    if not len(beats.time_s):
        raise CannotExplain(f"{path}: {monitor} finds no beat in it")
    return found, beats


def beats_example(path: Path, spec: ModelSpec, at_s: float, lead: str | None, monitor: str) -> Example:
    """The beats up to the one after the beat nearest to a moment (task ``beats``)."""
    from models.beat_rows import AFTER, BEFORE, FS_HZ, set_next
    from training.beats_records import rows_of

    found, heard = _found_beats(path, at_s, lead, monitor)
    beat_s = heard.time_s
    nearest = int(np.abs(beat_s - found.delay_s - at_s).argmin())
    last = min(nearest + 1, len(beat_s) - 1)
    peaks = np.rint(beat_s[: last + 1] * FS_HZ).astype(np.int64)
    beats = round(spec.window_s)
    rows = rows_of(found.signal, peaks)[-beats:]
    set_next(rows[-1:], np.full(1, np.nan))
    x = np.zeros((1, beats, rows.shape[1]), dtype=np.float32)
    x[0, beats - len(rows) :] = rows
    steps = np.full(beats, np.nan)
    steps[beats - len(rows) :] = peaks[-beats:] / FS_HZ - found.delay_s
    first = max(0, round((np.nanmin(steps) + found.delay_s - MARGIN_S) * FS_HZ))
    end = min(len(found.signal), round((np.nanmax(steps) + found.delay_s + MARGIN_S) * FS_HZ))
    return Example(
        _title(path, found),
        x,
        found.signal[first:end],
        FS_HZ,
        first / FS_HZ - found.delay_s,
        steps,
        (BEFORE / FS_HZ, AFTER / FS_HZ),
    )


def af_example(path: Path, spec: ModelSpec, at_s: float, lead: str | None, monitor: str) -> Example:
    """The beats of the window that ends with a moment (task ``af``)."""
    from training.af_beats import BEFORE, FS_HZ, SEGMENT, fill_gaps
    from training.af_predict import Spans, rows_of
    from training.af_records import Lead as AfLead

    found, beats = _found_beats(path, at_s, lead, monitor)
    whole_s = len(found.signal) / FS_HZ
    begin_s = max(0.0, min(at_s + found.delay_s, whole_s) - spec.window_s)
    duration_s = min(spec.window_s, whole_s - begin_s)
    rhythm = np.zeros(len(found.signal), dtype=np.uint8)
    one = AfLead(found.name, found.signal, beats.time_s, beats.probability.astype(np.float32), -1, rhythm)
    span = Spans(np.zeros(1, dtype=np.int64), np.array([begin_s]), np.array([duration_s]))
    first, last = np.searchsorted(beats.time_s, [begin_s, begin_s + duration_s])
    steps, _ = fill_gaps(beats.time_s[first:last] - begin_s, duration_s)
    low = round(begin_s * FS_HZ)
    return Example(
        _title(path, found),
        rows_of([one], span),
        found.signal[low : low + round(duration_s * FS_HZ)],
        FS_HZ,
        begin_s - found.delay_s,
        np.asarray(steps + begin_s - found.delay_s, dtype=np.float64),
        (BEFORE / FS_HZ, (SEGMENT - BEFORE) / FS_HZ),
    )


def _of_beats(spec: ModelSpec, row: int) -> Callable[[Path, ModelSpec, float, str | None, str], Example]:
    """How the rows of a model whose steps are beats are made: told by its task and their width."""
    from models.beat_rows import ROW
    from training.af_beats import WIDTH

    makers = {("beats", ROW): beats_example, ("af", WIDTH): af_example}
    if (spec.task, row) not in makers:
        raise CannotExplain(
            f"{spec.name}: rows of {row} numbers a beat for the task {spec.task} are not made here; call "
            "models.explain.explain with the task's own batch"
        )
    return makers[spec.task, row]


def example_of(
    path: Path, spec: ModelSpec, at_s: float, lead: str | None, monitor: str, *, step: bool
) -> Example:
    """What the model would have seen.

    Parameters
    ----------
    at_s : float
        Seconds of the recording.
    lead : str or None
        Channel; the first ECG lead in mV where None.
    monitor : str
        Model that finds the beats for one whose steps are beats.
    step : bool
        Whether a step's output is explained, not the window's.

    Raises
    ------
    CannotAnnotate
        The recording cannot be used: see :func:`training.annotate_lead.read_lead`.
    CannotExplain
        The moment is not in it, or the model's input is not made of one recording's lead.
    """
    front_end = spec.architecture.front_end
    if isinstance(front_end, BeatsFrontEnd):
        return _of_beats(spec, front_end.row)(path, spec, at_s, lead, monitor)
    if spec.channels != 1:
        raise CannotExplain(f"{spec.name} takes {spec.channels} leads; only models of one lead are drawn")
    return window_example(path, spec, at_s, lead, step=step)
