"""Errors of the inference side.

::

    InferenceError
    ├── SnapshotError       a state snapshot cannot be used: the bed starts anew, counted
    ├── NotDelivered        an output was not delivered: nothing is committed, a restart goes on (retriable)
    └── UnfitModel          the model's card asks for what this worker does not do
"""

from __future__ import annotations


class InferenceError(Exception):
    """Root of all errors of :mod:`inference`."""

    retriable = False


class SnapshotError(InferenceError):
    """A state snapshot cannot be used."""


class NotDelivered(InferenceError):
    """An output was refused or expired: the offset behind it must not be committed."""

    retriable = True


class UnfitModel(InferenceError):
    """The model's card asks for what this worker does not do."""
