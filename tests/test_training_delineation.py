"""Delineation: marks, scores, batches, streaming and the task, on made recordings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.cnn_lstm import Output
from models.delineate import STEP_CLASSES, WAVES
from models.spec import Conv1dFrontEnd
from training.delineation_config import DelineationAugment, DelineationData, DelineationRecipe
from training.delineation_fibrillation import list_fibrillation, load_fibrillation, read_fibrillation
from training.delineation_predict import delineate_leads, step_probabilities, waves_of, window_starts
from training.delineation_recipes import ecg_delineation_1
from training.delineation_records import SPEC, Lead, pair_marks, read_leads
from training.delineation_sampling import DelineationSampler
from training.delineation_scores import (
    POINTS,
    FoundWaves,
    figures_of,
    lead_table,
    match,
    score,
    summarise,
    wave_f1,
)
from training.delineation_task import DelineationTask, step_losses
from training.errors import BadAnnotation, BadRecipe, DataMissing
from training.recipes import get_recipe
from training.session import open_task

FS = 500
P, QRS, T = range(3)
OFFSETS_S = {"p": (-0.20, -0.15, -0.10), "N": (-0.045, 0.0, 0.05), "t": (0.18, 0.29, 0.36)}
RATE = SPEC.rate_hz


def made_lead(rng: np.random.Generator, seconds: float = 10.0) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """A lead of Gaussian waves at 500 Hz, and marks of its inner beats as LUDB has them."""
    time = np.arange(round(seconds * FS)) / FS
    beats = np.arange(0.5, seconds - 0.4, rng.uniform(0.7, 1.0)) + rng.normal(0, 0.01)
    signal = rng.normal(0, 0.005, len(time))
    height = {"p": 0.15, "N": 1.2, "t": 0.3}
    marks: list[tuple[int, str]] = []
    for i, beat in enumerate(beats):
        for symbol, (onset, peak, end) in OFFSETS_S.items():
            width = (end - onset) / 5
            signal += height[symbol] * np.exp(-0.5 * ((time - beat - peak) / width) ** 2)
            if 1 <= i < len(beats) - 1:
                places = (beat + onset, "("), (beat + peak, symbol), (beat + end, ")")
                marks += [(round(place * FS), mark) for place, mark in places]
    return signal, marks


def write_set(folder: Path, n_records: int = 6) -> Path:
    """A data folder with a small set in LUDB's layout, fibrillation and noise."""
    rng = np.random.default_rng(3)
    ludb = folder / "ludb"
    ludb.mkdir(parents=True)
    for number in range(1, n_records + 1):
        leads = [made_lead(rng) for _ in ("ii", "v1")]
        wfdb.wrsamp(
            str(number),
            fs=FS,
            units=["mV", "mV"],
            sig_name=["ii", "v1"],
            p_signal=np.stack([signal for signal, _ in leads], axis=1),
            fmt=["16", "16"],
            comments=["<age>: 50", f"Rhythm: {'Sinus rhythm' if number % 2 else 'Sinus bradycardia'}."],
            write_dir=str(ludb),
        )
        for name, (_, marks) in zip(("ii", "v1"), leads, strict=True):
            samples, symbols = zip(*marks, strict=True)
            # wfdb writes no digit in an extension, LUDB has them.
            wfdb.wrann(str(number), "lead", np.array(samples), list(symbols), write_dir=str(ludb))
            (ludb / f"{number}.lead").rename(ludb / f"{number}.{name}")
    for source, names, fs in (("cinc2017", ("A00001",), 300), ("nstdb", ("bw", "ma"), 360)):
        (folder / source).mkdir()
        for name in names:
            noise = rng.normal(0, 0.1, (fs * 40, 1))
            options = {"units": ["mV"], "sig_name": ["ECG"], "fmt": ["16"]}
            wfdb.wrsamp(name, fs=fs, p_signal=noise, write_dir=str(folder / source), **options)
    (folder / "cinc2017" / "REFERENCE.csv").write_text("A00001,A\nA00002,N\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets"))


def recipe() -> DelineationRecipe:
    """The shipped one with a small network and the made sets."""
    front_end = Conv1dFrontEnd(
        stem_width=8,
        stem_kernel=15,
        stem_stride=2,
        widths=(12, 12),
        kernels=(7, 7),
        strides=(1, 1),
        dilations=(1, 4),
    )
    architecture = ecg_delineation_1().architecture.model_copy(update={"front_end": front_end, "hidden": 12})
    data = DelineationData(fibrillation=("cinc2017",), validation_share=0.25)
    return ecg_delineation_1().model_copy(update={"data": data, "architecture": architecture})


