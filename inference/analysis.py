"""A whole recording, analysed as the ward would: the worker's pipeline over a file.

:func:`inference.analysis_read.read_upload` reads, :func:`analyse` finds. Both are made to run in a child
process (:mod:`inference.analysis_job`), since files come from anywhere.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from inference.analysis_ecg import IN_PIPELINE, Networks, Progress, analyse_ecg
from inference.analysis_eeg import analyse_eeg
from inference.analysis_eeg_trace import EegTrace
from inference.analysis_findings import EEG_STATEMENT, SOUND_STATEMENT, EegFindings, Findings, SoundFindings
from inference.analysis_read import FileNote, Opened, ReadOptions
from inference.analysis_sound import facts_of
from inference.analysis_sound_findings import analyse_sound
from inference.analysis_sound_trace import SoundTrace
from inference.eeg_listener import SeizureNetwork
from inference.errors import BadUpload
from inference.predictor import describe
from ingest.settings import IngestSettings
from ingest.types import SOUNDS, SignalKind
from models.sounds import SoundModel
from models.spec import NOTICE

LEAST_ECG_S: Final = 10.0
"""A window and its hop: in less the network sees nothing."""

_STATEMENTS: Final = {
    SignalKind.ECG: "analysed: beats, heart rate, rhythms, alarms",
    SignalKind.PLETH: "pulse, held against the ECG's alarms",
    SignalKind.ABP: "pulse, held against the ECG's alarms",
    SignalKind.RESP: "not analysed in this version",
    SignalKind.EEG: EEG_STATEMENT,
    SignalKind.LUNG_SOUND: SOUND_STATEMENT,
    SignalKind.HEART_SOUND: SOUND_STATEMENT,
}
_LIBRARIES: Final = ("wardwave", "torch", "numpy", "scipy", "wfdb", "pyedflib", "soundfile")


def analyse(
    opened: Opened,
    networks: Networks | None,
    progress: Progress,
    *,
    files: Sequence[FileNote] = (),
    options: ReadOptions | None = None,
    settings: IngestSettings | None = None,
    listeners: Mapping[SignalKind, SoundModel] | None = None,
    sound_traces: list[SoundTrace] | None = None,
    seizures: SeizureNetwork | None = None,
    eeg_traces: list[EegTrace] | None = None,
) -> Findings:
    """Find what there is in a recording.

    Parameters
    ----------
    opened : Opened
        Read.
    networks : Networks or None
        The ward's; may be None where there is no ECG.
    progress : callable
        Told the stage and the share of it that is done.
    files, options : optional
        Go into the findings.
    settings : IngestSettings, optional
        Limits of continuity.
    listeners : mapping, optional
        The ward's networks for sounds; without one a sound is measured and watched alone.
    sound_traces : list, optional
        Takes what is shown of each sound.
    seizures : SeizureNetwork, optional
        The ward's network for EEG; without one electrodes and trends are watched alone.
    eeg_traces : list, optional
        Takes what is shown of an EEG.

    Raises
    ------
    BadUpload
        An ECG that is too short to be judged.
    """
    began = time.monotonic()
    recording = opened.recording
    kinds = {signal.kind: signal for signal in recording.signals}
    ecg = None
    if SignalKind.ECG in kinds and networks is not None:
        if kinds[SignalKind.ECG].duration_s < LEAST_ECG_S:
            raise BadUpload(
                f"{recording.name}: an ECG of {kinds[SignalKind.ECG].duration_s:.1f} s; at least "
                f"{LEAST_ECG_S:g} s are needed to judge a rhythm: give a longer part"
            )
        played = [signal for signal in recording.signals if signal.kind in IN_PIPELINE]
        ecg = analyse_ecg(played, networks, settings or IngestSettings(), progress)
    sounds: list[SoundFindings] = []
    used = dict(listeners or {})
    for signal in recording.signals:
        if signal.kind in SOUNDS:
            sound, trace = analyse_sound(
                signal, used.get(signal.kind), settings or IngestSettings(), progress
            )
            sounds.append(sound)
            if trace is not None and sound_traces is not None:
                sound_traces.append(trace)
    notes = list(opened.notes)
    eeg: EegFindings | None = None
    if SignalKind.EEG in kinds:
        done = analyse_eeg(
            kinds[SignalKind.EEG], seizures, opened.marks, settings or IngestSettings(), progress
        )
        eeg, notes = done.findings, [*notes, *done.notes]
        if done.trace is not None and eeg_traces is not None:
            eeg_traces.append(done.trace)
    progress("signals", 0.0)
    statements = _STATEMENTS | {SignalKind(sound.signal): sound.statement for sound in sounds}
    if eeg is not None:
        statements[SignalKind.EEG] = eeg.statement
    return Findings(
        name=recording.name,
        format=opened.format,
        files=list(files),
        duration_s=round(max(signal.duration_s for signal in recording.signals), 3),
        signals=[facts_of(signal, statements[signal.kind]) for signal in recording.signals],
        ecg=ecg,
        sounds=sounds,
        models=[
            *(networks.names() if ecg is not None and networks is not None else []),
            *(describe(one.spec) for one in used.values() if one.spec.name in {s.model for s in sounds}),
            *([describe(seizures.spec)] if seizures is not None and eeg is not None and eeg.model else []),
        ],
        settings=_settings_of(options or ReadOptions()),
        versions={name: _version(name) for name in _LIBRARIES},
        notes=notes,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        took_s=round(time.monotonic() - began, 1),
        notice=NOTICE,
        eeg=eeg,
    )


def _settings_of(options: ReadOptions) -> dict[str, str]:
    return {
        "alarm settings": "the catalogue's defaults, adult profile",
        "kind": options.kind or "by the channels' names",
        "rate": "the file's" if options.fs_hz is None else f"{options.fs_hz:g} Hz, given",
        "unit": "the file's" if options.unit is None else f"{options.unit}, given",
        "channels": ", ".join(options.channels) or "all that are known",
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
