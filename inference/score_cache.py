"""Networks that remember on disk what they said: a change of a rule plays the same windows again.

What a network says depends on its input and weights alone, so that an answer is found by a hash of the
input, in a folder named by weights and gains. After a change to the code of the networks themselves
(``models/``) the folder must be deleted by hand.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from inference.beat_predictor import BeatPredictor
from inference.errors import InferenceError
from inference.predictor import Predictor, Probabilities
from ingest.types import FloatArray, IntArray
from models.spec import ModelSpec

Array = npt.NDArray[np.generic]
Compute = Callable[[FloatArray], tuple[Array, ...]]

KEY_BYTES: Final = 16
ROWS_KEPT: Final = 50_000
"""Rows that are held in memory before they are written as a part."""


class Remembered:
    """Answers of one network function, row by row.

    Parameters
    ----------
    folder : Path
        Holds the parts: ``<id>.<name>.npy`` and, written last, ``<id>.keys.npy``.
    names : sequence of str
        Of the arrays that the function returns.

    Raises
    ------
    InferenceError
        The folder cannot be written, or a part in it is damaged.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._place: dict[bytes, tuple[int, int]] = {}
        self._parts: list[tuple[Array, ...]] = []
        self._new: list[tuple[list[bytes], tuple[Array, ...]]] = []
        self.hits = self.misses = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(folder.glob("*.keys.npy")):
                self._read(file)
        except (OSError, ValueError) as error:
            raise InferenceError(f"--cache {folder}: {error}; delete the folder or name another") from error

    def _read(self, file: Path) -> None:
        begin = file.name.removesuffix(".keys.npy")
        keys: npt.NDArray[np.uint8] = np.load(file)
        self._parts.append(
            tuple(np.load(file.with_name(f"{begin}.{name}.npy"), mmap_mode="r") for name in self._names)
        )
        self._note([key.tobytes() for key in keys])

    def _note(self, keys: Sequence[bytes]) -> None:
        part = len(self._parts) - 1
        self._place.update((key, (part, row)) for row, key in enumerate(keys))

    def __call__(self, inputs: FloatArray, compute: Compute) -> tuple[Array, ...]:
        """Answer for each row of ``inputs``; ``compute`` is asked for those that are not known."""
        rows = np.ascontiguousarray(inputs)
        keys = [hashlib.blake2b(row, digest_size=KEY_BYTES).digest() for row in rows]
        unknown = [at for at, key in enumerate(keys) if key not in self._place]
        self.misses += len(unknown)
        self.hits += len(keys) - len(unknown)
        if len(unknown) == len(keys):
            answer = compute(rows)
            self._add(keys, answer)
            return answer
        if unknown:
            self._add([keys[at] for at in unknown], compute(rows[unknown]))
        places = [self._place[key] for key in keys]
        return tuple(
            np.stack([self._parts[part][array][row] for part, row in places])
            for array in range(len(self._names))
        )

    def _add(self, keys: list[bytes], answer: tuple[Array, ...]) -> None:
        self._parts.append(answer)
        self._note(keys)
        self._new.append((keys, answer))
        if sum(len(held) for held, _ in self._new) >= ROWS_KEPT:
            self.save()

    def save(self) -> None:
        """Write what is new; a part appears whole or not at all, and runs side by side do not disturb."""
        if not self._new:
            return
        begin = uuid.uuid4().hex
        for array, name in enumerate(self._names):
            whole = np.concatenate([answer[array] for _, answer in self._new])
            np.save(self._folder / f"{begin}.{name}.npy", whole)
        keys = np.frombuffer(b"".join(key for held, _ in self._new for key in held), dtype=np.uint8)
        partial = self._folder / f"{begin}.partial.npy"
        np.save(partial, keys.reshape(-1, KEY_BYTES))
        partial.rename(self._folder / f"{begin}.keys.npy")
        self._new = []


class CachedPredictor(Predictor):
    """:class:`~inference.predictor.Predictor` with a memory in ``cache``."""

    def __init__(self, model: str, device: str | None, cache: Path) -> None:
        super().__init__(model, device)
        folder = _folder(cache, self.spec, self.device.type)
        self.remembered = Remembered(folder / "windows", ("steps", "rhythms"))

    def __call__(self, windows: FloatArray) -> Probabilities:
        """Predict; see :meth:`Predictor.__call__`."""
        steps, rhythms = self.remembered(windows, self._compute)
        return Probabilities(steps.astype(np.float32), rhythms.astype(np.float32))

    def _compute(self, windows: FloatArray) -> tuple[Array, ...]:
        said = self.whole(windows)
        return said.steps, said.rhythms

    def save(self) -> None:
        """Leave what is new on disk."""
        self.remembered.save()


class CachedBeatPredictor(BeatPredictor):
    """:class:`~inference.beat_classes.BeatPredictor` with a memory in ``cache``."""

    def __init__(self, model: str, device: str | None, cache: Path) -> None:
        self._rows: Remembered | None = None
        self._sequences: Remembered | None = None
        super().__init__(model, device)
        folder = _folder(cache, self.spec, self.device.type)
        self._rows = Remembered(folder / "shapes", ("shapes",))
        self._sequences = Remembered(folder / "kept", ("labels",))

    def shapes(self, rows: FloatArray) -> FloatArray:
        """What single beats' signals give; see :meth:`BeatPredictor.shapes`."""
        if self._rows is None:
            return super().shapes(rows)
        (found,) = self._rows(rows, lambda rows: (super(CachedBeatPredictor, self).shapes(rows),))
        return found.astype(np.float32)

    def both_labels(self, kept: FloatArray) -> IntArray:
        """Classes of the last two beats; see :meth:`BeatPredictor.both_labels`."""
        if self._sequences is None:
            return super().both_labels(kept)
        (found,) = self._sequences(kept, lambda x: (super(CachedBeatPredictor, self).both_labels(x),))
        return found.astype(np.int64)

    def save(self) -> None:
        """Leave what is new on disk."""
        for remembered in (self._rows, self._sequences):
            if remembered is not None:
                remembered.save()


def _folder(cache: Path, card: ModelSpec, device: str) -> Path:
    said_by = hashlib.sha256(f"{card.sha256} {card.beat_gains}".encode()).hexdigest()
    return cache / f"{card.name}-{said_by[:12]}-{device}"
