"""Explain what a network of seizures says of one second of a recording, over the sheet that it is of."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import numpy as np

from inference.analysis_channels import keep_channels
from inference.explanation_eeg import AFTER_S, BEFORE_S, EegExplained, explain_eeg
from inference.explanation_eeg_sheet import LEAD_IN_S, SHEET_S, Heat, Span, sheet_figure, stretch_of
from ingest.errors import BadRecording
from ingest.readers import read_signal_files
from ingest.recording import Signal
from ingest.types import SignalKind
from models import cards
from models.errors import CannotExplain
from models.spec import ModelSpec
from training.explain_out import Sheet

MOST_NAMED: Final = 3


def explain_second(model: str, path: Path, at_s: float) -> tuple[EegExplained, Sheet]:
    """Explain a second of an EEG.

    Parameters
    ----------
    model : str
        Shipped name or path of a card, of task eeg.
    path : Path
        EDF, BDF, WFDB or table; only the minutes around the moment are read.
    at_s : float
        The moment.

    Returns
    -------
    (EegExplained, Sheet)
        Its times in seconds of the part that was read; the sheet is in those of the recording.

    Raises
    ------
    CannotExplain
        The moment is not in it, or it gives nothing that the network sees.
    BadRecording
        It cannot be read, or holds no EEG.
    """
    if not (math.isfinite(at_s) and at_s >= 0):
        raise CannotExplain(f"--at {at_s:g}: give a moment of the recording, 0 or later")
    first_s = float(max(0, int(at_s - BEFORE_S)))
    signal = _read(path, first_s, at_s + AFTER_S + SHEET_S / 2 - first_s)
    if at_s >= first_s + signal.duration_s:
        raise CannotExplain(f"--at {at_s:g}: {path} ends at {first_s + signal.duration_s:g} s")
    last = round((at_s + AFTER_S - first_s) * signal.fs_hz)
    found = explain_eeg(signal.samples[:last], signal.fs_hz, signal.channels, at_s - first_s, model)
    return found, _sheet(found, signal, path, first_s, cards.read_spec(model))


def _read(path: Path, first_s: float, length_s: float) -> Signal:
    """The EEG of a part: by the channels' names, or all channels where those say nothing."""
    for kind in (None, SignalKind.EEG):
        try:
            whole = read_signal_files(path, kind=kind, start_s=first_s, duration_s=length_s)
        except BadRecording:
            if kind is not None:
                raise
            continue
        kept, _ = keep_channels(path.name, whole, ())
        for signal in kept.signals:
            if signal.kind is SignalKind.EEG:
                return signal
    raise BadRecording(f"{path}: holds no EEG; name its channels by the 10-20 system (Fp1, F7 or Fp1-F7)")


def _sheet(found: EegExplained, signal: Signal, path: Path, first_s: float, spec: ModelSpec) -> Sheet:
    begin_s = max(first_s, math.floor(first_s + found.start_s))
    lead_s = max(first_s, begin_s - LEAD_IN_S)
    piece = signal.samples[round((lead_s - first_s) * signal.fs_hz) :]
    end_s = begin_s + SHEET_S
    stretch = stretch_of(piece, signal.fs_hz, signal.channels, lead_s, begin_s, end_s)
    at_s = first_s + found.at_s
    title = f"{found.model} on {path.name} at {at_s:.1f} s: seizure {found.probability:.1%}"
    figure = sheet_figure(
        stretch,
        SHEET_S,
        spans=[Span("found", at_s, at_s + 1.0, "explained")],
        heat=Heat(found.derivations, first_s + found.start_s, at_s, found.cam),
        title=title,
    )
    facts = [
        ("model", spec.description),
        ("weights", spec.sha256),
        ("explained", f"the second from {at_s:.2f} s on, HiResCAM by derivation"),
        ("derivations", ", ".join(found.derivations)),
        ("spoke most", spoke_most(found)),
        ("notice", spec.notice),
    ]
    arrays = {
        "cam": found.cam, "weights": found.weights, "course": found.course, "at_s": np.array(at_s),
        "start_s": np.array(first_s + found.start_s), "signal": stretch.values,
        "signal_start_s": np.array(stretch.begin_s),
    }  # fmt: skip
    shares = {"seizure": found.probability, "none": 1.0 - found.probability}
    return Sheet(title, figure, tuple(facts), shares, arrays)


def spoke_most(found: EegExplained) -> str:
    """Derivations with most of the map, or that none spoke for a seizure."""
    of_each = found.cam.sum(axis=1, dtype=np.float64)
    if not of_each.any():
        return "none spoke for a seizure"
    first = np.argsort(-of_each)[:MOST_NAMED].tolist()
    return ", ".join(f"{found.derivations[row]} {of_each[row] / of_each.sum():.0%}" for row in first)
