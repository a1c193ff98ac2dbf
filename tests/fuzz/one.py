"""Fuzz one target in this process: ``python -m tests.fuzz.one TARGET INPUTS SEED STATS [CORPUS]``.

By atheris, which follows what inputs reach; where it is not installed (``pip install 'wardwave[fuzz]'``), by
mutations of our own. STATS is rewritten as it goes: an input that ends this process stands in CORPUS/last.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path

import psutil

EVERY = 1_000


class Counter:
    """Counts inputs, and writes how much memory the process holds."""

    def __init__(self, name: str, wanted: int, stats: Path, engine: str) -> None:
        self._name, self._wanted, self._stats, self._engine = name, wanted, stats, engine
        self._process, self._began_s = psutil.Process(), time.monotonic()
        self._warm_mb: float | None = None
        self.n, self.n_read = 0, 0
        self._longest_s = 0.0

    def note(self, read: bool, took_s: float) -> None:
        """Count an input."""
        self.n += 1
        self.n_read += read
        self._longest_s = max(self._longest_s, took_s)
        if self.n % EVERY == 0 or self.n == self._wanted:
            self.write()

    def write(self) -> None:
        """Write the figures; memory is compared with that after a fifth of the inputs."""
        rss_mb = self._process.memory_info().rss / 1e6
        if self._warm_mb is None and self.n >= self._wanted / 5:
            self._warm_mb = rss_mb
        figures = {
            "target": self._name, "engine": self._engine, "inputs": self.n, "read": self.n_read,
            "seconds": round(time.monotonic() - self._began_s, 1),
            "longest_ms": round(self._longest_s * 1e3, 1),
            "rss_mb_warm": None if self._warm_mb is None else round(self._warm_mb, 1),
            "rss_mb_end": round(rss_mb, 1),
        }  # fmt: skip
        part = self._stats.with_suffix(".part")
        part.write_text(json.dumps(figures))
        part.replace(self._stats)


def main(name: str, inputs: str, seed: str, stats: str, corpus: str) -> None:
    """Fuzz it."""
    folder, wanted = Path(corpus), int(inputs)
    if importlib.util.find_spec("atheris") is None:
        _by_mutations(name, wanted, int(seed), Path(stats), folder)
    else:
        _by_atheris(name, wanted, int(seed), Path(stats), folder)


def _by_mutations(name: str, wanted: int, seed: int, stats: Path, folder: Path) -> None:
    from tests.fuzz.mutate import mutations
    from tests.fuzz.targets import targets

    target, counter = targets()[name], Counter(name, wanted, stats, "mutations")
    made = mutations(target.seeds, seed)
    while counter.n < wanted:
        data = next(made)
        (folder / "last").write_bytes(data)
        began_s = time.perf_counter()
        counter.note(target.check(data), time.perf_counter() - began_s)


def _by_atheris(name: str, wanted: int, seed: int, stats: Path, folder: Path) -> None:
    import atheris

    # Ours and the readers that are Python; the rest cannot be followed.
    with atheris.instrument_imports(include=["ingest", "inference", "fastavro", "wfdb", "zipfile"]):
        from tests.fuzz.targets import targets
    target, counter = targets()[name], Counter(name, wanted, stats, "atheris")
    seeds = folder / "seeds"
    seeds.mkdir(exist_ok=True)
    for number, data in enumerate(target.seeds):
        (seeds / str(number)).write_bytes(data)

    def once(data: bytes) -> None:
        began_s = time.perf_counter()
        read = target.check(data)
        counter.note(read, time.perf_counter() - began_s)

    options = [
        f"-runs={wanted}", f"-seed={seed}", "-timeout=30", "-rss_limit_mb=3000", "-max_len=16384",
        f"-artifact_prefix={folder}/", "-print_final_stats=0", "-verbosity=0",
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(seeds)], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
