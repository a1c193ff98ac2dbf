"""Alarms of 1,000 beds, each flapping every few seconds: engine, book, records and their encoding.

``extra_info`` gives the cost of one bed for one second, and how many alarm records a second that made.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from inference.alarm_book import AlarmBook
from inference.alarm_spec import Values
from inference.alarms import AlarmEngine, Conditions
from inference.catalog import load_catalogue
from inference.stream_watch import StreamWatch
from inference.windows import WindowMonitor, Windows
from ingest.types import NS_PER_S, Chunk, SignalKind

BEDS = 1_000
SPECS = load_catalogue().of_signal("ecg")
NAMES = tuple(f"bed-{number:04d}" for number in range(BEDS))
T0 = 1_700_000_000 * NS_PER_S
PERIOD_S = 6
"""Every alarm of every bed is true for half of so many seconds, each bed at another time."""

encode = msgspec.json.Encoder().encode


def flapping(second: int, flaps: bool, rng: np.random.Generator) -> Conditions:
    """Conditions of all beds at one second; without delays each change of a condition is an alarm's."""
    shape = (BEDS, len(SPECS))
    own = np.arange(BEDS)[:, None] + 7 * np.arange(len(SPECS))
    true = ((second + own) % PERIOD_S < PERIOD_S // 2) & flaps
    times = np.full(BEDS, T0 + second * NS_PER_S)
    return Conditions(
        np.arange(BEDS), times, true, np.ones(shape, np.bool_), np.repeat(times[:, None], len(SPECS), axis=1),
        rng.uniform(30, 200, shape),
    )  # fmt: skip


def undelayed() -> dict[str, Any]:
    """Settings in which nothing smooths the flapping."""
    layer = {spec.key: Values(on_delay_s=0.0, off_delay_s=0.0) for spec in SPECS}
    return load_catalogue().settings([("bed", layer)])


def per_bed(benchmark: Any, **more: float) -> None:
    """Note the cost of a bed for a second, beside other figures."""
    benchmark.extra_info["us_per_bed_second"] = round(benchmark.stats.stats.median / BEDS * 1e6, 3)
    benchmark.extra_info.update(more)
    cost = benchmark.extra_info["us_per_bed_second"]
    print(f"\n{benchmark.name}: {cost:g} µs a bed and second {more or ''}")  # noqa: T201


@pytest.mark.parametrize("flaps", [False, True], ids=["quiet", "flapping"])
@pytest.mark.parametrize("delays", [True, False], ids=["as-set", "no-delays"])
def test_ecg_alarms_of_1000_beds(benchmark: Any, flaps: bool, delays: bool) -> None:
    engine, book, rng = AlarmEngine(SPECS, BEDS), AlarmBook(), np.random.default_rng(1)
    if not delays:
        for slot, settings in enumerate([undelayed()] * BEDS):
            engine.configure(slot, "ecg", settings)
    second = records = size = 0

    def step() -> int:
        nonlocal second, records, size
        now = flapping(second, flaps, rng)
        now_ns = int(now.times_ns[0])
        engine.limits(now.slots)
        made = [
            encode(alarm)
            for change in engine.update(now)
            for alarm in book.apply(NAMES[change.slot], "ecg", change, second, now_ns)
        ]
        made += [encode(alarm) for alarm in book.tick(now_ns)]
        second, records, size = second + 1, records + len(made), size + sum(map(len, made))
        return len(made)

    benchmark(step)
    per_bed(
        benchmark,
        records_per_bed_minute=round(60 * records / second / BEDS, 2),
        bytes_per_record=round(size / max(records, 1)),
    )
    assert (records > 0) == flaps


@pytest.mark.parametrize("signal", ["eeg", "lung_sound", "heart_sound"])
def test_window_alarms_of_1000_beds(benchmark: Any, signal: str) -> None:
    classes = {
        "eeg": ("background", "seizure"),
        "lung_sound": ("normal", "crackle", "wheeze", "both", "silence"),
        "heart_sound": ("none", "murmur"),
    }[signal]
    watch = WindowMonitor(SignalKind(signal), AlarmBook(), lambda: T0)
    rng = np.random.default_rng(1)
    second = records = 0

    def step() -> int:
        nonlocal second, records
        starts = np.full(BEDS, T0 + second * NS_PER_S)
        said = rng.dirichlet(np.full(len(classes), 0.3), BEDS)
        windows = Windows(
            NAMES, starts, starts + 4 * NS_PER_S, said, classes, np.ones(BEDS), np.full(BEDS, second)
        )
        made = [encode(alarm) for alarm in watch.push(windows)]
        second, records = second + 1, records + len(made)
        return len(made)

    benchmark(step)
    per_bed(benchmark, records_per_bed_minute=round(60 * records / second / BEDS, 2))
    assert second > 0


@pytest.mark.parametrize("kind", ["ecg", "lung_sound"])
def test_technical_alarms_of_1000_streams(benchmark: Any, kind: str) -> None:
    watch = StreamWatch((SignalKind.ECG,))
    fs_hz = 4000.0 if kind == "lung_sound" else 250.0
    samples = np.random.default_rng(1).normal(0, 0.1, (round(fs_hz), 1)).astype(np.float32)
    second = 0

    def step() -> int:
        nonlocal second
        second += 1
        # Each second another tenth of the beds sends nothing.
        heard = [place for place in range(BEDS) if (place + second // 10) % 10]
        for place in heard:
            start_ns = T0 + (second - 1) * NS_PER_S
            chunk = Chunk(NAMES[place], "m", SignalKind(kind), ("one",), fs_hz, start_ns, second, samples)
            received_ms = T0 // 1_000_000 + second * 1_000
            watch.heard((NAMES[place], kind), chunk, received_ms, second, float(second))
        for half in (0.0, 0.5):
            watch.tick(second + half, T0 + second * NS_PER_S)
        return len(heard)

    assert benchmark(step) > 0
    per_bed(benchmark)
