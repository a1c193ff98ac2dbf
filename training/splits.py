"""Who trains, who validates, who tests. By patient, fixed, never by window.

mitdb: de Chazal et al. 2004. DS1 trains and validates, DS2 tests; the paced records stand aside as EC57
says. Records 201 (DS1) and 202 (DS2) are one person: 202 is left out of the test side, and 201 trains.
118 (DS1) is left out of everything, for nstdb's 118eNN test detection in noise.
vfdb: records are patients, but for 425, the same person as 605. Chosen so that fibrillation, tachycardia
and asystole occur on the train and test side. cinc2015 and cinc2017: by a hash of the record's name.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal

Side = Literal["train", "validation", "test"]

DS1: Final = [
    "101",
    "106",
    "108",
    "109",
    "112",
    "114",
    "115",
    "116",
    "118",
    "119",
    "122",
    "124",
    "201",
    "203",
    "205",
    "207",
    "208",
    "209",
    "215",
    "220",
    "223",
    "230",
]
DS2: Final = [
    "100",
    "103",
    "105",
    "111",
    "113",
    "117",
    "121",
    "123",
    "200",
    "210",
    "212",
    "213",
    "214",
    "219",
    "221",
    "222",
    "228",
    "231",
    "232",
    "233",
    "234",
]
PACED: Final = ("102", "104", "107", "217")
SAME_PERSON_AS_201: Final = "202"
NOISE_TEST: Final = ("118",)
"""Of DS1, but on no side: nstdb's 118eNN are this record with noise, and they test."""

MITDB_VALIDATION: Final = ("114", "119", "220", "223")
VFDB_VALIDATION: Final = ("419", "423", "610")
VFDB_TEST: Final = ("421", "422", "424", "611")
SAME_PERSON_AS_605: Final = "425"
"""605 trains and is 425's tape digitised again, 719 s later (10 s pieces correlate 0.8): 425 is left out."""


def hashed_side(record: str) -> Side:
    """70 % train, 10 % validation, 20 % test, by the first bytes of the SHA-256 of the record's name."""
    part = int.from_bytes(hashlib.sha256(record.encode()).digest()[:4], "big") % 100
    return "train" if part < 70 else "validation" if part < 80 else "test"


def side_of(source: str, record: str) -> Side | None:
    """Side on which a record stands; None where it is left out of everything."""
    if source == "folder":
        from training import folder_source

        return folder_source.opened().side_of(record)
    if source == "mitdb":
        if record in MITDB_VALIDATION:
            return "validation"
        if record in NOISE_TEST:
            return None
        return "train" if record in DS1 else "test" if record in DS2 else None
    if source == "vfdb":
        if record == SAME_PERSON_AS_605:
            return None
        return "validation" if record in VFDB_VALIDATION else "test" if record in VFDB_TEST else "train"
    return hashed_side(f"{source}/{record}")
