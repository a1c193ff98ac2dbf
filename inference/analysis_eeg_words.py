"""What is said of a whole EEG, in plain words: never more than was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from inference.analysis_eeg_parts import MINUTES_FROM_S, EegSeizure, span_words
from inference.eeg_listener import SeizureNetwork
from ingest.conditioning import EEG
from ingest.montage import Plan
from ingest.recording import Signal

NOT_NEGATIVE: Final = "Not judged is not negative"


def found_words(n_seizures: int, judged_s: float, duration_s: float) -> str:
    """How many seizures were found in how much of the recording."""
    whole = span_words(duration_s)
    if judged_s < 1:
        return f"Nothing of {whole} could be judged: whether there was a seizure is not known"
    seizures = "1 seizure" if n_seizures == 1 else f"{n_seizures} seizures"
    # In the unit of the whole, that both can be compared.
    judged = span_words(judged_s) if duration_s < MINUTES_FROM_S else f"{int(judged_s / 60 + 1e-6)} min"
    return f"{seizures} found in {judged} judged of {whole}"


def statement_of(
    network: SeizureNetwork,
    seizures: Sequence[EegSeizure],
    doubtful: int,
    judged_s: float,
    duration_s: float,
) -> str:
    """What was found, by what, and what that is worth."""
    rule, spec = network.rule, network.spec
    parts = [f"{found_words(len(seizures), judged_s, duration_s)}."]
    if doubtful:
        parts.append(
            f"{doubtful} more could not be told from what is wrong with the electrodes: most of their "
            "seconds were not judged."
        )
    parts.append(
        f"Looked at by {spec.name} (sha256 {spec.sha256[:12]}): a second speaks for a seizure from a "
        f"probability of {rule.threshold:.0%}, {rule.least_s} of {rule.within_s} seconds make one."
    )
    parts.append(f"{NOT_NEGATIVE}, and seizures that no electrode shows, or short ones, are not found.")
    parts.append("Research software, no diagnosis.")
    return " ".join(parts)


def not_judged_words(signal: Signal, plan: Plan, least_s: float) -> str | None:
    """Why seizures are not looked for in this EEG: field, value, way out; None where they are.

    Parameters
    ----------
    signal : Signal
        The EEG.
    plan : Plan
        Longitudinal, of its channels.
    least_s : float
        What the network sees at once.
    """
    if signal.fs_hz < EEG.min_fs_hz:
        return (
            f"Sampled at {signal.fs_hz:g} Hz: at least {EEG.min_fs_hz:g} Hz are needed, so nothing was "
            f"judged; export it at its own rate. {NOT_NEGATIVE}."
        )
    if not plan.names:
        return (
            f"None of the {len(signal.channels)} channels gives a derivation of the longitudinal montage, so "
            "seizures were not looked for: name channels by the 10-20 system (Fp1, F7 against one reference, "
            f"or Fp1-F7). {NOT_NEGATIVE}."
        )
    if signal.duration_s < least_s:
        return (
            f"{signal.duration_s:.1f} s long: the network sees {least_s:g} s at once, so seizures were not "
            f"looked for; hand in a longer part. {NOT_NEGATIVE}."
        )
    return None
