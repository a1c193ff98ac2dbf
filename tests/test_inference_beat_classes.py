"""The beats' network beat by beat over many beds says what it says of whole leads."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from inference import ecg_state, snapshot
from inference.beat_classes import (
    WAIT_S,
    BeatClassifier,
    Decided,
    cut_segments,
    join,
)
from inference.beat_predictor import BeatPredictor
from inference.beats import LABELS, BeatHistory
from inference.errors import UnfitModel
from inference.monitor import EcgMonitor, Outcome
from inference.predictor import Predictor
from inference.types import Beat
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, FloatArray, IntArray, SignalKind
from models import store
from models.beat_rows import CONTEXT, FS_HZ, PIECES, SEGMENT, segments_at
from models.cnn_lstm import CnnLstm, cost_of
from models.spec import STEP_CLASSES, Architecture, BeatsFrontEnd, ModelSpec
from training.beats_records import rows_of
from training.beats_scores import probabilities

T = 12
T0 = 1_700_000_000 * NS_PER_S
ARCHITECTURE = Architecture(
    front_end=BeatsFrontEnd(pieces=PIECES, segment=SEGMENT, context=len(CONTEXT), widths=(8, 8, 8), width=16),
    recurrent_stride=1,
    hidden=8,
    attention_width=8,
    heads=2,
    window_classes=0,
)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network of the family, with gains that make it name every class."""
    torch.manual_seed(3)
    model = CnnLstm(ARCHITECTURE).eval()
    with torch.no_grad():
        model.step_head.weight *= 50
        usual = model(torch.from_numpy(rows_of(*made_lead(9)))[None, :T]).step_logits.mean((0, 1))
        model.step_head.bias.sub_(usual)
    spec = ModelSpec(
        name="beats-made",
        task="beats",
        description="made",
        window_s=T,
        step_s=0.0,
        step_classes=STEP_CLASSES,
        window_classes=(),
        thresholds={},
        normalisation="made",
        architecture=ARCHITECTURE,
        cost=cost_of(ARCHITECTURE, 0),
        data="none",
        split={},
        metrics={},
        training={},
        code_commit="none",
    )
    folder = tmp_path_factory.mktemp("model")
    store.save(model, spec, folder)
    return folder / "beats-made.json"


@pytest.fixture(scope="module")
def predictor(card: Path) -> BeatPredictor:
    return BeatPredictor(str(card), "cpu")


def made_lead(seed: int) -> tuple[FloatArray, IntArray]:
    """Beats of changing shape and distance, with pauses longer than the wait."""
    rng = np.random.default_rng(seed)
    gaps = rng.choice([60, 90, 100, 260], size=40, p=[0.2, 0.3, 0.4, 0.1])
    peaks = 100 + np.cumsum(gaps)
    signal = rng.normal(0, 0.02, int(peaks[-1]) + 700)
    time = np.arange(len(signal))
    for peak in peaks:
        signal += rng.choice([1.0, -0.7]) * np.exp(-(((time - peak) / rng.choice([2.0, 9.0])) ** 2))
    return signal.astype(np.float32), peaks.astype(np.int64)


def stream(classifier: BeatClassifier, signal: FloatArray, peaks: IntArray, slot: int, hop: int) -> Decided:
    """Feed a lead's beats as they would be found, ``hop`` samples at a time."""
    parts = []
    before = -1
    for frontier in range(hop, len(signal), hop):
        new = peaks[(peaks >= frontier - hop) & (peaks < frontier)]
        slots = np.full(len(new), slot, dtype=np.int64)
        intervals = np.diff(new, prepend=before) / FS_HZ
        if len(new) and before < 0:
            intervals[0] = np.nan
        times = (new * (NS_PER_S / FS_HZ)).astype(np.int64)
        _, decided = classifier.add(slots, times, segments_at(signal, new), intervals, np.ones(len(new)))
        before = int(new[-1]) if len(new) else before
        parts += [
            decided,
            classifier.wait(np.array([slot]), np.array([int(frontier * NS_PER_S / FS_HZ)])),
        ]
    return join(parts)


