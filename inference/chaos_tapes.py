"""Any number of beds for any time: tapes of simulated signals, played over and over.

``python -m inference.chaos_tapes SPEC JOURNAL`` is the devices' process of a soak. What it sends follows from
the spec alone, so that one that was killed sends the same bytes again.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, overload

import msgspec

from inference.chaos_device import Journal, play, wait
from inference.chaos_ward import DEVICE, Sent
from ingest import wire
from ingest.recording import Int16Array, canonical_unit
from ingest.settings import load_settings
from ingest.simulate import Ward
from ingest.types import NS_PER_S, Chunk, SignalKind

TAPE_S: Final = 120
"""A tape begins anew after so long."""

TAPES: Final[Mapping[SignalKind, int]] = {
    SignalKind.ECG: 12,
    SignalKind.EEG: 2,
    SignalKind.LUNG_SOUND: 2,
    SignalKind.HEART_SOUND: 2,
}
"""How many tapes of each kind."""

EACH: Final[Mapping[SignalKind, int]] = {
    SignalKind.ECG: 1,
    SignalKind.EEG: 20,
    SignalKind.LUNG_SOUND: 20,
    SignalKind.HEART_SOUND: 40,
}
"""Every so many-th bed has a signal of the kind."""

STORY: Final = (
    "bed-01:asystole@30s:9s",
    "bed-02:vf@60s:12s",
    "bed-03:tachy@20s:40s",
    "bed-01:seizure@40s:40s",
    "bed-01:wheeze@10s:30s",
)
"""What happens on the tapes; every fourth bed has one of the eventful ECGs."""


class TapeSpec(msgspec.Struct, frozen=True):
    """What is played: ``n_beds`` for ``seconds`` from ``start_ns`` on (device time)."""

    start_ns: int
    seconds: int
    n_beds: int
    seed: int = 1

    def streams(self) -> Iterator[tuple[str, SignalKind, int]]:
        """Each stream: bed, kind, number of its tape."""
        for number in range(self.n_beds):
            for kind, each in EACH.items():
                if number % each == 0:
                    yield f"bed-{number + 1:04d}", kind, number // each % TAPES[kind]

    @property
    def beds(self) -> list[str]:
        """All beds."""
        return [f"bed-{number + 1:04d}" for number in range(self.n_beds)]


@dataclass(frozen=True, slots=True)
class _Tape:
    first: Chunk
    seconds: Sequence[Int16Array]
    gain: Sequence[float]
    baseline: Sequence[float]


class Tapes(Sequence[list[Sent]]):
    """What is to be sent after each second, made when it is asked for.

    Parameters
    ----------
    spec : TapeSpec
        What is played.
    """

    def __init__(self, spec: TapeSpec) -> None:
        self._spec = spec
        self._tapes = {kind: _record(kind, spec.seed) for kind in TAPES}

    def __len__(self) -> int:
        return self._spec.seconds

    @overload
    def __getitem__(self, index: int) -> list[Sent]: ...

    @overload
    def __getitem__(self, index: slice) -> list[list[Sent]]: ...

    def __getitem__(self, index: int | slice) -> list[Sent] | list[list[Sent]]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(index)
        start_ns = self._spec.start_ns + index * NS_PER_S
        return [
            Sent(bed, _encode(self._tapes[kind][tape], bed, start_ns, index))
            for bed, kind, tape in self._spec.streams()
        ]


def _record(kind: SignalKind, seed: int) -> list[_Tape]:
    """Make the tapes of a kind."""
    ward = Ward(TAPES[kind], seed, [event for event in STORY if _is_of(event, kind)], [kind])
    tapes = []
    for bed in ward.beds:
        signal, coding = ward.signal(bed, kind, 0), ward.codings[bed, kind]
        chunks = [chunk for n in range(TAPE_S) if (chunk := signal.next_chunk(n + 1.0)) is not None]
        digital = [coding.digitise(chunk.samples) for chunk in chunks]
        tapes.append(_Tape(chunks[0], digital, coding.gain, coding.baseline))
    return tapes


def _is_of(event: str, kind: SignalKind) -> bool:
    name = event.split(":")[1].partition("@")[0]
    return {"seizure": SignalKind.EEG, "wheeze": SignalKind.LUNG_SOUND}.get(name, SignalKind.ECG) is kind


def _encode(tape: _Tape, bed: str, start_ns: int, second: int) -> bytes:
    return wire.encode(
        bed=bed,
        device=DEVICE,
        kind=tape.first.kind,
        channels=tape.first.channels,
        unit=canonical_unit(tape.first.kind),
        fs_hz=tape.first.fs_hz,
        start_ns=start_ns,
        seq=second,
        samples=tape.seconds[second % TAPE_S],
        gain=tape.gain,
        baseline=tape.baseline,
    )


def main(spec: str, journal: str) -> None:
    """Play tapes in real time."""
    logging.basicConfig(level="WARNING", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    asked = msgspec.json.decode(Path(spec).read_bytes(), type=TapeSpec)
    play(asked.start_ns, Tapes(asked), Journal(Path(journal)), load_settings(), wait)


if __name__ == "__main__":
    main(*sys.argv[1:])
