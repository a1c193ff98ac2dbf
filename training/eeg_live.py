"""Cases for ``wardwave score-eeg``: the recorded EEGs of the archives and simulated hours, as they are sent.

Bonn's segments are left out: one channel without a name has no derivation, and no electrode to watch.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from inference.eeg_score import EegCase, Second, Steps
from ingest.sim_eeg import FS_HZ, GAIN, EegStream
from ingest.sim_eeg_day import SEIZURES, draw_day
from ingest.sim_eeg_waves import CHANNELS
from models.spec import ModelSpec
from training.eeg_recording import EegRecording
from training.eeg_sets import (
    CHB_CHANNELS,
    EMOTIV,
    EMOTIV_HZ,
    EMOTIV_STEPS_PER_UV,
    list_clips,
    list_guinea,
)

SIDES: Final = ("train", "validation", "test")


def clip_cases(folder: Path) -> list[EegCase]:
    """Each seizure of the clips with the 10 s before it; seconds that nobody kept are not sent."""
    return [_clip_case(recording) for recording in list_clips(folder)]


def _clip_case(recording: EegRecording) -> EegCase:
    stem = recording.name.split("/")[1]
    with np.load(recording.path) as clips:
        fs_hz, steps_per_uv = float(clips["fs_hz"]), 1.0 / float(clips["units_uv_per_lsb"])
        ictal = max((clips[name] for name in clips.files if name.partition("_ictal")[0] == stem
                     and "_ictal" in name), key=lambda one: one.shape[1])  # fmt: skip
        before = clips[f"{stem}_preictal10s"]
    onset_s, end_s = recording.seizures[0]
    # Clips overlap by the sample that both end and begin with.
    begin_s = end_s - (ictal.shape[1] - 1) / fs_hz
    parts = [(0.0, before[:, :-1].T), (begin_s, ictal[:, :-1].T)]
    return EegCase(
        recording.name, CHB_CHANNELS, fs_hz, steps_per_uv, end_s, ((onset_s, end_s),),
        lambda: (one for start_s, steps in parts for one in _cut(start_s, steps, fs_hz)),
        gaps=((onset_s, begin_s),) if begin_s > onset_s else (),
    )  # fmt: skip


def guinea_cases(folder: Path) -> list[EegCase]:
    """Each person of the Guinea-Bissau set."""
    return [_guinea_case(recording) for recording in list_guinea(folder)]


def _guinea_case(recording: EegRecording) -> EegCase:
    with np.load(recording.path) as held:
        steps = np.cumsum(held["first_difference"].astype(np.int64), axis=0)
    kept = np.clip(steps, -(2**15), 2**15 - 1).astype(np.int16)
    return EegCase(
        recording.name, EMOTIV, EMOTIV_HZ, EMOTIV_STEPS_PER_UV, len(kept) / EMOTIV_HZ, (),
        lambda: _cut(0.0, kept, EMOTIV_HZ),
    )  # fmt: skip


def _cut(start_s: float, steps: Steps, fs_hz: float) -> Iterator[Second]:
    length = round(fs_hz)
    for nth in range(-(-len(steps) // length)):
        yield Second(start_s + nth, steps[nth * length : (nth + 1) * length])


def simulated_cases(hours: float, n_beds: int, seed: int) -> list[EegCase]:
    """So many hours of simulated ICU EEG over some beds, of which every second one is sedated."""
    return [_simulated_case(f"bed-{nth}", nth, hours * 3600 / n_beds, seed) for nth in range(n_beds)]


def _simulated_case(bed: str, nth: int, duration_s: float, seed: int) -> EegCase:
    day = draw_day(seed, bed, duration_s)

    def seconds() -> Iterator[Second]:
        stream, length = EegStream(seed, bed, day, sedated=bool(nth % 2)), round(FS_HZ)
        for start_s in range(round(duration_s)):
            first = stream.position
            steps = np.rint(stream.next_samples(length) * GAIN).astype(np.int16)
            yield Second(float(start_s), steps, stream.lead_off(first, length))

    return EegCase(
        f"simulated/{bed}", CHANNELS, FS_HZ, GAIN, float(round(duration_s)),
        tuple((one.at_s, one.end_s) for one in day if one.name in SEIZURES), seconds,
        tuple((one.name, one.at_s, one.end_s) for one in day),
    )  # fmt: skip


def side_of(card: ModelSpec, name: str) -> str:
    """Which side of a model's split a recording was on; "unseen" where on none but its test side.

    Splits are by patient, so that no other recording of an unseen one's patient was trained on.
    """
    side = next((side for side in SIDES if name in card.split.get(side, ())), "test")
    return {"train": "trained on", "validation": "threshold chosen on"}.get(side, "unseen")
