"""Recordings of EEG as the network sees them: montage, serving filter, running scale; kept in the cache.

Everything goes through what serves: :mod:`ingest.montage`, :mod:`ingest.conditioning`,
:mod:`models.eeg_scale`. Kept as half floats that are mapped, not read: a set is larger than the memory.

Shape legend: N samples, C derivations.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from inference import eeg_quality
from ingest import conditioning, electrodes, filters, montage, resample
from ingest.conditioning import EEG
from ingest.errors import BadRecording
from ingest.montage import Plan, plan_of
from ingest.readers import read_signal_files
from ingest.recording import Signal
from ingest.types import BoolArray, SignalKind, WideFloatArray
from models import eeg_scale
from models.eeg_scale import scale_recording
from models.spec import RunningScaleSpec
from training import eeg_trust
from training.eeg_trust import SECOND, DerivedStream, trusted_only
from training.errors import BadAnnotation

logger = logging.getLogger(__name__)

FloatArray = npt.NDArray[np.float32]
HalfArray = npt.NDArray[np.float16]

RATE_HZ: Final = EEG.rate_hz
BAND_HZ: Final = (EEG.low_hz, EEG.high_hz)
PIECE_S: Final = 600.0
"""Files are read in pieces of this length: hours of 23 channels do not lie in memory at once."""
PLAUSIBLE_UV: Final = (0.4, 3_000.0)
"""Typical size of a derivation after the filter; outside of it the unit cannot be right."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Channels without a gap in time: µV at their own rate, shape (N, C), NaN where missing."""

    start_s: float
    fs_hz: float
    samples: FloatArray | WideFloatArray


def condition_pieces(plan: Plan, pieces: list[Piece], duration_s: float) -> FloatArray:
    """Conditioned derivations of a whole recording, (D, N) at :data:`RATE_HZ`.

    NaN between the pieces, and where the worker would not trust an electrode.

    Parameters
    ----------
    plan : Plan
        Of the channels of all pieces.
    pieces : list of Piece
        In order of time; each is filtered as a stream that begins anew.
    duration_s : float
        Of the recording.
    """
    out = np.full((len(plan.names), round(duration_s * RATE_HZ)), np.nan, dtype=np.float32)
    for piece in pieces:
        done = trusted_only(*DerivedStream(plan, piece.fs_hz).push(piece.samples))
        first = round(piece.start_s * RATE_HZ)
        part = done[:, : out.shape[1] - first]
        out[:, first : first + part.shape[1]] = part
    return out


def _edf_pieces(path: Path) -> Iterator[tuple[Signal, ...]]:
    """Signals of a file in µV by their rate, piece by piece.

    Raises
    ------
    BadAnnotation
        The file cannot be read, or no channel of it is in volts of any size.
    """
    import pyedflib

    try:
        with pyedflib.EdfReader(str(path)) as reader:
            duration_s = float(reader.file_duration)
    except OSError as error:
        raise BadAnnotation(f"{path}: not readable as EDF: {error}; fetch it anew") from error
    begin = 0.0
    while begin < duration_s:
        lasts = min(PIECE_S, duration_s - begin)
        try:
            # Names decide what is EEG (ingest.electrodes), which knows more of them than the reader.
            yield read_signal_files(path, kind=SignalKind.EEG, start_s=begin, duration_s=lasts).signals
        except BadRecording as error:
            raise BadAnnotation(str(error)) from error
        begin += PIECE_S