@pytest.fixture
def task(data: Path, tmp_path: Path) -> DelineationTask:
    return DelineationTask(recipe(), data, tmp_path / "cache")


def marks_of(text: str) -> tuple[list[int], list[str]]:
    """``(.p.)`` to places and symbols; a dot is a sample without a mark."""
    pairs = [(10 * place, symbol) for place, symbol in enumerate(text) if symbol != "."]
    return [place for place, _ in pairs], [symbol for _, symbol in pairs]


def test_marks_pair_to_waves() -> None:
    waves = pair_marks(*marks_of("(.p.)..(N.)...(..t)"), near=6)
    assert waves == [(P, 0, 20, 40), (QRS, 70, 80, 100), (T, 140, 170, 180)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("(p).N.)..(t)", [(P, 0, 10, 20), (QRS, 40, 40, 60), (T, 90, 100, 110)]),
        ("(N)..(t).(.)..(t)", [(QRS, 0, 10, 20), (T, 50, 60, 70), (QRS, 90, 100, 110), (T, 140, 150, 160)]),
        ("(N)..(((ttt)))", [(QRS, 0, 10, 20), (T, 60, 90, 120)]),
    ],
    ids=["lost opening bracket", "lost peak", "copies of a wave"],
)
def test_what_annotators_left_out_is_made_good(text: str, wanted: list[tuple[float, ...]]) -> None:
    assert pair_marks(*marks_of(text), near=6) == wanted


def test_a_peak_on_the_wrong_side_of_its_bracket_belongs_to_it() -> None:
    assert pair_marks([100, 101, 130], ["N", "(", ")"], near=6) == [(QRS, 100, 100, 130)]


def test_foreign_symbols_and_empty_files_are_refused() -> None:
    with pytest.raises(BadAnnotation, match=r"symbols V are no waves: expected \( p N t \)"):
        pair_marks([5], ["V"], near=6)
    with pytest.raises(BadAnnotation, match="no wave"):
        pair_marks([], [], near=6)


def test_leads_are_read_with_the_delay_of_conditioning(data: Path, tmp_path: Path) -> None:
    """A marked QRS peak lies where the conditioned signal peaks, a second read comes from the cache."""
    leads = read_leads(data, "ludb/1", SPEC, tmp_path)
    assert [(lead.record, lead.lead, lead.rhythm) for lead in leads] == [
        ("ludb/1", "ii", "Sinus rhythm"),
        ("ludb/1", "v1", "Sinus rhythm"),
    ]
    for lead in leads:
        peaks = lead.marks[lead.kind == QRS, 1]
        around = np.round(peaks[:, None] + np.arange(-12, 13)).astype(int)
        shift_s = (lead.signal[around].argmax(1) - 12) / RATE
        # What is left is the low-pass's own delay, which the network learns.
        assert np.abs(shift_s - 0.012).max() < 0.01
    again = read_leads(data, "ludb/1", SPEC, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 1
    np.testing.assert_array_equal(again[1].marks, leads[1].marks)
    np.testing.assert_array_equal(again[1].signal, leads[1].signal)


def test_missing_records_and_damaged_cache(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DataMissing, match="ludb/99"):
        read_leads(data, "ludb/99", SPEC, tmp_path)
    read_leads(data, "ludb/2", SPEC, tmp_path)
    next(tmp_path.glob("*.npz")).write_bytes(b"nothing")
    assert len(read_leads(data, "ludb/2", SPEC, tmp_path)) == 2
    assert "is damaged and is made anew" in caplog.text


def test_match_is_one_to_one_and_mutual() -> None:
    of_reference, of_found = match(np.array([10.0, 100.0, 200.0]), np.array([12.0, 14.0, 150.0, 201.0]), 37.5)
    assert of_reference.tolist() == [0, 2]
    assert of_found.tolist() == [0, 3]
    assert len(match(np.zeros(0), np.array([1.0]), 5)[0]) == 0


@given(
    reference=st.lists(st.floats(0, 1000), max_size=12, unique=True).map(sorted),
    found=st.lists(st.floats(0, 1000), max_size=12, unique=True).map(sorted),
)
def test_match_pairs_are_the_nearest_of_both_sides(reference: list[float], found: list[float]) -> None:
    a, b = np.array(reference), np.array(found)
    of_reference, of_found = match(a, b, 40.0)
    assert len(set(of_found.tolist())) == len(of_found) == len(of_reference)
    distance = np.abs(a[of_reference] - b[of_found])
    assert (distance <= 40).all()
    for i, j, d in zip(of_reference, of_found, distance, strict=True):
        assert d <= np.abs(b - a[i]).min() + 1e-9
        assert d <= np.abs(a - b[j]).min() + 1e-9


def lead_with(kind: list[int], marks: list[tuple[float, float, float]]) -> Lead:
    signal = np.zeros(2500, dtype=np.float32)
    return Lead("ludb/1", "ii", "", signal, np.array(kind), np.array(marks, dtype=np.float64))


def test_score_counts_between_the_marks_only() -> None:
    """Extra waves count between the first and last mark, nowhere else; errors are in ms."""
    lead = lead_with([QRS, T, P, QRS], [(500, 510, 525), (570, 600, 625), (700, 710, 720), (750, 760, 775)])
    marks = lead.marks + 1.0
    extra = np.array([[400.0, 410, 420], [640.0, 650, 660]])
    found = FoundWaves(np.append(lead.kind, [P, P]), np.concatenate([marks, extra]))
    figures = score([lead], [found], RATE)[0]
    summary = summarise(figures)
    assert figures[P, 0, :3].tolist() == [1, 0, 1]
    assert figures[QRS, 2, :3].tolist() == [2, 0, 0]
    assert summary.mean_ms[QRS, 0] == pytest.approx(4.0)
    assert summary.sd_ms[QRS, 0] == pytest.approx(0.0, abs=1e-6)
    assert wave_f1(figures)[P] == pytest.approx(100 * 2 / 3)
    nothing = score([lead], [FoundWaves(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))], RATE)[0]
    assert nothing[T, 1, :3].tolist() == [0, 1, 0]


