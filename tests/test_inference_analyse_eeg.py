"""An EEG that is handed in: what is found in it, how much of it was judged, and what is said of the rest."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from inference.alarm_book import AlarmBook
from inference.analysis import analyse
from inference.analysis_eeg_annotated import compare, names_seizure, place_marks
from inference.analysis_eeg_parts import EegMark, EegSeizure
from inference.analysis_eeg_trace import EegTrace, column_length_s
from inference.analysis_findings import EegFindings, Findings, head_lines, to_json
from inference.analysis_read import Opened, ReadOptions
from inference.eeg_listener import SeizureNetwork
from inference.eeg_monitor import EegMonitor
from inference.errors import BadUpload
from inference.windows import WindowMonitor
from ingest.recording import Recording, Signal
from ingest.sim_eeg_waves import CHANNELS
from ingest.sim_events import Event
from ingest.types import NS_PER_S, SignalKind
from models.eeg import EegModel
from tests.eeg_files import by_name, edf, opened
from tests.eeg_networks import BEHIND, Loud, loud
from tests.eeg_playing import FS, T0, pieces, play, simulated

SEIZURE_S = (40.0, 75.0)


@pytest.fixture(scope="module")
def quiet() -> np.ndarray:
    return simulated(30)


def a_signal(samples: np.ndarray, channels: tuple[str, ...] = CHANNELS, fs_hz: float = FS) -> Signal:
    return Signal(SignalKind.EEG, channels, "uV", fs_hz, samples.astype(np.float32))


def found_in(
    what: Opened | np.ndarray, network: SeizureNetwork | None = None
) -> tuple[EegFindings, Findings]:
    if isinstance(what, np.ndarray):
        what = Opened(Recording("made", (a_signal(what),)), "EDF", [])
    found = analyse(what, None, lambda *_: None, seizures=network or Loud())
    assert found.eeg is not None
    return found.eeg, found


def test_the_shipped_network_finds_a_simulated_seizure_in_a_file_and_says_where_it_looked(
    tmp_path: Path,
) -> None:
    eeg = simulated(100, Event("bed", "seizure", SEIZURE_S[0], SEIZURE_S[1] - SEIZURE_S[0]))
    lines = {f"EEG {name}-REF": line for name, line in by_name(eeg, CHANNELS).items()}
    file = edf(
        tmp_path, lines, marks=[(SEIZURE_S[0], SEIZURE_S[1] - SEIZURE_S[0], "SZ focal"), (5, -1, "eyes open")]
    )
    network = EegModel.load("eeg-seizure-1")
    traces: list[EegTrace] = []
    read = opened(tmp_path, file)
    found = analyse(read, None, lambda *_: None, seizures=network, eeg_traces=traces)
    assert found.eeg is not None
    (seizure,) = found.eeg.seizures
    assert SEIZURE_S[0] - 2 < seizure.begin_s < SEIZURE_S[0] + 15
    assert SEIZURE_S[1] - 10 < seizure.end_s < SEIZURE_S[1] + 10
    assert seizure.begin_s <= seizure.at_s < seizure.end_s
    assert len(seizure.looked) == 3
    assert found.eeg.statement.startswith("1 seizure found in 98 s judged of 100 s")
    assert "normal" not in to_json(found).decode().lower().replace("abnormal", "")
    assert [one.label for one in found.eeg.annotated if one.seizure] == ["SZ focal"]
    assert found.eeg.comparison is not None
    assert (found.eeg.comparison.found, found.eeg.comparison.not_annotated) == (1, 0)
    assert any("of which 1 found and 0 not" in line for line in head_lines(found))
    assert [one.kind for one in found.eeg.alarms] == ["seizure"]
    assert network.spec.sha256[:12] in " ".join(found.models)
    (looked,) = traces[0].looked
    assert looked.at_s == pytest.approx(seizure.raised_s - 1 - network.behind, abs=0.1)
    assert looked.probability == pytest.approx(_probability_at(found.eeg, looked.at_s), abs=0.02)
    assert np.array(looked.cam).shape[0] == len(looked.derivations) == 18
    assert msgspec.json.decode(to_json(found), type=Findings) == found


def _probability_at(eeg: EegFindings, begin_s: float) -> float:
    assert eeg.lines is not None
    at = int(np.argmin(np.abs(np.array(eeg.lines.times_s) - begin_s - 1)))
    value = eeg.lines.probability[at]
    assert value is not None
    return value


def test_each_second_is_what_the_worker_says_of_it() -> None:
    eeg = loud(40, (20, 32))
    found, _ = found_in(eeg)
    monitor = EegMonitor(WindowMonitor(SignalKind.EEG, AlarmBook(), lambda: T0), Loud())
    told = play(monitor, pieces(eeg))
    assert found.lines is not None
    said = [one for one in found.lines.probability if one is not None]
    assert said == pytest.approx([one.probabilities["seizure"] for one in told.predictions])
    lows = [None if vital.eeg is None else vital.eeg.left.aeeg_low_uv for vital in told.vitals]
    assert found.lines.trends["aeeg_low_uv_left"] == lows
    times = [round((vital.time_ns - T0) / NS_PER_S, 1) for vital in told.vitals]
    assert [round(one, 1) for one in found.lines.times_s] == times


def test_a_seizure_begins_with_its_first_second_and_the_quiet_that_ended_it_is_no_part_of_it() -> None:
    found, whole = found_in(loud(60, (20, 32)))
    (seizure,) = found.seizures
    assert (seizure.begin_s, seizure.end_s) == pytest.approx((20, 32), abs=1.1)
    assert not seizure.to_the_end
    assert seizure.raised_s == pytest.approx(seizure.begin_s + 4 + BEHIND, abs=0.1)
    assert found.judged_s == 60 - BEHIND
    assert [one.reason for one in found.lost] == [
        "the recording ends before the network has seen what follows"
    ]
    assert head_lines(whole)[0] == "eeg: 1 seizure found in 58 s judged of 60 s"


def test_one_that_goes_on_when_the_recording_ends_is_to_the_end() -> None:
    found, _ = found_in(loud(40, (25, 40)))
    (seizure,) = found.seizures
    assert (seizure.to_the_end, seizure.end_s) == (True, 40.0)


def test_none_found_is_said_with_how_much_was_judged(quiet: np.ndarray) -> None:
    eeg = quiet.copy()
    eeg[10 * 256 : 20 * 256, :16] = np.nan
    found, whole = found_in(eeg)
    assert found.seizures == []
    assert found.statement.startswith("0 seizures found in ")
    assert found.judged_s < 20
    assert "Not judged is not negative" in found.statement
    lost = next(one for one in found.lost if "derivations could be trusted" in one.reason)
    assert (lost.begin_s, lost.end_s) == pytest.approx((10, 20), abs=1.5)
    assert sum(one.end_s - one.begin_s for one in found.lost) == pytest.approx(30 - found.judged_s, abs=0.2)
    assert "0 seizures found" in head_lines(whole)[0]


def test_what_looks_like_a_seizure_in_seconds_that_cannot_be_judged_is_no_finding() -> None:
    eeg = loud(40, (15, 30))
    # All electrodes but two are off, and what is left is large.
    eeg[14 * 256 : 31 * 256] = np.nan
    eeg[15 * 256 : 30 * 256, CHANNELS.index("Fp1")] = 300 * np.sin(8 * np.pi * np.arange(15 * 256) / FS)
    eeg[14 * 256 : 31 * 256, CHANNELS.index("F7")] = simulated(17)[:, 0]
    found, _ = found_in(eeg)
    assert found.seizures == []
    assert "0 seizures found" in found.statement
    assert found.doubtful == 1
    assert "1 more could not be told" in found.statement


def test_each_electrode_says_what_was_wrong_with_it_for_how_long(quiet: np.ndarray) -> None:
    eeg = quiet.copy()
    eeg[6 * 256 :, CHANNELS.index("C3")] = 12.0
    eeg[:, CHANNELS.index("O2")] += 80 * np.sin(2 * np.pi * 50 * np.arange(len(eeg)) / FS)
    eeg[10 * 256 : 16 * 256, CHANNELS.index("F7")] = np.nan
    found, whole = found_in(eeg)
    each = {one.name: one for one in found.electrodes}
    assert each["C3"].signs == {"flat": pytest.approx(0.8, abs=0.05)}
    assert each["C3"].usable_share == pytest.approx(0.2, abs=0.05)
    assert each["F7"].signs["missing"] == pytest.approx(0.2, abs=0.05)
    assert each["O2"].signs["mains"] > 0.9
    assert each["O2"].usable_share == 1.0
    assert each["Cz"].signs == {}
    (line,) = [one for one in head_lines(whole) if "could not be read" in one]
    assert "C3 8" in line
    assert "Cz" not in line


def test_the_longest_suppression_and_the_highest_ratio_are_told() -> None:
    eeg = simulated(90)
    eeg[40 * 256 : 62 * 256] *= 0.02
    eeg[70 * 256 : 75 * 256] *= 0.02
    found, whole = found_in(eeg)
    quiet = found.suppression
    assert quiet is not None
    assert (quiet.begin_s, quiet.end_s) == pytest.approx((40, 62), abs=2.0)
    assert quiet.highest == pytest.approx(27 / 60, abs=0.06)
    assert any("longest suppression 2" in line for line in head_lines(whole))


def test_spectra_over_the_file_show_where_the_power_is() -> None:
    eeg = simulated(40)
    wave = 60 * np.sin(2 * np.pi * 6 * np.arange(len(eeg)) / FS)
    for name in ("F7", "P7", "F3", "P3"):
        eeg[:, CHANNELS.index(name)] += wave
    traces: list[EegTrace] = []
    read = Opened(Recording("made", (a_signal(eeg),)), "EDF", [])
    analyse(read, None, lambda *_: None, seizures=Loud(), eeg_traces=traces)
    spectra = traces[0].spectra()
    assert spectra.shape == (10, 2, 60)
    middle = np.nanmean(spectra[2:8], axis=0)
    assert 0.5 * (1 + int(middle[0].argmax())) == pytest.approx(6, abs=0.5)
    assert middle[0, 11] > middle[1, 11] + 10
    assert [column_length_s(n) for n in (10, 7_200, 86_400)] == [4, 4, 48]


BAD = {
    "rates": ("O1, O2 have 128 Hz, the others 256 Hz: left out", True),
    "doubled": ("mean what an earlier channel means; the first counts", True),
    "outside": ("1 annotation outside of the record (0 to 30 s), left out: 'seizure' at 4000 s", True),
    "behind": ("'SZ' from 25 s ends at 65 s, behind the record (30 s): cut there", True),
    "unknown": ("Box: no electrode has such a name, left out: rename", True),
    "others": ("EEG channels Resp, ECG: no EEG by their names, left out of it", True),
    "few": ("3 of 18 are); hand in more if they were recorded. A seizure there cannot be seen", True),
    "one in mV": ("'C3' has ", True),
    "all in mV": ("is its unit right, or are values in mV called µV? Say it (unit mV)", False),
    "nameless": ("None of the 3 channels gives a derivation", False),
    "short": ("10.0 s long: the network sees 16 s at once", False),
    "slow": ("Sampled at 64 Hz: at least 88 Hz are needed", False),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_has_one_clear_line_and_nothing_else_is_lost(
    what: str, quiet: np.ndarray, tmp_path: Path
) -> None:
    lines, options = by_name(quiet, CHANNELS), None
    keywords: dict[str, object] = {}
    if what == "rates":
        keywords["rates"] = {"O1": 128, "O2": 128}
        lines |= {name: lines[name][::2] for name in ("O1", "O2")}
    elif what == "doubled":
        lines |= {"T7|2": 0 * lines["T7"], "T3": 0 * lines["T7"]}
    elif what in ("outside", "behind"):
        keywords["marks"] = [
            (4_000, 10, "seizure") if what == "outside" else (25, 40, "SZ"),
            (3, -1, "eyes closed"),
        ]
    elif what == "unknown":
        lines, options = {**lines, "Box": lines["Cz"]}, ReadOptions("eeg")
    elif what == "others":
        lines, options = {**lines, "Resp": lines["Cz"], "ECG": 9 * lines["Cz"]}, ReadOptions("eeg")
    elif what == "few":
        lines = {name: lines[name] for name in ("Fp1", "F7", "T7", "P7")}
    elif what == "one in mV":
        lines["C3"] = lines["C3"] / 1_000
        keywords["most"] = 300.0
    elif what == "all in mV":
        lines, keywords["most"] = {name: line / 1_000 for name, line in lines.items()}, 3.0
    elif what == "nameless":
        lines, options = {"ch1": lines["C3"], "ch2": lines["C4"], "ch3": lines["Cz"]}, ReadOptions("eeg")
    elif what == "short":
        lines = {name: line[: 10 * 256] for name, line in lines.items()}
    elif what == "slow":
        lines, keywords["fs_hz"] = {name: line[::4] for name, line in lines.items()}, 64
    words, judged = BAD[what]
    found, whole = found_in(opened(tmp_path, edf(tmp_path, lines, **keywords), options))  # type: ignore[arg-type]
    said = [line for line in (*whole.notes, found.statement) if words in line]
    assert len(said) == 1, (whole.notes, found.statement)
    assert "\n" not in said[0]
    assert (found.judged_s > 20) is judged
    assert len(found.electrodes) == len(whole.signals[0].channels)
    if not judged:
        assert "0 seizures" not in found.statement
    if keywords.get("marks"):
        assert [one.label for one in found.annotated][0] == "eyes closed"


def test_values_in_mv_under_a_head_of_uv_are_read_once_their_unit_is_said(
    quiet: np.ndarray, tmp_path: Path
) -> None:
    lines = {name: line / 1_000 for name, line in by_name(quiet, CHANNELS).items()}
    file = edf(tmp_path, lines, most=3.0)
    found, whole = found_in(opened(tmp_path, file, ReadOptions(unit="mV")))
    assert found.judged_s > 20
    assert whole.notes == []
    size = next(one.rms for one in whole.signals[0].channels if one.name == "C3")
    assert size == pytest.approx(float(quiet[:, CHANNELS.index("C3")].std()), rel=0.05)
    with pytest.raises(BadUpload, match="unit 'mmHg': give uV, mV or V"):
        opened(tmp_path, file, ReadOptions(unit="mmHg"))


def test_a_name_that_only_readers_of_eeg_know_is_offered_as_one(quiet: np.ndarray, tmp_path: Path) -> None:
    lines = by_name(quiet, CHANNELS) | {"POL T9": quiet[:, 0]}
    read = opened(tmp_path, edf(tmp_path, lines))
    assert (
        "channel 'POL T9' is of no kind that is known, but could be an EEG: left out; give the kind (eeg)"
        in (" ".join(read.notes))
    )


def test_without_a_network_electrodes_and_trends_are_told_and_nothing_else(quiet: np.ndarray) -> None:
    read = Opened(Recording("made", (a_signal(quiet),)), "EDF", [])
    found = analyse(read, None, lambda *_: None)
    assert found.eeg is not None
    assert "seizures were not looked for" in found.eeg.statement
    assert found.eeg.seizures == []
    assert found.eeg.model is None
    assert found.eeg.lines is not None
    assert any(one is not None for one in found.eeg.lines.trends["edge_hz_left"])
    assert all(one.usable_share == 1.0 for one in found.eeg.electrodes)


@pytest.mark.parametrize(
    "label",
    ["SZ", "seizure", "Seizure 3", "sz_foc_ia", "fnsz", "EEG seizure onset", "Nonconvulsive seizure",
     "ictal", "Anfall", "Seizure no. 2", "Seizure without impaired awareness", "SZ 1 (no video)"],
)  # fmt: skip
def test_words_that_name_a_seizure(label: str) -> None:
    assert names_seizure(label)


@pytest.mark.parametrize(
    "label",
    ["no seizure", "postictal", "interictal spike", "pre-ictal", "seizure?", "possible seizure", "bckg",
     "eyes closed", "pseudoseizure", "post seizure slowing", "no clear change", "Seizures: none"],
)  # fmt: skip
def test_words_that_name_none(label: str) -> None:
    assert not names_seizure(label)


def test_an_onset_and_an_end_that_stand_apart_are_one_seizure() -> None:
    rows = [(100.0, -1.0, "Seizure onset"), (160.0, -1.0, "Seizure end"), (300.0, -1.0, "SZ")]
    marks, notes = place_marks(rows, "a.edf", 400.0)
    assert [(one.begin_s, one.end_s) for one in marks] == [(100.0, 160.0), (300.0, 301.0)]
    assert notes == []


def test_what_was_found_is_held_against_the_annotations_by_overlap() -> None:
    def seizure(begin_s: float, end_s: float) -> EegSeizure:
        return EegSeizure(begin_s, end_s, begin_s + 6, begin_s, 0.9, {})

    marks = [EegMark(100, 130, "SZ", True), EegMark(1_000, 1_030, "SZ", True), EegMark(5, 9, "blink", False)]
    # The first found begins within a minute after the annotated one: it counts; the last has none near it.
    found = compare(marks, [seizure(170, 180), seizure(2_000, 2_020)], 3_600)
    assert found is not None
    assert (found.annotated, found.found, found.not_annotated) == (2, 1, 1)
    assert compare([EegMark(5, 9, "blink", False)], [seizure(170, 180)], 3_600) is None
