"""Features kept from window to window: the same is said as of whole windows, whatever happens to a bed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.ecg_state import put_ecg, take_ecg
from inference.feature_reader import FeatureReader, Read, WindowReader, reader_of
from inference.gpu import BatchRunner
from inference.monitor import EcgMonitor, Outcome
from inference.predictor import Predictor
from ingest.bank import Bank, Due, layers
from ingest.conditioning import ECG
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, SignalKind
from models.cnn_lstm import CnnLstm
from models.incremental import Incremental
from models.spec import Architecture, Conv1dFrontEnd

T0 = 1_700_000_000 * NS_PER_S
WINDOW = 256
SAID_S = 0.8


def lively(network: CnnLstm) -> CnnLstm:
    """Features and outputs as large as after training: a fault in any of them must show."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 1.0
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=module.in_features**-0.5)
    for _ in range(4):
        network.front_end(0.3 * torch.randn(8, 1, 8 * WINDOW))
    return network.eval()


class SmallPredictor(Predictor):
    """A network of a two-second window with weights of chance: small, so that many examples fit a test."""

    def __init__(self, squeeze: int) -> None:
        torch.manual_seed(0)
        small = Conv1dFrontEnd(stem_width=4, widths=(4, 8), kernels=(3, 5), strides=(2, 2), dilations=(1, 2))
        config = Architecture(
            front_end=small,
            recurrent_stride=4 if squeeze else 2,
            recurrent_squeeze=squeeze,
            hidden=8,
            attention_width=8,
            heads=2,
            window_steps=13,
            input_gain=2.0,
        )
        self.halves = Incremental(lively(CnnLstm(config)), WINDOW)
        self.context, self.grid = self.halves.reach.context, self.halves.reach.stride
        self.sizes = (1, 4)
        self._runner = BatchRunner(
            self._whole_on, [(self.context + WINDOW,)], torch.device("cpu"), self.sizes, self.sizes
        )
        self.spec = dataclasses.make_dataclass("Card", ["step_s"])(0.064)


@pytest.fixture(scope="module", params=[0, 3], ids=["strided", "squeezed"])
def small(request: pytest.FixtureRequest) -> SmallPredictor:
    return SmallPredictor(request.param)


