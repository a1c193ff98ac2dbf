"""``wardwave score-eeg``: EEGs through a real broker and the worker, held against what is annotated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inference.eeg_score import EegCase, Second, Told, play
from inference.errors import InferenceError
from ingest import kafka as clients
from ingest.settings import Settings
from ingest.sim_eeg import FS_HZ, GAIN
from ingest.sim_eeg_waves import CHANNELS
from models.eeg import EegModel
from tests.eeg_networks import Loud, card, loud
from training.eeg_live import clip_cases, guinea_cases, side_of, simulated_cases
from training.eeg_live_score import Row, assigned, row_of, table
from training.eeg_sets import CLIPS, GUINEA
from wardwave import main


def case(
    name: str,
    eeg: np.ndarray | None = None,
    seizures: tuple[tuple[float, float], ...] = (),
    duration_s: float = 60.0,
    **more: object,
) -> EegCase:
    def seconds() -> Iterator[Second]:
        for at in range(0 if eeg is None else len(eeg) // 256):
            steps = np.rint(np.clip(eeg[at * 256 : (at + 1) * 256], -3000, 3000) * GAIN).astype(np.int16)
            yield Second(float(at), steps)

    return EegCase(name, CHANNELS, FS_HZ, GAIN, duration_s, seizures, seconds, **more)  # type: ignore[arg-type]


@pytest.mark.kafka
@pytest.mark.slow
def test_what_was_played_through_the_broker_is_told_by_its_alarms(
    kafka: Settings, plain_predictor: object
) -> None:
    eeg = loud(45, (20, 40))
    flat = eeg.copy()
    flat[15 * 256 :, 3] = 0.0
    cases = [
        case("seizure", eeg, ((20.0, 40.0),), 45.0),
        case("calm", loud(45), (), 45.0),
        case("held to be calm", flat, (), 45.0, causes=(("electrode-off", 15.0, 45.0),)),
    ]
    before = topics(kafka)
    played = play(cases, kafka, plain_predictor, Loud())  # type: ignore[arg-type]
    rows = [row_of(one, played.alarms[one.name], "unseen", "0" * 8) for one in cases]
    assert [row.as_expected for row in rows] == [True, True, False]
    assert rows[0].delays_s == (pytest.approx(6.0, abs=1.1),)
    assert (rows[0].technical, rows[1].technical, rows[2].technical) == ({}, {}, {"lead_off": 1})
    assert "electrode-off" in rows[2].false[0]
    assert (played.chunks, played.refused) == (3 * 45, 0)
    assert topics(kafka) == before
    lines = table(rows, [played])
    assert lines[0].startswith("seizure (unseen, 00000000, 45 s): raised after ")
    assert lines[1].endswith("45 s): held; technical: none")
    assert "1 of 1 seizures raised" in lines[-2]
    assert "1 false; 2 recordings as expected" in lines[-2]


def topics(settings: Settings) -> set[str]:
    client = clients.admin(settings)
    try:
        return set(client.list_topics())
    finally:
        client.close()


@pytest.mark.kafka
def test_a_worker_that_fails_is_said_and_leaves_no_topics(kafka: Settings, plain_predictor: object) -> None:
    class Broken(Loud):
        def watch(self, n_beds: int = 1) -> object:  # type: ignore[override]
            watch = super().watch(n_beds)
            watch.waiting = watch.waiting[:, :0]
            return watch

    before = topics(kafka)
    with pytest.raises((InferenceError, IndexError)):
        play([case("one", loud(5))], kafka, plain_predictor, Broken())  # type: ignore[arg-type]
    assert topics(kafka) == before


def test_two_recordings_of_one_name_are_refused(plain_predictor: object) -> None:
    with pytest.raises(InferenceError, match="one: two recordings have this name"):
        play([case("one"), case("one")], Settings(), plain_predictor, None)  # type: ignore[arg-type]


def told(onset_s: float, raised_s: float, end_s: float | None, kind: str = "seizure") -> Told:
    return Told(kind, onset_s, raised_s, end_s)


def test_alarms_count_for_a_seizure_by_szcores_rules_of_events() -> None:
    one = case(
        "r", seizures=((100.0, 130.0), (400.0, 420.0)), duration_s=600.0, causes=(("chewing", 250.0, 260.0),)
    )
    alarms = [told(102, 106, 135), told(255, 262, 270), told(590, 596, None), told(300, 300, 301, "lead_off")]
    row = row_of(one, alarms, "unseen", "m")
    assert row.delays_s == (6.0, None)
    assert row.false == ("255 to 270 s (chewing)", "590 to 600 s")
    assert row.technical == {"lead_off": 1}
    assert row.outcome == "raised after 6.0 s, NOT RAISED; false at: 255 to 270 s (chewing); 590 to 600 s"
    assert not row.as_expected


def test_seconds_that_nobody_kept_are_no_delay_of_the_worker() -> None:
    one = case("r", seizures=((10.0, 30.0),), duration_s=30.0, gaps=((10.0, 20.0),))
    row = row_of(one, [told(21, 26.5, None)], "unseen", "m")
    assert (row.delays_s, row.sent_s) == ((16.5,), (6.5,))
    assert row.outcome == "raised after 16.5 s (6.5 s of it kept)"


def test_silence_behind_a_recordings_end_is_no_alarm_of_it() -> None:
    row = row_of(case("r"), [told(60, 64, None, "no_data"), told(20, 24, 30, "no_data")], "unseen", "m")
    assert row.technical == {"no_data": 1}


def test_a_recording_goes_to_a_model_that_never_saw_its_patient() -> None:
    cards = [
        card(sha256="a" * 64, split={"train": ("x",), "validation": ("y",), "test": ("z",)}),
        card(sha256="b" * 64, split={"train": ("z",), "validation": ("y",), "test": ("x",)}),
    ]
    assert [side_of(cards[0], name) for name in "xyz"] == ["trained on", "threshold chosen on", "unseen"]
    models = [Loud(one) for one in cards]
    cases = [case(name) for name in ("x", "y", "z", "simulated/bed-0")]
    parts = assigned(cases, models)  # type: ignore[arg-type]
    assert [(one.spec.sha256[0], side, [case.name for case in part]) for one, side, part in parts] == [
        ("b", "unseen", ["x"]),
        ("a", "threshold chosen on", ["y"]),
        ("a", "unseen", ["z"]),
        ("a", "simulated", ["simulated/bed-0"]),
    ]


def test_a_simulated_hour_is_the_beds_own_and_the_same_each_time() -> None:
    (one, other) = simulated_cases(0.1, 2, 3)
    assert (one.name, one.duration_s, other.name) == ("simulated/bed-0", 180.0, "simulated/bed-1")
    first, again = next(one.seconds()), next(one.seconds())
    assert first.steps.shape == (256, 19)
    np.testing.assert_array_equal(first.steps, again.steps)
    assert not np.array_equal(first.steps, next(other.seconds()).steps)
    assert len(list(one.seconds())) == 180


@pytest.mark.data
def test_recordings_are_sent_as_they_were_digitised(data_dir: Path) -> None:
    clips = {one.name: one for one in clip_cases(data_dir / CLIPS)}
    people = guinea_cases(data_dir / GUINEA)
    assert (len(clips), len(people)) == (17, 30)
    with np.load(data_dir / CLIPS / "clips.npz") as held:
        short, whole = clips[f"{CLIPS}/chb03_01"], clips[f"{CLIPS}/chb01_03"]
        sent = list(short.seconds())
        assert [one.start_s for one in sent] == [*range(10), *range(20, 30)]
        steps = np.concatenate([one.steps for one in sent[10:]])
        np.testing.assert_array_equal(steps.T, held["chb03_01_ictal"][:, :-1])
        assert (short.seizures, short.gaps) == (((10.0, 30.0),), ((10.0, 20.0),))
        assert (whole.gaps, len(list(whole.seconds()))) == ((), 50)
    with np.load(data_dir / GUINEA / "subject-002.npz") as held:
        steps = np.concatenate([one.steps for one in people[0].seconds()])
        np.testing.assert_array_equal(steps, np.cumsum(held["first_difference"], axis=0))


@pytest.mark.data
@pytest.mark.kafka
@pytest.mark.slow
def test_seizures_of_a_child_that_the_shipped_model_never_saw_raise_their_alarm(
    data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "eeg.json"
    test = EegModel.load("eeg-seizure-1").spec.split["test"]
    child = next(name for name in test if name.startswith(CLIPS)).split("_")[1].split("/")[1]
    command = [
        "score-eeg",
        "--data",
        str(data_dir),
        "--hours",
        "0",
        "--only",
        f"{child}_",
        "--json",
        str(document),
    ]
    assert main(command) == 0
    rows = [row for row in json.loads(document.read_text())["rows"]]
    assert rows
    assert {row["side"] for row in rows} == {"unseen"}
    raised = [one for row in rows for one in row["sent_s"] if one is not None]
    assert len(raised) >= len(rows) - 1
    assert max(raised) <= 15.0
    assert "false" not in capsys.readouterr().out.split("\n\n")[0]


def test_what_cannot_be_played_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score-eeg", "--no-recorded", "--hours", "0"]) == 2
    assert "no recording is called so" in capsys.readouterr().err
    assert main(["score-eeg", "--data", str(tmp_path)]) == 2
    assert "clips.npz: not there" in capsys.readouterr().err
    assert main(["score-eeg", "--no-recorded", "--beds", "0"]) == 2
    assert "at least a bed" in capsys.readouterr().err


def test_a_table_without_seizures_says_so() -> None:
    row = Row("r", "unseen", "m", 60.0, (), (), (), 1, 2, {"mains": 1})
    assert table([row], [])[0] == "r (unseen, m, 60 s): held; 1 status, 2 suppression; technical: mains 1"
