"""A library that logs every attempt fills no disk."""

import logging

from ingest.sparse_log import Sparse


def passed(lines: list[tuple[float, str]]) -> list[str]:
    """Messages that pass, of lines (time, logger)."""
    now = [0.0]
    sparse = Sparse("kafka", 5.0, lambda: now[0])
    shown = []
    for at_s, name in lines:
        now[0] = at_s
        record = logging.LogRecord(name, logging.ERROR, "", 0, "gone at %d", (round(at_s),), None)
        if sparse.filter(record):
            shown.append(record.getMessage())
    return shown


def test_one_line_in_five_seconds_passes_and_counts_the_others() -> None:
    lines = [(float(second), "kafka.net.connection") for second in range(12)]
    assert passed(lines) == [
        "gone at 0",
        "gone at 5 (4 more lines since the one before)",
        "gone at 10 (4 more lines since the one before)",
    ]


def test_lines_of_others_pass_and_a_percent_sign_breaks_nothing() -> None:
    assert passed([(0.0, "kafka.a"), (0.1, "inference.worker"), (0.2, "kafkaesque")]) == ["gone at 0"] * 3
    sparse = Sparse("kafka", 5.0, iter([0.0, 1.0, 6.0]).__next__)
    records = [logging.LogRecord("kafka", 40, "", 0, "100 %% of %s", ("it",), None) for _ in range(3)]
    assert [sparse.filter(record) for record in records] == [True, False, True]
    assert records[2].getMessage() == "100 % of it (1 more lines since the one before)"
