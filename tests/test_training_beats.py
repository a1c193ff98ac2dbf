"""The beats task on made signals: rows, made recordings, batches, scores, folds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from models.beat_rows import (
    CONTEXT,
    FS_HZ,
    PIECES,
    ROW,
    SEGMENT,
    BeatRows,
    rows,
    segments_at,
    set_next,
    shown,
)
from models.cnn_lstm import CnnLstm
from models.spec import STEP_CLASSES
from training.beats_config import BeatsAugment, BeatsData, BeatsRecipe
from training.beats_made import SCRIPTS, make_lead
from training.beats_recipes import ABLATION, ecg_beats_1
from training.beats_records import (
    ALLOWED_N,
    NOT_S,
    Lead,
    aberrant,
    annotated_leads,
    refined,
    rows_of,
)
from training.beats_sampling import Sampler
from training.beats_scores import at_marks, beats_loss, end_to_end, probabilities, tables_of, to_evaluation
from training.beats_task import BeatsTask
from training.errors import BadRecipe, DataMissing
from training.evaluation import pool
from training.recipes import get_recipe
from training.report_summary import summarise
from training.scoring import beat_scores
from training.sources import Recording

N, S, V = (1 << STEP_CLASSES.index(name) for name in "NSV")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Single beats on several threads wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def context_of(row: np.ndarray, name: str) -> np.ndarray:
    return row[..., PIECES * SEGMENT + CONTEXT.index(name)]


def made_signal(n_beats: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A lead with a P wave, a QRS and a T wave a beat, and where the QRS peaks are."""
    rng = np.random.default_rng(seed)
    peaks = 200 + np.cumsum(rng.integers(90, 110, n_beats))
    signal = rng.normal(0, 0.005, int(peaks[-1]) + 900).astype(np.float32)
    for offset, height, width in ((-20, 0.1, 4), (0, 1.0, 2), (32, 0.25, 8)):
        at = np.arange(-30, 31)
        bump = (height * np.exp(-0.5 * (at / width) ** 2)).astype(np.float32)
        for peak in peaks:
            signal[peak + offset + at] += bump
    return signal, peaks.astype(np.int64)


def made_lead(classes: np.ndarray | None = None, seed: int = 0) -> Lead:
    signal, peaks = made_signal(seed=seed)
    masks = np.full(len(peaks), ALLOWED_N) if classes is None else classes
    return Lead(f"mitdb/{seed}", signal, peaks, masks.astype(np.uint8))


def small_model() -> CnnLstm:
    torch.manual_seed(0)
    return CnnLstm(ecg_beats_1().architecture).eval()


@pytest.mark.parametrize("n_beats", [2, 13, 150])
def test_rows_made_beat_by_beat_are_those_of_the_whole(n_beats: int) -> None:
    rng = np.random.default_rng(3)
    segments = rng.normal(size=(3, n_beats, SEGMENT)).astype(np.float32)
    intervals = rng.uniform(0.3, 2.5, (3, n_beats))
    whole = rows(segments, intervals, np.zeros(3, dtype=np.int64))[:, -40:]
    state, slots = BeatRows(1, 40), np.array([2, 0, 1])
    state.resize(3)
    for i in range(n_beats):
        state.push(slots, segments[:, i], intervals[:, i] if i else np.full(3, np.nan))
    seen = state.sequences(slots)
    assert np.allclose(seen[:, 40 - whole.shape[1] :], whole, atol=1e-6)
    assert not seen[:, : 40 - whole.shape[1]].any()


def test_a_slot_restored_goes_on_and_a_slot_reset_begins_anew() -> None:
    rng = np.random.default_rng(4)
    segments = rng.normal(size=(30, SEGMENT)).astype(np.float32)
    one, other, slot = BeatRows(1, 8), BeatRows(2, 8), np.array([0])
    for segment in segments[:20]:
        one.push(slot, segment[None], np.array([0.7]))
    other.restore(1, one.state(0))
    for segment in segments[20:]:
        one.push(slot, segment[None], np.array([0.9]))
        other.push(np.array([1]), segment[None], np.array([0.9]))
    assert np.array_equal(one.sequences(slot), other.sequences(np.array([1])))
    other.reset(1)
    assert not other.sequences(np.array([1])).any()
    other.push(np.array([1]), segments[:1], np.array([np.nan]))
    fresh = BeatRows(1, 8)
    fresh.push(slot, segments[:1], np.array([np.nan]))
    assert np.array_equal(other.sequences(np.array([1])), fresh.sequences(slot))


