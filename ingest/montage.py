"""Montages of the EEG as matrices: from channels as they come to derivations as readers know them.

A channel is the voltage between two nodes, so the channels of a chunk are the edges of a graph. Any pair of
nodes that hang together can be had by adding up (or subtracting) the channels along the shortest way between
them: one channel where the pair itself was recorded, two by way of a common reference, more along a bipolar
chain. What lies between cancels exactly.

Where an electrode of the longitudinal montage is missing, in this order:

1. the first present neighbour of :data:`STAND_INS` stands in for it (AF3 for Fp1, FC5 for C3), each once;
2. the pair goes on to the next present electrode of its chain, over at most :data:`MOST_BRIDGED` others;
3. the pair is left out, and named.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

import numpy as np

from ingest.electrodes import Electrodes, Side, is_scalp, read_names, side_of
from ingest.types import BoolArray, FloatArray, IntArray, WideFloatArray

CHAINS: Final[dict[str, tuple[str, ...]]] = {
    "left temporal": ("Fp1", "F7", "T7", "P7", "O1"),
    "left parasagittal": ("Fp1", "F3", "C3", "P3", "O1"),
    "midline": ("Fz", "Cz", "Pz"),
    "right parasagittal": ("Fp2", "F4", "C4", "P4", "O2"),
    "right temporal": ("Fp2", "F8", "T8", "P8", "O2"),
}
"""Chains of the longitudinal bipolar montage ("double banana", ACNS guideline 3: LB-18.3)."""

LONGITUDINAL: Final = tuple(
    f"{first}-{second}" for chain in CHAINS.values() for first, second in zip(chain, chain[1:], strict=False)
)
"""All 18 pairs, in the order of the rows of :attr:`Plan.places`."""

REGIONS: Final = tuple(region for region, chain in CHAINS.items() for _ in chain[1:])
"""Chain of each of :data:`LONGITUDINAL`."""

SIDES: Final = tuple(
    {"left": Side.LEFT, "right": Side.RIGHT}.get(region.split()[0], Side.MIDLINE) for region in REGIONS
)
"""Side of each of :data:`LONGITUDINAL`."""

MOST_BRIDGED: Final = 2

STAND_INS: Final[dict[str, tuple[str, ...]]] = {
    "Fp1": ("AF3", "AF7"), "Fp2": ("AF4", "AF8"), "F7": ("F9", "AF7", "FT7", "F5"),
    "F8": ("F10", "AF8", "FT8", "F6"), "F3": ("F1", "F5", "FC3"), "F4": ("F2", "F6", "FC4"),
    "T7": ("T9", "FT7", "TP7", "C5"), "T8": ("T10", "FT8", "TP8", "C6"),
    "C3": ("C1", "C5", "FC3", "CP3", "FC5", "CP5"), "C4": ("C2", "C6", "FC4", "CP4", "FC6", "CP6"),
    "P7": ("P9", "TP7", "PO7", "P5"), "P8": ("P10", "TP8", "PO8", "P6"), "P3": ("P1", "P5", "CP3", "PO3"),
    "P4": ("P2", "P6", "CP4", "PO4"), "O1": ("PO7", "PO3"), "O2": ("PO8", "PO4"), "Fz": ("FCz", "AFz"),
    "Cz": ("FCz", "CPz"), "Pz": ("CPz", "POz"),
}  # fmt: skip
"""Electrodes of the 10-10 system beside those of the 10-20 system, the nearest first."""


class Montage(StrEnum):
    """Ways of looking at an EEG."""

    LONGITUDINAL = "longitudinal"
    AVERAGE = "average"
    AS_RECORDED = "as_recorded"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How the derivations of a montage come of the channels of a chunk.

    Parameters
    ----------
    montage : Montage
        Which.
    channels : tuple of str
        Labels of the channels, as they came.
    names : tuple of str
        Derivations (``Fp1-F7``; bridged or with a stand-in as they are: ``AF3-F7``).
    matrix : ndarray of float64, shape (n_out, n_in)
        Derivations are ``samples @ matrix.T``.
    places : ndarray of int64, shape (n_out,)
        Row of each in the whole montage (:data:`LONGITUDINAL`); those of the others simply count.
    sides, regions : tuple
        Side of the head, and chain or kind of each.
    bridged : ndarray of bool, shape (n_out,)
        Made of other electrodes than the montage asks for.
    left_out : tuple of str
        Pairs of the montage that cannot be had of these channels.
    electrodes : Electrodes
        What the names of the channels say: which are repeated, other signals, or unknown.
    """

    montage: Montage
    channels: tuple[str, ...]
    names: tuple[str, ...]
    matrix: WideFloatArray
    places: IntArray
    sides: tuple[Side, ...]
    regions: tuple[str, ...]
    bridged: BoolArray
    left_out: tuple[str, ...]
    electrodes: Electrodes

    @property
    def uses(self) -> BoolArray:
        """Which channels each derivation is made of; shape (n_out, n_in)."""
        return np.asarray(self.matrix != 0.0)

    @property
    def inputs(self) -> IntArray:
        """Columns of the channels that some derivation is made of."""
        return np.flatnonzero(self.uses.any(axis=0))

    def __call__(self, samples: FloatArray | WideFloatArray) -> FloatArray:
        """Derive, of samples as they came.

        Parameters
        ----------
        samples : ndarray, shape (n_samples, n_in)
            NaN where missing: what is made of it is missing, too.

        Returns
        -------
        ndarray of float32, shape (n_samples, n_out)

        Raises
        ------
        ValueError
            The samples have another number of channels.
        """
        if samples.shape[-1] != len(self.channels):
            raise ValueError(
                f"samples have {samples.shape[-1]} channels, the plan is made for {len(self.channels)}"
            )
        missing = np.isnan(samples)
        if not missing.any():
            return (samples @ self.matrix.T).astype(np.float32)
        derived = np.where(missing, 0.0, samples) @ self.matrix.T
        lost = missing.astype(np.float64) @ self.uses.T.astype(np.float64) > 0
        return np.where(lost, np.nan, derived).astype(np.float32)


