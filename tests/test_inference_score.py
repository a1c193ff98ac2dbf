"""``wardwave score-alarms``: made records whose alarms are known, and the reports about them."""

from __future__ import annotations

import dataclasses
import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import wfdb
from hypothesis import given
from hypothesis import strategies as st

import wardwave
from inference.episodes import Answer
from inference.errors import InferenceError
from inference.predictor import Probabilities
from inference.reference import Episode, Labels, Reference
from inference.score import RecordScore, score_records
from inference.score_cache import CachedBeatPredictor, CachedPredictor, Remembered
from inference.score_cli import find_records, write
from inference.score_device import counts, rule
from inference.score_document import Document, build, from_json, to_json
from inference.score_html import to_html
from inference.score_report import to_text
from inference.score_run import bed_of, play
from inference.score_sides import ordered, side_in, side_of
from inference.score_stats import kinds, poisson_interval, rate, share
from inference.score_strips import false_strips
from ingest.settings import IngestSettings
from models.beat_rows import ROW

FS_HZ = 250


def write_record(
    folder: Path, name: str, beats_s: np.ndarray, length_s: float, *, missed: float | None = None,
    comments: tuple[str, ...] = (),
) -> Path:  # fmt: skip
    """A line with a spike at each beat; annotations tell of more beats in the 6 s after ``missed``."""
    at_s = np.arange(round(length_s * FS_HZ)) / FS_HZ
    # A line flatter than any heart's would be taken for a lead that is off.
    ecg = 0.05 * np.sin(2 * np.pi * at_s)
    for beat_s in beats_s:
        ecg += np.exp(-0.5 * ((at_s - beat_s) / 0.012) ** 2)
    pleth = np.sin(2 * np.pi * at_s) if comments else np.zeros_like(at_s)
    wfdb.wrsamp(
        name, fs=FS_HZ, units=["mV", "NU"], sig_name=["II", "PLETH"], fmt=["16", "16"],
        p_signal=np.stack([ecg, pleth], 1), comments=list(comments), write_dir=str(folder),
    )  # fmt: skip
    if not comments:
        samples = np.round(np.array(beats_s) * FS_HZ).astype(np.int64)
        if missed is not None:
            hidden = np.arange(missed, missed + 6.0, 0.8)
            samples = np.sort(np.concatenate([samples, np.round(hidden * FS_HZ).astype(np.int64)]))
        wfdb.wrann(name, "atr", samples, symbol=["N"] * len(samples), write_dir=str(folder))
    return folder / name


def beating(until_s: float, pauses: tuple[tuple[float, float], ...] = ()) -> np.ndarray:
    beats = np.arange(1.0, until_s, 0.8)
    return np.array([beat for beat in beats if not any(begin < beat < end for begin, end in pauses)])


class Splitting:
    """The plain predictor with a card that says what it was trained on."""

    def __init__(self, plain) -> None:
        self._plain = plain
        self.spec = _WithSplit(plain.spec)

    def __call__(self, windows: np.ndarray) -> Probabilities:
        return self._plain(windows)


class _WithSplit:
    split = {"train": ("set/seen",)}

    def __init__(self, card) -> None:
        self._card = card

    def __getattr__(self, name: str):
        return getattr(self._card, name)


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "set"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def scores(tmp_path_factory, plain_predictor_class) -> tuple[list[RecordScore], dict[str, Path]]:
    """A steady heart, one with a true pause, one whose pause is annotated away, and a device's alarm."""
    folder = tmp_path_factory.mktemp("scored") / "set"
    folder.mkdir()
    records = [
        write_record(folder, "steady", beating(60), 60),
        write_record(folder, "pausing", beating(60, ((30.0, 38.0),)), 60),
        write_record(folder, "seen", beating(60, ((30.0, 38.0),)), 60, missed=30.6),
        write_record(folder, "device", beating(310), 310, comments=("Asystole", "False alarm")),
    ]
    scored = score_records(records, Splitting(plain_predictor_class()), IngestSettings(), judge=Judge())
    return scored, {bed_of(record): record for record in records}


