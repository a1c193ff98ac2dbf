"""SzCORE's scoring: equal to the authors' package on random events, and its rules in plain cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring, SampleScoring

from models.szcore import Tally, add_up, latencies, score_events, score_samples

DURATION_S = 3600.0


@st.composite
def events(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Up to eight separate events on half seconds within an hour, some longer than five minutes."""
    at = draw(st.integers(0, 2000))
    found = []
    for _ in range(draw(st.integers(0, 8))):
        end = at + draw(st.one_of(st.integers(1, 200), st.integers(500, 2500)))
        if end > 2 * DURATION_S:
            break
        found.append((at / 2, end / 2))
        at = end + draw(st.one_of(st.integers(1, 400), st.integers(170, 190)))
    return found


def same(ours: Tally, theirs: EventScoring | SampleScoring) -> bool:
    pairs = (
        (ours.sensitivity, theirs.sensitivity),
        (ours.precision, theirs.precision),
        (ours.f1, theirs.f1),
        (ours.false_per_day, theirs.fpRate),
    )
    counts = (ours.reference, ours.hits, ours.false) == (theirs.refTrue, theirs.tp, theirs.fp)
    return counts and all(math.isclose(a, b) or (math.isnan(a) and math.isnan(b)) for a, b in pairs)


@settings(max_examples=300, deadline=None)
@given(reference=events(), found=events())
def test_events_are_counted_as_timescoring_counts_them(
    reference: list[tuple[float, float]], found: list[tuple[float, float]]
) -> None:
    told, made = (Annotation(one, 2, round(DURATION_S * 2)) for one in (reference, found))
    assert same(score_events(reference, found, DURATION_S), EventScoring(told, made))
    assert same(score_samples(reference, found, DURATION_S), SampleScoring(told, made))


def test_an_alarm_just_before_a_seizure_is_none_too_early() -> None:
    seizure = [(100.0, 140.0)]
    assert score_events(seizure, [(60.0, 75.0)], 600).hits == 1
    assert score_events(seizure, [(60.0, 70.0)], 600) == Tally(1, 0, 1, 600.0)
    assert score_events(seizure, [(199.0, 220.0)], 600).hits == 1
    assert score_events(seizure, [(200.0, 220.0)], 600).false == 1


def test_calls_less_than_90_s_apart_are_one_and_long_ones_are_several() -> None:
    assert score_events([], [(10.0, 20.0), (109.0, 120.0)], 600).false == 1
    assert score_events([], [(10.0, 20.0), (110.0, 120.0)], 600).false == 2
    assert score_events([(0.0, 700.0)], [(0.0, 700.0)], 900).reference == 3


def test_recordings_add_up() -> None:
    total = add_up([Tally(2, 1, 1, 43_200.0), Tally(0, 0, 2, 43_200.0)])
    assert (total.sensitivity, total.precision, total.false_per_day) == (0.5, 0.25, 3.0)
    assert np.isnan(add_up([]).f1)
    assert total.f1 == pytest.approx(2 / 6)


def test_latency_is_from_the_onset_to_the_alarm() -> None:
    assert latencies([(100.0, 140.0), (500.0, 520.0)], [90.0, 107.0, 650.0]) == [-10.0, None]
    assert latencies([(100.0, 140.0)], []) == [None]


def test_an_event_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="found event 20 to 10 s"):
        score_events([], [(20.0, 10.0)], 600)
