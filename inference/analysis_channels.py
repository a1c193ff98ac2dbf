"""Which channels of a file are analysed: of each kind those of one rate, and what is said of the others."""

from __future__ import annotations

from collections.abc import Sequence

from inference.analysis_unpack import shown
from inference.errors import BadUpload
from ingest.electrodes import Role, read_name
from ingest.montage import plan_of
from ingest.recording import Recording, Signal
from ingest.types import SignalKind


def keep_channels(name: str, recording: Recording, wanted: Sequence[str]) -> tuple[Recording, list[str]]:
    """The channels that are wanted; of each kind the signal with most channels, as a bed carries it.

    Of several EEGs that with most derivations: what hangs beside them is often sampled faster.

    Returns
    -------
    (Recording, list of str)
        What is kept, and a line for what is not.

    Raises
    ------
    BadUpload
        There is no such channel.
    """
    signals = recording.signals
    if wanted:
        known = [channel for signal in signals for channel in signal.channels]
        absent = [channel for channel in wanted if channel not in known]
        if absent:
            there = ", ".join(shown(channel) for channel in known)
            raise BadUpload(f"{name}: no channel {shown(absent[0])!r}; there are {there}")
        signals = tuple(one for signal in signals if (one := _only(signal, wanted)) is not None)
    best: dict[SignalKind, Signal] = {}
    for signal in sorted(signals, key=_worth, reverse=True):
        best.setdefault(signal.kind, signal)
    notes = [_other_rate(signal, best[signal.kind]) for signal in signals if best[signal.kind] is not signal]
    notes += [_no_kind(channel) for channel in recording.left_out]
    left = [channel for signal in signals if best[signal.kind] is not signal for channel in signal.channels]
    return Recording(recording.name, tuple(best.values()), (*recording.left_out, *left)), notes


def _worth(signal: Signal) -> tuple[int, int]:
    derivations = len(plan_of(signal.channels).names) if signal.kind is SignalKind.EEG else 0
    return derivations, len(signal.channels)


def _only(signal: Signal, wanted: Sequence[str]) -> Signal | None:
    at = [column for column, channel in enumerate(signal.channels) if channel in wanted]
    if not at:
        return None
    names = tuple(signal.channels[column] for column in at)
    return Signal(signal.kind, names, signal.unit, signal.fs_hz, signal.samples[:, at])


def _other_rate(signal: Signal, best: Signal) -> str:
    names = ", ".join(shown(channel) for channel in signal.channels)
    return (
        f"{signal.kind} channels {names} have {signal.fs_hz:g} Hz, the others {best.fs_hz:g} Hz: left out, "
        "since one rate of a kind is analysed; export them at that rate, or choose them alone (channels)"
    )


def _no_kind(channel: str) -> str:
    said = f"channel {shown(channel)!r} is of no kind that is known"
    if read_name(channel).role is Role.EEG:
        return f"{said}, but could be an EEG: left out; give the kind (eeg) to read it"
    return f"{said}: left out"
