"""Scripted faults, to try a monitor with: ``gap@30s:5s``, ``bed-01/ecg:jump@20s:-3s``.

A fault is a stage with ``push`` and ``flush``; stages are composed in the order in which they are given.
Times count from the first sample of each stream, before any clock fault. The same seed gives the same fault
for any chunk size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ingest.errors import SettingsError
from ingest.fault_stages import Item, Stage, build_stage
from ingest.sim_text import parse_number, parse_seconds
from ingest.types import NS_PER_S, Chunk, SignalKind

KNOWN: Final[dict[str, str]] = {
    "gap": "gap@30s:5s — chunks that touch the span are lost",
    "duplicate": "duplicate@30s:5s — chunks that touch the span come twice",
    "reorder": "reorder@30s:5s — neighbouring chunks change places",
    "late": "late@30s:5s — the chunk at 30 s comes 5 s late",
    "lead-off": "lead-off@30s:5s[:II] — flag set, line flat; all channels or the one named",
    "noise": "noise@30s:5s[:0.3] — muscle-like noise, RMS in the signal's unit",
    "flat": "flat@30s:5s[:II] — constant zero, no flag",
    "rail": "rail@30s:5s[:II] — held at the end of the range",
    "nan": "nan@30s:5s[:II] — missing samples",
    "clock-drift": "clock-drift@30s:200ppm — from 30 s on the device's clock runs fast by 200 ppm",
    "jump": "jump@30s:-5s — at 30 s the device's clock is set back by 5 s",
    "restart": "restart@30s[:5s] — the device restarts: silent for 5 s, then seq counts from 0",
}
"""The faults and what they do."""

_NEEDS_SPAN: Final = ("gap", "late", "lead-off", "noise", "flat", "rail", "nan")
_TAKES_CHANNEL: Final = ("lead-off", "flat", "rail", "nan")


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One scripted fault.

    Parameters
    ----------
    name : str
        One of :data:`KNOWN`.
    at_s : float
        When it begins.
    for_s : float
        How long it lasts; 0 means one chunk, or for ever for clock faults.
    value : float or None
        ppm of a drift, seconds of a jump, RMS of noise.
    channel, bed, kind
        Which it strikes; None means all.
    """

    name: str
    at_s: float
    for_s: float = 0.0
    value: float | None = None
    channel: str | None = None
    bed: str | None = None
    kind: SignalKind | None = None

    def strikes(self, bed: str, kind: SignalKind) -> bool:
        """Whether a stream is meant."""
        return self.bed in (None, bed) and self.kind in (None, kind)


def parse_fault(text: str) -> FaultSpec:
    """Read ``[BED[/KIND]:]NAME@START[:ARGUMENT[:ARGUMENT]]``.

    Raises
    ------
    SettingsError
        Names what is wrong and the known faults.
    """
    head, at, rest = text.strip().partition("@")
    target, _, name = head.rpartition(":")
    name = name.strip().lower()
    if name not in KNOWN or not at:
        raise SettingsError(f"fault {text!r}: unknown; the known faults are: " + "; ".join(KNOWN.values()))
    bed, kind = _target(target, text)
    start, *arguments = rest.split(":")
    at_s = parse_seconds(start, "start", text)
    spec = FaultSpec(name, at_s, bed=bed, kind=kind)
    if len(arguments) > (2 if name in _TAKES_CHANNEL or name == "noise" else 1):
        raise SettingsError(f"fault {text!r}: too many parts; write {KNOWN[name]}")
    if name == "clock-drift":
        return replace(spec, value=parse_number(_needed(arguments, text, name), "drift", text, "ppm"))
    if name == "jump":
        return replace(spec, value=parse_seconds(_needed(arguments, text, name), "jump", text, signed=True))
    if name in _NEEDS_SPAN:
        _needed(arguments, text, name)
    for_s = parse_seconds(arguments[0], "duration", text) if arguments else 0.0
    if name in _NEEDS_SPAN and for_s <= 0:
        raise SettingsError(f"fault {text!r}: duration must be over 0; write {KNOWN[name]}")
    spec = replace(spec, for_s=for_s)
    if len(arguments) < 2:
        return spec
    if name == "noise":
        return replace(spec, value=parse_number(arguments[1], "RMS", text, "mV"))
    return replace(spec, channel=arguments[1].strip())


def _target(target: str, text: str) -> tuple[str | None, SignalKind | None]:
    bed, _, kind = target.strip().partition("/")
    if kind and kind not in set(SignalKind):
        raise SettingsError(f"fault {text!r}: kind {kind!r} is none of {', '.join(SignalKind)}")
    return bed.strip() or None, SignalKind(kind) if kind else None


def _needed(arguments: Sequence[str], text: str, name: str) -> str:
    if not arguments or not arguments[0].strip():
        raise SettingsError(f"fault {text!r}: a part is absent; write {KNOWN[name]}")
    return arguments[0]


class Faults:
    """Chunks in, chunks with faults out.

    Parameters
    ----------
    specs : iterable of FaultSpec or str
        In the order in which they act.
    seed : int
        Of the noise.
    """

    def __init__(self, specs: Iterable[FaultSpec | str], seed: int = 0) -> None:
        parsed = [parse_fault(spec) if isinstance(spec, str) else spec for spec in specs]
        self._specs = tuple(parsed)
        self._seed = seed
        self._origin_ns: dict[tuple[str, SignalKind], int] = {}
        self._stages: dict[tuple[str, SignalKind], list[Stage]] = {}

    def push(self, chunk: Chunk) -> list[Chunk]:
        """Return what the device sends when it should send ``chunk``: none, one or several.

        Raises
        ------
        SettingsError
            A fault names a channel that the signal does not have.
        """
        stream = (chunk.bed, chunk.kind)
        if stream not in self._stages:
            self._origin_ns[stream] = chunk.start_ns
            struck = [spec for spec in self._specs if spec.strikes(*stream)]
            for spec in struck:
                if spec.channel is not None and spec.channel not in chunk.channels:
                    raise SettingsError(
                        f"fault {spec.name}: {chunk.bed}/{chunk.kind} has no channel {spec.channel!r}, "
                        f"only {', '.join(chunk.channels)}; name the stream ({chunk.bed}/{chunk.kind}:...)"
                    )
            self._stages[stream] = [
                build_stage(spec.name, spec.at_s, spec.for_s, spec.value, spec.channel, self._seed + i)
                for i, spec in enumerate(struck)
            ]
        at_s = (chunk.start_ns - self._origin_ns[stream]) / NS_PER_S
        return [item.chunk for item in _through(self._stages[stream], [Item(chunk, at_s)])]

    def flush(self) -> list[Chunk]:
        """Return what was still held back; call it at the end."""
        out: list[Chunk] = []
        for stages in self._stages.values():
            for i, stage in enumerate(stages):
                out += [item.chunk for item in _through(stages[i + 1 :], stage.flush())]
        return out


def _through(stages: Sequence[Stage], items: list[Item]) -> list[Item]:
    for stage in stages:
        items = [out for item in items for out in stage.push(item)]
    return items


def apply_faults(chunks: Iterable[Chunk], specs: Iterable[FaultSpec | str], seed: int = 0) -> Iterator[Chunk]:
    """Yield the chunks of many beds with faults."""
    faults = Faults(specs, seed)
    for chunk in chunks:
        yield from faults.push(chunk)
    yield from faults.flush()
