"""What came of EEGs that were played through the worker, held against what is annotated in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from inference.eeg_score import EegCase, Played, Told, play, seizures_told, technical_told
from inference.predictor import Predictor
from ingest.settings import Settings
from models.eeg import EegModel
from models.szcore import SZCORE, latencies, merge_events, score_events
from training.eeg_live import side_of

NEAR_S: Final = 15.0
"""What goes on so near to a false alarm is named beside it."""

SIMULATED: Final = "simulated"


@dataclass(frozen=True, slots=True)
class Row:
    """One recording: what was expected of it and what came.

    Parameters
    ----------
    name, side, model : str
        The recording, what the model knew of it, and the first figures of the model's checksum.
    duration_s : float
        Length.
    delays_s : tuple of (float or None)
        From each seizure's annotated onset to its alarm; ``None`` where none was raised.
    sent_s : tuple of (float or None)
        The same without the seconds that nobody kept: how much of the seizure the worker had seen.
    false : tuple of str
        What went on at each alarm that hits no seizure, by SzCORE's rules of events.
    status, suppression : int
        Alarms of status epilepticus and burst suppression.
    technical : dict
        How many alarms of electrodes and signal, by kind.
    """

    name: str
    side: str
    model: str
    duration_s: float
    delays_s: tuple[float | None, ...]
    sent_s: tuple[float | None, ...]
    false: tuple[str, ...]
    status: int
    suppression: int
    technical: dict[str, int]

    @property
    def as_expected(self) -> bool:
        """Every seizure raised, nothing else."""
        return None not in self.delays_s and not self.false

    @property
    def outcome(self) -> str:
        """What was expected, and what came."""
        delays = ", ".join(map(_delay, self.delays_s, self.sent_s))
        told = delays or ("FALSE ALARM" if self.false else "held")
        return told + (f"; false at: {'; '.join(self.false)}" if self.false else "")


def _delay(after_s: float | None, sent_s: float | None) -> str:
    if after_s is None or sent_s is None:
        return "NOT RAISED"
    kept = "" if sent_s == after_s else f" ({sent_s:.1f} s of it kept)"
    return f"raised after {after_s:.1f} s{kept}"


def assigned(
    cases: Sequence[EegCase], models: Sequence[EegModel]
) -> list[tuple[EegModel, str, list[EegCase]]]:
    """Each model with what it plays: a recording goes to the first that never saw it."""
    parts: dict[tuple[int, str], list[EegCase]] = {}
    for case in cases:
        sides = [
            SIMULATED if case.name.startswith(SIMULATED) else side_of(one.spec, case.name) for one in models
        ]
        nth = next((nth for nth, side in enumerate(sides) if side in ("unseen", SIMULATED)), 0)
        parts.setdefault((nth, sides[nth]), []).append(case)
    return [(models[nth], side, part) for (nth, side), part in parts.items()]


def score(
    cases: Sequence[EegCase], models: Sequence[EegModel], predictor: Predictor, settings: Settings
) -> tuple[list[Row], list[Played]]:
    """Play all of it; raises what :func:`inference.eeg_score.play` raises."""
    rows, played = [], []
    for model, side, part in assigned(cases, models):
        came = play(part, settings, predictor, model)
        played.append(came)
        rows += [row_of(case, came.alarms[case.name], side, model.spec.sha256[:8]) for case in part]
    order = {case.name: nth for nth, case in enumerate(cases)}
    return sorted(rows, key=lambda row: order[row.name]), played


def row_of(case: EegCase, alarms: Sequence[Told], side: str, model: str) -> Row:
    """Hold the alarms of a recording against its seizures."""
    told = seizures_told(alarms)
    spans = [(one.onset_s, min(case.duration_s, one.end_s or case.duration_s)) for one in told]
    spans = [(max(0.0, start), max(start + 1.0, end)) for start, end in spans]
    false = [
        _near(case, start, end)
        for start, end in merge_events(spans, SZCORE.merge_s)
        if score_events(case.seizures, [(start, end)], case.duration_s).false
    ]
    kinds = Counter(one.kind for one in alarms)
    delays = latencies(case.seizures, [one.raised_s for one in told])
    return Row(
        case.name, side, model, case.duration_s,
        tuple(delays), tuple(map(partial(_sent, case), case.seizures, delays)), tuple(false),
        kinds["status_epilepticus"], kinds["burst_suppression"],
        dict(Counter(one.kind for one in technical_told(alarms, case.duration_s))),
    )  # fmt: skip


def _sent(case: EegCase, seizure: tuple[float, float], delay_s: float | None) -> float | None:
    if delay_s is None:
        return None
    raised_s = seizure[0] + delay_s
    return delay_s - sum(max(0.0, min(end, raised_s) - max(start, seizure[0])) for start, end in case.gaps)


def _near(case: EegCase, start_s: float, end_s: float) -> str:
    near = [name for name, since, until in case.causes if since - NEAR_S <= start_s <= until + NEAR_S]
    return f"{start_s:.0f} to {end_s:.0f} s" + (f" ({', '.join(near)})" if near else "")


def table(rows: Sequence[Row], played: Sequence[Played]) -> list[str]:
    """Lines of a report: each recording, then what they come to by side."""
    lines = []
    for row in rows:
        technical = ", ".join(f"{kind} {count}" for kind, count in sorted(row.technical.items())) or "none"
        more = [
            f"{count} {name}"
            for name, count in (("status", row.status), ("suppression", row.suppression))
            if count
        ]
        lines.append(
            f"{row.name} ({row.side}, {row.model}, {row.duration_s:.0f} s): {row.outcome}"
            f"{'; ' + ', '.join(more) if more else ''}; technical: {technical}"
        )
    lines += ["", *(_sum(rows, side) for side in dict.fromkeys(row.side for row in rows))]
    chunks, wall_s = sum(one.chunks for one in played), sum(one.wall_s for one in played)
    refused = sum(one.refused for one in played)
    hours = sum(row.duration_s for row in rows) / 3600
    lines.append(f"{chunks} chunks through the broker ({hours:.2f} h) in {wall_s:.0f} s, {refused} refused")
    return lines


def _sum(rows: Sequence[Row], side: str) -> str:
    own = [row for row in rows if row.side == side]
    delays = [delay for row in own for delay in row.sent_s]
    raised = [delay for delay in delays if delay is not None]
    false, hours = sum(len(row.false) for row in own), sum(row.duration_s for row in own) / 3600
    late = (
        f", after {np.median(raised):.1f} s in the median ({min(raised):.1f} to {max(raised):.1f})"
        if raised
        else ""
    )
    return (
        f"{side}: {len(own)} recordings, {hours:.2f} h; {len(raised)} of {len(delays)} seizures raised"
        f"{late}; {false} false; {sum(row.as_expected for row in own)} recordings as expected"
    )