@lru_cache(maxsize=256)
def plan_of(
    channels: tuple[str, ...],
    montage: Montage = Montage.LONGITUDINAL,
    without: frozenset[str] = frozenset(),
) -> Plan:
    """Plan a montage for the channels of a chunk.

    Parameters
    ----------
    channels : tuple of str
        Labels as they came; names that are no EEG are left out.
    montage : Montage
        Which.
    without : frozenset of str
        Labels of channels that are not to be used (an electrode that is off).
    """
    electrodes = read_names(channels)
    graph = _Graph(electrodes, without)
    rows: list[_Row]
    left_out: tuple[str, ...] = ()
    if montage is Montage.LONGITUDINAL:
        rows, left_out = _longitudinal(graph)
    elif montage is Montage.AVERAGE:
        rows = _average(graph)
    else:
        rows = _as_recorded(graph)
    matrix = np.array([row.weights for row in rows]).reshape(len(rows), len(channels))
    matrix.flags.writeable = False
    return Plan(
        montage,
        channels,
        tuple(row.name for row in rows),
        matrix,
        np.array([row.place for row in rows], dtype=np.int64),
        tuple(row.side for row in rows),
        tuple(row.region for row in rows),
        np.array([row.bridged for row in rows], dtype=np.bool_),
        left_out,
        electrodes,
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """One derivation; ``weights`` has shape (n_in,)."""

    name: str
    weights: WideFloatArray
    place: int
    side: Side
    region: str
    bridged: bool = False


class _Graph:
    """Channels as edges between nodes."""

    def __init__(self, electrodes: Electrodes, without: frozenset[str]) -> None:
        self.electrodes = electrodes
        self.n_in = len(electrodes.channels)
        self.columns = [
            column for column in electrodes.columns if electrodes.channels[column].label not in without
        ]
        self.edges: dict[str, list[tuple[str, int, float]]] = {}
        for column in self.columns:
            site, against = electrodes.channels[column].site, electrodes.channels[column].against
            if site is not None and against is not None:
                self.edges.setdefault(site, []).append((against, column, 1.0))
                self.edges.setdefault(against, []).append((site, column, -1.0))

    def from_node(self, start: str) -> dict[str, WideFloatArray]:
        """Weights that give ``start`` less each node that hangs together with it, by the shortest way."""
        found = {start: np.zeros(self.n_in)}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            for other, column, sign in self.edges.get(node, []):
                if other not in found:
                    found[other] = found[node].copy()
                    found[other][column] += sign
                    queue.append(other)
        return found


def _stood_in(graph: _Graph) -> dict[str, str]:
    """Electrode that is taken for each of the 10-20 system, where there is one."""
    taken = {site: site for site in STAND_INS if site in graph.edges}
    used = set(taken)
    for site, others in STAND_INS.items():
        free = (other for other in others if other in graph.edges and other not in used)
        stand_in = None if site in taken else next(free, None)
        if stand_in is not None:
            taken[site] = stand_in
            used.add(stand_in)
    return taken


def _longitudinal(graph: _Graph) -> tuple[list[_Row], tuple[str, ...]]:
    taken = _stood_in(graph)
    reach = {node: graph.from_node(node) for node in set(taken.values())}
    rows: list[_Row] = []
    left_out: list[str] = []
    place = 0
    for region, chain in CHAINS.items():
        for at, first in enumerate(chain[:-1]):
            onward = chain[at + 1 : at + 2 + MOST_BRIDGED]
            second = next((site for site in onward if site in taken), None)
            weights = None if first not in taken or second is None else reach[taken[first]].get(taken[second])
            wanted = LONGITUDINAL[place]
            if weights is None or second is None:
                left_out.append(wanted)
            else:
                name = f"{taken[first]}-{taken[second]}"
                rows.append(_Row(name, weights, place, SIDES[place], region, name != wanted))
            place += 1
    return rows, tuple(left_out)


def _average(graph: _Graph) -> list[_Row]:
    """Each electrode of the scalp against the mean of all that hang together, the largest such group."""
    scalp = [node for node in graph.edges if is_scalp(node)]
    groups = [{node for node in graph.from_node(start) if is_scalp(node)} for start in scalp]
    group: set[str] = max(groups, key=lambda nodes: len(nodes), default=set())
    # As they were recorded; an electrode that was the reference comes last.
    sites = [node for node in scalp if node in group]
    if len(sites) < 2:
        return []
    from_first = graph.from_node(sites[0])
    potentials = np.array([-from_first[site] for site in sites])
    weights = potentials - potentials.mean(axis=0)
    return [
        _Row(f"{site}-AVG", row, place, side_of(site), "average")
        for place, (site, row) in enumerate(zip(sites, weights, strict=True))
    ]


def _as_recorded(graph: _Graph) -> list[_Row]:
    rows = []
    for place, column in enumerate(graph.columns):
        channel = graph.electrodes.channels[column]
        sides = {side_of(node) for node in (channel.site, channel.against) if node and is_scalp(node)}
        side = sides.pop() if len(sides) == 1 else Side.MIDLINE
        rows.append(_Row(channel.name, np.eye(graph.n_in)[column], place, side, "as recorded"))
    return rows
