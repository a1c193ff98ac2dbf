"""Cards as text: the list of models, and one model's card to be read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from models.spec import Interval, ModelSpec
from models.verdict import VerdictSpec

HEADLINES: Final = (
    "cv_murmur_patient_auroc",
    "cv_s1_s2_f1",
    "cv_crackle_auroc",
    "cv_wheeze_auroc",
    "cv_icbhi_score",
    "mean_f1",
    "score",
    "challenge_score",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "qrs_se",
    "qrs_ppv",
    "veb_f1",
    "sveb_f1",
    "macro_f1",
    "accuracy",
)
"""Figures that a list shows, best known first."""

SHOWN: Final = 4


def headlines(metrics: dict[str, Interval]) -> dict[str, Interval]:
    """The few figures of a card that tell most: those of :data:`HEADLINES`, else its first ones."""
    exact = [name for name in HEADLINES if name in metrics]
    ending = [name for name in metrics if name.endswith(tuple(f"_{end}" for end in HEADLINES))]
    # The longer a name, the narrower what it tells of.
    names = list(dict.fromkeys([*exact, *sorted(ending, key=len), *metrics]))[:SHOWN]
    return {name: metrics[name] for name in names}


def _figure(figure: Interval) -> str:
    if not math.isfinite(figure.value):
        return "–"
    if not math.isfinite(figure.low):
        return f"{figure.value:.4g} (too few patients for an interval)"
    return f"{figure.value:.4g} ({figure.low:.4g} to {figure.high:.4g})"


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _headline_text(metrics: dict[str, Interval]) -> str:
    return ", ".join(f"{name} {figure.value:.4g}" for name, figure in headlines(metrics).items())


def _verdict_row(spec: VerdictSpec) -> tuple[str, ...]:
    size = sum(len(kind.features) + 1 for kind in spec.kinds.values())
    return spec.name, "alarm verdict", "ecg and pulse", f"{size:,}", "–", _headline_text(spec.metrics)


def listing(specs: Sequence[ModelSpec], verdicts: Sequence[VerdictSpec] = ()) -> str:
    """One line a model: name, task, signal, size, headline figures."""
    head = ("NAME", "TASK", "SIGNAL", "PARAMETERS", "MFLOP", "FIGURES")
    rows: list[tuple[str, ...]] = [
        (
            spec.name,
            spec.task,
            f"{spec.signal} {spec.fs_hz:g} Hz",
            f"{spec.cost.parameters:,}",
            f"{spec.cost.mflop_per_window:g}",
            _headline_text(spec.metrics),
        )
        for spec in specs
    ]
    rows += [_verdict_row(spec) for spec in verdicts]
    return "\n".join(_columns([head, *rows])) if rows else "no models are shipped"


def _input(spec: ModelSpec) -> str:
    steps = f"a step {spec.step_s:g} s" if spec.step_s else "a step a beat"
    return (
        f"{spec.signal}, {spec.channels} lead(s), {spec.fs_hz:g} Hz, {spec.band_hz[0]:g} to "
        f"{spec.band_hz[1]:g} Hz, {spec.unit}; windows of {spec.window_s:g} s each {spec.hop_s:g} s, {steps}"
    )


def _parts(spec: ModelSpec) -> str:
    config = spec.architecture
    parts = [f"{config.front_end.kind} front end {config.front_end.widths}"]
    parts += [f"bidirectional LSTM of {config.hidden}"] if config.recurrent else []
    parts += [f"attention of {config.heads} heads with a skip"] if config.attention else []
    return ", ".join(parts)


def description(spec: ModelSpec) -> str:
    """A card to be read."""
    cost = spec.cost
    rows = [
        ("task", spec.task),
        ("input", _input(spec)),
        ("scaling", spec.normalisation),
        ("network", _parts(spec)),
        ("size", f"{cost.parameters:,} parameters, {cost.mflop_per_window:g} MFLOP a window"),
        ("classes of a step", ", ".join(spec.step_classes)),
        ("classes of a window", ", ".join(spec.window_classes)),
        ("thresholds", ", ".join(f"{name} {value:g}" for name, value in spec.thresholds.items())),
        ("trained on", spec.data),
        *((f"{side} side", _names(names)) for side, names in spec.split.items()),
        ("code", spec.code_commit),
        ("figures by code", spec.metrics_code_commit),
        ("weights", f"SHA-256 {spec.sha256}"),
    ]
    lines = [spec.name, spec.description, ""]
    width = max(len(name) for name, _ in rows)
    lines += [f"{name.ljust(width)}  {text}" for name, text in rows if text]
    if spec.metrics:
        lines += ["", "Figures with 95 % intervals (n)"]
        lines += _columns([(f"  {name}", _figure(f), str(f.n)) for name, f in spec.metrics.items()])
    shown = {k: v for k, v in spec.training.items() if not k.startswith("history.")}
    if shown:
        lines += ["", "Training"]
        lines += _columns([(f"  {name}", str(value)) for name, value in shown.items()])
    if spec.caveats:
        lines += ["", "Caveats", *(f"  - {text}" for text in spec.caveats)]
    return "\n".join([*lines, "", spec.notice])


def _names(names: Sequence[str]) -> str:
    text = ", ".join(names[:12])
    return f"{text}, and {len(names) - 12} more" if len(names) > 12 else text
