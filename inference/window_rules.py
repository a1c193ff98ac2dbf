"""The rules of the catalogue that a network's windows make, as arrays.

Four shapes of rule, told apart by what the catalogue gives them (:class:`inference.catalog.WindowRule`):

==========  =============  ==================================================================================
shape       has            its condition
==========  =============  ==================================================================================
votes       neither        ``at_least`` of the last ``of`` windows count
new         ``quiet_s``    votes, after hardly any counting window (see :mod:`inference.window_history`)
trend       ``trend_s``    share of counting windows so many percentage points over that ``before_s`` before
lasting     a limit in s   votes without a break for so long, where another window was seen shortly before
==========  =============  ==================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference.alarm_spec import AlarmSpec, WindowRule
from ingest.types import BoolArray, IntArray, WideFloatArray

REMEMBERED_S: Final = 3600.0
"""How far back heard minutes are looked for when a sensor was off."""


@dataclass(frozen=True, slots=True)
class WindowSpecs:
    """The rules of one kind of signal as arrays. Shapes (n_rules,).

    Parameters
    ----------
    specs : tuple of AlarmSpec
        Each with ``windows``.
    at_least, of : ndarray of int64
        Votes that make the condition, of how many.
    threshold : ndarray of float64
        Summed probability from which a window counts.
    clean : ndarray of bool
        The rule looks at clean windows alone.
    new, trend, lasting : ndarray of bool
        Shape of each rule.
    quiet_share : ndarray of float64
        Share of counting windows up to which it was quiet before.
    quiet, recent, before : ndarray of int64
        Minutes that were quiet, that a trend looks at, and those that it compares them with.
    minutes : int
        Minutes to remember.
    """

    specs: tuple[AlarmSpec, ...]
    at_least: IntArray
    of: IntArray
    threshold: WideFloatArray
    clean: BoolArray
    new: BoolArray
    trend: BoolArray
    lasting: BoolArray
    quiet_share: WideFloatArray
    quiet: IntArray
    recent: IntArray
    before: IntArray
    minutes: int

    @classmethod
    def read(cls, specs: Sequence[AlarmSpec]) -> WindowSpecs:
        """Arrays of those of ``specs`` that windows make."""
        own = tuple(spec for spec in specs if spec.windows is not None)
        rules = [rule_of(spec) for spec in own]
        spans_s = [(rule.trend_s or 0.0) + (rule.before_s or 0.0) for rule in rules]
        spans_s += [max(REMEMBERED_S, rule.quiet_s) for rule in rules if rule.quiet_s is not None]
        trend = np.array([rule.trend_s is not None for rule in rules], dtype=np.bool_)
        return cls(
            own,
            np.array([rule.at_least for rule in rules], dtype=np.int64),
            np.array([rule.of for rule in rules], dtype=np.int64),
            np.array([rule.threshold for rule in rules]),
            np.array([spec.needs == "clean" for spec in own], dtype=np.bool_),
            np.array([rule.quiet_s is not None for rule in rules], dtype=np.bool_),
            trend,
            np.array([spec.limit is not None for spec in own], dtype=np.bool_) & ~trend,
            np.array([rule.quiet_share for rule in rules]),
            _minutes([rule.quiet_s for rule in rules]),
            _minutes([rule.trend_s for rule in rules]),
            _minutes([rule.before_s for rule in rules]),
            2 + math.ceil(max(spans_s, default=0.0) / 60.0),
        )

    def mixing(self, classes: tuple[str, ...]) -> WideFloatArray:
        """Which classes are summed for which rule; shape (n_classes, n_rules).

        A rule none of whose classes there is has a column of zeros: it cannot be judged by such a model.
        """
        return np.array(
            [[float(name in rule_of(spec).classes) for spec in self.specs] for name in classes]
        ).reshape(len(classes), len(self.specs))


def rule_of(spec: AlarmSpec) -> WindowRule:
    """Rule of an alarm that windows make.

    Raises
    ------
    ValueError
        The alarm is made by something else.
    """
    if spec.windows is None:
        raise ValueError(f"alarm {spec.key} has no windows")
    return spec.windows


def _minutes(spans_s: list[float | None]) -> IntArray:
    return np.array([math.ceil((span_s or 0.0) / 60.0) for span_s in spans_s], dtype=np.int64)