def test_gain_does_not_change_rows_and_a_gap_has_no_interval() -> None:
    signal, peaks = made_signal()
    assert np.allclose(rows_of(signal, peaks), rows_of(3 * signal, peaks), atol=0.02)
    state, slot = BeatRows(1, 10), np.array([0])
    for i, segment in enumerate(segments_at(signal, peaks[:12])):
        state.push(slot, segment[None], np.array([np.nan if i == 9 else 0.8]))
    seen = state.sequences(slot)[0]
    assert context_of(seen, "interval_known").tolist() == [1] * 7 + [0] + [1] * 2
    # Neither the beat before the gap nor the one after it has a known next interval to compare with.
    assert context_of(seen, "next_known").tolist() == [1] * 6 + [0, 0, 1, 0]


def test_a_premature_beat_stands_out_in_its_row() -> None:
    intervals = np.full((1, 40), 1.0)
    intervals[0, 30], intervals[0, 31] = 0.6, 1.4
    row = rows(np.ones((1, 40, SEGMENT), dtype=np.float32), intervals, np.zeros(1, dtype=np.int64))[0]
    assert context_of(row, "to_median_8")[30] == pytest.approx(np.log(0.6), abs=1e-5)
    assert context_of(row, "next_to_interval")[30] == pytest.approx(np.log(1.4 / 0.6), abs=1e-5)
    assert context_of(row, "next_known").tolist() == [0] + [1] * 38 + [0]


def test_waiting_in_vain_is_told_as_the_next_interval() -> None:
    state, slot = BeatRows(1, 4), np.array([0])
    for _ in range(4):
        state.push(slot, np.ones((1, SEGMENT), dtype=np.float32), np.array([0.75]))
    quiet, waited = state.sequences(slot), state.sequences(slot, np.array([1.5]))
    assert context_of(quiet, "next_known")[0, -1] == 0
    assert context_of(waited, "next_to_interval")[0, -1] == pytest.approx(np.log(2), abs=1e-5)
    assert np.array_equal(state.sequences(slot), quiet)


def test_marks_move_to_the_peaks() -> None:
    signal, peaks = made_signal(30)
    assert np.array_equal(refined(signal, peaks + np.where(np.arange(30) % 2, 4.4, -5.3)), peaks)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_rhythms(script: object) -> None:
    classes, intervals = script(np.random.default_rng(1), 200)  # type: ignore[operator]
    assert len(classes) == len(intervals) == 200
    assert set(classes.tolist()) <= {1, 2, 3}
    assert 0.2 < intervals.min() < intervals.max() < 8


def test_made_supraventricular_beats_come_early() -> None:
    found = [make_lead(made_lead(seed=2), np.random.default_rng(i), 100) for i in range(12)]
    early, others = [], []
    for lead in found:
        assert lead is not None
        assert np.isfinite(lead.signal).all()
        assert lead.peaks[-1] + 60 < len(lead.signal)
        gaps, before = np.diff(lead.peaks), lead.allowed[:-1]
        first = (lead.allowed[1:] == S) & (before == N)
        early += gaps[first].tolist()
        others += [float(np.median(gaps[(lead.allowed[1:] == N)]))] if first.any() else []
        # The QRS stays where the script put it.
        assert np.abs(refined(lead.signal, lead.peaks.astype(float)) - lead.peaks).max() <= 1
    assert np.mean(early) < 0.85 * np.mean(others)


def test_a_lead_without_normal_beats_gives_nothing() -> None:
    assert make_lead(made_lead(np.full(120, V)), np.random.default_rng(0), 100) is None


def sampler(**changes: object) -> Sampler:
    classes = np.full(120, N)
    classes[::10] = V
    noise = np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    found = Lead("cinc2017/A1", *made_signal(40, seed=5), np.full(40, NOT_S), sinus=False)
    leads = [made_lead(classes), made_lead(seed=1)]
    return Sampler(leads, [found], noise, BeatsData(**changes), BeatsAugment(), 1.5, 0)  # type: ignore[arg-type]


def test_batches_are_a_function_of_seed_and_step() -> None:
    one, again, other = (sampler().batch(7, step, 16) for step in (3, 3, 4))
    assert np.array_equal(one["x"], again["x"])
    assert np.array_equal(one["allowed"], again["allowed"])
    assert not np.array_equal(one["x"], other["x"])
    assert one["x"].shape == (16, 40, ROW)
    assert one["allowed"].shape == (16, 40, 5)
    assert np.isfinite(one["x"]).all()
    empty = ~one["x"].any(-1)
    assert not one["allowed"][empty].any()


