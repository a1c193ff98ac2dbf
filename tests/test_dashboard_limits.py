"""What makes an alarm of high priority quieter is named before it is sent."""

from __future__ import annotations

import pytest

from dashboard.limit_changes import EDITED, LOWER, RESET, Change, changes, quieter, table, widest_first
from inference.catalog import load_catalogue
from inference.types import Bed, Priority, Setting

CATALOGUE = load_catalogue()


def asked(kind: str, cells: dict[str, object], told: tuple[Setting, ...] = ()) -> list[Change]:
    """What a table with changed cells of one ECG alarm asks for."""
    status = Bed(
        bed="bed-03",
        ward="icu",
        stay=None,
        admitted=True,
        admitted_ns=1,
        profile="adult",
        standby=False,
        standby_by=None,
        audio_paused_until_ns=None,
        audio_paused_by=None,
        audio_paused_up_to=None,
        settings=list(told),
        revision=1,
        emitted_ns=1,
    )
    rows = table(CATALOGUE, status, ["ecg"])
    edited = [{**{name: getattr(row, name) for name in EDITED}, RESET: False} for row in rows]
    edited[[row.key for row in rows].index(f"ecg/{kind}")].update(cells)
    return changes(rows, edited)


@pytest.mark.parametrize(
    ("kind", "cells", "words"),
    [
        ("extreme_tachycardia", {"limit": 180.0}, "moves away from the patient, 140 → 180"),
        ("extreme_bradycardia", {"limit": 30.0}, "moves away from the patient, 40 → 30"),
        ("asystole", {"limit": 8.0}, "moves away from the patient, 4 → 8"),
        ("extreme_tachycardia", {"on_delay_s": 5.0}, "raised later: on-delay"),
        ("extreme_tachycardia", {"enabled": False}, "will not be raised"),
        ("extreme_bradycardia", {"priority": "low"}, "does not latch"),
        ("vt", {"beats": 9.0}, "will take more beats: 5 → 9"),
    ],
)
def test_what_makes_a_high_alarm_quieter_is_named(kind: str, cells: dict[str, object], words: str) -> None:
    (line,) = quieter(asked(kind, cells))
    assert line.startswith(f"ECG: {CATALOGUE.spec(f'ecg/{kind}').title}")
    assert words in line


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("extreme_tachycardia", {"limit": 130.0}),
        ("extreme_bradycardia", {"limit": 45.0}),
        ("extreme_tachycardia", {"off_delay_s": 10.0}),
        ("hr_high", {"limit": 150.0}),
        ("hr_high", {"enabled": False}),
    ],
)
def test_what_makes_none_quieter_is_not_asked_twice(kind: str, cells: dict[str, object]) -> None:
    assert quieter(asked(kind, cells)) == []


def test_each_way_in_which_an_alarm_grows_quieter_is_named() -> None:
    found = quieter(asked("extreme_tachycardia", {"priority": "medium", "limit": 180.0, "on_delay_s": 5.0}))
    assert len(found) == 3


def test_a_reset_of_what_the_bed_had_raised_to_high_is_named() -> None:
    def told(priority: Priority) -> Setting:
        return Setting("ecg", "hr_high", True, priority, 120.0, "/min", 40.0, 300.0, 3.0, 3.0, "bed")

    (line,) = quieter(asked("hr_high", {RESET: True}, (told(Priority.HIGH),)))
    assert "ECG: Heart rate high goes back to profile, site or ward" in line
    assert quieter(asked("hr_high", {RESET: True}, (told(Priority.MEDIUM),))) == []


def test_the_catalogues_lower_limits_are_those_that_a_patient_falls_under() -> None:
    assert {spec.key for spec in CATALOGUE.of_signal("ecg") if "< {limit}" in spec.text} == LOWER


@pytest.mark.parametrize(("low", "high"), [(130.0, 160.0), (35.0, 45.0)])
def test_limits_that_move_together_never_cross_on_the_way(low: float, high: float) -> None:
    both = [*asked("hr_low", {"limit": low}), *asked("hr_high", {"limit": high})]
    for order in (both, both[::-1]):
        now = {one.before.key: one.before.limit for one in both}
        for change in widest_first(order):
            assert change.after is not None
            now[change.before.key] = change.after.limit
            under, over = now["ecg/hr_low"], now["ecg/hr_high"]
            assert under is not None
            assert over is not None
            assert under < over
