"""Errors of the inference side.

::

    InferenceError
    ├── SnapshotError       a state snapshot cannot be used: the bed starts anew, counted
    └── LeaseLost           the partition is another worker's now (retriable: rejoin)
"""

from __future__ import annotations


class InferenceError(Exception):
    """Root of all errors of :mod:`inference`."""

    retriable = False


class SnapshotError(InferenceError):
    """A state snapshot cannot be used."""


class LeaseLost(InferenceError):
    """The partition belongs to another worker now."""

    retriable = True