def test_classes_are_drawn_as_asked() -> None:
    def share(**changes: float) -> float:
        masks = sampler(draw_cinc2017=0.0, draw_made=0.0, **changes).batch(1, 0, 64)["allowed"]
        return float(masks[:, :, STEP_CLASSES.index("V")].sum() / masks.sum())

    assert share(draw_v=1.0, draw_s=0.0, draw_f=0.0) > 1.3 * share(draw_v=0.0, draw_s=0.0, draw_f=0.0)


def test_no_beats_to_train_on_is_said() -> None:
    with pytest.raises(DataMissing, match="mitdb"):
        Sampler([], [], np.zeros(10, dtype=np.float32), BeatsData(), BeatsAugment(), 1.5, 0)


def test_loss_counts_only_what_is_known() -> None:
    logits = torch.zeros(1, 3, 5)
    logits[0, 0, 1] = 20.0
    weights, place = torch.ones(5), torch.ones(3)
    right = torch.zeros(1, 3, 5)
    right[0, 0, 1] = 1
    wrong = torch.zeros(1, 3, 5)
    wrong[0, 0, 2] = 1
    loose = torch.ones(1, 3, 5)
    loose[0, :, 2] = 0
    loose[0, 1:] = 0
    losses = [float(beats_loss(logits, allowed, place, weights, 0.0)) for allowed in (right, wrong, loose)]
    assert losses[0] == pytest.approx(0, abs=1e-6)
    assert losses[1] == pytest.approx(10, rel=0.01)
    assert losses[2] == pytest.approx(0, abs=1e-6)


def test_served_beat_by_beat_the_network_says_the_same() -> None:
    signal, peaks = made_signal(24, seed=9)
    # A pause of three seconds: nothing follows beat 15 for longer than the wait.
    signal = np.insert(signal, peaks[15] + 90, np.zeros(375, dtype=np.float32))
    peaks = np.where(np.arange(24) > 15, peaks + 375, peaks)
    model = small_model()
    whole = probabilities(model, signal, peaks, 12, 1.5, batch=7)
    state, slot, found = BeatRows(1, 12), np.array([0]), {}

    def ask(waited: float, place: int) -> np.ndarray:
        with torch.inference_mode():
            x = torch.from_numpy(state.sequences(slot, np.array([waited])))
            return np.asarray(model(x).step_logits.softmax(-1)[0, place].numpy())

    segments = segments_at(signal, peaks)
    for i, peak in enumerate(peaks):
        interval = (peak - peaks[i - 1]) / FS_HZ if i else np.nan
        if i and interval > 1.5:
            found[i - 1] = ask(1.5, -1)
        state.push(slot, segments[i : i + 1], np.array([interval]))
        if i:
            found.setdefault(i - 1, ask(np.nan, -2))
    found[23] = ask(1.5, -1)
    assert np.allclose(whole, np.stack([found[i] for i in range(24)]), atol=1e-5)


def test_set_next_leaves_a_row_without_interval_alone() -> None:
    row = np.zeros((2, ROW), dtype=np.float32)
    set_next(row, np.array([0.8, np.nan]))
    assert not row.any()


def recording(lead: Lead, classes: np.ndarray) -> Recording:
    n = len(lead.signal)
    known = np.ones(n, dtype=np.bool_)
    return Recording(
        "mitdb",
        "0",
        ("II",),
        lead.signal[None],
        lead.peaks.astype(float),
        classes,
        known,
        np.zeros(n, np.uint8),
    )


