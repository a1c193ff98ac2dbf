"""Rails, noise, gaps and the choice of leads, as a ward would see them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference import ecg_state, quality
from inference.doubt import believed
from inference.monitor import EcgMonitor, Outcome
from inference.predictor import Probabilities
from inference.quality import LeadStatus, choose_leads, lead_worth
from ingest.continuity import Piece
from ingest.types import NS_PER_S, Chunk, SignalKind

FS = 250.0
T0 = 1_700_000_000 * NS_PER_S
SECONDS = 45


class NoisePredictor:
    """The plain stand-in, which also calls a line that trembles noise."""

    def __init__(self, plain: Callable[[np.ndarray], Probabilities]) -> None:
        self.spec = plain.spec
        self._plain = plain

    def __call__(self, windows: np.ndarray) -> Probabilities:
        said = self._plain(windows)
        trembles = np.median(np.abs(np.diff(windows[:, -500:], 3, axis=1)), axis=1) > 0.1
        rhythms = said.rhythms.copy()
        rhythms[:, 4] = np.where(trembles, 0.9, 0.02)
        rhythms[:, 5] *= 0.5
        return Probabilities(said.steps, rhythms)


@pytest.fixture
def monitor(plain_predictor: Callable[[np.ndarray], Probabilities]) -> EcgMonitor:
    return EcgMonitor(NoisePredictor(plain_predictor), lambda: T0)


def line(beats_s: Sequence[float], seed: int = 0, height_mv: float = 1.2) -> np.ndarray:
    seconds = np.arange(round(SECONDS * FS)) / FS
    made = np.random.default_rng(seed).normal(0, 0.01, len(seconds))
    made += 0.05 * np.sin(2 * np.pi * 0.3 * seconds)
    for beat_s in beats_s:
        made += height_mv * np.exp(-(((seconds - beat_s) / 0.018) ** 2))
    return made


def pieces(*leads: np.ndarray) -> list[Piece]:
    samples = np.stack(leads, axis=1).astype(np.float32)
    names = ("II", "V1", "V5")[: len(leads)]
    made = []
    for second in range(SECONDS):
        part = samples[round(second * FS) : round((second + 1) * FS)]
        start_ns = T0 + second * NS_PER_S
        chunk = Chunk("bed", "m", SignalKind.ECG, names, FS, start_ns, second, part, (False,) * len(leads))
        made.append(Piece(chunk, second, part, start_ns, 0, restart=second == 0))
    return made


def run(monitor: EcgMonitor, line: list[Piece], bed: str = "bed") -> Outcome:
    total = Outcome()
    for piece in line:
        total.extend(monitor.push([(bed, piece)]))
    return total


def play(monitor: EcgMonitor, *leads: np.ndarray) -> Outcome:
    return run(monitor, pieces(*leads))


def begun(outcome: Outcome) -> dict[str, float]:
    """When each kind of alarm began, seconds from the start."""
    found: dict[str, float] = {}
    for alarm in outcome.alarms:
        found.setdefault(alarm.kind, (alarm.raised_ns - T0) / NS_PER_S)
    return found


SECOND = np.arange(round(SECONDS * FS)) / FS
BEATING = np.arange(0.5, SECONDS, 0.8)
RNG = np.random.default_rng(11)
RAILS = {
    "constant": np.full(len(SECOND), 5.0),
    "noise clipped at the rail": np.minimum(5.0, 5.0 + RNG.normal(0.0, 0.2, len(SECOND))),
    "a little noise clipped at the rail": np.minimum(5.0, 5.0 + RNG.normal(0.0, 0.0035, len(SECOND))),
    "hum clipped at both rails": np.clip(12 * np.sin(2 * np.pi * 50 * SECOND + 0.3), -5, 5),
    "slow flips between rails": np.where((SECOND // 3) % 2 == 0, 5.0, -5.0),
    "the far rail": np.full(len(SECOND), -10.0),
}


@pytest.mark.parametrize("rail", list(RAILS))
def test_a_rail_on_every_lead_is_technical_and_no_asystole(monitor: EcgMonitor, rail: str) -> None:
    railed = np.where(SECOND >= 20, RAILS[rail], line(BEATING))
    got = begun(play(monitor, railed, railed))
    assert set(got) <= {"saturated", "lead_off", "unusable"}
    assert min(got.values()) <= 25


def test_one_lead_at_its_rail_does_not_blind_the_bed(monitor: EcgMonitor) -> None:
    railed = np.where(SECOND >= 20, 5.0, line(BEATING))
    got = play(monitor, railed, line(BEATING, 1, 0.9))
    assert got.alarms == []
    assert got.predictions[-1].channel == "V1"
    assert got.vitals[-1].heart_rate_bpm == pytest.approx(75, abs=2)


def test_an_offset_of_the_electrodes_is_no_rail(monitor: EcgMonitor) -> None:
    got = play(monitor, line(BEATING) + 60.0)
    assert got.alarms == []
    assert got.vitals[-1].heart_rate_bpm == pytest.approx(75, abs=2)


def test_a_lead_that_goes_blind_is_left_for_one_that_shows_beats(monitor: EcgMonitor) -> None:
    loose = line([at for at in BEATING if at < 20])
    loose += np.where(SECOND >= 20, 3.0 * np.exp(-np.maximum(SECOND - 20, 0) / 2), 0)
    got = play(monitor, loose, line(BEATING, 1, 0.9))
    assert got.alarms == []
    assert got.predictions[-1].channel == "V1"
    rates = [vital.heart_rate_bpm for vital in got.vitals[15:]]
    assert all(67 < rate < 83 for rate in rates if rate is not None)
    assert sum(rate is None for rate in rates) <= 4
    assert rates[-1] == pytest.approx(75, abs=2)


def troubled() -> dict[str, list[Piece]]:
    """Beds with a blind lead, noise, a rail and nothing, each with another number of leads or rate."""
    stops = [at for at in BEATING if at < 20]
    noise = np.where(SECOND >= 20, np.random.default_rng(5).normal(0, 0.5, len(SECOND)), 0)
    return {
        "blind": pieces(line(stops), line(BEATING, 1, 0.9), line(BEATING, 2, 0.7)),
        "noisy": pieces(line(BEATING, 3) + noise, line(BEATING, 4, 0.8)),
        "railed": pieces(np.where(SECOND >= 20, 5.0, line(BEATING, 5)), line(stops, 6)),
        "well": pieces(line(np.arange(0.5, SECONDS, 0.6), 7)),
    }


def test_troubled_beds_together_equal_troubled_beds_alone(
    plain_predictor: Callable[[np.ndarray], Probabilities],
) -> None:
    beds = troubled()
    together, ward = EcgMonitor(NoisePredictor(plain_predictor), lambda: T0), Outcome()
    for second in range(SECONDS):
        ward.extend(together.push([(bed, made[second]) for bed, made in beds.items()]))
    for bed, made in beds.items():
        alone = run(EcgMonitor(NoisePredictor(plain_predictor), lambda: T0), made, bed)
        assert [item for item in ward.predictions if item.bed == bed] == alone.predictions
        assert [item for item in ward.vitals if item.bed == bed] == alone.vitals
        assert [item for item in ward.alarms if item.bed == bed] == alone.alarms


@pytest.mark.parametrize("bed", ["blind", "noisy", "railed"])
@pytest.mark.parametrize("killed_after", [21, 22, 24])
def test_a_successor_takes_over_in_the_middle_of_trouble(
    plain_predictor: Callable[[np.ndarray], Probabilities], bed: str, killed_after: int
) -> None:
    made = troubled()[bed]
    unbroken = run(EcgMonitor(NoisePredictor(plain_predictor), lambda: T0), made)
    first = EcgMonitor(NoisePredictor(plain_predictor), lambda: T0)
    before = run(first, made[:killed_after])
    state = ecg_state.take_ecg(first, "bed")
    assert state is not None
    successor = EcgMonitor(NoisePredictor(plain_predictor), lambda: T0)
    ecg_state.put_ecg(successor, "bed", state)
    successor.book.restore("bed", first.book.state("bed", "ecg"))
    after = run(successor, made[killed_after:])
    assert before.predictions + after.predictions == unbroken.predictions
    assert before.vitals + after.vitals == unbroken.vitals
    assert before.alarms + after.alarms == unbroken.alarms


def test_a_standstill_on_every_lead_is_asystole(monitor: EcgMonitor) -> None:
    stops = [at for at in BEATING if at < 20]
    got = begun(play(monitor, line(stops), line(stops, 1, 0.9)))
    assert 24 <= got.pop("asystole") <= 30
    assert got == {}


def test_noise_on_one_lead_changes_the_lead_and_alarms_nobody(monitor: EcgMonitor) -> None:
    shaken = line(BEATING) + np.where(SECOND >= 20, np.random.default_rng(2).normal(0, 0.5, len(SECOND)), 0)
    got = play(monitor, shaken, line(BEATING, 1, 0.9))
    assert got.alarms == []
    assert got.predictions[-1].channel == "V1"


def test_noise_on_all_leads_is_told_and_suspends_rate_alarms(monitor: EcgMonitor) -> None:
    rng = np.random.default_rng(3)
    fast = line(np.arange(0.5, SECONDS, 60 / 100))
    shaken = [fast + np.where(SECOND >= 15, rng.normal(0, 0.5, len(SECOND)), 0) for _ in range(2)]
    got = begun(play(monitor, *shaken))
    assert 15 < got["noise"] <= 30
    assert set(got) <= {"noise", "vf", "asystole"}


@pytest.mark.parametrize("hum_mv", [0.05, 2.0])
def test_hum_of_a_size_that_drowns_the_line_is_noise(monitor: EcgMonitor, hum_mv: float) -> None:
    hum = np.where(SECOND >= 20, hum_mv * np.sin(2 * np.pi * 50 * SECOND), 0)
    got = begun(play(monitor, line(BEATING) + hum, line(BEATING, 1) + hum))
    assert ("noise" in got) is (hum_mv > 1)


def status(usable: list[bool], present: list[float], dirty: list[bool]) -> LeadStatus:
    no = np.array([False])
    return LeadStatus(
        no, no, no, np.array([present], dtype=np.float32), np.array([usable]), np.array([dirty])
    )


@pytest.mark.parametrize(
    ("current", "leads", "chosen"),
    [
        (0, status([True, True], [1.0, 1.0], [False, False]), 0),
        (1, status([True, True], [1.0, 1.0], [False, False]), 1),
        (0, status([True, True], [1.0, 1.0], [True, False]), 1),
        (0, status([True, True], [1.0, 0.6], [True, True]), 0),
        (0, status([False, True], [1.0, 0.6], [False, True]), 1),
        (0, status([False, False], [1.0, 1.0], [False, False]), 0),
    ],
)
def test_the_cleaner_and_fuller_lead_is_looked_at(current: int, leads: LeadStatus, chosen: int) -> None:
    assert choose_leads(np.array([current]), leads).tolist() == [chosen]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_chosen_lead_can_be_used_where_any_can(data: st.DataObject) -> None:
    n_leads = data.draw(st.integers(1, 5))
    flags = st.lists(st.booleans(), min_size=n_leads, max_size=n_leads)
    shares = st.lists(st.floats(0, 1), min_size=n_leads, max_size=n_leads)
    leads = status(data.draw(flags), data.draw(shares), data.draw(flags))
    current = data.draw(st.integers(0, n_leads - 1))
    chosen = int(choose_leads(np.array([current]), leads)[0])
    if leads.usable.any():
        assert leads.usable[0, chosen]
        assert lead_worth(leads)[0, chosen] >= lead_worth(leads)[0].max() - 0.05 - 1e-6
    else:
        assert chosen == current


def test_small_unsure_beats_of_noise_are_not_believed() -> None:
    probability = np.array([0.95, 0.5, 0.5, 0.5, 0.5])
    heights = np.array([0.1, 0.1, 0.9, 0.1, 0.9])
    typical = np.array([1.0, 1.0, 1.0, np.nan, 1.0])
    still = np.array([0.0, 0.0, 0.0, 0.0, 0.9])
    assert believed(probability, heights, typical, still).tolist() == [True, False, True, True, False]


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    noise_mv=st.sampled_from([0.0, 0.002, 0.05, 0.22, 0.3, 2.0]),
    hum_mv=st.sampled_from([0.0, 0.3, 0.99, 1.01]),
    clip_mv=st.sampled_from([0.005, 0.6, 5.0]),
)
def test_leads_are_judged_at_once_as_they_are_one_by_one(
    seed: int, noise_mv: float, hum_mv: float, clip_mv: float
) -> None:
    rng, seconds = np.random.default_rng(seed), np.arange(625) / 125.0
    raw = rng.normal(0, noise_mv, (7, 625)) + rng.uniform(-5, 5, (7, 1))
    raw += hum_mv * np.sin(2 * np.pi * 50 * seconds) + np.exp(-(((seconds % 1 - 0.5) / 0.02) ** 2))
    raw = np.clip(raw, -clip_mv, clip_mv).astype(np.float32)
    at_once = quality._look(raw, 500)
    one_by_one = quality._look_between_gaps(raw, np.ones(raw.shape, dtype=np.bool_), 500)
    for name in ("flat_long", "flat", "railed", "share"):
        np.testing.assert_array_equal(getattr(at_once, name), getattr(one_by_one, name), name)
    # The plain way: all differences without hum, and their medians.
    last, waves = raw[:, -500:].astype(np.float64), quality._mains(500, 125.0).astype(np.float64)
    parts = last @ waves * 2 / 500
    hum = np.hypot(parts[:, :2], parts[:, 2:]).max(axis=1)
    fine_mv = np.median(np.abs(np.diff(last - parts @ waves.T, 4, axis=1)), axis=1) / (0.6745 * np.sqrt(70))
    clear = (np.abs(hum - quality.MAINS_MV) > 1e-4) & (np.abs(fine_mv - quality.FINE_MV) > 1e-4)
    expected = (hum >= quality.MAINS_MV) | (fine_mv >= quality.FINE_MV)
    found = quality._dirty(np.ascontiguousarray(raw[:, -500:]), 125.0)
    np.testing.assert_array_equal(found[clear], expected[clear])
