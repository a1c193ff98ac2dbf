"""All that is found in a sound: measured, played into the ward's monitor, and listened to."""

from __future__ import annotations

import msgspec
import numpy as np

from inference.analysis_ecg import Progress
from inference.analysis_findings import SoundFindings
from inference.analysis_sound import sound_findings
from inference.analysis_sound_hear import Frames, frames_of, hear_sound
from inference.analysis_sound_play import least_rate_hz, play_sound
from inference.analysis_sound_trace import ENVELOPE_HZ, FULL_SCALE, SoundTrace
from ingest.recording import Signal
from ingest.settings import IngestSettings
from models.sounds import SoundModel


def analyse_sound(
    signal: Signal, network: SoundModel | None, settings: IngestSettings, progress: Progress
) -> tuple[SoundFindings, SoundTrace | None]:
    """Measure a sound, play it into the ward's monitor, and listen to it where there is a network.

    Parameters
    ----------
    signal : Signal
        Lung or heart sound; its first channel is judged.
    network : SoundModel or None
        The ward's for this kind.
    settings : IngestSettings
        Limits of continuity.
    progress : callable
        Told after each second.

    Returns
    -------
    (SoundFindings, SoundTrace or None)
        ``None`` where the sampling rate is too low for anything to be judged.
    """
    least_hz = least_rate_hz(signal.kind)
    if signal.fs_hz < least_hz:
        said = f"Sampled at {signal.fs_hz:g} Hz: at least {least_hz:g} Hz are needed, so nothing was judged."
        return sound_findings(signal, said), None
    measured = sound_findings(signal)
    made = frames_of(signal, network)
    trace = sound_trace(signal, made)
    played = play_sound(signal, network, settings, progress)
    measured = msgspec.structs.replace(measured, rates=played.rates, lost=played.lost, alarms=played.alarms)
    heard = None if network is None else hear_sound(made, network, played.lost, signal.duration_s)
    if network is None or heard is None:
        return measured, trace
    return msgspec.structs.replace(
        measured,
        statement=_statement(signal, network),
        model=network.spec.name,
        marks=heard.marks,
        pieces=played.pieces,
        cycles=heard.cycles,
        cycles_from=heard.cycles_from,
        verdict=heard.verdict,
        heard=heard.heard,
        thresholds=dict(network.thresholds),
    ), trace


def _statement(signal: Signal, network: SoundModel) -> str:
    spec = network.spec
    called = ", ".join(f"{name} from {share:.0%}" for name, share in network.thresholds.items())
    also = "; S1 and S2 are marked" if network.heart else ""
    calibrated = all(f"{name}_scale" in spec.thresholds for name in network.classes)
    how = "calibrated on validation patients" if calibrated else "not calibrated"
    others = len(signal.channels) - 1
    left = f" Of {others + 1} channels the first ({signal.channels[0]}) was listened to." if others else ""
    return (
        f"Listened to by {spec.name} (sha256 {spec.sha256[:12]}). Called: {called}; probabilities are "
        f"{how}{also}. Research software, no diagnosis.{left}"
    )


def sound_trace(signal: Signal, made: Frames) -> SoundTrace:
    """Bring a sound to what is sent of it; its first channel."""
    mel = made.mel
    edges_hz = mel.band_edges_hz()
    line = np.nan_to_num(signal.samples[:, 0])
    count = max(1, int(signal.duration_s * ENVELOPE_HZ))
    edges = np.minimum((np.arange(count) / ENVELOPE_HZ * signal.fs_hz).astype(np.int64), len(line) - 1)
    low, high = (
        (np.clip(extreme.reduceat(line, edges), -1, 1) * FULL_SCALE).astype("<i2").tobytes()
        for extreme in (np.minimum, np.maximum)
    )
    return SoundTrace(
        str(signal.kind),
        mel.n_mels,
        mel.n_rows,
        made.frames.astype("<f2").tobytes(),
        mel.hop / mel.rate_hz,
        mel.span / mel.rate_hz,
        made.begin_s,
        ((edges_hz[:-1] + edges_hz[1:]) / 2).tolist(),
        low,
        high,
        signal.duration_s,
    )
