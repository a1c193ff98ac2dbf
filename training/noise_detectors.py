"""QRS detectors that are compared in noise: this project's networks, wfdb's xqrs, neurokit2's methods."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import neurokit2
import numpy as np
import wfdb
from wfdb import processing

from ingest import conditioning
from ingest.conditioning import ECG
from models import decode
from models import streaming as runs
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec
from models.streaming import run_lead
from training import streaming
from training.errors import BadRecipe
from training.sources import WideFloatArray
from training.streaming import final_beats

logger = logging.getLogger(__name__)

NEUROKIT: Final[Mapping[str, str | None]] = {
    "neurokit": "neurokit",
    "pantompkins1985": "pantompkins1985",
    "hamilton2002": "hamilton2002",
    "elgendi2010": "elgendi2010",
    "kalidas2017": "kalidas2017",
    "rodrigues2021": "neurokit",
    "khamis2016": None,
}
"""Methods of ``ecg_peaks``, and of the ``ecg_clean`` before it: their own where they have one.

``khamis2016`` filters by itself and does better on raw samples, ``rodrigues2021`` does worse (validation
patients)."""

XQRS: Final = "xqrs"
COMPETITORS: Final = (XQRS, *NEUROKIT)


class Detector(Protocol):
    """Finds beats in one lead.

    Attributes
    ----------
    name : str
        As tables show it.
    key : str
        Changes when its results may: name, version, weights.
    """

    name: str
    key: str

    def beats_s(self, samples: WideFloatArray, fs_hz: float) -> WideFloatArray:
        """Times of beats in seconds, ascending; ``samples`` (n,) in mV."""


class Network:
    """A network of this project, run as the worker does.

    Parameters
    ----------
    model : CnnLstm
        In evaluation mode.
    spec : ModelSpec
        Its card: threshold and step.
    """

    def __init__(self, model: CnnLstm, spec: ModelSpec) -> None:
        self.model, self.step_s, self.threshold = model, spec.step_s, spec.thresholds["beat"]
        self.name = spec.name
        digest = hashlib.sha256(f"{spec.sha256} {self.threshold}".encode())
        for module in (decode, runs, streaming, conditioning):
            digest.update(Path(str(module.__file__)).read_bytes())
        self.key = f"{spec.name}-{digest.hexdigest()[:12]}"

    def beats_s(self, samples: WideFloatArray, fs_hz: float) -> WideFloatArray:
        """See :class:`Detector`."""
        conditioned = conditioning.condition(samples[:, None], fs_hz, ECG)[:, 0]
        stream = run_lead(self.model, np.ascontiguousarray(conditioned))
        found = final_beats(stream, self.step_s, self.threshold)
        return found.time_s - conditioning.delay_s(fs_hz, ECG)


class Xqrs:
    """``wfdb.processing.XQRS`` with its defaults."""

    name = XQRS
    key = f"xqrs-{wfdb.__version__}"

    def beats_s(self, samples: WideFloatArray, fs_hz: float) -> WideFloatArray:
        """See :class:`Detector`."""
        detector = processing.XQRS(sig=samples, fs=fs_hz)
        detector.detect(verbose=False)
        return np.sort(np.asarray(detector.qrs_inds, dtype=np.float64)) / fs_hz


class Neurokit:
    """A method of neurokit2's ``ecg_peaks`` after ``ecg_clean``.

    Parameters
    ----------
    method : str
        One of :data:`NEUROKIT`.
    """

    def __init__(self, method: str) -> None:
        self.name, self.method = method, method
        self.key = f"{method}-{NEUROKIT[method]}-neurokit2-{neurokit2.__version__}"

    def beats_s(self, samples: WideFloatArray, fs_hz: float) -> WideFloatArray:
        """See :class:`Detector`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            method = NEUROKIT[self.method]
            clean = samples
            if method is not None:
                clean = neurokit2.ecg_clean(samples, sampling_rate=int(fs_hz), method=method)
            info: dict[str, Any] = neurokit2.ecg_peaks(clean, sampling_rate=int(fs_hz), method=self.method)[1]
        peaks = np.asarray(info["ECG_R_Peaks"], dtype=np.float64)
        return np.sort(peaks[np.isfinite(peaks)]) / fs_hz


def competitor(name: str) -> Detector:
    """A detector of another library, by name.

    Raises
    ------
    BadRecipe
        No such detector; the message names those there are.
    """
    if name == XQRS:
        return Xqrs()
    if name not in NEUROKIT:
        raise BadRecipe(f"--detectors {name}: no such detector; there are {', '.join(COMPETITORS)}")
    return Neurokit(name)


def detect(detector: Detector, samples: WideFloatArray, fs_hz: float) -> WideFloatArray:
    """Beats of a lead; none where a library gives up on the signal."""
    try:
        return detector.beats_s(samples, fs_hz)
    except (ValueError, IndexError, ZeroDivisionError, FloatingPointError, TypeError) as error:
        if isinstance(detector, Network):
            raise
        logger.warning("%s gave up: %s", detector.name, error)
        return np.zeros(0)
