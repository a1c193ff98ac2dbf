"""A recording that was handed in, read within bounds; the formats' readers are those of ``wardwave replay``.

Files are written only to a folder that the caller gives and removes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from inference.analysis_channels import keep_channels
from inference.analysis_content import FORMATS, check_content
from inference.analysis_edf_unit import with_edf_unit
from inference.analysis_eeg_annotated import read_annotations
from inference.analysis_eeg_parts import EegMark
from inference.analysis_headers import Head, check_wfdb, text_lines
from inference.analysis_level import check_levels
from inference.analysis_limits import MEMORY_SETTING, AnalysisLimits, check_layout, check_signal
from inference.analysis_room import save
from inference.analysis_table import is_table, unitless_ecg, with_unit
from inference.analysis_unpack import Upload, shown, unpack
from inference.errors import BadUpload
from ingest.errors import BadRecording
from ingest.readers import read_signal_files
from ingest.recording import Recording
from ingest.sound_files import SOUND_ENDINGS, check_sound, open_sound
from ingest.types import SignalKind

ENDINGS: Final = (".hea", ".edf", ".bdf", *SOUND_ENDINGS, ".csv", ".tsv")
EDF_ENDINGS: Final = (".edf", ".bdf")
_UNREAD: Final = (".m4a", ".aac", ".mp4", ".wma", ".amr", ".3gp", ".webm", ".caf")
"""Sounds of telephones and computers that libsndfile does not read, or not everywhere."""

MAX_LEVEL: Final = 1e6
"""Beyond it no value of any kind of signal is physical in its unit."""

MIN_S: Final = 1.0
_UNIT: Final = re.compile(r"[A-Za-zµμ]{1,8}")


class ReadOptions(msgspec.Struct, frozen=True):
    """What a file does not say itself.

    ``kind`` is that of all channels; ``fs_hz`` the rate of a CSV without times; ``channels`` the ones that
    are wanted (all where empty); ``record`` which recording of several; ``unit`` that of a table's columns
    that name none, and of an EDF's EEG, whatever its header says.
    """

    kind: str | None = None
    fs_hz: float | None = None
    channels: tuple[str, ...] = ()
    record: str | None = None
    unit: str | None = None


class FileNote(msgspec.Struct, frozen=True):
    """One file that was handed in: its name, size and SHA-256."""

    name: str
    n_bytes: int
    sha256: str


class Opened(msgspec.Struct, frozen=True):
    """A recording with what has to be said of its reading, and what was annotated in its file."""

    recording: Recording
    format: str
    notes: list[str]
    marks: list[EegMark] = []


def note_files(files: Sequence[Upload]) -> list[FileNote]:
    """What identifies files without keeping them."""
    return [
        FileNote(shown(file.name), len(file.data), hashlib.sha256(file.data).hexdigest()) for file in files
    ]


def read_upload(
    files: Sequence[Upload], limits: AnalysisLimits, options: ReadOptions, folder: Path
) -> Opened:
    """Read what was handed in.

    Parameters
    ----------
    files : sequence of Upload
        One recording: WFDB (header and data, or a zip of them), EDF/BDF, a sound or CSV.
    limits : AnalysisLimits
        Bounds.
    options : ReadOptions
        What the files do not say.
    folder : Path
        Empty; the caller removes it.

    Raises
    ------
    BadUpload
        One line that names the file, the field, the value and the way out.
    """
    _check_options(options)
    found = unpack(files, limits)
    name = _choose(found, options.record)
    suffix = Path(name).suffix.lower()
    notes: list[str] = []
    guessed = False
    if suffix == ".hea":
        save(_record_files(name, found, check_wfdb(name, found, limits)), folder)
        path = folder / name
    else:
        data = found[name]
        check_content(shown(name), suffix, data, limits)
        if is_table(suffix) and options.unit is not None:
            data = with_unit(data, suffix, options.unit)
        elif is_table(suffix) and unitless_ecg(data, suffix, options.kind):
            guessed = True
            notes.append("no unit in the head of the table: ECG values are taken as mV")
        elif suffix in EDF_ENDINGS and options.unit is not None:
            data = with_edf_unit(shown(name), data, options.unit, options.kind)
        path = folder / f"recording{suffix}"
        save({path.name: data}, folder)
    if suffix in SOUND_ENDINGS and options.kind is None:
        notes.append("taken as a lung sound, since no kind was given: name it if it is a heart sound")
    title = shown(Path(name).stem)
    recording = _read(path, shown(name), options, limits, notes)
    kept, left = keep_channels(shown(name), recording, options.channels)
    _check_signals(shown(name), kept, limits)
    notes += [*check_levels(shown(name), kept, guessed), *left]
    marks: list[EegMark] = []
    if suffix in EDF_ENDINGS:
        marks, said = read_annotations(path, shown(name), max(one.duration_s for one in kept.signals))
        notes += said
    return Opened(Recording(title, kept.signals, kept.left_out), FORMATS[suffix], notes, marks)


def _check_options(options: ReadOptions) -> None:
    if options.kind is not None and options.kind not in list(SignalKind):
        raise BadUpload(f"kind {shown(options.kind)!r}: is none of {', '.join(SignalKind)}")
    if options.fs_hz is not None and not 1.0 <= options.fs_hz <= 48_000.0:
        raise BadUpload(f"rate {options.fs_hz:g} Hz: give 1 to 48000")
    if options.unit is not None and not _UNIT.fullmatch(options.unit):
        raise BadUpload(f"unit {shown(options.unit)!r}: give one, as mV, uV or V")


def _choose(found: Mapping[str, bytes], wanted: str | None) -> str:
    """The file that is the recording: a header, or the only file of a known ending."""
    heads = [name for name in sorted(found) if Path(name).suffix.lower() in ENDINGS]
    if not heads:
        names = ", ".join(shown(name) for name in sorted(found)[:5])
        if any(Path(name).suffix.lower() in _UNREAD for name in found):
            raise BadUpload(
                f"{names}: this sort of sound is not read; save it as WAV or FLAC (ffmpeg -i IN OUT.wav)"
            )
        if any(Path(name).suffix.lower() in (".dat", ".mat") for name in found):
            raise BadUpload(f"{names}: signal files without their header; hand in the .hea file with them")
        raise BadUpload(
            f"{names}: no recording that can be read; give WFDB (.hea with .dat), EDF, BDF, CSV or a "
            f"sound ({', '.join(ending[1:].upper() for ending in SOUND_ENDINGS)})"
        )
    whole = [name for name in heads if not _is_segment(name, found)]
    if wanted is not None:
        chosen = [name for name in whole if wanted in (name, Path(name).stem)]
        if not chosen:
            raise BadUpload(f"record {shown(wanted)!r}: there are {_names(whole)}")
        return chosen[0]
    if len(whole) != 1:
        raise BadUpload(f"{len(whole)} recordings ({_names(whole)}); say which one is meant (record)")
    return whole[0]


def _names(names: Sequence[str]) -> str:
    few = ", ".join(shown(Path(name).stem) for name in names[:8])
    return f"{few}, ..." if len(names) > 8 else few


def _is_segment(name: str, found: Mapping[str, bytes]) -> bool:
    """Whether another header lists this one as its segment."""
    if not name.endswith(".hea"):
        return False
    mark = Path(name).stem.encode()
    return any(
        other != name
        and other.endswith(".hea")
        and mark in [line.split()[0] for line in data.splitlines()[1:] if line.split()]
        for other, data in found.items()
    )


def _record_files(name: str, found: Mapping[str, bytes], head: Head) -> dict[str, bytes]:
    """A checked header, its segments and their data, and nothing else."""
    headers = [name, *(f"{segment}.hea" for segment, _ in head.segments if segment != "~")]
    wanted: dict[str, bytes] = {}
    for header in headers:
        lines = [line.split() for line in text_lines(header, found[header])]
        files = {words[0] for words in lines[1:] if words and words[0] in found}
        wanted |= {file: found[file] for file in (header, *files)}
    return wanted


def _read(path: Path, name: str, options: ReadOptions, limits: AnalysisLimits, notes: list[str]) -> Recording:
    """Read what was checked; ``notes`` takes a doubt."""
    try:
        if path.suffix in SOUND_ENDINGS:
            doubt = _check_sound(path, name, limits)
            notes += [] if doubt is None else [doubt]
        return read_signal_files(path, kind=options.kind, fs_hz=options.fs_hz)
    except BadRecording as error:
        # The folder is of no use to a reader of the message, nor are a command's options in a browser.
        text = re.sub(r" \(--fs HZ\)|--(?=fs HZ|kind )", "", str(error))
        if path.suffix in EDF_ENDINGS and "has unit" in text:
            text += "; or say its unit (unit)"
        text = text.replace(str(path), name).replace(str(path.with_suffix("")), name)
        raise BadUpload(shown_line(text.replace(f"{path.parent}/", ""))) from error
    except MemoryError as error:
        raise BadUpload(
            f"{name}: needs more than {limits.memory_mb} MB to be read; export a shorter part, or raise "
            f"{MEMORY_SETTING}"
        ) from error


def shown_line(text: str) -> str:
    """One printable line of bounded length."""
    kept = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return kept if len(kept) <= 400 else f"{kept[:397]}..."


def _check_sound(path: Path, name: str, limits: AnalysisLimits) -> str | None:
    """Hold a sound's head against the file and the bounds; a doubt to be told."""
    doubt = check_sound(path)
    with open_sound(path) as info:
        check_layout(name, [float(info.samplerate)] * info.channels, [info.frames] * info.channels, limits)
    return doubt


def _check_signals(name: str, recording: Recording, limits: AnalysisLimits) -> None:
    """Bounds of each kind, and values that are numbers."""
    for signal in recording.signals:
        check_signal(name, signal.kind, len(signal.channels), signal.duration_s, limits)
        if signal.duration_s < MIN_S:
            raise BadUpload(
                f"{name}: {signal.kind} is {signal.duration_s:.3g} s long; at least {MIN_S:g} s is needed"
            )
        largest = np.fmax.reduce(np.abs(signal.samples), axis=None)
        if np.isnan(largest):
            raise BadUpload(f"{name}: {signal.kind} holds only missing samples; export it again")
        if not largest <= MAX_LEVEL:
            raise BadUpload(
                f"{name}: {signal.kind} reaches {largest:g} {signal.unit}; at most {MAX_LEVEL:g}: "
                "check its gain and unit"
            )
