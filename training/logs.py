"""Where a run writes its curves: CSV files always, TensorBoard events when asked."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Protocol, Self

from training.errors import BadRecipe

LOG: Final = "log.csv"
VALIDATION_LOG: Final = "validation.csv"
EVENTS: Final = "tensorboard"


class CsvLog:
    """A CSV file whose rows begin with the step; what a killed run wrote too far is cut off.

    Parameters
    ----------
    path : Path
        Of the file; its columns are those of its first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, resumed_at: int) -> None:
        """Begin anew at step 0, else drop rows after ``resumed_at``: those steps are done again."""
        if resumed_at == 0 or not self.path.exists():
            self.path.unlink(missing_ok=True)
            return
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        # A kill in the middle of a write leaves a last row that is cut short.
        whole = [row for row in rows[1:] if len(row) == len(rows[0]) and row[0].isdecimal()]
        kept = [row for row in whole if int(row[0]) <= resumed_at]
        if not kept:
            # The head may be cut short too.
            self.path.unlink()
            return
        with self.path.open("w", newline="") as file:
            csv.writer(file).writerows([rows[0], *kept])

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add a row."""
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *values])
            writer.writerow([step, *(f"{value:.6g}" for value in values.values())])


class Writer(Protocol):
    """The part of a TensorBoard writer that is used."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a point to the curve ``tag``."""

    def close(self) -> None:
        """Write out what is held."""


def event_writer(folder: Path, resumed_at: int) -> Writer:
    """TensorBoard events into ``folder``; points after ``resumed_at`` of a killed run are hidden.

    Raises
    ------
    BadRecipe
        tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise BadRecipe(
            "run.tensorboard=true needs tensorboardX: pip install 'wardwave[training]', or leave it out"
        ) from error
    writer: Writer = SummaryWriter(str(folder), purge_step=resumed_at + 1)
    return writer


class Logs:
    """The logs of one run, to be used in a ``with`` block.

    Parameters
    ----------
    folder : Path
        Of the run.
    resumed_at : int
        Step that the run goes on from; 0 begins the files anew.
    tensorboard : bool
        Whether to write events too, into ``folder/tensorboard``.
    """

    def __init__(self, folder: Path, resumed_at: int, *, tensorboard: bool) -> None:
        self._files = {LOG: CsvLog(folder / LOG), VALIDATION_LOG: CsvLog(folder / VALIDATION_LOG)}
        for file in self._files.values():
            file.start(resumed_at)
        self._writer = event_writer(folder / EVENTS, resumed_at) if tensorboard else None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._writer is not None:
            self._stack.callback(self._writer.close)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _append(self, name: str, group: str, step: int, values: Mapping[str, float]) -> None:
        self._files[name].append(step, values)
        if self._writer is not None:
            for key, value in values.items():
                self._writer.add_scalar(f"{group}/{key}", value, step)

    def losses(self, step: int, values: Mapping[str, float]) -> None:
        """Add means of the last steps."""
        self._append(LOG, "train", step, values)

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Add the figures of a validation."""
        self._append(VALIDATION_LOG, "validation", step, values)
