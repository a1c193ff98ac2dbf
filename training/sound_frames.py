"""Recordings of sounds as the network sees them: the serving filter, log-mel frames, levels taken off."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from ingest import conditioning, filters, resample
from ingest.conditioning import ConditioningSpec, condition
from models import melspec, sounds_level
from models.melspec import log_mel
from models.sounds_level import level_frames, mel_spec
from models.spec import MelFrames
from training.errors import BadAnnotation
from training.sources import FloatArray

logger = logging.getLogger(__name__)


def read_sound(path: Path) -> tuple[FloatArray, float]:
    """Samples of a recording's first channel, full scale ±1, and their rate.

    Raises
    ------
    BadAnnotation
        The file is no sound that libsndfile reads, or it is empty.
    """
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise BadAnnotation(f"{path}: not readable as sound: {error}") from error
    if len(samples) == 0:
        raise BadAnnotation(f"{path}: holds no samples; remove it from the set")
    return np.ascontiguousarray(samples[:, 0]), float(rate_hz)


def frames_of(samples: FloatArray, rate_hz: float, spec: ConditioningSpec, mel: MelFrames) -> FloatArray:
    """Leveled log-mel frames of a recording, (n_mels, n_frames), as a stream of it would give them.

    Parameters
    ----------
    samples : ndarray of float32, shape (n_samples,)
        Full scale ±1.
    rate_hz : float
        Their rate.
    spec : ConditioningSpec
        The serving filter; its rate is the frames' own.
    mel : MelFrames
        Of the model's front end.
    """
    sound = condition(samples[:, None], rate_hz, spec)[:, 0]
    made, memory_frames = log_mel(sound, mel_spec(mel)), mel.memory_s * mel.rate_hz / mel.hop
    return level_frames(made, memory_frames, lines=mel.long > 0, clicks=mel.short > 0)


def _code_hash() -> str:
    """Changes when the code that makes frames does."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for module in (conditioning, filters, resample, melspec, sounds_level):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def load_frames(
    paths: Sequence[Path], spec: ConditioningSpec, mel: MelFrames, cache: Path
) -> list[FloatArray]:
    """Frames of many recordings through the cache, in order; a damaged entry is made anew.

    Parameters
    ----------
    paths : sequence of Path
        Recordings that soundfile reads.
    spec, mel : ConditioningSpec, MelFrames
        As :func:`frames_of` has them.
    cache : Path
        Folder of the cache.
    """
    made = hashlib.sha256(f"{_code_hash()} {spec} {mel}".encode()).hexdigest()
    return [_load_one(path, spec, mel, cache, made) for path in paths]


def _load_one(path: Path, spec: ConditioningSpec, mel: MelFrames, cache: Path, made: str) -> FloatArray:
    key = hashlib.sha256(made.encode() + path.read_bytes()).hexdigest()[:32]
    entry = cache / f"sound-{path.stem}-{key}.npz"
    if entry.exists():
        try:
            with entry.open("rb") as file, np.load(file, allow_pickle=False) as held:
                return np.asarray(held["frames"], dtype=np.float32)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("cache entry %s is damaged and is made anew: %s", entry.name, error)
    frames = frames_of(*read_sound(path), spec, mel)
    cache.mkdir(parents=True, exist_ok=True)
    # Several trainings may fill the cache at the same time.
    part = entry.with_suffix(f".{os.getpid()}.part.npz")
    np.savez(part, frames=frames)
    part.replace(entry)
    return frames