class Judge:
    """Lets alarms of devices stand."""

    name = "judge"
    split = {"train": ("set/device",)}

    def __call__(self, record: Path, kind: str) -> tuple[bool, float]:
        assert (record.name, kind) == ("device", "Asystole")
        return True, 0.7


def document_of(scores: list[RecordScore]) -> Document:
    return build(scores, made="2025-01-01T00:00:00+00:00", command="wardwave score-alarms", models=["plain"])


def by_name(scores: list[RecordScore]) -> dict[str, RecordScore]:
    return {score.record.split("/")[1]: score for score in scores}


def test_a_pause_is_answered_in_time_and_a_pause_that_is_none_is_a_false_alarm(scores):
    found = by_name(scores[0])
    [pause] = [one for one in found["pausing"].answers if one.episode.kind == "asystole"]
    assert pause.alarm == "asystole"
    assert 4.0 <= pause.delay_s <= 10.0
    assert found["pausing"].false == ()
    assert found["steady"].event_free
    assert found["steady"].false == ()
    assert "asystole" in [alarm.kind for alarm in found["seen"].false]
    assert found["seen"].event_free


def test_sides_come_from_the_cards(scores):
    assert {name: score.side for name, score in by_name(scores[0]).items()} == {
        "steady": "not named", "pausing": "not named", "seen": "train", "device": "not named",
    }  # fmt: skip


def test_a_devices_false_alarm_is_rejected_by_a_quiet_monitor_and_ruled_on_by_the_judge(scores):
    device = by_name(scores[0])["device"]
    assert device.raised is False
    assert device.ruling is not None
    assert (device.ruling.stands, device.ruling.in_fit) == (True, True)
    own, verdict = document_of(scores[0]).devices
    assert (own.counts[-1].tn, own.counts[-1].score) == (1, 100.0)
    assert (verdict.counts[-1].fp, verdict.counts[-1].score, verdict.in_fit) == (1, 0.0, 1)


def test_an_alarm_that_cannot_be_judged_sounds(scores):
    class Dumb(Judge):
        def __call__(self, record: Path, kind: str) -> tuple[bool, float]:
            raise InferenceError("too short")

    score = by_name(scores[0])["device"]
    ruling = rule(Dumb(), Path("device"), score.record, score.reference.device)
    assert ruling is not None
    assert (ruling.stands, ruling.detail) == (None, "too short")
    [_, verdict] = document_of([dataclasses.replace(score, ruling=ruling)]).devices
    assert (verdict.counts[-1].fp, verdict.unjudged) == (1, 1)


def test_the_text_lists_false_alarms_and_sums_up(scores):
    text = "\n".join(to_text(document_of(scores[0])))
    assert "| set/pausing | not named | beats |" in text
    assert "asystole: answered 1 of 1 (100 %, 3 to 100), within 10 s 1 of 1" in text
    assert "**beats annotated, no episode**: 2 records" in text
    assert "| set/seen | asystole |" in text
    assert "1 of 1 records are in its fit" in text


def test_json_holds_everything_and_reads_back(scores):
    document = document_of(scores[0])
    written = to_json(document)
    plain = json.loads(written)
    assert plain["schema"] == "score_alarms/1"
    assert plain["overload"] == "queue"
    assert [record["record"] for record in plain["records"]] == [score.record for score in scores[0]]
    assert {"title", "records", "bed_days", "kinds", "false_high", "raised"} == set(plain["summaries"][0])
    assert from_json(written) == document


