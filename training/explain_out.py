"""Writing an explanation: overlay as a figure, page with its numbers, or its arrays."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from models.errors import CannotExplain
from training.evaluation import Table
from training.report_page import facts, page, table

FIGURES: Final = (".png", ".svg", ".pdf")
ENDINGS: Final = (*FIGURES, ".html", ".npz")
DPI: Final = 150

Number = np.floating | np.integer
Array = npt.NDArray[Number]


@dataclass(frozen=True, slots=True)
class Sheet:
    """An explanation that is ready to be written.

    Attributes
    ----------
    title : str
        Model, record, moment, class and its probability.
    figure : Figure
        The overlay.
    facts : tuple of (str, str)
        What a page says above it.
    probabilities : dict of str to float
        Of all classes of the head.
    arrays : mapping of str to ndarray
        What ``.npz`` holds.
    """

    title: str
    figure: Figure
    facts: tuple[tuple[str, str], ...]
    probabilities: dict[str, float]
    arrays: Mapping[str, Array]


def check_ending(out: Path) -> None:
    """Refuse a suffix that cannot be written, before anything is computed.

    Raises
    ------
    CannotExplain
        Names those that can.
    """
    if out.suffix not in ENDINGS:
        raise CannotExplain(f"--out {out}: {', '.join(ENDINGS)} can be written")


def write_sheet(sheet: Sheet, out: Path) -> Path:
    """Write as PNG, SVG or PDF, as a page (``.html``), or the arrays (``.npz``), by the suffix.

    Raises
    ------
    CannotExplain
        Another suffix.
    """
    check_ending(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix in FIGURES:
        sheet.figure.savefig(out, dpi=DPI)
    elif out.suffix == ".npz":
        np.savez(out, allow_pickle=False, **sheet.arrays)
    else:
        held = io.BytesIO()
        sheet.figure.savefig(held, format="png", dpi=DPI)
        image = base64.b64encode(held.getvalue()).decode()
        rows = tuple((name, f"{100 * p:.2f}") for name, p in sheet.probabilities.items())
        body = [
            f"<h1>{escape(sheet.title)}</h1>",
            facts(list(sheet.facts)),
            f'<img alt="{escape(sheet.title)}" src="data:image/png;base64,{image}">',
            table(Table("Probabilities", ("class", "percent"), rows)),
        ]
        out.write_text(page(sheet.title, body), encoding="utf-8")
    return out
