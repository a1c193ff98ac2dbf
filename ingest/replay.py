"""``wardwave replay``: recordings become live streams of beds."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import heapq
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ingest.errors import BadRecording, SettingsError
from ingest.faults import KNOWN, Faults
from ingest.pacing import (
    Clock,
    Publish,
    SystemClock,
    device_start_ns,
    parse_speed,
    play,
    progress_bar,
    publish_through,
)
from ingest.recording import Signal, sample_time_ns
from ingest.types import Chunk

if TYPE_CHECKING:
    from ingest.publisher import Publisher, PublisherStats

_log = logging.getLogger(__name__)

_ENDINGS: Final = (".hea", ".edf", ".bdf", ".wav", ".flac", ".csv", ".tsv")


@dataclass(frozen=True, slots=True)
class Source:
    """One signal of one bed.

    Parameters
    ----------
    bed : str
        Who sends it.
    path : str
        Where it is from.
    signal : Signal
        The part that is played.
    first_s : float
        Where in the file the part begins.
    """

    bed: str
    path: str
    signal: Signal
    first_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """What device times a source gets.

    ``start_ns`` is the device time of the first sample that is sent, ``file_zero_ns`` that of sample 0 of the
    file: sample k of an annotation file stands for ``file_zero_ns + k / fs_hz``. ``n_samples`` is None where
    there is no end.
    """

    bed: str
    path: str
    kind: str
    channels: tuple[str, ...]
    start_ns: int
    file_zero_ns: int
    fs_hz: float
    n_samples: int | None


def replay(
    sources: Sequence[Source],
    publish: Publish,
    *,
    speed: float = 1.0,
    clock: Clock | None = None,
    device: str = "replay",
    chunk_s: float = 1.0,
    loop: bool = False,
    duration_s: float | None = None,
    faults: Faults | None = None,
    on_schedule: Callable[[tuple[Schedule, ...]], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> tuple[Schedule, ...]:
    """Send recordings as devices would: all beds begin together, chunks in the order of device time.

    Parameters
    ----------
    sources : sequence of Source
        Not empty; one per bed and signal kind.
    publish : callable
        Takes each chunk.
    speed : float
        1 is real time, infinity as fast as it goes.
    clock : Clock, optional
        The machine's by default.
    chunk_s : float
        Length of a chunk.
    loop : bool
        Begin again at the end of each recording, without a break in time.
    duration_s : float, optional
        Device seconds to play at most; without it a loop has no end.
    on_schedule : callable, optional
        Is told the device times before the first chunk leaves.

    Returns
    -------
    tuple of Schedule
        One per source, in their order.

    Raises
    ------
    SettingsError
        An impossible combination; names it.
    """
    clock = SystemClock() if clock is None else clock
    totals = [_total(source.signal, loop, duration_s) for source in sources]
    _check(sources, chunk_s)
    start_ns = device_start_ns(clock.now_ns(), _length_s(sources, totals), speed)
    schedules = tuple(
        _schedule(source, total, start_ns) for source, total in zip(sources, totals, strict=True)
    )
    if on_schedule is not None:
        on_schedule(schedules)
    streams = [
        source_chunks(source, start_ns, total, chunk_s, device)
        for source, total in zip(sources, totals, strict=True)
    ]
    merged = heapq.merge(*streams, key=lambda chunk: chunk.end_ns)
    play(merged, publish, start_ns=start_ns, speed=speed, clock=clock, faults=faults, progress=progress)
    return schedules


def source_chunks(
    source: Source, start_ns: int, n_samples: int | None, chunk_s: float, device: str
) -> Iterator[Chunk]:
    """Cut a source into chunks; begins again at its end where ``n_samples`` asks for more than it has."""
    signal = source.signal
    position = seq = 0
    while n_samples is None or position < n_samples:
        end = round((seq + 1) * chunk_s * signal.fs_hz)
        end = end if n_samples is None else min(end, n_samples)
        samples = signal.samples.take(np.arange(position, end), axis=0, mode="wrap")
        at_ns = start_ns + sample_time_ns(position, signal.fs_hz)
        yield Chunk(source.bed, device, signal.kind, signal.channels, signal.fs_hz, at_ns, seq, samples)
        position, seq = end, seq + 1


def read_sources(
    paths: Sequence[str | Path],
    beds: Sequence[str] = (),
    *,
    kind: str | None = None,
    fs_hz: float | None = None,
    start_s: float = 0.0,
    duration_s: float | None = None,
) -> list[Source]:
    """Read files, one bed each (``bed-01`` … by default); a folder stands for the recordings in it.

    Several files may go to one bed when their signal kinds differ. ``path@90`` begins 90 s into the file.

    Raises
    ------
    BadRecording, SettingsError
        A file cannot be read; names and files do not fit.
    """
    from ingest.readers import read_signal_files

    files = [part for path in paths for part in _parts(path, start_s)]
    names = list(beds) or [f"bed-{number:02d}" for number in range(1, len(files) + 1)]
    if len(names) != len(files):
        raise SettingsError(f"{len(names)} beds for {len(files)} recordings: give one name each, or none")
    sources: dict[tuple[str, str], Source] = {}
    for bed, (file, first_s) in zip(names, files, strict=True):
        recording = read_signal_files(file, kind=kind, fs_hz=fs_hz, start_s=first_s, duration_s=duration_s)
        best: dict[str, Signal] = {}
        for signal in sorted(recording.signals, key=lambda signal: -len(signal.channels)):
            if best.setdefault(str(signal.kind), signal) is not signal:
                _log.warning(
                    "%s: %s at %g Hz (%s) is not sent: a bed carries one rate of each kind",
                    file,
                    signal.kind,
                    signal.fs_hz,
                    ", ".join(signal.channels),
                )
        for name, signal in best.items():
            if (bed, name) in sources:
                raise SettingsError(f"{file}: {bed} already gets its {name} from {sources[bed, name].path}")
            sources[bed, name] = Source(bed, str(file), signal, first_s)
    return list(sources.values())


def _parts(path: str | Path, start_s: float) -> list[tuple[Path, float]]:
    """Files of one PATH, each with the second at which it begins."""
    name, mark, begin = str(path).rpartition("@")
    if mark and name and not Path(path).exists():
        with contextlib.suppress(ValueError):
            return [(file, float(begin)) for file in _expand(Path(name))]
    return [(file, start_s) for file in _expand(Path(path))]


def _expand(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in _ENDINGS)
    if not found:
        raise BadRecording(f"{path}: no recordings in this folder ({' '.join(_ENDINGS)})")
    return found


def _total(signal: Signal, loop: bool, duration_s: float | None) -> int | None:
    if duration_s is None:
        return None if loop else signal.n_samples
    wanted = round(duration_s * signal.fs_hz)
    return wanted if loop else min(wanted, signal.n_samples)


def _check(sources: Sequence[Source], chunk_s: float) -> None:
    if not sources:
        raise SettingsError("no recordings to replay: name at least one file")
    for source in sources:
        if not chunk_s * source.signal.fs_hz >= 1:
            raise SettingsError(
                f"chunk length {chunk_s:g} s: not one sample of {source.path} ({source.signal.fs_hz:g} Hz)"
            )
        if not source.signal.n_samples:
            raise SettingsError(f"{source.path}: no samples in the part asked for; choose an earlier start")


def _length_s(sources: Sequence[Source], totals: Sequence[int | None]) -> float | None:
    lengths = [
        None if total is None else total / source.signal.fs_hz
        for source, total in zip(sources, totals, strict=True)
    ]
    known = [length for length in lengths if length is not None]
    return max(known) if len(known) == len(lengths) else None


def _schedule(source: Source, total: int | None, start_ns: int) -> Schedule:
    signal = source.signal
    first = round(source.first_s * signal.fs_hz)
    return Schedule(
        bed=source.bed,
        path=source.path,
        kind=str(signal.kind),
        channels=signal.channels,
        start_ns=start_ns,
        file_zero_ns=start_ns - sample_time_ns(first, signal.fs_hz),
        fs_hz=signal.fs_hz,
        n_samples=total,
    )


def write_manifest(path: Path, schedules: Sequence[Schedule]) -> None:
    """Write the schedules as JSON; the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    beds = [dataclasses.asdict(schedule) for schedule in schedules]
    partial.write_text(json.dumps({"schema": "replay_manifest/1", "beds": beds}, indent=1) + "\n")
    partial.replace(path)


