"""What a file holds once it is read: one signal per kind and rate, in the units that the wire accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ingest.types import MISSING_INT16, NS_PER_S, UNIT_SCALES, FloatArray, SignalKind, WideFloatArray

Int16Array = npt.NDArray[np.int16]

_UNIT_WORDS: Final = {
    "mv": "mV",
    "millivolt": "mV",
    "millivolts": "mV",
    "uv": "uV",
    "microv": "uV",
    "microvolt": "uV",
    "microvolts": "uV",
    "v": "V",
    "volt": "V",
    "volts": "V",
    "mmhg": "mmHg",
    "kpa": "kPa",
    "pa": "Pa",
    "ohm": "ohm",
    "ohms": "ohm",
}
_UNITLESS: Final = {"", "nu", "au", "a.u.", "adu", "arb", "%", "none", "n/a", "1"}

_ECG = re.compile(
    r"(LEAD )?(ECG|EKG)[ _-]?(LEAD )?(\d{0,2}|I{1,3}|AV[RLF]|V\d?R?|ML?II|[LR][AL])([+-].*)?"
    r"|(LEAD )?(I{1,3}|AV[RLF]|V\d{0,2}R?|V[XYZ])|ML(I{1,3}|V\d?)|MCL\d?|MV\d|C[MC]\d|[RL]A-[RL]L|LA-RA"
)
_EEG_SITE: Final = (
    r"(FP[12Z]|AF[3478Z]|F([1-9]|10|Z)|FC[1-6Z]|FT([789]|10)|T([3-9]|10)|C[1-6Z]|TP([789]|10)|CP[1-6Z]"
    r"|P([1-9]|10|Z)|PO[3478Z]|O[12Z]|IZ|NZ|[AM][12])"
)
_EEG = re.compile(rf"(EEG )?{_EEG_SITE}(-({_EEG_SITE}|REF|LE|AVG?|AR|CS2|AVERAGE))?(-\d)?|EEG[ _-]?\d{{0,3}}")
_OTHERS: Final = (
    (SignalKind.PLETH, re.compile(r"PLETH.*|PPG.*|SPO2[ _-]?WAVE|PLE")),
    (SignalKind.ABP, re.compile(r"(I|A|S)?BP[123]?|ART( ?[123])?|[FU]AP|ARTERIAL.*|ABP.*")),
    (SignalKind.RESP, re.compile(r"RESP.*|IMPEDANCE|THOR(AX)?( RES)?|ABDO( RES)?")),
    (SignalKind.LUNG_SOUND, re.compile(r"LUNG.*|BREATH.*")),
    (SignalKind.HEART_SOUND, re.compile(r"PCG.*|HEART.*|PHONO.*")),
)


@dataclass(frozen=True, slots=True)
class Coding:
    """How physical values become int16: ``digital = physical * gain + baseline``, -32768 where missing.

    Parameters
    ----------
    gain : tuple of float
        Digital steps per canonical unit, one a channel.
    baseline : tuple of float
        Digital value of physical zero, one a channel; may be fractional (EDF).
    """

    gain: tuple[float, ...]
    baseline: tuple[float, ...]

    def digitise(self, samples: FloatArray | WideFloatArray) -> Int16Array:
        """Code samples of shape (n_samples, n_channels); what leaves int16 is held at its ends."""
        steps = samples.astype(np.float64) * np.array(self.gain) + np.array(self.baseline)
        held = np.clip(np.rint(np.nan_to_num(steps, nan=0.0)), MISSING_INT16 + 1, 32_767)
        digital: Int16Array = held.astype(np.int16)
        digital[np.isnan(steps)] = MISSING_INT16
        return digital

    def physical(self, digital: npt.NDArray[np.integer]) -> FloatArray:
        """Return the physical values of digital ones, NaN where missing."""
        steps = digital.astype(np.float64)
        steps[digital == MISSING_INT16] = np.nan
        values: WideFloatArray = (steps - np.array(self.baseline)) / np.array(self.gain)
        return values.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of a recording: channels of one kind at one rate.

    Parameters
    ----------
    kind : SignalKind
        What it is.
    channels : tuple of str
        Names, each once.
    unit : str
        The canonical unit of the kind (:data:`ingest.types.UNIT_SCALES`).
    fs_hz : float
        Sampling rate.
    samples : ndarray of float32, shape (n_samples, n_channels)
        Physical values, NaN where missing.
    coding : Coding or None
        The coding that is lossless for these samples where the file was digital and fits int16.
    """

    kind: SignalKind
    channels: tuple[str, ...]
    unit: str
    fs_hz: float
    samples: FloatArray
    coding: Coding | None = None

    @property
    def gain(self) -> tuple[float, ...] | None:
        """Digital steps per unit, one a channel."""
        return None if self.coding is None else self.coding.gain

    @property
    def baseline(self) -> tuple[float, ...] | None:
        """Digital value of physical zero, one a channel."""
        return None if self.coding is None else self.coding.baseline

    @property
    def n_samples(self) -> int:
        """Samples per channel."""
        return int(self.samples.shape[0])

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.fs_hz


