"""Figures of the networks for sounds in plain words, and which of them are too weak to rely on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from models.spec import Interval, ModelSpec

POOLED: Final = "cv_"
"""Before figures of all patients, each scored by a fold's network that was trained without them."""

WEAK_PART: Final = 0.75
"""Less of the way from guessing to the goal is weak."""

WEAK: Final = "WEAK: do not rely on it"


@dataclass(frozen=True, slots=True)
class Question:
    """A figure as a clinician would ask for it.

    ``guess`` is what guessing reaches, ``goal`` what the project asks for; ``None`` where none is set. A
    ``note`` stands for a verdict.
    """

    name: str
    words: str
    guess: float | None = None
    goal: float | None = None
    note: str = ""


QUESTIONS: Final = (
    Question("murmur_patient_auroc", "Patients with a murmur told from those without (AUROC)", 0.5, 0.9),
    Question("patients_recall_murmur", "Of patients with a murmur it finds"),
    Question("patients_recall_no murmur", "Of patients without one it leaves alone"),
    Question("s1_s2_f1", "S1 and S2 found to 40 ms (F1)", 0.0, 0.95),
    Question("envelope_s1_s2_f1", "The same of a plain envelope, without a network (F1)"),
    Question("crackle_auroc", "Breaths with crackles told from those without (AUROC)", 0.5, 0.85),
    Question("wheeze_auroc", "Breaths with wheezes told from those without (AUROC)", 0.5, 0.85),
    Question("icbhi_score", "ICBHI Score: mean of the next two", 0.5, 0.65),
    Question("icbhi_sensitivity", "Of abnormal breaths it names the right kind", 0.0, 0.5),
    Question("icbhi_specificity", "Of normal breaths it leaves alone"),
    Question(
        "without_218_icbhi_score", "ICBHI Score without patient 218, who is on both official sides", 0.5, 0.65
    ),
    Question(
        "patient_diagnosis_balanced_accuracy",
        "Patients: healthy, chronic or acute (each counted alike; guessing: 0.333)",
        note=f"{WEAK}: device and disease go together in the data",
    ),
    Question("crackle_map_ratio", "Explanations: what spoke for crackles, in against outside of them", 1.0),
    Question("wheeze_map_ratio", "Explanations: what spoke for wheezes, in against outside of them", 1.0),
)

SHORT: Final = {
    "murmur_patient_auroc": "murmur by patient AUROC",
    "s1_s2_f1": "S1 and S2 F1",
    "crackle_auroc": "crackle AUROC",
    "wheeze_auroc": "wheeze AUROC",
    "icbhi_score": "ICBHI Score",
}
"""Figures of the list of models."""

_DEVICE: Final = re.compile(r"^device_(.+)_(crackle_auroc|wheeze_auroc|icbhi_score)$")


def of_sound(spec: ModelSpec) -> bool:
    """Whether this is the card of a network for sounds."""
    return spec.signal == "sound"


def best(metrics: Mapping[str, Interval]) -> tuple[dict[str, Interval], bool]:
    """Return figures of all patients without their prefix; else those of the test side, and ``False``."""
    pooled = {name.removeprefix(POOLED): one for name, one in metrics.items() if name.startswith(POOLED)}
    return (pooled, True) if pooled else (dict(metrics), False)


def verdict(question: Question, figure: Interval) -> str:
    """Say of a figure what may be made of it."""
    guess, goal = question.guess, question.goal
    if question.note:
        return question.note
    if guess is None or not math.isfinite(figure.value):
        return ""
    if goal is None:
        better = math.isfinite(figure.low) and figure.low > guess
        return "better than chance" if better else f"{WEAK}: not shown to beat chance ({guess:g})"
    if figure.value < guess + WEAK_PART * (goal - guess):
        return f"{WEAK} (asked: {goal:g})"
    if figure.value < goal:
        return f"short of what is asked: {goal:g}"
    sure = math.isfinite(figure.low) and figure.low >= goal
    return f"reaches what is asked: {goal:g}" + ("" if sure else ", not for certain")


def rows(spec: ModelSpec) -> list[dict[str, str | int]]:
    """Return a row a question that the card answers."""
    figures, _ = best(spec.metrics)
    return [
        {
            "What": question.words,
            "Figure (95 %)": _figure(figures[question.name]),
            "Tested": figures[question.name].n,
            "What to make of it": verdict(question, figures[question.name]),
        }
        for question in QUESTIONS
        if question.name in figures
    ]


def device_rows(spec: ModelSpec) -> list[dict[str, str | int]]:
    """Return a row a device of the recordings, where the card tells them apart."""
    found: dict[str, dict[str, Interval]] = {}
    for name, figure in best(spec.metrics)[0].items():
        if match := _DEVICE.match(name):
            found.setdefault(match[1], {})[match[2]] = figure
    titles = {
        "crackle_auroc": "Crackles (AUROC)",
        "wheeze_auroc": "Wheezes (AUROC)",
        "icbhi_score": "ICBHI Score",
    }
    return [
        {
            "Device": device,
            **{title: _figure(figures[name]) if name in figures else "–" for name, title in titles.items()},
            "Breaths": next(iter(figures.values())).n,
        }
        for device, figures in sorted(found.items())
    ]


def key_figures(spec: ModelSpec) -> str:
    """Return the few figures that tell most on one line, weak ones called so."""
    figures, _ = best(spec.metrics)
    found = [
        (f"{words} {figures[one.name].value:.3f}", verdict(one, figures[one.name]).startswith(WEAK))
        for one in QUESTIONS
        if (words := SHORT.get(one.name)) and one.name in figures
    ]
    if found and all(weak for _, weak in found):
        return f"WEAK: {', '.join(words for words, _ in found)}"
    return ", ".join(f"{words} (weak)" if weak else words for words, weak in found)


def _figure(figure: Interval) -> str:
    if not math.isfinite(figure.value):
        return "–"
    if not math.isfinite(figure.low):
        return f"{figure.value:.3f} (too few patients for an interval)"
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"