@pytest.mark.parametrize("hop", [25, 125, 700])
def test_beat_by_beat_is_the_whole_lead(predictor: BeatPredictor, card: Path, hop: int) -> None:
    signal, peaks = made_lead(1)
    found = stream(BeatClassifier(predictor, 3), signal, peaks, 2, hop)
    model, _ = store.load(card)
    expected = probabilities(model, signal, peaks, T, WAIT_S)[:, 1:].argmax(1)
    decided = len(found.labels)
    assert decided >= len(peaks) - 1
    np.testing.assert_array_equal(found.times_ns, (peaks[:decided] * (NS_PER_S / FS_HZ)).astype(np.int64))
    np.testing.assert_array_equal(found.labels, expected[:decided])
    assert len(set(expected.tolist())) > 1


def test_beds_do_not_touch_each_other_and_a_state_goes_on_elsewhere(predictor: BeatPredictor) -> None:
    leads = [made_lead(seed) for seed in (4, 5)]
    alone = [stream(BeatClassifier(predictor, 1), *lead, 0, 125) for lead in leads]
    together = BeatClassifier(predictor, 2)
    for slot, lead in enumerate(leads):
        found = stream(together, *lead, slot, 125)
        np.testing.assert_array_equal(found.labels, alone[slot].labels)
    signal, peaks = leads[0]
    half = len(peaks) // 2
    first = BeatClassifier(predictor, 1)
    stream(first, signal[: peaks[half]], peaks[:half], 0, 1)
    successor = BeatClassifier(predictor, 4)
    successor.restore(3, first.state(0))
    new = peaks[half : half + 1]
    arguments = (
        (new * (NS_PER_S / FS_HZ)).astype(np.int64),
        segments_at(signal, new),
        np.array([(new[0] - peaks[half - 1]) / FS_HZ]),
        np.ones(1),
    )
    there, decided_there = successor.add(np.array([3]), *arguments)
    here, decided_here = first.add(np.array([0]), *arguments)
    assert there.tolist() == here.tolist()
    assert decided_there.labels.tolist() == decided_here.labels.tolist()


def test_another_lead_begins_anew_and_the_waiting_beat_keeps_its_guess(predictor: BeatPredictor) -> None:
    signal, peaks = made_lead(6)
    classifier = BeatClassifier(predictor, 1)
    slot = np.array([0])
    assert len(classifier.use_leads(slot, np.array([1])).labels) == 0
    guesses, _ = classifier.add(
        np.zeros(1, dtype=np.int64),
        np.array([5]),
        segments_at(signal, peaks[:1]),
        np.array([np.nan]),
        np.ones(1),
    )
    assert len(classifier.use_leads(slot, np.array([1])).labels) == 0
    settled = classifier.use_leads(slot, np.array([0]))
    assert settled.times_ns.tolist() == [5]
    assert settled.labels.tolist() == guesses.tolist()
    assert not classifier.rows.sequences(slot).any()
    assert len(classifier.use_leads(slot, np.array([0])).labels) == 0


def test_segments_hold_the_edge() -> None:
    windows = np.arange(2000, dtype=np.float32).reshape(2, 1000)
    found = cut_segments(windows, np.array([0, 1, 1]), np.array([3, 500, 998]))
    np.testing.assert_array_equal(found[1], np.arange(1455, 1563))
    assert found[0, 0] == 0
    assert found[2, -1] == 1999
    np.testing.assert_array_equal(found[0], segments_at(windows[0], np.array([3]))[0])


def test_a_class_given_later_is_what_is_remembered() -> None:
    history = BeatHistory(3)
    history.append(np.array([1, 1, 2]), np.array([10, 20, 10]), np.array([0, 0, 0]))
    history.revise(np.array([1, 2]), np.array([10, 99]), np.array([2, 2]))
    assert history.recent(np.array([1])).labels[0, -2:].tolist() == [2, 0]
    assert history.recent(np.array([2])).labels[0, -1] == 0


def test_a_model_whose_steps_are_no_beats_is_refused() -> None:
    with pytest.raises(UnfitModel, match="steps are no beats"):
        BeatPredictor("ecg-cnn-lstm-1", "cpu")


