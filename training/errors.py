"""Errors of the training side.

::

    TrainingError
    ├── DataMissing         a folder, record or annotation is not there, or a split is empty
    ├── BadAnnotation       an annotation cannot be understood
    ├── BadRecipe           an unknown recipe, an unknown key of ``--set`` or a value out of bounds
    ├── BadCheckpoint       a run cannot be resumed from what lies in its folder
    ├── Diverged            the loss or a figure of validation is no number any more
    ├── CannotCompare       two models were not scored on the same things
    ├── CannotAnnotate      a recording cannot be annotated, or its annotation not written
    └── DownloadFailed      a data set cannot be fetched, or is not what its checksums say

Only DownloadFailed is retriable: the others come again until a file or an argument changes.
"""

from __future__ import annotations


class TrainingError(Exception):
    """Root of all errors of :mod:`training`."""

    retriable = False


class DataMissing(TrainingError):
    """A folder, record or annotation is not there, or a split is empty."""


class BadAnnotation(TrainingError):
    """An annotation cannot be understood."""


class BadRecipe(TrainingError):
    """An unknown recipe, an unknown key of ``--set``, or a value out of bounds."""


class BadCheckpoint(TrainingError):
    """A run cannot be resumed from what lies in its folder."""


class Diverged(TrainingError):
    """The loss or a figure of validation is no number any more."""


class CannotCompare(TrainingError):
    """Two models are of different tasks, or were not scored on the same things."""


class CannotAnnotate(TrainingError):
    """A recording cannot be annotated, or its annotation cannot be written."""


class DownloadFailed(TrainingError):
    """A data set cannot be fetched, or is not what its checksums say."""

    retriable = True
