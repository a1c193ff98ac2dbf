"""What was annotated in an EDF+ or BDF+ file: read within bounds, and seizures told from the rest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from inference.analysis_eeg_parts import EegComparison, EegMark, EegSeizure
from inference.analysis_unpack import shown
from models.szcore import score_events

MOST: Final = 2_000
MOST_NAMED: Final = 3
MOST_CHARACTERS: Final = 60
POINT_S: Final = 1.0
"""Length that a moment without a duration is given."""

_SEIZURE: Final = re.compile(
    r"(?<![a-z])(seizures?|seiz|sz|[a-z]{2}sz|ictal|anfall|anf[aä]lle|krampfanfall|crise|convulsions?)(?![a-z])",
    re.IGNORECASE,
)
_NONE: Final = re.compile(
    r"(?<![a-z])(no(?!\.)|not an?|without|possible|suspected|before|after|post|pre|inter|peri|pseudo"
    r"|history of|keine?|nach|vor)[\s_-]*(any\s+|the\s+|an?\s+|further\s+)?"
    r"(seiz|sz|ictal|anfall|anf[aä]lle|krampf|crise|convuls|[a-z]{2}sz)"
    r"|\?|non-?\s?(seiz|epileptic)|(seizures?|sz)\s*:?\s*(none|no)\s*$",
    re.IGNORECASE,
)
"""Words that undo a seizure, where they stand right before it, or end the label."""
_BEGIN: Final = re.compile(r"(?<![a-z])(starts?|onset|begins?|beginn|anfang|on)(?![a-z])", re.IGNORECASE)
_END: Final = re.compile(r"(?<![a-z])(ends?|stops?|offset|ende|off)(?![a-z])", re.IGNORECASE)


def names_seizure(label: str) -> bool:
    """Whether words name a seizure ("SZ", "Seizure onset"), and not that there is none."""
    return bool(_SEIZURE.search(label)) and not _NONE.search(label)


def read_annotations(path: Path, name: str, duration_s: float) -> tuple[list[EegMark], list[str]]:
    """Annotations of a file, and what has to be said of them.

    Parameters
    ----------
    path : Path
        EDF or BDF; without annotations it has none.
    name : str
        For messages.
    duration_s : float
        Of the recording.
    """
    import pyedflib

    try:
        with pyedflib.EdfReader(str(path)) as reader:
            columns = reader.readAnnotations()
    except (OSError, ValueError, UnicodeError) as error:
        return [], [f"{name}: its annotations cannot be read ({error}); its signals are"]
    rows = [
        (float(at_s), float(length_s), shown(str(text))[:MOST_CHARACTERS])
        for at_s, length_s, text in zip(*columns, strict=True)
    ]
    return place_marks(rows, name, duration_s)


def place_marks(
    rows: Sequence[tuple[float, float, str]], name: str, duration_s: float
) -> tuple[list[EegMark], list[str]]:
    """Hold annotations against the record.

    Parameters
    ----------
    rows : sequence of (float, float, str)
        Begin, length (0 or less: a moment), words.
    name : str
        The file, for messages.
    duration_s : float
        Of the recording.
    """
    notes: list[str] = []
    inside = [row for row in rows if 0.0 <= row[0] < duration_s]
    outside = [row for row in rows if not 0.0 <= row[0] < duration_s]
    if outside:
        several = "" if len(outside) == 1 else "s"
        few = ", ".join(f"{text!r} at {at_s:g} s" for at_s, _, text in outside[:MOST_NAMED])
        notes.append(
            f"{name}: {len(outside)} annotation{several} outside of the record (0 to {duration_s:g} s), left "
            f"out: {few}; is the file whole? Correct their times"
        )
    if len(inside) > MOST:
        notes.append(f"{name}: {len(inside):,} annotations; the first {MOST:,} are read")
    late = [row for row in inside if row[0] + max(row[1], 0.0) > duration_s + POINT_S]
    if late:
        at_s, length_s, text = late[0]
        notes.append(
            f"{name}: {text!r} from {at_s:g} s ends at {at_s + length_s:g} s, behind the record "
            f"({duration_s:g} s): cut there; correct its length if the file is whole"
        )
    return sorted(_paired(inside[:MOST], duration_s), key=lambda mark: mark.begin_s), notes


def _paired(rows: Sequence[tuple[float, float, str]], duration_s: float) -> list[EegMark]:
    """Marks; the begin of a seizure and its end that stand apart become one."""
    found: list[EegMark] = []
    opened: tuple[float, str] | None = None
    for at_s, length_s, text in sorted(rows):
        seizure = names_seizure(text)
        moment = not length_s > 0
        if seizure and moment and _END.search(text) and opened is not None:
            found.append(EegMark(round(opened[0], 3), round(at_s, 3), opened[1], True))
            opened = None
        elif seizure and moment and _BEGIN.search(text):
            found += [] if opened is None else [_moment(*opened, duration_s)]
            opened = (at_s, text)
        elif not (seizure and moment and _END.search(text)):
            end_s = min(duration_s, at_s + (POINT_S if seizure and moment else max(0.0, length_s)))
            found.append(EegMark(round(at_s, 3), round(end_s, 3), text, seizure))
        else:
            found.append(EegMark(round(at_s, 3), round(at_s, 3), text, False))
    return found + ([] if opened is None else [_moment(*opened, duration_s)])


def _moment(at_s: float, text: str, duration_s: float) -> EegMark:
    return EegMark(round(at_s, 3), round(min(duration_s, at_s + POINT_S), 3), text, True)


def compare(
    marks: Sequence[EegMark], seizures: Sequence[EegSeizure], duration_s: float
) -> EegComparison | None:
    """Hold what was found against the seizures that were annotated; None where none were."""
    told = [(one.begin_s, one.end_s) for one in marks if one.seizure and one.end_s > one.begin_s]
    if not told:
        return None
    tally = score_events(told, [(one.begin_s, one.end_s) for one in seizures], duration_s)
    return EegComparison(tally.reference, tally.hits, tally.false)
