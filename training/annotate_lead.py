"""One lead of a user's WFDB record as a model sees it; what cannot be used is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import wfdb
from scipy import signal as dsp

from ingest import conditioning
from ingest.conditioning import ConditioningSpec, conditioning_of
from ingest.filters import band_pass
from ingest.recording import kind_of_channel
from ingest.types import SignalKind
from models.spec import ModelSpec
from training.errors import CannotAnnotate

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lead:
    """One ECG lead as the model sees it.

    Attributes
    ----------
    signal : ndarray of float32, shape (n,)
        Conditioned, mV, at the model's rate.
    delay_s : float
        How much later a QRS complex is in it than in the recording: resampler and band-pass together.
    fs_hz, n_samples
        Rate and length of the recording.
    """

    name: str
    signal: FloatArray
    delay_s: float
    fs_hz: float
    n_samples: int


LEAST_RATE: Final = 2.2
"""Times the band's upper edge: a slower recording cannot be filtered so."""

QRS_HZ: Final = (8.0, 25.0)
"""Where a QRS complex has its power: the band-pass delays it by the mean over this band."""


def filter_delay_s(fs_hz: float, chain: ConditioningSpec) -> float:
    """Mean group delay of the band-pass over the band of QRS complexes, in seconds."""
    at_hz = np.linspace(*QRS_HZ, 50)
    _, response = dsp.sosfreqz(band_pass(fs_hz, chain.low_hz, chain.high_hz), worN=at_hz, fs=fs_hz)
    turned = np.unwrap(np.angle(response))
    return float(-(turned[-1] - turned[0]) / (2 * np.pi * (at_hz[-1] - at_hz[0])))


def _pick_lead(path: Path, names: list[str], units: list[str], wanted: str | None) -> int:
    """Index of the channel to annotate: the first ECG lead in mV, or the one named."""
    in_mv = [i for i, unit in enumerate(units) if unit.lower() in ("mv", "millivolt", "millivolts")]
    leads = [i for i in in_mv if kind_of_channel(names[i]) in (SignalKind.ECG, None)]
    if not leads:
        raise CannotAnnotate(
            f"{path}: no ECG in mV in it (channels "
            f"{', '.join(f'{n} in {u}' for n, u in zip(names, units, strict=True))})"
        )
    if wanted is None:
        return next((i for i in leads if kind_of_channel(names[i]) is SignalKind.ECG), leads[0])
    named = [i for i in leads if names[i] == wanted]
    if not named:
        raise CannotAnnotate(
            f"{path}: no ECG lead {wanted!r}; there are {', '.join(names[i] for i in leads)}"
        )
    return named[0]


def read_lead(path: Path, spec: ModelSpec, lead: str | None = None) -> Lead:
    """Read and condition one lead of a WFDB record, by the code that serves.

    Parameters
    ----------
    path : Path
        Of the record, with or without ``.hea``.
    lead : str or None
        Channel name; the first ECG lead in mV where None.

    Raises
    ------
    CannotAnnotate
        The record is not there or unreadable, has no ECG in mV or no such lead, holds no sample, or is
        shorter than the model's window.
    """
    path = path.with_suffix("") if path.suffix in (".hea", ".dat") else path
    if not path.with_name(path.name + ".hea").is_file():
        raise CannotAnnotate(f"{path}: no such WFDB record ({path.name}.hea is not there)")
    try:
        header = wfdb.rdheader(str(path))
        if not header.n_sig:
            raise CannotAnnotate(f"{path}: the record has no signals")
        index = _pick_lead(path, list(header.sig_name), list(header.units), lead)
        record = wfdb.rdrecord(str(path), channels=[index])
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise CannotAnnotate(f"{path}: unreadable as a WFDB record: {error}") from error
    samples, fs_hz, name = record.p_signal, float(record.fs), str(record.sig_name[0])
    if not np.isfinite(samples).any():
        raise CannotAnnotate(f"{path}: lead {name} holds no sample, all are missing (NaN)")
    chain = conditioning_of(spec.fs_hz, spec.band_hz)
    if fs_hz < LEAST_RATE * chain.high_hz:
        raise CannotAnnotate(
            f"{path}: {fs_hz:g} Hz, too slow: {spec.name} needs {LEAST_RATE * chain.high_hz:g} Hz or more"
        )
    signal = conditioning.condition(samples, fs_hz, chain)[:, 0]
    if len(signal) < spec.window_samples:
        raise CannotAnnotate(
            f"{path}: {len(samples) / fs_hz:.1f} s, too short: {spec.name} needs {spec.window_s:g} s"
        )
    delay_s = conditioning.delay_s(fs_hz, chain) + filter_delay_s(fs_hz, chain)
    return Lead(name, np.ascontiguousarray(signal), delay_s, fs_hz, len(samples))