class Ward:
    """A bank of beds with two leads, read by both readers."""

    def __init__(self, predictor: Predictor) -> None:
        self.bank = Bank(SignalKind.ECG, ECG, WINDOW / 125, 1.0, early=predictor.context)
        self.kept = FeatureReader(self.bank, predictor, SAID_S)
        self.whole = WindowReader(self.bank, predictor)
        self.random = np.random.default_rng(3)
        self.sent: dict[str, int] = {}

    def push(
        self, parts: dict[str, tuple[int, int, bool]], choose: Callable[[int], int]
    ) -> list[tuple[Read, Read]]:
        """Samples, missing samples before them and whether to begin anew, by bed; what both readers say."""
        pieces = []
        for bed, (n_samples, missing, restart) in parts.items():
            at = self.sent.get(bed, 0) + missing
            restart = restart or bed not in self.sent
            samples = self.random.normal(0, 0.3, (n_samples, 2)).astype(np.float32)
            start_ns = T0 + at * NS_PER_S // 250
            chunk = Chunk(bed, "m", SignalKind.ECG, ("II", "V1"), 250.0, start_ns, at, samples)
            pieces.append(
                (self.bank.slot(bed), Piece(chunk, at, samples, start_ns, 0 if restart else missing, restart))
            )
            self.sent[bed] = at + n_samples
        both = []
        for step in self.bank.push(pieces):
            for due in layers(step.due):
                due = Due(due.slots, due.ends // self.kept.grid * self.kept.grid, due.offsets)
                leads = np.array([choose(slot) for slot in due.slots])
                looked = np.flatnonzero(leads >= 0)
                if len(looked):
                    due = Due(due.slots[looked], due.ends[looked], due.offsets[looked])
                    both.append((self.kept(due, leads[looked]), self.whole(due, leads[looked])))
        return both


def assert_the_same(both: list[tuple[Read, Read]]) -> None:
    said = round(np.ceil(SAID_S / 0.064))
    for kept, whole in both:
        np.testing.assert_array_equal(kept.windows, whole.windows)
        np.testing.assert_array_equal(kept.present, whole.present)
        np.testing.assert_allclose(kept.said.rhythms, whole.said.rhythms, atol=1e-5)
        np.testing.assert_allclose(kept.said.steps[:, -said:], whole.said.steps[:, -said:], atol=1e-5)
        assert (kept.said.steps[:, :-said, 0] == 1.0).all()
        assert kept.said.steps.shape == whole.said.steps.shape


beds = st.sampled_from(["a", "b", "c"])
arrivals = st.lists(
    st.dictionaries(
        beds,
        st.tuples(
            st.integers(1, 700),
            st.sampled_from([0, 0, 0, 1, 60, 400]),
            st.sampled_from([False, False, False, False, True]),
        ),
        min_size=1,
    ),
    min_size=3,
    max_size=14,
)


@settings(max_examples=15, deadline=None)
@given(arrivals, st.lists(st.sampled_from([0, 0, 0, 0, 1, -1]), min_size=1, max_size=9))
def test_kept_features_say_what_whole_windows_say(
    small: SmallPredictor, sent: list[dict[str, tuple[int, int, bool]]], leads: list[int]
) -> None:
    """Chunks of any length, gaps, restarts, changes of lead, windows that are left out (-1)."""
    ward, turn = Ward(small), 0

    def choose(_: int) -> int:
        nonlocal turn
        turn += 1
        return leads[turn % len(leads)]

    for parts in sent:
        assert_the_same(ward.push(parts, choose))


def test_of_a_steady_stream_only_what_is_new_is_computed(
    small: SmallPredictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ward = Ward(small)
    for _ in range(5):
        ward.push({"a": (250, 0, False)}, lambda _: 0)
    lengths = []
    front = small.halves.front
    monkeypatch.setattr(small.halves, "front", lambda x: (lengths.append(x.shape[1]), front(x))[1])
    due = Due(np.array([0]), np.array([624 + 120]), np.array([0]))
    ward.push({"a": (250, 0, False)}, lambda _: -1)
    ward.kept(due, np.array([0]))
    reach = small.halves.reach
    assert lengths == [(reach.before + 16 + reach.after) * reach.stride]


def test_a_slot_given_to_another_bed_keeps_nothing_of_the_first(small: SmallPredictor) -> None:
    ward = Ward(small)
    for _ in range(2):
        ward.push({"a": (250, 0, False)}, lambda _: 0)
    ward.bank.remove("a")
    for _ in range(3):
        # The first windows are left out: what was kept of the other bed would fit by its place in time.
        both = ward.push({"b": (250, 0, False)}, lambda _: -1 if ward.sent["b"] < 750 else 0)
    assert len(both) == 1
    assert_the_same(both)


def test_more_beds_than_there_was_room_for(small: SmallPredictor) -> None:
    ward = Ward(small)
    for n_beds in (3, 3, 70, 70):
        assert_the_same(ward.push({f"bed-{n}": (250, 0, False) for n in range(n_beds)}, lambda _: 0))
    assert len(ward.bank.count) > 64


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return Predictor("ecg-cnn-lstm-2", "cpu", sizes=(1, 2))


def chunks(length_s: int) -> list[Piece]:
    """Beats, then from 14 s on the waves of a fibrillation on one lead, in pieces of 0.7 s."""
    seconds = np.arange(length_s * 250) / 250
    line = np.random.default_rng(5).normal(0, 0.02, len(seconds))
    for beat_s in np.arange(0.4, 14.0, 0.8):
        line += 1.2 * np.exp(-(((seconds - beat_s) / 0.018) ** 2))
    waves = np.where(seconds > 14, 0.4 * np.sin(2 * np.pi * 5 * seconds), 0.0)
    leads = np.stack([line + waves, 0.5 * line], axis=1).astype(np.float32)
    made = []
    for seq, begin in enumerate(range(0, len(leads), 175)):
        samples, start_ns = leads[begin : begin + 175], T0 + begin * NS_PER_S // 250
        part = Chunk("bed", "m", SignalKind.ECG, ("II", "V1"), 250.0, start_ns, seq, samples)
        made.append(Piece(part, seq, samples, start_ns, 0, seq == 0))
    return made


def run(monitor: EcgMonitor, line: list[Piece]) -> Outcome:
    total = Outcome()
    for piece in line:
        total.extend(monitor.push([("bed", piece)]))
    return total


def test_a_successor_says_what_the_killed_worker_would_have_said(shipped: Predictor) -> None:
    made, at = chunks(20), 23
    unbroken = run(EcgMonitor(shipped, lambda: T0), made)
    first, successor = (EcgMonitor(shipped, lambda: T0) for _ in range(2))
    before = run(first, made[:at])
    state = take_ecg(first, "bed")
    assert state is not None
    put_ecg(successor, "bed", state)
    after = run(successor, made[at:])
    both = [*before.predictions, *after.predictions]
    assert len(both) == len(unbroken.predictions) == 20
    for one, other in zip(both, unbroken.predictions, strict=True):
        assert (one.id, one.beats, one.channel) == (other.id, other.beats, other.channel)
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert [*before.alarms, *after.alarms] == unbroken.alarms
    assert {alarm.kind for alarm in unbroken.alarms}


def test_the_monitor_says_the_same_of_kept_features_and_of_whole_windows(
    shipped: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = chunks(20)
    kept = run(EcgMonitor(shipped, lambda: T0), made)
    for module in ("inference.monitor", "inference.second_lead"):
        monkeypatch.setattr(f"{module}.reader_of", lambda bank, predictor, _: WindowReader(bank, predictor))
    whole = run(EcgMonitor(shipped, lambda: T0), made)
    for one, other in zip(kept.predictions, whole.predictions, strict=True):
        assert one.beats == other.beats
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert sum(len(one.beats) for one in whole.predictions) >= 16
    assert kept.alarms == whole.alarms


def test_windows_end_each_second_at_the_last_whole_step(shipped: Predictor) -> None:
    predictions = run(EcgMonitor(shipped, lambda: T0), chunks(12)).predictions
    first_ns = predictions[0].end_ns
    steps = [(item.end_ns - first_ns) / (0.064 * NS_PER_S) for item in predictions]
    assert steps == pytest.approx([(125 * n // 8) - 15 for n in range(1, 13)])
    assert {round((item.end_ns - item.start_ns) / NS_PER_S, 6) for item in predictions} == {8.0}


def test_features_are_kept_where_the_network_was_made_or_loaded_for_a_running_signal(
    shipped: Predictor, small: SmallPredictor
) -> None:
    bank = Bank(SignalKind.ECG, ECG, 8.0, 1.0, early=shipped.context)
    assert isinstance(reader_of(bank, shipped, 2.0), FeatureReader)
    bare = Predictor("ecg-cnn-lstm-1", "cpu", sizes=(1,))
    assert isinstance(reader_of(bank, bare, 2.0), WindowReader)
    running = Predictor("ecg-cnn-lstm-1", "cpu", sizes=(1,), running=True)
    assert isinstance(reader_of(bank, running, 2.0), FeatureReader)
    # A network that remembers its answers by their windows wants the windows.
    assert isinstance(reader_of(bank, small, 2.0), WindowReader)
