"""An evaluation as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from models.spec import ModelSpec
from training.evaluation import Evaluation, Table


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def table_lines(table: Table) -> list[str]:
    """One table, with its title and note."""
    note = [f"{table.note[0].upper()}{table.note[1:]}.", ""] if table.note else []
    rows = [_row(row) for row in table.rows]
    return [f"### {table.title}", "", *note, _row(table.head), _row("---" for _ in table.head), *rows, ""]


def to_markdown(evaluation: Evaluation, spec: ModelSpec, side: str) -> str:
    """All tables of an evaluation under the name of its model."""
    cost = spec.cost
    lines = [
        f"## {spec.name}: {side}",
        "",
        f"{cost.parameters} parameters, {cost.mflop_per_window} MFLOP a window, "
        f"{100 * cost.recurrent_share:.1f} % of it recurrent. "
        f"Weights {spec.sha256[:12]}, code {spec.code_commit}.",
        f"Thresholds {spec.thresholds}. Percent, with 95 % intervals by bootstrap over patients.",
        "",
        *(line for note in evaluation.notes for line in (note, "")),
        *(line for table in evaluation.tables for line in table_lines(table)),
    ]
    return "\n".join(lines).rstrip() + "\n"
