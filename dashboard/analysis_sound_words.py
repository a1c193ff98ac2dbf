"""What pages and reports say of a sound that was analysed, in words; no Streamlit."""

from __future__ import annotations

from typing import Final

from dashboard.words import clock
from inference.analysis_findings import SoundFindings, SoundVerdict
from inference.explanation_sound import SoundExplained

LUNG: Final = "lung_sound"
ANY: Final = "any moment"
CLASSES: Final = ("normal", "crackle", "wheeze", "both")
"""ICBHI's four classes of a breath."""

NOT_JUDGED: Final = "not judged"


def title(sound: SoundFindings) -> str:
    """Heading of a sound."""
    return sound.signal.replace("_", " ").capitalize()


def verdict(said: SoundVerdict) -> str:
    """The whole in one line, with all of its probabilities."""
    shares = ", ".join(f"{name} {share:.0%}" for name, share in said.probabilities.items())
    return f"Whole recording: {shares}"


def figures(sound: SoundFindings) -> list[tuple[str, str]]:
    """The numbers of a sound, each with its name."""
    rate = sound.rates.median if sound.rates is not None else None
    name = "Breaths/min" if sound.signal == LUNG else "Beats/min (S1, S2)"
    cells = [(name, "–" if rate is None else f"{rate:.0f}")]
    for label, share in sound.heard.items():
        at_least = sound.thresholds.get(label)
        called = "" if at_least is None else (", yes" if share >= at_least else ", no")
        most = ", highest" if sound.signal == LUNG and sound.cycles else ""
        cells.append((f"{label.capitalize()}{most}", f"{share:.0%}{called}"))
    if sound.cycles is not None and sound.signal == LUNG:
        labels = [cycle.label for cycle in sound.cycles]
        for label in CLASSES:
            cells.append((f"Breaths: {label}", f"{labels.count(label)} of {len(labels)}"))
    elif sound.cycles is not None:
        cells.append(("Heart cycles", str(len(sound.cycles))))
    cells.append(("Not judged (s)", f"{sound.lost_s:.0f}"))
    cells.append(("Peak (dB)", f"{sound.peak_db:.1f}"))
    cells.append(("RMS (dB)", f"{sound.rms_db:.1f}"))
    cells.append(("Clipped", f"{sound.clipped_share:.2%}"))
    cells.append(("Silent", f"{sound.silent_share:.0%}"))
    return cells


def places(sound: SoundFindings, most: int) -> dict[str, float | None]:
    """Moments to look at: the first breath that is called something, crackles and wheezes; then any.

    Of a heart sound every moment is like the next: it is shown from its begin.
    """
    found: dict[str, float | None] = {}
    for one in sound.marks:
        if sound.signal == LUNG and len(found) < most:
            name = f"{clock(one.begin_s)}  {one.label} {one.probability:.0%}"
            found[name] = (one.begin_s + one.end_s) / 2
    return {**found, ANY: None}


def explained(sound: SoundFindings) -> list[str]:
    """Classes whose explanation may be asked for, the likeliest first."""
    of_window = sorted(sound.heard, key=lambda name: -sound.heard[name])
    groups = list(sound.verdict.probabilities) if sound.verdict and sound.signal == LUNG else []
    return [*of_window, *groups]


def legend(sound: SoundFindings) -> str:
    """How to read a stretch."""
    if sound.model is None:
        return "Hatched: nothing was judged there."
    return (
        "Faint bars: how probable each is in the pieces that the ward's monitor would judge. Boxes and "
        "lines: where the network marks it in the whole recording, with its mean probability. Hatched grey: "
        "nothing was judged there."
    )


def explanation(found: SoundExplained) -> str:
    """What is darkened, and what the network said of that window."""
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.probabilities.items())
    return (
        f"Between the dotted lines ({clock(max(0.0, found.start_s))} to {clock(found.end_s)}): bright is "
        f"what spoke for “{found.label}” (HiResCAM of {found.model}); the white line is its attention. "
        f"Of this window alone it says: {shares}."
    )


def cycle_rows(sound: SoundFindings) -> list[dict[str, str]]:
    """A row for each cycle."""
    name = "Breath" if sound.signal == LUNG else "Heart cycle"
    return [
        {
            name: str(number),
            "From": clock(one.begin_s),
            "To": clock(one.end_s),
            **({"Class": one.label} if one.label else {}),
            **{label.capitalize(): f"{share:.0%}" for label, share in one.probabilities.items()},
        }
        for number, one in enumerate(sound.cycles or [], 1)
    ]
