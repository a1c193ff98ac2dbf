"""All that is found in an EEG: played into the ward's monitor, and what that gave as findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from inference.analysis_ecg import Progress
from inference.analysis_eeg_annotated import compare
from inference.analysis_eeg_electrodes import electrodes_of, montage_notes
from inference.analysis_eeg_parts import EegMark, EegSeizure
from inference.analysis_eeg_play import IMPLAUSIBLE, PlayedEeg, play_eeg
from inference.analysis_eeg_seconds import (
    Course,
    course_of,
    lines_of,
    lost_stretches,
    seizures_of,
    suppression_of,
)
from inference.analysis_eeg_trace import EegLooked, EegTrace, column_length_s, levels_of, looked_of
from inference.analysis_eeg_words import not_judged_words, statement_of
from inference.analysis_findings import EEG_STATEMENT, EegFindings
from inference.eeg_listener import SeizureNetwork
from inference.explanation_eeg import AFTER_S, BEFORE_S, explain_eeg
from ingest.conditioning import EEG, delay_s
from ingest.montage import Plan, plan_of
from ingest.recording import Signal
from ingest.settings import IngestSettings
from models.eeg import EegModel
from models.errors import CannotExplain

MOST_EXPLAINED: Final = 20


@dataclass(frozen=True, slots=True)
class AnalysedEeg:
    """Findings, what is drawn of them, and what has to be said of the electrodes."""

    findings: EegFindings
    trace: EegTrace | None
    notes: list[str]


def analyse_eeg(
    signal: Signal,
    network: SeizureNetwork | None,
    marks: Sequence[EegMark],
    settings: IngestSettings,
    progress: Progress,
) -> AnalysedEeg:
    """Play an EEG into the ward's monitor and gather what it said.

    Parameters
    ----------
    signal : Signal
        All channels of one rate, µV.
    network : SeizureNetwork or None
        The ward's; without one electrodes and trends are watched alone.
    marks : sequence of EegMark
        What was annotated in the file.
    settings : IngestSettings
        Limits of continuity.
    progress : callable
        Told after each second.
    """
    plan = plan_of(signal.channels)
    notes = montage_notes(plan)
    refused = _refused(signal, plan, network)
    late_s = delay_s(signal.fs_hz, EEG) if signal.fs_hz >= EEG.min_fs_hz else 0.0
    if signal.fs_hz < EEG.min_fs_hz:
        findings = EegFindings(
            str(refused), electrodes_of(plan, [], []), list(plan.names), annotated=list(marks)
        )
        return AnalysedEeg(findings, None, notes)
    asked = network if refused is None else None
    played = play_eeg(signal, asked, settings, progress)
    course = course_of(played, 0 if asked is None else asked.behind, late_s)
    found = EegFindings(
        statement=EEG_STATEMENT if refused is None else refused,
        electrodes=electrodes_of(plan, played.vitals, played.signs),
        derivations=list(plan.names),
        judged_s=float(course.judged.sum()),
        lost=lost_stretches(course, played.signs, signal.duration_s),
        lines=lines_of(course, played.vitals),
        suppression=suppression_of(played, late_s),
        alarms=played.alarms,
        annotated=list(marks),
    )
    looked: list[EegLooked] = []
    if asked is not None:
        found = _with_network(found, asked, course, plan, signal)
        looked = _explained(found.seizures, asked, signal, late_s, progress)
    column_s = column_length_s(len(played.spectra))
    trace = EegTrace("eeg", float(column_s), -late_s, levels_of(played.spectra, column_s).tobytes(), looked)
    return AnalysedEeg(_with_doubt(found, played), trace, notes)


def _refused(signal: Signal, plan: Plan, network: SeizureNetwork | None) -> str | None:
    """Why the network is not asked about this EEG at all."""
    least_s = 0.0 if network is None else network.spec.window_s
    return not_judged_words(signal, plan, least_s)


def _with_network(
    found: EegFindings, network: SeizureNetwork, course: Course, plan: Plan, signal: Signal
) -> EegFindings:
    names = dict(zip(plan.places.tolist(), plan.names, strict=True))
    seizures, doubtful = seizures_of(course, network.rule, network.behind, names, signal.duration_s)
    return msgspec.structs.replace(
        found,
        seizures=seizures,
        doubtful=doubtful,
        model=network.spec.name,
        threshold=network.rule.threshold,
        caveats=list(network.spec.caveats),
        comparison=compare(found.annotated, seizures, signal.duration_s),
        statement=statement_of(network, seizures, doubtful, found.judged_s, signal.duration_s),
    )


def _with_doubt(found: EegFindings, played: PlayedEeg) -> EegFindings:
    """Say first where most of an EEG was of no plausible size: nothing else matters then."""
    share = np.mean([sign == IMPLAUSIBLE for sign in played.signs]) if played.signs else 0.0
    if share < 0.5:
        return found
    said = f"Amplitudes are not plausible in {share:.0%} of the recording: check unit and gain. "
    return msgspec.structs.replace(found, statement=said + found.statement)


def _explained(
    seizures: Sequence[EegSeizure], network: SeizureNetwork, signal: Signal, late_s: float, progress: Progress
) -> list[EegLooked]:
    """Where the network looked in the seconds that raised the first seizures; those it cannot say are out."""
    found: list[EegLooked] = []
    if not isinstance(network, EegModel):
        return found
    for number, one in enumerate(seizures[:MOST_EXPLAINED]):
        progress("explaining", number / min(len(seizures), MOST_EXPLAINED))
        second = round(one.raised_s + late_s) - 1 - network.behind
        first = max(0, second - int(BEFORE_S))
        piece = signal.samples[round(first * signal.fs_hz) : round((second + AFTER_S) * signal.fs_hz)]
        try:
            told = explain_eeg(piece, signal.fs_hz, signal.channels, second - first + 0.5 - late_s, network)
        except CannotExplain:
            continue
        found.append(looked_of(told, float(first)))
    return found
