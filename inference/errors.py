"""Errors of the inference side.

::

    InferenceError
    ├── SnapshotError       a state snapshot cannot be used: the bed starts anew, counted
    ├── NotDelivered        an output was not delivered: nothing is committed, a restart goes on (retriable)
    ├── NotJudged           what there is says too little about an alarm: it counts as true
    ├── UnfitModel          the model's card asks for what this worker does not do
    ├── UnfitOption         an option asks for what this machine or installation cannot do: says what it can
    ├── BadSetting          an alarm's setting is unknown or out of its bounds: the rest stays as it was
    ├── BadUpload           a recording cannot be analysed: names the file, the field and the way out
    ├── AnalysisStopped     an analysis was cancelled, or used up its time or memory
    ├── ChaosError          a chaos run could not be carried out: says where to look
    └── StoreError          the recorder's database cannot be used: names it, never its password
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


class NotJudged(InferenceError):
    """An alarm cannot be judged by what there is: it must be treated as true."""


class UnfitModel(InferenceError):
    """The model's card asks for what this worker does not do."""


class UnfitOption(InferenceError):
    """An option of a command asks for what this machine or installation cannot do."""


class BadSetting(InferenceError):
    """A setting of an alarm is unknown, or out of its bounds."""


class BadUpload(InferenceError):
    """A recording that was handed in for analysis is refused."""


class AnalysisStopped(InferenceError):
    """An analysis did not come to its end: cancelled, or out of time or memory."""


class StoreError(InferenceError):
    """The recorder's database cannot be used."""


class BadCommand(InferenceError):
    """A command is refused: malformed, unsigned, stale, or not possible now."""


class ChaosError(InferenceError):
    """A chaos run could not be carried out."""
