"""The commands train, crossval and recipes, as a user calls them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import wardwave
from training.errors import BadRecipe
from training.folder_labels import Labels, read_labels
from training.recipes import RECIPES, get_recipe

OWN = """
from training.config import OptimizerConfig
from training.monitor_recipes import MonitorRecipe


def quick(steps: int = 20) -> MonitorRecipe:
    return MonitorRecipe(name="quick", description="A short one.", optimizer=OptimizerConfig(steps=steps))


def numbers() -> dict:
    return {"lr": 1e-3}


def broken() -> MonitorRecipe:
    return MonitorRecipe(name="broken", description="", optimizer=OptimizerConfig(steps=-1))


def needs(argument):
    return argument
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "my_recipes.py"
    path.write_text(OWN)
    return path


def test_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["recipes"]) == 0
    said = capsys.readouterr().out
    for name in RECIPES:
        assert name in said
        assert RECIPES[name]().description in said


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_recipe_is_shown_whole(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = RECIPES[name]()
    assert wardwave.main(["recipes", "show", name]) == 0
    shown = tomllib.loads(capsys.readouterr().out)
    # TOML has no word for nothing: such settings are comments.
    assert type(recipe).model_validate(shown) == recipe
    assert wardwave.main(["recipes", "show", name, "--json", "--set", "optimizer.lr=0.25"]) == 0
    assert json.loads(capsys.readouterr().out)["optimizer"]["lr"] == 0.25


def test_settings_are_shown_with_meaning_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert wardwave.main(["recipes", "show", "ecg-smoke"]) == 0
    said = capsys.readouterr().out
    assert "optimizer.momentum = 0.9  # of sgd (Nesterov); ≥ 0; < 1" in said


def test_a_recipe_of_the_users_own_file(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert get_recipe(f"{own}:quick", ["optimizer.lr=0.01"]).optimizer.steps == 20
    assert wardwave.main(["recipes", "show", f"{own}:quick"]) == 0
    assert "optimizer.steps = 20" in capsys.readouterr().out


def test_a_file_of_recipes_may_have_classes_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "classes.py"
    path.write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from training.config import OptimizerConfig\n"
        "from training.monitor_recipes import MonitorRecipe\n"
        "class Gentle(OptimizerConfig):\n    lr: float = 1e-4\n"
        "@dataclass\nclass Ward:\n    name: str = 'north'\n"
        "class Mine(MonitorRecipe):\n    optimizer: Gentle = Gentle()\n"
        "def mine() -> Mine:\n    return Mine(name=Ward().name, description='')\n"
    )
    recipe = get_recipe(f"{path}:mine", ["optimizer.steps=3"])
    assert (recipe.name, recipe.optimizer.lr, recipe.optimizer.steps) == ("north", 1e-4, 3)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("my_recipes.py:slow", r"no function 'slow'; there are quick, numbers, broken, needs"),
        ("my_recipes.py:numbers", "returns dict, not a Recipe"),
        ("my_recipes.py:broken", "steps"),
        ("my_recipes.py:needs", "argument"),
        ("none.py:quick", "no file"),
        ("wrong.py:quick", r"wrong\.py: SyntaxError"),
    ],
)
def test_a_file_that_gives_no_recipe_is_named(own: Path, reference: str, says: str) -> None:
    (own.parent / "wrong.py").write_text("def (")
    with pytest.raises(BadRecipe, match=says):
        get_recipe(f"{own.parent}/{reference}")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["train", "ecg-smok"], "did you mean ecg-smoke?"),
        (["train", "ecg-smoke", "--set", "optimizer.learnrate=1"], "optimizer.learnrate: no key"),
        (["train", "ecg-smoke", "--set", "run.seed=x"], "run.seed='x'"),
        (["train", "ecg-smoke", "--set", "optimizer.lr=7"], "less than or equal to 1"),
        (["train", "ecg-smoke", "--set", "optimizer.name=adam"], "'adamw' or 'sgd'"),
        (["train", "ecg-smoke", "--device", "cuda:99"], "--device cuda:99: torch sees"),
        (["train", "ecg-smoke", "--labels", "labels.toml"], "--labels"),
        (
            ["train", "ecg-af-1", "--records", "nowhere"],
            "--records serves ecg-beats-1, ecg-cnn-lstm-1, ecg-cnn-lstm-2, ecg-smoke",
        ),
        (["train", "ecg-smoke", "--records", "nowhere"], "nowhere: no such folder"),
        (["train", "ecg-smoke", "--set", "data.sources=folder"], "which one? --records DIR"),
        (["train", "ecg-smoke", "--data", "nowhere"], "nowhere"),
        (["train", "ecg-smoke", "--fold", "6/5", "--data", "nowhere"], "6 is not between 1 and 5"),
        (["crossval", "ecg-smoke", "--folds", "1"], "--folds 1: at least 2"),
        (["crossval", "ecg-smoke", "--folds", "5"], "it has no 5 folds"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_is_spent(
    words: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert wardwave.main(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said
    assert not (tmp_path / "runs").exists()


DOCUMENT = (Path(__file__).resolve().parent.parent / "docs" / "training.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)


def documented_commands() -> list[str]:
    """Commands of the document, continued lines joined, remarks left out."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [
        line.split("  #")[0].split("-m wardwave ")[-1].removeprefix("wardwave ")
        for line in lines
        if "wardwave " in line
    ]


@pytest.mark.parametrize("command", documented_commands())
def test_documented_commands_are_understood(command: str, own: Path) -> None:
    args = wardwave.build_parser(sorted(set(wardwave.COMMANDS.values()))).parse_args(shlex.split(command))
    (own.parent / "my_recipes.py").write_text(blocks("python")[0])
    if hasattr(args, "overrides"):
        name = getattr(args, "recipe", None) or args.name
        get_recipe(name.replace("my_recipes.py", str(own)), args.overrides)


def test_the_documented_label_map_is_one(tmp_path: Path) -> None:
    (tmp_path / "labels.toml").write_text(blocks("toml")[0])
    labels = read_labels(tmp_path / "labels.toml")
    assert isinstance(labels, Labels)
    assert labels.patients.before == "_"


def test_a_wrong_setting_is_told_before_torch_is_loaded() -> None:
    script = (
        "import sys, wardwave\n"
        "code = wardwave.main(['train', 'ecg-smoke', '--set', 'optimizer.lrr=1'])\n"
        "print('torch' in sys.modules, code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "2"]
    assert "lrr" in done.stderr