def ward_line(seed: int, length_s: int = 30, gap: tuple[int, int] | None = None) -> list[Piece]:
    """Chunks of a second of two leads with beats of two kinds; those in ``gap`` never came."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(length_s * 250) / 250
    line = rng.normal(0, 0.02, len(seconds))
    time_s = 0.5
    while time_s < length_s:
        line += 1.2 * np.exp(-(((seconds - time_s) / rng.choice([0.015, 0.05])) ** 2))
        time_s += rng.choice([0.6, 0.8, 1.9])
    leads = np.stack([line, 0.6 * line], axis=1).astype(np.float32)
    made = []
    for second in range(length_s):
        if gap is not None and gap[0] <= second < gap[1]:
            continue
        start_ns = T0 + second * NS_PER_S
        part = Chunk(
            "bed", "m", SignalKind.ECG, ("II", "V1"), 250.0, start_ns, second, leads[second * 250 :][:250], ()
        )
        restart = second == 0 or (gap is not None and second == gap[1])
        made.append(Piece(part, second, part.samples, start_ns, 0, restart=restart))
    return made


def run(monitor: EcgMonitor, line: list[Piece], bed: str = "bed") -> Outcome:
    total = Outcome()
    for piece in line:
        total.extend(monitor.push([(bed, piece)]))
    return total


def beats_of(outcome: Outcome) -> list[Beat]:
    return [beat for item in outcome.predictions for beat in item.beats]


@pytest.mark.parametrize("gap", [None, (12, 17)])
def test_each_beat_is_published_once_when_its_class_is_final(
    predictor: BeatPredictor, plain_predictor: Predictor, gap: tuple[int, int] | None
) -> None:
    line = ward_line(1, gap=gap)
    found = beats_of(run(EcgMonitor(plain_predictor, lambda: T0), line))
    monitor = EcgMonitor(plain_predictor, lambda: T0, predictor)
    classed = beats_of(run(monitor, line))
    times = [beat.time_ns for beat in classed]
    assert times == sorted(set(times))
    # The last beats wait for their successor.
    expected = [beat.time_ns for beat in found]
    assert times == expected[: len(times)]
    assert len(expected) - len(times) <= 1
    assert {beat.label for beat in classed} > {"N"}
    history = monitor.beats.recent(np.array([0]))
    remembered = {
        int(t): LABELS[label] for t, label in zip(history.times_ns[0], history.labels[0], strict=True)
    }
    assert all(remembered[beat.time_ns] == beat.label for beat in classed if beat.time_ns in remembered)


def test_beds_together_equal_beds_alone(predictor: BeatPredictor, plain_predictor: Predictor) -> None:
    lines = {f"bed-{n}": ward_line(n) for n in range(5)}
    together = EcgMonitor(plain_predictor, lambda: T0, predictor)
    ward = Outcome()
    for step in range(30):
        ward.extend(together.push([(bed, line[step]) for bed, line in lines.items()]))
    for bed, line in lines.items():
        alone = run(EcgMonitor(plain_predictor, lambda: T0, predictor), line, bed)
        assert [item for item in ward.predictions if item.bed == bed] == alone.predictions
        assert [item for item in ward.alarms if item.bed == bed] == alone.alarms


@pytest.mark.parametrize("killed_after", [3, 12, 25])
def test_a_successor_goes_on_as_if_nothing_had_happened(
    predictor: BeatPredictor, plain_predictor: Predictor, killed_after: int
) -> None:
    line = ward_line(3)
    unbroken = run(EcgMonitor(plain_predictor, lambda: T0, predictor), line)
    first = EcgMonitor(plain_predictor, lambda: T0, predictor)
    before = run(first, line[:killed_after])
    state = ecg_state.take_ecg(first, "bed")
    assert state is not None
    wire = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=snapshot.EcgState)
    successor = EcgMonitor(plain_predictor, lambda: T0, predictor)
    successor.push([("another", line[0])])
    ecg_state.put_ecg(successor, "bed", wire)
    successor.book.restore("bed", first.book.state("bed", "ecg"))
    after = run(successor, line[killed_after:])
    assert before.predictions + after.predictions == unbroken.predictions
    assert before.vitals + after.vitals == unbroken.vitals
    assert before.alarms + after.alarms == unbroken.alarms
