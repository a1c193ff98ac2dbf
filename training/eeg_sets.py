"""EEG sets that lie beside the code as NumPy archives: clips of CHB-MIT, Guinea-Bissau, Bonn.

Shape legend: N samples, C channels.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ingest.conditioning import EEG, condition
from ingest.montage import plan_of
from ingest.types import WideFloatArray
from training.eeg_recording import EegRecording
from training.eeg_signal import FloatArray, Piece, condition_pieces
from training.errors import BadAnnotation, DataMissing

CHB_CHANNELS: Final = (
    "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4",
    "P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2", "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10",
    "FT10-T8", "T8-P8-1",
)  # fmt: skip
"""Channels of CHB-MIT's cases 1 to 3, in the order of its files."""
EMOTIV: Final = ("AF3", "AF4", "F3", "F4", "F7", "F8", "FC5", "FC6", "O1", "O2", "P7", "P8", "T7", "T8")
EMOTIV_HZ: Final = 128.0
EMOTIV_STEPS_PER_UV: Final = 1.95
CLIP_S: Final = 10.0
"""Length of the clips before seizures, and of those cut from the second ten seconds of a seizure."""

CLIPS: Final = "chbmit_clips"
GUINEA: Final = "guinea_bissau_eeg"
BONN: Final = "bonn_eeg"
ARCHIVES: Final = (CLIPS, GUINEA)


def _arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except FileNotFoundError as error:
        raise DataMissing(f"{path}: not there") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadAnnotation(f"{path}: no NumPy archive that can be read: {error}; copy it anew") from error


def _clip_pairs(clips: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, str]:
    """Ictal clip of each seizure, by its record's name: the whole seizure where it is there."""
    chosen: dict[str, str] = {}
    for name, samples in clips.items():
        stem, found, _ = name.partition("_ictal")
        if found and (stem not in chosen or samples.shape[1] > clips[chosen[stem]].shape[1]):
            chosen[stem] = name
    return chosen


def list_clips(folder: Path) -> list[EegRecording]:
    """Each seizure of the clips with the 10 s before it as one recording that begins 10 s before its onset.

    Whole seizures go on without a gap. Of the others the clip holds the seconds 10 to 20; those between are
    missing.
    """
    path = folder / "clips.npz"
    clips = _arrays(path)
    fs_hz = float(clips["fs_hz"])
    found = []
    for stem, ictal in sorted(_clip_pairs(clips).items()):
        length_s = (clips[ictal].shape[1] - 1) / fs_hz
        end_s = CLIP_S + (length_s if _whole(length_s) else CLIP_S + length_s)
        found.append(EegRecording(f"{CLIPS}/{stem}", stem.split("_")[0], path, ((CLIP_S, round(end_s, 3)),)))
    return found


def _whole(length_s: float) -> bool:
    return length_s > CLIP_S + 0.5


def read_clip(recording: EegRecording) -> tuple[tuple[str, ...], FloatArray]:
    """Conditioned derivations (C, N) of a recording of the clips, with their names."""
    clips = _arrays(recording.path)
    fs_hz, unit = float(clips["fs_hz"]), float(clips["units_uv_per_lsb"])
    stem = recording.name.split("/", 1)[1]
    ictal = _clip_pairs(clips)[stem]
    before = clips.get(f"{stem}_preictal10s")
    plan = plan_of(CHB_CHANNELS)

    def microvolts(samples: npt.NDArray[np.generic]) -> WideFloatArray:
        return np.asarray(samples, dtype=np.float64).T * unit

    length_s = (clips[ictal].shape[1] - 1) / fs_hz
    seizure = clips[ictal]
    if before is not None and _whole(length_s):
        # The clip before ends with the sample that the seizure begins with.
        pieces = [Piece(0.0, fs_hz, microvolts(np.concatenate([before[:, :-1], seizure], axis=1)))]
    else:
        start_s = CLIP_S if _whole(length_s) else 2 * CLIP_S
        pieces = [Piece(start_s, fs_hz, microvolts(seizure))]
        pieces = pieces if before is None else [Piece(0.0, fs_hz, microvolts(before)), *pieces]
    return plan.names, condition_pieces(plan, pieces, recording.seizures[0][1])


def list_guinea(folder: Path) -> list[EegRecording]:
    """Persons of the Guinea-Bissau set: nobody has a seizure that is known of."""
    table = folder / "subjects.csv"
    if not table.is_file():
        raise DataMissing(f"{table}: not there; the persons of {GUINEA} are listed in it")
    with table.open(newline="", encoding="utf-8-sig") as file:
        numbers = [row["subject.id"] for row in csv.DictReader(file)]
    found = [
        EegRecording(f"{GUINEA}/{number.zfill(3)}", f"gb{number.zfill(3)}", path, ())
        for number in numbers
        if (path := folder / f"subject-{number.zfill(3)}.npz").is_file()
    ]
    if not found:
        raise DataMissing(f"{folder}: none of the persons of {table.name} is there")
    return found


def read_guinea(recording: EegRecording) -> tuple[tuple[str, ...], FloatArray]:
    """Conditioned derivations (C, N) of one person, with their names."""
    steps = np.cumsum(_arrays(recording.path)["first_difference"].astype(np.float64), axis=0)
    plan = plan_of(EMOTIV)
    pieces = [Piece(0.0, EMOTIV_HZ, steps / EMOTIV_STEPS_PER_UV)]
    return plan.names, condition_pieces(plan, pieces, len(steps) / EMOTIV_HZ)


def read_bonn(folder: Path, letter: str) -> FloatArray:
    """Conditioned segments of one of Bonn's sets (Z, O, N, F, S), µV, shape (100, N); a channel each."""
    held = _arrays(folder / "bonn.npz")
    if letter not in held:
        raise BadAnnotation(f"{folder}/bonn.npz: no set {letter!r}; there are {', '.join(held)}")
    fs_hz, segments = float(held["fs_hz"]), held[letter]
    return np.ascontiguousarray(condition(np.asarray(segments.T, dtype=np.float64), fs_hz, EEG).T)
