"""Rates and silences of the sound monitor held against annotated recordings, without any network.

Breaths against the cycles of ICBHI 2017, beats against S1 of CirCor 2022, each second against what was
annotated in the seconds that the monitor looked at. No recording holds an apnoea: one is made of each
recording's own quietest moment, repeated.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
from scipy import signal as dsp
from scipy import stats

from inference.alarm_book import AlarmBook
from inference.monitor import Outcome
from inference.sound_listener import SoundNetwork
from inference.sound_monitor import SPECS, SoundMonitor
from inference.windows import WindowMonitor
from ingest.continuity import Piece
from ingest.filters import band_pass
from ingest.readers import read_signal_files
from ingest.types import NS_PER_S, BoolArray, Chunk, FloatArray, SignalKind, WideFloatArray

T0: Final = 1_700_000_000 * NS_PER_S
LEAST_INSIDE: Final = 0.2
"""A cycle counts in a span where so much of it at either end lies within."""

LONGEST_BEAT_S: Final = 2.0
LEAST_ANNOTATED: Final = 0.6
"""Share of a span that must be annotated."""

BEFORE_S, APNOEA_S, QUIET_S = 120, 30, 0.6
"""A made apnoea: breathing before it, its length, and the length of the moment that is repeated."""


@dataclass(frozen=True, slots=True)
class Annotated:
    """A recording, its patient and group, begins and ends of its cycles in seconds, and what they hold."""

    name: str
    patient: str
    group: str
    path: Path
    cycles_s: WideFloatArray
    labels: dict[str, BoolArray] = field(default_factory=dict)


@dataclass(slots=True)
class RateScore:
    """Seconds of one group of recordings: errors of shown rates per patient, and how many seconds there were.

    ``errors`` are in 1/min against the median cycle, ``of_mean`` against the mean one.
    """

    errors: dict[str, list[float]] = field(default_factory=dict)
    of_mean: list[float] = field(default_factory=list)
    n_seconds: int = 0
    n_usable: int = 0
    technical: Counter[str] = field(default_factory=Counter)

    @property
    def all_errors(self) -> WideFloatArray:
        """Of every second with a rate."""
        return np.array([error for one in self.errors.values() for error in one])

    def median_interval(self, draws: int = 2_000) -> tuple[float, float]:
        """95 % interval of the median error, drawn by patients."""
        rng, patients = np.random.default_rng(1), [np.array(one) for one in self.errors.values()]
        medians = [
            np.median(np.concatenate([patients[i] for i in rng.integers(0, len(patients), len(patients))]))
            for _ in range(draws)
        ]
        low, high = np.quantile(medians, [0.025, 0.975])
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class SilenceScore:
    """Made apnoeas that were told within them, all of them, alarms outside of them, and hours listened."""

    told: int
    made: int
    false: int
    hours: float


@dataclass(frozen=True, slots=True)
class PieceScore:
    """Pieces that a network judged, those that hold the sound, and the area under its ROC curve."""

    pieces: int
    positive: int
    auroc: float


def icbhi(folder: Path) -> list[Annotated]:
    """Recordings of ICBHI 2017 (``cycles.csv`` and ``audio/``), grouped by the official split."""
    rows: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (folder / "cycles.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            rows[row["recording"]].append(row)
    return [
        Annotated(
            name,
            own[0]["patient"],
            own[0]["official_split"],
            folder / "audio" / f"{name}.flac",
            np.array([[float(row["start_s"]), float(row["end_s"])] for row in own]),
            {name: np.array([row[name] == "1" for row in own]) for name in ("crackle", "wheeze")},
        )
        for name, own in rows.items()
    ]


def circor(folder: Path) -> list[Annotated]:
    """Recordings of CirCor 2022, grouped by the half of the patients that constants were chosen on."""
    found = []
    for path in sorted(folder.glob("*.flac")):
        states = np.loadtxt(path.with_suffix(".tsv"), ndmin=2)
        begins = states[states[:, 2] == 1, 0]
        beats = np.stack([begins[:-1], begins[1:]], axis=1)
        patient = path.stem.split("_")[0]
        group = "chosen on" if patient in _chosen_on(folder) else "held out"
        found.append(
            Annotated(path.stem, patient, group, path, beats[np.ptp(beats, axis=1) < LONGEST_BEAT_S])
        )
    return found


def _chosen_on(folder: Path) -> set[str]:
    patients = sorted({path.stem.split("_")[0] for path in folder.glob("*.flac")})
    return set(np.random.default_rng(0).choice(patients, len(patients) // 2, replace=False).tolist())


def play(kind: SignalKind, sound: FloatArray, fs_hz: float, network: SoundNetwork | None = None) -> Outcome:
    """Play one sound, a second a chunk, through a monitor of its own."""
    return play_together(kind, {"bed": sound}, fs_hz, network)


def play_together(
    kind: SignalKind, sounds: Mapping[str, FloatArray], fs_hz: float, network: SoundNetwork | None = None
) -> Outcome:
    """Play a sound at each bed, a second a chunk, through one monitor."""
    monitor = SoundMonitor(kind, WindowMonitor(kind, AlarmBook(), lambda: T0), network)
    outcome, n = Outcome(), round(fs_hz)
    for second in range(max((len(sound) for sound in sounds.values()), default=0) // n):
        pieces = []
        for bed, sound in sounds.items():
            samples = sound[second * n : (second + 1) * n, None]
            if len(samples) == n:
                start_ns = T0 + second * NS_PER_S
                chunk = Chunk(bed, "record", kind, ("sound",), fs_hz, start_ns, second, samples)
                pieces.append((bed, Piece(chunk, second, samples, start_ns, 0, second == 0)))
        outcome.extend(monitor.push(pieces))
    return outcome


def sounds_of(
    kind: SignalKind, records: Iterable[Annotated]
) -> Iterator[tuple[Annotated, FloatArray, float]]:
    """Each recording with its first channel and rate."""
    for record in records:
        (own,) = read_signal_files(record.path, kind=kind).signals
        yield record, np.ascontiguousarray(own.samples[:, 0], dtype=np.float32), own.fs_hz


def stretched(
    record: Annotated, sound: FloatArray, fs_hz: float, length_s: float
) -> tuple[Annotated, FloatArray]:
    """A recording's annotated cycles again and again, as long as asked for; each joined over 20 ms."""
    begin_s, end_s = record.cycles_s[0, 0], min(record.cycles_s[-1, 1], len(sound) / fs_hz)
    edge = round(0.02 * fs_hz)
    fade = np.linspace(0.0, 1.0, edge)
    part = sound[round(begin_s * fs_hz) : round(end_s * fs_hz)].astype(np.float64)
    step = len(part) - edge
    n_times = -(-round(length_s * fs_hz) // step)
    part[:edge] *= fade
    part[-edge:] *= fade[::-1]
    line = np.zeros(n_times * step + edge)
    for nth in range(n_times):
        line[nth * step : nth * step + len(part)] += part
    cycles = [record.cycles_s - begin_s + nth * step / fs_hz for nth in range(n_times)]
    labels = {name: np.tile(label, n_times) for name, label in record.labels.items()}
    long = replace(record, cycles_s=np.concatenate(cycles), labels=labels)
    return long, line[: round(length_s * fs_hz)].astype(np.float32)


def score_rates(
    kind: SignalKind, records: Sequence[Annotated], stretched_s: float | None = None
) -> dict[str, RateScore]:
    """Hold each second's rate against the cycles in the span that it was made of, by group.

    With ``stretched_s`` of recordings that are made so long (:func:`stretched`), from the time on when all of
    a rate's span is heard.
    """
    rhythm = SPECS[kind][1]
    scores: dict[str, RateScore] = defaultdict(RateScore)
    for record, sound, fs_hz in sounds_of(kind, records):
        score, least_s = scores[record.group], rhythm.least_s
        if stretched_s is not None:
            record, sound = stretched(record, sound, fs_hz, stretched_s)
            least_s = rhythm.span_s
        outcome = play(kind, sound, fs_hz)
        score.technical.update(alarm.kind for alarm in outcome.alarms if alarm.ended_ns is None)
        for second, vital in enumerate(outcome.vitals, 1):
            lengths = cycles_within(record.cycles_s, max(0, second - rhythm.span_s), second)
            if second < least_s or lengths is None:
                continue
            errors = score.errors.setdefault(record.patient, [])
            score.n_seconds += 1
            score.n_usable += vital.usable
            rate = vital.respiratory_rate_bpm or vital.heart_rate_bpm
            if rate is not None:
                errors.append(abs(rate - 60.0 / float(np.median(lengths))))
                score.of_mean.append(abs(rate - 60.0 / float(np.mean(lengths))))
    return dict(scores)


def cycles_within(cycles_s: WideFloatArray, begin_s: float, end_s: float) -> WideFloatArray | None:
    """Lengths of the cycles of a span; None where too little of it is annotated."""
    lengths = cycles_s[:, 1] - cycles_s[:, 0]
    margin = LEAST_INSIDE * lengths
    inside = (cycles_s[:, 1] > begin_s + margin) & (cycles_s[:, 0] < end_s - margin)
    if lengths[inside].sum() < LEAST_ANNOTATED * (end_s - begin_s):
        return None
    return np.asarray(lengths[inside])


def score_pieces(records: Sequence[Annotated], network: SoundNetwork) -> dict[tuple[str, str], PieceScore]:
    """Hold what the network says of each live piece of lung sound against the cycles, by group and class.

    A piece holds a crackle where half of it, or of a cycle with one, lies in the other.
    """
    said: dict[tuple[str, str], list[tuple[bool, float]]] = defaultdict(list)
    for record, sound, fs_hz in sounds_of(SignalKind.LUNG_SOUND, records):
        for one in play(SignalKind.LUNG_SOUND, sound, fs_hz, network).predictions:
            begin_s, end_s = (one.start_ns - T0) / NS_PER_S, (one.end_ns - T0) / NS_PER_S
            begins, ends = record.cycles_s.T
            shared_s = np.minimum(end_s, ends) - np.maximum(begin_s, begins)
            inside = shared_s > 0.5 * np.minimum(end_s - begin_s, ends - begins)
            for name in network.classes:
                holds = bool((record.labels[name] & inside).any())
                said[record.group, name].append((holds, one.probabilities[name]))
    return {key: _piece_score(pairs) for key, pairs in said.items()}


def _piece_score(pairs: Sequence[tuple[bool, float]]) -> PieceScore:
    """Area under the curve by ranks (Mann and Whitney 1947)."""
    holds, ranks = np.array([true for true, _ in pairs]), stats.rankdata([share for _, share in pairs])
    n = int(holds.sum())
    rest = len(pairs) - n
    area = (ranks[holds].sum() - n * (n + 1) / 2) / (n * rest) if n and rest else float("nan")
    return PieceScore(len(pairs), n, float(area))


def score_silence(records: Sequence[Annotated]) -> SilenceScore:
    """Breathing of each recording, a made apnoea, and breathing again: what was told of it."""
    told = false = 0
    made = seconds = 0
    for _, sound, fs_hz in sounds_of(SignalKind.LUNG_SOUND, records):
        line = with_apnoea(sound, fs_hz)
        outcome = play(SignalKind.LUNG_SOUND, line, fs_hz)
        raised_s = [
            (alarm.raised_ns - T0) / NS_PER_S
            for alarm in outcome.alarms
            if alarm.kind == "breath_silence" and alarm.ended_ns is None
        ]
        inside = [time_s for time_s in raised_s if BEFORE_S < time_s <= BEFORE_S + APNOEA_S + 2]
        made, seconds = made + 1, seconds + len(line) // round(fs_hz) - APNOEA_S
        told, false = told + bool(inside), false + len(raised_s) - len(inside)
    return SilenceScore(told, made, false, seconds / 3600)


def with_apnoea(sound: FloatArray, fs_hz: float) -> FloatArray:
    """Breathing for two minutes, its quietest moment again and again, and a minute of breathing."""
    n, edge = round(QUIET_S * fs_hz), round(0.075 * fs_hz)
    rhythm = SPECS[SignalKind.LUNG_SOUND][1]
    breath = dsp.sosfilt(band_pass(fs_hz, rhythm.low_hz, rhythm.high_hz, notches=False), sound)
    power = np.convolve(breath**2, np.ones(n), "valid")
    quietest = round(fs_hz) + int(power[round(fs_hz) :].argmin())
    moment = sound[quietest : quietest + n] * dsp.windows.tukey(n, 2 * edge / n)
    silent = np.zeros(round(APNOEA_S * fs_hz) + n)
    for begin in range(0, round(APNOEA_S * fs_hz), n - edge):
        silent[begin : begin + n] += moment[: len(silent) - begin]
    breathing = np.tile(sound, -(-round(BEFORE_S * fs_hz) // len(sound)))[: round(BEFORE_S * fs_hz)]
    after = breathing[: len(breathing) // 2]
    line: FloatArray = np.concatenate([breathing, silent[: round(APNOEA_S * fs_hz)], after]).astype(
        np.float32
    )
    return line
