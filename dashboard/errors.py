"""Errors of the dashboard side.

::

    DashboardError
    ├── PortInUse     the dashboard's port belongs to another program
    └── ChildDied     a process that the demo needs has ended
"""

from __future__ import annotations


class DashboardError(Exception):
    """Root of all errors of :mod:`dashboard`."""

    retriable = False


class PortInUse(DashboardError):
    """The port belongs to another program; names the way out."""


class ChildDied(DashboardError):
    """A process that the demo needs has ended; shows its last lines."""
