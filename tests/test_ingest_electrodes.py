"""Names of EEG channels, as devices and published sets write them."""

import pytest

from ingest.electrodes import EARS, SITES_10_20, Role, Side, is_scalp, read_name, read_names, side_of, site_of
from ingest.recording import kind_of_channel
from ingest.types import SignalKind

CHB_MIT = (
    "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4",
    "P4-O2", "FP2-F8", "F8-T8", "T8-P8-0", "P8-O2", "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10",
    "FT10-T8", "T8-P8-1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("label", "site", "against"),
    [
        ("Fp1", "Fp1", "REF"), ("FP1", "Fp1", "REF"), ("fp1", "Fp1", "REF"), ("EEG Fp1", "Fp1", "REF"),
        ("EEG-Fp1", "Fp1", "REF"), ("EEG Fp1-REF", "Fp1", "REF"), ("EEG FP1-Ref", "Fp1", "REF"),
        ("EEG FP1-LE", "Fp1", "LE"), ("Fp1-AVG", "Fp1", "AVG"), ("Fp1-A2", "Fp1", "A2"),
        ("C3:M2", "C3", "M2"), ("C3-A1A2", "C3", "LE"), ("FP1-CS2", "Fp1", "CS2"),
        ("POL Fz", "Fz", "REF"), ("Fc5.", "FC5", "REF"),
        ("T3", "T7", "REF"), ("T4-REF", "T8", "REF"), ("EEG T5-LE", "P7", "LE"), ("T6", "P8", "REF"),
        ("T3-T5", "T7", "P7"), ("FP1-F7", "Fp1", "F7"), ("EEG Fpz-Cz", "Fpz", "Cz"), ("T8-P8-0", "T8", "P8"),
        ("T8-P8-1", "T8", "P8"), ("T8-P8#2", "T8", "P8"), ("Cz#3", "Cz", "REF"),
        ("FT9-FT10", "FT9", "FT10"), ("AF3", "AF3", "REF"),
        ("EEG A1-REF", "A1", "REF"), ("M2", "M2", "REF"), ("EEG T1-REF", "T1", "REF"),
        ("F3 - C3", "F3", "C3"), ("F3_C3", "F3", "C3"),
    ],
)  # fmt: skip
def test_electrode_and_reference_are_read_from_a_label(label: str, site: str, against: str) -> None:
    channel = read_name(label)
    assert (channel.role, channel.site, channel.against) == (Role.EEG, site, against)


@pytest.mark.parametrize(
    "label",
    ["ECG", "EKG1", "EKG1-REF", "EEG EKG1-REF", "EKG EKG", "EMG-REF", "EOG L", "LOC-ROC", "PHOTIC-REF", "-",
     ".", "--0", "VNS", "IBI", "BURSTS", "SUPPR", "PULSE RATE", "DC1-DC", "SPO2", "HR", "MK",
     "EDF Annotations", "EEG RESP1-REF", "ECG II"],
)  # fmt: skip
def test_other_signals_are_told_apart(label: str) -> None:
    channel = read_name(label)
    assert (channel.role, channel.site, channel.name) == (Role.OTHER, None, label)


@pytest.mark.parametrize(
    "label", ["EEG 26-REF", "Foo", "Fp3", "C3P", "EEG", "Fp1-Foo", "F3-F3", "F3-C3-P3", "1"]
)
def test_names_that_say_nothing_are_unknown(label: str) -> None:
    assert read_name(label).role is Role.UNKNOWN


def test_pairs_are_bipolar_and_single_electrodes_are_not() -> None:
    assert read_name("FP1-F7").bipolar
    assert [read_name(label).bipolar for label in ("Fp1", "Fp1-A2", "Fp1-LE")] == [False] * 3
    assert [read_name(label).name for label in ("FP1", "fp1-t3", "EEG FP1-LE")] == ["Fp1", "Fp1-T7", "Fp1-LE"]


def test_a_second_copy_of_a_pair_is_named_and_left_out() -> None:
    read = read_names(CHB_MIT)
    assert read.repeated == ("T8-P8-1",)
    assert read.columns == tuple(range(22))


def test_old_and_new_name_of_one_electrode_are_one_and_the_first_counts() -> None:
    read = read_names(("T3", "T7", "Cz", "ECG", "Thing"))
    assert (read.columns, read.repeated, read.others, read.unknown) == ((0, 2), ("T7",), ("ECG",), ("Thing",))


def test_sides_go_by_odd_and_even() -> None:
    assert [side_of(site) for site in ("F7", "O2", "Cz", "FT10", "A1")] == [
        Side.LEFT, Side.RIGHT, Side.MIDLINE, Side.RIGHT, Side.LEFT,
    ]  # fmt: skip


def test_every_electrode_is_an_eeg_for_the_readers_of_files() -> None:
    for site in SITES_10_20:
        assert site_of(site.upper()) == site
        assert is_scalp(site)
        assert kind_of_channel(f"EEG {site}-REF") is SignalKind.EEG
    assert not any(is_scalp(site) for site in (*EARS, "REF", "LE"))
    assert site_of("nonsense") is None
