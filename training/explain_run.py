"""Explain what a model says at a moment of a recording: which class, which step, the maps, the figure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from models import store
from models.cnn_lstm import CnnLstm
from models.errors import CannotExplain
from models.explain import Explanation, Method, explain
from models.spec import ModelSpec
from training.explain_figure import along_signal, draw
from training.explain_input import Example, example_of
from training.explain_out import Sheet

REACH_S: Final = 0.25
"""How far from the moment a step may lie that is explained for it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation with all that is drawn of it."""

    spec: ModelSpec
    example: Example
    explanation: Explanation
    label: str
    head: str
    at_s: float
    probabilities: dict[str, float]


def _pick_head(spec: ModelSpec, label: str | None) -> str:
    """Which head has the class: the step head's where it is not said."""
    if label is None:
        return "step" if spec.step_classes else "window"
    for head, classes in (("step", spec.step_classes), ("window", spec.window_classes)):
        if label in classes:
            return head
    known = ", ".join((*spec.step_classes, *spec.window_classes))
    raise CannotExplain(f"--class {label}: {spec.name} has no such class; there are {known}")


def _pick_step(
    model: CnnLstm, spec: ModelSpec, example: Example, at_s: float, wanted: int | None
) -> tuple[int, int]:
    """Step and class to explain.

    A class that is asked for is explained at the step near the moment where it is likeliest; else the
    likeliest class of the nearest step that is more likely something than ``none``.
    """
    with torch.inference_mode():
        said = model(torch.from_numpy(example.x)).step_logits[0].softmax(-1).numpy()
    distance = np.abs(np.nan_to_num(example.step_s, nan=np.inf) - at_s)
    if wanted is not None:
        near = np.flatnonzero(distance <= max(REACH_S, float(distance.min())))
        return int(near[said[near, wanted].argmax()]), wanted
    something = np.flatnonzero((said[:, 0] < 0.5) & np.isfinite(distance))
    if not len(something):
        raise CannotExplain(
            f"--at {at_s:g}: {spec.name} says {spec.step_classes[0]} all around; give --class, one of "
            f"{', '.join((*spec.step_classes[1:], *spec.window_classes))}"
        )
    first = int(something[distance[something].argmin()])
    # A beat shares its probability between two steps.
    pair = something[np.abs(something - first) <= 1]
    step = int(pair[said[pair, 1:].sum(1).argmax()])
    return step, int(said[step, 1:].argmax()) + 1


def explain_moment(
    model_name: str,
    record: Path,
    at_s: float,
    *,
    label: str | None = None,
    lead: str | None = None,
    monitor: str = "ecg-cnn-lstm-1",
    method: Method = "hires_cam",
) -> Explained:
    """Explain a model's output at a moment of a recording.

    Parameters
    ----------
    label : str or None
        Class to explain; the likeliest where None.

    Raises
    ------
    CannotExplain, CannotAnnotate
        See :func:`training.explain_input.example_of`.
    """
    model, spec = store.load(model_name)
    head = _pick_head(spec, label)
    record = record.with_suffix("") if record.suffix in (".hea", ".dat") else record
    example = example_of(record, spec, at_s, lead, monitor, step=head == "step")
    if head == "step":
        wanted = None if label is None else spec.step_classes.index(label)
        step, index = _pick_step(model, spec, example, at_s, wanted)
        found = explain(model, example.x, step_class=index, step=np.array([step]), method=method)
        classes = spec.step_classes
    else:
        classes = spec.window_classes
        with torch.inference_mode():
            likeliest = int(model(torch.from_numpy(example.x)).window_logits[0].argmax())
        index = likeliest if label is None else classes.index(label)
        found = explain(model, example.x, window_class=index, method=method)
    with torch.inference_mode():
        output = model(torch.from_numpy(example.x))
    logits = output.step_logits[0, int(found.step[0])] if head == "step" else output.window_logits[0]
    probabilities = dict(zip(classes, logits.softmax(-1).tolist(), strict=True))
    return Explained(spec, example, found, classes[index], head, at_s, probabilities)


def title_of(one: Explained) -> str:
    """Model, record, moment, class and its probability."""
    return (
        f"{one.spec.name} on {one.example.name} at {one.at_s:g} s: "
        f"{one.label} {100 * one.probabilities[one.label]:.1f} %"
    )


def sheet_of(one: Explained) -> Sheet:
    """Figure and numbers, ready to be written."""
    found = one.explanation
    where = "the window" if one.head == "window" else f"{one.example.step_s[found.step[0]]:.2f} s"
    arrays = {
        "signal": one.example.signal, "start_s": np.array(one.example.start_s),
        "fs_hz": np.array(one.example.fs_hz), "along_signal": along_signal(one.example, found),
        "step_s": one.example.step_s, "cam": found.cam[0], "attention": found.attention[0],
        "self_attention": found.self_attention[0],
    }  # fmt: skip
    rows = (("model", one.spec.description), ("weights", one.spec.sha256), ("explained", where))
    title = title_of(one)
    return Sheet(title, draw(one.example, found, title, one.at_s), rows, one.probabilities, arrays)