def test_end_to_end_counts_missed_and_false_beats_after_five_minutes() -> None:
    signal, peaks = made_signal(500, seed=1)
    classes = np.full(500, 1)
    classes[450:460] = STEP_CLASSES.index("V")
    lead = Lead("mitdb/0", signal, peaks, np.full(500, N, dtype=np.uint8))
    late = np.flatnonzero((peaks >= 300 * FS_HZ) & (peaks < len(signal) - 2 * FS_HZ))
    kept = np.delete(np.arange(500), [10, 420])
    found = np.sort(np.concatenate([peaks[kept], [peaks[20] + 50, peaks[430] + 50, peaks[440] + 50]]))
    share = np.full((len(found), 5), 0.05)
    share[:, 1] = 0.8
    # One of the two late false beats is called none, and so is dropped.
    dropped = np.flatnonzero(found == peaks[440] + 50)
    share[dropped] = [0.8, 0.05, 0.05, 0.05, 0.05]
    predictions = end_to_end(recording(lead, classes), found, share.astype(np.float32), (1, 1, 1, 1))
    counts = tables_of(predictions)["mitdb/0"]
    assert counts[1, 1] == len(late) - 10 - 1
    assert (counts[1, 0], counts[0, 1]) == (1, 1)
    assert counts[3, 1] == 10
    assert beat_scores(counts).veb_se == 0
    # The false beat is no class: N and V are two, not three.
    said = summarise(pool([predictions, predictions])).figures
    assert said["balanced_accuracy"].value == pytest.approx(counts[1, 1] / counts[1].sum() / 2, abs=1e-4)


def test_tables_stand_with_and_without_232() -> None:
    parts = []
    for name, wrong in (("mitdb/232", 0), ("mitdb/200", 5)):
        lead = made_lead(np.where(np.arange(120) < 20, S, N))
        share = np.zeros((120, 5), dtype=np.float32)
        share[np.arange(120), np.where(np.arange(120) < 20 - wrong, 2, 1)] = 1
        parts.append(at_marks(Lead(name, lead.signal, lead.peaks, lead.allowed), share, (1, 1, 1, 1)))
    from training.evaluation import pool

    both = pool(parts)
    found = to_evaluation([both, both])
    assert [row[0] for row in found.tables[0].rows] == ["mitdb/232", "mitdb/200", "all", "without 232"]
    assert found.metrics["sveb_se"].value == pytest.approx(35 / 40)
    assert found.metrics["without_232_sveb_se"].value == pytest.approx(15 / 20)
    assert found.metrics["end_to_end_sveb_se"].n == 40


def empty_records(folder: Path, names: list[str]) -> None:
    (folder / "mitdb").mkdir()
    for name in names:
        (folder / "mitdb" / f"{name}.hea").touch()


def test_folds_hold_each_patient_of_ds1_once_and_none_of_ds2(tmp_path: Path) -> None:
    empty_records(tmp_path, ["101", "106", "118", "119", "201", "202", "100", "232"])
    task = BeatsTask(ecg_beats_1(), tmp_path)
    split = task.split()
    assert split.test == ("mitdb/100", "mitdb/232")
    folds = task.folds(2)
    assert sorted(name for fold in folds for name in fold.test) == sorted(split.train + split.validation)
    for fold in (split, *folds):
        assert fold.validation
        assert len({*fold.train, *fold.validation, *fold.test}) == sum(
            map(len, (fold.train, fold.validation, fold.test))
        )
    with pytest.raises(BadRecipe, match="22"):
        task.folds(23)


@pytest.mark.parametrize("name", ABLATION)
def test_each_step_of_the_ablation_is_a_recipe(name: str) -> None:
    recipe = get_recipe("ecg-beats-1", ABLATION[name])
    assert isinstance(recipe, BeatsRecipe)
    assert (recipe == ecg_beats_1()) == (name == list(ABLATION)[-1])
    assert shown(recipe.data.hidden)[:SEGMENT].all()


def test_hiding_what_is_not_there_is_refused() -> None:
    with pytest.raises(BadRecipe, match="irregularity"):
        get_recipe("ecg-beats-1", ["data.hidden=colour"])


def test_a_folder_without_mitdb_is_said(tmp_path: Path) -> None:
    (tmp_path / "mitdb").mkdir()
    with pytest.raises(DataMissing, match="mitdb"):
        BeatsTask(ecg_beats_1(), tmp_path).split()


@pytest.mark.data
def test_beats_of_a_real_record_are_at_its_peaks(data_dir: Path, tmp_path: Path) -> None:
    task = BeatsTask(ecg_beats_1(), data_dir, tmp_path)
    (recording,) = task.recordings(("mitdb/201",))
    loose = aberrant(data_dir, recording)
    assert loose.sum() == 97
    first, second = annotated_leads(recording, loose)
    assert len(first.peaks) == len(second.peaks) == len(recording.beats)
    assert np.abs(first.peaks - recording.beats).max() <= 11
    assert (first.allowed == S | V).sum() == 97
    assert (annotated_leads(recording)[0].allowed == S).sum() == 128
