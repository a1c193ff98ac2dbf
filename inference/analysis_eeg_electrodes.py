"""How the electrodes of a recording are: what their names say, and what was wrong with each for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from inference.analysis_eeg_parts import USED, EegElectrode, listed
from inference.analysis_eeg_play import IMPLAUSIBLE
from inference.analysis_unpack import shown
from inference.eeg_quality import SIGNS, UNUSABLE
from inference.types import Vital
from ingest.electrodes import Role
from ingest.montage import LONGITUDINAL, Plan

NO_EEG: Final = "left out: no EEG by its name"
UNKNOWN: Final = "left out: no electrode has this name"
DOUBLED: Final = "left out: an earlier channel means the same"
UNNEEDED: Final = "in no derivation"
FEW: Final = len(LONGITUDINAL) // 2


def electrodes_of(plan: Plan, vitals: Sequence[Vital], why: Sequence[str | None]) -> list[EegElectrode]:
    """Every channel of a recording, in its order.

    Parameters
    ----------
    plan : Plan
        Longitudinal, of its channels.
    vitals : sequence of Vital
        Of each second.
    why : sequence of str or None
        Why a whole second counts for nothing.
    """
    counts: Counter[tuple[str, str]] = Counter()
    lost: Counter[str] = Counter()
    spoilt = sum(sign == IMPLAUSIBLE for sign in why)
    for vital, sign in zip(vitals, why, strict=True):
        for channel, signs in ({} if vital.eeg is None else vital.eeg.electrodes).items():
            counts.update((channel, name) for name in signs)
            lost[channel] += sign != IMPLAUSIBLE and any(name in (*UNUSABLE, "pop") for name in signs)
    used = set(plan.inputs.tolist())
    found = []
    for column, one in enumerate(plan.electrodes.channels):
        of_each = {sign: counts[one.label, sign] for sign in SIGNS}
        shares = {sign: round(count / len(vitals), 4) for sign, count in of_each.items() if count}
        usable = None
        if column in used and vitals:
            usable = round(1.0 - (lost[one.label] + spoilt) / len(vitals), 4)
        read_as = one.name if one.role is Role.EEG else "–"
        found.append(EegElectrode(one.label, read_as, _use(plan, column, used), usable, shares))
    return found


def _use(plan: Plan, column: int, used: set[int]) -> str:
    role = plan.electrodes.channels[column].role
    if role is not Role.EEG:
        return NO_EEG if role is Role.OTHER else UNKNOWN
    if column in used:
        return USED
    return UNNEEDED if column in plan.electrodes.columns else DOUBLED


def montage_notes(plan: Plan) -> list[str]:
    """What has to be said of the names of channels: one line each, with the way out."""
    named = plan.electrodes
    notes = []
    if named.repeated:
        notes.append(
            f"EEG channels {_names(named.repeated)}: mean what an earlier channel means; the first counts: "
            "rename or leave out (channels) the one that is not meant"
        )
    if named.others:
        notes.append(f"EEG channels {_names(named.others)}: no EEG by their names, left out of it")
    if named.unknown:
        notes.append(
            f"EEG channels {_names(named.unknown)}: no electrode has such a name, left out: rename them by "
            "the 10-20 system (Fp1, F7, Fp1-F7) if they are EEG"
        )
    if plan.names and plan.left_out:
        few = " A seizure there cannot be seen." if len(plan.names) < FEW else ""
        notes.append(
            f"EEG derivations {_names(plan.left_out)}: not to be had of these electrodes "
            f"({len(plan.names)} of {len(LONGITUDINAL)} are); hand in more if they were recorded.{few}"
        )
    bridged = [name for name, other in zip(plan.names, plan.bridged, strict=True) if other]
    if bridged:
        notes.append(
            f"EEG derivations {_names(bridged)}: made of other electrodes than usual, as some are missing; "
            "waves of longer pairs are larger"
        )
    return notes


def _names(names: Sequence[str]) -> str:
    return listed([shown(name) for name in names])
