"""``wardwave simulate``: a ward of simulated beds, the same for the same seed."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from ingest import sim_body, sim_ecg, sim_eeg, sim_eeg_waves, sounds
from ingest.errors import SettingsError
from ingest.faults import Faults
from ingest.pacing import SystemClock, device_start_ns, parse_speed, play, progress_bar, publish_through
from ingest.recording import Coding, sample_time_ns
from ingest.replay import Schedule, add_pacing_arguments, finish
from ingest.rhythms import Beats
from ingest.sim_blocks import BlockStream
from ingest.sim_events import (
    EVENTS,
    OVERLAY,
    Event,
    Truth,
    TruthBeat,
    TruthSpan,
    check_events,
    parse_script,
    segments_of,
)
from ingest.types import Chunk, SignalKind

_log = logging.getLogger(__name__)

SIMULATED: Final = (
    SignalKind.ECG,
    SignalKind.LUNG_SOUND,
    SignalKind.HEART_SOUND,
    SignalKind.EEG,
    SignalKind.RESP,
    SignalKind.PLETH,
    SignalKind.ABP,
)
DEVICE: Final = "simulator"
_CHANNELS: Final = {
    SignalKind.ECG: sim_ecg.LEADS,
    SignalKind.LUNG_SOUND: ("chest",),
    SignalKind.HEART_SOUND: ("chest",),
    SignalKind.EEG: sim_eeg_waves.CHANNELS,
    SignalKind.RESP: ("RESP",),
    SignalKind.PLETH: ("PLETH",),
    SignalKind.ABP: ("ABP",),
}
_GAINS: Final = {
    SignalKind.ECG: sim_ecg.GAIN,
    SignalKind.LUNG_SOUND: sounds.GAIN,
    SignalKind.HEART_SOUND: sounds.GAIN,
    SignalKind.EEG: sim_eeg.GAIN,
    SignalKind.RESP: sim_body.RESP_GAIN,
    SignalKind.PLETH: sim_body.PLETH_GAIN,
    SignalKind.ABP: sim_body.ABP_GAIN,
}


class SimulatedSignal:
    """One signal of one bed, chunk after chunk.

    Parameters
    ----------
    bed : str
        Who sends it.
    kind : SignalKind
        One of :data:`SIMULATED`.
    stream : BlockStream
        What it is made of.
    start_ns : int
        Device time of sample 0.
    """

    def __init__(self, bed: str, kind: SignalKind, stream: BlockStream, start_ns: int) -> None:
        self._bed = bed
        self._kind = kind
        self._stream = stream
        self._start_ns = start_ns
        self._seq = 0

    def next_chunk(self, until_s: float) -> Chunk | None:
        """Return the samples up to ``until_s`` seconds from the start, None if there are none."""
        first, fs_hz = self._stream.position, self._stream.fs_hz
        count = round(until_s * fs_hz) - first
        if count <= 0:
            return None
        chunk = Chunk(
            bed=self._bed,
            device=DEVICE,
            kind=self._kind,
            channels=_CHANNELS[self._kind],
            fs_hz=fs_hz,
            start_ns=self._start_ns + sample_time_ns(first, fs_hz),
            seq=self._seq,
            samples=self._stream.next_samples(count),
            lead_off=self._stream.lead_off(first, count),
        )
        self._seq += 1
        return chunk


class Ward:
    """Simulated beds ``bed-01`` … with scripted events.

    Parameters
    ----------
    n_beds : int
        How many.
    seed : int
        The same seed gives the same ward; a bed does not depend on how many others there are.
    events : sequence of Event or str
        ``bed-03:vf@20s:15s``; see :data:`ingest.sim_events.EVENTS`.
    kinds : sequence of SignalKind or str
        Signals of every bed, out of ecg, lung_sound, heart_sound, eeg, resp, pleth, abp.
    fs_hz : float
        Rate of the ECG.

    Raises
    ------
    SettingsError
        Names what cannot be simulated.
    """

    def __init__(
        self,
        n_beds: int = 8,
        seed: int = 1,
        events: Sequence[Event | str] = (),
        kinds: Sequence[SignalKind | str] = (SignalKind.ECG,),
        fs_hz: float = 250.0,
    ) -> None:
        if n_beds < 1:
            raise SettingsError(f"{n_beds} beds: simulate at least one")
        if seed < 0:
            raise SettingsError(f"seed {seed}: give 0 or a positive number")
        if not 100.0 <= fs_hz <= 4_000.0:
            raise SettingsError(f"ECG rate {fs_hz:g} Hz: give 100 to 4000")
        unknown = [kind for kind in kinds if kind not in SIMULATED]
        if unknown or not kinds:
            raise SettingsError(
                f"kind {unknown[0] if unknown else '(none)'!r}: simulated are {', '.join(SIMULATED)}"
            )
        self.beds = tuple(f"bed-{number:02d}" for number in range(1, n_beds + 1))
        self.kinds = tuple(dict.fromkeys(SignalKind(kind) for kind in kinds))
        self.seed = seed
        self.fs_hz = fs_hz
        self.events = tuple(
            event for one in events for event in ([one] if isinstance(one, Event) else parse_script([one]))
        )
        check_events(self.events, self.beds, self.kinds)

    @property
    def codings(self) -> dict[tuple[str, SignalKind], Coding]:
        """The coding of each stream that is lossless for its samples."""
        per_kind = {
            kind: Coding((_GAINS[kind],) * len(_CHANNELS[kind]), (0.0,) * len(_CHANNELS[kind]))
            for kind in self.kinds
        }
        return {(bed, kind): per_kind[kind] for bed in self.beds for kind in self.kinds}

    def signal(self, bed: str, kind: SignalKind | str, start_ns: int) -> SimulatedSignal:
        """Return a fresh signal from its start."""
        kind = SignalKind(kind)
        events = [event for event in self.events if event.bed == bed]
        stream: BlockStream
        if kind is SignalKind.ECG:
            own = [event for event in events if event.kind is SignalKind.ECG]
            stream = sim_ecg.EcgStream(self.seed, bed, own, self.fs_hz)
        elif kind is SignalKind.LUNG_SOUND:
            stream = sounds.LungSound(self.seed, bed, events)
        elif kind is SignalKind.HEART_SOUND:
            stream = sounds.HeartSound(self.seed, bed, events)
        elif kind is SignalKind.EEG:
            stream = sim_eeg.EegStream(self.seed, bed, events)
        elif kind is SignalKind.RESP:
            stream = sim_body.Resp(self.seed, bed)
        elif kind is SignalKind.PLETH:
            stream = sim_body.Pleth(self.seed, bed, events)
        elif kind is SignalKind.ABP:
            stream = sim_body.Abp(self.seed, bed, events)
        else:
            raise SettingsError(f"kind {kind}: simulated are {', '.join(SIMULATED)}")
        return SimulatedSignal(bed, kind, stream, start_ns)

    def chunks(self, start_ns: int, duration_s: float | None, chunk_s: float = 1.0) -> Iterator[Chunk]:
        """Yield the chunks of all beds in the order of time, from the start of the simulation.

        Parameters
        ----------
        start_ns : int
            Device time of sample 0 of all beds.
        duration_s : float or None
            How long; None without end.
        chunk_s : float
            Length of a chunk.

        Raises
        ------
        SettingsError
            A chunk would not hold a sample.
        """
        rates = {
            SignalKind.ECG: self.fs_hz,
            SignalKind.EEG: sim_eeg.FS_HZ,
            SignalKind.RESP: sim_body.RESP_FS_HZ,
            SignalKind.PLETH: sim_body.PLETH_FS_HZ,
            SignalKind.ABP: sim_body.ABP_FS_HZ,
        }
        if not chunk_s * min(rates.get(kind, sounds.FS_HZ) for kind in self.kinds) >= 1:
            raise SettingsError(f"chunk length {chunk_s:g} s: not one sample")
        return self._chunks(start_ns, duration_s, chunk_s)

    def _chunks(self, start_ns: int, duration_s: float | None, chunk_s: float) -> Iterator[Chunk]:
        signals = [self.signal(bed, kind, start_ns) for bed in self.beds for kind in self.kinds]
        step, until_s = 0, 0.0
        while duration_s is None or until_s < duration_s:
            step += 1
            until_s = step * chunk_s if duration_s is None else min(step * chunk_s, duration_s)
            ready = [chunk for signal in signals if (chunk := signal.next_chunk(until_s)) is not None]
            yield from sorted(ready, key=lambda chunk: chunk.end_ns)

    def truth(self, bed: str, until_s: float) -> Truth:
        """Return what is simulated at a bed before ``until_s`` seconds from the start."""
        events = [event for event in self.events if event.bed == bed]
        cardiac = [event for event in events if event.kind is SignalKind.ECG]
        segments = segments_of(cardiac, "sinus")
        off = [(event.at_s, event.end_s) for event in cardiac if event.name == OVERLAY]
        spans = [
            TruthSpan(one.start_s, min(one.end_s, until_s), one.name, SignalKind.ECG)
            for one in segments
            if one.start_s < until_s
        ]
        spans += [
            TruthSpan(event.at_s, min(event.end_s, until_s), event.name, event.kind)
            for event in events
            if event.at_s < until_s and (event.name == OVERLAY or event.kind is not SignalKind.ECG)
        ]
        if SignalKind.LUNG_SOUND in self.kinds:
            spans += sounds.lung_truth(self.seed, bed, events, until_s)
        beats = tuple(
            TruthBeat(beat.time_s, beat.label)
            for beat in Beats(self.seed, bed, segments).between(0.0, until_s)
            if not any(a <= beat.time_s < b for a, b in off)
        )
        return Truth(bed, beats, tuple(sorted(spans, key=lambda span: span.start_s)))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``wardwave simulate``."""
    parser.add_argument("--beds", type=int, default=8, metavar="N", help="number of beds (default 8)")
    parser.add_argument(
        "--script",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE|EVENT",
        help="events such as bed-03:vf@20s:15s, or files with one a line: "
        + "; ".join(f"{name}: {what}" for name, (_, what) in EVENTS.items()),
    )
    parser.add_argument("--kinds", nargs="+", default=["ecg"], metavar="KIND", help=", ".join(SIMULATED))
    parser.add_argument("--fs", type=float, default=250.0, metavar="HZ", help="rate of the ECG (default 250)")
    add_pacing_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run ``wardwave simulate``; returns the exit status."""
    from ingest.publisher import Publisher
    from ingest.publisher_health import watched
    from ingest.settings import load_settings

    speed = parse_speed(args.speed)
    ward = Ward(args.beds, args.seed, parse_script(args.script), args.kinds, args.fs)
    faults = Faults(args.fault, args.seed) if args.fault else None
    clock = SystemClock()
    settings = load_settings()
    with (
        Publisher(settings, device=DEVICE) as publisher,
        watched(publisher, settings.health_at, "simulate"),
        progress_bar(args.duration) as advance,
    ):
        start_ns = device_start_ns(clock.now_ns(), args.duration, speed)
        _log.info("%d beds, sample 0 is %d ns", len(ward.beds), start_ns)
        if args.manifest is not None:
            args.manifest.write_text(json.dumps(manifest(ward, start_ns, args.duration), indent=1) + "\n")
        try:
            play(
                ward.chunks(start_ns, args.duration, args.chunk_s),
                publish_through(publisher, ward.codings),
                start_ns=start_ns,
                speed=speed,
                clock=clock,
                faults=faults,
                progress=advance,
            )
        except KeyboardInterrupt:
            _log.info("stopped")
        finish(publisher, args.stats)
    return 0


def manifest(ward: Ward, start_ns: int, duration_s: float | None) -> dict[str, object]:
    """Return device times and events of a ward in the form that replay writes, ready for JSON."""
    beds = []
    for chunk in ward.chunks(start_ns, 1.0, 1.0):
        total = None if duration_s is None else round(duration_s * chunk.fs_hz)
        beds.append(
            Schedule(
                chunk.bed,
                "simulated",
                str(chunk.kind),
                chunk.channels,
                start_ns,
                start_ns,
                chunk.fs_hz,
                total,
            )
        )
    return {
        "schema": "replay_manifest/1",
        "seed": ward.seed,
        "beds": [dataclasses.asdict(bed) for bed in beds],
        "events": [dataclasses.asdict(event) for event in ward.events],
    }
