"""Pieces of HTML that the parts of an analysis' report share; all text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape


def table(rows: Sequence[Mapping[str, str]], most: int) -> str:
    """Rows as a table, columns by their names; empty where there are none, and said where some are left out.

    Parameters
    ----------
    rows : sequence of mapping of str to str
        Cells by column; a column that a row lacks stays empty in it.
    most : int
        Rows that are set.
    """
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(row.get(name, ''))}</td>" for name in names) + "</tr>"
        for row in rows[:most]
    )
    left = len(rows) - most
    rest = f"<p>{left} more are in the findings (JSON).</p>" if left > 0 else ""
    return f"<table><tr>{head}</tr>{body}</table>{rest}"
