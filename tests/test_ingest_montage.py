"""Montages: derivations as a reader expects them, whatever way the channels were recorded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.electrodes import SITES_10_20, Side
from ingest.montage import CHAINS, LONGITUDINAL, REGIONS, SIDES, Montage, Plan, plan_of

CHB_MIT = (
    "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4",
    "P4-O2", "FP2-F8", "F8-T8", "T8-P8-0", "P8-O2", "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10",
    "FT10-T8", "T8-P8-1",
)  # fmt: skip
EMOTIV = ("AF3", "AF4", "F3", "F4", "F7", "F8", "FC5", "FC6", "O1", "O2", "P7", "P8", "T7", "T8")
POTENTIALS = dict(
    zip((*SITES_10_20, "A1", "A2", "REF"), np.random.default_rng(3).standard_normal((22, 50)), strict=True)
)


def referential(sites: tuple[str, ...] = SITES_10_20, against: str = "REF") -> np.ndarray:
    return np.stack([POTENTIALS[site] - POTENTIALS[against] for site in sites], axis=1)


def bipolar(pairs: tuple[str, ...]) -> np.ndarray:
    split = [pair.split("-")[:2] for pair in pairs]
    return np.stack([POTENTIALS[first] - POTENTIALS[second] for first, second in split], axis=1)


def truth(name: str) -> np.ndarray:
    first, second = name.split("-")
    return POTENTIALS[first] - POTENTIALS[second]


def assert_true(plan: Plan, samples: np.ndarray) -> None:
    derived = plan(samples)
    assert derived.dtype == np.float32
    for column, name in enumerate(plan.names):
        np.testing.assert_allclose(derived[:, column], truth(name), atol=1e-5)


def test_the_double_banana_has_eighteen_pairs_with_their_sides() -> None:
    assert len(LONGITUDINAL) == len(set(LONGITUDINAL)) == 18
    assert LONGITUDINAL[:4] == ("Fp1-F7", "F7-T7", "T7-P7", "P7-O1")
    assert [SIDES.count(side) for side in (Side.LEFT, Side.MIDLINE, Side.RIGHT)] == [8, 2, 8]
    assert set(REGIONS) == set(CHAINS)


@pytest.mark.parametrize(
    "labels",
    [
        SITES_10_20,
        tuple(f"EEG {site.upper()}-REF" for site in SITES_10_20),
        tuple(f"{site}-A2" for site in SITES_10_20),
        tuple({"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6"}.get(site, site) for site in SITES_10_20),
    ],
)
def test_referential_channels_give_every_pair_exactly(labels: tuple[str, ...]) -> None:
    plan = plan_of(labels)
    assert plan.names == LONGITUDINAL
    assert list(plan.places) == list(range(18))
    assert not plan.bridged.any()
    assert plan.left_out == ()
    assert_true(plan, referential(against="A2" if "-A2" in labels[0] else "REF"))


def test_pairs_that_were_recorded_pass_through() -> None:
    plan = plan_of(CHB_MIT)
    assert plan.names == LONGITUDINAL
    assert plan.electrodes.repeated == ("T8-P8-1",)
    np.testing.assert_array_equal(np.abs(plan.matrix).sum(axis=1), np.ones(18))
    # P7-T7 is there as T7-P7, too: the pair that stands as it is asked for comes first.
    assert plan.matrix[list(plan.names).index("T7-P7"), CHB_MIT.index("T7-P7")] == 1.0
    assert list(plan.inputs) == [
        column for column, label in enumerate(CHB_MIT) if column not in (18, 19, 20, 21, 22)
    ]


def test_a_pair_is_rebuilt_by_adding_up_a_chain() -> None:
    pairs = tuple(pair for pair in LONGITUDINAL if pair != "C3-P3")
    plan = plan_of(pairs)
    assert plan.names == LONGITUDINAL
    row = plan.matrix[LONGITUDINAL.index("C3-P3")]
    assert np.abs(row).sum() == 7  # the ring of both left chains, the other way round
    assert_true(plan, bipolar(pairs))


def test_a_pair_that_was_recorded_the_other_way_round_is_turned() -> None:
    plan = plan_of(("F7-Fp1", "F7-T7"))
    assert plan.names == ("Fp1-F7", "F7-T7")
    assert_true(plan, bipolar(("F7-Fp1", "F7-T7")))


def test_channels_against_each_sides_ear_give_pairs_within_a_side_and_no_more() -> None:
    labels = tuple(f"{site}-{'A1' if site[-1] in '13579' else 'A2'}" for site in SITES_10_20 if site != "Cz")
    plan = plan_of((*labels, "Cz-A1"))
    assert plan.left_out == ("Fz-Cz", "Cz-Pz")
    assert_true(plan, np.concatenate([bipolar(labels), bipolar(("Cz-A1",))], axis=1))


def test_a_missing_electrode_is_bridged_to_the_next_of_its_chain() -> None:
    sites = tuple(site for site in SITES_10_20 if site != "C3")
    plan = plan_of(sites)
    assert plan.left_out == ("C3-P3",)
    at = plan.names.index("F3-P3")
    assert (plan.places[at], plan.bridged[at]) == (LONGITUDINAL.index("F3-C3"), True)
    assert plan.bridged.sum() == 1
    assert_true(plan, referential(sites))


def test_three_missing_electrodes_in_a_row_are_not_bridged() -> None:
    plan = plan_of(tuple(site for site in SITES_10_20 if site not in ("F3", "C3", "P3")))
    assert set(plan.left_out) == {"Fp1-F3", "F3-C3", "C3-P3", "P3-O1"}


def test_the_fourteen_electrodes_of_a_headset_give_fourteen_pairs() -> None:
    plan = plan_of(EMOTIV)
    assert plan.names == (
        "AF3-F7", "F7-T7", "T7-P7", "P7-O1", "AF3-F3", "F3-FC5", "FC5-O1",
        "AF4-F4", "F4-FC6", "FC6-O2", "AF4-F8", "F8-T8", "T8-P8", "P8-O2",
    )  # fmt: skip
    assert plan.left_out == ("P3-O1", "Fz-Cz", "Cz-Pz", "P4-O2")
    assert [name for name, bridged in zip(plan.names, plan.bridged, strict=True) if not bridged] == [
        "F7-T7", "T7-P7", "P7-O1", "F8-T8", "T8-P8", "P8-O2",
    ]  # fmt: skip


def test_a_channel_that_is_off_is_planned_around() -> None:
    plan = plan_of(SITES_10_20, without=frozenset({"T7"}))
    assert "F7-P7" in plan.names
    assert SITES_10_20.index("T7") not in plan.inputs


@pytest.mark.parametrize("recorded", ["common reference", "Cz", "pairs"])
def test_the_average_reference_is_the_same_however_it_was_recorded(recorded: str) -> None:
    labels, samples = SITES_10_20, referential()
    if recorded == "Cz":
        labels = tuple(f"{site}-Cz" for site in SITES_10_20 if site != "Cz")
        samples = bipolar(labels)
    elif recorded == "pairs":
        labels = (*LONGITUDINAL, "P3-Pz", "P4-Pz")
        samples = bipolar(labels)
    plan = plan_of(labels, Montage.AVERAGE)
    mean = np.mean([POTENTIALS[site] for site in SITES_10_20], axis=0)
    assert {name.removesuffix("-AVG") for name in plan.names} == set(SITES_10_20)
    for column, name in enumerate(plan.names):
        np.testing.assert_allclose(plan(samples)[:, column], POTENTIALS[name[:-4]] - mean, atol=1e-5)


def test_ears_are_no_part_of_the_average() -> None:
    plan = plan_of((*SITES_10_20, "A1", "A2"), Montage.AVERAGE)
    assert len(plan.names) == 19
    np.testing.assert_allclose(plan.matrix.sum(axis=0), 0, atol=1e-12)


def test_as_recorded_leaves_out_what_is_no_eeg() -> None:
    plan = plan_of(("T3", "ECG", "T7", "FP1-F7", "Cz-LE"), Montage.AS_RECORDED)
    assert plan.names == ("T7", "Fp1-F7", "Cz-LE")
    assert plan.sides == (Side.LEFT, Side.LEFT, Side.MIDLINE)
    assert [int(row.argmax()) for row in plan.matrix] == [0, 3, 4]


@pytest.mark.parametrize("montage", list(Montage))
@pytest.mark.parametrize("labels", [("ECG",), ("-", "."), ("EEG 1", "EEG 2"), ()])
def test_channels_without_an_electrode_give_an_empty_plan(labels: tuple[str, ...], montage: Montage) -> None:
    plan = plan_of(labels, montage)
    assert plan.names == ()
    assert plan(np.zeros((4, len(labels)))).shape == (4, 0)


def test_a_missing_sample_spoils_only_what_is_made_of_it() -> None:
    samples = referential()
    samples[10:20, SITES_10_20.index("T7")] = np.nan
    derived = plan_of(SITES_10_20)(samples)
    lost = np.isnan(derived).any(axis=0)
    assert [name for name, gone in zip(LONGITUDINAL, lost, strict=True) if gone] == ["F7-T7", "T7-P7"]
    assert np.isnan(derived[:, lost]).sum(axis=0).tolist() == [10, 10]


def test_samples_of_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="samples have 3 channels, the plan is made for 19"):
        plan_of(SITES_10_20)(np.zeros((5, 3)))


@settings(max_examples=40, deadline=None)
@given(st.permutations(SITES_10_20), st.integers(2, 19))
def test_any_electrodes_in_any_order_give_true_pairs(order: list[str], n_sites: int) -> None:
    sites = tuple(order[:n_sites])
    plan = plan_of(sites)
    assert_true(plan, referential(sites))
    assert len(plan.names) + len(plan.left_out) == 18
    assert set(plan.names).isdisjoint(plan.left_out)
