"""What happens to a bed-second before the ECG network and around it: each stage over 100 beds, CPU time.

100 beds are what one of ten polls a second brings at 1,000 beds. ``us_a_bed_second`` is the least of the
rounds in CPU time of the thread; beside it the floor: bytes at the speed of memory, arithmetic at that of
a matrix product (:mod:`tests.bench.floors`). Fetch and produce are kafka-python's own work on records in
memory: no broker, no sockets.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from kafka.record import MemoryRecords, MemoryRecordsBuilder

from inference.arrivals import Arrival
from inference.intake import Partition, Taken, take_all
from inference.publish import encode
from inference.stream_watch import StreamWatch
from inference.types import PredictionBatch
from ingest import wire
from ingest.bank import Bank
from ingest.conditioning import ECG, Conditioner
from ingest.continuity import Continuity, Piece
from ingest.filters import band_pass
from ingest.resample import Resampler
from ingest.settings import IngestSettings
from ingest.types import NS_PER_S, SignalKind
from tests.bench.floors import floor
from tests.bench.load import FS, Beds, Record

BEDS = 100
ROUNDS = 15
BEGIN_NS = 1_700_000_000 * NS_PER_S
N_BYTES = FS * 2 * 2
"""Of a chunk's samples."""

CUT_BYTES = BEDS * FS * 2 * 8
"""Of all samples in double precision."""


def measured(
    benchmark: Any, one_second: Callable[[int], object], n_bytes: float, n_flops: float = 0.0
) -> None:
    """Time a stage; the argument counts the seconds. Floors are of all beds together."""
    spent: list[float] = []
    one_second(0)

    def once() -> None:
        began_s = time.thread_time()
        one_second(len(spent) + 1)
        spent.append(time.thread_time() - began_s)

    benchmark.pedantic(once, rounds=ROUNDS, iterations=1)
    figures = {"us_a_bed_second": round(min(spent) / BEDS * 1e6, 2), **floor(n_bytes, n_flops, BEDS)}
    benchmark.extra_info.update(figures)
    sys.stderr.write(f"\n{benchmark.name}: {json.dumps({k: round(v, 3) for k, v in figures.items()})}\n")


class Ward:
    """Encoded seconds of the beds, and what they decode to."""

    def __init__(self) -> None:
        self.beds = Beds(BEDS, 1)

    def values(self, second: int) -> list[bytes]:
        """Encoded chunks of one second."""
        return [self.beds.value(bed, second, BEGIN_NS) for bed in range(BEDS)]

    def records(self, second: int) -> list[Record]:
        """Records as a poll gives them."""
        received_ms = BEGIN_NS // 1_000_000 + 1_000 * (second + 1)
        headers = wire.headers(wire.AVRO)
        return [
            Record("raw", 0, second * BEDS + bed, received_ms, name.encode(), value, headers)
            for bed, (name, value) in enumerate(zip(self.beds.names, self.values(second), strict=True))
        ]

    def pieces(self, second: int) -> list[Piece]:
        """Samples in order."""
        chunks = [wire.decode(value, wire.AVRO) for value in self.values(second)]
        return [Piece(chunk, second, chunk.samples, chunk.start_ns, 0, second == 0) for chunk in chunks]


WARD = Ward()
SECONDS = range(ROUNDS + 2)


def test_decode(benchmark: Any) -> None:
    values = [WARD.values(second) for second in SECONDS]
    # Read as int16, written as float32.
    measured(benchmark, lambda n: [wire.decode(v, wire.AVRO) for v in values[n]], 3 * N_BYTES * BEDS)


def test_continuity(benchmark: Any) -> None:
    lines = [Continuity(IngestSettings()) for _ in range(BEDS)]
    pieces = [WARD.pieces(second) for second in SECONDS]

    def one_second(second: int) -> None:
        for line, piece in zip(lines, pieces[second], strict=True):
            assert len(line.push(piece.chunk, second, second)) == 1

    measured(benchmark, one_second, 0)


