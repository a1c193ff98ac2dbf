"""Pulses of many beds: found, trusted, asked for by offset, handed over."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pulse_step import IN_STEP, InStep
from inference.pulses import KINDS, NO_SOURCE, PulseEvidence, PulseMonitor, PulseState
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, SignalKind

START_NS = 1_700_000_000 * NS_PER_S
FS = 125.0


def wave(
    beats_s: np.ndarray, length_s: float, fs_hz: float = FS, height: float | np.ndarray = 1.0
) -> np.ndarray:
    """A pulse of 0.15 s rise and 0.5 s fall after each beat, a little breathing and noise, in 1,000 steps."""
    times_s = np.arange(round(length_s * fs_hz)) / fs_hz
    after_s = times_s[:, None] - beats_s[None, :]
    rise = np.clip(after_s / 0.15, 0, 1)
    fall = np.exp(-np.clip(after_s - 0.15, 0, None) / 0.18)
    line = (np.where(after_s > 0, np.sin(rise * np.pi / 2) ** 2 * fall, 0.0) * height).sum(axis=1)
    line += 0.05 * np.sin(2 * np.pi * 0.25 * times_s)
    line += 0.01 * np.random.default_rng(1).standard_normal(len(line))
    return (np.rint(line * 1_000) / 1_000).astype(np.float32)


def beats(rate: float, from_s: float, to_s: float, seed: int = 2) -> np.ndarray:
    """Beats with a little variation."""
    rng = np.random.default_rng(seed)
    step_s = 60 / rate * (1 + 0.03 * rng.standard_normal(1_000))
    found = from_s + np.cumsum(step_s)
    return found[found < to_s]


def pieces(
    line: np.ndarray,
    cuts: list[int] | None = None,
    kind: SignalKind = SignalKind.PLETH,
    fs_hz: float = FS,
    offset: int = 0,
    start_ns: int = START_NS,
) -> list[Piece]:
    """A line in chunks of a second, or cut where asked, each of its own raw offset."""
    ends = [*(cuts or range(round(fs_hz), len(line), round(fs_hz))), len(line)]
    out, begin = [], 0
    for nth, end in enumerate(ends):
        samples = line[begin:end, None]
        at_ns = start_ns + round(begin / fs_hz * NS_PER_S)
        chunk = Chunk("bed", "d", kind, (kind.value,), fs_hz, at_ns, nth, samples)
        out.append(Piece(chunk, offset + 2 * nth, samples, at_ns, 0, nth == 0))
        begin = end
    return out


def ask(monitor: PulseMonitor, at_s: float, bed: str = "a", before: int = 10**6) -> PulseEvidence:
    numbers = np.array([monitor.number(bed)])
    return monitor.evidence(numbers, np.array([START_NS + round(at_s * NS_PER_S)]), np.array([before]))


def seconds(evidence: PulseEvidence) -> np.ndarray:
    times = evidence.times_ns[0]
    return (times[times > 0] - START_NS) / NS_PER_S


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fs_hz", [62.5, 125.0, 250.0])
@pytest.mark.parametrize("rate", [45.0, 80.0, 150.0])
def test_every_pulse_of_a_clean_line_is_found_and_the_channel_is_trusted(
    kind: SignalKind, fs_hz: float, rate: float
) -> None:
    made = beats(rate, 0, 29)
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(wave(made, 30, fs_hz), kind=kind, fs_hz=fs_hz)])
    said = ask(monitor, 30.0)
    assert said.known.tolist() == [True]
    assert KINDS[said.source[0]] is kind
    expected = made[(made > 24) & (made < 28.5)]
    found = seconds(said)
    after_s = found[None, :] - expected[:, None]
    assert ((after_s > 0.05) & (after_s < 0.35)).sum(axis=1).tolist() == [1] * len(expected)
    assert said.count_in(6.0)[0] == pytest.approx(6 * rate / 60, abs=2.5)
    assert said.rate_bpm()[0] == pytest.approx(rate, rel=0.06)
    assert np.nanmedian(said.heights) == pytest.approx(1.0, abs=0.1)
    assert np.nanmin(said.likeness[0, -8:]) > 0.9


def test_nothing_is_trusted_before_ten_seconds_of_pulses() -> None:
    monitor = PulseMonitor()
    line = pieces(wave(beats(80, 0, 20), 20))
    monitor.push([("a", piece) for piece in line[:9]])
    assert not ask(monitor, 9.0).known[0]
    monitor.push([("a", piece) for piece in line[9:13]])
    assert ask(monitor, 13.0).known[0]


def test_a_bed_without_pulse_channels_is_not_known() -> None:
    said = ask(PulseMonitor(), 10.0)
    assert (said.known[0], said.source[0]) == (False, NO_SOURCE)
    assert said.count_in(10.0)[0] == 0
    assert np.isnan(said.rate_bpm()[0])


def test_a_pulse_that_stops_leaves_the_channel_trusted_and_silent() -> None:
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(wave(beats(80, 0, 30), 40))])
    said = ask(monitor, 40.0)
    assert said.known[0]
    assert seconds(said)[-1] < 30.4
    assert said.count_in(6.0)[0] == 0


def test_noise_after_an_arrest_has_not_the_height_of_pulses() -> None:
    monitor = PulseMonitor()
    line = wave(beats(80, 0, 30), 55)
    shaking = 0.12 * np.sin(2 * np.pi * 1.4 * np.arange(len(line)) / FS)
    line[round(30.5 * FS) :] += shaking[round(30.5 * FS) :].astype(np.float32)
    monitor.push([("a", piece) for piece in pieces(line)])
    said = ask(monitor, 55.0)
    assert np.nan_to_num(said.heights[said.times_ns > START_NS + 32 * NS_PER_S]).max(initial=0.0) < 0.5


@pytest.mark.parametrize(
    ("name", "known"),
    [("flush", False), ("flat", False), ("missing", False), ("flickering", False), ("good", True)],
)
def test_a_line_that_is_no_pulse_wave_now_is_not_trusted(name: str, known: bool) -> None:
    line = wave(beats(80, 0, 30), 30)
    last = slice(round(27.5 * FS), None)
    if name == "flush":
        line[round(28.5 * FS) : round(29.2 * FS)] += 8.0
    elif name == "flat":
        line[last] = line[round(27.5 * FS)]
    elif name == "missing":
        line[last] = np.nan
    elif name == "flickering":
        line[last] = np.arange(len(line))[last] // 20 % 2 * 0.001
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(line)])
    assert ask(monitor, 30.0).known[0] == known


def test_the_ripple_of_a_dead_sensor_is_never_trusted() -> None:
    """As in cinc2015 a446s: a steady line that flickers by one step two or three times a second."""
    times_s = np.arange(round(60 * FS)) / FS
    line = (2.5 + 0.002 * np.rint(np.sin(2 * np.pi * 2.5 * times_s))).astype(np.float32)
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(line)])
    assert not ask(monitor, 60.0).known[0]


def test_pressure_is_asked_first_and_plethysmogram_when_it_fails() -> None:
    made = beats(80, 0, 40)
    pressure = wave(made, 40)
    pressure[round(35 * FS) :] = 0.0
    monitor = PulseMonitor()
    abp = pieces(pressure, kind=SignalKind.ABP)
    pleth = pieces(wave(made + 0.2, 40), offset=1)
    monitor.push([("a", piece) for piece in abp[:35] + pleth[:35]])
    assert KINDS[ask(monitor, 35.0).source[0]] is SignalKind.ABP
    monitor.push([("a", piece) for piece in abp[35:] + pleth[35:]])
    assert KINDS[ask(monitor, 40.0).source[0]] is SignalKind.PLETH


def test_a_channel_that_stopped_coming_says_nothing() -> None:
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(wave(beats(80, 0, 30), 30))])
    assert ask(monitor, 32.0).known[0]
    assert not ask(monitor, 34.0).known[0]


def test_chunks_of_two_seconds_that_come_after_the_ecgs_are_known_at_every_second() -> None:
    line = wave(beats(80, 0, 60), 60)
    whole = pieces(line, list(range(round(2 * FS), len(line), round(2 * FS))))
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in whole])
    for second in range(20, 60, 2):
        before = 2 * (second // 2)
        assert ask(monitor, second + 1.0, before=before).known[0]
        assert ask(monitor, second + 2.0, before=before).known[0]


def test_a_clock_set_back_takes_no_pulse_along() -> None:
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(wave(beats(80, 0, 30), 30))])
    again = pieces(wave(beats(80, 0, 20), 20), offset=100, start_ns=START_NS - 3_600 * NS_PER_S)
    monitor.push([("a", piece) for piece in again])
    said = ask(monitor, 20.0 - 3_600)
    assert said.known[0]
    assert seconds(said).max() < 20 - 3_600
    assert ask(monitor, 30.0, before=100).known[0]


def same(one: PulseEvidence, other: PulseEvidence) -> None:
    for name in ("known", "source", "frontier_ns", "times_ns", "heights", "likeness"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@given(st.lists(st.integers(1, 11), min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_what_is_known_at_an_offset_does_not_depend_on_what_was_read_together(
    polls: list[int], order: object
) -> None:
    """One worker reads a second at a time and asks at once, another much at a time and asks afterwards."""
    lines = [pieces(wave(beats(60 + 20 * n, 0, 25, n), 25, height=1 + n)) for n in range(3)]
    late, early = PulseMonitor(), PulseMonitor()
    said = []
    for second in range(25):
        early.push([(f"b{n}", line[second]) for n, line in enumerate(lines)])
        said.append([ask(early, second + 1.0, f"b{n}", 2 * second + 1) for n in range(3)])
    begin = 0
    while begin < 25:
        end = min(25, begin + polls[begin % len(polls)])
        batch = [(f"b{n}", piece) for n, line in enumerate(lines) for piece in line[begin:end]]
        late.push(batch)
        for second in range(begin, end):
            for n in range(3):
                same(ask(late, second + 1.0, f"b{n}", 2 * second + 1), said[second][n])
        begin = end


def test_a_long_backlog_read_at_once_forgets_nothing_that_may_be_asked() -> None:
    line = pieces(wave(beats(150, 0, 240), 240))
    at_once, slowly = PulseMonitor(), PulseMonitor()
    at_once.push([("a", piece) for piece in line])
    for second in range(240):
        slowly.push([("a", line[second])])
        if second in (20, 60, 239):
            same(
                ask(slowly, second + 1.0, before=2 * second + 1),
                ask(at_once, second + 1.0, before=2 * second + 1),
            )


@given(st.lists(st.integers(1, 30 * 125 - 1), max_size=30, unique=True))
@settings(max_examples=15, deadline=None)
def test_pulses_are_the_same_however_the_line_is_cut(cuts: list[int]) -> None:
    line = wave(beats(72, 0, 30), 30)
    whole, cut = PulseMonitor(), PulseMonitor()
    whole.push([("a", piece) for piece in pieces(line, [len(line) // 2])])
    cut.push([("a", piece) for piece in pieces(line, sorted(cuts) or [1])])
    one, other = ask(whole, 30.0), ask(cut, 30.0)
    assert one.known[0]
    assert other.known[0]
    np.testing.assert_allclose(seconds(other), seconds(one), atol=1e-3)
    np.testing.assert_allclose(other.heights, one.heights, rtol=1e-3)
    np.testing.assert_allclose(other.likeness, one.likeness, atol=1e-3)


@pytest.mark.parametrize("taken_at", [3, 12, 21])
def test_a_successor_goes_on_as_if_nothing_had_happened(taken_at: int) -> None:
    line = pieces(wave(beats(90, 0, 30), 30))
    unbroken, first, second = PulseMonitor(), PulseMonitor(), PulseMonitor()
    second.push([("other", piece) for piece in line[:5]])
    unbroken.push([("a", piece) for piece in line])
    first.push([("a", piece) for piece in line[:taken_at]])
    state = first.state("a", SignalKind.PLETH)
    assert state is not None
    copied = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=PulseState)
    second.restore("a", SignalKind.PLETH, copied)
    same(ask(first, taken_at), ask(second, taken_at))
    second.push([("a", piece) for piece in line[taken_at:]])
    same(ask(unbroken, 30.0), ask(second, 30.0))


def test_a_state_of_another_shape_is_refused_and_leaves_nothing_behind() -> None:
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(wave(beats(90, 0, 15), 15))])
    state = monitor.state("a", SignalKind.PLETH)
    assert state is not None
    broken = msgspec.structs.replace(state, arrays={k: v for k, v in state.arrays.items() if k != "rises"})
    other = PulseMonitor()
    with pytest.raises(KeyError, match="rises"):
        other.restore("a", SignalKind.PLETH, broken)
    assert not other.has("a", SignalKind.PLETH)


def test_a_bed_that_left_hands_nothing_to_the_next_in_its_slot() -> None:
    monitor = PulseMonitor()
    monitor.push([("a", piece) for piece in pieces(wave(beats(90, 0, 20), 20))])
    monitor.remove("a", SignalKind.PLETH)
    monitor.remove("a", SignalKind.PLETH)
    assert not ask(monitor, 20.0).known[0]
    monitor.push([("b", piece) for piece in pieces(wave(beats(90, 0, 5), 5))])
    assert seconds(ask(monitor, 5.0, "b")).tolist() == []
    assert not ask(monitor, 5.0, "b").known[0]


def test_many_beds_come_and_keep_their_own_pulses() -> None:
    monitor = PulseMonitor()
    rates = np.linspace(50, 140, 150)
    lines = [pieces(wave(beats(rate, 0, 20, n), 20)) for n, rate in enumerate(rates)]
    for second in range(20):
        monitor.push([(f"b{n}", line[second]) for n, line in enumerate(lines)])
    numbers = np.array([monitor.number(f"b{n}") for n in range(150)])
    at_ns = np.full(150, START_NS + 20 * NS_PER_S)
    said = monitor.evidence(numbers, at_ns, np.full(150, 10**6))
    assert said.known.all()
    np.testing.assert_allclose(said.rate_bpm(), rates, rtol=0.08)


def test_a_channel_counts_once_it_kept_step_with_the_ecg() -> None:
    made = beats(75, 0, 60)
    monitor, step = PulseMonitor(), InStep(1)
    line = pieces(wave(made, 60))
    known = []
    for second in range(60):
        monitor.push([("a", line[second])])
        shown = made[made < second][-40:] if second < 50 else made[:1]
        beats_ns = np.full((1, 40), -(2**61))
        beats_ns[0, 40 - len(shown) :] = START_NS + np.round(shown * NS_PER_S).astype(np.int64)
        known.append(bool(step.checked(np.array([0]), ask(monitor, second + 1.0), beats_ns).known[0]))
    assert not any(known[:18])
    assert all(known[25:]), "an ECG that turns strange does not undo what was shown"


@pytest.mark.parametrize("ratio", [0.5, 2.0])
def test_a_channel_of_another_rate_than_the_ecg_never_counts(ratio: float) -> None:
    made = beats(75, 0, 60)
    monitor, step = PulseMonitor(), InStep(1)
    monitor.push([("a", piece) for piece in pieces(wave(beats(75 * ratio, 0, 60), 60))])
    for second in range(20, 60):
        shown = made[made < second][-40:]
        beats_ns = np.full((1, 40), -(2**61))
        beats_ns[0, 40 - len(shown) :] = START_NS + np.round(shown * NS_PER_S).astype(np.int64)
        said = ask(monitor, second + 1.0, before=2 * second + 1)
        assert not step.checked(np.array([0]), said, beats_ns).known[0]
    assert int(step.score.max()) < IN_STEP
