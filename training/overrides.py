"""Overrides ``a.b=value`` of a recipe, and its settings as text."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from ingest.errors import plain
from training.config import Recipe
from training.errors import BadRecipe

R = TypeVar("R", bound=Recipe)

Tree = dict[str, object]


def _leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys and values."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _parse(text: str, present: object) -> object:
    """Text for a value of the present one's kind; what it must be exactly, the recipe's types say."""
    if isinstance(present, str):
        return text
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    if isinstance(present, list | tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if text.lower() in ("none", "null"):
        return None
    if isinstance(present, int) and not isinstance(present, bool):
        # 1e4 is a whole number too.
        try:
            number = float(text)
        except ValueError:
            return text
        return int(number) if number.is_integer() else number
    return text


def _hint(key: str, tree: Tree) -> str:
    """``; did you mean …?`` where a key is near, or of the same last word."""
    keys = [leaf for leaf, _ in _leaves(tree)]
    same = [leaf for leaf in keys if leaf.rsplit(".", 1)[-1] == key.rsplit(".", 1)[-1]]
    near = same or difflib.get_close_matches(key, keys, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _set(tree: Tree, key: str, text: str) -> None:
    """Put a value at the dotted ``key``.

    Raises
    ------
    BadRecipe
        There is no such key; the message names the nearest one and those there are.
    """
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.get(parent)
        if not isinstance(child, dict):
            there = ", ".join(sorted(node))
            raise BadRecipe(f"--set {key}: no part {parent!r}; there are {there}{_hint(key, tree)}")
        node = child
    if last not in node:
        there = ", ".join(sorted(node))
        raise BadRecipe(f"--set {key}: no key {last!r}; there are {there}{_hint(key, tree)}")
    part = node[last]
    if isinstance(part, dict):
        raise BadRecipe(f"--set {key}: {last!r} is a part; name a key in it: {', '.join(sorted(part))}")
    node[last] = _parse(text, part)


def override(recipe: R, items: Iterable[str]) -> R:
    """A recipe with some of its settings changed.

    Parameters
    ----------
    recipe : Recipe
        Stays as it is.
    items : iterable of str
        ``optimizer.lr=1e-3``; several values are separated by commas, or written as JSON.

    Raises
    ------
    BadRecipe
        An unknown key (the nearest one is named), a value of another type or out of bounds.
    """
    tree = recipe.model_dump()
    for item in items:
        key, equals, text = item.partition("=")
        if not equals:
            raise BadRecipe(f"--set {item}: expected KEY=VALUE")
        _set(tree, key.strip(), text.strip())
    try:
        return type(recipe).model_validate(tree)
    except ValidationError as error:
        lines = (f"{'.'.join(map(str, e['loc']))}={e['input']!r}: {plain(e['msg'])}" for e in error.errors())
        raise BadRecipe("; ".join(lines)) from error


BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that TOML takes without quotes."""
BOUNDS: Final = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def _describe(field: FieldInfo) -> str:
    """Meaning and bounds of a setting, as its type has them."""
    bounds = (
        f"{sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(bound, name)
    )
    return "; ".join([*([field.description] if field.description else []), *bounds])


def _lines(part: BaseModel, prefix: str = "") -> Iterator[str]:
    """One line a setting: dotted keys are TOML."""
    for key, value in part:
        about = _describe(type(part).model_fields[key])
        if isinstance(value, BaseModel):
            yield from _lines(value, f"{prefix}{key}.")
            continue
        for leaf, one in _leaves({key: value}, prefix):
            text = json.dumps(to_jsonable_python(one), ensure_ascii=False)
            # TOML has no word for nothing.
            quoted = ".".join(part if BARE.fullmatch(part) else json.dumps(part) for part in leaf.split("."))
            line = f"# {quoted} = none" if one is None else f"{quoted} = {text}"
            yield f"{line}  # {about}" if about else line


def to_toml(recipe: Recipe) -> str:
    """Every setting on a line of its own, under the key that ``--set`` takes, with meaning and bounds."""
    return "\n".join(_lines(recipe))
