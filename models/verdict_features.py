"""From the leads and pulse channels of a bed to one row of numbers about an alarm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.verdict_leads import FS_HZ as LEAD_FS_HZ
from models.verdict_leads import RATES, VIEW_S, LeadView, WideFloatArray, lead_features
from models.verdict_pulses import PulseView, pulse_features

FLAT_MV: Final = 0.02
"""A lead that moves less in the whole view is off: even asystole keeps the beats before it."""

CALM_LOW: Final = {
    "gap": 3.0,
    "stray": 0.5,
    "stray_to_end": 0.6,
    "stray_top3": 0.35,
    "irregular": 0.2,
}
"""Pulse numbers that are small while the heart goes on, and what stands in where no pulse is trusted."""

CALM_HIGH: Final = {
    "rise_least": 0.5,
    "rise_three": 0.7,
    "alike_three": 0.7,
    "alike": 0.85,
    "height_last4": 0.8,
    "height_least": 0.4,
    "height4": 0.7,
}
"""The same for those that are large."""

RATE_KEYS: Final = (*(f"{end}{k}" for end in ("slow", "fast") for k in RATES), "gap")
"""Numbers that every channel knows, so that channels can agree on them."""

LEAST_TRUST: Final = 0.02
EVIDENCE_LIMIT: Final = 3.0


def evidence(found: dict[str, float]) -> dict[str, float]:
    """How far the bed fulfils each alarm's definition: above 0 it does, within ±:data:`EVIDENCE_LIMIT`.

    The definitions (CinC 2015): no beat for 4 s; below 40/min over five beats; above 140/min over 17 beats;
    fibrillation for 4 s; five ventricular beats in a row at 100/min. Monitors alarm a tenth before them, and
    channels that disagree pull the agreed numbers together, so the borders are 3.2 s, 44/min and 126/min.
    """
    slow, fast = (60.0 / np.exp(found[f"agreed/{key}"]) for key in ("slow4", "fast16"))
    raw = {
        "Asystole": 2.5 * (found["agreed/gap"] - 3.2),
        "Bradycardia": (44.0 - slow) / 2.0,
        "Tachycardia": (fast - 126.0) / 6.0,
        "Ventricular_Flutter_Fib": 6.0 * (found["mean/vt_vf_three"] - 0.4),
        "Ventricular_Tachycardia": 6.0 * (found["mean/run_v"] - 0.5),
    }
    limit = EVIDENCE_LIMIT
    return {f"evidence/{kind}": float(np.clip(value, -limit, limit)) for kind, value in raw.items()}


def usable(view: LeadView) -> bool:
    """Whether a lead moves at all in the view."""
    return bool(np.ptp(view.signal[-round(VIEW_S * LEAD_FS_HZ) :]) > FLAT_MV)


def verdict_features(
    leads: Sequence[LeadView], pulses: Sequence[PulseView]
) -> tuple[tuple[str, ...], WideFloatArray]:
    """One row for one alarm.

    Parameters
    ----------
    leads : sequence of LeadView
        ECG leads, at least one; flat ones are left out as long as another is not.
    pulses : sequence of PulseView
        Arterial pressure and plethysmogram, as far as there are any.

    Returns
    -------
    names : tuple of str
        ``mean/…``, ``least/…``, ``most/…`` over the leads; ``pulse/…`` of the calmest trusted channel;
        ``pulse_least/…``, ``pulse_most/…`` rates over the trusted channels, or the leads without any;
        ``agreed/…`` rates and pauses over all channels, weighted by how far each can be trusted;
        ``pulses``, how many are trusted; ``evidence/…`` for each kind of alarm (:func:`evidence`).
    values : ndarray of float64, shape (n_names,)
        All finite.
    """
    moving = [view for view in leads if usable(view)] or list(leads)
    of_leads = [lead_features(view) for view in moving]
    keys = list(of_leads[0])
    table = np.array([[one[key] for key in keys] for one in of_leads])
    found: dict[str, float] = {}
    for name, values in (("mean", table.mean(0)), ("least", table.min(0)), ("most", table.max(0))):
        found |= {f"{name}/{key}": float(value) for key, value in zip(keys, values, strict=True)}
    trusted = [one for one in map(pulse_features, pulses) if one is not None]
    found["pulses"] = float(len(trusted))
    for key, default in CALM_LOW.items():
        found[f"pulse/{key}"] = min((one[key] for one in trusted), default=default)
    for key, default in CALM_HIGH.items():
        found[f"pulse/{key}"] = max((one[key] for one in trusted), default=default)
    # A lead counts the less the more its worst window looked like noise, a trusted pulse counts fully.
    noise = np.array([one["noise_max"] for one in of_leads])
    weight = np.concatenate([np.clip(1.0 - noise, LEAST_TRUST, 1.0), np.ones(len(trusted))])
    for key in RATE_KEYS:
        of_all = np.array([one[key] for one in (*of_leads, *trusted)])
        of_pulses = [one[key] for one in trusted] or [one[key] for one in of_leads]
        found[f"agreed/{key}"] = float(np.average(of_all, weights=weight))
        found[f"pulse_least/{key}"], found[f"pulse_most/{key}"] = min(of_pulses), max(of_pulses)
    found |= evidence(found)
    row = np.nan_to_num(np.array(list(found.values())), nan=0.0, posinf=50.0, neginf=-50.0)
    return tuple(found), row
