"""What the annotations of a user's own records mean, and who is a patient: a TOML file.

::

    annotator = "atr"                 # extension of the annotation files

    [beats]                           # annotation symbols of each class
    N = ["N", "L", "R"]
    V = ["V", "E"]
    unclassed = ["Q"]                 # a beat, but its class is not scored

    [rhythms]                         # notes of each rhythm; "*": every other one
    vf = ["(VF", "(VFL"]
    other = ["*"]

    [ignore]                          # symbols and notes that say nothing here
    symbols = ["x"]

    [patients]                        # which records are of one person (one of these)
    file = "patients.csv"             # rows: record, patient
    prefix = 4                        # the first characters of the record's name
    before = "_"                      # what stands before this in its name

    [split]                           # by patient; by hash without a file
    file = "split.csv"                # rows: patient, train | validation | test
    validation = 0.15
    test = 0.2
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError, model_validator

from ingest.errors import plain
from models.spec import RHYTHM_CLASSES, STEP_CLASSES
from training.config import Part
from training.errors import BadAnnotation, DataMissing
from training.sources import BEAT_CLASS_UNKNOWN, BEATS_OF, RHYTHM_OF, UNCLASSED

UNCLASSED_NAME: Final = "unclassed"
EVERY_OTHER: Final = "*"

NO_BEATS: Final = frozenset("+~|\"sT*D=p^tu`'@x![]()")
"""WFDB's codes that are no beats: rhythm and quality changes, notes, waves, flutter's begin and end."""

Symbols = dict[str, tuple[str, ...]]


class Ignored(Part):
    """Annotations that say nothing here."""

    symbols: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Patients(Part):
    """Which records are of one person. Without a rule each record is a patient of its own."""

    file: str | None = None
    prefix: int | None = Field(default=None, ge=1)
    before: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_rule(self) -> Patients:
        if sum(rule is not None for rule in (self.file, self.prefix, self.before)) > 1:
            raise ValueError("give one of file, prefix and before")
        return self


class Shares(Part):
    """Sides of the split: from a file, or shares of the patients in the order of their names' hashes."""

    file: str | None = None
    validation: float = Field(default=0.15, gt=0, lt=1)
    test: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _some_train(self) -> Shares:
        if self.validation + self.test >= 1:
            raise ValueError("validation and test together leave nobody to train on")
        return self


class Labels(Part):
    """A user's label map."""

    annotator: str = Field(default="atr", pattern=r"^[A-Za-z][A-Za-z0-9_]*$")
    beats: Symbols = {name: tuple(symbols) for name, symbols in BEATS_OF.items()} | {
        UNCLASSED_NAME: tuple(BEAT_CLASS_UNKNOWN)
    }
    rhythms: Symbols = {
        name: tuple(mark for mark, of in RHYTHM_OF.items() if of == name) for name in RHYTHM_CLASSES[:-1]
    } | {"other": (EVERY_OTHER,)}
    ignore: Ignored = Ignored()
    patients: Patients = Patients()
    split: Shares = Shares()

    @model_validator(mode="after")
    def _known_classes(self) -> Labels:
        for part, known in (
            ("beats", (*STEP_CLASSES[1:], UNCLASSED_NAME)),
            ("rhythms", RHYTHM_CLASSES),
        ):
            table: Symbols = getattr(self, part)
            for name in table:
                if name not in known:
                    raise ValueError(f"{part}.{name}: no such class; there are {', '.join(known)}")
            symbols = [symbol for group in table.values() for symbol in group]
            twice = {symbol for symbol in symbols if symbols.count(symbol) > 1}
            if twice:
                raise ValueError(f"{part}: {', '.join(sorted(twice))} stands in two classes")
        if not self.beats and not self.rhythms:
            raise ValueError("neither beats nor rhythms: nothing could be learned")
        return self

    def beat_class(self, symbol: str) -> int | None:
        """Index into ``STEP_CLASSES``, -1 for a beat of no class, None for what is no beat.

        Raises
        ------
        KeyError
            The symbol is not in the map.
        """
        for name, symbols in self.beats.items():
            if symbol in symbols:
                return UNCLASSED if name == UNCLASSED_NAME else STEP_CLASSES.index(name)
        if symbol in NO_BEATS or symbol in self.ignore.symbols or not self.beats:
            return None
        raise KeyError(symbol)

    def rhythm_class(self, note: str) -> str | None:
        """Name of the rhythm that begins with a note, None for a note of none.

        Raises
        ------
        KeyError
            The note begins a rhythm that is not in the map.
        """
        for name, notes in self.rhythms.items():
            if note in notes:
                return name
        if not self.rhythms or not note.startswith("(") or note in self.ignore.notes:
            return None
        for name, notes in self.rhythms.items():
            if EVERY_OTHER in notes:
                return name
        raise KeyError(note)


def read_labels(path: Path | None) -> Labels:
    """Read a label map; without a file, WFDB's codes by AAMI's classes.

    Raises
    ------
    DataMissing
        No such file.
    BadAnnotation
        It is no TOML, or a key or class in it is unknown.
    """
    if path is None:
        return Labels()
    try:
        tree = tomllib.loads(path.read_text())
    except OSError as error:
        raise DataMissing(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadAnnotation(f"{path}: no TOML: {error}") from error
    # A file that maps only one of them does not mean WFDB's codes for the other.
    tree = {"beats": {}, "rhythms": {}} | tree
    try:
        return Labels.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadAnnotation(f"{path}: {where + ': ' if where else ''}{plain(first['msg'])}") from error
