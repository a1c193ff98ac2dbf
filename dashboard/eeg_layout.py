"""Montages of a bed's EEG as the browser takes them: rows of weights, so that a change needs no server."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec
import numpy as np

from ingest.electrodes import Role, Side
from ingest.montage import Montage, Plan, plan_of

TITLES: Final = {
    Montage.LONGITUDINAL: "Longitudinal bipolar",
    Montage.AVERAGE: "Average reference",
    Montage.AS_RECORDED: "As recorded",
}
MOST_CHARACTERS: Final = 24
"""Of a name: they come over the wire."""
MOST_NAMED: Final = 8


class Row(msgspec.Struct, frozen=True):
    """A derivation: sum of channels by weight. ``group`` changes where a wider gap is to stand."""

    name: str
    group: str
    side: Side
    weights: list[tuple[int, float]]
    bridged: bool = False


class MontageRows(msgspec.Struct, frozen=True, rename="camel"):
    """One montage, with what is to be said of it."""

    id: str
    title: str
    rows: list[Row]
    said: str


@lru_cache(maxsize=256)
def montages_of(channels: tuple[str, ...], off: frozenset[str] = frozenset()) -> list[MontageRows]:
    """Return the montages that can be had of some channels, those without any row left out.

    Parameters
    ----------
    channels : tuple of str
        Labels as they came.
    off : frozenset of str
        Labels of electrodes that are off. They are no part of the mean of all; where montages are made of
        pairs their rows stay, for a reader is to see which they are.
    """
    made = [
        _montage(plan_of(channels, montage, off if montage is Montage.AVERAGE else frozenset()), off)
        for montage in Montage
    ]
    return [montage for montage in made if montage.rows]


def _montage(plan: Plan, off: frozenset[str]) -> MontageRows:
    rows = [
        Row(
            name=name[:MOST_CHARACTERS],
            group=region,
            side=side,
            weights=[(int(at), round(float(weights[at]), 6)) for at in np.flatnonzero(weights)],
            bridged=bool(bridged),
        )
        for name, weights, side, region, bridged in zip(
            plan.names, plan.matrix, plan.sides, plan.regions, plan.bridged, strict=True
        )
    ]
    if plan.montage is not Montage.LONGITUDINAL:
        rows = sorted(rows, key=lambda row: (Side.LEFT, Side.MIDLINE, Side.RIGHT).index(row.side))
        rows = [msgspec.structs.replace(row, group=row.side) for row in rows]
    if plan.montage is Montage.AS_RECORDED:
        rows += _others(plan)
    said = _said(plan)
    if off and plan.montage is Montage.AVERAGE:
        said = "; ".join(filter(None, (said, f"not in the mean, for they are off: {_listed(sorted(off))}")))
    return MontageRows(plan.montage, TITLES[plan.montage], rows, said)


def _others(plan: Plan) -> list[Row]:
    """Channels whose names are no electrode's, and those that stand for the second time, as they come."""
    taken = set(plan.electrodes.columns)
    return [
        Row(
            name=channel.label[:MOST_CHARACTERS],
            group="again" if channel.role is Role.EEG else "no EEG by its name",
            side=Side.MIDLINE,
            weights=[(column, 1.0)],
        )
        for column, channel in enumerate(plan.electrodes.channels)
        if column not in taken
    ]


def _said(plan: Plan) -> str:
    """What a reader must know of the rows."""
    bridged = [name for name, is_bridged in zip(plan.names, plan.bridged, strict=True) if is_bridged]
    parts = []
    if plan.left_out:
        parts.append(f"not to be had of these electrodes: {_listed(plan.left_out)}")
    if bridged:
        parts.append(f"of other electrodes than usual: {_listed(bridged)}")
    if plan.electrodes.repeated:
        parts.append(f"sent twice, the first counts: {_listed(plan.electrodes.repeated)}")
    if plan.electrodes.unknown and plan.montage is not Montage.AS_RECORDED:
        parts.append(f"names no electrode has: {_listed(plan.electrodes.unknown)}")
    return "; ".join(parts)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    shown = ", ".join(name[:MOST_CHARACTERS] for name in names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"
