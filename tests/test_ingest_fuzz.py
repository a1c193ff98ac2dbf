"""Fuzzing's short form: some thousand inputs made from good ones; `make fuzz` gives a million."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.fuzz import __main__ as fuzz
from tests.fuzz.mutate import mutations
from tests.fuzz.targets import Target, targets

TARGETS = targets()
INPUTS = 20_000


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_meant_to_be_read_is_read(name: str) -> None:
    target = TARGETS[name]
    assert all(target.check(seed) for seed in target.seeds)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read_or_refused_in_words(name: str) -> None:
    target = TARGETS[name]
    refused = [not target.check(data) for data in _some(target)]
    assert any(refused)


def _some(target: Target) -> Iterator[bytes]:
    return islice(mutations(target.seeds, 1), max(100, round(INPUTS * target.share)))


def test_the_last_line_is_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "fuzz.json"
    asked = ["--targets", "command", "--inputs", "500", "--json", str(figures)]
    assert fuzz.main(asked) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "100 inputs, 1 reader: no failure"
    assert json.loads(figures.read_text())["failed"] == []


def test_who_fails_is_named_with_the_reason_and_ends_it_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(name: str, inputs: int, seed: int) -> dict[str, object]:
        failure = "exit status -11; see /tmp/fuzz-wav" if name == "wav" else ""
        return {"target": name, "inputs": inputs, "failure": failure}

    monkeypatch.setattr(fuzz, "_fuzz", broken)
    assert fuzz.main(["--json", str(tmp_path / "fuzz.json")]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"1100000 inputs, {len(TARGETS)} readers: 1 failed: wav: exit status -11; see /tmp/fuzz-wav"
    )


@pytest.mark.parametrize("wrong", [["--inputs", "0"], ["--inputs", "many"], ["--targets", "teapot"]])
def test_arguments_that_cannot_be_meant_are_refused_with_the_usage(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        fuzz.main(wrong)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m tests.fuzz ")
    assert wrong[1] in said


def test_shares_make_up_the_whole() -> None:
    assert sum(one.share for one in TARGETS.values()) == pytest.approx(1.0)


def test_an_archive_with_a_nameless_entry_is_refused_in_words() -> None:
    """Found by fuzzing: Python's zipfile fails on such an entry's name."""
    named = TARGETS["zip"].seeds[0]
    nameless = named.replace(b"r.hea", b"\0.hea").replace(b"r.dat", b"\0.dat")
    assert nameless != named
    assert not TARGETS["zip"].check(nameless)