@dataclass(frozen=True, slots=True)
class Recording:
    """What one file holds; one :class:`Signal` per kind and rate.

    Parameters
    ----------
    name : str
        The file's or record's name.
    signals : tuple of Signal
        At least one.
    left_out : tuple of str
        Channels that no kind of signal was found for.
    """

    name: str
    signals: tuple[Signal, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RawChannel:
    """One channel as a file format gives it, before it is grouped by kind.

    ``gain`` (steps per ``unit``) and ``baseline`` are None where the file holds physical values.
    """

    name: str
    unit: str
    fs_hz: float
    values: WideFloatArray
    gain: float | None = None
    baseline: float = 0.0


def canonical_unit(kind: SignalKind) -> str:
    """Return the unit in which signals of this kind are held."""
    return next(iter(UNIT_SCALES[kind]))


def unit_factor(kind: SignalKind, unit: str) -> float | None:
    """Return the factor from a file's unit to the canonical one of ``kind``, None where it does not fit."""
    word = unit.strip().replace("µ", "u").replace("μ", "u").lower()
    if word in _UNITLESS:
        return UNIT_SCALES[kind].get("au")
    return UNIT_SCALES[kind].get(_UNIT_WORDS.get(word, word))


def kind_of_channel(name: str) -> SignalKind | None:
    """Guess the kind of a signal from its channel's name (``MLII`` → ecg, ``Fp1-F7`` → eeg), or None."""
    label = name.strip().rstrip(".").upper()
    for kind, pattern in _OTHERS:
        if pattern.fullmatch(label):
            return kind
    if _ECG.fullmatch(label):
        return SignalKind.ECG
    return SignalKind.EEG if _EEG.fullmatch(label) else None


def group_channels(
    name: str, raw: Sequence[RawChannel], kind: SignalKind | None
) -> tuple[Recording, list[str]]:
    """Group channels into signals by kind and rate.

    Parameters
    ----------
    kind : SignalKind or None
        Taken for all channels whose unit fits instead of the guess by name.

    Returns
    -------
    recording : Recording
        Without signals where no channel could be used.
    refusals : list of str
        Why channels were left out, one line each.
    """
    groups: dict[tuple[SignalKind, float], list[tuple[RawChannel, float]]] = {}
    refusals: list[str] = []
    left_out: list[str] = []
    for channel in raw:
        found = kind if kind is not None else kind_of_channel(channel.name)
        factor = None if found is None else unit_factor(found, channel.unit)
        if found is None:
            refusals.append(f"channel {channel.name!r} ({channel.unit}) is of no known kind")
        elif factor is None:
            refusals.append(
                f"channel {channel.name!r} has unit {channel.unit!r}; "
                f"{found} takes {', '.join(UNIT_SCALES[found])}"
            )
        if found is None or factor is None:
            left_out.append(channel.name)
            continue
        groups.setdefault((found, channel.fs_hz), []).append((channel, factor))
    signals = tuple(
        _signal(found, fs_hz, [c for c, _ in members], np.array([f for _, f in members]))
        for (found, fs_hz), members in groups.items()
    )
    return Recording(name, signals, tuple(left_out)), refusals


def _signal(kind: SignalKind, fs_hz: float, raw: Sequence[RawChannel], factor: WideFloatArray) -> Signal:
    length = max(len(channel.values) for channel in raw)
    samples = np.full((length, len(raw)), np.nan, np.float32)
    for column, channel in enumerate(raw):
        samples[: len(channel.values), column] = channel.values * factor[column]
    return Signal(
        kind=kind,
        channels=_unique([channel.name for channel in raw]),
        unit=canonical_unit(kind),
        fs_hz=fs_hz,
        samples=samples,
        coding=_lossless(raw, factor, samples),
    )


def _lossless(raw: Sequence[RawChannel], factor: WideFloatArray, samples: FloatArray) -> Coding | None:
    """Return the file's own coding if int16 carries these samples exactly."""
    gains = [channel.gain for channel in raw if channel.gain]
    if len(gains) != len(raw):
        return None
    coding = Coding(
        gain=tuple(float(gain / scale) for gain, scale in zip(gains, factor, strict=True)),
        baseline=tuple(channel.baseline for channel in raw),
    )
    if not (np.abs(coding.baseline) < 2**22).all():  # beyond it float32 samples do not hold single steps
        return None
    steps = samples.astype(np.float64) * np.array(coding.gain) + np.array(coding.baseline)
    whole = np.rint(steps)
    fits = np.isnan(steps) | ((np.abs(steps - whole) < 0.25) & (np.abs(whole) <= 32_767))
    return coding if fits.all() else None


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Strip names to what the wire accepts and number those that occur twice (CHB-MIT has two T8-P8)."""
    out: list[str] = []
    for position, name in enumerate(names):
        base = "".join(c for c in name.strip() if c.isprintable())[:60] or f"ch{position + 1}"
        label, count = base, 1
        while label in out:
            count += 1
            label = f"{base}#{count}"
        out.append(label)
    return tuple(out)


def span_of(fs_hz: float, n_samples: int, start_s: float, duration_s: float | None) -> tuple[int, int]:
    """Return first sample and one past the last of ``start_s`` … ``start_s + duration_s``."""
    first = min(n_samples, round(start_s * fs_hz))
    last = n_samples if duration_s is None else min(n_samples, first + round(duration_s * fs_hz))
    return first, last


def sample_time_ns(index: int, fs_hz: float) -> int:
    """Return the time of sample ``index`` after sample 0 in ns."""
    return round(index / fs_hz * NS_PER_S)
