"""Fuzzing's short form: some thousand inputs made from good ones; `make fuzz` gives a million."""

from collections.abc import Iterator
from itertools import islice

import pytest

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


def test_shares_make_up_the_whole() -> None:
    assert sum(one.share for one in TARGETS.values()) == pytest.approx(1.0)


def test_an_archive_with_a_nameless_entry_is_refused_in_words() -> None:
    """Found by fuzzing: Python's zipfile fails on such an entry's name."""
    named = TARGETS["zip"].seeds[0]
    nameless = named.replace(b"r.hea", b"\0.hea").replace(b"r.dat", b"\0.dat")
    assert nameless != named
    assert not TARGETS["zip"].check(nameless)
