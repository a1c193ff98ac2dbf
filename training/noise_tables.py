"""Counts of QRS detection in noise as tables and figures, with intervals by bootstrap over records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from models.spec import Interval
from training.evaluation import Evaluation, Table
from training.monitor_tables import percent, with_interval
from training.noise_score import CLEAN, READY_MADE, Counts, Item
from training.sources import IntArray

DRAWS: Final = 1000
NOISE_NAMES: Final = {
    CLEAN: "as recorded",
    "bw": "baseline wander",
    "ma": "muscle noise",
    "em": "electrode motion",
}
Results = Mapping[Item, Mapping[str, Counts]]
Level = tuple[str, int | None]


def sensitivity(table: IntArray) -> float:
    """Of (found, missed, extra)."""
    return float(table[0] / max(1, table[0] + table[1]))


def positive_predictivity(table: IntArray) -> float:
    """Of (found, missed, extra); 0 where nothing was found."""
    return float(table[0] / max(1, table[0] + table[2]))


def f1(table: IntArray) -> float:
    """Of (found, missed, extra)."""
    return float(2 * table[0] / max(1, 2 * table[0] + table[1] + table[2]))


FIGURES: Final[dict[str, Callable[[IntArray], float]]] = {
    "se": sensitivity,
    "ppv": positive_predictivity,
    "f1": f1,
}


def stack(results: Results, level: Level, detector: str) -> IntArray:
    """Counts of a detector at a level, one row a record, (n_records, 3)."""
    rows = [
        (one[detector].found, one[detector].missed, one[detector].extra)
        for item, one in results.items()
        if (item.noise, item.snr_db) == level and item.record not in READY_MADE
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _interval(values: Sequence[float], value: float, n: int) -> Interval:
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(value=round(value, 5), low=round(float(low), 5), high=round(float(high), 5), n=n)


def _draws(n_records: int, seed: int) -> IntArray:
    return np.random.default_rng(seed).integers(0, n_records, size=(DRAWS, n_records))


def figure_of(table: IntArray, figure: Callable[[IntArray], float], seed: int = 0) -> Interval:
    """A figure of the summed counts, records drawn with replacement."""
    values = [figure(table[rows].sum(0)) for rows in _draws(len(table), seed)]
    return _interval(values, figure(table.sum(0)), int(table[:, :2].sum()))


def lead_of(first: IntArray, second: IntArray, seed: int = 0) -> Interval:
    """F1 of the first less that of the second, the same records drawn for both."""
    values = [f1(first[rows].sum(0)) - f1(second[rows].sum(0)) for rows in _draws(len(first), seed)]
    return _interval(values, f1(first.sum(0)) - f1(second.sum(0)), int(first[:, :2].sum()))


def levels_of(results: Results) -> list[Level]:
    """Noise and level of the mixed items, in their order."""
    return list(dict.fromkeys((i.noise, i.snr_db) for i in results if i.record not in READY_MADE))


def level_name(level: Level) -> str:
    """``muscle noise, 6 dB``."""
    noise, snr_db = level
    return (
        NOISE_NAMES.get(noise, noise) if snr_db is None else f"{NOISE_NAMES.get(noise, noise)}, {snr_db} dB"
    )


def _overview(results: Results, network: str, others: Sequence[str]) -> Table:
    rows = []
    for level in levels_of(results):
        own = stack(results, level, network)
        best = max(others, key=lambda name: f1(stack(results, level, name).sum(0)), default=None)
        lead = "" if best is None else with_interval(lead_of(own, stack(results, level, best)))
        scores = [percent(f1(stack(results, level, name).sum(0))) for name in others]
        rows.append((level_name(level), with_interval(figure_of(own, f1)), *scores, best or "", lead))
    head = ("noise", network, *others, "best of the others", "ahead of it by")
    return Table("F1 of QRS detection in noise", head, tuple(rows), "percent")


def _level_table(results: Results, level: Level, detectors: Sequence[str]) -> Table:
    rows = tuple(
        (
            name,
            *(with_interval(figure_of(stack(results, level, name), figure)) for figure in FIGURES.values()),
        )
        for name in detectors
    )
    n = int(stack(results, level, detectors[0])[:, :2].sum())
    return Table(
        f"QRS detection: {level_name(level)}", ("detector", "Se", "+P", "F1"), rows, f"{n} beats, percent"
    )


def _ready_made(results: Results, detectors: Sequence[str]) -> list[Table]:
    tables = []
    for item, one in results.items():
        if item.record in READY_MADE:
            counts = {
                name: np.array([one[name].found, one[name].missed, one[name].extra]) for name in detectors
            }
            rows = tuple(
                (
                    name,
                    *counts[name].tolist(),
                    *(percent(figure(counts[name])) for figure in FIGURES.values()),
                )
                for name in detectors
            )
            head = ("detector", "found", "missed", "extra", "Se", "+P", "F1")
            note = "electrode motion, two minutes with and two without; one record, so no interval; percent"
            tables.append(Table(f"QRS detection: {item.record}, {item.snr_db} dB", head, rows, note))
    return tables


def _by_record(results: Results, detectors: Sequence[str]) -> Table:
    """F1 of the first detector, record by record."""
    levels = levels_of(results)
    records = list(dict.fromkeys(item.record for item in results if item.record not in READY_MADE))
    rows = tuple(
        (
            record,
            *(
                percent(
                    f1(
                        np.array(
                            [(c := results[Item(record, *level)][detectors[0]]).found, c.missed, c.extra]
                        )
                    )
                )
                for level in levels
            ),
        )
        for record in records
    )
    return Table(
        f"F1 of {detectors[0]}, record by record", ("record", *map(level_name, levels)), rows, "percent"
    )


def metrics_of(results: Results, network: str) -> dict[str, Interval]:
    """Figures of the network for its card: ``noise_ma_-6_f1`` and so on."""
    found = {}
    for noise, snr_db in levels_of(results):
        if snr_db is not None:
            table = stack(results, (noise, snr_db), network)
            for name, figure in FIGURES.items():
                found[f"noise_{noise}_{snr_db}_{name}"] = figure_of(table, figure)
    return found


def to_evaluation(results: Results, detectors: Sequence[str]) -> Evaluation:
    """Tables of all levels; the first detector is the network that is compared with the others."""
    network, others = detectors[0], detectors[1:]
    levels = levels_of(results)
    mixed = [_overview(results, network, others), *(_level_table(results, one, detectors) for one in levels)]
    tables = [*(mixed if levels else []), *_ready_made(results, detectors)]
    if levels:
        tables.append(_by_record(results, detectors))
    notes = (
        "Noise: second halves of nstdb's bw and ma (nothing was trained on them), mixed by nst's definition "
        "of the signal-to-noise ratio into the first lead after 5 min, then throughout. Beats matched within "
        "150 ms, first 5 min excluded, each detector's own median delay taken away.",
    )
    return Evaluation((), tuple(tables), metrics_of(results, network), (), notes)
