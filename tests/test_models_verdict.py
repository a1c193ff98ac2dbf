"""The verdict's numbers and model, on made signals: what a bed shows decides, gains and history do not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.verdict_views import PULSE
from ingest.conditioning import Conditioner
from models.errors import CardMismatch, DamagedWeights, ModelNotFound, UnknownAlarm
from models.verdict import KINDS, KindSpec, KindWeights, Verdict, VerdictSpec, cost_threshold, load, save
from models.verdict_features import verdict_features
from models.verdict_leads import FS_HZ, HISTORY_S, LeadView, lead_features
from models.verdict_pulses import PulseView, pulse_features, upstrokes

N, V = np.eye(4, dtype=np.float32)[[0, 2]]


def lead(times_s: np.ndarray, ventricular: np.ndarray | None = None, gain: float = 1.0) -> LeadView:
    """Narrow beats, wide and inverted ones where ventricular, on a little noise; times before the alarm."""
    ventricular = np.zeros(len(times_s), dtype=np.bool_) if ventricular is None else ventricular
    clock = np.arange(round(HISTORY_S * FS_HZ)) / FS_HZ - HISTORY_S
    signal = np.random.default_rng(1).normal(0, 0.01, len(clock))
    for time_s, wide in zip(times_s.tolist(), ventricular.tolist(), strict=True):
        width, height = (0.06, -1.5) if wide else (0.015, 1.0)
        signal += height * np.exp(-0.5 * ((clock - time_s) / width) ** 2)
    windows = np.tile(np.array([0, 0, 0, 0, 0, 1], dtype=np.float32), (93, 1))
    classes = np.where(ventricular[:, None], V, N).astype(np.float32)
    return LeadView((gain * signal).astype(np.float32), times_s, classes, windows)


def regular(interval_s: float, end_s: float = -0.3) -> np.ndarray:
    return np.arange(end_s, -HISTORY_S + 0.5, -interval_s)[::-1].copy()


def pulse(times_s: np.ndarray, gain: float = 40.0) -> PulseView:
    """A pressure pulse 0.2 s after each time, through the serving conditioner, from 250 Hz."""
    clock = np.arange(round(HISTORY_S * 250)) / 250 - HISTORY_S
    after = np.clip(clock[:, None] - times_s[None] - 0.2, 0.0, None) / 0.12
    shape = (after * np.exp(1 - after)).sum(1)
    samples = (80 + gain * shape)[None, None]
    done = Conditioner(250.0, 1, PULSE).push(np.zeros(1, dtype=np.int64), samples)
    return PulseView(done.samples[0, 0], done.raw[0, 0], done.present[0, 0])


def named(leads: list[LeadView], pulses: list[PulseView]) -> dict[str, float]:
    names, row = verdict_features(leads, pulses)
    return dict(zip(names, row.tolist(), strict=True))


def test_upstrokes_are_found_once_a_beat() -> None:
    times_s = regular(0.8)
    places, rises = upstrokes(pulse(times_s).signal.astype(np.float64))
    found_s = places / PULSE.rate_hz - HISTORY_S
    inner = times_s[(times_s > -HISTORY_S + 5) & (times_s < -1)]
    # The pulse begins 0.2 s after the beat, its summed slope peaks a quarter second later.
    nearest = np.abs(found_s[None] - inner[:, None] - 0.48).min(1)
    assert nearest.max() < 0.05
    assert abs(len(places) - len(times_s)) <= 2
    assert rises.std() < 0.2 * rises.mean()


def test_a_steady_pulse_is_trusted_and_a_dead_or_torn_channel_is_not() -> None:
    steady = pulse(regular(0.8))
    found = pulse_features(steady)
    assert found is not None
    assert found["stray_to_end"] < 0.2
    flat = np.zeros_like(steady.signal)
    assert pulse_features(PulseView(flat, flat, steady.present)) is None
    missing = steady.present.copy()
    missing[-400:] = False
    assert pulse_features(PulseView(steady.signal, steady.raw, missing)) is None


def test_a_pause_shows_as_evidence_of_asystole_and_a_pulse_that_goes_on_speaks_against_it() -> None:
    times_s = regular(0.8)
    stopped = times_s[times_s < -5.5]
    paused = named([lead(stopped)], [pulse(stopped)])
    lead_off = named([lead(stopped)], [pulse(times_s)])
    assert paused["evidence/Asystole"] > 2
    assert paused["pulse_least/gap"] > 4
    assert lead_off["pulse_least/gap"] < 1.5
    assert lead_off["evidence/Asystole"] < paused["evidence/Asystole"]


@pytest.mark.parametrize(
    ("interval_s", "slow", "fast"), [(1.6, True, False), (0.8, False, False), (0.4, False, True)]
)
def test_rates_decide_about_bradycardia_and_tachycardia(interval_s: float, slow: bool, fast: bool) -> None:
    times_s = regular(interval_s)
    found = named([lead(times_s), lead(times_s, gain=0.3)], [pulse(times_s)])
    assert (found["evidence/Bradycardia"] > 0) == slow
    assert (found["evidence/Tachycardia"] > 0) == fast


def test_five_fast_ventricular_beats_are_a_run_and_the_same_beats_slowly_are_not() -> None:
    before = regular(0.8, end_s=-6.0)
    fast = np.concatenate([before, -5.0 + 0.4 * np.arange(6)])
    slow = np.concatenate([before, -5.0 + 0.8 * np.arange(6)])
    wide = np.arange(len(fast)) >= len(before)
    of_fast, of_slow = lead_features(lead(fast, wide)), lead_features(lead(slow, wide))
    assert of_fast["run_v"] > 0.9
    assert of_fast["run_ab"] > 0.5
    assert of_slow["run_v"] < 0.1
    assert lead_features(lead(fast))["run_v"] == 0.0


def test_gain_of_the_device_changes_nothing() -> None:
    times_s = regular(0.7)
    one, ten = (
        named([lead(times_s)], [pulse(times_s)]),
        named([lead(times_s, gain=10)], [pulse(times_s, 400)]),
    )
    assert one == pytest.approx(ten, abs=0.02)


def test_a_lead_off_is_left_out_and_nothing_breaks_without_beats_or_pulses() -> None:
    times_s = regular(0.8)
    off = LeadView(
        np.zeros_like(lead(times_s).signal), np.zeros(0), np.zeros((0, 4), np.float32), lead(times_s).windows
    )
    assert named([lead(times_s), off], []) == named([lead(times_s)], [])
    assert all(np.isfinite(value) for value in named([off], []).values())


def made(tmp_path: Path) -> Verdict:
    weights = {
        kind: KindWeights(np.zeros(2), np.ones(2), np.array([1.0, -1.0]), np.array([0.5])) for kind in KINDS
    }
    kinds = {kind: KindSpec(features=("evidence/Asystole", "pulses"), threshold=0.2) for kind in KINDS}
    spec = VerdictSpec(
        name="made", description="made", beats_model="none", beats_sha256="", kinds=kinds, data="none",
        split={}, code_commit="none",
    )  # fmt: skip
    return save(Verdict(spec, weights), tmp_path)


def test_a_saved_model_answers_as_before(tmp_path: Path) -> None:
    model = made(tmp_path)
    again = load(tmp_path / "made.json")
    times_s = regular(0.8)
    answer = model.judge("Asystole", [lead(times_s)], [pulse(times_s)])
    assert again.judge("Asystole", [lead(times_s)], [pulse(times_s)]) == answer
    assert not answer.true
    stopped = times_s[times_s < -6]
    assert again.judge("Asystole", [lead(stopped)], [pulse(stopped)]).true
    assert again.spec == model.spec


def test_what_it_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    model = made(tmp_path)
    with pytest.raises(UnknownAlarm, match="Apnoea"):
        model.probability("Apnoea", ("pulses",), np.zeros((1, 1)))
    with pytest.raises(UnknownAlarm, match="evidence/Asystole"):
        model.probability("Asystole", ("pulses",), np.zeros((1, 1)))


def test_damaged_missing_and_unfit_files_are_refused(tmp_path: Path) -> None:
    made(tmp_path)
    card, weights = tmp_path / "made.json", tmp_path / "made.safetensors"
    content, text = weights.read_bytes(), card.read_text()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(DamagedWeights, match="SHA-256"):
        load(card)
    weights.write_bytes(content)
    card.write_text(text.replace('"pulses"', '"pulses", "most/gap"', 1))
    with pytest.raises(CardMismatch, match="does not fit"):
        load(card)
    card.write_text(text.replace('"threshold": 0.2', '"threshold": 2.0', 1))
    with pytest.raises(CardMismatch, match="threshold"):
        load(card)
    card.write_text(text)
    weights.unlink()
    with pytest.raises(ModelNotFound, match="made.safetensors"):
        load(card)
    with pytest.raises(ModelNotFound, match="nothing"):
        load(tmp_path / "nothing.json")


def test_the_threshold_follows_from_the_costs_of_the_score() -> None:
    def score(tp: float, fp: float, tn: float, fn: float) -> float:
        return (tp + tn) / (tp + tn + fp + 5 * fn)

    base = (40.0, 30.0, 200.0, 4.0)
    p = cost_threshold(score(*base))
    tp, fp, tn, fn = base
    for shift, better in ((0.02, True), (-0.02, False)):
        q = p + shift
        called_true = score(tp + 0.01 * q, fp + 0.01 * (1 - q), tn, fn)
        called_false = score(tp, fp, tn + 0.01 * (1 - q), fn + 0.01 * q)
        assert (called_true > called_false) == better