class Balance(HTMLParser):
    """Complains of a tag that is closed but not open, or left open."""

    ALONE = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        """Closed at once."""

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_is_well_formed_and_shows_records_false_alarms_and_their_waveform(scores):
    document = document_of(scores[0])
    strips = false_strips(scores[0], scores[1], 5)
    page = to_html(document, strips)
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    shown = " ".join(parser.text)
    assert "set/pausing" in shown
    assert "set/seen" in shown
    assert "How this was made" in shown
    assert [strip.leads[0][0] for strip in strips] == ["II"] * len(strips)
    assert page.count('class="trace"') == len(strips) > 0
    assert "http" not in page


def test_a_page_without_strips_holds_no_recording(scores):
    assert 'class="trace"' not in to_html(document_of(scores[0]), false_strips(scores[0], scores[1], 0))


def test_records_played_together_or_alone_alarm_alike(folder, plain_predictor):
    records = [
        write_record(folder, "a", beating(40, ((10.0, 18.0),)), 40),
        write_record(folder, "b", beating(30, ((12.0, 20.0),)), 30),
    ]
    together = play(records, plain_predictor, None, IngestSettings())
    for record in records:
        [[bed, alone]] = play([record], plain_predictor, None, IngestSettings()).items()
        told = [(alarm.id, alarm.state, alarm.raised_ns, alarm.ended_ns) for alarm in alone]
        assert told == [(one.id, one.state, one.raised_ns, one.ended_ns) for one in together[bed]]
        assert told


def test_sides_of_several_models_are_the_one_that_says_least():
    cards = [
        {"train": ("mitdb/101",), "test": ("mitdb/103",)},
        {"test": ("mitdb/101",), "train": ("x: 9 records",)},
    ]
    assert side_of(cards, "mitdb/101") == "train"
    assert side_of(cards, "mitdb/103") == "test"
    assert side_of(cards, "mitdb/104") == "not named"
    assert side_in(cards[1], "x/1") == "train"
    assert ordered(["not named", "odd", "test", "train", "test"]) == ["train", "test", "not named", "odd"]


@pytest.mark.parametrize(("count", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390)])
def test_counts_have_garwoods_interval(count, low, high):
    assert poisson_interval(count) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    ("count", "whole", "low", "high"), [(10, 10, 0.6915, 1.0), (0, 10, 0.0, 0.3085), (9, 10, 0.5550, 0.9975)]
)
def test_shares_have_clopper_and_pearsons_interval(count, whole, low, high):
    found = share(count, whole)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(0, 500), st.integers(0, 500))
def test_an_interval_holds_what_was_seen(count, more):
    found = share(count, count + more)
    assert found.low <= (count / (count + more) if count + more else 0.5) <= found.high
    low, high = poisson_interval(count)
    assert low <= count <= high


def test_without_any_time_there_is_no_rate():
    assert rate(0, 0.0).per_day is None
    assert rate(6, 43_200.0).per_day == 12.0


def test_delays_are_of_episodes_whose_onset_is_annotated():
    episode = Episode("r", "vt", 100.0, 110.0, 102.0)
    late, none = Answer(episode, "vt", 112.5), Answer(episode, None, None)
    prompt = Answer(episode, "vf", 104.0)
    marked = Reference("r", 600.0, Labels.RHYTHMS, (episode,))
    device = Reference("d", 300.0, Labels.ALARM, (episode,))
    common = {"side": "test", "false": (), "unlabelled": (), "burden": {}, "raised": None}
    [found] = kinds(
        [
            RecordScore(record="r", reference=marked, answers=(late, none, prompt), **common),
            RecordScore(record="d", reference=device, answers=(late,), **common),
        ]
    )
    assert (found.answered.count, found.answered.whole) == (3, 4)
    assert (found.prompt.count, found.prompt_met.count) == (2, 1)
    assert (found.median_s, found.worst_s) == (8.25, 12.5)
    assert found.by == {"vt": 2, "vf": 1}


def test_the_challenge_counts_a_miss_fivefold():
    called = [(True, True)] * 8 + [(False, False)] * 2 + [(True, False)] * 5 + [(False, True)]
    assert counts("all", called).score == pytest.approx(100 * 10 / (10 + 5 + 5))
    assert counts("all", []).score is None