def read_edf(path: Path, unit_factor: float = 1.0) -> tuple[tuple[str, ...], FloatArray]:
    """Conditioned derivations of an EDF file, with their names; shape (C, N).

    Channels of several rates are conditioned by rate; a derivation is made of channels of one rate. Of
    channels with the same name the first counts.

    Parameters
    ----------
    path : Path
        Of the file.
    unit_factor : float
        What its values are multiplied by where its header's unit is wrong (1000: it says µV and means mV).

    Raises
    ------
    BadAnnotation
        No EEG derivation can be made of its channels, or its values are of no EEG's size.
    """
    streams: dict[float, DerivedStream] = {}
    parts: dict[float, list[tuple[FloatArray, BoolArray]]] = {}
    labels: list[str] = []
    for signals in _edf_pieces(path):
        for one in signals:
            plan = plan_of(one.channels)
            labels += [label for label in one.channels if label not in labels]
            if one.fs_hz < EEG.min_fs_hz or not plan.names:
                continue
            stream = streams.setdefault(one.fs_hz, DerivedStream(plan, one.fs_hz))
            parts.setdefault(one.fs_hz, []).append(stream.push(one.samples * np.float32(unit_factor)))
    if not parts:
        raise BadAnnotation(
            f"{path}: channels {', '.join(labels[:30]) or 'none'} give no longitudinal derivation "
            f"at {EEG.min_fs_hz:g} Hz or more; rename them as electrodes (Fp1, F7, …) or remove the record"
        )
    # A derivation of the slower channels is taken only where the faster ones do not have it.
    found: dict[str, tuple[FloatArray, BoolArray]] = {}
    for rate in sorted(parts, reverse=True):
        x, trusted = (np.concatenate(part, axis=1) for part in zip(*parts[rate], strict=True))
        for row, name in enumerate(streams[rate].plan.names):
            found.setdefault(name, (x[row], trusted[row]))
    n_seconds = max(len(trusted) for _, trusted in found.values())
    whole = np.full((len(found), n_seconds * SECOND), np.nan, dtype=np.float32)
    sure = np.zeros((len(found), n_seconds), dtype=np.bool_)
    for i, (line, trusted) in enumerate(found.values()):
        whole[i, : len(line)], sure[i, : len(trusted)] = line, trusted
    # Of a wrong unit no second would be trusted: its size is looked at first.
    check_size(path, whole)
    return tuple(found), trusted_only(whole, sure)


def check_size(path: Path, x_CN: FloatArray) -> None:
    """Refuse values that no EEG has: the file's physical dimension is wrong.

    Raises
    ------
    BadAnnotation
        Names the size and the factor that would make it plausible.
    """
    sizes = np.nanmedian(np.abs(x_CN[:, :: max(1, x_CN.shape[1] // 20_000)]), axis=1)
    live = sizes[np.isfinite(sizes) & (sizes > 0)]
    if not len(live):
        return
    size = float(np.median(live))
    if not PLAUSIBLE_UV[0] <= size <= PLAUSIBLE_UV[1]:
        factor = 1_000.0 if size < PLAUSIBLE_UV[0] else 1e-3
        raise BadAnnotation(
            f"{path}: physical dimension: derivations are typically {size:.3g} µV, which no EEG is; if "
            f"the header's unit is wrong, try --set data.unit_factor={factor:g}"
        )


def _code_hash() -> str:
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for module in (conditioning, filters, resample, electrodes, montage, eeg_scale, eeg_quality, eeg_trust):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


CODE: Final = _code_hash()


@dataclass(frozen=True, slots=True)
class Held:
    """A recording's scaled derivations, (C, N) as half floats, mapped from the cache."""

    names: tuple[str, ...]
    x: HalfArray


def keep(
    cache: Path,
    stem: str,
    about: str,
    read: Iterator[tuple[tuple[str, ...], FloatArray]],
    step: int,
    scale: RunningScaleSpec,
) -> Held:
    """Scaled derivations through the cache.

    Parameters
    ----------
    cache : Path
        Folder of the cache.
    stem : str
        Name of the recording.
    about : str
        What tells this signal from another one: the file's size, time and path, its settings.
    read : iterator
        Gives names and conditioned derivations, asked only where the cache has none.
    step : int
        Samples of a step of the model.
    scale : RunningScaleSpec
        Of the model.
    """
    key = hashlib.sha256(f"{CODE} {about} {EEG} {step} {scale}".encode()).hexdigest()[:32]
    entry = cache / f"eeg-{stem.replace('/', '_')}-{key}.npy"
    listed = entry.with_suffix(".txt")
    if not (entry.exists() and listed.exists()):
        names, x = next(read)
        scaled = scale_recording(x, step, scale).astype(np.float16)
        cache.mkdir(parents=True, exist_ok=True)
        # Several trainings may fill the cache at the same time.
        part = entry.with_suffix(f".{os.getpid()}.part.npy")
        np.save(part, scaled)
        listed.write_text("\n".join(names), encoding="utf-8")
        part.replace(entry)
    return Held(
        tuple(listed.read_text(encoding="utf-8").splitlines()),
        np.load(entry, mmap_mode="r", allow_pickle=False),
    )
