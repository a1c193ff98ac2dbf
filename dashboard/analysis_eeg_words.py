"""What pages and reports say of an EEG that was analysed, in words and rows; no Streamlit."""

from __future__ import annotations

from typing import Final

from dashboard.words import clock
from inference.analysis_eeg_parts import compared_words, looked_words, span_words
from inference.analysis_findings import EegFindings
from inference.eeg_quality import SIGNS

ANY: Final = "any moment"
LEGEND: Final = (
    "Left is blue, right red, the midline black; negative is up. Red: a seizure that was found, to where it "
    "ended; purple: annotated in the file; hatched grey: not judged."
)
TRENDS_LEGEND: Final = (
    "From above: probability of a seizure (dotted: from where a second speaks for one; red: found; purple: "
    "annotated), aEEG of both sides (the 10th to 90th percentile of 15 s), spectra of the left and right "
    "side (the white line: the 95 % spectral edge), suppression ratio of the last minute. Grey: not judged."
)

Rows = list[dict[str, str]]


def figures(eeg: EegFindings, duration_s: float) -> list[tuple[str, str]]:
    """The numbers of an EEG, each with its name."""
    asked = eeg.model is not None
    cells = [("Seizures found", str(len(eeg.seizures)) if asked and eeg.judged_s >= 1 else "–")]
    cells.append(("Judged", f"{eeg.judged_s / duration_s:.0%}" if asked else "–"))
    if eeg.seizures:
        cells.append(("Longest seizure", span_words(max(one.length_s for one in eeg.seizures))))
        cells.append(("In seizure", span_words(sum(one.length_s for one in eeg.seizures))))
    quiet = eeg.suppression
    if quiet is not None:
        longest = "none"
        if quiet.begin_s is not None and quiet.end_s is not None:
            longest = f"{quiet.end_s - quiet.begin_s:.0f} s"
        cells.append(("Longest suppression", longest))
        highest = "–" if quiet.highest is None else f"{quiet.highest:.0%}"
        cells.append(("Highest suppression ratio", highest))
    cells.append(("Derivations", str(len(eeg.derivations))))
    return cells


def seizure_rows(eeg: EegFindings) -> Rows:
    """A row for each seizure that was found."""
    return [
        {
            "Begin": clock(one.begin_s),
            "End": "to the end" if one.to_the_end else clock(one.end_s),
            "Length": span_words(one.length_s),
            "Greatest probability": f"{one.probability:.0%}",
            "Raised": clock(one.raised_s),
            "Looked at most": looked_words(one.looked),
        }
        for one in eeg.seizures
    ]


def electrode_rows(eeg: EegFindings) -> Rows:
    """A row for each channel: what it is read as, and the share of the time with each sign."""
    told = [sign for sign in SIGNS if any(sign in one.signs for one in eeg.electrodes)]
    return [
        {
            "Channel": one.name,
            "Read as": one.read_as,
            "Use": one.use,
            "Readable": "–" if one.usable_share is None else f"{one.usable_share:.0%}",
            **{sign.capitalize(): _share(one.signs.get(sign, 0.0)) for sign in told},
        }
        for one in eeg.electrodes
    ]


def _share(share: float) -> str:
    """A share of the time that is not nothing is never shown as nothing."""
    return "" if share == 0 else "<1%" if share < 0.01 else f"{share:.0%}"


def annotated_rows(eeg: EegFindings) -> Rows:
    """A row for each annotation of the file, those that name a seizure first."""
    return [
        {
            "Begin": clock(one.begin_s),
            "End": clock(one.end_s),
            "Annotated in the file": one.label,
            "Names a seizure": "yes" if one.seizure else "",
        }
        for one in sorted(eeg.annotated, key=lambda mark: (not mark.seizure, mark.begin_s))
    ]


def compared(eeg: EegFindings) -> str | None:
    """How what was found lies to what was annotated; None where nothing was."""
    if eeg.comparison is not None:
        said = compared_words(eeg.comparison)
        return f"Seizures {said}."
    if eeg.annotated and not any(one.seizure for one in eeg.annotated):
        return f"{len(eeg.annotated)} annotations in the file; none names a seizure."
    return None


def lost_lines(eeg: EegFindings, most: int = 20) -> list[str]:
    """What was not judged, and why."""
    lines = [
        f"Not judged {clock(one.begin_s)} to {clock(one.end_s)}: {one.reason}" for one in eeg.lost[:most]
    ]
    more = len(eeg.lost) - most
    return [*lines, f"and {more} more stretches (in the JSON)"] if more > 0 else lines


def places(eeg: EegFindings, most: int = 200) -> dict[str, float | None]:
    """Moments to look at: seizures that were found, those that were annotated, alarms; then any."""
    found: dict[str, float | None] = {
        f"{clock(one.begin_s)}  seizure found, {one.probability:.0%}": one.begin_s for one in eeg.seizures
    }
    found |= {
        f"{clock(one.begin_s)}  {one.label} (file)": one.begin_s for one in eeg.annotated if one.seizure
    }
    found |= {f"{clock(one.onset_s)}  {one.message}": one.onset_s for one in eeg.alarms}
    return {**dict(list(found.items())[:most]), ANY: None}


def looked_line(at_s: float, probability: float, model: str) -> str:
    """What is shaded in a sheet."""
    return (
        f"Shaded: which derivations spoke for a seizure, and when, in the second between the dotted lines "
        f"({clock(at_s)}; HiResCAM of {model}). From the two minutes before it alone the network says "
        f"{probability:.0%}. It says what the answer hangs on, not that the answer is right."
    )
