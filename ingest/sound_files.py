"""Sounds from files: WAV, FLAC, MP3, Ogg and others that libsndfile reads; what it believes is checked first.

libsndfile takes a file that was cut short, or whose head gives a wrong length, for a shorter one, and says
nothing: a recording would be judged by its first part alone.
"""

from __future__ import annotations

import logging
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ingest.errors import BadRecording
from ingest.recording import RawChannel, span_of
from ingest.types import WideFloatArray

if TYPE_CHECKING:
    from soundfile import SoundFile

_log = logging.getLogger(__name__)

SOUND_ENDINGS: Final = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif")
MAX_SOUND_HZ: Final = 192_000.0
"""Faster sounds than the wire's are thinned up to here: what a chest gives lies far below 24 kHz."""

MAX_VALUES: Final = 100_000_000
"""Samples of all channels that are held at once; each takes 20 bytes while it is read."""

MAX_PEAK: Final = 8.0
"""Sums and lossy formats pass full scale, by a little; integers that were stored as floats by far."""

_UNKNOWN: Final = 0x7FFF_F000
"""Lengths from here on stand in heads that were written before the length was known."""

_OGG_PAGE: Final = 65_307
_LAST_PAGE: Final = 4


def check_sound(path: Path) -> str | None:
    """Hold what a file's head promises against the file.

    Returns
    -------
    str or None
        A doubt that is to be told with what is read.

    Raises
    ------
    BadRecording
        It is empty or cut short, or its length is a wrong one.
    """
    size = path.stat().st_size
    if size == 0:
        raise BadRecording(f"{path}: empty, 0 bytes; export it again")
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _check_wav(path, size)
    if head[:4] == b"OggS":
        return _check_ogg(path, size)
    return None


def _check_wav(path: Path, size: int) -> str | None:
    """Walk over the pieces of a WAV file."""
    at, promised, seen = 12, 0, set()
    with path.open("rb") as file:
        while at + 8 <= size:
            file.seek(at)
            piece, length = struct.unpack("<4sI", file.read(8))
            there = size - at - 8
            if piece == b"data":
                if length > there and length >= _UNKNOWN:
                    return "its head gives no length: it is as long as what is there"
                if length > there:
                    raise BadRecording(
                        f"{path}: damaged: cut short, only {there:,} of {length:,} bytes of sound are there; "
                        "copy the file again"
                    )
                if length == 0:
                    raise BadRecording(
                        f"{path}: holds no sound (0 bytes of it by its head); record or export it again"
                    )
                promised = length
            elif length > there or not piece.isascii() or not piece.decode().isprintable():
                break
            seen.add(piece)
            at += 8 + length + length % 2
    if not {b"fmt ", b"data"} <= seen:
        raise BadRecording(f"{path}: damaged: its head or its sound is missing; copy or export it again")
    if size - at > max(4_096, promised // 100):
        raise BadRecording(
            f"{path}: damaged: its head promises {promised:,} bytes of sound, but {size - at:,} more follow; "
            "export it again"
        )
    return None


def _check_ogg(path: Path, size: int) -> str | None:
    """An Ogg stream has no length in its head, but a mark on its last page."""
    with path.open("rb") as file:
        file.seek(max(0, size - _OGG_PAGE))
        end = file.read()
    last = end.rfind(b"OggS")
    if 0 <= last < len(end) - 5 and end[last + 5] & _LAST_PAGE:
        return None
    return "cut short: the end of the stream is missing; what is there was read"


def open_sound(path: Path) -> SoundFile:
    """Open a sound that was checked.

    Raises
    ------
    BadRecording
        libsndfile cannot read it.
    """
    import soundfile

    try:
        return soundfile.SoundFile(str(path))
    except (RuntimeError, OSError) as error:
        raise BadRecording(
            f"{path}: damaged, or a sort of {path.suffix[1:].upper()} that is not read; export it again with "
            "16-bit samples"
        ) from error


def read_sound(path: Path, start_s: float, duration_s: float | None, most_hz: float) -> list[RawChannel]:
    """Read a part of a sound; one that is faster than ``most_hz`` is thinned.

    Parameters
    ----------
    path : Path
        An existing file.
    start_s, duration_s : float or None
        The part; to the end where no duration is given.
    most_hz : float
        The wire's highest rate.

    Raises
    ------
    BadRecording
        It cannot be read, is damaged, too long, too fast, or its values are no sound.
    """
    doubt = check_sound(path)
    if doubt is not None:
        _log.warning("%s: %s", path, doubt)
    with open_sound(path) as file:
        rate = float(file.samplerate)
        if rate > MAX_SOUND_HZ:
            raise BadRecording(
                f"{path}: a rate of {rate:,.0f} Hz; sounds are read up to {MAX_SOUND_HZ:,.0f} Hz: export it "
                f"at {most_hz:,.0f} Hz"
            )
        first, last = span_of(rate, file.frames, start_s, duration_s)
        if (last - first) * file.channels > MAX_VALUES:
            length = f"{(last - first) / rate / 3600:.1f} h of {file.channels} channel(s)"
            raise BadRecording(
                f"{path}: {length} at {rate:,.0f} Hz are too much at once; "
                "give a part (--start S --duration S), or export it at 4,000 Hz"
            )
        values = _values(path, file, first, last, rate)
        gain = 32_768.0 if file.subtype in ("PCM_16", "PCM_S8", "PCM_U8") else None
        usual = {1: ("mono",), 2: ("left", "right")}
        names = usual.get(file.channels) or [f"channel {i + 1}" for i in range(file.channels)]
    if rate > most_hz:
        from scipy.signal import resample_poly

        factor = math.ceil(rate / most_hz)
        values, rate, gain = resample_poly(values, 1, factor, axis=0), rate / factor, None
    return [RawChannel(name, "au", rate, values[:, i], gain) for i, name in enumerate(names)]


def _values(path: Path, file: SoundFile, first: int, last: int, rate: float) -> WideFloatArray:
    try:
        file.seek(first)
        values: WideFloatArray = file.read(last - first, dtype="float64", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise BadRecording(
            f"{path}: damaged, its sound cannot be decoded to the end; copy or export it again"
        ) from error
    if len(values) < last - first:
        raise BadRecording(
            f"{path}: cut short: {len(values) / rate:.1f} of {(last - first) / rate:.1f} s of sound are "
            "there; copy the file again"
        )
    if len(values) == 0:
        return values
    peak = max(float(np.fmax.reduce(values, axis=None)), -float(np.fmin.reduce(values, axis=None)))
    if math.isnan(peak):
        raise BadRecording(f"{path}: holds only missing samples (NaN); export it again")
    if peak > MAX_PEAK:
        raise BadRecording(
            f"{path}: reaches {peak:,.6g}, but the full scale of a sound is 1: export it with 16-bit samples"
        )
    return values
