"""What the ECG says: beats, rhythm probabilities and lead status become conditions of the alarm rules."""

from __future__ import annotations

import numpy as np

from inference import rules_rate, rules_rhythm, rules_ventricular
from inference.alarms import Conditions
from inference.evidence import ECG_SPECS, Evidence, Finding, no_value, where_possible
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
    return {
        **where_possible(evidence, rules_rate.may_be_still(evidence), {"asystole": rules_rate.asystole}),
        **where_possible(evidence, rules_rhythm.fibrillates(evidence), {"vf": rules_rhythm.fibrillation}),
        **where_possible(
            evidence,
            rules_ventricular.may_be_ventricular(evidence),
            {
                "vt": rules_ventricular.ventricular_tachycardia,
                "pvc_run": rules_ventricular.ventricular_run,
                "bigeminy": rules_ventricular.bigeminy,
                "couplet": rules_ventricular.couplet,
            },
        ),
        **where_possible(
            evidence,
            rules_rate.may_be_fast(evidence),
            {"extreme_tachycardia": rules_rate.extreme_tachycardia},
        ),
        **where_possible(
            evidence,
            rules_rate.may_be_slow(evidence),
            {"extreme_bradycardia": rules_rate.extreme_bradycardia},
        ),
        **where_possible(evidence, rules_rate.may_have_paused(evidence), {"pause": rules_rate.pause}),
        "hr_high": rules_rate.heart_rate_high(evidence),
        "hr_low": rules_rate.heart_rate_low(evidence),
        "pvc_rate": rules_ventricular.many_ventricular(evidence, "pvc_rate"),
        "frequent_pvcs": rules_ventricular.many_ventricular(evidence, "frequent_pvcs"),
        "af": rules_rhythm.atrial_fibrillation_began(evidence),
        "af_end": rules_rhythm.atrial_fibrillation_ended(evidence),
        "lead_off": _technical(evidence, evidence.off),
        "saturated": _technical(evidence, evidence.saturated),
        "unusable": _technical(evidence, evidence.unusable),
        "noise": _technical(evidence, evidence.noisy),
    }


def _technical(evidence: Evidence, true: BoolArray) -> Finding:
    return Finding(true, evidence.ends_ns, no_value(evidence))
