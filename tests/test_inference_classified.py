"""Beats with their classes, as the monitor publishes them: each once, through gaps, clocks and takeovers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from inference import ecg_state, snapshot
from inference.beat_predictor import BeatPredictor
from inference.monitor import EcgMonitor, Outcome
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, SignalKind
from models import store
from models.beat_rows import CONTEXT, FS_HZ, PIECES, SEGMENT
from models.cnn_lstm import CnnLstm, cost_of
from models.spec import STEP_CLASSES, Architecture, BeatsFrontEnd, ModelSpec
from training.beats_records import rows_of

FS = 250.0
T0 = 1_700_000_000 * NS_PER_S
ARCHITECTURE = Architecture(
    front_end=BeatsFrontEnd(pieces=PIECES, segment=SEGMENT, context=len(CONTEXT), widths=(8, 8, 8), width=16),
    recurrent_stride=1,
    hidden=8,
    attention_width=8,
    heads=2,
    window_classes=0,
)


def made_predictor(folder: Path, seed: int) -> BeatPredictor:
    """An untrained network whose classes change from beat to beat."""
    torch.manual_seed(seed)
    model = CnnLstm(ARCHITECTURE).eval()
    with torch.no_grad():
        model.step_head.weight *= 50
        line = pieces(12)
        lead = np.concatenate([piece.samples[::2, 0] for piece in line])
        peaks = np.round(np.arange(0.5, 11.5, 0.8) * FS_HZ).astype(np.int64)
        usual = model(torch.from_numpy(rows_of(lead, peaks))[None]).step_logits.mean((0, 1))
        model.step_head.bias.sub_(usual)
    spec = ModelSpec(
        name=f"made-{seed}",
        task="beats",
        description="made",
        window_s=12,
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
    store.save(model, spec, folder)
    return BeatPredictor(str(folder / f"made-{seed}.json"), "cpu")


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> BeatPredictor:
    return made_predictor(tmp_path_factory.mktemp("one"), 3)


@pytest.fixture(scope="module")
def other_predictor(tmp_path_factory: pytest.TempPathFactory) -> BeatPredictor:
    return made_predictor(tmp_path_factory.mktemp("other"), 4)


def pieces(length_s: float, start_s: float = 0, names: Sequence[str] = ("II", "V1")) -> list[Piece]:
    """Beats of changing width each 0.8 s, but none for 3 s at 12 s."""
    seconds = np.arange(round(length_s * FS)) / FS
    line = np.random.default_rng(2).normal(0, 0.02, len(seconds))
    for nth, time_s in enumerate(np.arange(0.5, length_s, 0.8)):
        if not 12 < time_s < 15:
            line += 1.2 * np.exp(-(((seconds - time_s) / (0.018 if nth % 3 else 0.04)) ** 2))
    samples = np.stack([line, 0.6 * line], axis=1).astype(np.float32)
    made = []
    for seq, begin in enumerate(range(0, len(line), 250)):
        start_ns = T0 + round((start_s + begin / FS) * NS_PER_S)
        part = Chunk(
            "bed",
            "m",
            SignalKind.ECG,
            tuple(names),
            FS,
            start_ns,
            seq,
            samples[begin : begin + 250],
            (False,) * 2,
        )
        made.append(Piece(part, seq, part.samples, start_ns, 0, restart=seq == 0))
    return made


def run(monitor: EcgMonitor, line: list[Piece]) -> Outcome:
    total = Outcome()
    for piece in line:
        total.extend(monitor.push([("bed", piece)]))
    return total


def published(*outcomes: Outcome) -> list[int]:
    return [beat.time_ns for one in outcomes for item in one.predictions for beat in item.beats]


def monitor_of(plain: object, beats: BeatPredictor | None) -> EcgMonitor:
    return EcgMonitor(plain, lambda: T0, beats)  # type: ignore[arg-type]


def waiting(monitor: EcgMonitor) -> list[int]:
    """The beat that has no class yet."""
    state = ecg_state.take_ecg(monitor, "bed")
    assert state is not None
    assert state.classes is not None
    return [state.classes.time_ns] if state.classes.undecided else []


def test_each_beat_is_published_once_in_order(plain_predictor: object, predictor: BeatPredictor) -> None:
    line = pieces(17)
    found = published(run(monitor_of(plain_predictor, None), line))
    monitor = monitor_of(plain_predictor, predictor)
    got = run(monitor, line)
    assert published(got) + waiting(monitor) == found
    assert len({beat.label for item in got.predictions for beat in item.beats}) > 1


@pytest.mark.parametrize(
    ("shift_s", "names"), [(-3600, ("II", "V1")), (25, ("aVR", "V5")), (25, ("II", "V1"))]
)
def test_a_restart_loses_no_beat_and_doubles_none(
    plain_predictor: object, predictor: BeatPredictor, shift_s: float, names: tuple[str, str]
) -> None:
    lines = [pieces(17), pieces(6, shift_s, names)]
    plain, classed = monitor_of(plain_predictor, None), monitor_of(plain_predictor, predictor)
    found = published(*(run(plain, line) for line in lines))
    first = run(classed, lines[0])
    assert waiting(classed)
    assert published(first, run(classed, lines[1])) + waiting(classed) == found


@pytest.mark.parametrize("killed_after", [9, 14])
def test_a_successor_says_what_an_unbroken_run_would(
    plain_predictor: object, predictor: BeatPredictor, killed_after: int
) -> None:
    line = pieces(17)
    unbroken = run(monitor_of(plain_predictor, predictor), line)
    first, successor = (monitor_of(plain_predictor, predictor) for _ in range(2))
    before = run(first, line[:killed_after])
    state = ecg_state.take_ecg(first, "bed")
    assert state is not None
    ecg_state.put_ecg(successor, "bed", state)
    after = run(successor, line[killed_after:])
    assert before.predictions + after.predictions == unbroken.predictions


def test_a_successor_knows_that_the_leads_are_others_now(
    plain_predictor: object, predictor: BeatPredictor
) -> None:
    """Rows of one lead are not continued with another that has its number."""
    line, other = pieces(17), pieces(8, 25, ("aVR", "V5"))
    first, successor = (monitor_of(plain_predictor, predictor) for _ in range(2))
    run(first, line)
    state = ecg_state.take_ecg(first, "bed")
    assert state is not None
    ecg_state.put_ecg(successor, "bed", state)
    assert run(successor, other).predictions == run(first, other).predictions


@pytest.mark.parametrize("killed_after", [14])
def test_a_successor_with_another_model_loses_no_beat(
    plain_predictor: object, predictor: BeatPredictor, other_predictor: BeatPredictor, killed_after: int
) -> None:
    line = pieces(17)
    found = published(run(monitor_of(plain_predictor, None), line))
    first, successor = (monitor_of(plain_predictor, one) for one in (predictor, other_predictor))
    before = run(first, line[:killed_after])
    state = ecg_state.take_ecg(first, "bed")
    assert state is not None
    ecg_state.put_ecg(successor, "bed", replace_label(state, 99))
    assert published(before, run(successor, line[killed_after:])) + waiting(successor) == found


def replace_label(state: snapshot.EcgState, label: int) -> snapshot.EcgState:
    """The state with a first guess that is no class, as another version might leave it."""
    assert state.classes is not None
    return msgspec.structs.replace(state, classes=msgspec.structs.replace(state.classes, label=label))
