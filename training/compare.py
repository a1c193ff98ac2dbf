"""Two models of one task on the same patients: every figure's difference by a paired bootstrap."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np

from models import store
from models.spec import ModelSpec
from training import metrics
from training.errors import CannotCompare
from training.evaluation import Cell, Counts, Predictions, Table
from training.metrics import Difference, FloatArray, IntArray
from training.report import files_of, table_lines
from training.report_json import clean
from training.report_page import facts, page, table
from training.report_run import Scored, score, side_names
from training.report_summary import groups
from training.session import on_own_records
from training.task import Names

LOWER_IS_BETTER: Final = ("brier",)


@dataclass(frozen=True, slots=True)
class Group:
    """Differences of the figures of one classification, or of one of the task's own counts."""

    title: str
    items: int
    patients: int
    differences: dict[str, Difference]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two models say of the same records.

    Attributes
    ----------
    groups : tuple of Group
        With paired intervals.
    alone : dict of str to (float, float)
        The task's figures that are known only as numbers: of A and of B.
    """

    a: ModelSpec
    b: ModelSpec
    side: str
    names: Names
    groups: tuple[Group, ...]
    alone: dict[str, tuple[float, float]]


def _pairs(a: Predictions, b: Predictions) -> tuple[IntArray, IntArray]:
    """Indices of the items that both have, in one order.

    Raises
    ------
    CannotCompare
        They share no item, or differ on what is true.
    """
    if a.classes != b.classes:
        raise CannotCompare(f"{a.title}: classes {', '.join(a.classes)} and {', '.join(b.classes)}")
    place = {item: i for i, item in enumerate(b.item)}
    own = np.array([i for i, item in enumerate(a.item) if item in place], dtype=np.int64)
    if not len(own):
        raise CannotCompare(f"{a.title}: the two models were scored on no common item")
    other = np.array([place[a.item[i]] for i in own], dtype=np.int64)
    if not np.array_equal(a.truth[own], b.truth[other]):
        raise CannotCompare(f"{a.title}: the two models were scored against different truths")
    return own, other


def _figures(counts: FloatArray, brier: FloatArray, of: Predictions) -> dict[str, FloatArray]:
    """All figures of confusions (..., K, K) and of Brier sums (..., 2)."""
    found = metrics.overall_figures(counts, of.outside)
    for name, values in metrics.class_figures(counts, of.outside).items():
        found |= {f"{name}_{label}": values[..., k] for k, label in enumerate(of.classes) if k != of.outside}
    return found | {"brier": metrics.ratio(brier[..., 0], brier[..., 1])}


def compare_predictions(a: Predictions, b: Predictions, seed: int = 0) -> Group:
    """Differences of every figure of a classification, on the items that both models have.

    Raises
    ------
    CannotCompare
        They share no item, or differ on classes or truth.
    """
    own, other = _pairs(a, b)
    patients, group = groups(tuple(a.patient[i] for i in own))
    truth, weight, k = a.truth[own], a.weight[own], len(a.classes)
    whole, drawn = [], []
    for one, index in ((a, own), (b, other)):
        counts = metrics.confusion(truth, one.decided[index], weight, group, len(patients), k)
        squares = ((one.probabilities[index] - np.eye(k)[truth]) ** 2).sum(1)
        sums = [np.bincount(group, weights=w, minlength=len(patients)) for w in (weight * squares, weight)]
        brier: FloatArray = np.stack(sums, axis=1).astype(np.float64)
        whole.append(_figures(counts.sum(0), brier.sum(0), a))
        drawn.append(_figures(metrics.draw(counts, seed=seed), metrics.draw(brier, seed=seed), a))
    differences = {
        name: metrics.difference(
            float(value), float(whole[1][name]), drawn[0][name], drawn[1][name],
            lower_is_better=name in LOWER_IS_BETTER,
        )
        for name, value in whole[0].items()
    }  # fmt: skip
    return Group(a.title, len(own), len(patients), differences)


def compare_counts(a: Counts, b: Counts, seed: int = 0) -> Group:
    """Differences of a task's own figures, on the patients that both models have.

    Raises
    ------
    CannotCompare
        They share no patient.
    """
    names = sorted(set(a.patients) & set(b.patients))
    if not names:
        raise CannotCompare(f"{a.title}: the two models were scored on no common patient")
    tables = [[one.patients[name] for name in names] for one in (a, b)]
    return Group(a.title, 0, len(names), metrics.paired_bootstrap(tables[0], tables[1], a.figures, seed=seed))


def compare_scored(a: Scored, b: Scored, side: str = "test") -> Comparison:
    """Compare two models that were scored on the same records.

    Raises
    ------
    CannotCompare
        They are of different tasks, or nothing of what they say can be paired.
    """
    if a.spec.task != b.spec.task:
        raise CannotCompare(
            f"{a.spec.name} is for the task {a.spec.task}, {b.spec.name} for {b.spec.task}: "
            "only models of one task are compared"
        )
    other = {one.title: one for one in b.evaluation.predictions}
    found = [
        compare_predictions(one, other[one.title])
        for one in a.evaluation.predictions
        if one.title in other and len(one.truth)
    ]
    counts = {one.title: one for one in b.evaluation.counts}
    found += [compare_counts(one, counts[one.title]) for one in a.evaluation.counts if one.title in counts]
    paired = {name for group in found for name in group.differences}
    alone = {
        name: (figure.value, b.evaluation.metrics[name].value)
        for name, figure in a.evaluation.metrics.items()
        if name in b.evaluation.metrics and name not in paired
    }
    if not found and not alone:
        raise CannotCompare(f"{a.spec.name} and {b.spec.name}: nothing that both say could be paired")
    return Comparison(a.spec, b.spec, side, a.names, tuple(found), alone)


def check_held_out(spec: ModelSpec, names: Names, side: str) -> None:
    """Refuse records that the model was trained on.

    Raises
    ------
    CannotCompare
        Names them.
    """
    seen = sorted(set(names) & set(spec.split.get("train", ()))) if side != "train" else []
    if seen:
        raise CannotCompare(
            f"{spec.name} was trained on {', '.join(seen[:5])}: they are no {side} records for it"
        )


def compare_models(
    a: str,
    b: str,
    data: Path,
    side: str = "test",
    device: str = "cpu",
    own: tuple[Path, Path | None] | None = None,
) -> Comparison:
    """Score two models on the records that are on this side for both, and compare them.

    Parameters
    ----------
    own : tuple of Path and Path or None, or None
        Compare on a user's own records instead: their folder and label map, which says who is on this side.

    Raises
    ------
    CannotCompare
        They are of different tasks, share no record of this side, or one was trained on the other's.
    """
    specs = [store.read_spec(name) for name in (a, b)]
    if specs[0].task != specs[1].task:
        raise CannotCompare(f"{a} is for the task {specs[0].task}, {b} for {specs[1].task}")
    asked = specs if own is None else [on_own_records(spec, *own) for spec in specs]
    sides = [side_names(spec, data, side) for spec in asked]
    names = tuple(name for name in sides[0] if name in set(sides[1]))
    if not names:
        raise CannotCompare(f"{a} and {b} have no {side} record in common")
    for spec in specs:
        check_held_out(spec, names, side)
    scored = [score(name, data, side, device, names, own) for name in (a, b)]
    return compare_scored(scored[0], scored[1], side)


def _names(comparison: Comparison) -> tuple[str, str]:
    """Names of the two models, with the begin of their SHA-256 where the names are equal."""
    a, b = comparison.a, comparison.b
    if a.name != b.name:
        return a.name, b.name
    return f"{a.name} ({a.sha256[:8]})", f"{b.name} ({b.sha256[:8]})"


def _shown(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "–"


def _row(name: str, d: Difference) -> tuple[Cell, ...]:
    bounds = f"{d.low:+.4f} to {d.high:+.4f}" if np.isfinite(d.low) else metrics.TOO_FEW
    between = f"{d.value:+.4f} ({bounds})" if np.isfinite(d.value) else "–"
    share = f"{100 * d.for_b:.1f}" if np.isfinite(d.for_b) else "–"
    return name, _shown(d.a), _shown(d.b), between, share


def tables(comparison: Comparison) -> list[Table]:
    """The comparison as tables: each figure of A and B, B less A with its interval, draws in favour of B."""
    a, b = (f"{letter}: {name}" for letter, name in zip("AB", _names(comparison), strict=True))
    head = ("figure", a, b, "B − A (95 %)", "draws for B, %")
    found = [
        Table(
            group.title,
            head,
            tuple(_row(name, d) for name, d in group.differences.items()),
            f"{f'{group.items} items of ' if group.items else ''}{group.patients} patients, "
            f"drawn with replacement {metrics.DRAWS} times, the same for both",
        )
        for group in comparison.groups
    ]
    if comparison.alone:
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (name, _shown(x), _shown(y), f"{y - x:+.4f}") for name, (x, y) in comparison.alone.items()
        )
        note = "the task gives no counts a patient for them, so there is no interval of the difference"
        found.append(Table("Further figures of the task", ("figure", a, b, "B − A"), rows, note))
    return found


def to_plain(comparison: Comparison, about: Mapping[str, str]) -> dict[str, Any]:
    """The comparison as plain data."""
    plain: dict[str, Any] = clean(
        {
            "schema": "comparison/1",
            "a": {"name": comparison.a.name, "sha256": comparison.a.sha256},
            "b": {"name": comparison.b.name, "sha256": comparison.b.sha256},
            "task": comparison.a.task,
            "side": comparison.side,
            "records": comparison.names,
            "run": dict(about),
            "groups": [asdict(group) for group in comparison.groups],
            "alone": comparison.alone,
        }
    )
    return plain


def write(comparison: Comparison, out: Path, about: Mapping[str, str]) -> dict[str, Path]:
    """Write the comparison as a page and as JSON, as Markdown too for ``FILE.md``."""
    files = files_of(out, f"{comparison.a.name}-against-{comparison.b.name}")
    files["html"].parent.mkdir(parents=True, exist_ok=True)
    title = f"{' against '.join(_names(comparison))}: {comparison.side} patients"
    rows = [
        ("A", f"{comparison.a.name}, SHA-256 {comparison.a.sha256}"),
        ("B", f"{comparison.b.name}, SHA-256 {comparison.b.sha256}"),
        ("records", ", ".join(comparison.names)),
        *about.items(),
    ]
    body = [f"<h1>{escape(title)}</h1>", facts(rows), *(table(one) for one in tables(comparison))]
    files["html"].write_text(page(title, body), encoding="utf-8")
    plain = json.dumps(to_plain(comparison, about), indent=1, allow_nan=False)
    files["json"].write_text(plain + "\n", encoding="utf-8")
    if "md" in files:
        lines = [f"## {title}", "", *(line for one in tables(comparison) for line in table_lines(one))]
        files["md"].write_text("\n".join(lines), encoding="utf-8")
    return files
