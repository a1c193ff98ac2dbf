"""Errors of the dashboard side.

::

    DashboardError
    ├── UsersError    the users file cannot be used, or a user cannot be made so
    ├── Unguarded     other machines could reach a dashboard that nobody signs in to
    ├── PortInUse     the dashboard's port belongs to another program
    └── ChildDied     a process that the demo needs has ended
"""

from __future__ import annotations


class DashboardError(Exception):
    """Root of all errors of :mod:`dashboard`."""

    retriable = False


class UsersError(DashboardError):
    """The users file cannot be used, or a user cannot be made so; names the way out."""


class Unguarded(DashboardError):
    """Other machines could reach a dashboard that nobody signs in to; names the ways out."""


class PortInUse(DashboardError):
    """The port belongs to another program; names the way out."""


class ChildDied(DashboardError):
    """A process that the demo needs has ended; shows its last lines."""
