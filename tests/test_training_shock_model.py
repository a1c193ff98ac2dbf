"""The shipped shock model: its card, and what it says of simulated and of real rhythms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingest.conditioning import ECG, condition
from ingest.simulate import Ward
from models import store
from models.cnn_lstm import CnnLstm
from models.spec import ModelSpec
from training.shock_recipes import ecg_shock_1
from training.shock_records import CLASSES, OTHER, ShockRecord, Span
from training.shock_scores import decide
from training.shock_task import ShockTask, run_windows
from training.shock_windows import windows_of

MODEL = "ecg-shock-1"
SECONDS = 40


@pytest.fixture(scope="module")
def shipped() -> tuple[CnnLstm, ModelSpec]:
    return store.load(MODEL)


def simulated(rhythm: str, beds: int = 4) -> list[ShockRecord]:
    """Beds in one rhythm throughout, conditioned as a worker would."""
    names = [f"bed-{i:02d}" for i in range(1, beds + 1)]
    events = [f"{bed}:{rhythm}@0s:{SECONDS}s" for bed in names] if rhythm != "sinus" else []
    ward = Ward(beds, seed=5, events=events)
    records = []
    for bed in names:
        chunk = ward.signal(bed, "ecg", 0).next_chunk(SECONDS)
        assert chunk is not None
        signal = np.ascontiguousarray(condition(chunk.samples, chunk.fs_hz, ECG).T)
        # The first seconds hold the rhythm's beginning.
        spans = (Span(round(5 * ECG.rate_hz), signal.shape[1], "(", "other", OTHER),)
        records.append(ShockRecord(f"simulated/{bed}", bed, signal, spans))
    return records


def share_called(shipped: tuple[CnnLstm, ModelSpec], rhythm: str) -> float:
    """Share of windows that are called shockable."""
    model, spec = shipped
    found = run_windows(model, windows_of(simulated(rhythm), ECG.rate_hz, 1.0))
    return float((decide(found, spec.thresholds) < 2).mean())


def test_the_card_says_what_the_worker_needs(shipped: tuple[CnnLstm, ModelSpec]) -> None:
    _, spec = shipped
    assert spec.window_classes == CLASSES
    assert set(spec.thresholds) == {"shock", "vf"}
    assert (spec.window_s, spec.fs_hz, spec.channels) == (4.0, 125.0, 1)
    assert spec.cost.mflop_per_window <= 10
    assert spec.task == "shock"
    assert spec.architecture == ecg_shock_1().architecture


def test_no_person_stands_on_two_sides_of_its_split(shipped: tuple[CnnLstm, ModelSpec]) -> None:
    sides = {side: set(names) for side, names in shipped[1].split.items()}
    assert {"vfdb/425", "vfdb/605"} <= sides["test"]
    assert not sides["train"] & sides["test"]
    assert not sides["train"] & sides["validation"]


@pytest.mark.parametrize("rhythm", ["sinus", "af", "asystole"])
def test_simulated_rhythms_without_a_shock_are_not_called(
    shipped: tuple[CnnLstm, ModelSpec], rhythm: str
) -> None:
    assert share_called(shipped, rhythm) <= 0.02


@pytest.mark.parametrize("rhythm", ["vf", "vt=200"])
def test_simulated_shockable_rhythms_are_called(shipped: tuple[CnnLstm, ModelSpec], rhythm: str) -> None:
    assert share_called(shipped, rhythm) >= 0.9


@pytest.mark.data
def test_real_fibrillation_is_called_and_real_sinus_is_not(
    shipped: tuple[CnnLstm, ModelSpec], data_dir: Path, tmp_path: Path
) -> None:
    model, spec = shipped
    task = ShockTask(ecg_shock_1(), data_dir, tmp_path)
    metrics = task.evaluate(model, spec.thresholds, ("vfdb/422", "mitdb/103", "mitdb/219")).metrics
    assert metrics["vf_called"].value >= 0.95
    assert metrics["shockable_specificity"].value >= 0.99
