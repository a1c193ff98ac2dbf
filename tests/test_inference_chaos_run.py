"""The short form of the proof: a small ward is struck for a third of a minute; nothing is lost or doubled."""

from pathlib import Path

import pytest

from inference.chaos_run import ChaosOptions, run_chaos
from inference.chaos_ward import WardOptions

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]


def test_a_ward_that_is_struck_again_and_again_says_what_an_unbroken_one_says(tmp_path: Path) -> None:
    options = ChaosOptions(WardOptions(24, seed=3, n_beds=2), seed=3, workers=2, strips=False)
    report = run_chaos(options, tmp_path)
    assert report.passed, "\n".join(report.lines())
    assert report.every_fault
    assert report.verdict.counts["predictions"] >= 40
    assert report.verdict.counts["alarms"] >= 1
    assert report.verdict.counts["answers"] >= report.verdict.counts["commands"] >= 3
