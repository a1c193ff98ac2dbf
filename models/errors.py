"""Errors of the model side.

::

    ModelError
    ├── ModelNotFound       no model of this name or at this path: names the models there are
    ├── DamagedWeights      the weights are unreadable, of a wrong format, or not those the card describes
    ├── CardMismatch        the card is not a valid spec, or its weights do not fit the network it describes
    ├── CannotExport        a model cannot be written in another format, or what was written differs from it
    ├── UnknownAlarm        a verdict is asked for on a kind of alarm, or from numbers, that its model lacks
    └── CannotExplain       there is no such output to explain, or the input does not fit the network

None is retriable: the same call fails again until a file or an argument changes.
"""

from __future__ import annotations


class ModelError(Exception):
    """Root of all errors of :mod:`models`."""

    retriable = False


def plain(message: str) -> str:
    """What pydantic says of a field, without its own "Value error, " before words that are ours."""
    return message.removeprefix("Value error, ")


class ModelNotFound(ModelError):
    """No model of this name or at this path."""


class DamagedWeights(ModelError):
    """The weights are unreadable, of a foreign format, or not those that the card describes."""


class CardMismatch(ModelError):
    """The card is no valid spec, or the weights do not fit the network that it describes."""


class CannotExport(ModelError):
    """A model cannot be written in another format, or what was written differs from it."""


class CannotExplain(ModelError):
    """There is no such output to explain, or the input does not fit the network."""


class UnknownAlarm(ModelError):
    """A verdict is asked for on a kind of alarm, or from numbers, that its model does not know."""
