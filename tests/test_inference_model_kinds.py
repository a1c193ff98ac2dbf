"""A network of the wrong kind stops the start of a worker; a damaged file does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import wardwave
from inference.errors import UnfitOption
from inference.model_kinds import TASKS, check_kinds
from models import cards

OTHER = {
    "--model": "eeg-seizure-1",
    "--beats-model": "ecg-af-1",
    "--lung-model": "heart-sounds-1",
    "--heart-model": "lung-sounds-1",
    "--eeg-model": "lung-sounds-1",
}


def test_every_shipped_kind_fits_its_option_and_no_other() -> None:
    for option, task in TASKS.items():
        fitting = [name for name in cards.shipped() if cards.read_spec(name).task == task]
        assert fitting, option
        for name in cards.shipped():
            if name in fitting:
                check_kinds({option: name})
            else:
                with pytest.raises(UnfitOption):
                    check_kinds({option: name})


@pytest.mark.parametrize("option", OTHER)
def test_the_refusal_names_option_card_its_task_and_what_is_wanted(option: str) -> None:
    with pytest.raises(UnfitOption) as refused:
        check_kinds({option: OTHER[option]})
    task = cards.read_spec(OTHER[option]).task
    said = str(refused.value)
    assert said.startswith(f"{option} {OTHER[option]}: its card says task '{task}', this option wants ")
    assert f"wants '{TASKS[option]}'; give " in said


def test_what_is_not_asked_for_or_cannot_be_read_is_not_refused(tmp_path: Path) -> None:
    card = tmp_path / "eeg-seizure-1.json"
    card.write_text('{"name": 7')
    check_kinds({"--eeg-model": str(card), "--lung-model": "none", "--heart-model": None})
    check_kinds({"--eeg-model": str(tmp_path / "gone.json")})


def test_a_worker_that_is_given_another_kind_of_network_does_not_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in cards.WEIGHTS.glob("heart-sounds-1.*"):
        shutil.copy(path, tmp_path)
    own = tmp_path / "heart-sounds-1.json"
    assert wardwave.main(["infer", "--eeg-model", str(own)]) == 2
    said = capsys.readouterr().err
    assert f"wardwave infer: --eeg-model {own}: its card says task 'heart', this option wants 'eeg'" in said
    assert "eeg-seizure-1" in said
