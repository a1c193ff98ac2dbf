"""Explanations: for any model of the family, following its weights, and on the PVC where it says PVC."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import wfdb
from scipy.stats import spearmanr

import wardwave
from ingest.conditioning import ECG, condition
from ingest.sim_ecg import EcgStream
from ingest.sim_events import parse_event
from ingest.simulate import Ward
from models import store
from models.cnn_lstm import CnnLstm, example_input
from models.errors import CannotExplain
from models.explain import explain
from models.spec import RHYTHM_CLASSES, STEP_CLASSES, Architecture, BeatsFrontEnd, Conv1dFrontEnd

MODEL = "ecg-cnn-lstm-1"
V = STEP_CLASSES.index("V")
WAVES = Architecture(
    front_end=Conv1dFrontEnd(
        stem_width=4, widths=(4, 8), kernels=(3, 3), strides=(2, 2), dilations=(1, 2), stem_kernel=7
    ),
    hidden=8,
    attention_width=8,
    heads=2,
    window_steps=20,
)
BEATS = WAVES.model_copy(
    update={
        "front_end": BeatsFrontEnd(segment=24, context=4, widths=(4,), kernels=(5,), strides=(2,), width=8),
        "recurrent_stride": 1,
    }
)
FAMILY = {
    "whole": WAVES,
    "two leads": WAVES.model_copy(update={"channels": 2, "recurrent_stride": 1}),
    "no LSTM": WAVES.model_copy(update={"recurrent": False}),
    "no attention": WAVES.model_copy(update={"attention": False}),
    "convolutions alone": WAVES.model_copy(update={"recurrent": False, "attention": False}),
    "steps alone": WAVES.model_copy(update={"window_classes": 0}),
    "window alone": WAVES.model_copy(update={"step_classes": 0}),
    "beats": BEATS,
    "beats, window alone": BEATS.model_copy(update={"step_classes": 0}),
}


def network(config: Architecture, seed: int = 0) -> CnnLstm:
    torch.manual_seed(seed)
    return CnnLstm(config).eval()


def inputs(config: Architecture, n: int = 3) -> np.ndarray:
    shape = example_input(config, 1000, n).shape
    return np.random.default_rng(1).standard_normal(tuple(shape)).astype(np.float32)


@pytest.mark.parametrize("method", ["hires_cam", "grad_cam"])
@pytest.mark.parametrize("config", FAMILY.values(), ids=FAMILY)
def test_any_model_of_the_family_is_explained_along_its_steps(config: Architecture, method: str) -> None:
    x = inputs(config)
    heads = [{"window_class": 1}] if config.window_classes else []
    heads += [{"step_class": 2}] if config.step_classes else []
    n_steps = x.shape[1] if config.front_end.kind == "beats" else -(-1000 // config.front_end.stride)
    for head in heads:
        found = explain(network(config), x, method=method, **head)  # type: ignore[arg-type]
        assert found.cam.shape == found.attention.shape == (3, n_steps)
        assert found.cam.min() >= 0
        assert set(np.round(found.cam.max(1), 5)) <= {0.0, 1.0}
        np.testing.assert_allclose(found.attention.sum(1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(found.self_attention.sum(2), 1.0, rtol=1e-5)
        assert ((found.step >= 0) == ("step_class" in head)).all()
        assert (found.within is None) == (config.front_end.kind != "beats")
        if found.within is not None:
            assert found.within.shape == (3, n_steps, 12)
            assert 0 <= found.within.min() <= found.within.max() <= 1


def test_the_explained_step_is_the_likeliest_or_the_one_asked_for() -> None:
    model, x = network(WAVES), inputs(WAVES)
    with torch.inference_mode():
        said = model(torch.from_numpy(x)).step_logits.softmax(-1).numpy()
    found = explain(model, x, step_class=V)
    np.testing.assert_array_equal(found.step, said[..., V].argmax(1))
    np.testing.assert_allclose(found.probability, said[..., V].max(1), rtol=1e-5)
    asked = explain(model, x, step_class=V, step=np.array([5, 6, 7]))
    np.testing.assert_allclose(asked.probability, said[np.arange(3), [5, 6, 7], V], rtol=1e-5)


def test_rows_that_fill_up_are_explained_by_nothing() -> None:
    x = inputs(BEATS)
    x[:, :20] = 0
    found = explain(network(BEATS), x, window_class=0)
    assert found.within is not None
    assert found.cam[:, :20].max() == found.within[:, :20].max() == 0
    assert found.cam[:, 20:].max() == 1


def test_explaining_changes_no_weight_and_leaves_no_hook() -> None:
    model, x = network(BEATS), inputs(BEATS)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    explain(model, x, window_class=0)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("config", "what", "says"),
    [
        (WAVES, {}, "exactly one"),
        (WAVES, {"window_class": 0, "step_class": 0}, "exactly one"),
        (WAVES, {"window_class": 6}, "window_class=6: the network's window head has 6 classes"),
        (FAMILY["steps alone"], {"window_class": 0}, "has 0 classes"),
        (BEATS, {"step_class": -1}, "step_class=-1"),
    ],
)
def test_an_output_that_is_not_there_is_named(config: Architecture, what: dict[str, int], says: str) -> None:
    with pytest.raises(CannotExplain, match=says):
        explain(network(config), inputs(config), **what)  # type: ignore[arg-type]


def test_an_input_that_does_not_fit_is_named() -> None:
    with pytest.raises(CannotExplain, match=r"\(3, 2, 1000\)"):
        explain(network(WAVES), np.zeros((3, 2, 1000), np.float32), window_class=0)
    with pytest.raises(CannotExplain, match="numbers a row"):
        explain(network(BEATS), np.zeros((3, 10, 5), np.float32), window_class=0)
    with pytest.raises(CannotExplain, match="NaN"):
        explain(network(WAVES), np.full((1, 1, 1000), np.nan, np.float32), window_class=0)


def cascade(model: CnnLstm, seed: int = 0) -> Iterator[tuple[str, CnnLstm]]:
    """The model with more and more of it drawn anew, from the heads on (Adebayo et al. 2018)."""
    torch.manual_seed(seed)
    fresh, made = CnnLstm(model.config).state_dict(), deepcopy(model)
    blocks = [f"front_end.blocks.{i}." for i in range(len(made.front_end.blocks))]
    groups = ["step_head. window_head.", "step_mix. window_mix. window_score.", "to_steps.", "attention.",
              "recurrent. from_recurrent.", "to_recurrent.", *reversed(blocks), "front_end.stem"]  # fmt: skip
    for group in groups:
        own = made.state_dict()
        for name, tensor in own.items():
            if any(name.startswith(part) for part in group.split()) and "running" not in name:
                tensor.copy_(fresh[name])
        yield group, made


def pvc_strips(seeds: range) -> tuple[np.ndarray, list[float], list[np.ndarray]]:
    """Made windows with one PVC, conditioned as the worker does; seconds of it and of the other beats."""
    windows, at, others = [], [], []
    for seed in seeds:
        events = ("bed-01:pvc@0s:120s",)
        raw = EcgStream(seed, "bed-01", [parse_event(events[0])], 250.0).next_samples(250 * 100)
        signal = condition(raw[:, :1], 250.0, ECG)[:, 0]
        beats = Ward(1, seed, events).truth("bed-01", 100.0).beats
        times = np.array([beat.time_s for beat in beats])
        for beat in beats:
            begin = round((beat.time_s - 5.0) * 125)
            inside = (times > begin / 125) & (times < begin / 125 + 8)
            labels = [other.label for other, near in zip(beats, inside, strict=True) if near]
            if beat.label == "V" and 0 <= begin <= len(signal) - 1000 and labels.count("V") == 1:
                windows.append(signal[begin : begin + 1000])
                at.append(beat.time_s - begin / 125)
                others.append(times[inside & (times != beat.time_s)] - begin / 125)
    return np.stack(windows)[:, None], at, others


def mass(
    cam: np.ndarray, step_s: float, at: list[float], others: list[np.ndarray]
) -> tuple[float, float, float, float]:
    """Mean share of the mass within 150 ms of the PVC, of time there, and both around the other beats."""
    time_s = np.arange(cam.shape[1]) * step_s
    rows = []
    for one, pvc_s, rest_s in zip(cam, at, others, strict=True):
        if one.sum() > 0:
            near = np.abs(time_s - pvc_s) <= 0.15
            beside = (np.abs(time_s[:, None] - rest_s[None]) <= 0.15).any(1) & ~near
            share = one / one.sum()
            rows.append((share[near].sum(), near.mean(), share[beside].sum(), beside.mean()))
    return tuple(np.mean(rows, axis=0).tolist())  # type: ignore[return-value]


@pytest.fixture(scope="module")
def made_windows() -> tuple[np.ndarray, list[float], list[np.ndarray]]:
    return pvc_strips(range(1, 5))


@pytest.mark.parametrize("head", ["step", "window"])
@pytest.mark.parametrize("method", ["hires_cam", "grad_cam"])
def test_drawing_the_weights_anew_layer_by_layer_gives_another_map(
    made_windows: tuple[np.ndarray, list[float], list[np.ndarray]], head: str, method: str
) -> None:
    model, _ = store.load(MODEL)
    x = made_windows[0][:12]
    window = RHYTHM_CLASSES.index("other")
    what = {"step_class": V} if head == "step" else {"window_class": window}
    first = explain(model, x, method=method, **what)  # type: ignore[arg-type]
    # The same step is explained, so that it is not the step's place alone that makes the difference.
    step = first.step if head == "step" else None
    found = []
    for group, made in cascade(model):
        again = explain(made, x, method=method, step=step, **what)  # type: ignore[arg-type]
        pairs = [(a, b) for a, b in zip(first.cam, again.cam, strict=True) if np.ptp(a) and np.ptp(b)]
        alike = float(np.mean([spearmanr(a, b).statistic for a, b in pairs])) if pairs else 0.0
        found.append(alike)
        assert alike < 0.5, group
    assert np.mean(found) < 0.25
    same = explain(deepcopy(model), x, method=method, step=step, **what)  # type: ignore[arg-type]
    np.testing.assert_allclose(same.cam, first.cam, atol=1e-5)


def test_on_made_signals_the_mass_lies_on_the_pvc(
    made_windows: tuple[np.ndarray, list[float], list[np.ndarray]],
) -> None:
    model, spec = store.load(MODEL)
    x, at, others = made_windows
    assert len(x) >= 15
    found = explain(model, x, step_class=V)
    on, time_on, beside, time_beside = mass(found.cam, spec.step_s, at, others)
    assert on > 0.5
    assert on / time_on > 10 * beside / time_beside


@pytest.mark.data
def test_on_patients_never_seen_the_mass_lies_on_the_pvc(data_dir: Path) -> None:
    from training.corpus import load_names
    from training.splits import DS2

    model, spec = store.load(MODEL)
    rng = np.random.default_rng(0)
    names = tuple(f"mitdb/{record}" for record in DS2 if (data_dir / "mitdb" / f"{record}.hea").is_file())
    windows, at, others = [], [], []
    for recording in load_names(data_dir, names, ECG, Path(".cache/training")):
        beats, classes = recording.beats, recording.beat_classes
        kept = 0
        for i in rng.permutation(np.flatnonzero(classes == V)).tolist():
            begin = int(beats[i] - 625)
            inside = (beats > begin) & (beats < begin + 1000)
            if 0 <= begin <= recording.signal.shape[1] - 1000 and (classes[inside] == V).sum() == 1:
                windows.append(recording.signal[0, begin : begin + 1000])
                at.append((beats[i] - begin) / 125)
                others.append((np.delete(beats, i)[np.delete(inside, i)] - begin) / 125)
                kept += 1
            if kept == 60:
                break
    x = np.stack(windows)[:, None].astype(np.float32)
    assert len(x) >= 100
    found = explain(model, x, step_class=V)
    on, time_on, beside, time_beside = mass(found.cam, spec.step_s, at, others)
    assert on > 0.5
    assert on / time_on > 10 * beside / time_beside


def write_record(folder: Path, seconds: float = 30.0) -> Path:
    script = [parse_event("bed-01:pvc@0s:30s")]
    samples = EcgStream(1, "bed-01", script, 360.0).next_samples(round(seconds * 360)).astype(np.float64)
    wfdb.wrsamp(
        "made", fs=360, units=["mV"] * 2, sig_name=["II", "V1"], p_signal=samples, fmt=["16"] * 2,
        write_dir=str(folder),
    )  # fmt: skip
    return folder / "made"


@pytest.fixture
def pvc(tmp_path: Path) -> tuple[Path, float]:
    beats = Ward(1, 1, ("bed-01:pvc@0s:30s",)).truth("bed-01", 25.0).beats
    return write_record(tmp_path), next(
        beat.time_s for beat in beats if beat.label == "V" and beat.time_s > 8
    )


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html", ".npz"])
def test_the_overlay_is_written(
    pvc: tuple[Path, float], suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, at_s = pvc
    out = tmp_path / f"out/overlay{suffix}"
    assert wardwave.main(["explain", MODEL, str(path), "--at", f"{at_s:.2f}", "--out", str(out)]) == 0
    assert "V explained; none" in capsys.readouterr().out
    head = out.read_bytes()[:400]
    if suffix == ".png":
        assert head.startswith(b"\x89PNG")
    elif suffix == ".html":
        text = out.read_text()
        assert "data:image/png;base64," in text
        assert "made, II at" in text
    elif suffix == ".npz":
        held = np.load(out)
        assert len(held["along_signal"]) == len(held["signal"]) == 1000
        time_s = held["start_s"] + np.arange(1000) / held["fs_hz"]
        # The mass lies where the PVC is in the recording: no delay is left.
        assert abs(np.average(time_s, weights=held["along_signal"] ** 2) - at_s) < 0.15


def test_a_class_of_either_head_can_be_asked_for(pvc: tuple[Path, float], tmp_path: Path) -> None:
    from training.explain_run import explain_moment

    path, at_s = pvc
    asked = explain_moment(MODEL, path, at_s, label="vf")
    assert (asked.head, asked.label, asked.explanation.step[0]) == ("window", "vf", -1)
    assert asked.example.step_s[-1] == pytest.approx(at_s, abs=0.2)
    normal = explain_moment(MODEL, path, at_s, label="N")
    assert normal.explanation.step[0] >= 0
    between = explain_moment(MODEL, path, at_s - 0.35)
    assert between.probabilities["none"] < 0.5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--at", "900"], "30.0 s long"),
        (["--at", "10", "--class", "X"], "no such class; there are none, N, S, V, F, vf"),
        (["--at", "10", "--lead", "V6"], "no ECG lead 'V6'"),
        (["--at", "10", "--out", "x.gif"], ".png, .svg, .pdf, .html, .npz can be written"),
    ],
)
def test_what_cannot_be_explained_is_named_in_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert wardwave.main(["explain", MODEL, str(write_record(tmp_path)), *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_model_whose_steps_are_beats_is_explained_beat_by_beat(
    pvc: tuple[Path, float], tmp_path: Path
) -> None:
    from models.beat_rows import BEFORE, CONTEXT, FS_HZ, PIECES, SEGMENT
    from training.explain_figure import along_signal
    from training.explain_run import explain_moment

    front_end = BeatsFrontEnd(
        pieces=PIECES, segment=SEGMENT, context=len(CONTEXT), widths=(4,), kernels=(5,), strides=(2,), width=8
    )
    config = BEATS.model_copy(update={"front_end": front_end, "window_classes": 0})
    spec = store.read_spec(MODEL).model_copy(
        update={"name": "beats", "task": "beats", "architecture": config, "step_s": 0.0, "window_s": 12.0,
                "window_classes": ()}
    )  # fmt: skip
    store.save(network(config), spec, tmp_path / "model")
    path, at_s = pvc
    one = explain_moment(str(tmp_path / "model"), path, at_s, label="V")
    step = int(one.explanation.step[0])
    assert step == 10
    assert one.example.step_s[step] == pytest.approx(at_s, abs=0.05)
    assert one.explanation.within is not None
    along = along_signal(one.example, one.explanation)
    assert len(along) == len(one.example.signal)
    first = np.nanmin(one.example.step_s) - one.example.start_s - BEFORE / FS_HZ
    assert not along[: max(0, int(first * FS_HZ) - 1)].any()


def test_a_model_of_windows_of_beats_is_explained_too(pvc: tuple[Path, float], tmp_path: Path) -> None:
    from training.af_beats import CONTEXT, PIECES, SEGMENT
    from training.explain_figure import along_signal
    from training.explain_run import explain_moment

    front_end = BeatsFrontEnd(
        pieces=PIECES, segment=SEGMENT, context=len(CONTEXT), widths=(4,), kernels=(5,), strides=(2,), width=8
    )
    config = BEATS.model_copy(update={"front_end": front_end, "step_classes": 0, "window_classes": 3})
    spec = store.read_spec(MODEL).model_copy(
        update={"name": "af", "task": "af", "architecture": config, "step_s": 0.0, "window_s": 12.0,
                "window_classes": ("N", "A", "O"), "step_classes": ()}
    )  # fmt: skip
    store.save(network(config), spec, tmp_path / "model")
    path, _ = pvc
    one = explain_moment(str(tmp_path / "model"), path, 20.0, label="A")
    assert one.head == "window"
    assert one.example.x.shape[1] == len(one.example.step_s) == one.explanation.cam.shape[1]
    assert len(one.example.signal) == 1500
    assert one.example.step_s.min() > 7.5
    assert one.example.step_s.max() < 20.1
    assert along_signal(one.example, one.explanation).max() > 0
    other = spec.model_copy(update={"task": "sleep"})
    store.save(network(config), other, tmp_path / "other")
    with pytest.raises(CannotExplain, match="for the task sleep are not made here"):
        explain_moment(str(tmp_path / "other"), path, 20.0)
