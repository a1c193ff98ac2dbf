"""Names of EEG channels: electrodes of the 10-20 and 10-10 systems, references, bipolar pairs, and the rest.

Canonical names are those of the American Clinical Neurophysiology Society's guideline 2 (J Clin Neurophysiol
33 (2016) 308-311): ``T7 T8 P7 P8`` where the old ones are ``T3 T4 T5 T6``. A channel is the voltage of one
node against another one; nodes are electrodes, or references that are none (``REF``, ``LE``, ``AVG``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final

SITES_10_20: Final[tuple[str, ...]] = (
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz", "P4", "P8",
    "O1", "O2",
)  # fmt: skip
_SITES_10_10: Final[tuple[str, ...]] = (
    "Nz", "Fpz", "AF7", "AF3", "AFz", "AF4", "AF8", "F9", "F5", "F1", "F2", "F6", "F10", "FT9", "FT7", "FC5",
    "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "FT10", "T9", "C5", "C1", "C2", "C6", "T10", "TP9",
    "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "TP10", "P9", "P5", "P1", "P2", "P6",
    "P10", "PO7", "PO3", "POz", "PO4", "PO8", "Oz", "Iz", "T1", "T2",
)  # fmt: skip
EARS: Final[tuple[str, ...]] = ("A1", "A2", "M1", "M2")
"""Ear lobes and mastoids: electrodes, but of no brain region."""

COMMON: Final = "REF"
"""The node against which a channel without a named reference was recorded."""

_OLD_NAMES: Final = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
_REFERENCES: Final = {
    "REF": COMMON, "REFERENCE": COMMON, "LE": "LE", "A1A2": "LE", "A1+A2": "LE", "(A1+A2)/2": "LE",
    "A1/A2": "LE", "LM": "LM", "M1M2": "LM", "M1+M2": "LM", "(M1+M2)/2": "LM", "M1/M2": "LM", "AVG": "AVG",
    "AV": "AVG", "AR": "AVG", "CAR": "AVG", "AVERAGE": "AVG", "CS2": "CS2", "NE": "NE", "G1": "G1",
    "G2": "G2",
}  # fmt: skip
_NAMES: Final = {name.upper(): name for name in (*SITES_10_20, *_SITES_10_10, *EARS)} | _OLD_NAMES
_PREFIX: Final = re.compile(r"(EEG|POL)[\s_:.-]*(?=[A-Z(])")
_SPLIT: Final = re.compile(r"\s*[-:–]\s*|\s+|_")  # noqa: RUF001
_COPY: Final = re.compile(r"(?<=[A-Z\d])(-[01]|#\d+)$")
_OTHER: Final = re.compile(
    r"[-.*\s]*(-\d)?|(ECG|EKG|EMG|EOG|LOC|ROC|RESP|SPO2|PLETH|ABP|PHOTIC|VNS|IBI|BURSTS|SUPPR|PULSE|DC|HR|MK|MARK"
    r"|TRIG|STATUS|STI|EVENT|ANNOT|EDF|CO2|FLOW|THOR|ABDO|CHIN|LEG|SNORE|OSAT|PG|LUC|RLC|LUE|RAE|X\d)"
    r"([^A-Z].*|[LRIV]{1,3}|RATE.*|ANNOTATIONS)?"
)


class Role(StrEnum):
    """What a channel is."""

    EEG = "eeg"
    OTHER = "other"
    UNKNOWN = "unknown"


class Side(StrEnum):
    """Of the head."""

    LEFT = "left"
    RIGHT = "right"
    MIDLINE = "midline"


@dataclass(frozen=True, slots=True)
class Electrode:
    """A channel's name, understood.

    Parameters
    ----------
    label : str
        As it came.
    role : Role
        EEG, another signal (ECG, EMG, a marker, a place holder), or a name that says nothing.
    site : str or None
        Electrode whose voltage it is, canonical; ``None`` where it is no EEG.
    against : str or None
        Node it is measured against: an electrode, or a reference that is none (``REF``, ``LE``, ``AVG``).
    """

    label: str
    role: Role
    site: str | None = None
    against: str | None = None

    @property
    def bipolar(self) -> bool:
        """Whether it is the voltage between two electrodes of the scalp."""
        return self.against in _SCALP

    @property
    def name(self) -> str:
        """For people: ``Fp1-F7``, ``Fp1-A2``, ``Fp1`` against the common reference; else as it came."""
        if self.site is None:
            return self.label
        return self.site if self.against == COMMON else f"{self.site}-{self.against}"


_SCALP: Final = frozenset((*SITES_10_20, *_SITES_10_10))


def site_of(name: str) -> str | None:
    """Canonical name of an electrode (``fp1`` → ``Fp1``, ``T3`` → ``T7``), ``None`` for no electrode."""
    return _NAMES.get(name.strip().rstrip(".").upper())


def side_of(site: str) -> Side:
    """Side of the head on which an electrode lies: odd numbers left, even ones right."""
    digits = site.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
    if not digits:
        return Side.MIDLINE
    return Side.LEFT if int(digits) % 2 else Side.RIGHT


def is_scalp(node: str) -> bool:
    """Whether a node is an electrode of the scalp: no ear, no reference that is none."""
    return node in _SCALP


@lru_cache(maxsize=4096)
def read_name(label: str) -> Electrode:
    """Understand one channel's name.

    Case, ``EEG`` in front and dots do not matter. A name that is an electrode's alone is taken as measured
    against one common reference. A ``-0`` or ``-1`` behind a pair (CHB-MIT) and a ``#2``
    (:mod:`ingest.recording`) count copies of it.

    Parameters
    ----------
    label : str
        ``EEG Fp1-REF``, ``FP1-F7``, ``T8-P8-0``, ``Fp1-A2``, ``C3:M2``, ``ECG``, ``-`` and the like.
    """
    text = label.strip().upper().rstrip(". ")
    text = _PREFIX.sub("", text, count=1)
    parts = [part for part in _SPLIT.split(_COPY.sub("", text)) if part]
    nodes = [_NAMES.get(part.strip("."), _REFERENCES.get(part)) for part in parts]
    if (
        len(nodes) in (1, 2)
        and parts[0].strip(".") in _NAMES
        and all(nodes)
        and len(set(nodes)) == len(nodes)
    ):
        return Electrode(label, Role.EEG, nodes[0], nodes[1] if len(nodes) == 2 else COMMON)
    return Electrode(label, Role.OTHER if _OTHER.fullmatch(text) else Role.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Electrodes:
    """The channels of a chunk, understood.

    Parameters
    ----------
    channels : tuple of Electrode
        In the order in which they came.
    columns : tuple of int
        Which of them are EEG and stand for the first time.
    repeated : tuple of str
        Labels that mean what an earlier one means (``T3`` beside ``T7``, ``T8-P8-1``): the first counts.
    others, unknown : tuple of str
        Labels of other signals, and labels that say nothing.
    """

    channels: tuple[Electrode, ...]
    columns: tuple[int, ...]
    repeated: tuple[str, ...]
    others: tuple[str, ...]
    unknown: tuple[str, ...]


@lru_cache(maxsize=512)
def read_names(labels: tuple[str, ...]) -> Electrodes:
    """Understand the names of a chunk's channels.

    Parameters
    ----------
    labels : tuple of str
        As they came.
    """
    channels = tuple(read_name(label) for label in labels)
    columns: list[int] = []
    repeated: list[str] = []
    seen: set[tuple[str | None, str | None]] = set()
    for column, channel in enumerate(channels):
        if channel.role is not Role.EEG:
            continue
        node = (channel.site, channel.against)
        if node in seen:
            repeated.append(channel.label)
        else:
            seen.add(node)
            columns.append(column)
    return Electrodes(
        channels,
        tuple(columns),
        tuple(repeated),
        tuple(one.label for one in channels if one.role is Role.OTHER),
        tuple(one.label for one in channels if one.role is Role.UNKNOWN),
    )
