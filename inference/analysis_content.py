"""Whether the content of a file that was handed in is what its ending says."""

from __future__ import annotations

from typing import Final

from inference.analysis_headers import check_edf
from inference.analysis_limits import AnalysisLimits
from inference.analysis_table import check_table, is_table
from inference.errors import BadUpload
from ingest.sound_files import SOUND_ENDINGS

_MAGIC: Final = {
    ".edf": (b"0       ",), ".bdf": (b"\xffBIOSEMI",), ".wav": (b"RIFF", b"RF64"), ".flac": (b"fLaC",),
}  # fmt: skip
FORMATS: Final = {
    ".hea": "WFDB", ".edf": "EDF", ".bdf": "BDF", ".csv": "CSV", ".tsv": "TSV",
    **{ending: ending[1:].upper() for ending in SOUND_ENDINGS},
}  # fmt: skip
_LOOKS_LIKE: Final = (
    (b"ID3", "MP3"), (b"\xff\xfb", "MP3"), (b"\xff\xf3", "MP3"), (b"OggS", "Ogg"), (b"%PDF", "PDF"),
    (b"<?xml", "XML"), (b"<", "HTML or XML"), (b"{", "JSON"), (b"PK", "a zip archive"),
    (b"\x1f\x8b", "gzip"), (b"RIFF", "WAV"), (b"fLaC", "FLAC"), (b"0       ", "EDF"),
    (b"\x7fELF", "a program"), (b"MZ", "a program"),
)  # fmt: skip


def check_content(name: str, suffix: str, data: bytes, limits: AnalysisLimits) -> None:
    """Hold the content of a single file against its ending.

    Raises
    ------
    BadUpload
        It is another format, or its head does not fit it.
    """
    if suffix in _MAGIC and (
        not data.startswith(_MAGIC[suffix]) or (suffix == ".wav" and data[8:12] != b"WAVE")
    ):
        raise BadUpload(
            f"{name}: its content is no {FORMATS[suffix]} (it looks like {_looks(data)}); export it as "
            f"{FORMATS[suffix]}, do not just rename it"
        )
    if suffix in (".edf", ".bdf"):
        check_edf(name, data, limits)
    elif is_table(suffix):
        check_table(name, suffix, data, limits)


def _looks(data: bytes) -> str:
    """What a content looks like that is not what its name says."""
    begin = data[:4_000].lstrip()
    found = next((what for mark, what in _LOOKS_LIKE if begin.startswith(mark)), None)
    if found is None:
        text = begin.decode("utf-8", "ignore")
        found = "text" if text and all(char.isprintable() or char.isspace() for char in text) else None
    return found or "something else"