def test_missing_marks_of_a_detector_are_missed_not_extra() -> None:
    lead = lead_with([P, QRS], [(700, 710, 720), (750, 760, 775)])
    marks = lead.marks.copy()
    marks[0, 0] = np.nan
    figures = score([lead], [FoundWaves(lead.kind, marks)], RATE)[0]
    assert figures[P, POINTS.index("onset"), :3].tolist() == [0, 1, 0]
    assert figures[P, POINTS.index("end"), :3].tolist() == [1, 0, 0]


def test_lead_table_reads_back() -> None:
    figures = np.random.default_rng(0).integers(0, 50, (2, 3, 3, 5)).astype(np.float64)
    names = [("ludb/1", "ii", "Sinus rhythm"), ("ludb/1", "v1", "Sinus rhythm")]
    again, back = figures_of(lead_table(names, figures))
    assert again == names
    np.testing.assert_allclose(back, figures)


def sampler_of(task: DelineationTask, **augment: object) -> DelineationSampler:
    plain = {
        "time_scale_probability": 0.0,
        "gain": (1.0, 1.0),
        "flip_probability": 0.0,
        "noise_probability": 0.0,
        "white_probability": 0.0,
    }
    config = DelineationAugment.model_validate(plain | augment)
    leads = task.leads(task.names)
    noise = np.zeros(5000, dtype=np.float32)
    weak = [np.ones(4000, dtype=np.float32)]
    return DelineationSampler(leads, weak, noise, RATE, 2, task.recipe.data, config)


def test_targets_lie_under_their_waves_at_any_time_scale(task: DelineationTask) -> None:
    """The step where a QRS complex turns is the largest of its surroundings, time scaled or not."""
    for probability in (0.0, 1.0):
        batch = sampler_of(task, time_scale_probability=probability).batch(1, 2, 20)
        marked = batch["no_p"] == 0
        assert marked.sum() == 16
        steps, x = batch["steps"][marked], batch["x"][marked, 0]
        known = batch["known"][marked] > 0
        np.testing.assert_allclose(steps.sum(-1)[known], 1.0, atol=1e-4)
        turn = (steps[:, :-1, 3] > 0.1) & (steps[:, 1:, 4] > 0.1) & known[:, 1:]
        assert turn.sum() > 30
        row, step = np.nonzero(turn[:, :490])
        height = x[row[:, None], 2 * step[:, None] + np.arange(14)].max(1)
        assert height.min() > 0.5 * np.percentile(x, 99.5)


def test_fibrillation_rules_out_p_waves_only(task: DelineationTask) -> None:
    batch = sampler_of(task).batch(1, 2, 20)
    weak = batch["no_p"] == 1
    assert weak.sum() == 4
    assert not batch["known"][weak].any()
    assert (batch["x"][weak] == 1).all()
    tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
    logits = torch.zeros(20, 500, len(STEP_CLASSES), requires_grad=True)
    losses = step_losses(logits, tensors, (1.0, 1.0, 1.0), 0.5)
    assert losses["no_p_loss"].item() == pytest.approx(-np.log(5 / 7), rel=1e-4)
    (gradient,) = torch.autograd.grad(losses["loss"], logits)
    mean = gradient[torch.from_numpy(weak)].mean((0, 1)).numpy()
    assert (mean[1:3] > 0).all()
    assert (mean[[0, 3, 4, 5, 6]] < 0).all()


