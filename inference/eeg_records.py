"""What the EEG monitor publishes: arrays of one second as vitals and predictions of each bed."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from inference.eeg_listener import SEIZURE, EegListener, Judged
from inference.eeg_quality import SIGNS, UNUSABLE, ChannelSigns
from inference.eeg_trends import TrendValues
from inference.types import EegSide, EegTrends, Prediction, SoundEvent, Vital
from ingest.bank import Bank, Due
from ingest.montage import Montage
from ingest.types import NS_PER_S, BoolArray, IntArray, SignalKind, WideFloatArray

MOST_NAMED = 6
MOST_CHARACTERS = 16
MOST_LOOKED = 3


def vitals(
    names: Mapping[int, str],
    bank: Bank,
    due: Due,
    ends_ns: IntArray,
    values: TrendValues,
    signs: ChannelSigns,
    counts: IntArray,
    usable: BoolArray,
) -> list[Vital]:
    """Trends of a second.

    Parameters
    ----------
    names : mapping
        Bed of each slot.
    bank : Bank
        Names the channels.
    due : Due
        Which streams.
    ends_ns : ndarray of int64, shape (n,)
        Device time of the second's end.
    values : TrendValues
        Trends.
    signs : ChannelSigns
        What is wrong with the channels.
    counts : ndarray of int64, shape (n, 2)
        Derivations that the channels give, and those that can be trusted.
    usable : ndarray of bool, shape (n,)
        Whether the EEG can be read at all.
    """
    electrodes = _electrodes(bank, due, signs)
    rows = zip(
        due.slots.tolist(), ends_ns.tolist(), _sides(values), _numbers(values.asymmetry),
        _numbers(values.symmetry_index), counts.tolist(), usable.tolist(), due.offsets.tolist(),
        strict=True,
    )  # fmt: skip
    made = []
    for row, (slot, time_ns, sides, asymmetry, index, (given, trusted), ok, offset) in enumerate(rows):
        left, right, whole = (EegSide(*side) for side in sides)
        trends = EegTrends(
            left, right, whole, asymmetry, index, given, trusted, electrodes.get(row, {})
        )  # fmt: skip
        made.append(
            Vital(
                id=f"{names[slot]}:{bank.kind.value}:vital:{time_ns}",
                bed=names[slot],
                signal=bank.kind.value,
                time_ns=time_ns,
                heart_rate_bpm=None,
                ventricular_per_min=None,
                quality=round(trusted / max(given, 1), 4),
                usable=ok,
                raw_offset=offset,
                revision=0,
                eeg=trends,
            )
        )
    return made


def predictions(
    names: Mapping[int, str], due: Due, judged: Judged, listener: EegListener, ends_ns: IntArray
) -> list[Prediction]:
    """What the network says of a second, some seconds after it; ``due`` and times are of all asked about.

    While a seizure goes on each second is one of its spans; that of the second that raised it reaches back to
    where it began.
    """
    rows = judged.rows
    until_ns = ends_ns[rows] - listener.behind * NS_PER_S
    said = zip(
        due.slots[rows].tolist(), until_ns.tolist(), judged.probability.round(4).tolist(),
        judged.quality.round(4).tolist(), judged.since_s.tolist(), judged.raised.tolist(),
        due.offsets[rows].tolist(), strict=True,
    )  # fmt: skip
    signal = SignalKind.EEG.value
    made = []
    for slot, end_ns, probability, quality, since_s, raised, offset in said:
        start_ns = end_ns - (since_s if raised else 1) * NS_PER_S
        made.append(
            Prediction(
                id=f"{names[slot]}:{signal}:prediction:{end_ns}",
                bed=names[slot],
                signal=signal,
                model=listener.card.name,
                channel=Montage.LONGITUDINAL.value,
                start_ns=end_ns - NS_PER_S,
                end_ns=end_ns,
                probabilities={SEIZURE: probability},
                beats=[],
                quality=quality,
                raw_offset=offset,
                revision=0,
                events=[SoundEvent(SEIZURE, start_ns, end_ns, probability)] if since_s else [],
            )
        )
    return made


def said_of_electrodes(bank: Bank, slot: int, signs: ChannelSigns, row: int) -> tuple[str, ...]:
    """Which channels cannot be used, and why ("T7, Cz (off)"): a line a sign, each channel once.

    Names came over the wire, and what is said here is read in the alarm: they are cut.
    """
    lines: list[str] = []
    told = np.zeros(len(bank.channels[slot]), dtype=np.bool_)
    for name in UNUSABLE:
        new = getattr(signs, name)[row][: len(told)] & ~told
        columns = np.flatnonzero(new)[: max(0, MOST_NAMED - int(told.sum()))].tolist()
        told |= new
        if columns:
            named = ", ".join(bank.channels[slot][column][:MOST_CHARACTERS] for column in columns)
            lines.append(f"{named} ({name})")
    if told.sum() > MOST_NAMED:
        lines[-1] += f" +{told.sum() - MOST_NAMED}"
    return tuple(lines)


def said_of_seizure(judged: Judged, row: int, derivations: Mapping[int, str]) -> tuple[str, ...]:
    """What the network said in the second that raised an alarm, and where it looked."""
    looked = judged.looked[row]
    first = [place for place in np.argsort(-looked)[:MOST_LOOKED].tolist() if looked[place] > 0]
    lines = [f"probability {judged.probability[row]:.2f}"]
    if first:
        lines.append(f"looked at most: {', '.join(derivations[place] for place in first)}")
    return tuple(lines)


def _numbers(values: WideFloatArray) -> list[float | None]:
    """Numbers of a line, rounded to a thousandth."""
    return [None if math.isnan(one) else one for one in values.round(3).tolist()]


def _sides(values: TrendValues) -> list[list[list[float | None]]]:
    """Fields of :class:`inference.types.EegSide` for each bed and side."""
    bands = values.bands_uv2.transpose(2, 0, 1)
    fields = np.stack(
        [
            values.aeeg_low_uv, values.aeeg_high_uv, values.edge_hz, *bands, values.alpha_delta,
            values.suppression,
        ],
        axis=2,
    )  # fmt: skip
    return [[_numbers(side) for side in bed] for bed in fields]


def _electrodes(bank: Bank, due: Due, signs: ChannelSigns) -> dict[int, dict[str, list[str]]]:
    """Signs by channel, of the rows that have some."""
    found: dict[int, dict[str, list[str]]] = {}
    shown = np.stack([getattr(signs, name) for name in SIGNS], axis=2)
    for row, column, sign in np.argwhere(shown).tolist():
        channel = bank.channels[int(due.slots[row])][column]
        found.setdefault(row, {}).setdefault(channel, []).append(SIGNS[sign])
    return found
