"""Why the network holds a second of a bed's EEG for a seizure, worked out when the page asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dashboard.background import Prepared
from dashboard.eeg_headers import Ask, Looked
from dashboard.snapshots import TraceWindow
from inference.explanation_eeg import AFTER_S, BEFORE_S, EegExplained, explain_eeg
from ingest.types import NS_PER_S
from models import cards
from models.errors import CannotExplain, ModelError

_explained: Final = Prepared[Looked](32)


def looked(
    view: str, asked: Ask, model: str, read: Callable[[], TraceWindow | None]
) -> tuple[Looked | None, str]:
    """Return what spoke for a seizure, or in words why that is not shown (yet); never waits.

    Parameters
    ----------
    view : str
        Of which page.
    asked : Ask
        The moment.
    model : str
        Name of the network that judged this EEG, as it came over the wire.
    read : callable
        Copies what is held of the EEG.
    """
    if not model:
        return None, "No network has judged this EEG: there is nothing to explain"
    if model not in cards.shipped():
        # The name came over the wire: nothing but what is shipped is ever loaded by it.
        return None, "The network that judged this EEG is not among those of this dashboard"
    key = (view, model, asked.time_s, asked.number)
    try:
        found = _explained.get(key, lambda: _look(model, asked.time_s, read()), 0.0)
    except ModelError as error:
        return None, f"No explanation: {error}"
    return found, "" if found is not None else "The network is asked …"


def _look(model: str, time_s: float, window: TraceWindow | None) -> Looked:
    if window is None:
        raise CannotExplain("this bed sends no EEG any more")
    stream, samples = window.stream, window.samples
    begin_s = stream.head_ns / NS_PER_S - len(samples) / stream.fs_hz
    at = round((time_s - begin_s) * stream.fs_hz)
    if not 0 <= at < len(samples):
        raise CannotExplain("this moment is not held here any more")
    # By whole seconds: the network's are those that the worker told of.
    first = at - round(min(BEFORE_S, at // stream.fs_hz) * stream.fs_hz)
    piece = samples[first : at + round(AFTER_S * stream.fs_hz)]
    found = explain_eeg(piece, stream.fs_hz, stream.channels, (at - first) / stream.fs_hz, model)
    return _told(found, begin_s + first / stream.fs_hz)


def _told(found: EegExplained, begin_s: float) -> Looked:
    return Looked(
        start_s=begin_s + found.start_s,
        at_s=begin_s + found.at_s,
        derivations=list(found.derivations),
        cam=found.cam.round(2).tolist(),
        probability=round(found.probability, 3),
        model=found.model,
    )