def test_batches_are_a_function_of_seed_and_step(task: DelineationTask) -> None:
    split = task.split()
    sampler = task.sampler(split.train or task.names)
    first, again, other = sampler.batch(7, 3, 8), sampler.batch(7, 3, 8), sampler.batch(7, 4, 8)
    for name, value in first.items():
        np.testing.assert_array_equal(value, again[name])
    assert not np.array_equal(first["x"], other["x"])


def test_too_short_leads_are_named(task: DelineationTask) -> None:
    lead = lead_with([QRS], [(50, 60, 75)])
    short = Lead("ludb/9", "ii", "", lead.signal[:500], lead.kind, lead.marks)
    with pytest.raises(
        DataMissing, match=r"ludb/9: shorter than a window of 4 s; set data\.window_s to less"
    ):
        DelineationSampler(
            [short], [], np.zeros(5000, np.float32), RATE, 2, DelineationData(), DelineationAugment()
        )


class Echo(nn.Module):
    """Says of each step which sample it saw there, and how far before the window's end."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> Output:
        seen = x[:, 0, ::2]
        left = torch.arange(seen.shape[1] - 1, -1, -1, dtype=seen.dtype).expand_as(seen)
        columns = [seen / 1000, left / 1000, *[torch.zeros_like(seen)] * 5]
        return Output(torch.stack(columns, -1), None, None)


@pytest.mark.parametrize("n_samples", [1200, 2000, 2500, 2731, 5003])
def test_each_step_comes_from_the_first_window_with_enough_right_context(n_samples: int) -> None:
    signal = np.arange(n_samples, dtype=np.float32)
    found = step_probabilities(Echo(), signal, RATE, 2)  # type: ignore[arg-type]
    assert found.shape == (-(-n_samples // 2), len(STEP_CLASSES))
    logits = np.log(found)
    seen = 1000 * (logits[:, 0] - logits[:, 2])
    np.testing.assert_allclose(seen, signal[::2], atol=2.0)
    steps_left = 1000 * (logits[:, 1] - logits[:, 2])
    starts = window_starts(n_samples, 2000, 250, 2)
    inner = np.arange(len(found)) * 2 < starts[-1] + 1750
    if n_samples > 2000:
        assert steps_left[inner].min() > 120
        assert (starts % 2 == 0).all()
        assert starts[-1] + 2000 >= n_samples


def test_gain_reaches_the_decoder() -> None:
    table = np.zeros((300, len(STEP_CLASSES)), dtype=np.float32)
    table[:, 0] = 1.0
    table[100:112, 0], table[100:106, 1], table[106:112, 2] = 0.6, 0.4, 0.4
    assert len(waves_of(table, 2, RATE).kind) == 0
    assert waves_of(table, 2, RATE, {"P": 2.0}).kind.tolist() == [P]


def test_task_splits_by_patient(task: DelineationTask) -> None:
    folds = task.folds(2)
    assert sorted(name for fold in folds for name in fold.test) == sorted(task.names)
    for fold in folds:
        sides = [set(fold.train), set(fold.validation), set(fold.test)]
        assert all(sides)
        assert not sides[0] & sides[1]
        assert not sides[2] & (sides[0] | sides[1])
        assert "cinc2017/A00001" in fold.train
    with pytest.raises(BadRecipe, match="5 folds of 6 records: take 2 to 2"):
        task.folds(5)


def test_wrong_heads_are_refused(data: Path) -> None:
    whole = recipe()
    other = whole.model_copy(
        update={"architecture": whole.architecture.model_copy(update={"step_classes": 5})}
    )
    with pytest.raises(BadRecipe, match=r"architecture\.step_classes=5: delineation needs 7"):
        DelineationTask(other, data)


def test_a_short_training_finds_qrs_and_folds_pool(task: DelineationTask) -> None:
    """Made waves are learned in a few steps; the pooled parts are the whole."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = task.network()
    sampler = task.sampler((*task.names, *task.fibrillation))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(40):
        batch = {name: torch.from_numpy(value) for name, value in sampler.batch(0, step, 8).items()}
        loss = task.loss(model.train(), batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    figures = task.validate(model.eval(), task.names)
    assert figures["qrs_f1"] > 90
    thresholds = task.thresholds(model, task.names)
    assert set(thresholds) == {"p_factor"}
    whole = task.evaluate(model, thresholds, task.names)
    pooled = task.merge([task.evaluate(model, thresholds, task.names[i::2]) for i in range(2)])
    assert pooled.metrics["qrs_f1"].value == pytest.approx(whole.metrics["qrs_f1"].value)
    assert pooled.metrics["t_end_sd_ms"].value == pytest.approx(whole.metrics["t_end_sd_ms"].value, abs=0.01)
    titles = [table.title for table in whole.tables]
    assert titles[:2] == ["marks", "marks, neurokit2 dwt"]
    assert whole.predictions[0].truth.max() == len(WAVES)
    agree = (whole.predictions[0].truth == whole.predictions[0].decided).mean()
    assert agree > 0.7


def test_unseen_lead_lengths_are_read(task: DelineationTask) -> None:
    """A lead shorter than the window is read whole."""
    lead = task.leads(task.names)[0]
    cut = Lead(lead.record, lead.lead, lead.rhythm, lead.signal[:777], lead.kind, lead.marks)
    ((found, steps),) = delineate_leads(task.network().eval(), [cut], RATE, 2, {})
    assert steps.shape == (389, len(STEP_CLASSES))
    assert np.isfinite(found.marks).all()


def test_fibrillation_is_cut_from_labels_and_rhythm_marks(data: Path, tmp_path: Path) -> None:
    """Recordings labelled A whole, stretches between (AFIB and the next mark of longer ones, a second off."""
    assert list_fibrillation(data, "cinc2017") == ("cinc2017/A00001",)
    (whole,) = read_fibrillation(data, "cinc2017/A00001", SPEC)
    assert len(whole) == pytest.approx(39 * RATE, abs=2)
    folder = tmp_path / "mitdb"
    folder.mkdir()
    noise = np.random.default_rng(1).normal(0, 0.1, (360 * 60, 2))
    names = ["MLII", "V1"]
    wfdb.wrsamp(
        "200", fs=360, units=["mV"] * 2, sig_name=names, p_signal=noise, fmt=["16"] * 2, write_dir=str(folder)
    )
    marks, notes = np.array([360 * 5, 360 * 25, 360 * 57]), ["(AFIB", "(N", "(AFL"]
    wfdb.wrann("200", "atr", marks, ["+"] * 3, aux_note=notes, write_dir=str(folder))
    stretches = read_fibrillation(tmp_path, "mitdb/200", SPEC)
    assert [len(part) for part in stretches] == [18 * RATE] * 2
    first = load_fibrillation(tmp_path, ("mitdb/200",), SPEC, tmp_path / "cache")
    again = load_fibrillation(tmp_path, ("mitdb/200",), SPEC, tmp_path / "cache")
    for part, kept, read in zip(stretches, first, again, strict=True):
        np.testing.assert_array_equal(part, kept)
        np.testing.assert_array_equal(part, read)
    with pytest.raises(DataMissing, match="vfdb: no recordings in fibrillation known there"):
        list_fibrillation(data, "vfdb")


def test_recipe_opens_its_task(data: Path, tmp_path: Path) -> None:
    found = open_task(get_recipe("ecg-delineation-1"), data, tmp_path)
    assert isinstance(found, DelineationTask)
    assert found.card_fields({}).step_s == pytest.approx(0.008)
    with pytest.raises(DataMissing, match=r"mitdb: not there; .* or data\.fibrillation_share=0"):
        found.sampler(found.split().train)


@pytest.mark.data
def test_ludb_is_read_whole(tmp_path: Path) -> None:
    """All 150 recordings here pair to waves: at most one P and one T wave between two QRS complexes."""
    root = Path(__file__).parent.parent.parent / "shared" / "data"
    if not (root / "ludb").is_dir():
        pytest.skip("../shared/data/ludb is not here")
    count = np.zeros(len(WAVES), dtype=int)
    for path in sorted((root / "ludb").glob("*.hea")):
        for lead in ("ii", "v1", "v5"):
            annotation = wfdb.rdann(str(path.with_suffix("")), lead)
            waves = pair_marks(annotation.sample.tolist(), annotation.symbol, 6)
            kinds = np.array([wave[0] for wave in waves])
            count += np.bincount(kinds, minlength=len(WAVES))
            repeated = (kinds[1:] == kinds[:-1]) & (kinds[1:] != QRS)
            assert not repeated.any()
    assert count.tolist() == [3131, 4110, 3675]
