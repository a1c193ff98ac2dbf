"""What the sound monitor publishes: arrays of one second as predictions and vitals of each bed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from inference.sound_listener import Listener, Pieces, SoundNetwork
from inference.types import Prediction, SoundEvent, Vital
from ingest.bank import Bank, Due
from ingest.types import NS_PER_S, BoolArray, IntArray, SignalKind, WideFloatArray
from models.sounds import Heard
from models.sounds_heart import STATES

SHOWN_STATES = ("S1", "S2")
"""States of the heart's cycle that are sounds."""


def vitals(
    names: Mapping[int, str],
    bank: Bank,
    due: Due,
    ends_ns: IntArray,
    per_min: WideFloatArray,
    quality: WideFloatArray,
    usable: BoolArray,
    heard: Mapping[int, dict[str, bool]],
) -> list[Vital]:
    """Breaths a minute of lung sounds, beats a minute of heart sounds; shapes (n,), NaN for no number.

    ``heard`` is what :func:`heard_of` says of some of these streams.
    """
    signal, of_lungs = bank.kind.value, bank.kind is SignalKind.LUNG_SOUND
    rows = zip(
        due.slots.tolist(),
        ends_ns.tolist(),
        np.where(usable, per_min, np.nan).round(1).tolist(),
        quality.round(4).tolist(),
        usable.tolist(),
        due.offsets.tolist(),
        strict=True,
    )
    made = []
    for row, (slot, time_ns, rate, share, ok, offset) in enumerate(rows):
        number = None if math.isnan(rate) else rate
        made.append(
            Vital(
                id=f"{names[slot]}:{signal}:vital:{time_ns}",
                bed=names[slot],
                signal=signal,
                time_ns=time_ns,
                heart_rate_bpm=None if of_lungs else number,
                ventricular_per_min=None,
                quality=share,
                usable=ok,
                raw_offset=offset,
                revision=0,
                respiratory_rate_bpm=number if of_lungs else None,
                heard=heard.get(row),
            )
        )
    return made


def heard_of(pieces: Pieces, trusted: BoolArray, classes: Sequence[str]) -> dict[int, dict[str, bool]]:
    """Which classes were heard in each piece that can be trusted, by its row; ``trusted`` of shape (n,)."""
    called = pieces.called[trusted].tolist()
    return {
        row: dict(zip(classes, one, strict=True))
        for row, one in zip(pieces.rows[trusted].tolist(), called, strict=True)
    }


def predictions(
    names: Mapping[int, str],
    bank: Bank,
    due: Due,
    pieces: Pieces,
    listener: Listener,
    window_starts_ns: IntArray,
    quality: WideFloatArray,
) -> list[Prediction]:
    """What the network heard in each piece; ``due``, times and quality are of all streams asked about."""
    signal = bank.kind.value
    asked = pieces.rows
    begins_ns = window_starts_ns[asked] + round(pieces.begins_s * NS_PER_S)
    ends_ns = window_starts_ns[asked] + round(pieces.ends_s * NS_PER_S)
    events = events_of(listener.network, pieces.heard, pieces.steps, window_starts_ns[asked])
    rows = zip(
        due.slots[asked].tolist(),
        begins_ns.tolist(),
        ends_ns.tolist(),
        pieces.probabilities.round(6).tolist(),
        quality[asked].round(4).tolist(),
        due.offsets[asked].tolist(),
        events,
        strict=True,
    )
    classes = listener.network.classes
    return [
        Prediction(
            id=f"{names[slot]}:{signal}:prediction:{end_ns}",
            bed=names[slot],
            signal=signal,
            model=listener.card.name,
            channel=bank.channels[slot][0],
            start_ns=begin_ns,
            end_ns=end_ns,
            probabilities=dict(zip(classes, said, strict=True)),
            beats=[],
            quality=share,
            raw_offset=offset,
            revision=0,
            events=heard,
        )
        for slot, begin_ns, end_ns, said, share, offset, heard in rows
    ]


def events_of(
    network: SoundNetwork, heard: Heard, steps: slice, window_starts_ns: IntArray
) -> list[list[SoundEvent]]:
    """Runs of steps that the network calls something, for each window of ``heard`` that begins then."""
    said = heard.step_probabilities[:, steps]
    labels: tuple[str, ...]
    if heard.states.shape[1]:
        labels = SHOWN_STATES
        columns = [STATES.index(name) for name in labels]
        called = heard.states[:, steps, None] == np.array(columns)
        said = said[:, :, columns]
    else:
        labels = network.step_classes
        called = said >= np.array([network.thresholds[name] for name in labels])
    step_ns = network.step_s * NS_PER_S
    middles_s = network.step_times_s(heard.step_probabilities.shape[1])[steps]
    starts_ns = np.round((middles_s - network.step_s / 2) * NS_PER_S).astype(np.int64)
    # Rows are (window, label), so that a run never reaches from one into the next.
    lines = called.transpose(0, 2, 1)
    edges = np.diff(np.pad(lines.astype(np.int8), ((0, 0), (0, 0), (1, 1))), axis=2)
    windows, columns_of, begins = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[2]
    sums = np.pad(np.cumsum(said.astype(np.float64), axis=1), ((0, 0), (1, 0), (0, 0)))
    means = (sums[windows, ends, columns_of] - sums[windows, begins, columns_of]) / np.maximum(
        ends - begins, 1
    )
    found: list[list[SoundEvent]] = [[] for _ in window_starts_ns]
    from_ns = window_starts_ns[windows] + starts_ns[begins]
    to_ns = from_ns + np.round((ends - begins) * step_ns).astype(np.int64)
    rows = zip(
        windows.tolist(), columns_of.tolist(), from_ns.tolist(), to_ns.tolist(), means.round(4).tolist(),
        strict=True,
    )  # fmt: skip
    for window, column, start_ns, end_ns, probability in rows:
        found[window].append(SoundEvent(labels[column], start_ns, end_ns, probability))
    return found
