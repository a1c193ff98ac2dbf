"""The EEG task: published layouts, files with their faults, windows, a small model from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import wardwave
from models.cards import read_spec
from models.eeg import EegModel
from tests.eeg_sets import ELECTRODES, PAIRS, waves, write_chbmit, write_edf, write_eeg
from training.eeg_config import EegAugment, EegData
from training.eeg_layouts import list_published
from training.eeg_predict import SeenEeg
from training.eeg_recipes import eeg_seizure_1
from training.eeg_recording import EegRecording, inside
from training.eeg_records import EegRecord, label
from training.eeg_sampling import EegSampler
from training.eeg_scores import choose_threshold
from training.eeg_signal import read_edf
from training.eeg_task import EegTask
from training.errors import BadAnnotation, BadRecipe, DataMissing
from training.overrides import override
from training.session import check_sides, fit, open_task

SMALL = [
    'data.sources=["chbmit"]', "data.bonn=", "data.window_s=8", "data.channels=[2,5]",
    "architecture.hidden=6", "architecture.attention_width=8", "architecture.front_end.stem_width=4",
    "architecture.front_end.widths=[4,6,8]", "architecture.front_end.width=12", "optimizer.steps=12",
    "optimizer.batch=8", "optimizer.lr=0.01", "optimizer.warmup_steps=2", "optimizer.average_decay=0.5",
    "run.validate_every=12",
]  # fmt: skip
CASES = ("chb01", "chb02", "chb03", "chb05", "chb21")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("eeg")
    write_chbmit(folder / "chbmit", CASES)
    return folder


@pytest.fixture(scope="module")
def task(data: Path, tmp_path_factory: pytest.TempPathFactory) -> EegTask:
    found = open_task(override(eeg_seizure_1(), SMALL), data, tmp_path_factory.mktemp("cache"))
    assert isinstance(found, EegTask)
    return found


def test_chbmit_is_read_as_published(data: Path) -> None:
    found = {one.name: one for one in list_published(data / "chbmit", "chbmit")}
    assert len(found) == 10
    assert found["chbmit/chb02_01"].seizures == ()
    assert found["chbmit/chb02_02"].seizures == ((20.0, 45.0),)
    # Case 21 is the child of case 1.
    assert found["chbmit/chb21_01"].patient == "chb01"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("in File: 1", "in File: 2", "2 seizures by its number, 1 by their times"),
        ("45 seconds", "5 seconds", "a seizure from 20 s to 5 s"),
        ("45 seconds", "soon", "are no seconds"),
        (
            "File: 1\nSeizure Start Time: 20 seconds\nSeizure End Time: 45 seconds\n",
            "File: 0\n",
            r"\.seizures",
        ),
    ],
)
def test_a_summary_that_is_wrong_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    write_chbmit(tmp_path, ("chb01",), 50)
    summary = tmp_path / "chb01" / "chb01-summary.txt"
    text = summary.read_text()
    assert old in text
    summary.write_text(text.replace(old, new))
    with pytest.raises(BadAnnotation, match=words):
        list_published(tmp_path, "chbmit")


SIENA = """Seizures list for PN00
********************************
Seizure n 1
File name: PN00-1.edf
Registration start time: 19.39.33
Registration end time:  20.22.58
Seizure start time: 19.39.53
Seizure end time: 19:40:13

Seizure n 2
Seizure start time: 19.41.33
Seizure end time: 19.41.43

Seizure n 3
File name: PNO0-2 .edf
Registration start time: 23.59.50
Seizure start time: 00.00.10
Seizure end time: 0.0.30

