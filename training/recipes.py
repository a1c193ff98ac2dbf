"""Recipes by name: functions that return a whole configuration; overrides ``a.b=value`` with clear errors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pydantic import ValidationError

from training import monitor_recipes
from training.config import Recipe
from training.errors import BadRecipe

RECIPES: Final[dict[str, Callable[[], Recipe]]] = {
    "ecg-cnn-lstm-1": monitor_recipes.ecg_cnn_lstm_1,
    "ecg-smoke": monitor_recipes.ecg_smoke,
}


def _parse(text: str) -> object:
    """A number, a truth value, a comma-separated tuple, or the text itself."""
    if "," in text:
        return tuple(_parse(part) for part in text.split(",") if part)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _set(tree: dict[str, object], key: str, value: object) -> None:
    """Put ``value`` at the dotted ``key``.

    Raises
    ------
    BadRecipe
        There is no such key; the message names those there are.
    """
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.get(parent)
        if not isinstance(child, dict):
            raise BadRecipe(f"--set {key}: no part {parent!r}; there are {', '.join(sorted(node))}")
        node = child
    if last not in node:
        raise BadRecipe(f"--set {key}: no key {last!r}; there are {', '.join(sorted(node))}")
    part = node[last]
    if isinstance(part, dict):
        raise BadRecipe(f"--set {key}: {last!r} is a part; name a key in it: {', '.join(sorted(part))}")
    node[last] = value


def get_recipe(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Build a recipe by name, with overrides ``optimizer.lr=1e-3``.

    Raises
    ------
    BadRecipe
        Unknown recipe, unknown key, or a value out of bounds.
    """
    if name not in RECIPES:
        raise BadRecipe(f"no recipe {name!r}; there are {', '.join(sorted(RECIPES))}")
    recipe = RECIPES[name]()
    tree = recipe.model_dump()
    for item in overrides:
        key, equals, text = item.partition("=")
        if not equals:
            raise BadRecipe(f"--set {item}: expected KEY=VALUE")
        _set(tree, key.strip(), _parse(text.strip()))
    try:
        return type(recipe).model_validate(tree)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise BadRecipe("; ".join(lines)) from error
