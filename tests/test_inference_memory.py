"""What a takeover needed for a moment is given back."""

import platform

import psutil
import pytest

from inference import memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what is free")
def test_what_is_free_between_what_is_kept_goes_back() -> None:
    process = psutil.Process()
    memory.give_back()
    pieces = [bytearray(60_000) for _ in range(4_000)]
    kept = pieces[::50]
    held = process.memory_info().rss
    pieces.clear()
    assert memory.give_back()
    assert held - process.memory_info().rss > 150e6
    assert len(kept) == 80


def test_where_the_c_library_cannot_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_of_glibc", lambda function: None)
    memory.use_few_arenas()
    assert not memory.give_back()