Seizure n 4
File name: PN00-.EDF
"""


def test_siena_is_read_with_its_irregular_times(tmp_path: Path) -> None:
    write_eeg(tmp_path / "PN00" / "PN00-1.edf", 10)
    write_eeg(tmp_path / "PN00" / "PN00-2.edf", 10)
    listing = tmp_path / "PN00" / "Seizures-list-PN00.txt"
    listing.write_text(SIENA.split("\nSeizure n 4")[0])
    found = list_published(tmp_path, "siena")
    assert [one.seizures for one in found] == [((20.0, 40.0), (120.0, 130.0)), ((20.0, 40.0),)]
    assert {one.patient for one in found} == {"PN00"}
    listing.write_text(SIENA)
    with pytest.raises(DataMissing, match=r"names 'PN00-.EDF'; beside it there is PN00-1.edf, PN00-2.edf"):
        list_published(tmp_path, "siena")
    listing.write_text(SIENA.replace("19.41.33", "19.61.33"))
    with pytest.raises(BadAnnotation, match=r"line 11: '19.61.33' is no time"):
        list_published(tmp_path, "siena")
    listing.write_text("Seizure start time: 19.41.33\n")
    with pytest.raises(BadAnnotation, match="before its file name"):
        list_published(tmp_path, "siena")


TUSZ = """# version = csv_v1.0.0
# duration = 60.0000 secs
#
channel,start_time,stop_time,label,confidence
"""


def test_tusz_is_read_by_either_table(tmp_path: Path) -> None:
    for side, name in (
        ("train", "aaaaaaaa_s001_t000"),
        ("dev", "bbbbbbbb_s001_t000"),
        ("eval", "cccccccc_s001_t000"),
    ):
        write_eeg(tmp_path / f"edf/{side}/{name[:8]}/s001_2015/01_tcp_ar/{name}.edf", 10)
    tables = sorted(tmp_path.glob("edf/**/*.edf"))
    by_name = {one.stem[0]: one for one in tables}
    by_name["a"].with_suffix(".csv_bi").write_text(
        TUSZ + "TERM,0.0,4.0,bckg,1.0\nTERM,4.0,8.0,seiz,1.0\nTERM,8.0,10.0,bckg,1.0\n"
    )
    by_name["b"].with_suffix(".csv").write_text(
        TUSZ + "FP1-F7,1.0,5.0,fnsz,1.0\nF7-T3,3.0,6.5,fnsz,1.0\nF7-T3,7.0,9.0,eyem,1.0\n"
    )
    with pytest.raises(DataMissing, match="no cccccccc_s001_t000.csv_bi or .csv beside it"):
        list_published(tmp_path, "tusz")
    by_name["c"].with_suffix(".csv").write_text(TUSZ)
    found = list_published(tmp_path, "tusz")
    assert [(one.patient, one.side, one.seizures) for one in found] == [
        ("aaaaaaaa", "train", ((4.0, 8.0),)),
        ("bbbbbbbb", "dev", ((1.0, 6.5),)),
        ("cccccccc", "eval", ()),
    ]
    recipe = override(eeg_seizure_1(), [*SMALL, "data.split=official", 'data.sources=["tusz"]'])
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "tusz").symlink_to(tmp_path)
    split = open_task(recipe, tmp_path / "all", tmp_path / "cache").split()
    assert split.test == ("tusz/cccccccc_s001_t000",)
    by_name["c"].with_suffix(".csv").write_text("channel,label\nTERM,seiz\n")
    with pytest.raises(BadAnnotation, match="needs columns start_time"):
        list_published(tmp_path, "tusz")


def test_bids_is_read_as_szcore_has_it(tmp_path: Path) -> None:
    edf = write_eeg(tmp_path / "sub-01/ses-01/eeg/sub-01_ses-01_task-szMonitoring_run-00_eeg.edf", 10)
    table = edf.with_name(edf.name.replace("_eeg.edf", "_events.tsv"))
    head = "onset\tduration\teventType\tconfidence\n"
    table.write_text(f"{head}2.0\t3.5\tsz_foc_ia\tn/a\n8\t1\tbckg\tn/a\n")
    (one,) = list_published(tmp_path, "mine")
    assert (one.patient, one.seizures) == ("mine-sub-01", ((2.0, 5.5),))
    table.write_text(f"{head}n/a\t3.5\tsz\tn/a\n")
    with pytest.raises(BadAnnotation, match="row 2, onset"):
        list_published(tmp_path, "mine")


def test_a_folder_in_no_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="none of the layouts"):
        list_published(tmp_path, "x")
    with pytest.raises(DataMissing, match="not there"):
        list_published(tmp_path / "none", "x")


def test_a_seizure_outside_of_the_record_is_refused_and_a_late_end_cut() -> None:
    def held(*events: tuple[float, float]) -> EegRecording:
        return EegRecording("a/b", "p", Path("b.edf"), events)

    assert inside(held((50.0, 61.5)), 60.0) == ((50.0, 60.0),)
    with pytest.raises(BadAnnotation, match="a seizure from 70 to 80 s in a record of 60 s"):
        inside(held((70.0, 80.0)), 60.0)


def test_duplicate_and_other_channels_are_left_out(tmp_path: Path) -> None:
    labels = ("FP1-F7", "F7-T7", "F7-T7", "ECG", "-")
    x = list(waves(5, 20, 256, None, 1))
    names, found = read_edf(write_edf(tmp_path / "a.edf", labels, x, [256] * 5))
    assert names == ("Fp1-F7", "F7-T7")
    again = read_edf(write_edf(tmp_path / "b.edf", labels[:2], x[:2], [256] * 2))[1]
    assert np.allclose(found, again, atol=0.2)


def test_channels_of_several_rates_are_read_rate_by_rate(tmp_path: Path) -> None:
    fast, slow = waves(2, 20, 256, None, 1), waves(1, 20, 128, None, 2)
    path = write_edf(tmp_path / "a.edf", ("FP1-F7", "F7-T7", "T7-P7"), [*fast, *slow], [256, 256, 128])
    names, found = read_edf(path)
    assert names == ("Fp1-F7", "F7-T7", "T7-P7")
    assert found.shape == (3, 20 * 128)
    assert np.isfinite(found).all()


def test_referential_names_become_derivations(tmp_path: Path) -> None:
    labels = tuple(f"EEG {name.upper()}-REF" for name in ELECTRODES)
    names, found = read_edf(write_eeg(tmp_path / "a.edf", 10, labels=labels))
    assert len(names) == 18
    assert found.shape == (18, 10 * 128)


@pytest.mark.parametrize(
    ("unit", "factor", "way_out"), [("mV", 1e-3, "unit_factor=0.001"), ("uV", 1e3, "unit_factor=1000")]
)
def test_a_wrong_unit_is_named_with_the_way_out(
    tmp_path: Path, unit: str, factor: float, way_out: str
) -> None:
    # The numbers are µV; the header says mV. Or they are mV, and the header says µV.
    x = list(waves(2, 20, 128, None, 1) * (1.0 if unit == "mV" else 1e-3))
    path = write_edf(tmp_path / "a.edf", PAIRS[:2], x, [128] * 2, unit)
    if unit == "uV":
        path = _fine(tmp_path / "b.edf", x)
    with pytest.raises(BadAnnotation, match=f"physical dimension.*{way_out}"):
        read_edf(path)
    assert read_edf(path, factor)[1].std() > 5


def _fine(path: Path, x: list[np.ndarray]) -> Path:
    """An EDF file with steps fine enough for values of thousandths."""
    import pyedflib

    writer = pyedflib.EdfWriter(str(path), len(x), file_type=pyedflib.FILETYPE_EDFPLUS)
    for i, name in enumerate(PAIRS[: len(x)]):
        writer.setSignalHeader(
            i,
            {
                "label": name, "dimension": "uV", "sample_frequency": 128, "physical_max": 1.0,
                "physical_min": -1.0,
                "digital_max": 32767, "digital_min": -32768, "transducer": "", "prefilter": "",
            },
        )  # fmt: skip
    writer.writeSamples(x)
    writer.close()
    return path


def test_a_file_without_eeg_or_that_is_none_is_refused(tmp_path: Path) -> None:
    x = list(waves(2, 10, 128, None, 1))
    with pytest.raises(BadAnnotation, match=r"ECG, PULSE give no longitudinal derivation"):
        read_edf(write_edf(tmp_path / "a.edf", ("ECG", "PULSE"), x, [128] * 2))
    (tmp_path / "b.edf").write_text("no EDF")
    with pytest.raises(BadAnnotation, match="not readable as EDF"):
        read_edf(tmp_path / "b.edf")


def made_record(
    n_steps: int, seizures: tuple[tuple[float, float], ...], seed: int, patient: str = "p"
) -> EegRecord:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((4, n_steps * 128)).astype(np.float16)
    x[:, 5 * 128 : 7 * 128] = np.nan
    about = EegRecording(f"s/{seed}", patient, Path("x"), seizures)
    return label(about, ("a", "b", "c", "d"), x, 128)


def sampler(records: list[EegRecord], **draw: float) -> EegSampler:
    front_end = override(eeg_seizure_1(), SMALL).architecture.front_end
    assert front_end.kind == "channels"
    data = EegData(draw=draw, channels=(6, 6))
    return EegSampler(
        records, front_end, 8, data, EegAugment(stretch=0, artefact=0, missing=0, device=0, late=0)
    )


def test_windows_hold_their_labels_and_gaps_are_not_learned() -> None:
    record = made_record(30, ((15.0, 25.0),), 1)
    found = sampler([record], background=1.0, seizure=1.0).batch(3, 0, 64)
    x, truth = found["x"], found["label"]
    assert x.shape == (64, 6, 128 + 8 * 128)
    assert x.dtype == np.float32
    # Two of the six channels are not in the record.
    own = np.isfinite(x[:, :, 128:].reshape(64, 6, 8, 128)).all(-1)
    assert (own.sum(1) <= 4).all()
    # What has a label has a signal, and the gap has none.
    assert own.any(1)[np.isfinite(truth)].all()
    assert {0.0, 1.0} == set(np.unique(truth[np.isfinite(truth)]))


def test_made_windows_have_a_seizure_that_is_larger_than_the_background() -> None:
    found = sampler([made_record(60, (), 1)], made=1.0).batch(0, 0, 64)
    x, truth = found["x"][:, :, 128:].reshape(64, 6, 8, 128), found["label"]
    size = np.nan_to_num(x).std(axis=-1).max(axis=1)
    assert (truth == 1).any(axis=1).mean() > 0.8
    assert np.median(size[truth == 1]) > 1.5 * np.median(size[truth == 0])


def test_the_same_seed_draws_the_same_batch() -> None:
    one = sampler([made_record(60, ((20.0, 40.0),), 1)], background=1.0, made=1.0)
    assert np.array_equal(one.batch(1, 5, 4)["x"], one.batch(1, 5, 4)["x"], equal_nan=True)
    assert not np.array_equal(one.batch(1, 5, 4)["x"], one.batch(1, 6, 4)["x"], equal_nan=True)


def test_records_without_background_or_seizures_do_not_train() -> None:
    with pytest.raises(DataMissing, match="free of seizures"):
        sampler([made_record(30, ((0.0, 30.0),), 1)], background=1.0, made=1.0)
    with pytest.raises(DataMissing, match="no seizure in the training"):
        sampler([made_record(30, (), 1)], background=1.0, seizure=1.0)
    with pytest.raises(BadRecipe, match="no kind 'ictal'"):
        sampler([made_record(30, (), 1)], ictal=1.0)


def seen(patient: str, seizure: tuple[float, float] | None, high: tuple[int, int, float]) -> SeenEeg:
    record = made_record(120, () if seizure is None else (seizure,), 1, patient)
    logit = np.full(120, -4.0, np.float32)
    logit[high[0] : high[1]] = high[2]
    return SeenEeg(record, logit)


def test_background_alone_chooses_the_least_threshold_that_stays_silent() -> None:
    events = eeg_seizure_1().events
    # Probability 0.62 for 20 s.
    loud = seen("a", None, (40, 60, 0.5))
    assert choose_threshold([loud], events, 2.0) == 0.7
    assert choose_threshold([seen("a", None, (0, 1, -4.0))], events, 2.0) == 0.35


def test_patients_with_seizures_choose_the_threshold_by_their_events() -> None:
    events = eeg_seizure_1().events
    side = [seen(name, (40.0, 60.0), (40, 60, 0.5)) for name in "abc"]
    # All thresholds up to 0.6 find all of them: the middle.
    assert choose_threshold(side, events, 2.0) == 0.45


def test_patients_stay_on_one_side(task: EegTask) -> None:
    tests = []
    for split in task.folds(3):
        check_sides(split)
        patients = [
            {task.recordings[name].patient for name in side} for side in (split.train, split.validation)
        ]
        tested = {task.recordings[name].patient for name in split.test}
        assert not patients[0] & patients[1]
        assert not tested & (patients[0] | patients[1])
        tests += sorted(tested)
    assert sorted(tests) == ["chb01", "chb02", "chb03", "chb05"]


def opened(data: Path, setting: str) -> object:
    """What is wrong with a recipe shows when its sides and its network are asked for."""
    found = open_task(override(eeg_seizure_1(), [*SMALL, setting]), data)
    assert isinstance(found, EegTask)
    return found.split(), found.front_end


def test_a_recipe_that_does_not_fit_is_refused(data: Path) -> None:
    for setting, words in (
        ("architecture.front_end.step=64", "judges every second"),
        ("architecture.window_classes=2", "step_classes=2, window_classes=1"),
        ("data.split=official", "no official side"),
        ('data.sources=["chbmit","chbmit"]', "each once"),
    ):
        with pytest.raises(BadRecipe, match=words):
            opened(data, setting)


def test_a_small_model_is_trained_scored_and_watches_a_stream(
    task: EegTask,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    trained = fit(task, task.split(), tmp_path / "run")
    assert trained.spec.signal == "eeg"
    evaluation = task.evaluate(trained.model, trained.thresholds, task.split().test)
    merged = task.merge([evaluation, evaluation])
    assert "event_sensitivity" in merged.metrics
    model = EegModel.load(tmp_path / "run" / "model")
    watch = model.watch(1)
    for _ in range(4):
        said = watch.push(np.zeros(1, np.int64), np.zeros((1, model.channels, model.samples), np.float32))
    assert np.isfinite(said.probability).all()
    card = str(tmp_path / "run" / "model")
    assert (
        wardwave.main(
            ["evaluate", card, "--data", str(data), "--out", str(tmp_path / "r.md"), "--update-card"]
        )
        == 0
    )
    assert "By seizure" in capsys.readouterr().out
    metrics = read_spec(tmp_path / "run" / "model" / "eeg-seizure-1.json").metrics
    assert {"event_sensitivity", "false_per_day", "within_patient_auroc"} <= metrics.keys()


def test_the_loss_falls_on_windows_with_plain_seizures(task: EegTask) -> None:
    torch.manual_seed(0)
    model = task.network().train()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    drawn = task.sampler(task.split().train)
    losses = []
    for step in range(25):
        batch = {name: torch.from_numpy(one) for name, one in drawn.batch(0, step, 8).items()}
        loss = task.loss(model, batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
