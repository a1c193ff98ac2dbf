"""Tools around the seizure model: choosing the rule of events, simulated hours through the serving path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import store
from models.cnn_lstm import CnnLstm, cost_of
from models.eeg import EegModel
from models.spec import ModelSpec
from tests.eeg_sets import write_chbmit
from training import eeg_rule_cli, eeg_sim_cli
from training.eeg_recipes import eeg_seizure_1
from training.eeg_sim_cli import causes_of, make_beds, run_beds
from training.overrides import override
from training.session import fit, open_task

SMALL = [
    'data.sources=["chbmit"]', "data.bonn=", "data.window_s=8", "data.channels=[2,3]",
    "architecture.hidden=6", "architecture.attention_width=8", "architecture.front_end.stem_width=4",
    "architecture.front_end.widths=[4,6,8]", "architecture.front_end.width=12", "optimizer.steps=2",
    "optimizer.batch=4", "optimizer.warmup_steps=1", "run.validate_every=2",
]  # fmt: skip


def test_rules_are_compared_on_the_validation_sides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    write_chbmit(data / "chbmit", ("chb01", "chb02", "chb03", "chb05"), 50)
    task = open_task(override(eeg_seizure_1(), SMALL), data, tmp_path / "cache")
    for i, split in enumerate(task.folds(2), start=1):
        fit(task, split, tmp_path / "folds" / f"{i}of2")
    assert eeg_rule_cli.main([str(tmp_path / "folds"), "--data", str(data), "-k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(eeg_rule_cli.RULES)
    assert lines[1].startswith("3 of 4 | [0.")


def always(logit: float) -> EegModel:
    """A model that says the same of every second."""
    config = override(eeg_seizure_1(), SMALL).architecture
    network = CnnLstm(config)
    network.step_head.weight.data.zero_()
    network.step_head.bias.data[:] = 0.0
    network.step_head.bias.data[1] = logit
    card = ModelSpec(
        name="eeg-always", task="eeg", description="", signal="eeg", unit="uV", fs_hz=128.0, window_s=8.0,
        step_s=1.0, right_context_s=2.0, step_classes=("none", "seizure"), window_classes=("seizure",),
        thresholds={"seizure": 0.5, "within_s": 10, "least_s": 6, "release": 0.5, "off_s": 6},
        normalisation="", architecture=config, cost=cost_of(config, 1024), data="", split={}, metrics={},
        training={}, code_commit="",
    )  # fmt: skip
    return EegModel(network, card)


def test_simulated_hours_go_through_the_serving_path() -> None:
    beds = make_beds(3, 2, 400.0)
    run_beds(always(4.0), beds, 30)
    for bed in beds:
        # Six seconds, each known two seconds later, and an end that never comes.
        assert bed.raised == [8.0]
        assert bed.found == [(0.0, 28.0)]
        assert len(causes_of(bed)) == 1
    silent = make_beds(3, 1, 400.0)
    run_beds(always(-4.0), silent, 30)
    assert silent[0].found == []


def test_the_command_prints_false_alarms_a_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = always(-4.0)
    store.save(model.network, model.spec, tmp_path)
    assert eeg_sim_cli.main(["--model", str(tmp_path / "eeg-always.json"), "--hours", "0.02"]) == 0
    out = capsys.readouterr().out
    assert "0.02 h: sensitivity" in out
    assert "0 false (0.00 a day)" in out
    assert not np.isnan(float(out.split("(")[-1].split()[0]))