def test_stream_watch(benchmark: Any) -> None:
    watch = StreamWatch([SignalKind.ECG])
    came = [
        [
            Arrival((one.chunk.bed, "ecg"), one.chunk, BEGIN_NS // 1_000_000 + 1_000 * n, n)
            for one in WARD.pieces(n)
        ]
        for n in SECONDS
    ]
    measured(benchmark, lambda n: watch.came(came[n], float(n)), 0)


def test_intake_from_record_to_piece(benchmark: Any) -> None:
    watch = StreamWatch([SignalKind.ECG])
    partition = Partition(0, 1, IngestSettings(), watch)
    records = [WARD.records(second) for second in SECONDS]

    def one_second(second: int) -> None:
        taken = Taken()
        take_all(watch, [(partition, records[second])], taken)
        assert len(taken.pieces) == BEDS

    measured(benchmark, one_second, 3 * N_BYTES * BEDS)


def test_filter_and_resample(benchmark: Any) -> None:
    conditioner = Conditioner(float(FS), 2, ECG, n_slots=BEDS)
    samples = np.stack([piece.samples.T for piece in WARD.pieces(0)]).astype(np.float64)
    slots = np.arange(BEDS)
    # A section: 5 multiplications and 4 additions a sample; a tap: one of each an output.
    flops = (
        9 * len(band_pass(float(FS), ECG.low_hz, ECG.high_hz)) + 2 * Resampler(FS, ECG.rate_hz).history / 2
    )
    measured(benchmark, lambda _: conditioner.push(slots, samples), 2.5 * CUT_BYTES, flops * BEDS * 2 * FS)


def test_ring_push_with_filter(benchmark: Any) -> None:
    bank = Bank(SignalKind.ECG, ECG, 8.0, 1.0)
    slots = [bank.slot(name) for name in WARD.beds.names]
    pieces = [list(zip(slots, WARD.pieces(second), strict=True)) for second in SECONDS]

    def one_second(second: int) -> None:
        (step,) = bank.push(pieces[second])
        assert len(step.due.slots) == BEDS

    # What is pushed is read once and written as samples, raw samples and two flags at half the rate.
    measured(benchmark, one_second, BEDS * 2 * (FS * 4 + FS / 2 * 10))


def test_gather_windows(benchmark: Any) -> None:
    bank = Bank(SignalKind.ECG, ECG, 8.0, 1.0)
    slots = [bank.slot(name) for name in WARD.beds.names]
    for second in range(9):
        (step,) = bank.push(list(zip(slots, WARD.pieces(second), strict=True)))
    leads = np.zeros(BEDS, dtype=np.int64)
    windows, present = bank.gather(step.due, leads)
    assert present.all()
    measured(benchmark, lambda _: bank.gather(step.due, leads), 2 * (windows.nbytes + present.nbytes))


def test_encode_predictions(benchmark: Any) -> None:
    row = {"bed": "bed-0001", "window": {"normal": 0.9, "af": 0.05, "vf": 0.01}, "quality": [0.9, 1.0]}
    batch = PredictionBatch([row] * BEDS)  # type: ignore[list-item]
    n_bytes = len(encode(batch))
    measured(benchmark, lambda _: encode(batch), 2 * n_bytes)


def _batch(values: list[bytes]) -> bytes:
    """A record batch as a broker keeps it."""
    builder = MemoryRecordsBuilder(2, 0, 1 << 24)
    for nth, value in enumerate(values):
        builder.append(1_700_000_000_000 + nth, b"bed-0001", value, [("content-type", b"application/avro")])
    builder.close()
    return bytes(builder.buffer())


def test_fetch_parses_batches_of_one_record(benchmark: Any) -> None:
    data = b"".join(_batch([value]) for value in WARD.values(0))
    assert _parsed(data) == BEDS
    measured(benchmark, lambda _: _parsed(data), 2 * len(data))


def test_fetch_parses_one_batch_of_all(benchmark: Any) -> None:
    data = _batch(WARD.values(0))
    assert _parsed(data) == BEDS
    measured(benchmark, lambda _: _parsed(data), 2 * len(data))


def _parsed(data: bytes) -> int:
    records, found = MemoryRecords(data), 0
    while (batch := records.next_batch()) is not None:
        assert batch.validate_crc()
        found += sum(1 for record in batch if record.value)
    return found


def test_produce_appends_and_compresses(benchmark: Any) -> None:
    values = WARD.values(0)

    def one_second(_: int) -> None:
        builder = MemoryRecordsBuilder(2, 1, 1 << 24)
        for value in values:
            builder.append(1_700_000_000_000, None, value, [])
        builder.close()

    measured(benchmark, one_second, 2 * sum(map(len, values)))