ROWS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=5), min_size=1, max_size=6)


@given(calls=ROWS)
def test_what_is_remembered_is_what_was_computed(calls, tmp_path_factory):
    folder = tmp_path_factory.mktemp("remembered")
    asked: list[int] = []

    def compute(rows: np.ndarray) -> tuple[np.ndarray, ...]:
        asked.append(len(rows))
        return rows.sum(axis=1), np.stack([rows, 2 * rows], axis=1)

    for again in range(2):
        remembered = Remembered(folder, ("sum", "both"))
        for call in calls:
            rows = np.array([[number, number + 1] for number in call], dtype=np.float32)
            total, both = remembered(rows, compute)
            np.testing.assert_array_equal(total, rows.sum(axis=1))
            np.testing.assert_array_equal(both, np.stack([rows, 2 * rows], axis=1))
        remembered.save()
        if again:
            assert remembered.misses == 0


def test_a_damaged_cache_is_refused_by_name(tmp_path):
    (tmp_path / "x.keys.npy").write_bytes(b"no array")
    with pytest.raises(InferenceError, match="--cache"):
        Remembered(tmp_path, ("steps",))


def test_networks_say_the_same_from_memory(tmp_path):
    windows = np.random.default_rng(1).normal(size=(5, 1000)).astype(np.float32)
    first = CachedPredictor("ecg-cnn-lstm-1", "cpu", tmp_path)
    said = first(windows)
    first.save()
    second = CachedPredictor("ecg-cnn-lstm-1", "cpu", tmp_path)
    again = second(windows[::-1])
    np.testing.assert_array_equal(again.steps[::-1], said.steps)
    np.testing.assert_array_equal(again.rhythms[::-1], said.rhythms)
    assert (second.remembered.hits, second.remembered.misses) == (5, 0)
    beats = CachedBeatPredictor("ecg-beats-1", "cpu", tmp_path)
    sequences = np.random.default_rng(2).normal(size=(3, beats.beats, beats.width)).astype(np.float32)
    labels = beats.both_labels(sequences)
    np.testing.assert_array_equal(beats.both_labels(sequences), labels)
    rows = np.random.default_rng(3).normal(size=(4, ROW)).astype(np.float32)
    shapes = beats.shapes(rows)
    np.testing.assert_array_equal(beats.shapes(rows[2:]), shapes[2:])


def test_records_that_are_not_there_are_named(folder):
    write_record(folder, "one", beating(10), 10)
    assert find_records(str(folder), None) == [folder / "one"]
    with pytest.raises(InferenceError, match="no two in .*; there are one"):
        find_records(str(folder), "one,two")
    with pytest.raises(InferenceError, match="name folders that hold .hea files"):
        find_records(str(folder / "absent"), None)


def test_a_report_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InferenceError, match=r"file/report.json.*name a file in a folder"):
        write(tmp_path / "file" / "report.json", b"{}")


@pytest.mark.data
@pytest.mark.slow
def test_the_command_scores_a_recorded_alarm_and_writes_its_reports(data_dir, tmp_path, capsys):
    arguments = ["score-alarms", "--wfdb", str(data_dir / "cinc2015"), "--records", "a103l", "--no-verdict"]
    arguments += [
        "--json",
        str(tmp_path / "score.json"),
        "--html",
        str(tmp_path / "score.html"),
        "--device",
        "cpu",
    ]
    assert wardwave.main(arguments) == 0
    assert "CinC 2015: the monitor raises it, too" in capsys.readouterr().out
    document = from_json((tmp_path / "score.json").read_bytes())
    assert [record.record for record in document.records] == ["cinc2015/a103l"]
    assert document.devices[0].counts[-1].total == 1
    assert "</html>" in (tmp_path / "score.html").read_text()
