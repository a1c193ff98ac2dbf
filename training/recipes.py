"""Recipes by name, or from a user's own file: functions that return a whole typed configuration."""

from __future__ import annotations

import difflib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from training import (
    af_recipes,
    beats_recipes,
    delineation_recipes,
    eeg_pretrain_config,
    eeg_recipes,
    heart_recipes,
    lung_recipes,
    monitor_recipes,
    shock_recipes,
    sound_pretrain_config,
)
from training.config import Recipe
from training.errors import BadRecipe
from training.overrides import override

RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "ecg-cnn-lstm-1": monitor_recipes.ecg_cnn_lstm_1,
    "ecg-cnn-lstm-2": monitor_recipes.ecg_cnn_lstm_2,
    "ecg-smoke": monitor_recipes.ecg_smoke,
    "ecg-af-1": af_recipes.ecg_af_1,
    "ecg-delineation-1": delineation_recipes.ecg_delineation_1,
    "ecg-beats-1": beats_recipes.ecg_beats_1,
    "eeg-pretrain-1": eeg_pretrain_config.eeg_pretrain_1,
    "eeg-seizure-1": eeg_recipes.eeg_seizure_1,
    "ecg-shock-1": shock_recipes.ecg_shock_1,
    "heart-sounds-1": heart_recipes.heart_sounds_1,
    "lung-sounds-1": lung_recipes.lung_sounds_1,
    "sound-pretrain-1": sound_pretrain_config.sound_pretrain_1,
}


def _load_function(reference: str) -> Callable[[], object]:
    """The function that ``path/to/file.py:function`` names.

    Raises
    ------
    BadRecipe
        No such file or function, or the file cannot be run.
    """
    file, _, name = reference.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise BadRecipe(f"{reference}: no file {file}")
    spec = importlib.util.spec_from_file_location(f"recipes_of_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise BadRecipe(f"{reference}: {file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Classes with postponed annotations look their module up by its name.
    sys.modules[module.__name__] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadRecipe(f"{file}: {type(error).__name__}: {error}") from error
    functions = [
        key for key, value in vars(module).items() if callable(value) and value.__module__ == module.__name__
    ]
    if name not in functions:
        raise BadRecipe(f"{file}: no function {name!r}; there are {', '.join(functions) or 'none'}")
    function: Callable[[], object] = getattr(module, name)
    return function


def find_recipe(name: str) -> Callable[[], object]:
    """The function behind a shipped recipe's name, or behind ``path/to/my_recipes.py:my_recipe``.

    Raises
    ------
    BadRecipe
        There is none; the message names the nearest.
    """
    if ".py:" in name:
        return _load_function(name)
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    file = "; a recipe of your own is named my_recipes.py:function" if not near else ""
    raise BadRecipe(f"no recipe {name!r}{hint}; there are {', '.join(sorted(RECIPES))}{file}")


def get_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Build a recipe by name, with overrides ``optimizer.lr=1e-3``.

    Raises
    ------
    BadRecipe
        Unknown recipe, unknown key, or a value out of bounds.
    """
    function = find_recipe(name)
    try:
        recipe = function()
    except (TypeError, ValueError) as error:
        raise BadRecipe(f"{name}: {error}") from error
    if not isinstance(recipe, Recipe):
        raise BadRecipe(f"{name}: it returns {type(recipe).__name__}, not a Recipe (training.config)")
    return override(recipe, overrides)
