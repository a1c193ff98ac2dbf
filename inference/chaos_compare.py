"""A run under faults beside an unbroken one: what is lost, what is doubled, what is not the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from inference.chaos_said import RECEIVE_TIME, Said, Step, Stored
from inference.chaos_same import Plain, differs, same
from inference.types import Alarm, AlarmState, Prediction, Vital

SHOWN: Final = 20
FAULTS: Final = ("lost", "doubled", "different", "disorder", "standing", "false_missing", "not_tried")
"""Lists of a verdict that must be empty."""


@dataclass(slots=True)
class Verdict:
    """What the comparison found; each list names items.

    ``lost`` the unbroken run said or stored and this one did not; ``doubled`` this one said and the unbroken
    one did not; ``different`` are said otherwise; ``disorder`` came after later ones of their bed;
    ``standing`` are alarms of missing data that faults raised and nobody ended, ``false_missing`` those of
    data that came in time, ``not_tried`` is what neither run did, so that nothing was compared. What the
    broker did is told beside it and excuses nothing: ``gone`` are records that it acknowledged and lost,
    ``given_again`` outputs of an offset at which something else lies now.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    standing: list[str] = field(default_factory=list)
    false_missing: list[str] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    given_again: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not any(getattr(self, name) for name in FAULTS)


def compare(broken: Said, whole: Said, last: Set[str], streams: Iterable[str] = ()) -> Verdict:
    """Compare what two runs of one plan said.

    Parameters
    ----------
    broken, whole : Said
        Under faults, and unbroken.
    last : set of str
        Ids of the alarms of missing data that must follow the end of the records.
    streams : iterable of str
        What was sent ("bed/signal"): each must have numbers, and an ECG predictions.
    """
    verdict = Verdict()
    judged = [one for one in broken.alarms.values() if one.kind not in RECEIVE_TIME]
    expected = [one for one in whole.alarms.values() if one.kind not in RECEIVE_TIME]
    _hold(verdict, broken.predictions.values(), whole.predictions.values())
    _hold(verdict, broken.vitals.values(), whole.vitals.values())
    _hold(verdict, judged, expected)
    for alarm in expected:
        steps, others = (_unattended(one.steps[alarm.id]) for one in (broken, whole))
        if alarm.id in broken.alarms and not _same_steps(steps, others):
            verdict.different.append(
                f"{alarm.id}: steps {sorted(map(str, steps))} / {sorted(map(str, others))}"
            )
    verdict.lost += sorted(last - broken.alarms.keys())
    silences = [one for one in broken.alarms.values() if one.kind in RECEIVE_TIME and one.id not in last]
    verdict.standing = [one.id for one in silences if one.state is not AlarmState.ENDED]
    verdict.different += [
        f"{id_}: the data were over for good, and yet it has ended"
        for id_ in sorted(last & broken.alarms.keys())
        if broken.alarms[id_].state is AlarmState.ENDED
    ]
    verdict.different += broken.contradictions
    verdict.disorder += broken.disorder
    judged_windows = {f"{one.bed}/{one.signal}" for one in whole.predictions.values()}
    numbered = {f"{one.bed}/{one.signal}" for one in whole.vitals.values()}
    for stream in sorted(streams):
        if stream not in numbered:
            verdict.not_tried.append(f"no numbers of {stream}")
        if stream.endswith("/ecg") and stream not in judged_windows:
            verdict.not_tried.append(f"no predictions of {stream}")
    verdict.counts = {
        "predictions": len(whole.predictions),
        "signals_with_predictions": len(judged_windows),
        "vitals": len(whole.vitals),
        "alarms": len(expected),
        "alarms_of_missing_data_by_faults": len(silences),
        "items_said": broken.n_items,
        "items_said_again": broken.repeated,
    }
    if not whole.predictions or not expected:
        verdict.lost.append("the unbroken run itself said nothing: there is nothing to compare with")
    return verdict


def _same_steps(steps: Set[Step], others: Set[Step]) -> bool:
    """Whether each step of either run has its like in the other; values to the usual tolerance."""
    return all(
        any(same(list(one), list(other)) for other in theirs)
        for ours, theirs in ((steps, others), (others, steps))
        for one in ours
    )


def _unattended(steps: Set[Step]) -> set[Step]:
    """Steps that follow from the signal alone: staff are as fast as the faults let them be."""
    return {step for step in steps if step[0] is not AlarmState.ACKNOWLEDGED}


def compare_stored(
    verdict: Verdict,
    broken: Stored,
    whole: Stored,
    said: Said,
    *,
    strips: bool,
    late: Set[str] = frozenset(),
) -> None:
    """Add what the recorder lost: alarms and numbers that were said, strips of alarms, their waveforms.

    Parameters
    ----------
    verdict : Verdict
        Is added to.
    broken, whole : Stored
        Under faults, and unbroken.
    said : Said
        Under faults.
    strips : bool
        It was waited for all of them.
    late : set of str
        Alarms whose waveforms came so late, or so early, that their strip may lack some.
    """
    for alarm_id, alarm in said.alarms.items():
        kept = broken.alarms.get(alarm_id)
        if kept is None:
            verdict.lost.append(f"stored {alarm_id}")
            continue
        difference = "" if alarm.kind in RECEIVE_TIME else differs(kept, alarm)
        if difference or kept.state is not alarm.state:
            verdict.different.append(f"stored {alarm_id}: {difference or kept.state}")
    for stream, points in whole.numbers.items():
        _compare_numbers(verdict, stream, broken.numbers[stream], points)
    if strips:
        verdict.lost += [
            f"strip of {alarm_id}" for alarm_id in sorted(broken.alarms.keys() - broken.strips.keys())
        ]
    both = [alarm_id for alarm_id in broken.strips if broken.strips[alarm_id] and whole.strips.get(alarm_id)]
    verdict.different += [f"strip of {one}" for one in both if broken.strips[one] != whole.strips[one]]
    in_part = sorted(one for one, digest in broken.strips.items() if not digest and whole.strips.get(one))
    verdict.lost += [f"part of the strip of {one}" for one in in_part if one not in late]
    if strips and not both:
        verdict.not_tried.append("no strip is whole in both runs: no waveforms were compared")
    verdict.counts |= {
        "stored_alarms": len(broken.alarms),
        "stored_seconds": sum(map(len, broken.numbers.values())),
        "strips": len(broken.strips),
        "strips_compared": len(both),
        "strips_in_part": sum(not digest for digest in broken.strips.values()),
    }


def _compare_numbers(
    verdict: Verdict, stream: str, stored: Sequence[Plain], expected: Sequence[Plain]
) -> None:
    if len(stored) != len(expected):
        verdict.lost.append(f"stored numbers of {stream}: {len(stored)} s of {len(expected)} s")
        return
    other = [one for one, due in zip(stored, expected, strict=True) if not same(one, due)]
    if other:
        verdict.different.append(f"stored numbers of {stream}: {len(other)} s, the first {other[0]}"[:300])


def _hold(
    verdict: Verdict,
    broken: Iterable[Prediction] | Iterable[Vital] | Iterable[Alarm],
    whole: Iterable[Prediction] | Iterable[Vital] | Iterable[Alarm],
) -> None:
    said = {one.id: one for one in broken}
    expected = {one.id: one for one in whole}
    verdict.lost += sorted(expected.keys() - said.keys())
    verdict.doubled += sorted(said.keys() - expected.keys())
    for id_ in sorted(expected.keys() & said.keys()):
        difference = differs(said[id_], expected[id_])
        if difference:
            verdict.different.append(f"{id_}: {difference}")
