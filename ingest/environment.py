"""What the environment says to Wardwave, read into settings: nothing of it is passed over without a word.

A name that no setting has stops the start: a ward whose ``WARDWAVE_ALARM_FILE`` were ignored would run with
the limits of adults, unsaid.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from ingest.errors import SettingsError, plain

PREFIX: Final = "WARDWAVE_"
SECTIONS: Final = ("kafka", "topics", "ingest", "commands", "recorder", "dashboard")
"""First parts of names, of whichever process: all may share one environment."""
ALONE: Final = ("alarms_file", "health_at", "log_format")
"""Settings without a section."""
_BESIDE: Final = re.compile(
    # Of the compose file, of tests and of measurements.
    r"recordings|replay|data|screenshots|theme|(bench|test)_\w+"
    # What Kubernetes tells of a service whose name begins with ours.
    r"|(\w+_)?service_(host|port(_\w+)?)|(\w+_)?port_\d+_(tcp|udp)\w*"
)
_EXAMPLES: Final = {
    str(dict): '{"a value": "its role"}',
    str(tuple): '["a name", "another name"]',
}
_ADDRESS: Final = re.compile(r"(tcp|udp)://")
_MAY_BE_SECRET: Final = re.compile(r"PASS|SECRET|KEY|TOKEN|URL")
_A_PATH: Final = re.compile(r"(~|\.{0,2})/")

Read = TypeVar("Read", bound=BaseSettings)


def read(kind: type[Read], **overrides: object) -> Read:
    """Read settings from the environment.

    Raises
    ------
    SettingsError
        Names each wrong variable, its value unless it may be a secret, and the way out.
    """
    if wrong := [*unknown(kind, os.environ), *_no_json(kind, os.environ)]:
        raise SettingsError("; ".join(wrong))
    try:
        return kind(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [_line(kind, one["loc"], one["type"], one["input"], one["msg"]) for one in error.errors()]
    # Outside of the handler: the library's error, which holds values, shall not hang on ours.
    raise SettingsError("; ".join(lines))


def unknown(kind: type[BaseSettings], environment: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with names that no setting of any process has."""
    for name, value in environment.items():
        if not name.upper().startswith(PREFIX):
            continue
        own = name[len(PREFIX) :].lower()
        section, parted, field = own.partition("__")
        if section in SECTIONS and (field or not parted):
            continue
        if own in ALONE or _BESIDE.fullmatch(own) or (own.endswith("port") and _ADDRESS.match(value)):
            continue
        likely = _likely(kind, own)
        known = ", ".join(
            [f"{PREFIX}{one.upper()}__…" for one in SECTIONS] + [variable((one,)) for one in ALONE]
        )
        yield f"{name}: " + (
            f"no setting; did you mean {likely}?" if likely else f"no setting; there are {known}"
        )


def variable(location: Sequence[int | str]) -> str:
    """Name of the environment variable of a setting."""
    return f"{PREFIX}{'__'.join(str(part) for part in location).upper()}"


def _likely(kind: type[BaseSettings], own: str) -> str | None:
    """The name that was meant, as far as can be told."""
    for section in SECTIONS:
        if own.startswith(f"{section}_") and own.strip("_") != section:
            return variable((section, _likely_field(kind, section, own[len(section) :].strip("_"))))
    section, parted, field = own.partition("__")
    if parted and (near := get_close_matches(section, SECTIONS, 1)):
        return variable((near[0], _likely_field(kind, near[0], field)))
    names = {one: (one,) for one in ALONE} | {
        f"{section}_{field}": (section, field)
        for section in kind.model_fields
        for field in _fields(kind, section)
    }
    found = get_close_matches(own.replace("__", "_"), names, 1, 0.7)
    return variable(names[found[0]]) if found else None


def _likely_field(kind: type[BaseSettings], section: str, field: str) -> str:
    return next(iter(get_close_matches(field, _fields(kind, section), 1)), field)


def _fields(kind: type[BaseSettings], section: str) -> dict[str, FieldInfo]:
    """Fields of a section; none where this process has no such."""
    found = kind.model_fields.get(section)
    if found is None or not (isinstance(found.annotation, type) and issubclass(found.annotation, BaseModel)):
        return {}
    return found.annotation.model_fields


def _no_json(kind: type[BaseSettings], environment: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with values that are read as JSON: lists, tables, and whole sections."""
    for name, value in environment.items():
        section, _, field = name.upper().removeprefix(PREFIX).lower().partition("__")
        fields = _fields(kind, section) if name.upper().startswith(PREFIX) else {}
        if not value or not fields or (field and field not in fields):
            continue
        example = _EXAMPLES.get(str(get_origin(fields[field].annotation))) if field else None
        if field and example is None:
            continue
        try:
            json.loads(value)
        except ValueError:
            if field:
                yield f"{name}={value!r}: give JSON: {example}"
            else:
                first = variable((section, next(iter(fields))))
                yield f"{name}=***: is a section; set its settings one by one, {first}=… for example"


def _line(
    kind: type[BaseSettings], location: tuple[int | str, ...], problem: str, value: object, message: str
) -> str:
    """What is wrong with a variable, and its value or stars."""
    section, *rest = map(str, location)
    fields = _fields(kind, section)
    # Of a whole section any part may be a secret, and so may what is given under a mistyped name.
    hidden = problem == "extra_forbidden" or bool(fields and not rest)
    if problem == "extra_forbidden" and rest:
        near = get_close_matches(rest[0], fields, 1)
        likely = f"; did you mean {variable((section, near[0]))}?" if near else ""
        message = f"there is no such setting{likely}"
    if hidden or _is_secret(location, fields, value):
        return f"{variable(location)}=***: {plain(message).replace(str(value), '***')}"
    return f"{variable(location)}={value!r}: {plain(message)}"


def _is_secret(location: Sequence[int | str], fields: Mapping[str, FieldInfo], value: object) -> bool:
    """Whether a value may not be shown: of the path of a secret's file it may, if it looks like one."""
    name = str(location[1]) if len(location) > 1 else ""
    types = get_args(fields[name].annotation) or (fields[name].annotation,) if name in fields else ()
    if SecretStr in types:
        return True
    if _MAY_BE_SECRET.search(variable(location)) is None:
        return False
    if not isinstance(value, str | Path) or not (Path in types or name.endswith("file")):
        return True
    # pathlib's raises where a secret is longer than names may be.
    return _A_PATH.match(str(value)) is None and not os.path.isfile(value)  # noqa: PTH113
