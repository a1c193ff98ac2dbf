"""QRS detection in noise: every detector on the same samples, beats matched as EC57 has it; resumable."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from training import noise_mix, scoring
from training.noise_detectors import Detector, detect
from training.noise_mix import LEARNING_S, CleanLead, held_back_noise, mix, read_lead
from training.scoring import match_beats
from training.sources import WideFloatArray
from training.splits import DS2, NOISE_TEST

logger = logging.getLogger(__name__)

CACHE: Final = Path(".cache/noise")
SNRS_DB: Final = (24, 18, 12, 6, 0, -6)
READY_MADE: Final = tuple(f"nstdb/{record}e{level}" for record in NOISE_TEST for level in ("24", "06", "00"))
"""Mixed by PhysioNet with electrode motion noise, by nst's own protocol: two minutes on, two off."""
CLEAN: Final = "clean"
END_S: Final = 2.0
"""The last seconds are not scored: a network that runs in a stream has not decided on them yet."""
OFFSET_S: Final = 0.25
"""A detector's own delay is looked for within this."""


@dataclass(frozen=True, slots=True)
class Item:
    """One record in one noise.

    Attributes
    ----------
    record : str
        ``source/record``.
    noise : str
        ``bw``, ``ma``, ``clean``, or ``em`` of the records that come with noise.
    snr_db : int or None
        None without noise.
    """

    record: str
    noise: str
    snr_db: int | None

    @property
    def key(self) -> str:
        """As a file's name."""
        level = "" if self.snr_db is None else f"{self.snr_db:+d}"
        return f"{self.record.replace('/', '-')}-{self.noise}{level}"


@dataclass(frozen=True, slots=True)
class Counts:
    """Beats found, missed, and found where there is none."""

    found: int
    missed: int
    extra: int


def items_of(
    records: Sequence[str], noises: Sequence[str], snrs_db: Sequence[int], ready_made: Sequence[str]
) -> list[Item]:
    """Everything that is scored, record by record: clean, in each noise at each level, then 118eNN."""
    mixed = [
        Item(record, noise, snr_db)
        for record in records
        for noise, snr_db in [(CLEAN, None), *((n, s) for n in noises for s in snrs_db)]
    ]
    return mixed + [Item(name, "em", int(name[-2:])) for name in ready_made]


def records_to_test(data: Path) -> tuple[str, ...]:
    """DS2 records that are there, as ``mitdb/record``."""
    return tuple(f"mitdb/{record}" for record in DS2 if (data / "mitdb" / f"{record}.hea").exists())


def count(reference_s: WideFloatArray, found_s: WideFloatArray, end_s: float) -> Counts:
    """Match beats within 150 ms, the detector's own delay taken away; learning period and end left out.

    The delay is the median distance to the nearest reference beat, so that no detector is punished for
    where in the QRS complex it puts its mark.
    """
    if len(found_s) and len(reference_s):
        place = np.searchsorted(reference_s, found_s).clip(1, len(reference_s) - 1)
        left, right = found_s - reference_s[place - 1], found_s - reference_s[place]
        distance = np.where(np.abs(left) < np.abs(right), left, right)
        near = distance[np.abs(distance) <= OFFSET_S]
        found_s = found_s - (np.median(near) if len(near) else 0.0)
    reference_s = reference_s[(reference_s >= LEARNING_S) & (reference_s < end_s)]
    # A mark just outside the scored span may belong to a beat just inside it.
    of_reference, of_found = match_beats(reference_s, found_s)
    scored = (found_s >= LEARNING_S) & (found_s < end_s)
    hits = int((of_reference >= 0).sum())
    return Counts(hits, len(reference_s) - hits, int((scored & (of_found < 0)).sum()))


def _protocol_key() -> str:
    """Changes when mixing, matching or this module does."""
    digest = hashlib.sha256()
    for file in (noise_mix.__file__, scoring.__file__, __file__):
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]


class Bench:
    """Scores detectors on items, each result kept on disk at once.

    Parameters
    ----------
    data : Path
        Folder of the data sets.
    detectors : sequence of Detector
        Compared on the same samples.
    cache : Path
        Where counts are kept: a killed run goes on where it was.
    """

    def __init__(self, data: Path, detectors: Sequence[Detector], cache: Path = CACHE) -> None:
        self.data, self.detectors, self.cache = data, detectors, cache
        self._protocol = _protocol_key()
        self._lead: CleanLead | None = None

    def run(
        self, items: Sequence[Item], progress: Callable[[Item], object] | None = None
    ) -> dict[Item, dict[str, Counts]]:
        """Counts of every item and detector."""
        results: dict[Item, dict[str, Counts]] = {}
        for item in items:
            results[item] = dict(self._score(item))
            if progress is not None:
                progress(item)
        return results

    def _entry(self, item: Item, detector: Detector) -> Path:
        return self.cache / f"{detector.key}-{self._protocol}" / f"{item.key}.json"

    def _score(self, item: Item) -> Iterator[tuple[str, Counts]]:
        samples: WideFloatArray | None = None
        for detector in self.detectors:
            entry = self._entry(item, detector)
            counts = read_counts(entry)
            if counts is None:
                lead = self._read(item.record)
                samples = self._samples(item, lead) if samples is None else samples
                found_s = detect(detector, samples, lead.fs_hz)
                counts = count(lead.beats / lead.fs_hz, found_s, len(samples) / lead.fs_hz - END_S)
                write_counts(entry, counts)
            yield detector.name, counts

    def _read(self, name: str) -> CleanLead:
        if self._lead is None or self._lead.name != name:
            self._lead = read_lead(self.data, name)
        return self._lead

    def _samples(self, item: Item, lead: CleanLead) -> WideFloatArray:
        if item.snr_db is None or item.record in READY_MADE:
            return lead.samples
        return mix(lead, held_back_noise(self.data, item.noise, lead.fs_hz), item.snr_db)


def read_counts(entry: Path) -> Counts | None:
    """Counts that were kept; None where there are none, or damaged ones."""
    try:
        return Counts(**json.loads(entry.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        logger.warning("%s is damaged and is made anew: %s", entry, error)
        return None


def write_counts(entry: Path, counts: Counts) -> None:
    """Keep counts, so that a kill at any time leaves a whole file or none."""
    entry.parent.mkdir(parents=True, exist_ok=True)
    part = entry.with_suffix(".part")
    part.write_text(json.dumps({"found": counts.found, "missed": counts.missed, "extra": counts.extra}))
    part.replace(entry)
