"""What was handed in, as plain files: archives unpacked within bounds, names that lead nowhere.

Nothing is written here; contents stay in memory.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec

from inference.analysis_limits import MB, UPLOAD_SETTING, AnalysisLimits
from inference.errors import BadUpload

ZIP_MAGIC: Final = b"PK\x03\x04"
MAX_NAME: Final = 200
_SMALL: Final = 1_000_000
"""Files up to here may be packed as tightly as they like: a header of zeros is no bomb."""

_PACKED: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
_JUNK: Final = ("__MACOSX", ".DS_Store", "Thumbs.db")


class Upload(msgspec.Struct, frozen=True):
    """One file as it was handed in."""

    name: str
    data: bytes


def shown(name: str) -> str:
    """A file's name for messages: printable, not endless."""
    kept = "".join(char if char.isprintable() else "?" for char in name)
    return kept if len(kept) <= 80 else f"{kept[:76]}..."


def unpack(files: Sequence[Upload], limits: AnalysisLimits) -> dict[str, bytes]:
    """Check the files and open archives.

    Parameters
    ----------
    files : sequence of Upload
        As handed in; a zip is opened, but no zip within it.
    limits : AnalysisLimits
        Bounds.

    Returns
    -------
    dict of str to bytes
        Contents by plain name (no folders).

    Raises
    ------
    BadUpload
        Nothing or too much was handed in, or an archive is broken or hostile.
    """
    if not files:
        raise BadUpload("no file: choose a recording (WFDB, EDF/BDF, WAV/FLAC, CSV, or a zip of WFDB)")
    if len(files) > limits.max_files:
        raise BadUpload(f"{len(files)} files; at most {limits.max_files}: hand in one recording")
    total = sum(len(file.data) for file in files)
    if total > limits.max_upload_mb * MB:
        raise BadUpload(
            f"{shown(files[0].name)}: {total / MB:,.1f} MB; at most {limits.max_upload_mb} MB: "
            f"export a shorter part, or raise {UPLOAD_SETTING}"
        )
    found: dict[str, bytes] = {}
    for file in files:
        if not file.data:
            raise BadUpload(f"{shown(file.name)}: empty, 0 bytes; export it again")
        inside = _members(file, limits) if file.data.startswith(ZIP_MAGIC) else [_plain(file)]
        for name, data in inside:
            if name in found:
                raise BadUpload(f"{shown(name)}: there are two files of this name; hand in one recording")
            found[name] = data
    if not found:
        raise BadUpload(f"{shown(files[0].name)}: the archive holds no files; pack the recording again")
    return found


def _plain(file: Upload) -> tuple[str, bytes]:
    return _name_of(file.name, file.name), file.data


def _name_of(path: str, archive: str) -> str:
    """Last part of a name that stays where it is."""
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path.startswith("/")
        or ".." in parts
        or "\\" in path
        or ":" in path
        or "\0" in path
        or len(path) > MAX_NAME
    ):
        raise BadUpload(
            f"{shown(archive)}: file name {shown(path)!r} leads out of its folder; rename it to letters, "
            "digits, - and _"
        )
    return parts[-1]


def _members(file: Upload, limits: AnalysisLimits) -> list[tuple[str, bytes]]:
    archive = shown(file.name)
    try:
        with zipfile.ZipFile(io.BytesIO(file.data)) as opened:
            # Not is_dir(), which takes an entry without a name for granted.
            infos = [one for one in opened.infolist() if one.filename[-1:] != "/" and not _is_junk(one)]
            _check_members(archive, infos, limits)
            members = []
            left = limits.max_unpacked_mb * MB
            for info in infos:
                data = _read_member(archive, opened, info, left)
                left -= len(data)
                if data.startswith(ZIP_MAGIC):
                    raise BadUpload(
                        f"{archive}: {shown(info.filename)!r} is an archive in the archive; unpack it first"
                    )
                members.append((_name_of(info.filename, archive), data))
            return members
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OSError) as error:
        raise BadUpload(f"{archive}: broken archive ({shown(str(error))}); pack it again") from error


def _is_junk(info: zipfile.ZipInfo) -> bool:
    """What operating systems leave in archives."""
    return any(part in _JUNK for part in PurePosixPath(info.filename).parts)


def _check_members(archive: str, infos: Iterable[zipfile.ZipInfo], limits: AnalysisLimits) -> None:
    infos = list(infos)
    if len(infos) > limits.max_files:
        raise BadUpload(f"{archive}: {len(infos)} files; at most {limits.max_files}: pack one recording")
    total = sum(info.file_size for info in infos)
    if total > limits.max_unpacked_mb * MB:
        raise BadUpload(
            f"{archive}: {total / MB:,.0f} MB unpacked; at most {limits.max_unpacked_mb} MB: "
            f"pack one shorter recording, or raise {UPLOAD_SETTING} (a quarter of that)"
        )
    for info in infos:
        _check_member(archive, info, limits)


def _check_member(archive: str, info: zipfile.ZipInfo, limits: AnalysisLimits) -> None:
    name = shown(info.filename)
    _name_of(info.filename, archive)
    if info.flag_bits & 0x1:
        raise BadUpload(f"{archive}: {name!r} is encrypted; pack it without a password")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise BadUpload(f"{archive}: {name!r} is a symbolic link; pack the file itself")
    if info.compress_type not in _PACKED:
        raise BadUpload(f"{archive}: {name!r} is packed by method {info.compress_type}; use plain zip")
    if info.file_size > max(_SMALL, limits.max_ratio * info.compress_size):
        raise BadUpload(
            f"{archive}: {name!r} grows {info.file_size / max(info.compress_size, 1):,.0f}-fold to "
            f"{info.file_size / MB:,.0f} MB; at most {limits.max_ratio}-fold: hand it in unpacked"
        )


def _read_member(archive: str, opened: zipfile.ZipFile, info: zipfile.ZipInfo, left: int) -> bytes:
    """Contents of one file, never more than its entry says or than is ``left``."""
    with opened.open(info) as member:
        data = member.read(min(info.file_size, left) + 1)
    if len(data) != info.file_size:
        raise BadUpload(
            f"{archive}: {shown(info.filename)!r} has not the {info.file_size} bytes that its entry says; "
            "pack it again"
        )
    return data
