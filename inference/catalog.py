"""The alarms of the first set, as data (docs/alarms.md). Delays and limits are defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inference.types import Priority

PREFIXES: Final = {Priority.HIGH: "***", Priority.MEDIUM: "**", Priority.LOW: "*", Priority.TECHNICAL: "!!!"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One alarm.

    Parameters
    ----------
    kind : str
        Name on the wire.
    priority : Priority
        How loud.
    text : str
        What staff read; ``value``, ``limit`` and ``unit`` are filled in.
    on_delay_s, off_delay_s : float
        How long the condition must hold, or be gone, before the alarm begins or ends.
    limit : float or None
        What the value is held against.
    unit : str or None
        Of value and limit.
    yields_to : tuple of str
        Alarms that say the same more gravely: while one of them is active this one is not raised.
    """

    kind: str
    priority: Priority
    text: str
    on_delay_s: float = 0.0
    off_delay_s: float = 3.0
    limit: float | None = None
    unit: str | None = None
    yields_to: tuple[str, ...] = ()

    def message(self, value: float | None) -> str:
        """Text with prefix, as staff read it ("*** EXTREME TACHY 152 > 140")."""
        shown = "" if value is None else f"{value:.1f}" if abs(value) < 10 else f"{value:.0f}"
        limit = "" if self.limit is None else f"{self.limit:g}"
        return f"{PREFIXES[self.priority]} {self.text.format(value=shown, limit=limit)}"


ASYSTOLE: Final = Rule("asystole", Priority.HIGH, "ASYSTOLE {value} s > {limit} s", limit=4.0, unit="s")
VF: Final = Rule("vf", Priority.HIGH, "VENT FIB/FLUTTER", off_delay_s=6.0)
VT: Final = Rule(
    "vt", Priority.HIGH, "VENT TACHY {value} > {limit}", limit=100.0, unit="/min", yields_to=("vf",)
)
EXTREME_TACHYCARDIA: Final = Rule(
    "extreme_tachycardia",
    Priority.HIGH,
    "EXTREME TACHY {value} > {limit}",
    limit=140.0,
    unit="/min",
    yields_to=("vf", "vt"),
)
EXTREME_BRADYCARDIA: Final = Rule(
    "extreme_bradycardia",
    Priority.HIGH,
    "EXTREME BRADY {value} < {limit}",
    limit=40.0,
    unit="/min",
    yields_to=("asystole", "vf", "vt"),
)
LEAD_OFF: Final = Rule(
    "lead_off", Priority.TECHNICAL, "ECG LEADS OFF: arrhythmia alarms suspended", off_delay_s=2.0
)
UNUSABLE: Final = Rule(
    "unusable",
    Priority.TECHNICAL,
    "ECG NOT USABLE: arrhythmia alarms suspended",
    on_delay_s=4.0,
    off_delay_s=2.0,
    yields_to=("lead_off",),
)
NO_DATA: Final = Rule("no_data", Priority.TECHNICAL, "NO DATA: alarms suspended", off_delay_s=0.0)

ECG_RULES: Final = (ASYSTOLE, VF, VT, EXTREME_TACHYCARDIA, EXTREME_BRADYCARDIA, LEAD_OFF, UNUSABLE)
"""Rules that look at the signal, graver first. :data:`NO_DATA` looks at the clock (``inference.no_data``)."""
