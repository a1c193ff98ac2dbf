"""The sounds of an analysis in its report: words, figures, tables and sheets, all escaped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Final

from dashboard import analysis_pictures as pictures
from dashboard import analysis_sound_words as words
from dashboard.analysis_html import table
from dashboard.analysis_sound_pictures import SHEET_S, sound_sheet
from dashboard.words import clock
from inference.analysis_findings import AlarmFinding, SoundFindings
from inference.analysis_sound_trace import SoundTrace
from inference.analysis_wire import Picture

MAX_SHEETS: Final = 4
MAX_CYCLES: Final = 200


def sound_part(
    sound: SoundFindings,
    picture: Picture,
    trace: SoundTrace | None,
    image: Callable[[bytes, str], str],
    alarms: Callable[[Sequence[AlarmFinding]], str],
) -> str:
    """One sound as HTML.

    Parameters
    ----------
    sound, picture, trace
        What was found, and what is drawn; no trace where nothing was judged.
    image, alarms : callable
        As the report sets an image (PNG, what it is) and a table of alarms.
    """
    parts = [f"<h2>{escape(words.title(sound))}</h2><p>{escape(sound.statement)}</p>"]
    if sound.verdict is not None:
        said = escape(words.verdict(sound.verdict))
        parts.append(f"<p>{said}<br/><small>{escape(sound.verdict.note)}</small></p>")
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in words.figures(sound))
    parts.append(f"<dl>{rows}</dl>")
    for one in sound.lost:
        span = f"{clock(one.begin_s)} to {clock(one.end_s)}"
        parts.append(f"<p>Not judged {span}: {escape(one.reason)}</p>")
    if sound.alarms:
        parts.append(f"<h3>Alarms that the ward's monitor would have raised</h3>{alarms(sound.alarms)}")
    parts.append(image(pictures.sound_chart(picture), "waveform and spectrogram"))
    if trace is not None and sound.model is not None:
        for begin_s in sheet_begins_s(sound, trace.duration_s):
            title = f"{words.title(sound)} from {clock(begin_s)}"
            parts.append(image(sound_sheet(trace, sound, begin_s, title=title), title))
        parts.append(f"<p><small>{escape(words.legend(sound))}</small></p>")
    if sound.cycles is not None:
        parts.append(f"<p>{escape(sound.cycles_from)}</p>{table(words.cycle_rows(sound), MAX_CYCLES)}")
    return "\n".join(parts)


def sheet_begins_s(sound: SoundFindings, duration_s: float) -> list[float]:
    """Begins of the sheets that hold most of what was marked, in time; the first of all where nothing was."""
    counts: dict[int, float] = {0: 0.0}
    for one in sound.marks:
        at = int((one.begin_s + one.end_s) / 2 // SHEET_S)
        # Heart sounds are everywhere: what counts is what the network is sure of.
        counts[at] = counts.get(at, 0.0) + one.probability
    fullest = sorted(counts, key=lambda at: (-counts[at], at))[:MAX_SHEETS]
    last_s = max(0.0, duration_s - SHEET_S)
    return sorted({min(last_s, at * SHEET_S) for at in fullest})