def add_pacing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what replay and simulate share."""
    parser.add_argument("--speed", default="1", help="1 (real time), 10 or max (default 1)")
    parser.add_argument("--duration", type=float, metavar="S", help="seconds of device time to send")
    parser.add_argument("--chunk-s", type=float, default=1.0, metavar="S", help="chunk length (default 1)")
    parser.add_argument(
        "--fault",
        nargs="+",
        action="extend",
        default=[],
        metavar="[BED[/KIND]:]FAULT",
        help="scripted faults: " + "; ".join(KNOWN.values()),
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything random (default 1)")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="write device times per bed (JSON)")
    parser.add_argument("--stats", type=Path, metavar="FILE", help="write counts of chunks at the end (JSON)")


def write_stats(path: Path, stats: PublisherStats) -> None:
    """Write what was sent and acknowledged as JSON; the file appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(dataclasses.asdict(stats)) + "\n")
    partial.replace(path)


def finish(publisher: Publisher, stats: Path | None) -> None:
    """Wait until all is stored; say and write the counts."""
    publisher.flush()
    _log.info("%s", publisher.stats)
    if stats is not None:
        write_stats(stats, publisher.stats)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wardwave replay``."""
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="WFDB, EDF/BDF, WAV/FLAC, CSV or a folder; PATH@90 begins at 90 s",
    )
    parser.add_argument(
        "--bed", nargs="+", default=[], metavar="NAME", help="one a file (default bed-01 ...)"
    )
    parser.add_argument("--device", default="replay", help="name of the sending device (default replay)")
    parser.add_argument("--kind", help="signal kind of all channels, where their names do not tell it")
    parser.add_argument("--fs", type=float, metavar="HZ", help="rate of a CSV without a time column")
    parser.add_argument("--start", type=float, default=0.0, metavar="S", help="begin here in the files")
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    add_pacing_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``wardwave replay``; returns the exit status."""
    from ingest.publisher import Publisher
    from ingest.publisher_health import watched
    from ingest.settings import load_settings

    speed = parse_speed(args.speed)
    faults = Faults(args.fault, args.seed) if args.fault else None
    part_s = None if args.loop else args.duration
    sources = read_sources(
        args.paths, args.bed, kind=args.kind, fs_hz=args.fs, start_s=args.start, duration_s=part_s
    )
    codings = {(source.bed, source.signal.kind): source.signal.coding for source in sources}
    length_s = args.duration if args.loop else max(source.signal.duration_s for source in sources)
    settings = load_settings()
    if length_s is not None and speed > 1 and length_s > settings.ingest.max_past_s:
        _log.warning("%g h at once: what is older than max_past_s will be refused", length_s / 3600)

    def announce(schedules: tuple[Schedule, ...]) -> None:
        for item in schedules:
            _log.info(
                "%s %s from %s (%s): sample 0 of the file is %d ns",
                item.bed,
                item.kind,
                item.path,
                ", ".join(item.channels),
                item.file_zero_ns,
            )
        if args.manifest is not None:
            write_manifest(args.manifest, schedules)

    with (
        Publisher(settings, device=args.device) as publisher,
        watched(publisher, settings.health_at, "replay"),
        progress_bar(length_s) as advance,
    ):
        try:
            replay(
                sources,
                publish_through(publisher, codings),
                speed=speed,
                device=args.device,
                chunk_s=args.chunk_s,
                loop=args.loop,
                duration_s=args.duration,
                faults=faults,
                on_schedule=announce,
                progress=advance,
            )
        except KeyboardInterrupt:
            _log.info("stopped")
        finish(publisher, args.stats)
    return 0
