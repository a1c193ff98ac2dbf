"""What the ECG says: beats, rhythm probabilities and lead status become conditions of the alarm rules."""

from __future__ import annotations

import numpy as np

from inference import rules_rate, rules_rhythm, rules_ventricular
from inference.alarms import Conditions
from inference.evidence import ECG_SPECS, Evidence, Finding, no_value
from ingest.types import BoolArray


def conditions(evidence: Evidence) -> Conditions:
    """Judge every rule of :data:`~inference.evidence.ECG_SPECS` for some beds."""
    findings = _findings(evidence)
    ordered = [findings[spec.kind] for spec in ECG_SPECS]
    lead = ~evidence.unusable
    judged = {"nothing": np.ones_like(lead), "lead": lead, "clean": lead & ~evidence.noisy}
    each = [
        judged[spec.needs] & finding.known & (evidence.settled | (spec.kind != "vf"))
        for spec, finding in zip(ECG_SPECS, ordered, strict=True)
    ]
    return Conditions(
        evidence.slots,
        evidence.ends_ns,
        np.stack([finding.true for finding in ordered], axis=1),
        np.stack(each, axis=1),
        np.stack([finding.onsets_ns for finding in ordered], axis=1),
        np.stack([finding.values for finding in ordered], axis=1),
    )


def _findings(evidence: Evidence) -> dict[str, Finding]:
    runs = rules_ventricular.vt_runs(evidence)
    return {
        "asystole": rules_rate.asystole(evidence),
        "vf": rules_rhythm.fibrillation(evidence),
        "vt": rules_ventricular.ventricular_tachycardia(evidence, runs),
        "extreme_tachycardia": rules_rate.extreme_tachycardia(evidence),
        "extreme_bradycardia": rules_rate.extreme_bradycardia(evidence),
        "hr_high": rules_rate.heart_rate_high(evidence),
        "hr_low": rules_rate.heart_rate_low(evidence),
        "pause": rules_rate.pause(evidence),
        "pvc_run": rules_ventricular.ventricular_run(evidence, runs),
        "pvc_rate": rules_ventricular.many_ventricular(evidence, "pvc_rate"),
        "frequent_pvcs": rules_ventricular.many_ventricular(evidence, "frequent_pvcs"),
        "bigeminy": rules_ventricular.bigeminy(evidence),
        "couplet": rules_ventricular.couplet(evidence, runs),
        "af": rules_rhythm.atrial_fibrillation_began(evidence),
        "af_end": rules_rhythm.atrial_fibrillation_ended(evidence),
        "lead_off": _technical(evidence, evidence.off),
        "saturated": _technical(evidence, evidence.saturated),
        "unusable": _technical(evidence, evidence.unusable),
        "noise": _technical(evidence, evidence.noisy),
    }


def _technical(evidence: Evidence, true: BoolArray) -> Finding:
    return Finding(true, evidence.ends_ns, no_value(evidence))
